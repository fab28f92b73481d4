"""What many follow alike: executed once, told to each once and in order, however slow a socket is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, GraphQLError

from graph.sharing import MAX_WAITING, Relays, Shared, Steps

UNANSWERABLE = 13


@dataclass(frozen=True)
class Step:
    """A step whose answer is its number."""

    seq: int
    is_terminal: bool = False


class Story:
    """Steps that are told one after the other, and can be read again. It says how often it was read, and by how many."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.readers = 0
        self.failure: Exception | None = None
        self._news = asyncio.Condition()

    async def tell(self, *seqs: int, is_terminal: bool = False, failure: Exception | None = None) -> None:
        """Add steps, and wake the readers."""
        self.steps += [Step(seq, is_terminal) for seq in seqs]
        self.failure = failure
        async with self._news:
            self._news.notify_all()

    async def read(self, after: int) -> AsyncGenerator[Step, None]:
        """Every step after that number, until the terminal one."""
        self.readers += 1
        try:
            while True:
                async with self._news:
                    while len(self.steps) <= after and not self.failure:
                        await self._news.wait()
                if len(self.steps) <= after and self.failure:
                    raise self.failure
                step = self.steps[after]
                yield step
                after = step.seq
                if step.is_terminal:
                    return
        finally:
            self.readers -= 1


class Executor:
    """Answers with the step's number, and counts how often it is asked."""

    def __init__(self, executed: list[int], step: Step | None = None) -> None:
        self.context_value = self
        self.request_id = "the request"
        self._executed = executed
        self._step = step

    def build_per_event_executor(self, step: Step) -> "Executor":
        """One for the step."""
        return Executor(self._executed, step)

    def execute_operation(self, _serially: bool) -> Any:
        """The number; step 13 can't be answered, and even steps take a while."""
        assert self._step
        self._executed.append(self._step.seq)
        if self._step.seq == UNANSWERABLE:
            return ExecutionResult(None, [GraphQLError("secret", original_error=OSError("secret"))])
        answer = ExecutionResult({"seq": self._step.seq}, None)
        return self._later(answer) if self._step.seq % 2 == 0 else answer

    async def _later(self, answer: ExecutionResult) -> ExecutionResult:
        await asyncio.sleep(0)
        return answer

    def is_awaitable(self, value: Any) -> bool:
        """Whether it is to be awaited."""
        return asyncio.iscoroutine(value)


class Socket:
    """Keeps what is sent. While `is_open` is unset it takes nothing in."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.begun = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.error: Exception | None = None

    @property
    def seqs(self) -> list[int]:
        """The numbers that were sent."""
        return [orjson.loads(text)["data"]["seq"] for text in self.sent]

    async def send(self, text: str) -> None:
        """Take a text in."""
        self.begun += 1
        if self.error:
            raise self.error
        await self.is_open.wait()
        self.sent.append(text)


class Crowd:
    """Subscribers of one story, by what they asked."""

    def __init__(self) -> None:
        self.story = Story()
        self.executed: list[int] = []
        self.relays = Relays()

    def follow(self, socket: Socket, after: int = 0, question: str = "what?") -> asyncio.Task[None]:
        """Let a socket follow from now on."""
        shared = Shared(Executor(self.executed), Steps(after, self.story.read))
        return asyncio.create_task(self.relays.join(question, shared).follow(socket.send))


@pytest.fixture
def crowd() -> Crowd:
    """Nobody yet."""
    return Crowd()


async def until(is_so: Any) -> None:
    """Wait for what happens soon."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  nothing tells when
            await asyncio.sleep(0)


async def test_what_is_asked_alike_is_executed_once(crowd: Crowd) -> None:
    """Every socket gets every step, in order, and one execution serves all."""
    sockets = [Socket() for _ in range(5)]
    following = [crowd.follow(socket) for socket in sockets]
    await until(lambda: crowd.story.readers == 1)
    await crowd.story.tell(*range(1, 10))
    await until(lambda: all(len(socket.sent) == 9 for socket in sockets))
    assert crowd.relays.spared == 4
    await crowd.story.tell(10, is_terminal=True)
    await asyncio.wait_for(asyncio.gather(*following), 30)
    assert crowd.relays.spared == 0
    assert [socket.seqs for socket in sockets] == [list(range(1, 11))] * 5
    assert crowd.executed == list(range(1, 11))
    assert crowd.story.readers == 0


async def test_different_questions_have_nothing_in_common(crowd: Crowd) -> None:
    """Each question is followed and executed for itself."""
    one, other = Socket(), Socket()
    following = [crowd.follow(one), crowd.follow(other, question="what else?")]
    await until(lambda: crowd.story.readers == 2)
    await crowd.story.tell(1, is_terminal=True)
    await asyncio.wait_for(asyncio.gather(*following), 30)
    assert (one.seqs, other.seqs, crowd.executed) == ([1], [1], [1, 1])


async def test_who_comes_later_reads_what_is_missing(crowd: Crowd) -> None:
    """From the number it knows, and then goes on with the others."""
    first, later, latest = Socket(), Socket(), Socket()
    following = [crowd.follow(first)]
    await crowd.story.tell(1, 2, 3)
    await until(lambda: first.seqs == [1, 2, 3])
    following += [crowd.follow(later), crowd.follow(latest, after=2)]
    await until(lambda: later.seqs == [1, 2, 3] and latest.seqs == [3])
    crowd.executed.clear()
    await crowd.story.tell(4)
    await crowd.story.tell(5, is_terminal=True)
    await asyncio.wait_for(asyncio.gather(*following), 30)
    assert (first.seqs, later.seqs, latest.seqs) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [3, 4, 5])
    assert crowd.executed == [4, 5]


async def test_a_slow_socket_holds_up_nobody_and_misses_nothing(crowd: Crowd) -> None:
    """What waits for it is bounded; the rest is read again, each step once and in order."""
    slow, fast = Socket(), Socket()
    following = [crowd.follow(slow), crowd.follow(fast)]
    await until(lambda: crowd.story.readers == 1)
    slow.is_open.clear()
    count = 3 * MAX_WAITING
    await crowd.story.tell(*range(1, count + 1))
    await until(lambda: len(fast.sent) == count)
    assert (slow.sent, slow.begun) == ([], 1)
    slow.is_open.set()
    await crowd.story.tell(count + 1, is_terminal=True)
    await asyncio.wait_for(asyncio.gather(*following), 30)
    assert len(slow.sent) == count + 1
    assert slow.sent == fast.sent
    assert len(crowd.executed) > count + 1, "what was let go of is read again"


async def test_a_sending_that_takes_long_is_finished_before_the_next(crowd: Crowd) -> None:
    """A step that arrives meanwhile comes after it."""
    socket = Socket()
    following = crowd.follow(socket)
    await crowd.story.tell(1)
    await until(lambda: socket.seqs == [1])
    socket.is_open.clear()
    await crowd.story.tell(2)
    await until(lambda: socket.begun == 2)
    await crowd.story.tell(3, is_terminal=True)
    await until(lambda: crowd.story.readers == 0)
    assert socket.seqs == [1]
    socket.is_open.set()
    await asyncio.wait_for(following, 30)
    assert socket.seqs == [1, 2, 3]


async def test_who_leaves_while_sending_leaves_nothing_behind(crowd: Crowd) -> None:
    """The others go on; with the last one the following ends, and who comes then begins anew."""
    leaving, staying, late = Socket(), Socket(), Socket()
    tasks = [crowd.follow(leaving), crowd.follow(staying)]
    await until(lambda: crowd.story.readers == 1)
    leaving.is_open.clear()
    await crowd.story.tell(1)
    await until(lambda: staying.seqs == [1] and leaving.begun == 1)
    tasks[0].cancel()
    with suppress(asyncio.CancelledError):
        await tasks[0]
    await crowd.story.tell(2)
    await until(lambda: staying.seqs == [1, 2])
    tasks[1].cancel()
    await until(lambda: crowd.story.readers == 0)
    following = crowd.follow(late)
    await crowd.story.tell(3, is_terminal=True)
    await asyncio.wait_for(following, 30)
    assert (leaving.sent, leaving.begun, late.seqs) == ([], 1, [1, 2, 3])


async def test_a_broken_socket_ends_its_own_following(crowd: Crowd) -> None:
    """What sending raises is raised to who follows; the others go on."""
    broken, whole = Socket(), Socket()
    tasks = [crowd.follow(broken), crowd.follow(whole)]
    await until(lambda: crowd.story.readers == 1)
    broken.error = ConnectionError("gone")
    await crowd.story.tell(1)
    with pytest.raises(ConnectionError, match="gone"):
        await asyncio.wait_for(tasks[0], 30)
    await crowd.story.tell(2, is_terminal=True)
    await asyncio.wait_for(tasks[1], 30)
    assert (broken.sent, whole.seqs) == ([], [1, 2])


async def test_what_is_over_is_over_at_once(crowd: Crowd) -> None:
    """A source that has nothing to say, not even a last step, ends the following without a word."""

    async def nothing(_after: int) -> AsyncGenerator[Step, None]:
        return
        yield

    socket = Socket()
    shared = Shared(Executor(crowd.executed), Steps(7, nothing))
    await asyncio.wait_for(crowd.relays.join("?", shared).follow(socket.send), 30)
    assert socket.sent == []


async def test_errors_are_told_masked(crowd: Crowd, caplog: pytest.LogCaptureFixture) -> None:
    """Those of a step stand beside its data, and the next step follows; when the source fails, that is the last word."""
    sockets = [Socket(), Socket()]
    tasks = [crowd.follow(socket, after=12) for socket in sockets]
    await until(lambda: crowd.story.readers == 1)
    await crowd.story.tell(*range(1, 15))
    await until(lambda: all(len(socket.sent) == 2 for socket in sockets))
    await crowd.story.tell(failure=OSError("a secret address"))
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    masked = {
        "message": "Something went wrong on the server.",
        "extensions": {"code": "INTERNAL", "requestId": "the request"},
    }
    for socket in sockets:
        assert [orjson.loads(text) for text in socket.sent] == [
            {"data": None, "errors": [masked]},
            {"data": {"seq": 14}},
            {"data": None, "errors": [masked]},
        ]
    assert len(caplog.records) == 2
