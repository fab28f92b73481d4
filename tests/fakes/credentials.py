"""Passwords and tokens without cryptography: both can be read."""

from datetime import datetime, timedelta
from uuid import UUID

from domain.errors import Unauthenticated
from domain.ports import Clock
from domain.tokens import TokenClaims


class FakePasswords:
    """A hash is the password with a word before it; `verified` counts the work that was done."""

    def __init__(self) -> None:
        self.verified: list[str | None] = []

    async def hash(self, password: str) -> str:
        """The word and the password."""
        return f"hashed {password}"

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is in the hash."""
        self.verified.append(hashed)
        return hashed == f"hashed {password}"


class FakeTokens:
    """Issues tokens and knows the claims of each; other issuers' are added to `claims`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.claims: dict[str, TokenClaims] = {}

    def issue(self, user_id: UUID, community_id: UUID, ttl: timedelta) -> tuple[str, datetime]:
        """A numbered token."""
        token, now = f"token {len(self.claims) + 1}", self._clock.now()
        self.claims[token] = TokenClaims(
            subject=str(user_id),
            community=str(community_id),
            issued_at=now,
            expires_at=now + ttl,
            email=None,
            name=None,
            is_admin=False,
            is_external=False,
        )
        return token, now + ttl

    async def verify(self, token: str) -> TokenClaims:
        """The claims that were issued."""
        if token not in self.claims or self.claims[token].expires_at <= self._clock.now():
            raise Unauthenticated("The token is not valid")
        return self.claims[token]
