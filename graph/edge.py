"""The ASGI application: operations over HTTP and WebSocket, who is asking, and refusals in one shape.

Source: graphql.github.io/graphql-over-http (draft of 2026).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, process_result
from strawberry.schema import Schema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from domain.errors import Unauthenticated
from graph.bodies import RequestAdapter, check_preflight, counted, media_type_of, operation, with_files
from graph.context import Context, Services
from graph.errors import MASKED
from graph.sharing import Relays
from graph.sockets import Session, Socket, Watch, bearer

INIT_TIMEOUT = timedelta(seconds=5)
MAX_OPERATIONS_PER_SOCKET = 100
JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
MULTIPART = "multipart/form-data"

_log = logging.getLogger(__name__)

_ALLOWED = {"GET": {OperationType.QUERY}, "POST": {OperationType.QUERY, OperationType.MUTATION}}
_CODES = {405: "METHOD_NOT_ALLOWED", 413: "REQUEST_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 500: "INTERNAL"}

Page = Callable[[Request], Awaitable[Response]]


class GraphQLApp(GraphQL[Context, None]):
    """GraphQL at one address. `ide` answers browsers that open it; `running` must be entered while it serves."""

    request_adapter_class = RequestAdapter
    websocket_adapter_class = Socket
    graphql_transport_ws_handler_class = Session

    def __init__(
        self,
        schema: Schema,
        services: Services,
        *,
        ide: Page | None = None,
        allowed_origins: Sequence[str] = (),
        max_query_bytes: int = 256 * 1024,
        max_request_bytes: int = 100_000_000,
        watch_every_s: float = 5.0,
        ping_every_s: float = 20.0,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_TIMEOUT,
            multipart_uploads_enabled=True,
            max_subscriptions_per_connection=MAX_OPERATIONS_PER_SOCKET,
            allowed_origins=allowed_origins,
        )
        self.relays = Relays()
        self.watch = Watch(services.accounts, watch_every_s, ping_every_s)
        self._services = services
        self._ide = ide
        self._max_query_bytes = max_query_bytes
        self._max_request_bytes = max_request_bytes

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While entered, sockets whose token has died are closed within seconds."""
        watching = asyncio.create_task(self.watch.run())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] == "websocket":
            await self.run(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        media_type = media_type_of(request)
        limit = self._max_request_bytes if media_type == MULTIPART else self._max_query_bytes
        request = Request(scope, counted(receive, limit))
        try:
            response = await self._answer(request, media_type)
        except HTTPException as refusal:
            response = _refused(refusal.status_code, refusal.reason, request.method)
        except ClientDisconnect:
            return
        except Exception:  # noqa: BLE001  whatever it is, the client gets the usual shape
            _log.exception("request failed", extra={"request_id": _request_id(request)})
            response = _refused(500, MASKED, request.method)
        finally:
            await request.close()
        await response(scope, receive, send)

    async def _answer(self, request: Request, media_type: str) -> Response:
        if request.method not in _ALLOWED:
            raise HTTPException(405, "GraphQL is spoken by GET and POST.")
        if self._ide and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return await self._ide(request)
        check_preflight(request, media_type)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "Compressed requests are not read.")
        return await self.run(request)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Who is asking over HTTP; a socket tells with its first message."""
        authorization = request.headers.get("authorization")
        context = Context(self._services, _request_id(request), authorization)
        if isinstance(request, Request):
            try:
                token = bearer(authorization)
                if token:
                    viewer, _ = await self._services.accounts.viewer(token)
                    context.answer_to(viewer)
                    request.state.user_id = str(viewer.id)
            except Unauthenticated as refusal:
                context.answer_to(refusal)
        return context

    def should_render_graphql_ide(self, request: Any) -> bool:
        """Never by Strawberry: see `_answer`."""
        return False

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """The operation that is sent."""
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        if request.method == "GET":
            return operation(self.parse_query_params(request.query_params))
        if media_type == JSON:
            return operation(self.parse_json(await request.get_body()))
        if media_type == MULTIPART:
            return operation(await self.parse_multipart(request))
        raise HTTPException(415, f"Send {JSON} or {MULTIPART}.")

    async def parse_multipart(self, request: AsyncHTTPRequestAdapter) -> dict[str, Any]:
        """The operation with its files."""
        form = (await request.get_form_data()).form
        operations, places = form.get("operations"), form.get("map")
        if not isinstance(operations, str) or not isinstance(places, str):
            raise HTTPException(400, "Send `operations` and `map` as texts, before the files.")
        return with_files(self.parse_json(operations), self.parse_json(places), form)

    def decode_json(self, data: str | bytes) -> object:
        """Read JSON. Raises JSONDecodeError, also for the character NUL, which PostgreSQL can't store."""
        if b"\\u0000" in data if isinstance(data, bytes) else "\\u0000" in data:
            raise orjson.JSONDecodeError("the character NUL is not taken", "", 0)
        return orjson.loads(data)

    def encode_json(self, data: object) -> bytes:
        """Write JSON."""
        return orjson.dumps(data)

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """Run a query or a mutation; subscriptions need a socket."""
        try:
            return await self.schema.execute(
                request_data.query,
                variable_values=request_data.variables,
                context_value=context,
                operation_name=request_data.operation_name,
                allowed_operation_types=_ALLOWED[request.method],
                operation_extensions=request_data.extensions,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                raise HTTPException(400, "Subscriptions are served over WebSocket.") from error
            raise HTTPException(405, "Mutations are sent by POST.") from error
        except CannotGetOperationTypeError as error:
            raise HTTPException(400, error.as_http_error_reason()) from error

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """The answer; without `data` when nothing was executed."""
        answer = process_result(result)
        if result.data is None and not any(error.path for error in result.errors or ()):
            del answer["data"]
        return answer

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """The answer's head, in the media type that the client asks for."""
        accept = request.headers.get("accept", "").lower()
        return Response(media_type=GRAPHQL_JSON if GRAPHQL_JSON in accept else JSON)

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """The answer, whole. The newer media type tells by the status whether anything was executed."""
        is_refusal = sub_response.media_type == GRAPHQL_JSON and "data" not in response_data
        return Response(
            self.encode_json(response_data),
            status_code=400 if is_refusal else 200,
            headers={"vary": "accept"},
            media_type=sub_response.media_type,
        )


def _refused(status: int, message: str, method: str) -> Response:
    error = {"message": message, "extensions": {"code": _CODES.get(status, "BAD_REQUEST")}}
    headers = {"allow": "POST" if method == "GET" else "GET, POST"} if status == 405 else None  # noqa: PLR2004 - HTTP method not allowed
    return Response(orjson.dumps({"errors": [error]}), status, headers, JSON)


def _request_id(request: Request | WebSocket) -> str | None:
    request_id: str | None = request.scope.get("state", {}).get("request_id")
    return request_id
