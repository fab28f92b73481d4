"""What people do with images of the library over GraphQL: uploading, tagging, sharing and removing them."""

from typing import Any

import pytest

from domain.users import Role, Viewer
from tests.graphql import Client, World, gid, nobody
from tests.pictures import jpeg, svg
from tests.rows import a_step, a_wizard, an_identity, an_image, stored_community, stored_viewer

IMAGE = "image { id isPublic filename owner { id } source tags { kind value } usedBy { ... on Node { id } } }"
NIGHT, SEA = {"kind": "THEME", "value": "Night"}, {"kind": "CHARACTER", "value": "The sea"}


@pytest.fixture
async def home(world: World) -> list[Viewer]:
    """An admin and two members of a community."""
    community = await stored_community(world.unit_of_work)
    return [await stored_viewer(world.unit_of_work, community, role=role) for role in (Role.ADMIN, *[Role.MEMBER] * 2)]


async def upload(client: Client, viewer: Viewer, body: bytes, **input: object) -> dict[str, Any]:
    """Upload an image."""
    return await client.mutate("uploadImage", input, f"... on UploadImageSuccess {{ {IMAGE} }}", viewer, body)


async def change(client: Client, viewer: Viewer, name: str, id: str, **input: object) -> dict[str, Any]:
    """Call a mutation of one image."""
    fields = "deletedId" if name == "deleteImage" else IMAGE
    selection = f"... on {name[0].upper()}{name[1:]}Success {{ {fields} }}"
    return await client.mutate(name, {"id": id, **input}, selection, viewer)


async def ids(client: Client, viewer: Viewer, scope: str = "MINE") -> list[str]:
    """The images of a list."""
    data = await client.data(f"{{ images(scope: {scope}) {{ nodes {{ id }} }} }}", viewer=viewer)
    return [node["id"] for node in data["images"]["nodes"]]


async def test_an_upload_is_a_private_image(client: Client, world: World, home: list[Viewer]) -> None:
    """The uploader's own, named by the file and with its tags, each once; in the store with its variants."""
    _, ada, _ = home
    made = (await upload(client, ada, jpeg(700, 500), tags=[NIGHT, SEA, {**NIGHT, "value": " night"}]))["image"]
    assert made == {
        "id": made["id"],
        "isPublic": False,
        "filename": "me 0.jpg",
        "owner": {"id": gid(ada.user)},
        "source": "UPLOADED",
        "tags": [NIGHT, SEA],
        "usedBy": [],
    }
    assert await ids(client, ada) == [made["id"]]
    assert len(world.files()) == 4


async def test_an_admin_uploads_for_another(client: Client, home: list[Viewer]) -> None:
    """The image is then the named user's; a member can't do so."""
    admin, ada, bob = home
    made = (await upload(client, admin, jpeg(), userId=gid(ada.user)))["image"]
    assert made["owner"] == {"id": gid(ada.user)}
    refusal = {"__typename": "NotFoundError", "message": "User not found", "id": gid(ada.user)}
    assert await upload(client, bob, jpeg(), userId=gid(ada.user)) == refusal
    assert await ids(client, bob) == []


@pytest.mark.parametrize(
    ("body", "input", "expected"),
    [
        (svg(), {}, {"__typename": "InvalidImageError", "reason": "UNSUPPORTED_FORMAT"}),
        (jpeg(), {"tags": [{**NIGHT, "value": ""}]}, {"__typename": "InvalidInputError"}),
        (jpeg(), {"tags": [{**NIGHT, "value": str(n)} for n in range(51)]}, {"message": "Maximum 50 tags allowed"}),
    ],
)
async def test_what_is_no_image_is_refused(
    client: Client, world: World, home: list[Viewer], body: bytes, input: dict[str, object], expected: dict[str, str]
) -> None:
    """Neither a wrong file nor wrong tags leave anything behind."""
    answer = await upload(client, home[1], body, **input)
    assert {key: answer[key] for key in expected} == expected
    assert (await ids(client, home[1]), world.files()) == ([], [])


async def test_an_upload_without_a_file_is_refused(client: Client, home: list[Viewer]) -> None:
    """The answer names the missing field."""
    answer = await client.mutate("uploadImage", {}, "", home[1])
    assert answer == {
        "__typename": "InvalidInputError",
        "message": "No image file provided",
        "fields": [{"path": ["file"], "message": "No image file provided"}],
    }


async def test_a_store_that_is_away_is_told(client: Client, world: World, home: list[Viewer]) -> None:
    """When files can't be written, nothing is kept."""
    world.folder.write_text("no folder")
    answer = await upload(client, home[1], jpeg())
    assert answer["__typename"] == "StorageUnavailableError"
    assert await ids(client, home[1]) == []


async def test_tags_come_and_go(client: Client, world: World, home: list[Viewer]) -> None:
    """By the owner or an admin; what is added and removed at once stays; lists that are not given change nothing."""
    admin, ada, bob = home
    image = an_image(ada.user, is_public=True)
    await world.add(image)
    assert (await change(client, ada, "tagImage", gid(image), add=[NIGHT, SEA]))["image"]["tags"] == [NIGHT, SEA]
    assert (await change(client, admin, "tagImage", gid(image), remove=[SEA]))["image"]["tags"] == [NIGHT]
    both = await change(client, ada, "tagImage", gid(image), add=[SEA], remove=[SEA, NIGHT])
    assert both["image"]["tags"] == [SEA]
    assert (await change(client, ada, "tagImage", gid(image)))["image"]["tags"] == [SEA]
    refused = await change(client, ada, "tagImage", gid(image), remove=[{**SEA, "value": " "}])
    assert [field["path"] for field in refused["fields"]] == [["remove"]]
    refusal = {"__typename": "NotFoundError", "message": "Image not found", "id": gid(image)}
    assert await change(client, bob, "tagImage", gid(image), add=[NIGHT]) == refusal
    nodes = await client.data("{ images { nodes { tags { kind value } } } }", viewer=ada)
    assert nodes == {"images": {"nodes": [{"tags": [SEA]}]}}


async def test_an_image_is_shared_by_its_owner(client: Client, world: World, home: list[Viewer]) -> None:
    """The owner shares it, and an admin may end that but not begin it; others don't find it."""
    admin, ada, bob = home
    image = an_image(ada.user)
    await world.add(image)
    id = gid(image)
    assert (await change(client, bob, "setImagePublic", id, isPublic=True))["__typename"] == "NotFoundError"
    shared = await change(client, ada, "setImagePublic", id, isPublic=True)
    assert (shared["image"]["isPublic"], await ids(client, bob, "PUBLIC")) == (True, [id])
    assert (await change(client, bob, "toggleImagePublic", id))["__typename"] == "NotFoundError"
    ended = await change(client, admin, "toggleImagePublic", id)
    assert (ended["image"]["isPublic"], await ids(client, bob, "PUBLIC")) == (False, [])
    for name, input in (("setImagePublic", "isPublic: true"), ("toggleImagePublic", "force: true")):
        mutation = f'mutation {{ {name}(input: {{id: "{id}", {input}}}) {{ __typename }} }}'
        (error,) = (await client.ask(mutation, viewer=admin))["errors"]
        assert error["message"] == "Only its owner may make an image public"
        assert error["extensions"] == {"code": "FORBIDDEN"}
    assert await ids(client, bob, "PUBLIC") == []
    assert (await change(client, ada, "toggleImagePublic", id))["image"]["isPublic"] is True


@pytest.mark.parametrize("name", ["setImagePublic", "toggleImagePublic"])
async def test_what_only_sharing_allowed_holds_the_image(
    client: Client, world: World, home: list[Viewer], name: str
) -> None:
    """Another's identity and a step: without force it stays shared; with force both lose it, the owner's own does not."""
    _, ada, bob = home
    image, wizard = an_image(ada.user, is_public=True), a_wizard(ada.user.community_id)
    step = a_step(wizard, background_id=image.id)
    own, others = an_identity(ada.user, image_id=image.id), an_identity(bob.user, image_id=image.id)
    await world.add(image, wizard, step, own, others)
    input = {"isPublic": False} if name == "setImagePublic" else {}
    assert await change(client, ada, name, gid(image), **input) == {
        "__typename": "ImageInUseError",
        "message": "The image is in use: it is the portrait of 1 identity of others, the background of the step Welcome",
        "usedBy": [{"__typename": "Step", "id": gid(step)}],
    }
    assert await ids(client, bob, "PUBLIC") == [gid(image)]
    freed = await change(client, ada, name, gid(image), force=True, **input)
    assert (freed["image"]["isPublic"], freed["image"]["usedBy"]) == (False, [{"id": gid(own)}])
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Identity { image { id } } ... on Step { background { id } } } }"
    nodes = await client.data(query, {"ids": [gid(others), gid(step)]}, bob)
    assert nodes == {"nodes": [{"image": None}, {"background": None}]}


async def test_an_image_in_use_is_not_deleted_but_by_force(client: Client, world: World, home: list[Viewer]) -> None:
    """The answer says what shows it; by force that shows nothing, and image and files are gone."""
    admin, ada, bob = home
    id = (await upload(client, ada, jpeg()))["image"]["id"]
    identity = an_identity(ada.user)
    await world.add(identity)
    await client.mutate("saveGeneratedImage", {"identityId": gid(identity), "imageId": id}, "", ada)
    for viewer in (ada, admin):
        assert await change(client, viewer, "deleteImage", id) == {
            "__typename": "ImageInUseError",
            "message": "The image is in use: it is the portrait of The Analyst",
            "usedBy": [{"__typename": "Identity", "id": gid(identity)}],
        }
    assert (await change(client, bob, "deleteImage", id, force=True))["__typename"] == "NotFoundError"
    assert await ids(client, ada) == [id]
    done = await change(client, ada, "deleteImage", id, force=True)
    assert done == {"__typename": "DeleteImageSuccess", "deletedId": id}
    assert (await ids(client, ada), world.files()) == ([], [])
    portrait = await client.data("{ viewer { identities { image { id } } } }", viewer=ada)
    assert portrait == {"viewer": {"identities": [{"image": None}]}}


async def test_the_same_files_of_another_image_stay(client: Client, world: World, home: list[Viewer]) -> None:
    """Two images of a person's with the same bytes share their files until the second is gone; others' are their own."""
    _, ada, bob = home
    first, second = [(await upload(client, ada, jpeg()))["image"]["id"] for _ in range(2)]
    files = world.files()
    theirs = (await upload(client, bob, jpeg()))["image"]["id"]
    assert len(world.files()) == 2 * len(files)
    await change(client, bob, "deleteImage", theirs)
    await change(client, ada, "deleteImage", first)
    assert world.files() == files
    await change(client, ada, "deleteImage", second)
    assert world.files() == []


@pytest.mark.parametrize("name", ["tagImage", "toggleImagePublic", "deleteImage"])
async def test_what_is_not_there_is_not_found(client: Client, home: list[Viewer], name: str) -> None:
    """An image that never was, another noun's id, and what is no id."""
    for id in (nobody("Image"), nobody("Step"), "nonsense"):
        refusal = {"__typename": "NotFoundError", "message": "Image not found", "id": id}
        assert await change(client, home[0], name, id) == refusal
