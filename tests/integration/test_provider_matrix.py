"""Every provider against every case that its vendor can answer with: the real SDKs over HTTP, one request each.

The environment is that of a machine on which every vendor's variables are set, and none of them may reach a vendor.
"""

import asyncio
from collections.abc import Callable

import pytest

from domain.errors import ProviderUnusable
from domain.failures import MESSAGES, FailureCode
from domain.providers import Access, PictureArrived, PictureFailed, PictureRequest, ProviderKind
from providers.outbound import Outbound
from providers.remotes import WRONG_ADDRESS
from tests.matrix import CELL
from tests.wire.cases import CASES, UNREADABLE, Dialect, Told
from tests.wire.dialects import DIALECTS
from tests.wire.environment import ENVIRONMENT
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked
from tests.wire.server import Answer, Ending, Received, WireServer, ask, text_answer

FORMS = [
    pytest.param(kind, case, told, id=f"{kind}-{case}-{number}")
    for case in CASES
    for kind, dialect in DIALECTS.items()
    for number, told in enumerate(dialect.cases().get(case, ()), start=1)
]
EVERY_KIND = pytest.mark.parametrize(("kind", "dialect"), DIALECTS.items(), ids=list(DIALECTS))

Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _full_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of every vendor."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def the_only_request(dialect: Dialect, server: WireServer) -> Received:
    """The one request that came, with this vendor's credential and nothing of another's, or of the environment."""
    (received,) = server.received
    credential = dialect.credential(dialect.key)
    assert credential in received.headers.items()
    assert [name for name, value in received.headers.items() if dialect.key in value] == [credential[0]]
    assert "leaked" not in repr(received).lower()
    assert received.headers["user-agent"] == "atelier"
    return received


@EVERY_KIND
async def test_a_prompt_becomes_a_picture(
    server: WireServer, record_property: Record, kind: ProviderKind, dialect: Dialect
) -> None:
    """One request, one picture."""
    record_property(CELL, f"{kind}: picture")
    server.answer = dialect.picture
    provider = dialect.connected(server.url)
    (arrived,) = await ask(provider, asked(dialect.model))
    assert isinstance(arrived, PictureArrived)
    assert arrived.data == BLUE
    assert b"A fox" in the_only_request(dialect, server).body
    await provider.aclose()


@EVERY_KIND
async def test_several_pictures_are_as_many_calls(
    server: WireServer, record_property: Record, kind: ProviderKind, dialect: Dialect
) -> None:
    """Each picture of a generation of three is asked for by a call of its own, just as a single one is."""
    record_property(CELL, f"{kind}: n > 1")
    server.answer = dialect.picture
    provider = dialect.connected(server.url)
    for request in (asked(dialect.model), *(asked(dialect.model, index=index, n=3) for index in range(3))):
        (arrived,) = await ask(provider, request)
        assert isinstance(arrived, PictureArrived)
    alone, *others = [received.body for received in server.received]
    assert others == [alone] * 3
    await provider.aclose()


@pytest.mark.parametrize(
    ("kind", "dialect"), [(kind, dialect) for kind, dialect in DIALECTS.items() if dialect.references]
)
async def test_references_go_along_in_order(
    server: WireServer, record_property: Record, kind: ProviderKind, dialect: Dialect
) -> None:
    """Both pictures arrive byte for byte, and the prompt says what they show."""
    record_property(CELL, f"{kind}: references")
    server.answer = dialect.picture
    provider = dialect.connected(server.url)
    plain = asked(dialect.model)
    (arrived,) = await ask(
        provider, PictureRequest(plain.model, plain.prompt, plain.options, references=(FACE, SETTING))
    )
    assert isinstance(arrived, PictureArrived)
    received = the_only_request(dialect, server)
    assert dialect.references
    assert await dialect.references(received) == [RED, GREEN]
    assert b"the face of the person to show" in received.body
    await provider.aclose()


@pytest.mark.parametrize(("kind", "case", "told"), FORMS)
async def test_whatever_else_is_answered_is_one_failure(
    server: WireServer, record_property: Record, kind: ProviderKind, case: str, told: Told
) -> None:
    """A refusal, an error, a broken 200 or a broken answer: one failure with its code, after exactly one request."""
    record_property(CELL, f"{kind}: {case}")
    dialect = DIALECTS[kind]
    server.answer = told.answer
    provider = dialect.connected(server.url)
    failed = (await ask(provider, asked(dialect.model)))[-1]
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (told.code, told.is_charged)
    # What may have been paid, and what was refused, is never asked again by itself.
    assert not (failed.failure.is_retryable and (failed.failure.is_charged or failed.failure.is_refusal))
    assert dialect.key not in repr(failed)
    the_only_request(dialect, server)
    await provider.aclose()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, MESSAGES[FailureCode.INVALID_REQUEST]),
        (401, MESSAGES[FailureCode.INVALID_KEY]),
        (200, WRONG_ADDRESS),
    ],
)
@pytest.mark.parametrize("text", UNREADABLE, ids=["nested", "digits"])
@EVERY_KIND
async def test_a_check_survives_what_it_can_not_read(
    server: WireServer,
    record_property: Record,
    kind: ProviderKind,
    dialect: Dialect,
    text: str,
    status: int,
    message: str,
) -> None:
    """The status says what is wrong; none of the answer is told."""
    record_property(CELL, f"{kind}: unreadable check")
    server.answer = text_answer(text, status, "application/json")
    provider = dialect.connected(server.url)
    with pytest.raises(ProviderUnusable) as caught:
        await provider.check()
    assert caught.value.message.startswith(message)
    await provider.aclose()


@EVERY_KIND
async def test_a_vendor_that_goes_silent_is_left(
    server: WireServer, record_property: Record, kind: ProviderKind, dialect: Dialect
) -> None:
    """At the deadline the call is a timeout that may have been charged, and its connection is closed."""
    record_property(CELL, f"{kind}: silence")
    server.answer = Answer(ending=Ending.HANG)
    provider = dialect.connected(server.url, timeout_s=1)
    (failed,) = await ask(provider, asked(dialect.model))
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (FailureCode.TIMEOUT, dialect.is_paid)
    the_only_request(dialect, server)
    await asyncio.wait_for(server.hung_up.wait(), 30)
    await provider.aclose()


@EVERY_KIND
async def test_nobody_there_is_free(
    server: WireServer, record_property: Record, kind: ProviderKind, dialect: Dialect
) -> None:
    """A refused connection can't have been charged, and is worth another try."""
    record_property(CELL, f"{kind}: nobody there")
    url = server.url
    await server.__aexit__()
    provider = dialect.connected(url)
    (failed,) = await ask(provider, asked(dialect.model))
    assert isinstance(failed, PictureFailed)
    told = failed.failure
    assert (told.code, told.is_charged, told.is_retryable) == (FailureCode.PROVIDER_UNAVAILABLE, False, True)
    await provider.aclose()


@EVERY_KIND
async def test_without_a_key_nobody_is_asked(server: WireServer, kind: ProviderKind, dialect: Dialect) -> None:
    """Not by a key of the environment either: the failure says in words what is missing."""
    provider = dialect.provider(Access(None, server.url + dialect.path, is_trusted=True), Outbound(), 5)
    if provider.needs_key:
        (failed,) = await ask(provider, asked(dialect.model))
        assert isinstance(failed, PictureFailed)
        assert (failed.failure.code, failed.failure.message) == (FailureCode.INVALID_KEY, provider.problem)
        assert server.received == []
    else:
        server.answer = dialect.picture
        (arrived,) = await ask(provider, asked(dialect.model))
        assert isinstance(arrived, PictureArrived)
        assert "authorization" not in server.received[0].headers
    await provider.aclose()
