"""A provider that needs no key and no network: it draws a placeholder that says so, the same one for the same request.

Words in square brackets in the prompt make it misbehave, for tests and for trying the product. A number after a colon
picks one picture of several (from 1): `[refuse:2]` refuses the second only.

    [slow] [slow:SECONDS]    takes 5 seconds (or SECONDS, up to 600) longer
    [refuse]                 refuses the prompt at once
    [refuse-output]          refuses its own picture, after the previews
    [rate-limit]             is busy, always; asks to come back after a second
    [rate-limit:once]        is busy at the first attempt for each picture
    [fail]                   is not available
    [empty]                  answers without a picture
    [bad-picture]            answers with bytes that are no picture
    [crash]                  kills the server's process after the first preview, where that is allowed; else like [fail]
"""

import asyncio
import hashlib
import json
import os
import re
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict
from typing import ParamSpec, TypeVar

from domain.failures import FailureCode, GenerationFailure, failure
from domain.providers import (
    ImageModel,
    ImageOptions,
    PictureArrived,
    PictureFailed,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
    ProviderKind,
)
from providers.catalogue import OFFLINE
from providers.sketches import UnreadableReference, draw, encode, encode_preview

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_SLOW_S = 5.0
MAX_SLOW_S = 600.0
RETRY_AFTER_S = 1
PREVIEWS = 3
MAX_REMEMBERED = 1_000

_WORD = re.compile(r"\[([a-z-]+)(?::([a-z0-9.]{1,8}))?\]")
_NOT_A_PICTURE = b"This is not a picture."

_AT_ONCE = {"refuse": FailureCode.REFUSED_INPUT, "fail": FailureCode.PROVIDER_UNAVAILABLE}
_AT_THE_END = {"refuse-output": FailureCode.REFUSED_OUTPUT, "empty": FailureCode.EMPTY_RESULT}


class OfflineProvider:
    """The adapter that draws by itself. At most `max_drawings` at a time use a processor; `allow_crash` is for tests."""

    def __init__(self, preview_delay_s: float = 0.25, *, allow_crash: bool = False, max_drawings: int = 2) -> None:
        self._preview_delay_s = preview_delay_s
        self._allow_crash = allow_crash
        self._drawing = asyncio.Semaphore(max_drawings)
        self._turned_away: dict[str, None] = {}

    @property
    def kind(self) -> ProviderKind:
        """Always OFFLINE."""
        return OFFLINE.kind

    @property
    def name(self) -> str:
        """As people write it."""
        return OFFLINE.name

    @property
    def makes_images(self) -> bool:
        """Placeholders."""
        return True

    @property
    def needs_key(self) -> bool:
        """Nobody is asked."""
        return False

    @property
    def needs_base_url(self) -> bool:
        """Nobody is asked."""
        return False

    @property
    def models(self) -> Sequence[ImageModel]:
        """The one model."""
        return OFFLINE.models

    def model(self, id: str) -> ImageModel:
        """The same limits under every id."""
        return OFFLINE.model(id)

    @property
    def problem(self) -> str | None:
        """Nothing can be wrong with it."""
        return None

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """Nothing."""
        return 0

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Draw one picture, or do what the prompt's control words say."""
        words = _control_words(request)
        digest = _digest(request)
        request_id = f"offline-{digest[:16]}"
        if told := self._refusal_at_once(words, digest):
            yield PictureFailed(told, request_id)
            return
        try:
            sketch = await self._off_the_loop(draw, request, digest)
        except UnreadableReference:
            yield PictureFailed(failure(FailureCode.REFERENCE_UNREADABLE), request_id)
            return
        pause_s = self._preview_delay_s + _slow_s(words) / PREVIEWS
        for step in range(PREVIEWS):
            await asyncio.sleep(pause_s)
            yield PreviewArrived(await self._off_the_loop(encode_preview, sketch, (step + 1) / (PREVIEWS + 1)))
            if "crash" in words:
                os.kill(os.getpid(), signal.SIGKILL)
        if told := next((failure(code, is_charged=True) for word, code in _AT_THE_END.items() if word in words), None):
            yield PictureFailed(told, request_id)
            return
        data = _NOT_A_PICTURE if "bad-picture" in words else await self._off_the_loop(encode, sketch)
        yield PictureArrived(data, request_id=request_id, cost_micro_usd=0)

    async def check(self) -> Sequence[ImageModel]:
        """Nothing to call."""
        return self.models

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _refusal_at_once(self, words: dict[str, str], digest: str) -> GenerationFailure | None:
        if "crash" in words and not self._allow_crash:
            return failure(FailureCode.PROVIDER_UNAVAILABLE)
        if "rate-limit" in words and (words["rate-limit"] != "once" or self._is_first_attempt(digest)):
            return failure(FailureCode.RATE_LIMITED, retry_after_s=RETRY_AFTER_S)
        return next((failure(code) for word, code in _AT_ONCE.items() if word in words), None)

    def _is_first_attempt(self, digest: str) -> bool:
        """Whether this picture wasn't turned away just before; forgets it again when it was."""
        if digest in self._turned_away:
            del self._turned_away[digest]
            return False
        if len(self._turned_away) >= MAX_REMEMBERED:
            del self._turned_away[next(iter(self._turned_away))]
        self._turned_away[digest] = None
        return True

    async def _off_the_loop(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        async with self._drawing:
            return await asyncio.to_thread(work, *arguments, **named)


def _control_words(request: PictureRequest) -> dict[str, str]:
    """The words that concern this picture, with what follows their colon."""
    found = {word: argument or "" for word, argument in _WORD.findall(request.prompt)}
    return {
        word: argument
        for word, argument in found.items()
        if word == "slow" or not argument.isdigit() or int(argument) == request.index + 1
    }


def _slow_s(words: dict[str, str]) -> float:
    if "slow" not in words:
        return 0.0
    try:
        return min(max(float(words["slow"] or DEFAULT_SLOW_S), 0.0), MAX_SLOW_S)
    except ValueError:
        return DEFAULT_SLOW_S


def _digest(request: PictureRequest) -> str:
    """Everything that makes this request this request, as one hash."""
    asked = {
        "model": request.model,
        "prompt": request.prompt,
        "options": asdict(request.options),
        "index": request.index,
        "references": [[reference.name, reference.role, reference.sha256] for reference in request.references],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
