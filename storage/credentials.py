"""Passwords and bearer tokens: Argon2, our own HS256 tokens, and those of an external issuer checked by its JWKS.

argon2 and jwt are imported where they are first used: together they are as slow to import as the web framework.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from anyio import CapacityLimiter, to_thread

from domain.errors import Unauthenticated
from domain.ports import Clock, TokenVerifier
from domain.tokens import TokenClaims

if TYPE_CHECKING:
    import argon2
    import jwt

ISSUER = "atelier"
_OWN_ALGORITHM = "HS256"
_EXTERNAL_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_LEEWAY = timedelta(seconds=30)
"""How far another machine's clock may be from this one's."""
_REMEMBERED_TOKENS = 1_000
_TIMES_ARE_OURS = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
"""PyJWT would compare with the machine's clock; `_claims_in_time` compares with ours."""


class Argon2Hasher:
    """Argon2id, `max_parallel` at once: each hash takes `memory_kib` (64 MiB) for as long as it is computed."""

    def __init__(self, *, max_parallel: int = 2, memory_kib: int = 65_536, time_cost: int = 3) -> None:
        self._limiter = CapacityLimiter(max_parallel)
        self._memory_kib = memory_kib
        self._time_cost = time_cost

    async def hash(self, password: str) -> str:
        """An encoded hash with its own salt."""
        return await to_thread.run_sync(lambda: self._argon2().hash(password), limiter=self._limiter)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is right; without a hash, the same work for nothing."""
        return await to_thread.run_sync(self._verify, password, hashed, limiter=self._limiter)

    def _verify(self, password: str, hashed: str | None) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            self._argon2().verify(hashed or self._nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    def _nobody(self) -> str:
        """A well-formed hash of no known password."""
        salt, digest = "A" * 22, "A" * 43
        return f"$argon2id$v=19$m={self._memory_kib},t={self._time_cost},p=4${salt}${digest}"

    def _argon2(self) -> "argon2.PasswordHasher":
        import argon2

        return argon2.PasswordHasher(time_cost=self._time_cost, memory_cost=self._memory_kib, parallelism=4)


class OwnTokens:
    """Tokens that this server issues and understands. `secret` has at least 32 bytes."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        # What is kept is only what never changes about a token; whether it is still in time is looked at every time.
        self._decoded = lru_cache(_REMEMBERED_TOKENS)(
            lambda token: _decode(token, secret, [_OWN_ALGORITHM], issuer=ISSUER)
        )

    def issue(self, user_id: UUID, community_id: UUID, ttl: timedelta) -> tuple[str, datetime]:
        """A token and when it expires. `iat` keeps fractions of a second, so that revoking is exact."""
        import jwt

        now = self._clock.now()
        expires_at = now + ttl
        claims = {
            "iss": ISSUER,
            "sub": str(user_id),
            "cid": str(community_id),
            "iat": now.timestamp(),
            "exp": expires_at.timestamp(),
            "jti": str(uuid4()),
        }
        return jwt.encode(claims, self._secret, _OWN_ALGORITHM), expires_at

    async def verify(self, token: str) -> TokenClaims:
        """The claims of one of our tokens. Who is an admin is for the database to say."""
        return _claims_in_time(self._decoded(token), self._clock.now())


@dataclass(frozen=True, slots=True)
class ExternalIssuer:
    """An identity provider that we trust, and what it calls things in its tokens."""

    jwks_url: str
    issuer: str
    audience: str
    community_claim: str = "cid"
    role_claim: str = "role"
    admin_role: str = "ADMIN"


class ExternalTokens:
    """Tokens of an external issuer. Keys are fetched when first needed, kept, and fetched anew for an unknown key id.

    `refetch_after_s` keeps invented key ids from hammering the issuer.
    """

    def __init__(
        self, issuer: ExternalIssuer, clock: Clock, *, refetch_after_s: float = 30, timeout_s: float = 5
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._refetch_after_s = refetch_after_s
        self._timeout_s = timeout_s
        self._limiter = CapacityLimiter(4)
        self._keys: jwt.PyJWKClient | None = None

    async def verify(self, token: str) -> TokenClaims:
        """The claims of one of the issuer's tokens."""
        claims = await to_thread.run_sync(self._decode, token, limiter=self._limiter)
        role = claims.get(self._issuer.role_claim)
        roles = role if isinstance(role, list) else [role]
        return _claims_in_time(
            {**claims, "cid": claims.get(self._issuer.community_claim)},
            self._clock.now(),
            is_admin=self._issuer.admin_role in roles,
            is_external=True,
        )

    def _decode(self, token: str) -> Mapping[str, Any]:
        key = self._key(token)
        return _decode(token, key, _EXTERNAL_ALGORITHMS, issuer=self._issuer.issuer, audience=self._issuer.audience)

    def _key(self, token: str) -> "jwt.PyJWK":
        import jwt

        if self._keys is None:
            self._keys = jwt.PyJWKClient(
                self._issuer.jwks_url, timeout=self._timeout_s, cooldown_duration=self._refetch_after_s
            )
        try:
            return self._keys.get_signing_key_from_jwt(token)
        except jwt.DecodeError:
            raise Unauthenticated("The token is not a valid token.") from None
        except (jwt.PyJWKClientConnectionError, OSError) as error:
            raise Unauthenticated("The token can't be checked: its issuer's keys can't be fetched.") from error
        # A key set that is no JSON is a ValueError.
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthenticated("The token is signed with a key that its issuer does not publish.") from error


class AnyTokens:
    """Our own tokens and an external issuer's side by side. Each side takes only its own algorithms."""

    def __init__(self, own: TokenVerifier, external: TokenVerifier) -> None:
        self._own = own
        self._external = external

    async def verify(self, token: str) -> TokenClaims:
        """The claims of a token of either side."""
        import jwt

        try:
            is_own = jwt.get_unverified_header(token).get("alg") == _OWN_ALGORITHM
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not a valid token.") from None
        return await (self._own if is_own else self._external).verify(token)


def _decode(
    token: str, key: "bytes | jwt.PyJWK", algorithms: Sequence[str], *, issuer: str, audience: str | None = None
) -> Mapping[str, Any]:
    """The claims, with everything proven but the times."""
    import jwt

    options: Any = {**_TIMES_ARE_OURS, "require": ["exp", "iat", "sub"]}
    try:
        return jwt.decode(token, key, algorithms=algorithms, issuer=issuer, audience=audience, options=options)
    except jwt.InvalidIssuerError:
        raise Unauthenticated("The token is from another issuer.") from None
    except jwt.InvalidAudienceError:
        raise Unauthenticated("The token is meant for another application.") from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthenticated(f"The token lacks the claim {error.claim!r}.") from None
    except jwt.PyJWTError:
        raise Unauthenticated("The token is not a valid token.") from None


def _claims_in_time(
    claims: Mapping[str, Any], now: datetime, *, is_admin: bool = False, is_external: bool = False
) -> TokenClaims:
    issued_at, expires_at = _time(claims["iat"]), _time(claims["exp"])
    if now - (_LEEWAY if is_external else timedelta(0)) >= expires_at:
        raise Unauthenticated("The token has expired. Sign in again.")
    # Our own processes' clocks differ a little too.
    if now + _LEEWAY < max(issued_at, _time(claims.get("nbf", claims["iat"]))):
        raise Unauthenticated("The token is not valid yet.")
    community = _text(claims.get("cid"))
    if community is None:
        raise Unauthenticated("The token names no community.")
    return TokenClaims(
        subject=claims["sub"],
        community=community,
        issued_at=issued_at,
        expires_at=expires_at,
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        is_admin=is_admin,
        is_external=is_external,
    )


def _time(value: object) -> datetime:
    """A numeric date. PyJWT leaves it unread when it doesn't compare it."""
    try:
        return datetime.fromtimestamp(float(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        raise Unauthenticated("The token is not a valid token.") from None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
