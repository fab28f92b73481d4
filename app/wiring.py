"""Settings to adapters to services: the one place where every part of the house is seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from app.settings import Settings, master_keys, signing_key
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
from engine.hub import Hub, stop
from engine.jobs import JobEngine, Jobs
from engine.schedules import repeatedly
from providers.offline import OfflineProvider
from providers.outbound import Outbound
from providers.registry import Registry
from storage.credentials import AnyTokens, Argon2Hasher, ExternalIssuer, ExternalTokens, OwnTokens
from storage.database.databases import Database, open_database
from storage.imaging import PillowImaging
from storage.objects.local import LocalObjectStore
from storage.objects.s3 import S3ObjectStore, S3Settings
from storage.vault import AesVault

EMBEDDED_WORKER = "local"
EMBEDDED_POLL_S = 0.1
PRODUCTION_POLL_S = 0.5
BUS_POLL_S = 1.0
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

    @asynccontextmanager
    async def running(self, *, works: bool) -> AsyncIterator[None]:
        """The process at work: following progress, and running jobs when it `works`."""
        polling = asyncio.create_task(self.hub.run())
        try:
            async with self._working() if works else nullcontext():
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


def compose(settings: Settings) -> Atelier:
    """The server's parts for these settings. Touches nothing but the files of the keys that it makes for itself."""
    clock = SystemClock()
    database = open_database(settings.database_url.get_secret_value(), settings.database_pool_size)
    queued = Jobs(database.sync_engine())
    unit_of_work = database.unit_of_work(queued.queue)
    objects = _object_store(settings, clock)
    vault = AesVault(master_keys(settings))
    outbound = Outbound(settings.private_networks)
    access = _access(settings, outbound, vault)
    limits = PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels)
    pictures = PictureStore(unit_of_work, objects, PillowImaging(), limits, clock)
    hub = Hub(unit_of_work, BUS_POLL_S)
    events = GenerationEvents(unit_of_work, hub, clock)
    calls = ProviderCalls(
        unit_of_work, access, pictures, events, clock, CallLimits(timeout_s=settings.provider_timeout_seconds)
    )
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
            unit_of_work, Routes(access, (settings.default_provider, settings.default_model)), objects, clock
        ),
        events=events,
        sweeps=Sweeps(unit_of_work, pictures, jobs, queued, clock),
        hub=hub,
        engine=JobEngine(
            database.sync_engine(),
            jobs,
            executor_id=settings.worker_id or EMBEDDED_WORKER,
            slots=settings.worker_slots,
            poll_s=PRODUCTION_POLL_S if settings.is_postgres else EMBEDDED_POLL_S,
        ),
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
            public_url_prefix=settings.storage_public_url_prefix,
            addressing_style=style,
            url_ttl_s=settings.storage_url_ttl_seconds,
        ),
        clock,
    )


def _access(settings: Settings, outbound: Outbound, vault: AesVault) -> ProviderAccess:
    """Every provider by the server's own settings, and the way to those of profiles."""
    registry = Registry(
        outbound, float(settings.provider_timeout_seconds), OfflineProvider(allow_crash=settings.offline_crash)
    )
    own = {kind: registry.provider(kind, _own_access(settings, kind)) for kind in ProviderKind}
    return ProviderAccess(own, registry.provider, vault)


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
