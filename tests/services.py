"""Servers of a test's own, which it may stop, crash and start again: PostgreSQL and Redis.

    async with private_postgres() as server:
        ...  # server.url
        await server.restart()

Where the programs are missing the test is skipped, or fails where everything must be there.
"""

import asyncio
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.harness import free_port, needed

START_TIMEOUT_S = 120
# Where Debian keeps what isn't in the path.
POSTGRES_PROGRAMS = "usr/lib/postgresql/*/bin"


class PrivateServer(ABC):
    """One server with its data in a folder; its address stays the same when it is started again."""

    url: str

    @abstractmethod
    async def start(self) -> None:
        """Start, and wait until connections are accepted."""

    @abstractmethod
    async def stop(self, *, crash: bool = False) -> None:
        """Cut every connection off and end, or end without any order; one that has ended already stays so."""

    async def restart(self, *, crash: bool = False) -> None:
        """Stop and start again, with the data as it was."""
        await self.stop(crash=crash)
        await self.start()


class PrivatePostgres(PrivateServer):
    """A PostgreSQL cluster whose superuser needs no password."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._port = free_port()
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    async def initialise(self) -> None:
        """Make the cluster."""
        if self._user:
            shutil.chown(self._folder, self._user)
        await self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")

    async def start(self) -> None:
        """See `PrivateServer`."""
        # Crashes are those of processes, never of the machine: nothing need reach the disk.
        settings = f"-p {self._port} -h 127.0.0.1 -c unix_socket_directories= -c fsync=off -c full_page_writes=off"
        log = self._folder / "server.log"
        await self._run("pg_ctl", "start", "--wait", f"--timeout={START_TIMEOUT_S}", f"--log={log}", "-o", settings)

    async def stop(self, *, crash: bool = False) -> None:
        """See `PrivateServer`."""
        if (self._folder / "data" / "postmaster.pid").exists():
            await self._run("pg_ctl", "stop", "--wait", f"--mode={'immediate' if crash else 'fast'}")

    async def _run(self, program: str, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            self._programs / program,
            f"--pgdata={self._folder / 'data'}",
            *arguments,
            user=self._user,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, f"{program}: {told.decode()}"


class PrivateRedis(PrivateServer):
    """A Redis server that keeps nothing on disk: who starts it again finds it empty."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """See `PrivateServer`."""
        settings = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = await asyncio.create_subprocess_exec(
            self._program, *settings, cwd=self._folder, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await self._accepts():
                assert self._process.returncode is None, "redis-server ended at once"
                await asyncio.sleep(0.02)

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def stop(self, *, crash: bool = False) -> None:
        """See `PrivateServer`."""
        if self._process and self._process.returncode is None:
            if crash:
                self._process.kill()
            else:
                self._process.terminate()
            await self._process.wait()


@asynccontextmanager
async def private_postgres() -> AsyncIterator[PrivatePostgres]:
    """A running cluster of the test's own."""
    programs = _postgres_programs()
    if programs is None:
        needed("PostgreSQL's server (initdb, pg_ctl)")
    # Not in pytest's folder: the user that PostgreSQL runs as may not look into that.
    with tempfile.TemporaryDirectory(prefix="atelier-postgres-") as folder:
        server = PrivatePostgres(Path(str(programs)), Path(folder))
        await server.initialise()
        async with _running(server):
            yield server


@asynccontextmanager
async def private_redis() -> AsyncIterator[PrivateRedis]:
    """A running Redis server of the test's own."""
    program = shutil.which("redis-server")
    if program is None:
        needed("redis-server")
    with tempfile.TemporaryDirectory(prefix="atelier-redis-") as folder:
        server = PrivateRedis(Path(str(program)), Path(folder))
        async with _running(server):
            yield server


@asynccontextmanager
async def _running(server: PrivateServer) -> AsyncIterator[None]:
    try:
        await server.start()
        yield
    finally:
        await server.stop(crash=True)


def _postgres_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: the path's, or the newest that is installed beside it."""
    found = shutil.which("pg_ctl")
    if found and shutil.which("initdb"):
        return Path(found).parent
    installed = Path("/").glob(POSTGRES_PROGRAMS)
    return max(installed, key=lambda folder: int(folder.parent.name), default=None)
