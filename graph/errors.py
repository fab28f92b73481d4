"""What users are told when something goes wrong: one table from domain errors to GraphQL's.

A mutation answers with the error's type when its result union has it. Everywhere else the error stands beside the
data, with a code in its extensions; what nobody foresaw is masked there, and logged once.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

import strawberry
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.types.field import StrawberryField

from domain import errors
from domain.errors import DomainError, InvalidImageReason
from domain.providers import ProviderKind
from domain.quotas import Feature, QuotaUnit
from graph import enums  # noqa: F401  gives the enums used below their descriptions
from graph.ids import shown_id
from graph.scalars import clamped

if TYPE_CHECKING:
    from domain.identities import Identity as IdentityModel
    from domain.wizards import Step as StepModel
    from graph.identities import Identity
    from graph.steps import Step

_log = logging.getLogger(__name__)

MASKED = "Something went wrong on the server."

_ECHOES = tuple(
    (re.compile(echo, re.DOTALL), kept)
    for echo, kept in (
        (r"[,;] found: .*", "."),
        (r" Found: .*", ""),
        (r"(cannot represent .*?value): .*", r"\1."),
        (r"Value '.*' does not exist", "That value does not exist"),
        (r"(found|Unexpected) (\w+) '.*'", r"\1 \2"),
    )
)
"""Where graphql-core repeats what it was given. Source: graphql-core 3.3.2, validate_input_value.py and parser.py."""


@strawberry.interface(description="A problem that the caller can be told about, and often mend.")
class UserError:
    """Every error of a result union."""

    message: str = strawberry.field(description="What is wrong, for a person to read.")

    @classmethod
    def of(cls, error: Any) -> Self:
        """The domain error as clients see it."""
        return cls(message=error.message)


@strawberry.type(description="One wrong field of an input.")
class FieldError:
    """The source is a domain FieldProblem."""

    path: list[str] = strawberry.field(description="Where the field is in the input.")
    message: str = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="A value breaks a rule.")
class InvalidInputError(UserError):
    """Of InvalidInput."""

    fields: Sequence[errors.FieldProblem] = strawberry.field(
        graphql_type=list[FieldError], description="Every field that is wrong, where that can be said."
    )

    @classmethod
    def of(cls, error: errors.InvalidInput) -> Self:
        """With every problem."""
        return cls(message=error.message, fields=error.problems)


@strawberry.type(description="There is no such object, or not one that you may see.")
class NotFoundError(UserError):
    """Of NotFound."""

    id: strawberry.ID | None = strawberry.field(description="The id that was asked for.")

    @classmethod
    def of(cls, error: errors.NotFound) -> Self:
        """With the id as the client knows it."""
        return cls(message=error.message, id=shown_id(error))


@strawberry.type(description="The object's present state forbids it.")
class ConflictError(UserError):
    """Of Conflict."""


@strawberry.type(description="There are as many as there may be.")
class LimitReachedError(UserError):
    """Of LimitReached."""

    limit: int = strawberry.field(description="How many there may be.")

    @classmethod
    def of(cls, error: errors.LimitReached) -> Self:
        """With the limit."""
        return cls(message=error.message, limit=error.limit)


@strawberry.type(description="The month's quota doesn't allow it.")
class QuotaExceededError(UserError):
    """Of QuotaExceeded."""

    feature: Feature = strawberry.field(description="What is counted.")
    unit: QuotaUnit = strawberry.field(description="In what it is counted.")
    limit: int = strawberry.field(description="What may be used in a month.")
    used: int = strawberry.field(
        description="What is used or reserved already; 2147483647 stands for all that is more than an Int holds."
    )
    resets_at: datetime = strawberry.field(description="When the next month begins.")

    @classmethod
    def of(cls, error: errors.QuotaExceeded) -> Self:
        """With how the quota stands."""
        quota = error.quota
        return cls(
            message=error.message,
            feature=quota.feature,
            unit=quota.unit,
            limit=quota.limit or 0,
            used=clamped(quota.used + quota.reserved),
            resets_at=quota.resets_at,
        )


ImageUse = Annotated[
    Annotated["Identity", strawberry.lazy("graph.identities")] | Annotated["Step", strawberry.lazy("graph.steps")],
    strawberry.union("ImageUse", description="What shows an image: an identity as its portrait, a step behind it."),
]


@strawberry.type(description="Something shows the image. Give `force` to end that.")
class ImageInUseError(UserError):
    """Of ImageInUse."""

    used_by: "Sequence[IdentityModel | StepModel]" = strawberry.field(
        graphql_type=list[ImageUse],
        description="What shows it, as far as you may see that; the message tells of the rest.",
    )

    @classmethod
    def of(cls, error: errors.ImageInUse) -> Self:
        """With what the viewer may see."""
        return cls(message=error.message, used_by=[*error.uses.identities, *error.uses.steps])


@strawberry.type(description="The chosen model can't do what is asked.")
class UnsupportedByModelError(UserError):
    """Of UnsupportedByModel."""

    provider: ProviderKind = strawberry.field(description="The model's provider.")
    model: str = strawberry.field(description="The model's id.")
    option: str = strawberry.field(description="The option that the model can't do.")
    supported: list[str] = strawberry.field(description="What it can do instead; empty when nothing.")

    @classmethod
    def of(cls, error: errors.UnsupportedByModel) -> Self:
        """With what the model can do."""
        return cls(
            message=error.message,
            provider=error.provider,
            model=error.model,
            option=error.option,
            supported=list(error.supported),
        )


@strawberry.type(description="The chosen provider can't be called: it has no key, or makes no images.")
class ProviderUnusableError(UserError):
    """Of ProviderUnusable."""

    provider: ProviderKind = strawberry.field(description="The provider.")

    @classmethod
    def of(cls, error: errors.ProviderUnusable) -> Self:
        """With the provider."""
        return cls(message=error.message, provider=error.provider)


@strawberry.type(description="The file is not a picture that is taken.")
class InvalidImageError(UserError):
    """Of InvalidImage."""

    reason: InvalidImageReason = strawberry.field(description="Why not.")

    @classmethod
    def of(cls, error: errors.InvalidImage) -> Self:
        """With the reason."""
        return cls(message=error.message, reason=error.reason)


@strawberry.type(description="The address may not be fetched, or there is nothing that can be.")
class FetchRefusedError(UserError):
    """Of FetchRefused."""


@strawberry.type(description="The pictures' store can't be reached. Nothing was changed; try again later.")
class StorageUnavailableError(UserError):
    """Of StoreUnavailable."""


@strawberry.type(description="The e-mail address or the password is wrong; which of them is not told.")
class WrongCredentialsError(UserError):
    """Of Unauthenticated, when signing in."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a domain error is told: beside the data by its code, in a result union by its type."""

    code: str
    member: type[UserError] | None = None


TABLE: dict[type[DomainError], Told] = {
    errors.InvalidInput: Told("INVALID_INPUT", InvalidInputError),
    errors.NotFound: Told("NOT_FOUND", NotFoundError),
    errors.Conflict: Told("CONFLICT", ConflictError),
    errors.LimitReached: Told("LIMIT_REACHED", LimitReachedError),
    errors.QuotaExceeded: Told("QUOTA_EXCEEDED", QuotaExceededError),
    errors.ImageInUse: Told("IMAGE_IN_USE", ImageInUseError),
    errors.InvalidImage: Told("INVALID_IMAGE", InvalidImageError),
    errors.UnsupportedByModel: Told("UNSUPPORTED_BY_MODEL", UnsupportedByModelError),
    errors.ProviderUnusable: Told("PROVIDER_UNUSABLE", ProviderUnusableError),
    errors.FetchRefused: Told("FETCH_REFUSED", FetchRefusedError),
    errors.Unauthenticated: Told("UNAUTHENTICATED", WrongCredentialsError),
    errors.Forbidden: Told("FORBIDDEN"),
    errors.StoreUnavailable: Told("STORAGE_UNAVAILABLE", StorageUnavailableError),
    errors.ObjectMissing: Told("STORAGE_UNAVAILABLE", StorageUnavailableError),
}
"""Every domain error. A test fails when one is missing."""


class _IntoUnion:
    """Strawberry asks it for the union member of an error that a mutation raised."""

    def __init__(self, exception_type: type[DomainError], error_type: type[UserError]) -> None:
        self.exception_type = exception_type
        self.error_type = error_type

    def handle(self, exception: DomainError, *, field: StrawberryField, info: strawberry.Info) -> UserError:
        """The error as a member of the union."""
        return self.error_type.of(exception)


HANDLERS = [_IntoUnion(error, told.member) for error, told in TABLE.items() if told.member]


def tell(error: GraphQLError, request_id: str | None) -> None:
    """Make an error fit to be sent beside the data, in place: with its code, and masked when nobody foresaw it."""
    cause = error.original_error
    if (error.extensions or {}).get("code"):
        return
    if isinstance(cause, DomainError):
        error.extensions = {"code": TABLE[type(cause)].code}
    elif isinstance(error, GraphQLSyntaxError):
        error.message, error.extensions = _without_echo(error.message), {"code": "GRAPHQL_PARSE_FAILED"}
    elif cause is None or isinstance(cause, GraphQLError):
        code = "BAD_USER_INPUT" if error.path else "GRAPHQL_VALIDATION_FAILED"
        error.message, error.extensions = _without_echo(error.message), {"code": code}
    else:
        _log.error("resolver failed", exc_info=cause, extra={"request_id": request_id, "field": error.path})
        error.message, error.extensions = MASKED, {"code": "INTERNAL", "requestId": request_id}


def _without_echo(message: str) -> str:
    """The message without the values it is about: a key or a password may be among them, and clients keep logs."""
    for echo, kept in _ECHOES:
        message = echo.sub(kept, message)
    return message
