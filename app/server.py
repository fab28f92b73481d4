"""The ASGI application: GraphQL, the files of the local store, the browser's console, and the health checks."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.admin.entrance import admin_page
from app.files import files_route
from app.graphiql import graphiql_assets, graphiql_page
from app.health import health_routes, readiness
from app.logs import RequestLog
from app.operations import FIRST_OPERATIONS
from app.settings import Settings
from app.side_port import Watchers, bound
from app.wiring import Atelier
from domain.accounts import Accounts
from domain.users import User
from graph.context import Services
from graph.edge import GraphQLApp
from graph.schema import build_schema
from storage.objects.local import LocalObjectStore

GRAPHQL_PATH = "/graphql"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GC_OBJECTS = 20_000
WEBSOCKET_MAX_BYTES = 1_000_000
KEEP_ALIVE_S = 75
"""How long an idle connection is kept: longer than proxies keep theirs, so that none is closed as a request comes."""

FORWARDING = frozenset({"forwarded", "via", "x-real-ip"})

Welcome = Callable[[Atelier], Awaitable[User | None]]
"""Called once the process is up; returns whom the console on this machine signs in, if there is such a user."""


def services_of(atelier: Atelier) -> Services:
    """What resolvers may call."""
    return Services(
        unit_of_work=atelier.unit_of_work,
        accounts=atelier.accounts,
        reference_images=atelier.reference_images,
        identities=atelier.identities,
        images=atelier.images,
        wizards=atelier.wizards,
        quotas=atelier.quotas,
        prompts=atelier.prompts,
        requests=atelier.requests,
        events=atelier.events,
        connection_profiles=atelier.connection_profiles,
        access=atelier.access,
        objects=atelier.objects,
        clock=atelier.clock,
    )


def asgi_app(atelier: Atelier, *, works: bool, welcome: Welcome) -> Starlette:
    """The application over a composed server; its lifespan starts and stops the server's work."""
    settings, traces = atelier.settings, atelier.traces
    ready = readiness(atelier, works=works)
    console = _Console(settings, atelier.accounts)
    graphql = GraphQLApp(
        build_schema(introspection=settings.introspection, watches=[traces.operation] if traces else ()),
        services_of(atelier),
        ide=console.page if settings.graphiql else None,
        allowed_origins=settings.cors_origins,
        max_query_bytes=settings.max_query_bytes,
        max_request_bytes=settings.max_request_bytes,
    )
    watchers = Watchers(atelier, ready, lambda: graphql.relays.spared)
    routes: list[BaseRoute] = [
        Route(GRAPHQL_PATH, traces.requests(graphql, GRAPHQL_PATH) if traces else graphql),
        WebSocketRoute(GRAPHQL_PATH, graphql),
        Route("/", lambda _: RedirectResponse(GRAPHQL_PATH)),
        *health_routes(ready),
        graphiql_assets(),
    ]
    if isinstance(atelier.objects, LocalObjectStore):
        routes.append(files_route(atelier.objects, atelier.clock))
    if settings.admin_page:
        routes.append(admin_page(atelier))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with atelier.running(works=works, beside=watchers.watching()), graphql.running():
            console.admin = await welcome(atelier)
            # What start-up made stays for good: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            # Answers are trees, freed without the collector: it need not look after every 700 objects.
            gc.set_threshold(GC_OBJECTS)
            yield

    return Starlette(routes=routes, lifespan=lifespan, middleware=_middleware(settings))


class _Console:
    """GraphiQL; for who sits at this machine itself with a token of the samples' admin already filled in."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self._is_local = settings.host in LOOPBACK and urlsplit(settings.public_url).hostname in LOOPBACK
        self._accounts = accounts
        self.admin: User | None = None

    async def page(self, request: Request) -> Response:
        token = None
        if self.admin and self._is_local and is_from_here(request):
            token, _ = self._accounts.token_for(self.admin)
        return await to_thread.run_sync(graphiql_page, token, FIRST_OPERATIONS)


def is_from_here(request: Request) -> bool:
    """Whether a browser on this machine asks, directly.

    The name it asks for is looked at too, since a page elsewhere may have its own name lead here; and a proxy on this
    machine may ask for anybody.
    """
    return (
        request.client is not None
        and request.client.host in LOOPBACK
        and request.url.hostname in LOOPBACK
        and not any(name in FORWARDING or name.startswith("x-forwarded") for name in request.headers)
    )


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
    """Serve until told to stop. Ends the process when the address can't be had, before anything is begun."""
    config = uvicorn.Config(
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
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    listening = bound(config, "PORT")
    with suppress(KeyboardInterrupt):  # raised again once everything has shut down in good order
        uvicorn.Server(config).run(sockets=[listening])
