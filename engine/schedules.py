"""Work that is done again and again while a process runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def repeatedly(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Do the work now and after every pause, until cancelled; what it fails with is logged."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it was, the next time may be better
            _log.exception("scheduled work failed")
        await asyncio.sleep(pause_s)
