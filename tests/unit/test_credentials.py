"""Passwords and our own tokens."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from time import perf_counter
from uuid import UUID

import jwt
import pytest

from domain.errors import Unauthenticated
from domain.tokens import TokenClaims
from storage.credentials import Argon2Hasher, OwnTokens
from tests.fakes.clock import FakeClock

SECRET = b"0123456789abcdef0123456789abcdef"
USER = UUID("11111111-1111-4111-8111-111111111111")
COMMUNITY = UUID("22222222-2222-4222-8222-222222222222")
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    """A little after noon."""
    return FakeClock(NOON)


@pytest.fixture
def tokens(clock: FakeClock) -> OwnTokens:
    """Our own."""
    return OwnTokens(SECRET, clock)


def signed(claims: dict[str, object], secret: bytes = SECRET, algorithm: str = "HS256") -> str:
    """A token with any claims at all, on top of good ones."""
    good = {"iss": "atelier", "sub": "u", "cid": "c", "iat": NOON.timestamp(), "exp": NOON.timestamp() + 60}
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(payload, secret, algorithm)


def unsigned() -> str:
    """A token that says it needs no signature."""

    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": "atelier", "sub": "u", "cid": "c", "iat": NOON.timestamp(), "exp": NOON.timestamp() + 60}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


async def refused(tokens: OwnTokens, token: str) -> str:
    """What the holder of a bad token reads."""
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(token)
    return caught.value.message


async def test_a_password_is_right_or_wrong() -> None:
    """The right one passes, any other doesn't, and two hashes of one password differ."""
    hasher = Argon2Hasher(memory_kib=64, time_cost=1)
    one, two = await hasher.hash("correct horse"), await hasher.hash("correct horse")
    assert one.startswith("$argon2id$")
    assert one != two
    assert await hasher.verify("correct horse", one) is True
    assert await hasher.verify("correct horse", two) is True
    assert await hasher.verify("Correct horse", one) is False
    assert await hasher.verify("correct horse", "not a hash") is False


async def test_hashes_take_64_mebibytes_by_default() -> None:
    """The parameters are RFC 9106's second recommendation."""
    assert (await Argon2Hasher().hash("x")).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    """Time doesn't tell who has an account."""
    hasher = Argon2Hasher(memory_kib=16_384, time_cost=3)
    hashed = await hasher.hash("right")

    async def fastest_s(known: str | None) -> float:
        times = []
        for _ in range(5):
            start = perf_counter()
            assert await hasher.verify("wrong", known) is False
            times.append(perf_counter() - start)
        return min(times)

    assert 0.6 < await fastest_s(None) / await fastest_s(hashed) < 1.7


async def test_no_password_opens_the_unknown_user() -> None:
    """Without a hash nothing is right, not even an empty password."""
    assert await Argon2Hasher(memory_kib=64, time_cost=1).verify("", None) is False


async def test_few_hashes_are_computed_at_once() -> None:
    """Ten sign-ins take turns, two at a time, and the loop goes on."""
    hasher = Argon2Hasher(memory_kib=16_384, time_cost=3)
    work = asyncio.gather(*(hasher.hash("x") for _ in range(10)))
    turns = most = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
        most = max(most, hasher._limiter.borrowed_tokens)
    assert len(set(await work)) == 10
    assert most == 2
    assert turns > 10


async def test_an_issued_token_says_who_its_holder_is(tokens: OwnTokens) -> None:
    """All claims come back, the time of issue to the microsecond."""
    token, expires_at = tokens.issue(USER, COMMUNITY, timedelta(hours=1))
    assert expires_at == NOON + timedelta(hours=1)
    assert await tokens.verify(token) == TokenClaims(
        subject=str(USER),
        community=str(COMMUNITY),
        issued_at=NOON,
        expires_at=expires_at,
        email=None,
        name=None,
        is_admin=False,
        is_external=False,
    )


async def test_two_tokens_of_one_moment_differ(tokens: OwnTokens) -> None:
    """Each has an id of its own."""
    one, two = (tokens.issue(USER, COMMUNITY, timedelta(hours=1))[0] for _ in range(2))
    assert one != two


async def test_a_token_ends_at_its_expiry(tokens: OwnTokens, clock: FakeClock) -> None:
    """It is good until the last moment, and then says that it has expired."""
    token, expires_at = tokens.issue(USER, COMMUNITY, timedelta(hours=1))
    clock.time = expires_at - timedelta(microseconds=1)
    assert (await tokens.verify(token)).subject == str(USER)
    clock.time = expires_at
    assert await refused(tokens, token) == "The token has expired. Sign in again."


async def test_clocks_may_differ_a_little(tokens: OwnTokens, clock: FakeClock) -> None:
    """A token from a process that is half a minute ahead is taken, one from further ahead is not."""
    token, _ = tokens.issue(USER, COMMUNITY, timedelta(hours=1))
    clock.advance(-30)
    assert (await tokens.verify(token)).subject == str(USER)
    clock.advance(-0.001)
    assert await refused(tokens, token) == "The token is not valid yet."


@pytest.mark.parametrize("token", ["", "a.b.c", "nonsense", "ü.ü.ü", "." * 10_000])
async def test_nonsense_is_no_token(tokens: OwnTokens, token: str) -> None:
    """Whatever comes in the header, the answer is a sentence."""
    assert await refused(tokens, token) == "The token is not a valid token."


async def test_only_our_signature_counts(tokens: OwnTokens) -> None:
    """Another secret, another algorithm, no signature at all, or changed claims."""
    head, _, tail = signed({}).split(".")
    for token in (
        signed({}, secret=b"another secret with 32 bytes too"),
        signed({}, secret=SECRET * 2, algorithm="HS512"),
        unsigned(),
        f"{head}.{signed({'sub': 'admin'}).split('.')[1]}.{tail}",
    ):
        assert await refused(tokens, token) == "The token is not a valid token."
    assert (await tokens.verify(signed({}))).subject == "u"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "elsewhere"}, "The token is from another issuer."),
        ({"iss": None}, "The token lacks the claim 'iss'."),
        ({"exp": None}, "The token lacks the claim 'exp'."),
        ({"iat": None}, "The token lacks the claim 'iat'."),
        ({"sub": None}, "The token lacks the claim 'sub'."),
        ({"cid": None}, "The token names no community."),
        ({"cid": 7}, "The token names no community."),
        ({"exp": "soon"}, "The token is not a valid token."),
        ({"exp": 1e300}, "The token is not a valid token."),
        ({"nbf": NOON.timestamp() + 60}, "The token is not valid yet."),
        ({"aud": "another application"}, "The token is meant for another application."),
    ],
)
async def test_claims_must_be_whole(tokens: OwnTokens, claims: dict[str, object], words: str) -> None:
    """A well signed token with a missing or strange claim is refused in words."""
    assert await refused(tokens, signed(claims)) == words
