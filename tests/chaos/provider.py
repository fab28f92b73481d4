"""A provider that takes its time, makes every picture another one, and counts who called for what."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from tests.wire import compatible
from tests.wire.pictures import b64, png
from tests.wire.server import Answer, Received, WireServer

CALL_S = (0.5, 2.0)


class CountingProvider(WireServer):
    """Speaks as OpenAI's API does. `calls` are counted by their prompt when they arrive, answered or not.

    `sent` has the prompt of every picture that it began to send, by the picture's hash.
    """

    def __init__(self, call_s: tuple[float, float] = CALL_S) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.sent: dict[str, str] = {}
        self._call_s = call_s
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self._lengths = Random(0)  # noqa: S311 - lengths of calls, no secret
        self._called = asyncio.Condition()

    @property
    def settings(self) -> dict[str, str]:
        """Those of a server that asks it."""
        return {
            "DEFAULT_PROVIDER": "OPENAI_COMPATIBLE",
            "DEFAULT_MODEL": "one-of-its-own",
            "OPENAI_COMPATIBLE_BASE_URL": f"{self.url}/v1",
        }

    async def answer_to(self, received: Received) -> Answer:
        """A picture that nobody else gets, after a while."""
        prompt = received.json["prompt"]
        self.calls[prompt] += 1
        async with self._called:
            self._called.notify_all()
        number = self.calls.total()
        await asyncio.sleep(self._lengths.uniform(*self._call_s))
        await self._may_answer.wait()
        picture = png((number >> 16, number >> 8 & 255, number & 255))
        self.sent[hashlib.sha256(picture).hexdigest()] = prompt
        return compatible.picture(b64_json=b64(picture))

    @contextmanager
    def holding_back(self) -> Iterator[None]:
        """Answer nobody until the block ends."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a call after which something is so."""
        async with self._called:
            await self._called.wait_for(is_so)
