"""1,000 subscribers on one server process, each following the same generation by `generationProgress`.

The floor is a bare Starlette application that sends the same bytes, serialised once, to one WebSocket after the other.
Both servers run on one core, the subscribers in this process on the other; the two are measured in turns, and a ratio is
taken inside a round. What is published has no rows: the fan-out is measured, not the database.
"""

import asyncio
import os
import statistics
import tempfile

from bench.crowd import Crowd, Watched
from bench.measuring import percentile
from bench.processes import Served, load_on_second_core, process

SUBSCRIBERS = int(os.environ.get("SUBSCRIBERS", "1000"))
WARM_UP = 50
ROUNDS = 5
BURST = 100
PACED = 30
PACE_S = 0.1
FOLLOW = """subscription Watch($id: ID!) { generationProgress(id: $id) {
  seq state stage elapsedSeconds estimatedSecondsLeft index
  preview { original } image { id picture { original large } } failure { code message }
} }"""


async def run() -> None:
    """Measure both, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"ATELIER_DATA_DIR": folder, "LOG_LEVEL": "WARNING", "SECRET_KEY": "k" * 48}
        async with (
            process(["-m", "bench.broadcasts", "atelier"], environ) as ours,
            process(["-m", "bench.broadcasts", "floor"], environ, "/who") as floor,
        ):
            with load_on_second_core():
                await asyncio.to_thread(_measure, ours, floor)


def _measure(ours: Served, floor: Served) -> None:
    crowds = {"atelier": Crowd(ours, FOLLOW), "floor": Crowd(floor, FOLLOW)}
    idle_kib = {name: crowd.gather(WARM_UP, SUBSCRIBERS) for name, crowd in crowds.items()}
    bursts: dict[str, list[Watched]] = {name: [] for name in crowds}
    paced: dict[str, list[Watched]] = {name: [] for name in crowds}
    for number in range(ROUNDS):
        for name, crowd in sorted(crowds.items(), reverse=bool(number % 2)):
            bursts[name].append(crowd.watch(BURST, 0.0))
            paced[name].append(crowd.watch(PACED, PACE_S))
    print(f"{SUBSCRIBERS:,} subscribers, {ROUNDS} rounds: {BURST} events at once, {PACED} events every {PACE_S} s")
    for name in crowds:
        _report(name, bursts[name], paced[name], idle_kib[name])
    pairs = list(zip(bursts["atelier"], bursts["floor"], strict=True))
    throughput = statistics.median(mine.per_second / lowest.per_second for mine, lowest in pairs)
    cpu = statistics.median(mine.cpu_s / lowest.cpu_s for mine, lowest in pairs)
    print(f"  atelier / floor: {throughput:.2f} of its deliveries, {cpu:.2f} x its CPU", flush=True)


def _report(name: str, bursts: list[Watched], paced: list[Watched], idle_kib: float) -> None:
    per_second = statistics.median(one.per_second for one in bursts)
    cpu_us, paced_us = (statistics.median(one.cpu_s for one in some) * 1e6 for some in (bursts, paced))
    p50, p99 = (statistics.median(percentile(one.waits_s, p) for one in paced) * 1000 for p in (50, 99))
    print(
        f"  {name:7}: {per_second:6.0f} deliveries/s, {cpu_us:5.1f} us CPU each ({paced_us:.1f} when paced), "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms when paced, {idle_kib:.1f} KiB per idle subscriber"
    )
