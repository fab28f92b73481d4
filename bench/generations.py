"""What the server adds to provider calls of a fixed length: one generation of 4 pictures, and 200 at once.

The floor does what nobody can do without: wait for the call, decode the pictures and make their variants.
"""

import asyncio
import io
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from typing import cast

from PIL import Image

from app.wiring import Atelier
from bench.measuring import LoopLag, server, spread
from domain.generations import GenerationState
from domain.pictures import PictureLimits
from domain.providers import (
    ImageModel,
    ImageOptions,
    ImageProvider,
    PictureArrived,
    PictureRequest,
    ProviderEvent,
    ProviderKind,
)
from domain.users import Viewer
from domain.wishes import GenerateImage
from storage.imaging import PillowImaging

CALL_S = 2.0
PICTURES = 4
ROUNDS = 7
AT_ONCE = 200
SIDE_PX = 1024
WISH = GenerateImage(prompt="A picture of a fixed time")


class FixedProvider:
    """Answers every call after `CALL_S` seconds with the same picture."""

    kind = ProviderKind.OFFLINE
    name = "Fixed"
    models: Sequence[ImageModel] = (ImageModel(id="fixed", name="Fixed"),)
    problem = None
    makes_images = True
    needs_key = False
    needs_base_url = False

    def __init__(self, picture: bytes) -> None:
        self._picture = picture

    def model(self, id: str) -> ImageModel:
        """The one model."""
        return self.models[0]

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """Nothing."""
        return 0

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Wait, then answer."""
        await asyncio.sleep(CALL_S)
        yield PictureArrived(self._picture)

    async def check(self) -> Sequence[ImageModel]:
        """Always there."""
        return self.models

    async def aclose(self) -> None:
        """Nothing to close."""


def picture() -> bytes:
    """A JPEG with detail, of the usual size."""
    body = io.BytesIO()
    Image.effect_mandelbrot((SIDE_PX, SIDE_PX), (-2, -1.5, 1, 1.5), 100).convert("RGB").save(body, "JPEG", quality=90)
    return body.getvalue()


async def run() -> None:
    """Print both measurements."""
    data = picture()
    async with server(LOG_LEVEL="ERROR") as (atelier, viewer):
        cast("dict[ProviderKind, ImageProvider]", atelier.access.own)[ProviderKind.OFFLINE] = FixedProvider(data)
        await _one(atelier, viewer, 1)  # imports and connections
        await _few(atelier, viewer, data)
        await _many(atelier, viewer, data)


async def _few(atelier: Atelier, viewer: Viewer, data: bytes) -> None:
    floors, floor_cpu, added, cpu = [], [], [], []
    for _ in range(ROUNDS):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        await _floor(data, PICTURES)
        floors.append(time.perf_counter() - begun - CALL_S)
        floor_cpu.append(time.process_time() - cpu_begun)
        begun, cpu_begun = time.perf_counter(), time.process_time()
        await _one(atelier, viewer, PICTURES)
        added.append(time.perf_counter() - begun - CALL_S)
        cpu.append(time.process_time() - cpu_begun)
    print(f"1 generation of {PICTURES} pictures ({SIDE_PX} px), provider {CALL_S:.0f} s, {ROUNDS} rounds")
    print(f"  added by the server: {spread(added)}")
    print(f"  added by the floor:  {spread(floors)}")
    print(f"  CPU: {statistics.median(cpu) * 1000:.0f} ms, {_ratio(cpu, floor_cpu)} x the floor's")


async def _many(atelier: Atelier, viewer: Viewer, data: bytes) -> None:
    begun = time.process_time()
    for _ in range(AT_ONCE // 10):
        await _floor(data, 10, call_s=0)
    floor_cpu = time.process_time() - begun
    lag = LoopLag()
    begun, cpu_begun = time.perf_counter(), time.process_time()
    async with lag.sampled():
        ends = await asyncio.gather(*(_one(atelier, viewer, 1) for _ in range(AT_ONCE)))
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    done = sum(state is GenerationState.SUCCEEDED for state in ends)
    print(f"{AT_ONCE} generations at once in one process, provider {CALL_S:.0f} s")
    print(f"  {done} of {AT_ONCE} succeeded in {wall_s:.1f} s; event loop lag: {spread(lag.lags_s)}")
    print(f"  CPU per generation: {cpu_s / AT_ONCE * 1000:.0f} ms, {cpu_s / floor_cpu:.1f} x the floor's")


async def _one(atelier: Atelier, viewer: Viewer, pictures: int) -> GenerationState:
    wish = GenerateImage(prompt=WISH.prompt, options=ImageOptions(n=pictures))
    generation = await atelier.requests.ask(viewer, wish)
    state = generation.state
    async for event in atelier.events.follow(viewer, generation.id, 0):
        state = event.state
    return state


async def _floor(data: bytes, pictures: int, call_s: float = CALL_S) -> None:
    imaging = PillowImaging()
    await asyncio.sleep(call_s)
    await asyncio.gather(*(imaging.take_in(io.BytesIO(data), PictureLimits()) for _ in range(pictures)))


def _ratio(values: Sequence[float], floors: Sequence[float]) -> str:
    return f"{statistics.median(value / floor for value, floor in zip(values, floors, strict=True)):.1f}"
