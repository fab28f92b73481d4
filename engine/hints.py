"""How processes tell each other that there are new rows: by hints, which may get lost, for the rows are the truth.

Here are the port, what is sent, and what every transport needs: an outbox, and connections that are made anew.
"""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol
from uuid import UUID

_log = logging.getLogger(__name__)

CHANNEL = "atelier_progress"
# One message has room for so many: PostgreSQL takes less than 8,000 bytes, and a hint is about 70.
AT_ONCE = 100
OUTBOX_SIZE = 10_000
CONNECT_TIMEOUT_S = 10.0
# Only so is it noticed that the other side has vanished without a word.
PING_S = 15.0
ANSWER_S = 10.0
CLOSE_TIMEOUT_S = 1.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Hint:
    """The generation of this owner has an event of this number."""

    generation_id: UUID
    owner_id: UUID
    seq: int


OnHint = Callable[[Hint], None]
OnGap = Callable[[], None]


class Hints(Protocol):
    """The way to the other processes, and from them."""

    @property
    def is_connected(self) -> bool:
        """Whether hints go both ways just now."""

    def send(self, hint: Hint) -> None:
        """Tell the other processes, soon; never waits. Of a generation only the newest number is sure to be sent."""

    async def run(self, on_hint: OnHint, on_gap: OnGap) -> None:
        """Send and listen until cancelled. `on_gap` is called whenever hints may have been missed before."""


class NoHints:
    """For the only process that serves a database: there is nobody to tell."""

    is_connected = True

    def send(self, hint: Hint) -> None:
        """Do nothing."""

    async def run(self, on_hint: OnHint, on_gap: OnGap) -> None:
        """Wait."""
        await asyncio.get_running_loop().create_future()


def packed(hints: Sequence[Hint]) -> str:
    """One message: a line for each hint."""
    return "\n".join(f"{hint.generation_id.hex} {hint.owner_id.hex} {hint.seq}" for hint in hints)


def unpacked(message: str) -> list[Hint]:
    """The hints of a message. What can't be read is left out: who doesn't know us may use the channel too."""
    hints = []
    for line in message.splitlines():
        try:
            generation, owner, seq = line.split()
            hints.append(Hint(UUID(generation), UUID(owner), int(seq)))
        except ValueError:
            continue
    return hints


class Outbox:
    """Hints that wait to be sent: the newest of each generation. Of too many the oldest are dropped."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, Hint] = {}
        self._wake = asyncio.Event()

    def put(self, hint: Hint) -> None:
        """Add a hint, unless a newer one of its generation waits."""
        known = self._waiting.get(hint.generation_id)
        if known is None or known.seq < hint.seq:
            self._waiting[hint.generation_id] = hint
        if len(self._waiting) > OUTBOX_SIZE:
            del self._waiting[next(iter(self._waiting))]
        self._wake.set()

    async def some(self) -> list[Hint]:
        """The hints that wait longest, once there are any. They wait until they are sent."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        return list(islice(self._waiting.values(), AT_ONCE))

    def sent(self, hints: Sequence[Hint]) -> None:
        """Let go of the hints; a newer one that came meanwhile stays."""
        for hint in hints:
            if self._waiting.get(hint.generation_id) is hint:
                del self._waiting[hint.generation_id]


class Link:
    """One connection, made anew whenever it breaks: after pauses that grow, each cut by chance."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_broken = False
        self.is_up = False

    def opened(self) -> None:
        """Note that the connection is there."""
        if self._is_broken:
            _log.info("progress bus is back", extra={"link": self._name})
        self._is_broken = False
        self.is_up = True

    async def keep(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work that opens the connection and stays on it, again and again until cancelled."""
        pause_s, clock = FIRST_PAUSE_S, asyncio.get_running_loop()
        while True:
            begun = clock.time()
            try:
                await work()
            except Exception as problem:  # noqa: BLE001 - whatever breaks a connection: there must be another one
                self._broke(problem)
            finally:
                self.is_up = False
            if clock.time() - begun > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _broke(self, problem: Exception) -> None:
        # Once for each outage, and by its kind alone: messages of drivers may name addresses and users.
        if not self._is_broken:
            reason = type(problem).__name__
            _log.warning("progress bus broke; connecting again", extra={"link": self._name, "reason": reason})
        self._is_broken = True


class ConnectedHints(ABC):
    """Hints over a server: one connection to listen, another to send. Implements `Hints`.

    A connection over which nothing went for `ping_s` seconds must answer within `answer_s`.
    """

    def __init__(self, url: str, *, ping_s: float = PING_S, answer_s: float = ANSWER_S) -> None:
        self._url = url
        self._ping_s = ping_s
        self._answer_s = answer_s
        self._outbox = Outbox()
        self._listening = Link("listening")
        self._sending = Link("sending")

    @property
    def is_connected(self) -> bool:
        """See `Hints`."""
        return self._listening.is_up and self._sending.is_up

    def send(self, hint: Hint) -> None:
        """See `Hints`."""
        self._outbox.put(hint)

    async def run(self, on_hint: OnHint, on_gap: OnGap) -> None:
        """See `Hints`."""

        def opened() -> None:
            self._listening.opened()
            on_gap()

        def heard(message: str) -> None:
            for hint in unpacked(message):
                on_hint(hint)

        async with asyncio.TaskGroup() as links:
            links.create_task(self._listening.keep(lambda: self._listen(heard, opened)))
            links.create_task(self._sending.keep(lambda: self._deliver(self._sending.opened)))

    async def _send_on(self, send: Callable[[str], Awaitable[object]], ping: Callable[[], Awaitable[object]]) -> None:
        """Send what comes into the outbox until that fails; a hint that may not have gone out stays there."""
        while True:
            try:
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with what it waits for.
                async with asyncio.timeout(self._ping_s):
                    hints = await self._outbox.some()
            except TimeoutError:
                await ping()
            else:
                await send(packed(hints))
                self._outbox.sent(hints)

    @abstractmethod
    async def _listen(self, heard: Callable[[str], None], opened: Callable[[], None]) -> None:
        """Connect, say so once nothing is missed any more, and hand on messages until the connection breaks."""

    @abstractmethod
    async def _deliver(self, opened: Callable[[], None]) -> None:
        """Connect, say so, and `_send_on` until the connection breaks."""
