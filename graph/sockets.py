"""WebSockets: graphql-transport-ws with a token, closed when the token expires or is revoked.

Source: github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
from graphql import GraphQLError
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, Message, PingMessage

from domain.accounts import Accounts
from domain.errors import Unauthenticated
from domain.tokens import TokenClaims
from graph.context import Context
from graph.sharing import Listener, Shared

if TYPE_CHECKING:
    from graph.edge import GraphQLApp

FORBIDDEN = 4403
MAX_REASON_BYTES = 123

_log = logging.getLogger(__name__)


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header. Raises Unauthenticated for another scheme."""
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The authorization must be `Bearer <token>`")
    return token.strip()


class Socket(ASGIWebSocketAdapter):
    """A socket that sends text, and takes it calmly when it is closed already."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send one message. Raises WebSocketDisconnected."""
        encoded = self.view.encode_json(message)
        try:
            await self.sending(encoded if isinstance(encoded, str) else encoded.decode())
        except WebSocketDisconnect as gone:
            raise WebSocketDisconnected from gone

    def sending(self, text: str) -> Coroutine[Any, Any, None]:
        """The sending of one message that is encoded already. Raises WebSocketDisconnected, WebSocketDisconnect."""
        if self.ws.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnected
        return self.ws.send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        """Close, if that has not happened yet."""
        if self.ws.application_state is WebSocketState.CONNECTED:
            await self.ws.close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))


class Session(BaseGraphQLTransportWSHandler[Context, None]):
    """One socket's conversation."""

    view: "GraphQLApp"
    websocket: Socket
    holds: tuple[TokenClaims, UUID] | None = None
    """The token, and the user it speaks for, once let in."""

    def on_request_accepted(self) -> None:
        """Begin."""
        self.context.shares_steps = True
        super().on_request_accepted()

    async def handle_message(self, message: Message) -> None:
        """Take one message; close on one that breaks the protocol."""
        if _is_well_formed(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("The message is malformed")
        if isinstance(message, dict):
            cast("dict[str, Any]", message).clear()  # it would be kept until the next one, which may be hours away

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Let in who has a valid token."""
        payload: Any = message.get("payload") or {}
        if isinstance(payload, dict) and not self.connection_init_received:
            try:
                self.holds = await self._authenticate(payload)
            except Unauthenticated as refusal:
                await self.websocket.close(FORBIDDEN, refusal.message)
                return
        await super().handle_connection_init({**message, "payload": payload})
        self.connection_init_timeout_task = None
        if self.connection_acknowledged:
            self.view.watch.sessions.add(self)

    async def _authenticate(self, payload: Mapping[str, object]) -> tuple[TokenClaims, UUID]:
        header = payload.get("authorization") or payload.get("Authorization")
        token = payload.get("token") or bearer(str(header) if header else self.context.authorization)
        if not isinstance(token, str):
            raise Unauthenticated('Sign in first: send `{"authorization": "Bearer <token>"}` with connection_init')
        viewer, claims = await self.context.services.accounts.viewer(token)
        self.context.answer_to(viewer)
        return claims, viewer.id

    async def _send_result_stream(self, operation: Operation[Context, None], result_source: Any) -> None:
        # Overrides Strawberry's own: what is shared comes from a relay, and its stream need not be kept meanwhile.
        shared: list[Shared] = []
        await super()._send_result_stream(operation, _up_to_shared(result_source, shared))
        if shared:
            await result_source.aclose()
            listener = self._joined(operation, shared.pop())
            head = f'{{"id":{orjson.dumps(operation.id).decode()},"type":"next","payload":'
            try:
                await listener.follow(lambda text: self.websocket.sending(f"{head}{text}}}"))
            except WebSocketDisconnect as gone:
                raise WebSocketDisconnected from gone

    def _joined(self, operation: Operation[Context, None], shared: Shared) -> Listener:
        variables = orjson.dumps(operation.variables, option=orjson.OPT_SORT_KEYS)
        question = (self.context.viewer, operation.query, operation.operation_name, variables)
        operation.query, operation.variables = "", None  # the relay keeps them, once for all who ask the same
        return self.view.relays.join(question, shared)

    async def handle_ping(self, message: PingMessage) -> None:
        """Answer with the same payload."""
        payload = message.get("payload")
        await self.send_message({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what went wrong in an operation; that the client has gone is nothing wrong."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    async def shutdown(self) -> None:
        """End every operation."""
        self.view.watch.sessions.discard(self)
        await super().shutdown()

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:  # noqa: ARG004 - overrides Strawberry's own
        # A mistake in one operation is that operation's error; Strawberry would end all others on the socket too.
        return None


async def _up_to_shared(results: AsyncIterable[Any], shared: list[Shared]) -> AsyncGenerator[Any, None]:
    """The results, until one is what is to be shared."""
    async for result in results:
        data = getattr(result, "data", None)
        if isinstance(data, Shared):
            shared.append(data)
            return
        yield result


def _is_well_formed(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    if message["type"] == "complete":
        return isinstance(message.get("id"), str)
    if message["type"] != "subscribe":
        return True
    payload = message.get("payload")
    return (
        isinstance(message.get("id"), str)
        and isinstance(payload, dict)
        and isinstance(payload.get("query"), str)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("operationName"), str | None)
    )


class Watch:
    """Looks after every open socket of the process: closes those whose token is dead, and keeps the others open."""

    def __init__(self, accounts: Accounts, every_s: float, ping_every_s: float) -> None:
        self.sessions: set[Session] = set()
        self._accounts = accounts
        self._every_s = every_s
        self._looks_per_ping = max(1, round(ping_every_s / every_s))

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(self._every_s)
            looks += 1
            try:
                await self._close_dead()
                if looks % self._looks_per_ping == 0:
                    await self._soon(session.send_message({"type": "ping"}) for session in self.sessions)
            except Exception:  # noqa: BLE001  a database that is away for a while must not end the watch
                _log.exception("the tokens of open sockets could not be checked")

    async def _close_dead(self) -> None:
        held = {session: session.holds for session in self.sessions if session.holds}
        if not held:
            return
        refusals = await self._accounts.refusals(list(held.values()))
        dead = [(session, refusal) for session, refusal in zip(held, refusals, strict=True) if refusal]
        await self._soon(session.websocket.close(FORBIDDEN, refusal) for session, refusal in dead)

    async def _soon(self, calls: Iterable[Awaitable[None]]) -> None:
        # A socket that takes nothing in must not keep the others waiting.
        await asyncio.gather(*(asyncio.wait_for(call, self._every_s) for call in calls), return_exceptions=True)
