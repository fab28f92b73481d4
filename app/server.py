"""The ASGI application: GraphQL, the files of the local store, the browser's console, and the health check."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.files import files_route
from app.graphiql import graphiql_assets, graphiql_page
from app.logs import RequestLog
from app.operations import FIRST_OPERATIONS
from app.settings import Settings
from app.wiring import Atelier
from graph.context import Services
from graph.edge import GraphQLApp
from graph.schema import build_schema
from storage.objects.local import LocalObjectStore

GRAPHQL_PATH = "/graphql"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WEBSOCKET_MAX_BYTES = 1_000_000

Welcome = Callable[[Atelier], Awaitable[str | None]]
"""Called once the process is up; returns a token for the browser's console, if it may have one."""


def services_of(atelier: Atelier) -> Services:
    """What resolvers may call."""
    return Services(
        unit_of_work=atelier.unit_of_work,
        accounts=atelier.accounts,
        reference_images=atelier.reference_images,
        identities=atelier.identities,
        prompts=atelier.prompts,
        requests=atelier.requests,
        events=atelier.events,
        providers=atelier.providers,
        objects=atelier.objects,
        clock=atelier.clock,
    )


def asgi_app(atelier: Atelier, *, works: bool, welcome: Welcome) -> Starlette:
    """The application over a composed server; its lifespan starts and stops the server's work."""
    settings = atelier.settings
    console = _Console(settings)
    graphql = GraphQLApp(
        build_schema(introspection=settings.introspection),
        services_of(atelier),
        ide=console.page if settings.graphiql else None,
        allowed_origins=settings.cors_origins,
        max_query_bytes=settings.max_query_bytes,
        max_request_bytes=settings.max_request_bytes,
    )
    routes: list[BaseRoute] = [
        Route(GRAPHQL_PATH, graphql),
        WebSocketRoute(GRAPHQL_PATH, graphql),
        Route("/", lambda _: RedirectResponse(GRAPHQL_PATH)),
        Route("/healthz", lambda _: JSONResponse({"status": "ok"})),
        graphiql_assets(),
    ]
    if isinstance(atelier.objects, LocalObjectStore):
        routes.append(files_route(atelier.objects, atelier.clock))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with atelier.running(works=works), graphql.running():
            console.token = await welcome(atelier)
            # What start-up made stays for good: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            yield

    return Starlette(routes=routes, lifespan=lifespan, middleware=_middleware(settings))


class _Console:
    """GraphiQL; on this machine itself with the token of the samples' admin already filled in."""

    def __init__(self, settings: Settings) -> None:
        self._is_local = settings.host in LOOPBACK
        self.token: str | None = None

    async def page(self, request: Request) -> Response:
        # The name is checked too: a page elsewhere may have its own name lead to this machine.
        is_safe = self._is_local and request.url.hostname in LOOPBACK
        return await to_thread.run_sync(graphiql_page, self.token if is_safe else None, FIRST_OPERATIONS)


def _middleware(settings: Settings) -> list[Middleware]:
    middleware = [Middleware(RequestLog)]
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=["X-Request-Id"],
            )
        )
    return middleware


def run_server(atelier: Atelier, *, works: bool, welcome: Welcome) -> None:
    """Serve until told to stop."""
    uvicorn.run(
        asgi_app(atelier, works=works, welcome=welcome),
        host=atelier.settings.host,
        port=atelier.settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=WEBSOCKET_MAX_BYTES,
        # Compressing costs more than twice the processor time, and 38 KiB for every socket.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=5,
    )
