"""Servers in processes of their own, pinned to the first core, and a light HTTP load from the second."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import free_port

ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did in one round: answers per second, its processor time for each, and how long clients waited."""

    per_second: float
    cpu_s: float
    waits_s: list[float]


@dataclass(frozen=True, slots=True)
class Served:
    """A server process and where it listens."""

    pid: int
    port: int

    @property
    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def load_on_second_core() -> Iterator[None]:
    """Keep this process off the servers' core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@asynccontextmanager
async def process(arguments: list[str], environ: Mapping[str, str], path: str = "/healthz") -> AsyncIterator[Served]:
    """Run a server on the first core until the block ends; it finds its port in PORT."""
    port = free_port()
    first = min(os.sched_getaffinity(os.getppid()))
    running = subprocess.Popen(  # noqa: ASYNC220 - once, before anything is measured
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    os.sched_setaffinity(running.pid, {first})
    try:
        served = Served(running.pid, port)
        await _up(served, path)
        yield served
    finally:
        running.terminate()
        running.wait(timeout=30)


async def _up(served: Served, path: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                client = await Client.connect(served.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            await client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            client.close()
            return


class Client:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        """A connection to this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request; the answer's status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length: ")
        size = int(lower[at + 16 : lower.index(b"\r\n", at)]) if at >= 0 else 0
        body = await self._reader.readexactly(size)
        return int(head[9:12]), body

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def load(served: Served, request: bytes, connections: int, seconds: float) -> Load:
    """Send the request again and again over so many connections. Every answer must be 200."""
    waits: list[float] = []
    begun, cpu = time.perf_counter(), served.cpu_s
    until = begun + seconds

    async def one() -> None:
        client = await Client.connect(served.port)
        while (now := time.perf_counter()) < until:
            status, _ = await client.send(request)
            if status != 200:  # noqa: PLR2004 - HTTP OK
                raise RuntimeError(f"the server answered {status}")
            waits.append(time.perf_counter() - now)
        client.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    took_s = time.perf_counter() - begun
    return Load(len(waits) / took_s, (served.cpu_s - cpu) / len(waits), waits)


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
