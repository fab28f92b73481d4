"""The product's main job through a running server: a photo, an identity, a picture watched live, and saved."""

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.datastructures import UploadFile

from tests.e2e.harness import CREATE_REFERENCE, GENERATION, IDENTITY, Server
from tests.pictures import private_jpeg
from tests.wire import gemini, openai
from tests.wire.server import Answer, WireServer

PORTRAIT = """
query($id: ID!) {
  identity(id: $id) {
    image { picture { original thumbnail mediaType } recipe { provider model referenceHashes identityName costMicroUsd } }
  }
}
"""
OPENAI_KEY = "sk-secret-0123456789"
GEMINI_KEY = "AIza-secret-0123456789"
GPS_IFD = 0x8825


@pytest.fixture
async def vendor() -> AsyncIterator[WireServer]:
    """A server that speaks for both vendors."""
    async with WireServer() as vendor:
        yield vendor


@pytest.fixture
async def server(tmp_path: Path, vendor: WireServer) -> AsyncIterator[Server]:
    """A server with keys, whose vendors answer from this machine; the first user has one photo with a place in it."""
    server = Server(
        tmp_path,
        OPENAI_API_KEY=OPENAI_KEY,
        OPENAI_BASE_URL=f"{vendor.url}/v1",
        GEMINI_API_KEY=GEMINI_KEY,
        GEMINI_BASE_URL=vendor.url,
    )
    async with server:
        await server.start()
        answer = await server.upload(CREATE_REFERENCE, {"input": {"name": "Headshot"}}, "me.jpg", private_jpeg(6))
        # Stored lying on its side, shown upright.
        assert answer["createReferenceImage"]["referenceImage"]["image"] == {"width": 400, "height": 300}
        yield server


async def made(server: Server, **input: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The identity's portrait after a generation that saves it, and the events on the way."""
    id = (await server.send(IDENTITY))["viewer"]["identities"][0]["id"]
    generation = await server.generate(identityId=id, saveToIdentity=True, **input)
    events = [event async for event in server.follow(generation)]
    assert events[-1]["state"] == "SUCCEEDED", events
    portrait: dict[str, Any] = (await server.send(PORTRAIT, id=id))["identity"]["image"]
    return portrait, events


def assert_clean(data: bytes) -> None:
    """The picture is upright and tells nothing of where or with what it was taken."""
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (400, 300)
        assert not picture.getexif()
        assert not picture.getexif().get_ifd(GPS_IFD)
        assert "exif" not in picture.info


async def test_offline_from_a_photo_to_a_saved_portrait(server: Server) -> None:
    """Without a key: previews arrive live, and the portrait's URLs lead to real pictures."""
    portrait, events = await made(server, options={"n": 2, "aspectRatio": "16:9"})
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert sum(event["preview"] is not None for event in events) == 6
    assert portrait["recipe"]["provider"] == "OFFLINE"
    async with httpx.AsyncClient() as client:
        thumbnail = await client.get(portrait["picture"]["thumbnail"])
        original = await client.get(portrait["picture"]["original"], headers={"Range": "bytes=0-7"})
    with Image.open(io.BytesIO(thumbnail.content)) as picture:
        assert max(picture.size) == 100
    assert original.status_code == 206
    assert original.content == b"\x89PNG\r\n\x1a\n"


async def test_openai_gets_the_photo_clean_and_its_previews_are_shown(server: Server, vendor: WireServer) -> None:
    """One edit with the reference as a PNG or JPEG file of ours; the streamed partials become previews."""
    vendor.answer = openai.stream(*openai.PARTIALS, openai.COMPLETED)
    portrait, events = await made(server, provider="OPENAI")
    assert sum(event["preview"] is not None for event in events) == len(openai.PARTIALS)
    assert portrait["recipe"]["provider"] == "OPENAI"
    (request,) = vendor.received
    assert (request.method, request.path) == ("POST", "/v1/images/edits")
    assert request.headers["authorization"] == f"Bearer {OPENAI_KEY}"
    form = await request.form()
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    assert len(files) == 1
    assert_clean(await files[0].read())
    await form.close()


async def test_gemini_gets_the_photo_clean_at_its_default_shape(server: Server, vendor: WireServer) -> None:
    """One call with the reference inline, 16:9 in 4K when nothing else is asked for."""
    vendor.answer = gemini.candidate(gemini.inline())
    portrait, _ = await made(server, provider="GEMINI")
    assert portrait["recipe"]["costMicroUsd"] is not None
    (request,) = vendor.received
    assert request.headers["x-goog-api-key"] == GEMINI_KEY
    config = request.json["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "4K"}
    inline = [part["inlineData"] for part in request.json["contents"][0]["parts"] if "inlineData" in part]
    assert len(inline) == 1
    assert_clean(base64.urlsafe_b64decode(inline[0]["data"]))


async def test_a_refusal_ends_as_one_and_no_secret_is_written(
    server: Server, vendor: WireServer, tmp_path: Path
) -> None:
    """A policy refusal is REFUSED after one call; neither keys, tokens nor signed addresses are in the log or the database."""
    vendor.answer = openai.error(400, "moderation_blocked", message="Your request was rejected by the safety system")
    id = (await server.send(IDENTITY))["viewer"]["identities"][0]["id"]
    generation = await server.generate(identityId=id, provider="OPENAI")
    events = [event async for event in server.follow(generation)]
    assert events[-1]["state"] == "REFUSED"
    ended = (await server.send(GENERATION, id=generation))["generation"]
    assert [failure["code"] for failure in ended["failures"]] == ["REFUSED_INPUT"]
    assert len(ended["attempts"]) == len(vendor.received) == 1
    log = server.log.read_text()
    written = log + "".join(path.read_bytes().decode("latin-1") for path in (tmp_path / "data").glob("atelier.db*"))
    for secret in (OPENAI_KEY, GEMINI_KEY, "signature="):
        assert secret not in written
    # The vendor's words are kept for admins, and are in no log.
    assert "safety system" not in log
    # The token that start-up prints for the person at the terminal is the only one there.
    lines = [line for line in log.splitlines() if line.startswith("{")]
    assert lines
    assert not any(server.token in line for line in lines)
    assert all(json.loads(line)["event"] for line in lines)


async def test_a_reference_that_is_gone_stops_before_the_call(
    server: Server, vendor: WireServer, tmp_path: Path
) -> None:
    """With the file removed behind the server's back, nothing is asked of the vendor."""
    vendor.answer = Answer()
    id = (await server.send(IDENTITY))["viewer"]["identities"][0]["id"]
    for path in (tmp_path / "data" / "objects").rglob("images/*"):
        path.unlink()
    answer = await server.send(
        "mutation($input: GenerateImageInput!) { generateImage(input: $input) { __typename ... on UserError { message } } }",
        input={"identityId": id, "provider": "OPENAI"},
    )
    assert answer["generateImage"]["__typename"] == "InvalidInputError"
    assert answer["generateImage"]["message"] == "Reference image 0 can't be read. Upload it again."
    assert vendor.received == []
