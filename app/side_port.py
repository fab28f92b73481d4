"""The port beside the public one: `/healthz`, `/readyz` and `/metrics`, for those who watch the process."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from app.health import Readiness, health_routes
from app.settings import Settings
from app.wiring import Atelier

if TYPE_CHECKING:
    from app.metrics import Scrape

_log = logging.getLogger(__name__)


def bound(config: uvicorn.Config, setting: str) -> socket.socket:
    """The socket to listen on. Ends the process, saying which setting is wrong, when it can't be had."""
    try:
        return config.bind_socket()
    except SystemExit:
        _log.error("can't listen on %s, port %s: see %s", config.host, config.port, setting)
        raise


class _Beside(uvicorn.Server):
    """A server in the event loop of a process that has its own way of being told to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class Watchers:
    """What watches the process: readiness, and the port for it where METRICS_PORT is set.

    Ends the process when that can't be had, as uvicorn does, before anything is begun. `spared` is the metrics'.
    """

    def __init__(self, atelier: Atelier, ready: Readiness, spared: Callable[[], int] = lambda: 0) -> None:
        self._ready = ready
        self._port: _Port | None = None
        if atelier.metrics:
            from app.metrics import Scrape

            self._port = _Port(atelier.settings, ready, Scrape(atelier, atelier.metrics, spared))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While entered, they may ask; nothing of theirs is left behind."""
        try:
            async with self._port.serving() if self._port else nullcontext():
                yield
        finally:
            await self._ready.aclose()


class _Port:
    def __init__(self, settings: Settings, ready: Readiness, scrape: "Scrape") -> None:
        self._scrape = scrape
        config = uvicorn.Config(
            Starlette(routes=[*health_routes(ready), Route("/metrics", scrape.answer)]),
            host=settings.metrics_host,
            port=settings.metrics_port or 0,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Beside(config)
        self._listening = bound(config, "METRICS_PORT")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        try:
            yield
        finally:
            self._server.should_exit = True
            await serving
            await self._scrape.aclose()
