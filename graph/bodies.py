"""Reading an operation out of an HTTP request: JSON, a query string, or a multipart body with files.

Whatever is malformed is refused with a 4xx status and a sentence, never with an exception of Python's.
"""

from collections.abc import Mapping
from typing import Any

from cross_web import FormData, HTTPException, StarletteRequestAdapter
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive
from strawberry.http import GraphQLRequestData

MAX_FILES = 10

PREFLIGHT_HEADERS = (
    "authorization",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "graphql-preflight",
    "x-requested-with",
)
"""A page of another site can't send any of these without asking the server first."""


class RequestAdapter(StarletteRequestAdapter):
    """Starlette's request as Strawberry reads it, with limits on the parts of a form."""

    max_part_bytes = 256 * 1024

    async def get_form_data(self) -> FormData:
        """The form, its files on disk."""
        try:
            form = await self._request.form(
                max_files=MAX_FILES, max_fields=MAX_FILES, max_part_size=self.max_part_bytes
            )
        except (MultiPartException, StarletteHTTPException, ValueError) as error:
            raise HTTPException(400, "The multipart body can't be read.") from error
        return FormData(files=form, form=form)


def check_preflight(request: Request, media_type: str) -> None:
    """Refuse what a page of another site could send in a user's name without asking first."""
    is_simple = request.method == "GET" or media_type == "multipart/form-data"
    if is_simple and not any(name in request.headers for name in PREFLIGHT_HEADERS):
        names = ", ".join(PREFLIGHT_HEADERS)
        raise HTTPException(400, f"Send one of these headers with GET and multipart requests: {names}.")


def media_type_of(request: Request) -> str:
    """The body's media type in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def counted(receive: Receive, limit: int) -> Receive:
    """The same body, refused once it turns out to be longer than the limit."""
    seen = 0

    async def receive_counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, f"The request is larger than {limit:,} bytes.")
        return message

    return receive_counted


def operation(sent: object) -> GraphQLRequestData:
    """The operation that a decoded body describes."""
    if isinstance(sent, list):
        raise HTTPException(400, "Batching is not enabled: send one operation.")
    if not isinstance(sent, dict):
        raise HTTPException(400, "The request must be a JSON object.")
    query, name = sent.get("query"), sent.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise HTTPException(400, "`query` must be a GraphQL document.")
    if name is not None and not isinstance(name, str):
        raise HTTPException(400, "`operationName` must be a string or null.")
    return GraphQLRequestData(
        query=query,
        variables=_object(sent, "variables"),
        operation_name=name or None,
        extensions=_object(sent, "extensions"),
    )


def _object(sent: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = sent.get(name)
    if value is not None and not isinstance(value, dict):
        raise HTTPException(400, f"`{name}` must be an object or null.")
    return value


def with_files(operations: object, places: object, form: Mapping[str, Any]) -> dict[str, Any]:
    """The operation with its files in place.

    Source: github.com/jaydenseric/graphql-multipart-request-spec (version 2).
    """
    if isinstance(operations, list):
        raise HTTPException(400, "Batching is not enabled: send one operation.")
    if not isinstance(operations, dict) or not isinstance(places, dict):
        raise HTTPException(400, "`operations` and `map` must be JSON objects.")
    for name, paths in places.items():
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise HTTPException(400, "`map` names a file that is not in the form.")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise HTTPException(400, "`map` must list, for each file, the paths of its variables.")
        for path in paths:
            _put(operations, path.split("."), file)
    return operations


def _put(operations: dict[str, Any], path: list[str], file: UploadFile) -> None:
    target: Any = operations
    place: Any = path[0]
    try:
        for part in path[1:]:
            target = target[place]
            place = int(part) if isinstance(target, list) else part
        is_free = target[place] is None
    except (KeyError, IndexError, ValueError, TypeError):
        is_free = False
    if not is_free or path[0] != "variables":
        raise HTTPException(400, "`map` must name paths of variables that are null in `operations`.")
    target[place] = file
