"""Whether a process is ready: asked over HTTP of one that is whole, and of such as lack something."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from app.health import Readiness
from app.server import asgi_app
from app.settings import Settings
from app.wiring import Atelier, compose
from domain.users import User
from storage.database.migrate import upgrade
from tests.e2e.harness import Server, free_port

SECRET = "a secret of at least thirty-two characters"
SOON_S = 60.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


class Looking:
    """A look that waits until it may end, and counts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self._error = error

    async def __call__(self) -> None:
        """Look."""
        self.begun += 1
        await self.may_end.wait()
        if self._error:
            raise self._error


@asynccontextmanager
async def ready(
    look: Callable[[], Awaitable[None]], answers_within_s: float = SOON_S, now: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[Readiness]:
    """A process that needs one part alone."""
    readiness = Readiness({"part": look}, kept_s=3, answers_within_s=answers_within_s, now=now)
    yield readiness
    await readiness.aclose()


async def test_a_crowd_looks_once() -> None:
    """Those who ask while somebody looks wait for the same answer; it is kept for a while, and then found anew."""
    look, now = Looking(), [100.0]
    async with ready(look, now=lambda: now[0]) as readiness:
        crowd = [asyncio.create_task(readiness.parts()) for _ in range(50)]
        leaving = asyncio.create_task(readiness.parts())
        await asyncio.sleep(0)
        leaving.cancel()
        look.may_end.set()
        assert await asyncio.gather(*crowd) == [{"part": "ok"}] * 50
        now[0] = 102.9
        await readiness.parts()
        assert look.begun == 1
        now[0] = 103.0
        await readiness.parts()
        assert look.begun == 2


async def test_what_hangs_is_told_and_not_joined() -> None:
    """A part that doesn't answer is waited for by one look, however long and often it is asked for."""
    look, now = Looking(), [0.0]
    async with ready(look, 0.01, lambda: now[0]) as readiness:
        for now[0] in (0.0, 10.0, 20.0):
            assert await readiness.parts() == {"part": "did not answer within 0.01 s"}
        assert look.begun == 1


async def test_no_error_is_told_in_its_own_words() -> None:
    """They may hold an address or a password."""
    look = Looking(RuntimeError("postgresql://atelier:hunter2@db"))
    look.may_end.set()
    async with ready(look) as readiness:
        assert await readiness.parts() == {"part": "can't be looked at"}


async def nobody(_atelier: Atelier) -> User | None:
    """There is no console."""
    return None


async def answer_of(folder: Path, *, works: bool = False, **environ: str) -> tuple[int, dict[str, str]]:
    """What a process with these settings says at `/readyz`, without having begun to work."""
    settings = Settings.model_validate({"ATELIER_DATA_DIR": folder, "SECRET_KEY": SECRET, **environ})
    atelier = compose(settings)
    try:
        app = asgi_app(atelier, works=works, welcome=nobody)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://atelier.test") as client:
            response = await client.get("/readyz")
        body = response.json()
        assert body["status"] == ("ok" if response.status_code == 200 else "unavailable")
        parts: dict[str, str] = body["parts"]
        return response.status_code, parts
    finally:
        await atelier.aclose()


async def test_all_is_well(database_url: str, tmp_path: Path) -> None:
    """With a database at its newest version and a store."""
    assert await answer_of(tmp_path, DATABASE_URL=database_url) == (200, {"database": "ok", "store": "ok"})


def set_revision(url: str, revision: str) -> None:
    """Pretend that the database is of another version."""
    driver = "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


async def test_a_database_that_must_be_migrated(database_url: str, tmp_path: Path) -> None:
    """An older version keeps the process from serving; a later one, which is being brought in, doesn't."""
    await asyncio.to_thread(set_revision, database_url, "2026_11_20")
    status, parts = await answer_of(tmp_path, DATABASE_URL=database_url)
    assert (status, parts["store"]) == (503, "ok")
    assert parts["database"].startswith("The database is of another version")
    await asyncio.to_thread(set_revision, database_url, "2099_01_01")
    assert (await answer_of(tmp_path, DATABASE_URL=database_url))[0] == 200


async def test_a_database_that_is_away(tmp_path: Path) -> None:
    """Told without its address."""
    status, parts = await answer_of(tmp_path, DATABASE_URL=f"postgresql://atelier:hunter2@127.0.0.1:{free_port()}/a")
    assert status == 503
    assert parts == {"database": "The database can't be reached (ConnectionRefusedError)", "store": "ok"}


async def test_a_store_that_is_away(sqlite_url: str, tmp_path: Path) -> None:
    """Told without its address."""
    status, parts = await answer_of(
        tmp_path,
        DATABASE_URL=sqlite_url,
        STORAGE_BUCKET_NAME="pictures",
        STORAGE_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}",
        STORAGE_ACCESS_KEY_ID="an-id",
        STORAGE_SECRET_ACCESS_KEY="a-secret",
    )
    assert (status, parts) == (503, {"database": "ok", "store": "The object store can't be reached."})


async def test_a_process_that_has_not_begun_to_work(sqlite_url: str, tmp_path: Path) -> None:
    """Where it is to work it isn't ready before."""
    status, parts = await answer_of(tmp_path, works=True, DATABASE_URL=sqlite_url)
    assert (status, parts["engine"]) == (503, "does not take up work")


async def test_a_worker_is_watched_at_its_own_port(tmp_path: Path) -> None:
    """It has no other; and it ends in good order while it is watched."""
    port = free_port()
    upgrade(f"sqlite:///{tmp_path / 'data' / 'atelier.db'}")
    async with (
        Server(tmp_path, METRICS_PORT=str(port)) as worker,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await worker.start_worker()
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        async with asyncio.timeout(SOON_S):
            # Its queues are listened to by threads that start one after the other.
            while (answer := await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        assert answer.json()["parts"] == {"database": "ok", "store": "ok", "engine": "ok"}
        assert "atelier_running 0.0" in (await client.get("/metrics")).text
        assert worker.stop() == 0


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The process says so and ends, before it has begun anything."""
    async with Server(tmp_path) as server:
        await server.start()
        server.environ["METRICS_PORT"] = str(server.port)
        ended = await asyncio.to_thread(server.command, "serve", "--no-worker")
    assert ended.returncode == 3
    assert "Address already in use" in ended.stderr
