"""What the command line's commands do."""

import argparse
import asyncio
import logging
import signal

import engine.jobs
from app import checks
from app.samples import ensure_samples
from app.settings import Settings, SettingsError
from app.wiring import Atelier, compose
from domain.errors import DomainError
from domain.key_rotation import KeyRotation
from domain.users import Role, User
from engine.locks import AnotherWorker
from storage.database.engine import DatabaseUnavailable
from storage.database.migrate import upgrade

_log = logging.getLogger(__name__)


class CommandFailed(Exception):
    """A command could not be carried out; the message says why, for whoever typed it."""


def composed(settings: Settings, *, is_watched: bool = False) -> Atelier:
    """The server's parts. Raises CommandFailed."""
    try:
        if not settings.is_postgres:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        return compose(settings, is_watched=is_watched)
    except (OSError, SettingsError) as error:
        raise CommandFailed(str(error)) from error


def ready(settings: Settings, *, is_watched: bool = False) -> Atelier:
    """The server's parts over a database that is at its newest version: the embedded one brings itself there."""
    atelier = composed(settings, is_watched=is_watched)
    try:
        if settings.is_postgres:
            asyncio.run(_check_database(settings))
        else:
            _upgrade(atelier)
    except DatabaseUnavailable as error:
        raise CommandFailed(str(error)) from error
    return atelier


async def _check_database(settings: Settings) -> None:
    # With parts of its own: connections belong to the event loop that made them.
    atelier = composed(settings)
    try:
        await atelier.database.check()
    finally:
        await atelier.aclose()


def claim(atelier: Atelier) -> None:
    """Become the process that runs the jobs. Raises CommandFailed."""
    try:
        atelier.engine.claim()
    except AnotherWorker as error:
        raise CommandFailed(str(error)) from error


def _upgrade(atelier: Atelier) -> None:
    upgrade(atelier.settings.database_url.get_secret_value())
    engine.jobs.migrate(atelier.database.sync_engine())


def serve(settings: Settings, *, works: bool) -> int:
    """Answer requests until told to stop."""
    from app.server import run_server

    atelier = ready(settings, is_watched=True)
    if works:
        claim(atelier)
    run_server(atelier, works=works, welcome=_welcome)
    return 0


async def _welcome(atelier: Atelier) -> User | None:
    settings = atelier.settings
    lines = ["", f"  Atelier is ready:  {settings.public_url}/graphql", ""]
    admin = await ensure_samples(atelier) if settings.seed_samples else None
    if admin:
        token, expires_at = atelier.accounts.token_for(admin.user)
        if admin.password:
            lines += [f"  Sign in as         {admin.user.email}", f"  with the password  {admin.password}", ""]
        lines += [f"  Token, valid until {expires_at:%Y-%m-%d %H:%M} UTC:", "", f"  {token}", ""]
    print("\n".join(lines), flush=True)
    return admin.user if admin else None


def work(settings: Settings) -> int:
    """Make pictures until told to stop."""
    from app.health import readiness
    from app.side_port import Watchers

    atelier = ready(settings, is_watched=True)
    claim(atelier)
    watchers = Watchers(atelier, readiness(atelier, works=True))

    async def until_told() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with atelier.running(works=True, beside=watchers.watching()):
            _log.info("worker started", extra={"worker": atelier.engine.worker_id})
            await stopped.wait()
            _log.info("worker stops", extra={"running": atelier.engine.running})

    asyncio.run(until_told())
    return 0


def migrate(settings: Settings) -> int:
    """Bring the database to the newest version."""
    try:
        _upgrade(composed(settings))
    except DatabaseUnavailable as error:
        raise CommandFailed(str(error)) from error
    print("The database is at the newest version.")
    return 0


async def check(settings: Settings) -> int:
    """Print what is right and what is wrong. Returns 1 when something that is needed has a problem."""
    atelier = composed(settings)
    findings = await checks.check(atelier)
    await atelier.aclose()
    print("\n".join(map(str, findings)))
    return int(any(finding.problem and finding.is_needed for finding in findings))


async def keys(settings: Settings, action: str) -> int:
    """Seal every profile's key with the newest master key, or say how they are sealed."""
    atelier = await asyncio.to_thread(ready, settings)
    rotation = KeyRotation(atelier.unit_of_work, atelier.vault)
    try:
        if action == "rotate":
            done = await rotation.run()
            print(f"Sealed anew: {done.resealed}. Left as they were: {done.skipped_current}.")
            print(f"Can't be opened: {done.unreadable}.")
        else:
            found = await rotation.status()
            print(f"Sealed with the first master key: {found.current}. With another: {found.older}.")
            print(f"Can't be opened: {found.unreadable}.")
    finally:
        await atelier.aclose()
    return 0


async def user(settings: Settings, options: argparse.Namespace, password: str | None) -> int:
    """Make a user, print a token, or revoke a user's tokens."""
    atelier = await asyncio.to_thread(ready, settings)
    try:
        if options.action == "create":
            made = await atelier.accounts.create(
                email=options.email,
                name=options.name,
                community=options.community,
                password=password,
                role=Role.ADMIN if options.admin else Role.MEMBER,
                is_test=options.test,
                is_operator=options.operator,
            )
            print(f"Made {made.email} ({made.role.lower()}) in {options.community}.")
        elif options.action == "token":
            token, _ = atelier.accounts.token_for(await _of_email(atelier, options.email))
            print(token)
        else:
            await atelier.accounts.revoke_tokens(await _of_email(atelier, options.email))
            print(f"Every token of {options.email} is dead.")
    except DomainError as error:
        raise CommandFailed(error.message) from error
    finally:
        await atelier.aclose()
    return 0


async def _of_email(atelier: Atelier, email: str) -> User:
    async with atelier.unit_of_work(read_only=True) as work:
        found = await work.users.of_email(email.strip().lower())
    if found is None:
        raise CommandFailed(f"There is no user {email}.")
    return found
