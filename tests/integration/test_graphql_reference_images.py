"""Reference images over GraphQL: every mutation's success and each of its errors."""

import asyncio
import json
from typing import Any

import pytest

from domain.users import Role, Viewer
from tests.graphql import Client, World, gid, nobody
from tests.pictures import bomb_png, corners, encoded, jpeg, svg
from tests.rows import a_slot, stored_community, stored_viewer

SLOT = """
    referenceImage {
        id name order role user { id }
        image { original thumbnail width height sizeBytes mediaType sha256 placeholder }
    }
"""


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


async def create(client: Client, viewer: Viewer, *files: bytes, **input: object) -> dict[str, Any]:
    """Make a slot."""
    selection = f"... on CreateReferenceImageSuccess {{ {SLOT} }}"
    return await client.mutate("createReferenceImage", input, selection, viewer, *files)


async def upload(client: Client, viewer: Viewer, id: str, *files: bytes) -> dict[str, Any]:
    """Put a photo into a slot."""
    selection = f"... on UploadReferenceImageSuccess {{ {SLOT} }}"
    return await client.mutate("uploadReferenceImage", {"id": id}, selection, viewer, *files)


async def update(client: Client, viewer: Viewer, id: str, **input: object) -> dict[str, Any]:
    """Change a slot."""
    selection = f"... on UpdateReferenceImageSuccess {{ {SLOT} }}"
    return await client.mutate("updateReferenceImage", {"id": id, **input}, selection, viewer)


async def delete(client: Client, viewer: Viewer, id: str) -> dict[str, Any]:
    """Remove a slot."""
    return await client.mutate(
        "deleteReferenceImage", {"id": id}, "... on DeleteReferenceImageSuccess { deletedId }", viewer
    )


async def test_a_slot_is_made_with_its_photo(client: Client, world: World, ada: Viewer) -> None:
    """A slot made with a file has the photo and its variants, under addresses that name stored files."""
    made = (await create(client, ada, jpeg(400, 300), name=" Left ", role="BODY"))["referenceImage"]
    image = made.pop("image")
    assert made == {"id": made["id"], "name": "Left", "order": 0, "role": "BODY", "user": {"id": gid(ada.user)}}
    assert (image["width"], image["height"], image["mediaType"]) == (400, 300, "image/jpeg")
    assert image["sizeBytes"] == len(jpeg(400, 300))
    assert len(image["sha256"]) == 64
    assert image["placeholder"]
    for url in (image["original"], image["thumbnail"]):
        assert url.startswith("http://atelier.test/files/")
        assert url.removeprefix("http://atelier.test/files/").partition("?")[0] in world.files()


async def test_an_empty_slot_takes_the_lowest_free_place(client: Client, world: World, ada: Viewer) -> None:
    """Without order and file, the slot is the lowest free one and has no photo."""
    await world.add(a_slot(ada.user, 0), a_slot(ada.user, 2))
    made = (await create(client, ada))["referenceImage"]
    assert (made["order"], made["name"], made["role"], made["image"]) == (1, "", "FACE", None)


async def test_a_sixth_slot_is_refused(client: Client, world: World, ada: Viewer) -> None:
    """Five slots are the limit, and nothing of a refused file is kept."""
    await world.add(*(a_slot(ada.user, order) for order in range(5)))
    assert await create(client, ada, jpeg()) == {
        "__typename": "LimitReachedError",
        "message": "Maximum 5 reference images allowed",
        "limit": 5,
    }
    assert world.files() == []


async def test_the_last_slot_is_won_once(client: Client, world: World, ada: Viewer) -> None:
    """Two uploads that race for the last slot leave one slot more and one set of files."""
    await world.add(*(a_slot(ada.user, order) for order in range(4)))
    raced = await asyncio.gather(create(client, ada, jpeg()), create(client, ada, jpeg()))
    assert sorted(answer["__typename"] for answer in raced) == ["CreateReferenceImageSuccess", "LimitReachedError"]
    assert len({name.split("/")[-1][:36] for name in world.files()}) == 1


async def test_a_taken_place_is_a_conflict(client: Client, world: World, ada: Viewer) -> None:
    """Asking for a place that is in use is refused, when making and when moving."""
    first, second = a_slot(ada.user, 1), a_slot(ada.user, 2)
    await world.add(first, second)
    refusal = {"__typename": "ConflictError", "message": "Order 2 is already in use"}
    assert await create(client, ada, order=2) == refusal
    assert await update(client, ada, gid(first), order=2) == refusal


@pytest.mark.parametrize("order", [-1, 5])
async def test_a_place_beyond_the_five_is_invalid(client: Client, world: World, ada: Viewer, order: int) -> None:
    """Places are 0 to 4."""
    slot = a_slot(ada.user)
    await world.add(slot)
    message = "Order must be between 0 and 4"
    refusal = {
        "__typename": "InvalidInputError",
        "message": message,
        "fields": [{"path": ["order"], "message": message}],
    }
    assert await create(client, ada, order=order) == refusal
    assert await update(client, ada, gid(slot), order=order) == refusal


async def test_replacing_a_photo_removes_the_old_files(client: Client, world: World, ada: Viewer) -> None:
    """After an upload into a slot with a photo, only the new photo's files are there."""
    id = (await create(client, ada, jpeg(700, 500)))["referenceImage"]["id"]
    before = world.files()
    changed = (await upload(client, ada, id, jpeg(640, 480)))["referenceImage"]
    assert (changed["id"], changed["image"]["width"]) == (id, 640)
    assert len(before) == len(world.files()) == 4
    assert set(before).isdisjoint(world.files())


async def test_an_upload_needs_a_file(client: Client, world: World, ada: Viewer) -> None:
    """Without a file the message says so."""
    slot = a_slot(ada.user)
    await world.add(slot)
    assert (await upload(client, ada, gid(slot)))["message"] == "No image file provided"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "EMPTY"),
        (b"Dear sir or madam", "NOT_AN_IMAGE"),
        (svg(), "UNSUPPORTED_FORMAT"),
        (jpeg()[:1000], "TRUNCATED"),
        (bomb_png(30_000, 30_000), "TOO_MANY_PIXELS"),
        (encoded(corners(), "BMP"), "UNSUPPORTED_FORMAT"),
        (jpeg() + bytes(60_000_000), "TOO_LARGE"),
    ],
    ids=["empty", "text", "svg", "cut short", "bomb", "bmp", "60 MB"],
)
async def test_what_is_no_picture_is_refused_with_its_reason(
    client: Client, world: World, ada: Viewer, body: bytes, reason: str
) -> None:
    """Each kind of bad file has its own reason, and leaves neither a slot's photo nor a file behind."""
    slot = a_slot(ada.user)
    await world.add(slot)
    for answer in (await create(client, ada, body), await upload(client, ada, gid(slot), body)):
        assert (answer["__typename"], answer["reason"]) == ("InvalidImageError", reason)
    assert world.files() == []
    slots = await client.data("{ viewer { referenceImages { id image { width } } } }", viewer=ada)
    assert slots["viewer"]["referenceImages"] == [{"id": gid(slot), "image": None}]


async def test_a_slot_is_changed(client: Client, world: World, ada: Viewer) -> None:
    """What is given changes; the rest stays."""
    slot = a_slot(ada.user, name="Left")
    await world.add(slot)
    changed = (await update(client, ada, gid(slot), order=3, role="STYLE", name=None))["referenceImage"]
    assert (changed["order"], changed["role"], changed["name"]) == (3, "STYLE", "Left")


async def test_a_slot_is_removed_with_its_files(client: Client, world: World, ada: Viewer) -> None:
    """After removing, the slot's id answers null and its files are gone."""
    id = (await create(client, ada, jpeg()))["referenceImage"]["id"]
    assert await delete(client, ada, id) == {"__typename": "DeleteReferenceImageSuccess", "deletedId": id}
    assert world.files() == []
    assert await client.data("query ($id: ID!) { node(id: $id) { id } }", {"id": id}, ada) == {"node": None}


@pytest.mark.parametrize("id", [nobody("ReferenceImage"), nobody("Identity"), "nonsense", "", "ä", "UmVmZXJlbmNl"])
async def test_an_unknown_slot_is_not_found(client: Client, ada: Viewer, id: str) -> None:
    """Ids of nothing, of other nouns and of no shape at all are the same: not found, and told back as given."""
    refusal = {"__typename": "NotFoundError", "message": "Reference image not found", "id": id}
    assert await upload(client, ada, id, jpeg()) == refusal
    assert await update(client, ada, id, name="x") == refusal
    assert await delete(client, ada, id) == refusal


async def test_others_slots_are_not_found(client: Client, world: World, ada: Viewer) -> None:
    """A member can't reach another member's slot, nor an admin one of another community."""
    stranger = await stored_viewer(world.unit_of_work, role=Role.ADMIN)
    slot = a_slot(ada.user)
    await world.add(slot)
    for viewer in (stranger, Viewer(ada.user)):
        answer = await update(client, viewer, gid(slot), name="Mine now")
        expected = "UpdateReferenceImageSuccess" if viewer == ada else "NotFoundError"
        assert answer["__typename"] == expected


async def test_an_admin_acts_for_a_user(client: Client, world: World) -> None:
    """An admin makes slots for anybody of the community; a member who names somebody else finds nobody."""
    community = await stored_community(world.unit_of_work)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    member = await stored_viewer(world.unit_of_work, community)
    made = await create(client, admin, userId=gid(member.user))
    assert made["referenceImage"]["user"] == {"id": gid(member.user)}
    assert await create(client, member, userId=gid(admin.user)) == {
        "__typename": "NotFoundError",
        "message": "User not found",
        "id": gid(admin.user),
    }


async def test_a_store_that_is_away_is_told(client: Client, world: World, ada: Viewer) -> None:
    """When files can't be written, the answer says so, and no slot is made."""
    world.folder.write_bytes(b"a file where the folder should be")
    answer = await create(client, ada, jpeg())
    assert answer["__typename"] == "StorageUnavailableError"
    slots = await client.data("{ viewer { referenceImages { id } } }", viewer=ada)
    assert slots == {"viewer": {"referenceImages": []}}


async def test_one_file_serves_two_mutations(client: Client, world: World, ada: Viewer) -> None:
    """A file that is mapped to two variables is whole for both."""
    query = """mutation ($a: CreateReferenceImageInput!, $b: CreateReferenceImageInput!) {
        a: createReferenceImage(input: $a) { ... on CreateReferenceImageSuccess { referenceImage { image { sha256 } } } }
        b: createReferenceImage(input: $b) { ... on CreateReferenceImageSuccess { referenceImage { image { sha256 } } } }
    }"""
    variables = {"a": {"file": None}, "b": {"file": None}}
    form = {
        "operations": json.dumps({"query": query, "variables": variables}),
        "map": '{"0": ["variables.a.file", "variables.b.file"]}',
    }
    response = await client.http.post(
        "/graphql", data=form, files={"0": ("me.jpg", jpeg())}, headers=client.headers(ada)
    )
    a, b = response.json()["data"].values()
    assert a == b
    assert a["referenceImage"]["image"]
