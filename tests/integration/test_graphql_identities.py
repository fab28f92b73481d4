"""Identities and portraits over GraphQL: every mutation's success and each of its errors."""

from typing import Any

import pytest

from domain.users import Role, Viewer
from tests.graphql import Client, World, gid, nobody
from tests.pictures import jpeg, svg
from tests.rows import PICTURE, a_slot, an_identity, an_image, stored_community, stored_viewer

IDENTITY = "identity { id name category iAmStatement visualization notes image { id source filename owner { id } } }"


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


async def change(client: Client, mutation: str, viewer: Viewer, *files: bytes, **input: object) -> dict[str, Any]:
    """The answer of a mutation that succeeds with an identity."""
    success = mutation[0].upper() + mutation[1:] + "Success"
    return await client.mutate(mutation, input, f"... on {success} {{ {IDENTITY} }}", viewer, *files)


async def test_an_identity_is_made_and_changed(client: Client, ada: Viewer) -> None:
    """Texts are trimmed; what is not given or null stays."""
    made = (await change(client, "createIdentity", ada, name=" Analyst ", notes=["patient", " "]))["identity"]
    assert made == {
        "id": made["id"],
        "name": "Analyst",
        "category": "",
        "iAmStatement": "",
        "visualization": "",
        "notes": ["patient"],
        "image": None,
    }
    changed = await change(client, "updateIdentity", ada, id=made["id"], iAmStatement="I am exact", name=None)
    assert changed["identity"] == {**made, "iAmStatement": "I am exact"}
    found = await client.data("query ($id: ID!) { identity(id: $id) { name user { id } } }", {"id": made["id"]}, ada)
    assert found == {"identity": {"name": "Analyst", "user": {"id": gid(ada.user)}}}


async def test_every_wrong_field_is_named(client: Client, world: World, ada: Viewer) -> None:
    """An empty name and too many notes are two problems of one answer."""
    identity = an_identity(ada.user)
    await world.add(identity)
    for mutation, id in (("createIdentity", {}), ("updateIdentity", {"id": gid(identity)})):
        answer = await change(client, mutation, ada, **id, name=" ", notes=["x"] * 51)
        assert answer["__typename"] == "InvalidInputError"
        assert answer["fields"] == [
            {"path": ["name"], "message": "Name must not be empty"},
            {"path": ["notes"], "message": "notes must be at most 50"},
        ]


async def test_two_hundred_identities_are_the_limit(client: Client, world: World, ada: Viewer) -> None:
    """The next one is refused."""
    await world.add(*(an_identity(ada.user) for _ in range(200)))
    answer = await change(client, "createIdentity", ada, name="One more")
    assert answer == {"__typename": "LimitReachedError", "message": "Maximum 200 identities allowed", "limit": 200}


async def test_an_admin_makes_identities_for_others(client: Client, world: World) -> None:
    """An admin names a user of the community; a member who names somebody else finds nobody."""
    community = await stored_community(world.unit_of_work)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    member = await stored_viewer(world.unit_of_work, community)
    made = await change(client, "createIdentity", admin, name="Hers", userId=gid(member.user))
    data = await client.data("{ viewer { identities { id } } }", viewer=member)
    assert data == {"viewer": {"identities": [{"id": made["identity"]["id"]}]}}
    refused = await change(client, "createIdentity", member, name="His", userId=gid(admin.user))
    assert refused == {"__typename": "NotFoundError", "message": "User not found", "id": gid(admin.user)}


async def test_a_portrait_is_an_image_of_the_library(client: Client, world: World, ada: Viewer) -> None:
    """An uploaded portrait is the owner's library image, named by the file, and stays there when it is taken away."""
    identity = an_identity(ada.user)
    await world.add(identity)
    portrayed = (await change(client, "uploadIdentityImage", ada, jpeg(), id=gid(identity)))["identity"]
    image = portrayed["image"]
    assert image == {
        "id": image["id"],
        "source": "UPLOADED",
        "filename": "me 0.jpg",
        "owner": {"id": gid(ada.user)},
    }
    assert (await change(client, "deleteIdentityImage", ada, id=gid(identity)))["identity"]["image"] is None
    library = await client.data("{ images { nodes { id } } }", viewer=ada)
    assert library == {"images": {"nodes": [{"id": image["id"]}]}}


async def test_what_is_no_picture_is_no_portrait(client: Client, world: World, ada: Viewer) -> None:
    """A bad file, and none, are refused; nothing is stored."""
    identity = an_identity(ada.user)
    await world.add(identity)
    bad = await change(client, "uploadIdentityImage", ada, svg(), id=gid(identity))
    assert (bad["__typename"], bad["reason"]) == ("InvalidImageError", "UNSUPPORTED_FORMAT")
    missing = await change(client, "uploadIdentityImage", ada, id=gid(identity))
    assert (missing["__typename"], missing["message"]) == ("InvalidInputError", "No image file provided")
    assert world.files() == []


async def test_a_portrait_needs_the_store(client: Client, world: World, ada: Viewer) -> None:
    """When files can't be written, the answer says so, and the library stays empty."""
    identity = an_identity(ada.user)
    await world.add(identity)
    world.folder.write_bytes(b"a file where the folder should be")
    answer = await change(client, "uploadIdentityImage", ada, jpeg(), id=gid(identity))
    assert answer["__typename"] == "StorageUnavailableError"
    assert await client.data("{ images { totalCount } }", viewer=ada) == {"images": {"totalCount": 0}}


async def test_an_image_is_saved_as_portrait(client: Client, world: World, ada: Viewer) -> None:
    """An image of the library becomes a portrait; one that can't be seen does not."""
    identity, image = an_identity(ada.user), an_image(ada.user)
    stranger = await stored_viewer(world.unit_of_work)
    hidden = an_image(stranger.user, is_public=True)
    await world.add(identity, image, hidden)
    saved = await change(client, "saveGeneratedImage", ada, imageId=gid(image), identityId=gid(identity))
    assert saved["identity"]["image"]["id"] == gid(image)
    refused = await change(client, "saveGeneratedImage", ada, imageId=gid(hidden), identityId=gid(identity))
    assert refused == {"__typename": "NotFoundError", "message": "Image not found", "id": gid(hidden)}


async def test_an_admin_shows_nobody_anothers_private_image(client: Client, world: World) -> None:
    """They see it, but it becomes the portrait of its owner's identities alone, unless it is public."""
    community = await stored_community(world.unit_of_work)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    ada, bob = [await stored_viewer(world.unit_of_work, community) for _ in range(2)]
    image, public = an_image(bob.user), an_image(bob.user, is_public=True)
    adas, bobs = an_identity(ada.user), an_identity(bob.user)
    await world.add(image, public, adas, bobs)
    refused = await change(client, "saveGeneratedImage", admin, imageId=gid(image), identityId=gid(adas))
    assert refused["fields"] == [
        {"path": ["imageId"], "message": "A portrait is an image of the identity's user, or one that is public"}
    ]
    for identity, shown in ((bobs, image), (adas, public)):
        saved = await change(client, "saveGeneratedImage", admin, imageId=gid(shown), identityId=gid(identity))
        assert saved["identity"]["image"]["id"] == gid(shown)


async def test_an_identity_is_removed(client: Client, world: World, ada: Viewer) -> None:
    """It is gone, and its portrait stays in the library."""
    image = an_image(ada.user)
    identity = an_identity(ada.user, image_id=image.id)
    await world.add(image, identity)
    done = await client.mutate(
        "deleteIdentity", {"id": gid(identity)}, "... on DeleteIdentitySuccess { deletedId }", ada
    )
    assert done == {"__typename": "DeleteIdentitySuccess", "deletedId": gid(identity)}
    query = "query ($id: ID!) { identity(id: $id) { id } images { totalCount } }"
    assert await client.data(query, {"id": gid(identity)}, ada) == {"identity": None, "images": {"totalCount": 1}}


@pytest.mark.parametrize("id", [nobody("Identity"), nobody("Image"), "nonsense"])
async def test_an_unknown_identity_is_not_found(client: Client, world: World, ada: Viewer, id: str) -> None:
    """Every mutation that names an identity says the same."""
    image = an_image(ada.user)
    await world.add(image)
    refusal = {"__typename": "NotFoundError", "message": "Identity not found", "id": id}
    assert await change(client, "updateIdentity", ada, id=id) == refusal
    assert await change(client, "uploadIdentityImage", ada, jpeg(), id=id) == refusal
    assert await change(client, "deleteIdentityImage", ada, id=id) == refusal
    assert await change(client, "saveGeneratedImage", ada, identityId=id, imageId=gid(image)) == refusal
    assert await client.mutate("deleteIdentity", {"id": id}, "", ada) == refusal
    assert await client.data("query ($id: ID!) { identity(id: $id) { id } }", {"id": id}, ada) == {"identity": None}
    assert world.files() == []


async def test_readiness(client: Client, world: World, ada: Viewer) -> None:
    """Without reference images nothing can be asked for; with a good one it can."""
    identity = an_identity(ada.user)
    await world.add(identity)
    query = "query ($id: ID!) { identity(id: $id) { readiness { isReady problems } } }"
    before = (await client.data(query, {"id": gid(identity)}, ada))["identity"]["readiness"]
    assert before == {"isReady": False, "problems": ["Upload at least one reference image"]}
    await world.add(a_slot(ada.user, picture=PICTURE))
    after = (await client.data(query, {"id": gid(identity)}, ada))["identity"]["readiness"]
    assert after == {"isReady": True, "problems": []}
