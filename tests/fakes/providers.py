"""Image providers that answer by script, and count how often they are asked."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from domain.errors import ProviderUnusable
from domain.providers import (
    Access,
    ImageModel,
    ImageOptions,
    PictureArrived,
    PictureRequest,
    ProviderEvent,
    ProviderKind,
)
from tests import pictures

Step = ProviderEvent | BaseException | float | asyncio.Event
"""What a call does next: tell something, raise, take that many seconds, or wait until something has happened."""

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
        self.makes_images = True
        self.needs_key = False
        self.needs_base_url = False
        self.problem: str | None = None
        self.price: int | None = None
        self.priced: list[tuple[str, ImageOptions, int]] = []
        self.scripts: list[Sequence[Step]] = []
        self.requests: list[PictureRequest] = []
        self.called = asyncio.Event()
        self.closed = 0
        self.refusal: str | None = None
        self.checked = 0
        self.may_check = asyncio.Event()
        self.may_check.set()
        self.let_go = 0
        self.sticks = False
        self._calls: list[AsyncGenerator[ProviderEvent, None]] = []

    def model(self, id: str) -> ImageModel:
        """The model, or one like the first under that id."""
        known = next((model for model in self.models if model.id == id), None)
        return known or replace(next(iter(self.models), MODEL), id=id, name=id)

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
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.closed += 1

    async def check(self) -> Sequence[ImageModel]:
        """Its models, or its `refusal`, as soon as it `may_check`."""
        self.checked += 1
        self.called.set()
        await self.may_check.wait()
        if self.refusal:
            raise ProviderUnusable(self.refusal, self.kind)
        return self.models

    async def aclose(self) -> None:
        """Count it: there is nothing to let go of."""
        self.let_go += 1
        if self.sticks:
            raise RuntimeError("It can't be closed")


class FakeVendors:
    """What profiles lead to: one provider for each kind and key; `connected` has each access that was used."""

    def __init__(self, own: Mapping[ProviderKind, FakeProvider]) -> None:
        self._own = own
        self._by_key: dict[tuple[ProviderKind, str | None], FakeProvider] = {}
        self.connected: list[tuple[ProviderKind, Access]] = []

    def of(self, kind: ProviderKind, key: str | None = None) -> FakeProvider:
        """The provider that whoever comes with the key is led to, like the server's own but for what is wrong there."""
        if (kind, key) not in self._by_key:
            own = self._own[kind]
            led_to = self._by_key[kind, key] = FakeProvider(kind, own.models)
            led_to.makes_images, led_to.needs_key = own.makes_images, own.needs_key
            led_to.needs_base_url = own.needs_base_url
            if not own.makes_images:
                led_to.problem = own.problem
            elif own.needs_key and key is None:
                led_to.problem = f"No API key is set for {own.name}."
        return self._by_key[kind, key]

    def connect(self, kind: ProviderKind, access: Access) -> FakeProvider:
        """Lead there, as the real registry does."""
        self.connected.append((kind, access))
        return self.of(kind, access.api_key)
