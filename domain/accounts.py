"""Signing in, and finding out who a token speaks for."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4, uuid5

from domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from domain.names import MAX_NAME_CHARS
from domain.ports import Clock, PasswordHasher, TokenIssuer, TokenVerifier
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.tokens import TokenClaims
from domain.users import Community, Role, User, Viewer, checked_time_zone

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 1_000
REMEMBERED = timedelta(seconds=1)
"""How long a token's user is not asked for again: so late may a process notice what another one changed."""
MAX_REMEMBERED = 1_000
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_EXTERNAL_COMMUNITIES = UUID("6f0bd5a1-4c39-5f0e-9a43-8a1c60b9a6de")


class Accounts:
    """Users and their tokens."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        passwords: PasswordHasher,
        issuer: TokenIssuer,
        verifier: TokenVerifier,
        clock: Clock,
        token_ttl: timedelta,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._passwords = passwords
        self._issuer = issuer
        self._verifier = verifier
        self._clock = clock
        self._token_ttl = token_ttl
        self._seen: dict[str, tuple[datetime, Viewer]] = {}

    async def sign_in(self, email: str, password: str) -> tuple[str, datetime, User]:
        """A new token, when it expires, and whose it is. Raises Unauthenticated, alike for unknown users."""
        async with self._unit_of_work(read_only=True) as work:
            found = await work.users.credentials(_normal(email))
        user, hashed = found or (None, None)
        is_right = await self._passwords.verify(password[:MAX_PASSWORD_CHARS], hashed)
        if user is None or not is_right:
            raise Unauthenticated("The e-mail address or the password is wrong")
        return (*self.token_for(user), user)

    def token_for(self, user: User) -> tuple[str, datetime]:
        """A new token of the user's, and when it expires."""
        return self._issuer.issue(user.id, user.community_id, self._token_ttl)

    async def viewer(self, token: str) -> tuple[Viewer, TokenClaims]:
        """Who the token speaks for; an external issuer's user is made when first seen. Raises Unauthenticated."""
        claims = await self._verifier.verify(token)
        now = self._clock.now()
        seen_at, viewer = self._seen.get(token, (_BEGINNING, None))
        if viewer is None or now - seen_at >= REMEMBERED:
            user = await (self._external(claims) if claims.is_external else self._own(claims))
            if claims.issued_at < user.tokens_valid_after:
                raise Unauthenticated("The token was revoked")
            viewer = Viewer(user)
            if len(self._seen) >= MAX_REMEMBERED:
                self._seen.clear()
            self._seen[token] = (now, viewer)
        return viewer, claims

    async def refusals(self, held: Sequence[tuple[TokenClaims, UUID]]) -> list[str | None]:
        """Why each token that was valid no longer is, with the user it speaks for; None for those that still are."""
        now = self._clock.now()
        async with self._unit_of_work(read_only=True) as work:
            valid_after = await work.users.tokens_valid_after(list({user_id for _, user_id in held}))
        return [_refusal(claims, valid_after.get(user_id), now) for claims, user_id in held]

    async def revoke_tokens(self, user: User) -> None:
        """Make every token of the user's dead, also those that hold sockets open."""
        async with self._unit_of_work() as work:
            await work.users.revoke_tokens(user.id, self._clock.now())
            await work.commit()
        self._seen.clear()

    async def set_role(self, user_id: UUID, role: Role) -> None:
        """Let a user do more or less in their community. Who comes with an issuer's token has the role it says."""
        async with self._unit_of_work() as work:
            await work.users.set_role(user_id, role)
            await work.commit()
        self._seen.clear()

    async def accounts(self, viewer: Viewer) -> list[User]:
        """Whom the viewer can act for in the picker: an admin, also the community's test users."""
        if not viewer.is_admin:
            return [viewer.user]
        async with self._unit_of_work(read_only=True) as work:
            tests = await work.users.test_users(viewer.user.community_id)
        return [viewer.user, *(user for user in tests if user.id != viewer.id)]

    async def create(
        self,
        *,
        email: str,
        name: str,
        community: str,
        password: str | None,
        role: Role,
        is_test: bool = False,
        is_operator: bool = False,
    ) -> User:
        """A new user; the community is made when there is none of that name. Raises InvalidInput, Conflict."""
        email = _normal(email)
        if not _EMAIL.fullmatch(email) or len(email) > MAX_NAME_CHARS:
            raise InvalidInput("Give an e-mail address such as ada@example.org", "email")
        if password is not None and not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
            raise InvalidInput(f"A password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS:,} characters", "password")
        community = community.strip()
        if not 0 < len(community) <= MAX_NAME_CHARS:
            raise InvalidInput(f"The community's name must be 1 to {MAX_NAME_CHARS} characters", "community")
        hashed = None if password is None else await self._passwords.hash(password)
        async with self._unit_of_work() as work:
            home = await self._community(work, community)
            user = self._new(home.id, email, name.strip() or email.partition("@")[0], role, is_test=is_test)
            await work.users.add(replace(user, is_operator=is_operator), hashed)
            await work.commit()
        return user

    async def set_time_zone(self, viewer: Viewer, time_zone: str) -> Community:
        """Let the months of the viewer's community begin by another time zone. Raises Forbidden, InvalidInput.

        Its name is the operator's to give: by it new users find their community.
        """
        viewer.require_admin("it")
        async with self._unit_of_work() as work:
            before = await work.users.community(viewer.user.community_id, for_update=True)
            after = replace(before, time_zone=checked_time_zone(time_zone))
            await work.users.update_community(after)
            await work.commit()
        return after

    async def _community(self, work: UnitOfWork, name: str) -> Community:
        found = await work.users.community_named(name)
        if found is None:
            found = Community(uuid4(), name)
            await work.users.add_community(found)
        return found

    def _new(self, community_id: UUID, email: str, name: str, role: Role, *, is_test: bool = False) -> User:
        return User(
            id=uuid4(),
            community_id=community_id,
            email=email,
            name=name[:MAX_NAME_CHARS],
            role=role,
            is_test=is_test,
            created_at=self._clock.now(),
            tokens_valid_after=_BEGINNING,
        )

    async def _own(self, claims: TokenClaims) -> User:
        try:
            async with self._unit_of_work(read_only=True) as work:
                return await work.users.get(UUID(claims.subject))
        except (NotFound, ValueError):
            raise Unauthenticated("The token's user is gone") from None

    async def _external(self, claims: TokenClaims) -> User:
        community = Community(uuid5(_EXTERNAL_COMMUNITIES, claims.community), claims.community)
        role = Role.ADMIN if claims.is_admin else Role.MEMBER
        async with self._unit_of_work(read_only=True) as work:
            user = await work.users.by_external_id(community.id, claims.subject)
        if user is None:
            return await self._first_seen(claims, community, role)
        if user.role is not role:
            # The role is the issuer's to say, with every token anew.
            async with self._unit_of_work() as work:
                await work.users.set_role(user.id, role)
                await work.commit()
        return replace(user, role=role)

    async def _first_seen(self, claims: TokenClaims, community: Community, role: Role) -> User:
        email = _normal(claims.email or f"{claims.subject}@{claims.community}")
        user = self._new(community.id, email, claims.name or email.partition("@")[0], role)
        try:
            async with self._unit_of_work() as work:
                if not await work.users.communities([community.id]):
                    await work.users.add_community(community)
                await work.users.add_external(user, claims.subject)
                await work.commit()
        except Conflict:
            # Another request of the same newcomer was faster, or the address is another user's there.
            async with self._unit_of_work(read_only=True) as work:
                raced = await work.users.by_external_id(community.id, claims.subject)
            if raced is None:
                raise Unauthenticated("Another user of the community has the token's e-mail address") from None
            return raced
        return user


def _normal(email: str) -> str:
    return email.strip().lower()


def _refusal(claims: TokenClaims, valid_after: datetime | None, now: datetime) -> str | None:
    if claims.expires_at <= now:
        return "Token expired"
    return "Token revoked" if valid_after is None or claims.issued_at < valid_after else None
