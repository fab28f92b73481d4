"""Communities and their users, and who may act for whom."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from uuid import UUID
from zoneinfo import available_timezones

from domain.errors import Forbidden, InvalidInput


class Role(StrEnum):
    """What a user may do in their community."""

    MEMBER = "MEMBER"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True)
class Community:
    """The tenant: nothing is ever seen outside its community. Its months begin by its time zone."""

    id: UUID
    name: str
    time_zone: str = "UTC"
    plan_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A person, or a test user that admins try things with. Tokens issued before `tokens_valid_after` are dead.

    An operator runs the server: beyond what the role allows they may sign in to the admin page.
    """

    id: UUID
    community_id: UUID
    email: str
    name: str
    role: Role
    is_test: bool
    created_at: datetime
    tokens_valid_after: datetime
    is_operator: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What a viewer may reach: one community, and in it one owner's things, or everybody's when `owner_id` is None."""

    community_id: UUID
    owner_id: UUID | None


@dataclass(frozen=True, slots=True)
class Viewer:
    """The signed-in user on whose behalf an operation runs."""

    user: User

    @property
    def id(self) -> UUID:
        """The user's id."""
        return self.user.id

    @property
    def is_admin(self) -> bool:
        """Whether the viewer may act for the others in the community."""
        return self.user.role is Role.ADMIN

    @property
    def scope(self) -> Scope:
        """A member reaches their own things; an admin those of the whole community."""
        return Scope(self.user.community_id, None if self.is_admin else self.user.id)

    def require_admin(self, what: str) -> None:
        """Raises Forbidden, unless the viewer may change `what`, which is the admins' to change."""
        if not self.is_admin:
            raise Forbidden(f"Only an admin of the community may change {what}")

    def reaches(self, user_id: UUID) -> bool:
        """Whether that user of the community is one whose things the viewer may see and change."""
        return self.is_admin or user_id == self.user.id


def checked_time_zone(name: str) -> str:
    """The name of a known time zone. Raises InvalidInput."""
    if name not in _time_zones():
        raise InvalidInput(f"There is no time zone {name}. Use a name such as Europe/Berlin", "timeZone")
    return name


@cache
def _time_zones() -> set[str]:
    # Without the names that the database has for other purposes.
    return available_timezones() - {"Factory", "localtime"}
