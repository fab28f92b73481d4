"""The servers of the benchmark of subscribers: Atelier, and the floor. `POST /publish` has events told to everybody.

An event's `stage` is the moment of its publishing, in nanoseconds of the clock that all processes share.
"""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app import commands
from app.samples import ensure_samples
from app.server import asgi_app
from app.settings import load_settings
from app.wiring import Atelier
from domain.generations import EventDraft, Generation, GenerationEvent, GenerationState
from domain.users import User
from graph.ids import global_id
from tests.rows import a_generation

_NEXT = (
    '{"id":"1","type":"next","payload":{"data":{"generationProgress":{"seq":%d,"state":"GENERATING","stage":"%s",'
    '"elapsedSeconds":1234567.123456,"estimatedSecondsLeft":null,"index":null,"preview":null,"image":null,'
    '"failure":null}}}}'
)


def _stage() -> str:
    return str(time.monotonic_ns())


class Broadcast:
    """The floor: a set of sockets, and one text for all of them."""

    def __init__(self) -> None:
        self._sockets: set[WebSocket] = set()
        self._seq = 1

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                WebSocketRoute("/graphql", self.follow),
                Route("/who", lambda _: JSONResponse({"token": "", "id": ""})),
                Route("/publish", self.publish, methods=["POST"]),
            ]
        )

    async def follow(self, socket: WebSocket) -> None:
        """Serve one subscriber."""
        await socket.accept("graphql-transport-ws")
        try:
            await socket.receive_text()
            await socket.send_text('{"type":"connection_ack"}')
            await socket.receive_text()
            await socket.send_text(_NEXT % (1, _stage()))
            self._sockets.add(socket)
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            self._sockets.discard(socket)

    async def publish(self, request: Request) -> JSONResponse:
        """Send events to everybody."""
        for _ in range(int(request.query_params["events"])):
            self._seq += 1
            text = _NEXT % (self._seq, _stage())
            for socket in self._sockets:
                await socket.send_text(text)
            await asyncio.sleep(float(request.query_params["pause_s"]))
        return JSONResponse({})


class Followed:
    """Atelier as it is served, with one generation of the samples' admin."""

    def __init__(self, atelier: Atelier) -> None:
        self._atelier = atelier
        self._who = {"token": "", "id": ""}
        self._generation: Generation | None = None
        self._seq = 1

    def app(self) -> Starlette:
        """The application."""
        app = asgi_app(self._atelier, works=False, welcome=self._welcome)
        app.router.routes += [
            Route("/who", lambda _: JSONResponse(self._who)),
            Route("/publish", self.publish, methods=["POST"]),
        ]
        return app

    async def _welcome(self, atelier: Atelier) -> User | None:
        admin = await ensure_samples(atelier)
        if admin is None:
            raise RuntimeError("an empty database has samples")
        generation = a_generation(admin.user)
        async with atelier.unit_of_work() as work:
            await work.generations.add(generation)
            await work.commit()
        await atelier.events.tell(generation, EventDraft(GenerationState.GENERATING, _stage()))
        self._who = {
            "token": atelier.accounts.token_for(admin.user)[0],
            "id": global_id("Generation", generation.id),
        }
        self._generation = generation
        return admin.user

    async def publish(self, request: Request) -> JSONResponse:
        """Hand events to the bus. There are no rows of them: the fan-out is measured, not the database."""
        if self._generation is None:
            raise RuntimeError("nothing can be published before the start")
        for _ in range(int(request.query_params["events"])):
            self._seq += 1
            event = GenerationEvent(
                self._generation.id, self._seq, datetime.now(UTC), GenerationState.GENERATING, _stage()
            )
            self._atelier.hub.publish(event, self._generation.owner_id)
            await asyncio.sleep(float(request.query_params["pause_s"]))
        return JSONResponse({})


def main() -> None:
    """Serve `atelier` or `floor` at PORT, with the settings of the real server for WebSockets."""
    app = Followed(commands.ready(load_settings())).app() if sys.argv[1] == "atelier" else Broadcast().app()
    uvicorn.run(
        app,
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
        ws_per_message_deflate=False,
        ws_ping_interval=600,  # nobody reads the sockets of the server that is not being measured
    )


if __name__ == "__main__":
    main()
