"""Figures for Prometheus: of a server that makes pictures, of the queue, and of single calls and events."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import MAX_TIMED, Metrics, Scrape, backlog
from app.settings import Settings
from app.watched import watched
from app.wiring import Atelier, compose
from domain.failures import FailureCode, failure
from domain.generations import Generation, GenerationEvent, GenerationState
from domain.providers import (
    Access,
    ImageOptions,
    PictureFailed,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
    ProviderKind,
)
from domain.users import Community
from storage.database.databases import open_database
from tests.database import RecordedJobs
from tests.e2e.harness import Server, free_port
from tests.fakes.providers import DRAWN, FakeProvider
from tests.rows import NOW, a_generation, a_user, after, stored_community, stored_viewer

SECRET = "a secret of at least thirty-two characters"
PROMPT = "an unmistakable lighthouse [rate-limit:once] [refuse-output:2]"
SOON_S = 60.0
OFFLINE = {"provider": "OFFLINE"}


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


def value_of(text: str, name: str, **labels: str) -> float | None:
    """The figure in what was scraped."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)), None)


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The figure as it stands."""
    return value_of(generate_latest(metrics.registry).decode(), name, **labels)


async def test_a_server_that_makes_pictures(tmp_path: Path) -> None:
    """Two pictures, each asked for twice, one withheld; told by the port beside the public one, and nowhere else."""
    port, running = free_port(), ""
    async with Server(tmp_path, METRICS_PORT=str(port)) as server, httpx.AsyncClient() as client:
        await server.start()
        id = await server.generate(prompt=PROMPT, options={"n": 2})
        seen = []
        async for event in server.follow(id):
            seen.append(event)
            if event["stage"] == "Preview 1":
                running = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        ended = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        assert (await client.get(f"{server.url}/metrics")).status_code == 404
        email = "admin@atelier.local"
    assert value_of(running, "atelier_running") == 1
    assert value_of(running, "atelier_subscribers") == 1
    assert value_of(running, "atelier_unfinished", **OFFLINE, state="GENERATING") == 1
    assert value_of(ended, "atelier_generations_total", **OFFLINE, state="SUCCEEDED") == 1
    assert value_of(ended, "atelier_pictures_total", **OFFLINE) == 1
    assert value_of(ended, "atelier_failures_total", **OFFLINE, code="REFUSED_OUTPUT") == 1
    assert value_of(ended, "atelier_retries_total", **OFFLINE) == 2
    assert value_of(ended, "atelier_events_total") == len(seen)
    calls = {"RATE_LIMITED": 2, "SUCCEEDED": 1, "REFUSED_OUTPUT": 1}
    for outcome, number in calls.items():
        assert value_of(ended, "atelier_provider_call_seconds_count", **OFFLINE, outcome=outcome) == number
    # It comes to storing only where the withheld picture is settled before the other one is there.
    for stage in {event["state"] for event in seen} - {"SUCCEEDED"}:
        assert value_of(ended, "atelier_stage_seconds_count", **OFFLINE, stage=stage) == 1
    assert value_of(ended, "atelier_database_connections_max", pool="reading") == 10
    assert value_of(ended, "process_resident_memory_bytes")
    assert not {word for word in ("lighthouse", email, server.token, id) if word in ended}


@pytest.fixture
async def atelier(database_url: str, tmp_path: Path) -> Any:
    """A server's parts that don't work."""
    given = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET, "ATELIER_DATA_DIR": tmp_path, "METRICS_PORT": "9"}
    parts = compose(Settings.model_validate(given), is_watched=True)
    yield parts
    await parts.aclose()


async def test_the_queue(atelier: Atelier, database_url: str) -> None:
    """Counted by provider and state, with the age of the oldest; what has ended is not in it."""
    database = open_database(database_url, pool_size=1)
    unit_of_work = database.unit_of_work(RecordedJobs())
    viewer = await stored_viewer(unit_of_work, await stored_community(unit_of_work))
    generations = [
        a_generation(viewer.user, created_at=after(5)),
        a_generation(viewer.user, created_at=after(2)),
        a_generation(viewer.user, provider=ProviderKind.XAI, state=GenerationState.STORING),
        a_generation(viewer.user, state=GenerationState.FAILED, finished_at=after(9)),
    ]
    async with unit_of_work() as work:
        for generation in generations:
            await work.generations.add(generation)
        await work.commit()
    found = {(line.provider, line.state): (line.count, line.oldest) for line in await backlog(atelier)}
    assert found == {("OFFLINE", "QUEUED"): (2, after(2)), ("XAI", "STORING"): (1, NOW)}
    await database.aclose()


async def test_without_the_queue_the_rest_is_told(tmp_path: Path) -> None:
    """The database is away when the process is most looked at."""
    url = f"postgresql://atelier@127.0.0.1:{free_port()}/atelier"
    given = {"DATABASE_URL": url, "SECRET_KEY": SECRET, "ATELIER_DATA_DIR": tmp_path, "METRICS_PORT": "9"}
    parts = compose(Settings.model_validate(given), is_watched=True)
    assert parts.metrics
    scrape = Scrape(parts, parts.metrics, lambda: 4)
    request: Any = httpx.Request("GET", "http://atelier.test/metrics")
    text = bytes((await scrape.answer(request)).body).decode()
    assert (value_of(text, "atelier_running"), "atelier_unfinished{" in text) == (0, False)
    assert value_of(text, "atelier_subscribers") == 4
    await scrape.aclose()
    await parts.aclose()


OWNER = a_user(Community(uuid4(), "Lovelace"))


def told(generation: Generation, seq: int, state: GenerationState, seconds: float, **facts: Any) -> GenerationEvent:
    """An event of the generation's, so many seconds after it was asked for."""
    return GenerationEvent(generation.id, seq, after(seconds), state, "In words", **facts)


def timed(metrics: Metrics) -> dict[str, tuple[float | None, float | None]]:
    """How often each stage was timed, and the seconds together."""
    return {
        state: (number, counted(metrics, "atelier_stage_seconds_sum", **OFFLINE, stage=state))
        for state in GenerationState
        if (number := counted(metrics, "atelier_stage_seconds_count", **OFFLINE, stage=state)) is not None
    }


def test_stages_are_timed_from_one_change_to_the_next() -> None:
    """Whatever is told in between."""
    metrics, generation = Metrics(), a_generation(OWNER)
    for seq, (state, seconds) in enumerate(
        [
            (GenerationState.QUEUED, 0),
            (GenerationState.PREPARING, 2),
            (GenerationState.GENERATING, 5),
            (GenerationState.GENERATING, 7),
            (GenerationState.CANCELLED, 11),
        ],
        start=1,
    ):
        metrics.told(generation, told(generation, seq, state, seconds))
    assert timed(metrics) == {"QUEUED": (1, 2), "PREPARING": (1, 3), "GENERATING": (1, 6)}
    assert not metrics._timed


def test_stages_that_began_elsewhere_are_not_timed() -> None:
    """And of what never ends here only the latest is kept."""
    metrics = Metrics()
    for _ in range(MAX_TIMED + 5):
        generation = a_generation(OWNER)
        metrics.told(generation, told(generation, 7, GenerationState.STORING, 3))
    assert len(metrics._timed) == MAX_TIMED
    assert timed(metrics) == {}


CONFUSED = failure(FailureCode.BAD_RESPONSE)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([PreviewArrived(b"a"), DRAWN], "SUCCEEDED"),
        ([PictureFailed(CONFUSED, "req-7")], "BAD_RESPONSE"),
        ([RuntimeError("broken")], "INTERNAL"),
        ([], "CUT_OFF"),
    ],
)
async def test_every_call_is_counted_by_how_it_ended(script: list[Any], outcome: str) -> None:
    """Also when the adapter breaks, and when nobody waits for its answer any more."""
    metrics, provider, waiting = Metrics(), FakeProvider(ProviderKind.XAI), asyncio.Event()
    provider.scripts.append(script or [waiting])
    connect = watched(lambda _kind, _access: provider, [metrics.called])
    connected = connect(ProviderKind.XAI, Access())
    assert (connected.kind, connected.models) == (provider.kind, provider.models)

    async def listen() -> list[ProviderEvent]:
        async with aclosing(connected.generate(PictureRequest("sketch-1", "A house", ImageOptions()))) as events:
            return [event async for event in events]

    call = asyncio.create_task(listen())
    await provider.called.wait()
    if outcome == "CUT_OFF":
        call.cancel()
    await asyncio.wait([call], timeout=SOON_S)
    if outcome in {"SUCCEEDED", "BAD_RESPONSE"}:
        assert call.result() == script
    assert counted(metrics, "atelier_provider_call_seconds_count", provider="XAI", outcome=outcome) == 1


def test_nobody_watches_what_nobody_asks_for() -> None:
    """Without metrics and traces providers are as they are."""
    provider = FakeProvider()
    connect = watched(lambda _kind, _access: provider, [])
    assert connect(ProviderKind.OFFLINE, Access()) is provider
