"""Tokens of an external identity provider, checked with the keys it publishes over HTTP."""

import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from domain.errors import Unauthenticated
from domain.tokens import TokenClaims
from storage.credentials import AnyTokens, ExternalIssuer, ExternalTokens, OwnTokens
from tests.fakes.clock import FakeClock
from tests.s3_server import free_port

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def published(key_id: str, key: dict[str, Any], algorithm: str) -> dict[str, Any]:
    """A key as a JWKS lists it."""
    return {**key, "kid": key_id, "alg": algorithm, "use": "sig"}


RSA_KEY = published("rsa", RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "RS256")
EC_KEY = published("ec", ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "ES256")
ED_KEY = published("ed", OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "EdDSA")


@dataclass
class Provider:
    """An identity provider: what it publishes, and how often it was asked."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [RSA_KEY, EC_KEY, ED_KEY])
    body: bytes | None = None
    asked: int = 0


@pytest.fixture
def provider() -> Iterator[Provider]:
    """One that runs on this machine."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(provider.body or json.dumps({"keys": provider.keys}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
    yield provider
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clock() -> FakeClock:
    """Noon."""
    return FakeClock(NOON)


@pytest.fixture
def issuer(provider: Provider) -> ExternalIssuer:
    """How the provider is trusted."""
    return ExternalIssuer(provider.url, "https://id.test/", "atelier-web")


@pytest.fixture
def tokens(issuer: ExternalIssuer, clock: FakeClock) -> ExternalTokens:
    """The verifier; unknown keys are asked for at once."""
    return ExternalTokens(issuer, clock, refetch_after_s=0)


def signed(key: Any = RSA, key_id: str | None = "rsa", algorithm: str = "RS256", **claims: object) -> str:
    """A token of the provider, good but for what is given."""
    good = {
        "iss": "https://id.test/",
        "aud": "atelier-web",
        "sub": "auth0|7",
        "cid": "studio",
        "iat": NOON.timestamp(),
        "exp": NOON.timestamp() + 600,
    }
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers={"kid": key_id} if key_id else None)


async def refused(tokens: ExternalTokens | AnyTokens, token: str) -> str:
    """What the holder of a bad token reads."""
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(token)
    return caught.value.message


async def test_a_good_token_says_who_its_holder_is(tokens: ExternalTokens) -> None:
    """Subject, community, times, mail and name come from the claims."""
    token = signed(email="ada@example.test", name="Ada", role="ADMIN")
    assert await tokens.verify(token) == TokenClaims(
        subject="auth0|7",
        community="studio",
        issued_at=NOON,
        expires_at=datetime(2026, 11, 20, 12, 10, tzinfo=UTC),
        email="ada@example.test",
        name="Ada",
        is_admin=True,
        is_external=True,
    )


@pytest.mark.parametrize(
    ("key", "key_id", "algorithm"), [(RSA, "rsa", "RS256"), (EC, "ec", "ES256"), (ED, "ed", "EdDSA")]
)
async def test_three_kinds_of_keys_are_taken(tokens: ExternalTokens, key: Any, key_id: str, algorithm: str) -> None:
    """RSA, elliptic curve and Edwards curve."""
    assert (await tokens.verify(signed(key, key_id, algorithm))).subject == "auth0|7"


@pytest.mark.parametrize(
    ("role", "is_admin"),
    [("ADMIN", True), (["user", "ADMIN"], True), ("user", False), ("ADMINISTRATOR", False), (None, False)],
)
async def test_only_the_role_makes_an_admin(tokens: ExternalTokens, role: object, is_admin: bool) -> None:
    """As one value or in a list, and only whole."""
    assert (await tokens.verify(signed(role=role))).is_admin is is_admin


async def test_claims_may_have_other_names(issuer: ExternalIssuer, clock: FakeClock) -> None:
    """Community and role are read where this provider keeps them."""
    named = replace(issuer, community_claim="org_id", role_claim="https://id.test/roles", admin_role="owner")
    roles: dict[str, Any] = {"https://id.test/roles": ["owner"]}
    token = signed(cid=None, org_id="studio", **roles)
    claims = await ExternalTokens(named, clock).verify(token)
    assert (claims.community, claims.is_admin) == ("studio", True)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.test/"}, "The token is from another issuer."),
        ({"aud": "another-app"}, "The token is meant for another application."),
        ({"aud": None}, "The token lacks the claim 'aud'."),
        ({"exp": NOON.timestamp() - 31}, "The token has expired. Sign in again."),
        ({"iat": NOON.timestamp() + 31}, "The token is not valid yet."),
        ({"cid": None}, "The token names no community."),
        ({"sub": None}, "The token lacks the claim 'sub'."),
    ],
)
async def test_claims_must_be_meant_for_us(tokens: ExternalTokens, claims: dict[str, Any], words: str) -> None:
    """A well signed token for someone or some time else is refused in words."""
    assert await refused(tokens, signed(**claims)) == words


async def test_a_signature_needs_the_published_key(tokens: ExternalTokens) -> None:
    """Another key under a known id, and a key that nobody published."""
    assert await refused(tokens, signed(OTHER)) == "The token is not a valid token."
    unknown = "The token is signed with a key that its issuer does not publish."
    assert await refused(tokens, signed(OTHER, "mine")) == unknown
    assert await refused(tokens, signed(OTHER, None)) == unknown


async def test_the_public_key_is_no_shared_secret(tokens: ExternalTokens) -> None:
    """An HS256 token made from the published key, which anybody can make, is refused; so is one without signature."""
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = _part({"alg": "HS256", "typ": "JWT", "kid": "rsa"})
    body = signed().split(".")[1]
    forged = jwt.utils.base64url_encode(_hmac(pem, f"{head}.{body}")).decode()
    assert await refused(tokens, f"{head}.{body}.{forged}") == "The token is not a valid token."
    none = _part({"alg": "none", "typ": "JWT", "kid": "rsa"})
    assert await refused(tokens, f"{none}.{body}.") == "The token is not a valid token."


async def test_other_algorithms_of_a_known_key_are_refused(tokens: ExternalTokens) -> None:
    """The key says RS256, so RS512 is not taken."""
    assert await refused(tokens, signed(algorithm="RS512")) == "The token is not a valid token."


async def test_a_shared_secret_in_the_key_set_is_not_used(tokens: ExternalTokens, provider: Provider) -> None:
    """Even a provider that publishes an HS256 secret doesn't get such tokens through."""
    secret = b"0123456789abcdef0123456789abcdef"
    encoded = jwt.utils.base64url_encode(secret).decode()
    provider.keys = [{"kty": "oct", "k": encoded, "kid": "oct", "alg": "HS256", "use": "sig"}, RSA_KEY]
    assert await refused(tokens, signed(secret, "oct", "HS256")) == "The token is not a valid token."


async def test_keys_are_fetched_once(tokens: ExternalTokens, provider: Provider) -> None:
    """Many tokens, one request."""
    for _ in range(5):
        await tokens.verify(signed())
    assert provider.asked == 1


async def test_a_rotated_key_is_found(tokens: ExternalTokens, provider: Provider) -> None:
    """A new key id makes the keys be fetched anew, and the old key is good no longer."""
    await tokens.verify(signed())
    provider.keys = [published("new", RSAAlgorithm.to_jwk(OTHER.public_key(), as_dict=True), "RS256")]
    assert (await tokens.verify(signed(OTHER, "new"))).subject == "auth0|7"
    assert provider.asked == 2
    assert "does not publish" in await refused(tokens, signed())


async def test_invented_key_ids_do_not_hammer_the_provider(
    issuer: ExternalIssuer, clock: FakeClock, provider: Provider
) -> None:
    """Within the waiting time unknown ids are refused without asking."""
    tokens = ExternalTokens(issuer, clock)
    for number in range(5):
        assert "does not publish" in await refused(tokens, signed(OTHER, f"mine-{number}"))
    assert provider.asked == 1


async def test_an_absent_provider_is_said_to_be_absent(issuer: ExternalIssuer, clock: FakeClock) -> None:
    """Nobody can be let in, and the words don't blame the token."""
    nowhere = replace(issuer, jwks_url=f"http://127.0.0.1:{free_port()}/jwks.json")
    words = await refused(ExternalTokens(nowhere, clock), signed())
    assert words == "The token can't be checked: its issuer's keys can't be fetched."


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"keys": []}'])
async def test_a_page_instead_of_keys_lets_nobody_in(tokens: ExternalTokens, provider: Provider, body: bytes) -> None:
    """Whatever the provider answers, the error is ours."""
    provider.body = body
    assert "does not publish" in await refused(tokens, signed())


@pytest.mark.parametrize("token", ["", "a.b.c", "nonsense"])
async def test_nonsense_is_no_token(tokens: ExternalTokens, provider: Provider, token: str) -> None:
    """The provider isn't even asked."""
    assert await refused(tokens, token) == "The token is not a valid token."
    assert provider.asked == 0


async def test_both_kinds_of_tokens_live_side_by_side(tokens: ExternalTokens, clock: FakeClock) -> None:
    """Our own and the provider's are told apart by their algorithm."""
    own = OwnTokens(b"0123456789abcdef0123456789abcdef", clock)
    both = AnyTokens(own, tokens)
    ours, _ = own.issue(uuid4(), uuid4(), timedelta(hours=1))
    assert (await both.verify(ours)).is_external is False
    assert (await both.verify(signed())).is_external is True
    assert await refused(both, "nonsense") == "The token is not a valid token."


def _part(value: dict[str, object]) -> str:
    return jwt.utils.base64url_encode(json.dumps(value).encode()).decode()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
