"""What a server may send that is made to hurt: every adapter breaks it off, and tells one failure in words.

Answers that never end prove that they are given up before anybody parses them.
"""

from contextlib import suppress

import pytest

from domain.errors import ProviderUnusable
from domain.failures import MESSAGES, FailureCode
from domain.providers import PictureArrived, PictureFailed, ProviderKind
from providers.catalogue import MAX_OFFERED
from providers.connections import MAX_ERROR_BYTES, MAX_LIST_BYTES, MAX_MARKS
from providers.ollama import MAX_LINES
from providers.remotes import WRONG_ADDRESS
from tests.wire.cases import Dialect
from tests.wire.dialects import DIALECTS
from tests.wire.pictures import BLUE, asked, b64
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer

EVERY_KIND = pytest.mark.parametrize(("kind", "dialect"), DIALECTS.items(), ids=list(DIALECTS))
LISTING = {
    kind: dialect for kind, dialect in DIALECTS.items() if kind in {ProviderKind.OPENAI_COMPATIBLE, ProviderKind.OLLAMA}
}
"""Those whose servers people name."""
PATIENCE_S = 120
"""Answers are given up for what they are, long before this."""


async def failed(dialect: Dialect, server: WireServer) -> PictureFailed:
    """The one thing said to a request for a picture, a failure."""
    provider = dialect.connected(server.url, PATIENCE_S)
    (only,) = await ask(provider, asked(dialect.model))
    await provider.aclose()
    assert isinstance(only, PictureFailed)
    return only


async def unusable(dialect: Dialect, server: WireServer) -> str:
    """Why a check fails, in words."""
    provider = dialect.connected(server.url, PATIENCE_S)
    with pytest.raises(ProviderUnusable) as refused:
        await provider.check()
    await provider.aclose()
    return refused.value.message


@EVERY_KIND
async def test_an_answer_of_too_many_values_is_no_picture(
    server: WireServer, kind: ProviderKind, dialect: Dialect
) -> None:
    """It isn't read to its end; it may have been paid, where anything is."""
    server.answer = Answer(200, [b"[" + b"1," * MAX_MARKS], ending=Ending.HANG)
    told = (await failed(dialect, server)).failure
    assert (told.code, told.is_charged) == (FailureCode.BAD_RESPONSE, dialect.is_paid)


@EVERY_KIND
async def test_an_error_that_never_ends_is_told_by_its_status(
    server: WireServer, kind: ProviderKind, dialect: Dialect
) -> None:
    """Its beginning is enough, and nothing was paid; so it is for a check."""
    server.answer = Answer(429, [b"[1," * MAX_ERROR_BYTES], ending=Ending.HANG)
    told = (await failed(dialect, server)).failure
    assert (told.code, told.is_charged) == (FailureCode.RATE_LIMITED, False)
    assert await unusable(dialect, server) == MESSAGES[FailureCode.RATE_LIMITED]


@EVERY_KIND
async def test_a_list_that_never_ends_is_no_list(server: WireServer, kind: ProviderKind, dialect: Dialect) -> None:
    """A check breaks it off, and says so."""
    server.answer = Answer(200, [b" " * (MAX_LIST_BYTES + 1)], ending=Ending.HANG)
    assert await unusable(dialect, server) == WRONG_ADDRESS


@EVERY_KIND
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 15_000,
        b"\xff\xfe[\x00",
        b'{"\\ud800": "\\ud800"}',
        b'{"data": {"url": 1}, "error": {"code": NaN, "message": [1e999]}}',
        b'{"error": {"message": "\\ud800", "code": "\\udfff", "type": {}, "details": [[]], "metadata": 1}}',
        b'{"data": "x", "models": "x", "choices": "x", "candidates": "x", "predictions": "x", "image": 1}',
        b'{"data": [[]], "models": [[]], "choices": [[]], "candidates": [[]], "predictions": [[]]}',
    ],
)
async def test_whatever_it_sends_is_an_answer_in_words(
    server: WireServer, kind: ProviderKind, dialect: Dialect, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing escapes, from a call or from a check, and nothing is taken for a fault of ours."""
    server.answer = Answer(status, [body], {"content-type": "application/json; charset=punycode"})
    assert (await failed(dialect, server)).failure.code is not FailureCode.INTERNAL
    provider = dialect.connected(server.url, PATIENCE_S)
    with suppress(ProviderUnusable):
        assert not await provider.check()
    await provider.aclose()
    assert "unexpected" not in caplog.text


@pytest.mark.parametrize(("kind", "dialect"), LISTING.items(), ids=list(LISTING))
async def test_no_more_is_offered_than_anybody_reads(server: WireServer, kind: ProviderKind, dialect: Dialect) -> None:
    """The first few hundred, once each, and of names those alone that can be asked for."""
    ids = ["a" * 128, "b" * 129, *(f"m{number}" for number in range(MAX_OFFERED)), "m0"]
    entries = [{"id": id, "name": id, "capabilities": ["image"]} for id in ids]
    server.answer = json_answer({"data": entries, "models": entries})
    provider = dialect.connected(server.url, PATIENCE_S)
    offered = [model.id for model in await provider.check()]
    await provider.aclose()
    assert offered == ["a" * 128, *(f"m{number}" for number in range(MAX_OFFERED - 1))]


async def test_a_picture_among_too_many_values_is_not_looked_for(server: WireServer) -> None:
    """The answer that would do if it were read is refused: what it takes to read it nobody pays but us."""
    dialect = DIALECTS[ProviderKind.OPENAI_COMPATIBLE]
    body = {"data": [{"b64_json": b64(BLUE)}], "more": [0] * MAX_MARKS}
    server.answer = json_answer(body)
    assert (await failed(dialect, server)).failure.code is FailureCode.BAD_RESPONSE
    server.answer = json_answer(body | {"more": [0] * (MAX_MARKS - 100)})
    provider = dialect.connected(server.url, PATIENCE_S)
    (arrived,) = await ask(provider, asked(dialect.model))
    assert isinstance(arrived, PictureArrived)
    await provider.aclose()


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1e", "\u2028"])
async def test_steps_without_end_are_given_up(server: WireServer, end: str) -> None:
    """However the lines of Ollama's answer end: its steps are few."""
    server.answer = Answer(200, [f"0{end}".encode() * (MAX_LINES + 2)], ending=Ending.HANG)
    told = (await failed(DIALECTS[ProviderKind.OLLAMA], server)).failure
    assert (told.code, told.is_charged) == (FailureCode.BAD_RESPONSE, False)


@pytest.mark.parametrize("event", [b"data: {}\n\n", b": waiting\n\n", b"data: 1\r", b"\n"])
async def test_events_without_end_are_given_up(server: WireServer, event: bytes) -> None:
    """A stream that tells nothing isn't listened to for as long as the call may take."""
    server.answer = Answer(200, [event * (MAX_MARKS + 1)], {"content-type": "text/event-stream"}, Ending.HANG)
    dialect = DIALECTS[ProviderKind.OPENAI]
    provider = dialect.connected(server.url, PATIENCE_S)
    (only,) = await ask(provider, asked(provider.models[0].id))
    await provider.aclose()
    assert provider.models[0].streams_previews
    assert isinstance(only, PictureFailed)
    assert (only.failure.code, only.failure.is_charged) == (FailureCode.BAD_RESPONSE, True)
