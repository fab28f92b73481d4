"""Who may use the operators' page: users marked as operators, by their password, for some hours."""

import hashlib
import hmac
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette_admin.auth import AdminUser, AuthProvider
from starlette_admin.exceptions import LoginFailed

from app.settings import Settings, signing_key
from domain.accounts import Accounts
from domain.errors import NotFound, Unauthenticated
from domain.ports import Clock
from domain.repositories import UnitOfWorkFactory
from domain.users import Role, User, Viewer

COOKIE = "atelier_admin"
LIFETIME = timedelta(hours=8)
_WRONG = "The e-mail address or the password is wrong"

_log = logging.getLogger(__name__)


def derived_key(settings: Settings, purpose: str) -> str:
    """A key of its own for each purpose: what one signs, no other takes for its own."""
    return hmac.new(signing_key(settings), f"admin page: {purpose}".encode(), hashlib.sha256).hexdigest()


def sessions(settings: Settings, path: str) -> Middleware:
    """Signed cookies that only the page below `path` sees."""
    return Middleware(
        SessionMiddleware,
        secret_key=derived_key(settings, "session"),
        session_cookie=COOKIE,
        max_age=int(LIFETIME.total_seconds()),
        path=path,
        same_site="strict",
        https_only=settings.public_url.startswith("https:"),
    )


@dataclass
class Operator(AdminUser):
    """Whom the page shows as signed in, and who they are to the rules."""

    user: User | None = None


def signed_in(request: Request) -> User:
    """The operator who asks."""
    user: User = request.state.admin_user.user
    return user


def acting_in(request: Request, community_id: UUID) -> Viewer:
    """The operator as an admin of the community: what services let admins do, operators may do everywhere."""
    return Viewer(replace(signed_in(request), community_id=community_id, role=Role.ADMIN))


class OperatorSignIn(AuthProvider):
    """Signing in by password; who asks is looked up anew with every request."""

    def __init__(self, accounts: Accounts, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        super().__init__()
        self._accounts = accounts
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def login(self, username: str, password: str, remember_me: bool, request: Request) -> None:
        """Begin a session. Raises LoginFailed, alike for wrong passwords and for who is no operator."""
        if not username.isprintable():  # PostgreSQL refuses to be asked about some of these
            raise LoginFailed(_WRONG)
        try:
            _, _, user = await self._accounts.sign_in(username, password)
        except Unauthenticated:
            raise LoginFailed(_WRONG) from None
        if not user.is_operator:
            raise LoginFailed(_WRONG)
        request.session.clear()
        request.session.update(user=str(user.id), since=self._clock.now().timestamp())
        _log.info("operator signed in", extra={"user_id": str(user.id)})

    async def logout(self, request: Request) -> None:
        """End the session."""
        request.session.clear()

    async def authenticate(self, request: Request) -> AdminUser | None:
        """The session's operator, unless they no longer are one or their tokens were revoked since."""
        user = await self._user(request.session)
        if user is None:
            return None
        request.state.user_id = str(user.id)
        return Operator(username=user.name, user=user)

    async def _user(self, session: dict[str, Any]) -> User | None:
        if "user" not in session:
            return None
        since = datetime.fromtimestamp(session["since"], UTC)
        if self._clock.now() - since >= LIFETIME:
            return None
        try:
            async with self._unit_of_work(read_only=True) as work:
                user = await work.users.get(UUID(session["user"]))
        except NotFound:
            return None
        return user if user.is_operator and since >= user.tokens_valid_after else None
