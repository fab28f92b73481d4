"""An image provider that answers by script, and counts how often it is asked."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from domain.providers import ImageModel, ImageOptions, PictureArrived, PictureRequest, ProviderEvent, ProviderKind
from tests import pictures

Step = ProviderEvent | BaseException | float
"""What a call does next: tell something, raise, or take that many seconds."""

DRAWN = PictureArrived(pictures.jpeg(40, 30), revised_prompt="a finer house", request_id="req-1", cost_micro_usd=40_000)
"""How a call ends for which no script was written."""

MODEL = ImageModel(id="sketch-1", name="Sketch", sizes=("64x64",), max_images=4, max_references=5)


class Killed(BaseException):
    """The process ends here, as far as the code can tell: nothing that catches errors catches this."""


class FakeProvider:
    """Answers its calls by `scripts`, one list of steps per call, in the order of the calls."""

    def __init__(self, kind: ProviderKind = ProviderKind.OFFLINE, models: Sequence[ImageModel] = (MODEL,)) -> None:
        self.kind = kind
        self.name = kind.title()
        self.models = models
        self.problem: str | None = None
        self.price: int | None = None
        self.priced: list[tuple[str, ImageOptions, int]] = []
        self.scripts: list[Sequence[Step]] = []
        self.requests: list[PictureRequest] = []
        self.called = asyncio.Event()
        self.closed = 0
        self._calls: list[AsyncGenerator[ProviderEvent, None]] = []

    def model(self, id: str) -> ImageModel:
        """The model, or one like the first under that id."""
        return next((model for model in self.models if model.id == id), replace(self.models[0], id=id, name=id))

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """The same for every picture; `priced` has what it was asked for."""
        self.priced.append((model, options, references))
        return self.price

    def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Follow the next script. The call is kept, so that nothing but its caller closes it."""
        self.requests.append(request)
        self._calls.append(self._answers())
        return self._calls[-1]

    async def _answers(self) -> AsyncGenerator[ProviderEvent, None]:
        self.called.set()
        try:
            for step in self.scripts.pop(0) if self.scripts else [DRAWN]:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1

    async def check(self) -> None:
        """Everything is well."""

    async def aclose(self) -> None:
        """There is nothing to let go of."""
