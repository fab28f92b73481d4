"""Importing pictures of the web over GraphQL: what comes of it, and each way in which it can be refused."""

from typing import Any

import pytest

from domain.errors import FetchRefused, InvalidImage, InvalidImageReason
from domain.users import Role, Viewer
from tests.graphql import Client, World, gid, nobody
from tests.pictures import jpeg, svg
from tests.rows import stored_community, stored_viewer

URL = "https://pictures.example.org/of/The%20sea.png?size=large#top"
NIGHT = {"kind": "THEME", "value": "Night"}
IMAGE = "image { id isPublic filename owner { id } source tags { kind value } recipe { prompt } }"
LIST = "{ images { nodes { id } } }"


@pytest.fixture
async def home(world: World) -> list[Viewer]:
    """An admin and two members of a community."""
    community = await stored_community(world.unit_of_work)
    return [await stored_viewer(world.unit_of_work, community, role=role) for role in (Role.ADMIN, *[Role.MEMBER] * 2)]


async def fetch(client: Client, viewer: Viewer | None, **input: object) -> dict[str, Any]:
    """Import an image."""
    return await client.mutate("importImage", input, f"... on ImportImageSuccess {{ {IMAGE} }}", viewer)


async def test_an_import_is_a_private_image(client: Client, world: World, home: list[Viewer]) -> None:
    """The viewer's own, named by its address and with its tags; in the store with its variants."""
    _, ada, _ = home
    world.fetcher.answers[URL] = jpeg(700, 500)
    made = (await fetch(client, ada, url=f" {URL} ", tags=[NIGHT]))["image"]
    assert made == {
        "id": made["id"],
        "isPublic": False,
        "filename": "The sea.jpg",
        "owner": {"id": gid(ada.user)},
        "source": "IMPORTED",
        "tags": [NIGHT],
        "recipe": None,
    }
    assert await client.data(LIST, viewer=ada) == {"images": {"nodes": [{"id": made["id"]}]}}
    assert len(world.files()) == 4


async def test_an_admin_imports_for_another(client: Client, world: World, home: list[Viewer]) -> None:
    """The image is then the named user's; a member can't do so, and nothing is fetched for them."""
    admin, ada, bob = home
    world.fetcher.answers[URL] = jpeg()
    for id in (gid(ada.user), nobody("User"), "nonsense"):
        refusal = {"__typename": "NotFoundError", "message": "User not found", "id": id}
        assert await fetch(client, bob, url=URL, userId=id) == refusal
    assert world.fetcher.asked == []
    made = (await fetch(client, admin, url=URL, userId=gid(ada.user)))["image"]
    assert made["owner"] == {"id": gid(ada.user)}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            FetchRefused("That address can't be fetched from."),
            {"__typename": "FetchRefusedError", "message": "That address can't be fetched from."},
        ),
        (
            InvalidImage("That is no picture", InvalidImageReason.NOT_AN_IMAGE),
            {"__typename": "InvalidImageError", "message": "That is no picture", "reason": "NOT_AN_IMAGE"},
        ),
        (svg(), {"__typename": "InvalidImageError", "reason": "UNSUPPORTED_FORMAT"}),
        (jpeg()[:2_000], {"__typename": "InvalidImageError", "reason": "TRUNCATED"}),
    ],
    ids=["refused", "no picture", "another format", "cut short"],
)
async def test_what_cannot_be_imported(
    client: Client, world: World, home: list[Viewer], answer: Any, expected: dict[str, str]
) -> None:
    """The answer says why, without the address, and leaves nothing behind."""
    world.fetcher.answers[URL] = answer
    told = await fetch(client, home[1], url=URL)
    assert {key: told[key] for key in expected} == expected
    assert "example.org" not in str(told)
    assert (await client.data(LIST, viewer=home[1]), world.files()) == ({"images": {"nodes": []}}, [])


async def test_wrong_tags_fetch_nothing(client: Client, world: World, home: list[Viewer]) -> None:
    """They are found out before anybody is called."""
    told = await fetch(client, home[1], url=URL, tags=[{**NIGHT, "value": ""}])
    assert [field["path"] for field in told["fields"]] == [["tags"]]
    assert world.fetcher.asked == []


async def test_no_more_is_fetched_than_may_be_uploaded(client: Client, world: World, home: list[Viewer]) -> None:
    """The fetcher is given the limit of the library."""
    world.fetcher.answers[URL] = jpeg()
    await fetch(client, home[1], url=URL)
    assert world.fetcher.asked == [(URL, 5_000_000)]


async def test_a_store_that_is_away_is_told(client: Client, world: World, home: list[Viewer]) -> None:
    """When files can't be written, nothing is kept."""
    world.fetcher.answers[URL] = jpeg()
    world.folder.write_text("no folder")
    assert (await fetch(client, home[1], url=URL))["__typename"] == "StorageUnavailableError"
    assert await client.data(LIST, viewer=home[1]) == {"images": {"nodes": []}}


async def test_strangers_import_nothing(client: Client, world: World) -> None:
    """Nobody is called for whom nobody knows."""
    (error,) = (await client.ask(f'mutation {{ importImage(input: {{url: "{URL}"}}) {{ __typename }} }}'))["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert world.fetcher.asked == []
