"""Providers that are watched: each call told from its beginning to its end, without the rules knowing of it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from domain.failures import FailureCode
from domain.generations import SUCCEEDED
from domain.providers import (
    Access,
    ImageProvider,
    PictureArrived,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
    ProviderKind,
)

CUT_OFF = "CUT_OFF"
"""The outcome of a call that was given up: it took too long, or nobody wanted the picture any more."""

End = Callable[[str, str | None], None]
"""Is told how the call ended, `SUCCEEDED`, `CUT_OFF` or a FailureCode, and the provider's own id of the request."""

Watch = Callable[[ImageProvider, PictureRequest], End]
"""Is told that a call begins."""

Connect = Callable[[ProviderKind, Access], ImageProvider]


class WatchedProvider:
    """A provider as it is, but for its calls."""

    def __init__(self, provider: ImageProvider, watches: Sequence[Watch]) -> None:
        self._provider = provider
        self._watches = watches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask for one picture, and tell the watches."""
        ends = [watch(self._provider, request) for watch in self._watches]
        outcome, request_id = CUT_OFF, None
        try:
            async with aclosing(self._provider.generate(request)) as events:
                async for event in events:
                    if not isinstance(event, PreviewArrived):
                        outcome = SUCCEEDED if isinstance(event, PictureArrived) else event.failure.code.value
                        request_id = event.request_id
                    yield event
        except Exception:
            outcome = FailureCode.INTERNAL.value
            raise
        finally:
            for end in ends:
                end(outcome, request_id)


def watched(connect: Connect, watches: Sequence[Watch]) -> Connect:
    """Makes providers as `connect` does, watched where anybody watches."""

    def connected(kind: ProviderKind, access: Access) -> ImageProvider:
        return cast("ImageProvider", WatchedProvider(connect(kind, access), watches))

    return connected if watches else connect
