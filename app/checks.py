"""`main.py check`: is everything there that the settings speak of, and if not, what is wrong, in words."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr
from sqlalchemy import func, select

from app.wiring import Atelier
from domain.errors import DomainError
from domain.key_rotation import KeyRotation
from domain.providers import ImageProvider, ProviderKind
from storage.database.engine import DatabaseUnavailable
from storage.database.tables import worker

REDIS_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `is_needed` findings that have a problem keep the server from working."""

    subject: str
    problem: str | None
    is_needed: bool = True

    def __str__(self) -> str:
        if self.problem is None:
            return f"ok       {self.subject}"
        return f"{'PROBLEM' if self.is_needed else 'unused '}  {self.subject}: {self.problem}"


async def check(atelier: Atelier) -> list[Finding]:
    """Look at the database, the object store, Redis, the workers, and every provider that this server can call."""
    settings = atelier.settings
    providers = [provider for provider in atelier.access.own.values() if provider.makes_images]
    database, *others = await asyncio.gather(
        _finding("database", atelier.database.check()),
        _finding("object store", atelier.objects.check()),
        *(_provider(provider, provider.kind is settings.default_provider) for provider in providers),
    )
    shared = [await _redis(settings.redis_url)] if settings.redis_url else []
    if settings.is_postgres and not database.problem:
        shared.append(await _workers(atelier))
    return [database, await _master_keys(atelier, database), *shared, *others]


async def _finding(subject: str, looking: Awaitable[object], *, is_needed: bool = True) -> Finding:
    try:
        await looking
    except (DomainError, DatabaseUnavailable) as error:
        return Finding(subject, str(error), is_needed)
    return Finding(subject, None, is_needed)


async def _redis(url: SecretStr) -> Finding:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    redis = Redis.from_url(url.get_secret_value(), socket_connect_timeout=REDIS_S, socket_timeout=REDIS_S)
    try:
        await redis.ping()
    except (RedisError, OSError) as problem:
        return Finding("Redis", f"It can't be reached ({type(problem).__name__}).")
    finally:
        await redis.aclose()
    return Finding("Redis", None)


async def _workers(atelier: Atelier) -> Finding:
    """Those that have shown a sign of life; before the first one is started there are none."""
    alive_since = atelier.clock.now() - timedelta(seconds=atelier.settings.worker_dead_seconds)
    async with atelier.database.read() as connection:
        seen = select(func.count()).select_from(worker).where(worker.c.seen_at >= alive_since)
        alive = (await connection.execute(seen)).scalar_one()
    return Finding(f"workers: {alive}" if alive else "workers", None if alive else "None is at work.", is_needed=False)


async def _master_keys(atelier: Atelier, database: Finding) -> Finding:
    subject = "master keys"
    if not atelier.vault.can_seal:
        return Finding(subject, "MASTER_KEYS is not set, so connection profiles can't keep keys.", is_needed=False)
    if database.problem:
        return Finding(subject, "What they sealed can't be looked at without the database.", is_needed=False)
    lost = (await KeyRotation(atelier.unit_of_work, atelier.vault).status()).unreadable
    return Finding(subject, f"Keys of connection profiles that they don't open: {lost}." if lost else None)


async def _provider(provider: ImageProvider, is_default: bool) -> Finding:
    subject = f"provider {provider.name}"
    if provider.problem and not is_default:
        return Finding(subject, provider.problem, is_needed=False)
    if provider.kind is ProviderKind.OFFLINE:
        return Finding(subject, None)
    return await _finding(subject, provider.check())
