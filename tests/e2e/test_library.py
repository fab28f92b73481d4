"""The library through a running server: what one member shares, another finds and uses, and nothing is left of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import GENERATE, Server
from tests.pictures import jpeg

ERRORS = (
    "... on UserError { message } ... on ImageInUseError { usedBy { ... on Identity { name } ... on Step { title } } }"
)
UPLOAD = """
mutation($input: UploadImageInput!) {
  r: uploadImage(input: $input) {
    __typename ... on UploadImageSuccess { image { id picture { original thumbnail } } } ... on UserError { message }
  }
}
"""
FOUND = """
query($scope: ImageScope!, $filter: ImageFilter) {
  images(scope: $scope, filter: $filter) { totalCount nodes { id isPublic owner { name } tags { value } } }
}
"""
BACKGROUND = "query($id: ID!) { step(id: $id) { background { id isPublic picture { original } recipe { prompt } } } }"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with the samples: an admin, and two test users."""
    async with Server(tmp_path) as server:
        await server.start()
        yield server


@pytest.fixture
async def tess(server: Server) -> str:
    """A token of a member's."""
    return server.command("user", "token", "tess@atelier.local").stdout.strip()


async def changed(server: Server, name: str, success: str, /, **input: object) -> dict[str, Any]:
    """The result of a mutation."""
    errors = ERRORS if name in {"deleteImage", "setImagePublic"} else "... on UserError { message }"
    return await server.change(name, success, errors, **input)


async def status(url: str) -> int:
    """What a picture's address answers."""
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).status_code


def stored(server: Server) -> list[Path]:
    """Every object in the store."""
    folder = Path(server.environ["ATELIER_DATA_DIR"]) / "objects"
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_an_image_from_upload_to_its_end(server: Server, tess: str) -> None:
    """Uploaded twice it is stored once; shared, another finds it and makes it a portrait; deleting says so, and all goes."""
    admin = server.token
    answer = await server.upload(UPLOAD, {"input": {}}, "Harbour at night.jpg", jpeg(640, 480))
    image = answer["r"]["image"]
    objects = sorted(stored(server))
    twin = (await server.upload(UPLOAD, {"input": {}}, "again.jpg", jpeg(640, 480)))["r"]["image"]
    assert sorted(stored(server)) == objects
    assert await status(image["picture"]["original"]) == await status(twin["picture"]["thumbnail"]) == 200
    await changed(server, "tagImage", "image { id }", id=image["id"], add=[{"kind": "THEME", "value": "Sea"}])

    server.token = tess
    harbour = {"filter": {"search": "HARBÓUR nig", "tags": [{"kind": "THEME", "value": "sea"}]}, "scope": "PUBLIC"}
    assert (await server.send(FOUND, **harbour))["images"] == {"totalCount": 0, "nodes": []}
    gone = await changed(server, "setImagePublic", "image { id }", id=image["id"], isPublic=True)
    assert gone["__typename"] == "NotFoundError"

    server.token = admin
    await changed(server, "setImagePublic", "image { id }", id=image["id"], isPublic=True)
    server.token = tess
    shown = (await server.send(FOUND, **harbour))["images"]["nodes"]
    assert shown == [{"id": image["id"], "isPublic": True, "owner": {"name": "Ada Admin"}, "tags": [{"value": "Sea"}]}]
    identity = (await server.send("{ viewer { identities { id } } }"))["viewer"]["identities"][0]["id"]
    await changed(server, "saveGeneratedImage", "identity { id }", imageId=image["id"], identityId=identity)

    server.token = admin
    for name, more in (("setImagePublic", {"isPublic": False}), ("deleteImage", {})):
        held = await changed(server, name, "__typename", id=image["id"], **more)
        assert (held["__typename"], held["usedBy"]) == ("ImageInUseError", [{"name": "Mountain Runner"}])
    await changed(server, "deleteImage", "deletedId", id=image["id"], force=True)
    assert await status(twin["picture"]["original"]) == 200
    await changed(server, "deleteImage", "deletedId", id=twin["id"])
    assert await status(twin["picture"]["original"]) == 404
    assert stored(server) == []


async def test_a_background_made_for_a_step(server: Server, tess: str) -> None:
    """It is there when the generation is done, for every member; its maker's private image shows no recipe to them."""
    wizard = (await changed(server, "createWizard", "wizard { id }", name="Welcome"))["wizard"]["id"]
    step = (await changed(server, "addStep", "step { id order }", wizardId=wizard, title="Who are you?"))["step"]["id"]
    prompt = {"style": "watercolour", "subject": "a quiet harbour"}
    generation = await server.generate(stepId=step, structuredPrompt=prompt)
    events = [event async for event in server.follow(generation)]
    assert events[-1]["state"] == "SUCCEEDED"

    server.token = tess
    background = (await server.send(BACKGROUND, id=step))["step"]["background"]
    assert (background["isPublic"], background["recipe"]) == (False, None)
    assert await status(background["picture"]["original"]) == 200


async def test_a_quota_refuses_and_gives_back(server: Server) -> None:
    """What a refused picture had reserved is free again; what was made counts until the month is over."""
    limits = [{"feature": "IMAGE_GENERATION", "unit": "IMAGES", "amount": 2}]
    plan = (await changed(server, "createPlan", "plan { id }", name="Small", limits=limits))["plan"]["id"]
    await changed(server, "setCommunityPlan", "community { id }", planId=plan)
    made = await server.generate(prompt="a house [refuse:2]", options={"n": 2})
    full = await server.send(GENERATE, input={"prompt": "one more"})
    assert full["generateImage"]["__typename"] == "QuotaExceededError"
    assert [event async for event in server.follow(made)][-1]["state"] == "SUCCEEDED"
    quota = "{ viewer { community { quota(feature: IMAGE_GENERATION) { limit used reserved remaining } } } }"
    standing = (await server.send(quota))["viewer"]["community"]["quota"]
    assert standing == {"limit": 2, "used": 1, "reserved": 0, "remaining": 1}
