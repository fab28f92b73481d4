"""Settings to adapters to services: the one place where every part of the house is seen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from app.settings import Settings, master_keys, signing_key
from app.watched import Watch, watched
from domain.accounts import Accounts
from domain.connection_profiles import ConnectionProfiles
from domain.generation_events import GenerationEvents
from domain.generation_jobs import GenerationJobs
from domain.generation_requests import GenerationRequests
from domain.identities import Identities
from domain.images import Images
from domain.picture_store import PictureStore
from domain.pictures import PictureLimits
from domain.ports import ObjectStore
from domain.prompts import Prompts
from domain.provider_access import ProviderAccess
from domain.provider_calls import CallLimits, ProviderCalls
from domain.providers import Access, ProviderKind
from domain.quotas import Quotas
from domain.reference_images import ReferenceImages
from domain.repositories import UnitOfWorkFactory
from domain.routes import Routes
from domain.sweeps import Sweeps
from domain.wizards import Wizards
from engine.hints import Hints, NoHints
from engine.hub import Hub, stop
from engine.jobs import Jobs
from engine.queues import WorkLimits
from engine.schedules import repeatedly
from engine.workers import JobEngine
from providers.offline import OfflineProvider
from providers.outbound import Outbound
from providers.registry import Registry
from storage.credentials import AnyTokens, Argon2Hasher, ExternalIssuer, ExternalTokens, OwnTokens
from storage.database.databases import Database, open_database
from storage.imaging import PillowImaging
from storage.objects.local import LocalObjectStore
from storage.objects.s3 import S3ObjectStore, S3Settings
from storage.vault import AesVault

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.telemetry import Traces

POLL_S = 0.5
# Embedded with what is tried first: it draws in no time, so that the wait would show.
EMBEDDED_OFFLINE_POLL_S = 0.1
# With a server between the processes this finds lost hints alone; without one it is how another process hears at all.
BUS_POLL_S = 5.0
EMBEDDED_BUS_POLL_S = 1.0
SWEEP_PAUSE_S = 600.0


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Atelier:
    """Everything a process of the server consists of, wired together and not yet started."""

    settings: Settings
    clock: SystemClock
    database: Database
    unit_of_work: UnitOfWorkFactory
    objects: ObjectStore
    outbound: Outbound
    access: ProviderAccess
    vault: AesVault
    accounts: Accounts
    reference_images: ReferenceImages
    identities: Identities
    images: Images
    connection_profiles: ConnectionProfiles
    wizards: Wizards
    prompts: Prompts
    quotas: Quotas
    requests: GenerationRequests
    events: GenerationEvents
    sweeps: Sweeps
    hub: Hub
    engine: JobEngine
    metrics: "Metrics | None"
    traces: "Traces | None"

    @asynccontextmanager
    async def running(
        self, *, works: bool, beside: AbstractAsyncContextManager[None] | None = None
    ) -> AsyncIterator[None]:
        """The process at work: following progress, and running jobs when it `works`.

        What watches it stands `beside`: from before the work begins until after it has ended.
        """
        polling = asyncio.create_task(self.hub.run())
        try:
            async with beside or nullcontext(), self._working() if works else nullcontext():
                yield
        finally:
            await stop(polling)
            await self.aclose()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        await self.engine.start()
        sweeping = asyncio.create_task(repeatedly(self.sweeps.run, SWEEP_PAUSE_S))
        try:
            yield
        finally:
            await stop(sweeping)
            await self.engine.aclose(self.settings.worker_drain_seconds)

    async def aclose(self) -> None:
        """Let go of every connection."""
        for provider in self.access.own.values():
            await provider.aclose()
        await self.outbound.aclose()
        await self.objects.aclose()
        await self.database.aclose()
        if self.traces:
            await self.traces.aclose()


def compose(settings: Settings, *, is_watched: bool = False) -> Atelier:
    """The server's parts for these settings. Touches nothing but the files of the keys that it makes for itself.

    What serves or works `is_watched`, by metrics and traces where the settings want them; once in a process.
    """
    clock = SystemClock()
    database = open_database(
        settings.database_url.get_secret_value(),
        settings.database_pool_size,
        settings.database_statement_timeout_seconds,
    )
    metrics, traces = (_metrics(settings), _traces(settings)) if is_watched else (None, None)
    queued = Jobs(database.limited_engine(), traces.current if traces else None)
    unit_of_work = database.unit_of_work(queued.queue)
    objects = _object_store(settings, clock)
    vault = AesVault(master_keys(settings))
    outbound = Outbound(settings.private_networks)
    access = _access(settings, outbound, vault, [watcher.called for watcher in (metrics, traces) if watcher])
    limits = PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels)
    pictures = PictureStore(unit_of_work, objects, PillowImaging(), limits, clock)
    hints = _hints(settings)
    hub = Hub(unit_of_work, hints, clock, EMBEDDED_BUS_POLL_S if isinstance(hints, NoHints) else BUS_POLL_S)
    events = _events(unit_of_work, hub, clock, metrics)
    calls = ProviderCalls(unit_of_work, access, pictures, events, clock, _call_limits(settings))
    jobs = GenerationJobs(unit_of_work, pictures, events, calls, clock)
    return Atelier(
        settings=settings,
        clock=clock,
        database=database,
        unit_of_work=unit_of_work,
        objects=objects,
        outbound=outbound,
        access=access,
        vault=vault,
        accounts=_accounts(settings, unit_of_work, clock),
        reference_images=ReferenceImages(unit_of_work, pictures, clock),
        identities=Identities(unit_of_work, pictures, clock),
        images=Images(unit_of_work, pictures, outbound, clock),
        connection_profiles=ConnectionProfiles(unit_of_work, access, clock),
        wizards=Wizards(unit_of_work, clock),
        prompts=Prompts(unit_of_work, clock),
        quotas=Quotas(unit_of_work, clock),
        requests=GenerationRequests(
            unit_of_work,
            Routes(access, (settings.default_provider, settings.default_model)),
            objects,
            events,
            queued,
            clock,
        ),
        events=events,
        sweeps=Sweeps(unit_of_work, pictures, jobs, queued, clock),
        hub=hub,
        engine=JobEngine(
            database.sync_engine(),
            jobs,
            _work_limits(settings),
            dead_s=settings.worker_dead_seconds,
            is_traced=traces is not None,
        ),
        metrics=metrics,
        traces=traces,
    )


def _hints(settings: Settings) -> Hints:
    if settings.redis_url:
        from engine.hints_redis import RedisHints

        return RedisHints(settings.redis_url.get_secret_value())
    if settings.is_postgres:
        from engine.hints_postgres import PostgresHints

        return PostgresHints(settings.database_url.get_secret_value())
    return NoHints()


def _metrics(settings: Settings) -> "Metrics | None":
    if settings.metrics_port is None:
        return None
    from app.metrics import Metrics

    return Metrics()


def _traces(settings: Settings) -> "Traces | None":
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from app.telemetry import Traces

    return Traces(settings.otel_exporter_otlp_endpoint)


def _events(
    unit_of_work: UnitOfWorkFactory, hub: Hub, clock: SystemClock, metrics: "Metrics | None"
) -> GenerationEvents:
    if metrics is None:
        return GenerationEvents(unit_of_work, hub, clock)
    from app.metrics import CountedEvents

    return CountedEvents(unit_of_work, hub, clock, metrics)


def _call_limits(settings: Settings) -> CallLimits:
    return CallLimits(
        timeout_s=settings.provider_timeout_seconds,
        timeouts_s={kind: float(seconds) for kind, seconds in settings.provider_timeouts.items()},
        repeats_unknown=settings.repeat_unknown_calls,
    )


def _work_limits(settings: Settings) -> WorkLimits:
    return WorkLimits(
        slots=settings.worker_slots,
        community_slots=settings.community_slots,
        concurrency=settings.provider_concurrency,
        starts_per_minute=settings.provider_starts_per_minute,
        providers=settings.worker_providers,
        poll_s=POLL_S,
        offline_poll_s=POLL_S if settings.is_postgres else EMBEDDED_OFFLINE_POLL_S,
    )


def _object_store(settings: Settings, clock: SystemClock) -> ObjectStore:
    key_id, secret = settings.storage_access_key_id, settings.storage_secret_access_key
    if settings.storage_bucket_name is None or key_id is None or secret is None:
        return LocalObjectStore(
            settings.data_dir / "objects",
            settings.public_url,
            signing_key(settings),
            clock,
            url_ttl_s=settings.storage_url_ttl_seconds,
        )
    style = settings.storage_addressing_style
    if style == "auto":
        # AWS wants the bucket in the host name; other stores seldom have the DNS entries for it.
        style = "path" if settings.storage_endpoint_url else "virtual"
    return S3ObjectStore(
        S3Settings(
            bucket=settings.storage_bucket_name,
            region=settings.storage_region,
            access_key_id=key_id.get_secret_value(),
            secret_access_key=secret.get_secret_value(),
            endpoint_url=settings.storage_endpoint_url,
            public_endpoint_url=settings.storage_public_endpoint_url,
            public_url_prefix=settings.storage_public_url_prefix,
            addressing_style=style,
            url_ttl_s=settings.storage_url_ttl_seconds,
        ),
        clock,
    )


def _access(settings: Settings, outbound: Outbound, vault: AesVault, watches: Sequence[Watch]) -> ProviderAccess:
    """Every provider by the server's own settings, and the way to those of profiles."""
    limits = _call_limits(settings)
    offline = OfflineProvider(allow_crash=settings.offline_crash)
    registry = Registry(outbound, limits.timeout_s, offline, limits.timeouts_s)
    connect = watched(registry.provider, watches)
    own = {kind: connect(kind, _own_access(settings, kind)) for kind in ProviderKind}
    return ProviderAccess(own, connect, vault)


def _own_access(settings: Settings, kind: ProviderKind) -> Access:
    key: SecretStr | None = getattr(settings, f"{kind.lower()}_api_key", None)
    return Access(_open(key), getattr(settings, f"{kind.lower()}_base_url", None), is_trusted=True)


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _accounts(settings: Settings, unit_of_work: UnitOfWorkFactory, clock: SystemClock) -> Accounts:
    own = OwnTokens(signing_key(settings), clock)
    verifier: OwnTokens | AnyTokens = own
    if settings.jwt_jwks_url and settings.jwt_issuer and settings.jwt_audience:
        issuer = ExternalIssuer(
            jwks_url=settings.jwt_jwks_url,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            role_claim=settings.jwt_role_claim,
            admin_role=settings.jwt_admin_role,
        )
        verifier = AnyTokens(own, ExternalTokens(issuer, clock))
    ttl = timedelta(seconds=settings.token_ttl_seconds)
    return Accounts(unit_of_work, Argon2Hasher(), own, verifier, clock, ttl)
