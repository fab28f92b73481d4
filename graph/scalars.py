"""The scalars beyond GraphQL's own."""

from datetime import UTC, datetime
from typing import NewType

import strawberry
from graphql import GRAPHQL_MAX_INT, GraphQLError
from starlette.datastructures import UploadFile
from strawberry.types.scalar import ScalarDefinition

from domain.pictures import UploadedFile

Url = NewType("Url", str)


def _file(value: object) -> UploadedFile:
    if not isinstance(value, UploadFile):
        raise GraphQLError("Upload a file by a multipart request, and map it to this variable.")
    return UploadedFile(value.filename or "", value.file)


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
        # One without a time zone is the rules' to refuse: they know the field.
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise GraphQLError("Give a moment such as 2026-11-20T12:00:00Z.") from None


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment in UTC, such as `2026-11-20T12:00:00+00:00` (RFC 3339).",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=datetime.isoformat,
        parse_value=_moment,
    ),
    Url: strawberry.scalar(
        name="URL",
        description="An absolute URL.",
        specified_by_url="https://url.spec.whatwg.org/",
        serialize=str,
        parse_value=str,
    ),
    UploadedFile: strawberry.scalar(
        name="Upload",
        description="A file, sent by a multipart request and mapped to a variable.",
        specified_by_url="https://github.com/jaydenseric/graphql-multipart-request-spec",
        parse_value=_file,
    ),
}
"""Python types and the scalars that stand for them."""


def clamped(number: int) -> int:
    """The number, or the largest that GraphQL's Int holds."""
    return min(number, GRAPHQL_MAX_INT)


def amount(micro_usd: int | None) -> int | None:
    """An amount of money, as far as it is known and an Int holds it: providers may report any."""
    return None if micro_usd is None else clamped(micro_usd)
