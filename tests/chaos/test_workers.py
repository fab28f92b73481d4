"""Workers and APIs that die, stand still or are replaced: 200 generations over two workers and two APIs."""

import asyncio
import signal
from collections.abc import Callable
from random import Random

import pytest

from tests.chaos.fleet import IN_LINE_WITHIN_S, Fleet
from tests.chaos.verdict import called_once
from tests.e2e.harness import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

GENERATIONS = 200
SUBSCRIBERS = 100

Tell = Callable[[object], None]


@pytest.mark.parametrize("seed", range(5))
async def test_a_killed_workers_generations_are_finished_by_the_other(fleet: Fleet, seed: int, tell: Tell) -> None:
    """Whenever kill -9 comes: all 200 end well and once, and only what the dead worker held is called for again."""
    chance = Random(seed)  # noqa: S311 - it chooses a victim
    workers = await fleet.staffed()
    async with await fleet.load(f"Killed {seed}") as load:
        load.ask(GENERATIONS)
        await load.until_calls(chance.randint(10, GENERATIONS - 20))
        victim = chance.choice(workers)
        victim.kill()
        held = await fleet.held_by(victim)
        recovery = await fleet.recovered(held, victim)
    verdict = await fleet.judge(load)
    tell(f"{verdict}; {recovery}")
    assert verdict.states == {"SUCCEEDED": GENERATIONS}
    assert load.refused == 0
    called_once(load, but=held)
    assert recovery.in_line_s < IN_LINE_WITHIN_S


async def test_unknown_calls_are_not_repeated_unless_allowed(fleet: Fleet, tell: Tell) -> None:
    """By default a call that was cut off is never made again: its picture ends as UNKNOWN_CHARGED, and none is repaid."""
    victim, _ = await fleet.staffed(REPEAT_UNKNOWN_CALLS="false")
    async with await fleet.load("Unrepeated") as load:
        load.ask(60)
        await load.until_calls(30)
        victim.kill()
        held = await fleet.held_by(victim)
    verdict = await fleet.judge(load)
    tell(f"{verdict}; {len(held)} were held")
    called_once(load)
    assert set(verdict.states) <= {"SUCCEEDED", "FAILED"}
    assert set(verdict.attempts) == {"SUCCEEDED", "UNKNOWN_CHARGED"}
    assert set(verdict.failures) == {"UNKNOWN_CHARGED"}
    assert verdict.images + verdict.failures.total() == verdict.pictures


async def test_a_worker_that_stood_still_is_fenced(fleet: Fleet, tell: Tell) -> None:
    """SIGSTOP until others have taken over, then SIGCONT: what it still does counts nowhere, and it works on."""
    sleeper, other = await fleet.staffed()
    async with await fleet.load("Stopped") as load:
        load.ask(GENERATIONS)
        await load.until_calls(60)
        sleeper.send_signal(signal.SIGSTOP)
        held = await fleet.held_by(sleeper)
        recovery = await fleet.recovered(held, sleeper)
        sleeper.send_signal(signal.SIGCONT)
    other.kill()
    async with await fleet.load("Awake again") as after:
        after.ask(20)
    # It ends once nothing of what it was doing runs any more.
    assert await asyncio.to_thread(sleeper.stop) == 0
    verdict = await fleet.judge(load)
    tell(f"{verdict}; {recovery}")
    assert verdict.states == {"SUCCEEDED": GENERATIONS}
    called_once(load, but=held)
    assert recovery.in_line_s < IN_LINE_WITHIN_S
    assert (await fleet.judge(after)).states == {"SUCCEEDED": 20}
    called_once(after)


async def test_a_rolling_restart_repeats_no_call(fleet: Fleet, tell: Tell) -> None:
    """SIGTERM, one worker after the other, with time to finish: all 200 end well, and nothing is called for twice."""
    workers = await fleet.staffed(WORKER_DRAIN_SECONDS="60")
    async with await fleet.load("Rolled") as load:
        load.ask(GENERATIONS)
        for worker, calls in zip(workers, (40, 110), strict=True):
            await load.until_calls(calls)
            await _restart(worker)
    verdict = await fleet.judge(load)
    tell(verdict)
    assert verdict.states == {"SUCCEEDED": GENERATIONS}
    assert verdict.attempts == {"SUCCEEDED": verdict.pictures}
    assert load.refused == load.resumed == 0
    called_once(load)


async def test_a_worker_without_time_to_finish_hands_over(fleet: Fleet, tell: Tell) -> None:
    """SIGTERM that cuts everything off: the other worker goes on with it, and all end well and once."""
    leaver, _ = await fleet.staffed(WORKER_DRAIN_SECONDS="0")
    async with await fleet.load("Cut off") as load:
        load.ask(GENERATIONS // 2)
        await load.until_calls(40)
        leaver.send_signal(signal.SIGTERM)
        held = await fleet.held_by(leaver)
        assert await asyncio.to_thread(leaver.stop) == 0
        recovery = await fleet.recovered(held, leaver)
    verdict = await fleet.judge(load)
    tell(f"{verdict}; {recovery}")
    assert verdict.states == {"SUCCEEDED": GENERATIONS // 2}
    assert load.refused == load.resumed == 0
    # Between the signal and the look some may have ended, or have gone to the other already.
    called_once(load, but={asked.id for asked in load.asked})
    assert recovery.in_line_s < IN_LINE_WITHIN_S


async def test_subscribers_of_a_killed_api_go_on_at_the_other(fleet: Fleet, tell: Tell) -> None:
    """100 followers lose their server and come to the other with the last number they saw: none misses an event."""
    victim, other = fleet.apis
    await fleet.staffed()
    async with await fleet.load("Followed", apis=[other], followed_on=[victim, other]) as load:
        with fleet.provider.holding_back():
            load.ask(SUBSCRIBERS)
            await load.until_followed()
            victim.kill()
    verdict = await fleet.judge(load)
    tell(verdict)
    assert verdict.states == {"SUCCEEDED": SUBSCRIBERS}
    assert load.resumed == SUBSCRIBERS
    called_once(load)
    await victim.start("serve", "--no-worker")


async def _restart(worker: Server) -> None:
    assert await asyncio.to_thread(worker.stop) == 0
    await worker.start_worker()
