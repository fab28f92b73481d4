"""What can go wrong for a user, each named after its condition. The edge turns each class into one typed result.

DomainError
├── InvalidInput        a value breaks a rule that the caller can mend
├── NotFound            no such object, or not one the viewer may see
├── Conflict            the object's present state forbids it
├── LimitReached        a fixed number of things is already there
├── QuotaExceeded       the month's quota doesn't allow it
├── ImageInUse          something shows the image
├── InvalidImage        the bytes are not a picture we take
├── UnsupportedByModel  the chosen model can't do what is asked
├── ProviderUnusable    the chosen provider can't be called at all
├── FetchRefused        a URL may not or can't be fetched
├── Unauthenticated     no valid token, or a wrong password
├── Forbidden           the viewer's role doesn't allow the operation at all
└── StoreUnavailable    the object store can't be reached; nothing was changed
    └── ObjectMissing   the object isn't (any longer) in the store
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.images import ImageUses
    from domain.providers import ProviderKind
    from domain.quotas import Quota


class DomainError(Exception):
    """A condition that a user is told about; `message` is written for them."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field: its path in the input and what is wrong."""

    path: tuple[str, ...]
    message: str


class InvalidInput(DomainError):
    """A value breaks a rule that the caller can mend."""

    def __init__(self, message: str, *fields: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or tuple(FieldProblem((name,), message) for name in fields)


class NotFound(DomainError):
    """No such object, or not one the viewer may see: the two must look the same."""

    def __init__(self, noun: str, id: object | None = None) -> None:
        super().__init__(f"{noun} not found")
        self.noun = noun
        self.id = None if id is None else str(id)


class Conflict(DomainError):
    """The object's present state forbids it."""


class LimitReached(DomainError):
    """A fixed number of things is already there."""

    def __init__(self, message: str, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class QuotaExceeded(DomainError):
    """The month's quota doesn't allow it; `quota` is how it stands."""

    def __init__(self, message: str, quota: "Quota") -> None:
        super().__init__(message)
        self.quota = quota


class ImageInUse(DomainError):
    """Something shows the image; `uses` are those that the viewer may see."""

    def __init__(self, message: str, uses: "ImageUses") -> None:
        super().__init__(message)
        self.uses = uses


class InvalidImageReason(StrEnum):
    """Why bytes are not a picture we take."""

    EMPTY = "EMPTY"
    NOT_AN_IMAGE = "NOT_AN_IMAGE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    TOO_LARGE = "TOO_LARGE"
    TOO_MANY_PIXELS = "TOO_MANY_PIXELS"
    TRUNCATED = "TRUNCATED"


class InvalidImage(DomainError):
    """The bytes are not a picture we take."""

    def __init__(self, message: str, reason: InvalidImageReason) -> None:
        super().__init__(message)
        self.reason = reason


class UnsupportedByModel(DomainError):
    """The chosen model can't do what is asked; `supported` lists what it can."""

    def __init__(
        self, message: str, *, provider: "ProviderKind", model: str, option: str, supported: Sequence[str]
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.option = option
        self.supported = tuple(supported)


class ProviderUnusable(DomainError):
    """The chosen provider can't be called at all: no key, or no image generation."""

    def __init__(self, message: str, provider: "ProviderKind") -> None:
        super().__init__(message)
        self.provider = provider


class FetchRefused(DomainError):
    """A URL may not or can't be fetched."""


class Unauthenticated(DomainError):
    """No valid token, or a wrong password."""


class Forbidden(DomainError):
    """The viewer's role doesn't allow the operation at all, whatever the object."""


class StoreUnavailable(DomainError):
    """The object store can't be reached; nothing was changed."""


class ObjectMissing(StoreUnavailable):
    """The object isn't (any longer) in the store."""
