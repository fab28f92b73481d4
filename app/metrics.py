"""Figures for Prometheus: what this process counts as it works, and what it looks up when it is asked.

Labels have few values, all of them ours: providers, states, codes. Made only where somebody may ask: see METRICS_PORT.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool
from starlette.requests import Request
from starlette.responses import Response

from app.kept import Kept
from app.watched import End
from app.wiring import Atelier
from domain.generation_events import GenerationEvents
from domain.generations import Generation, GenerationEvent, GenerationState
from domain.ports import Clock, EventBus
from domain.providers import ImageProvider, PictureRequest
from domain.repositories import UnitOfWorkFactory
from storage.database.tables import generation as generations

KEPT_S = 5.0
ANSWERS_WITHIN_S = 5.0
MAX_TIMED = 10_000
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 900, 3600)

_log = logging.getLogger(__name__)


class Metrics:
    """What is counted while the process works, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._events = Counter("atelier_events", "Events told", registry=registry)
        self._pictures = Counter("atelier_pictures", "Pictures made", ["provider"], registry=registry)
        self._failures = Counter("atelier_failures", "Pictures not made", ["provider", "code"], registry=registry)
        self._retries = Counter("atelier_retries", "Pictures asked for again", ["provider"], registry=registry)
        self._ended = Counter("atelier_generations", "Generations that ended", ["provider", "state"], registry=registry)
        self._stages = Histogram(
            "atelier_stage_seconds",
            "How long generations were in a state",
            ["provider", "stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._calls = Histogram(
            "atelier_provider_call_seconds",
            "Calls to providers",
            ["provider", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        # By generation: which state it came into, and when. Of what ends elsewhere nothing is heard: the oldest go.
        self._timed: dict[UUID, tuple[GenerationState, datetime]] = {}

    def told(self, generation: Generation, event: GenerationEvent) -> None:
        """Count an event of a generation that this process told."""
        provider = generation.provider.value
        self._events.inc()
        if event.image_id:
            self._pictures.labels(provider).inc()
        elif event.failure:
            self._failures.labels(provider, event.failure.code.value).inc()
        elif event.index is not None and event.preview is None:
            # Of a picture without a preview, an image or a failure only one thing is told: that it is asked for again.
            self._retries.labels(provider).inc()
        if event.is_terminal:
            self._ended.labels(provider, event.state.value).inc()
        self._time(generation, event)

    def _time(self, generation: Generation, event: GenerationEvent) -> None:
        # The first event says that it waits, the second that it does so no longer.
        waiting = (GenerationState.QUEUED, generation.created_at) if event.seq == 2 else None  # noqa: PLR2004 - see above
        before = self._timed.get(event.generation_id, waiting)
        if before and before[0] is event.state:
            return
        self._timed.pop(event.generation_id, None)
        if before:
            state, since = before
            self._stages.labels(generation.provider.value, state.value).observe((event.at - since).total_seconds())
        if event.seq > 1 and not event.is_terminal:
            self._timed[event.generation_id] = event.state, event.at
            if len(self._timed) > MAX_TIMED:
                del self._timed[next(iter(self._timed))]

    def called(self, provider: ImageProvider, request: PictureRequest) -> End:
        """Time a call to a provider."""
        began = time.perf_counter()

        def ended(outcome: str, _request_id: str | None) -> None:
            self._calls.labels(provider.kind.value, outcome).observe(time.perf_counter() - began)

        return ended


class CountedEvents(GenerationEvents):
    """The events of generations, counted as they are told."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, bus: EventBus, clock: Clock, metrics: Metrics) -> None:
        super().__init__(unit_of_work, bus, clock)
        self._metrics = metrics

    def publish(self, generation: Generation, event: GenerationEvent | None) -> None:
        """Hand an event on, and count it."""
        super().publish(generation, event)
        if event:
            self._metrics.told(generation, event)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The generations at a provider that have not ended, in one state; `oldest` says since when one waits for its end."""

    provider: str
    state: str
    count: int
    oldest: datetime


async def backlog(atelier: Atelier) -> Sequence[Backlog]:
    """All that has not ended, by provider and state, as the database knows it: one query by its own small index."""
    query = (
        sa.select(generations.c.provider, generations.c.state, sa.func.count(), sa.func.min(generations.c.created_at))
        .where(generations.c.finished_at.is_(None))
        .group_by(generations.c.provider, generations.c.state)
    )
    async with atelier.database.read() as connection:
        return [Backlog(*row) for row in await connection.execute(query)]


class Gauges(Collector):
    """How things stand in the process at the moment when somebody asks, and in the queue as it was last read."""

    def __init__(self, atelier: Atelier, spared: Callable[[], int]) -> None:
        self._atelier = atelier
        self._spared = spared
        self.backlog: Sequence[Backlog] = ()

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is registered is not asked for figures before somebody wants them."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every gauge with its present values."""
        atelier = self._atelier
        yield GaugeMetricFamily("atelier_running", "Generations this process works on", atelier.engine.running)
        subscribers = atelier.hub.followers + self._spared()
        yield GaugeMetricFamily("atelier_subscribers", "Subscribers this process serves", subscribers)
        yield GaugeMetricFamily("atelier_bus_connected", "Hears of other processes", float(atelier.hub.is_connected))
        yield from self._queue()
        yield from self._connections()

    def _queue(self) -> Iterable[Metric]:
        now = self._atelier.clock.now()
        count = GaugeMetricFamily("atelier_unfinished", "Generations not ended", labels=["provider", "state"])
        age = GaugeMetricFamily("atelier_oldest_seconds", "Age of the oldest of them", labels=["provider", "state"])
        for line in self.backlog:
            count.add_metric([line.provider, line.state], line.count)
            age.add_metric([line.provider, line.state], max(0.0, (now - line.oldest).total_seconds()))
        return count, age

    def _connections(self) -> Iterable[Metric]:
        used = GaugeMetricFamily("atelier_database_connections", "Connections in use", labels=["pool"])
        most = GaugeMetricFamily("atelier_database_connections_max", "Connections there may be", labels=["pool"])
        waiting = GaugeMetricFamily("atelier_database_waiting", "Who waits for a connection", labels=["pool"])
        for name, gate in self._atelier.database.gates.items():
            used.add_metric([name], gate.inside)
            most.add_metric([name], gate.places)
            waiting.add_metric([name], gate.waiting)
        jobs = self._atelier.database.sync_engine().pool
        if isinstance(jobs, QueuePool):
            used.add_metric(["jobs"], jobs.checkedout())
            most.add_metric(["jobs"], jobs.size())
        return used, most, waiting


class Scrape:
    """`/metrics`: the counted figures and the gauges, of which those of the queue are read every few seconds at most.

    `spared` tells how many subscribers share the following of another one.
    """

    def __init__(self, atelier: Atelier, metrics: Metrics, spared: Callable[[], int] = lambda: 0) -> None:
        self._atelier = atelier
        self._registry = metrics.registry
        self._gauges = Gauges(atelier, spared)
        self._registry.register(self._gauges)
        self._backlog = Kept(self._read, KEPT_S)

    async def answer(self, request: Request) -> Response:
        """The figures, in the format that is asked for."""
        self._gauges.backlog = await self._backlog.get()
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"content-type": media_type})

    async def _read(self) -> Sequence[Backlog]:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                return await backlog(self._atelier)
        except Exception:  # noqa: BLE001 - without the database the other figures matter all the more
            _log.warning("the queue could not be read for the metrics")
            return ()

    async def aclose(self) -> None:
        """Give up reading."""
        await self._backlog.aclose()
