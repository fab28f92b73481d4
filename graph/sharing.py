"""One execution for all who ask the same: a step is executed and encoded once, and everybody gets the ready text.

Sockets ask the same when document, variables, operation and viewer are the same; so nothing shown can depend on whose
socket it is. Each has been let in by its own resolver before it comes here. The first starts a relay, which follows
for all of them; who comes later, or was too slow to be told everything, first reads what is missing on its own, as the
progress bus does (`engine/hub.py`). With 1,000 sockets a delivery costs 1.4 times the processor time of a bare
broadcast instead of 13.8 times (`bench/subscribers.py`).

Nothing else knows of it but `execution.py`, which hands the steps over, and `sockets.py`, which asks for them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from types import coroutine
from typing import Any, Protocol

import orjson
from graphql import GraphQLError

from graph.errors import tell

MAX_WAITING = 64
"""How many texts wait for one socket. When there are more, it reads them again."""

Send = Callable[[str], Coroutine[Any, Any, None]]


class Step(Protocol):
    """What a subscription's event is executed from."""

    @property
    def seq(self) -> int:
        """Its number; numbers count without gaps."""

    @property
    def is_terminal(self) -> bool:
        """Whether it is the last one."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What a resolver answers with to have its subscription shared: numbered steps, to be followed from any number on."""

    after: int
    follow: Callable[[int], AsyncGenerator[Any, None]]

    def __aiter__(self) -> AsyncIterator[Any]:
        """The steps themselves, for who doesn't share."""
        return self.follow(self.after)


@dataclass(frozen=True, slots=True)
class Shared:
    """An operation that was let in, and what it is to be executed with, step by step."""

    executor: Any
    steps: Steps


@dataclass(frozen=True, slots=True)
class _Said:
    """A payload as it is sent, with its number, and the number that must have come before it."""

    before: int
    seq: int
    text: str
    is_last: bool


class Relays:
    """The relays of one process, by what was asked."""

    def __init__(self) -> None:
        self._relays: dict[Hashable, _Relay] = {}

    @property
    def spared(self) -> int:
        """How many more subscribers there are than relays that follow for them."""
        return sum(len(relay.listeners) - 1 for relay in self._relays.values())

    def join(self, question: Hashable, shared: Shared) -> "Listener":
        """Listen to the relay of those who ask the same. `Listener.follow` must be called."""
        relay = self._relays.get(question)
        if relay is None:
            relay = self._relays[question] = _Relay(shared, lambda: self._relays.pop(question, None))
        return Listener(relay, shared.steps.after)


class _Relay:
    """Follows once, and tells every listener."""

    def __init__(self, shared: Shared, forget: Callable[[], object]) -> None:
        self.listeners: set[Listener] = set()
        self.seq = shared.steps.after
        self._shared = shared
        self._forget = forget
        self._running = asyncio.create_task(self._run())

    def leave(self, listener: "Listener") -> None:
        """Tell one listener no more; without any the relay ends."""
        self.listeners.discard(listener)
        if not self.listeners and not self._running.done():
            self._running.cancel()
            self._forget()

    async def _run(self) -> None:
        async with aclosing(self.said(self.seq)) as news:
            async for said in news:
                self._tell(said)
                await asyncio.sleep(0)  # others have their turn, and slow sockets' tasks theirs
        self._forget()
        self._tell(_Said(self.seq, self.seq, "", is_last=True))

    def _tell(self, said: _Said) -> None:
        self.seq = said.seq
        for listener in self.listeners:
            listener.tell(said)

    async def said(self, after: int) -> AsyncGenerator[_Said, None]:
        """Every step after that number. A failure to read them is the last that is said."""
        try:
            async with aclosing(self._shared.steps.follow(after)) as steps:
                async for step in steps:
                    yield _Said(after, step.seq, await self._executed(step), step.is_terminal)
                    after = step.seq
        except Exception as error:  # noqa: BLE001 - whatever it is, subscribers are told in the usual shape
            yield _Said(after, after + 1, self._encoded(None, [_located(error)]), is_last=True)

    async def _executed(self, step: Step) -> str:
        executor = self._shared.executor
        result = executor.build_per_event_executor(step).execute_operation(False)
        if executor.is_awaitable(result):
            result = await result
        return self._encoded(result.data, result.errors)

    def _encoded(self, data: Any, errors: list[GraphQLError] | None) -> str:
        payload = {"data": data}
        if errors:
            for error in errors:
                tell(error, self._shared.executor.context_value.request_id)
            payload["errors"] = [error.formatted for error in errors]
        return orjson.dumps(payload).decode()


def _located(error: Exception) -> GraphQLError:
    return error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)


class Listener:
    """One subscriber of a relay: what waits to be sent, and the number of what was.

    As long as its socket takes everything at once, the relay sends by itself, without waking the subscriber's task.
    """

    __slots__ = ("_after", "_relay", "_send", "_unfinished", "_waiting", "_wake")

    def __init__(self, relay: _Relay, after: int) -> None:
        self._relay = relay
        self._after = after
        self._waiting: list[_Said] = []
        self._unfinished: Awaitable[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        relay.listeners.add(self)

    def tell(self, said: _Said) -> None:
        """Send what was said, if that needs no waiting; otherwise keep it for the subscriber's task."""
        wake = self._wake if self._wake and not self._wake.done() else None
        if wake and said.before == self._after and not said.is_last:
            self._begin(said, wake)
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.clear()
        self._waiting.append(said)
        if wake:
            wake.set_result(None)

    def _begin(self, said: _Said, wake: asyncio.Future[None]) -> None:
        self._after = said.seq
        sending = self._send(said.text)
        try:
            awaited = sending.send(None)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised in the subscriber's task
            wake.set_exception(error)
        else:
            self._unfinished = _rest(sending, awaited)
            wake.set_result(None)

    async def follow(self, send: Send) -> None:
        """Send each payload after the first number once, in order, until the last."""
        self._send = send
        try:
            if await self._catch_up():
                return
            while True:
                for said in await self._heard():
                    if said.before > self._after and await self._catch_up():
                        return
                    if said.seq > self._after:
                        await send(said.text)
                        self._after = said.seq
                    if said.is_last:
                        return
        finally:
            self._relay.leave(self)

    async def _heard(self) -> list[_Said]:
        if not self._waiting:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if self._unfinished:
            unfinished, self._unfinished = self._unfinished, None
            await unfinished
        heard, self._waiting = self._waiting, []
        return heard

    async def _catch_up(self) -> bool:
        """Send what the relay said before this listener listened, or could take it. Whether that was the last."""
        if self._after >= self._relay.seq:
            return False
        async with aclosing(self._relay.said(self._after)) as missed:
            async for said in missed:
                await self._send(said.text)
                self._after = said.seq
                if said.is_last or said.seq >= self._relay.seq:
                    return said.is_last
        return False


@coroutine
def _rest(sending: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """What is left of a sending that was begun, and awaits something."""
    try:
        yield awaited
        yield from sending
    finally:
        sending.close()
