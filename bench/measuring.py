"""What the benchmarks share: percentiles, the event loop's lag, and a server of their own."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from app import commands
from app.samples import ensure_samples
from app.settings import load_settings
from app.wiring import Atelier
from domain.users import Viewer

LAG_EVERY_S = 0.005


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the others do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def spread(values: Sequence[float], unit: str = "ms", factor: float = 1000) -> str:
    """Median, p99 and maximum in words."""
    return (
        f"median {statistics.median(values) * factor:.1f} {unit}, p99 {percentile(values, 99) * factor:.1f} {unit}, "
        f"max {max(values) * factor:.1f} {unit}"
    )


class LoopLag:
    """How late the event loop wakes who sleeps: what a request would wait beside the work."""

    def __init__(self) -> None:
        self.lags_s: list[float] = []

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[None]:
        """Sample while the block runs."""
        task = asyncio.create_task(self._sample())
        try:
            yield
        finally:
            task.cancel()

    async def _sample(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(LAG_EVERY_S)
            self.lags_s.append(time.perf_counter() - begun - LAG_EVERY_S)


@asynccontextmanager
async def server(**environ: str) -> AsyncIterator[tuple[Atelier, Viewer]]:
    """An embedded server's parts at work in this process, over a folder that goes away, and its admin."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"ATELIER_DATA_DIR": folder, **environ}, Path(folder) / "no.env")
        atelier = await asyncio.to_thread(commands.ready, settings)
        atelier.engine.claim()
        async with atelier.running(works=True):
            admin = await ensure_samples(atelier)
            if admin is None:
                raise RuntimeError("an empty database has samples")
            yield atelier, Viewer(admin.user)
