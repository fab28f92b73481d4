"""Calling a provider for one picture: attempts on record, previews passed on, retries where they are safe."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import uuid4

from domain.connection_profiles import ConnectionProfile
from domain.costs import Cost, CostBasis
from domain.errors import ObjectMissing, StoreUnavailable
from domain.failures import FailureCode, GenerationFailure, failure
from domain.generation_events import GenerationEvents
from domain.generations import STARTED, SUCCEEDED, Attempt, EventDraft, Generation, RetryPolicy
from domain.picture_store import MADE_LIMITS, PictureStore
from domain.pictures import EncodedPicture
from domain.ports import Clock
from domain.provider_access import ProviderAccess
from domain.providers import (
    PictureArrived,
    PictureFailed,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
    ProviderKind,
    Reference,
)
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.routes import Route, falls_back

_log = logging.getLogger(__name__)

MAX_REPEATED_CALLS = 1
"""How often a call whose outcome a crash left unknown is made again."""

MAX_QUEUED_PREVIEWS = 4

PROFILE_GONE = "The connection profile is gone."

Answer = TypeVar("Answer")
Previews = asyncio.Queue[PreviewArrived]


class GenerationOver(Exception):
    """The picture is no longer this worker's to make: its generation has ended, or another worker has taken it over."""


class PictureNotMade(Exception):
    """One picture of a generation is settled: it failed."""

    def __init__(self, why: GenerationFailure) -> None:
        super().__init__(why.message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider said beside the bytes it was paid for, and by which route; stored next to them."""

    revised_prompt: str | None
    request_id: str | None
    cost: Cost | None
    arrived_at: datetime
    route: int = 0

    def to_json(self) -> bytes:
        """The receipt as it is stored."""
        return json.dumps(asdict(self), default=str).encode()

    @classmethod
    def from_json(cls, body: bytes) -> "Receipt":
        """The stored receipt."""
        told = json.loads(body)
        cost = told.get("cost")
        if told.get("cost_micro_usd") is not None:
            # Earlier versions wrote no ground.
            cost = {"micro_usd": told["cost_micro_usd"], "basis": CostBasis.LISTED}
        return cls(
            told["revised_prompt"],
            told["request_id"],
            Cost(cost["micro_usd"], CostBasis(cost["basis"])) if cost else None,
            datetime.fromisoformat(told["arrived_at"]),
            told.get("route", 0),
        )


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long and how often a provider is asked, and how long a store that is slow or away is waited for.

    `timeouts_s` has the providers that have another time than `timeout_s`. `repeats_unknown` allows to make a call once
    more whose outcome nobody knows, though it may have been paid for.
    """

    timeout_s: float = 300.0
    timeouts_s: Mapping[ProviderKind, float] = field(default_factory=dict)
    repeats_unknown: bool = False
    calls: RetryPolicy = field(default_factory=RetryPolicy)
    previews_s: float = 5.0
    storing: RetryPolicy = field(default_factory=lambda: RetryPolicy(max_attempts=8, max_pause_s=30.0))

    def timeout_of(self, provider: ProviderKind) -> float:
        """How long one call to the provider may take, in seconds."""
        return self.timeouts_s.get(provider, self.timeout_s)


def staging(generation: Generation) -> str:
    """The folder of the objects that only the work on this generation needs."""
    return f"{generation.community_id}/staging/{generation.id}"


class ProviderCalls:
    """Pays for a picture at most once, as far as that can be known, and keeps the bytes it paid for."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        access: ProviderAccess,
        pictures: PictureStore,
        events: GenerationEvents,
        clock: Clock,
        limits: CallLimits,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._access = access
        self._pictures = pictures
        self._events = events
        self._clock = clock
        self._limits = limits
        self._sleep = sleep

    async def paid_for(self, generation: Generation, index: int) -> Receipt:
        """The receipt of a picture whose bytes are staged, calling the provider unless an earlier call's are there.

        Raises PictureNotMade, GenerationOver, StoreUnavailable.
        """
        receipt = await self._staged(generation, index)
        attempts = await self._attempts_so_far(generation, index, receipt)
        if receipt is None and attempts and attempts[-1].outcome == SUCCEEDED:
            # Its call came to its end just now, at a worker that was taken for dead.
            receipt = await self._staged(generation, index)
        return receipt or await self._call(generation, index, attempts)

    async def _staged(self, generation: Generation, index: int) -> Receipt | None:
        key = f"{staging(generation)}/{index}"
        if not await self.persistently(lambda: self._pictures.objects.exists(key)):
            return None
        body = await self.persistently(lambda: self._pictures.objects.get(f"{key}.json", MADE_LIMITS.max_bytes))
        return Receipt.from_json(body)

    async def _attempts_so_far(self, generation: Generation, index: int, receipt: Receipt | None) -> list[Attempt]:
        """The calls for the picture; the one that a crash cut off gets the outcome that is known by now."""
        async with self._unit_of_work(read_only=True) as work:
            attempts = await _attempts_of(work, generation, index)
        cut_off = [attempt for attempt in attempts if attempt.outcome == STARTED]
        if not cut_off:
            return attempts
        async with self._unit_of_work() as work:
            # Who was taken for dead must not take its successor's call for one that was cut off.
            await self._check_ours(work, generation)
            for attempt in cut_off:
                is_free = generation.routes[attempt.route].is_free
                await work.generations.finish_attempt(_closed(attempt, receipt, self._clock.now(), is_free=is_free))
            # What its own worker has recorded meanwhile stays.
            attempts = await _attempts_of(work, generation, index)
            await work.commit()
        return attempts

    async def _check_ours(self, work: UnitOfWork, generation: Generation) -> None:
        if not await work.jobs.is_ours(generation.id):
            raise GenerationOver

    async def _call(self, generation: Generation, index: int, attempts: Sequence[Attempt]) -> Receipt:
        await self._check_may_repeat(generation, attempts)
        references = await self._references(generation)
        made = list(attempts)
        route = made[-1].route if made else 0
        if made and made[-1].outcome != FailureCode.UNKNOWN_CHARGED:
            route = await self._next_route(generation, _failure_of(made[-1]), made)
        while True:
            asked = generation.routes[route]
            request = PictureRequest(asked.model, generation.prompt, asked.options, index, references)
            attempt, outcome = await self._attempt(generation, request, route, len(made) + 1)
            if isinstance(outcome, Receipt):
                return outcome
            made.append(attempt)
            route = await self._next_route(generation, outcome, made)

    async def _check_may_repeat(self, generation: Generation, attempts: Sequence[Attempt]) -> None:
        """A call whose outcome is unknown is made once more where that costs nothing or is allowed, and never unsaid."""
        unknown = [attempt for attempt in attempts if attempt.outcome == FailureCode.UNKNOWN_CHARGED]
        if not unknown:
            return
        may_repeat = self._limits.repeats_unknown or not any(attempt.is_charged for attempt in unknown)
        if not may_repeat or len(unknown) > MAX_REPEATED_CALLS:
            is_charged = any(attempt.is_charged for attempt in unknown)
            message = None if is_charged else "The worker stopped during the call, more than once."
            raise PictureNotMade(failure(FailureCode.UNKNOWN_CHARGED, message, is_charged=is_charged))
        if attempts[-1] is unknown[-1]:
            stage = "The worker stopped during the call. Asking the provider again."
            await self._events.tell(generation, EventDraft(index=attempts[-1].index, stage=stage))

    async def _next_route(self, generation: Generation, why: GenerationFailure, made: Sequence[Attempt]) -> int:
        """By which route to call next: another one at once, or the same after a pause. Raises PictureNotMade."""
        index, route = made[-1].index, made[-1].route
        is_paid = any(attempt.is_charged for attempt in made)
        if falls_back(why) and not is_paid and route + 1 < len(generation.routes):
            name = self._access.own[generation.routes[route + 1].provider].name
            await self._events.tell(generation, EventDraft(index=index, stage=f"{why.message} Trying {name} instead."))
            return route + 1
        calls = sum(attempt.route == route for attempt in made)
        pause_s = self._limits.calls.pause_s(why, calls, random.random())  # noqa: S311 - jitter, not a secret
        if pause_s is None:
            raise PictureNotMade(replace(why, is_charged=why.is_charged or is_paid))
        stage = f"{why.message} Trying again in {max(1, round(pause_s))} s."
        await self._events.tell(generation, EventDraft(index=index, stage=stage))
        await self._sleep(pause_s)
        return route

    async def _references(self, generation: Generation) -> tuple[Reference, ...]:
        references = []
        for pin in generation.references:
            try:
                data = await self.persistently(partial(self._pictures.objects.get, pin.key, MADE_LIMITS.max_bytes))
            except ObjectMissing:
                raise PictureNotMade(failure(FailureCode.REFERENCE_UNREADABLE)) from None
            picture = EncodedPicture(data, pin.media_type, pin.width_px, pin.height_px)
            references.append(Reference(pin.name, pin.role, pin.sha256, picture))
        return tuple(references)

    async def _attempt(
        self, generation: Generation, request: PictureRequest, route: int, number: int
    ) -> tuple[Attempt, Receipt | GenerationFailure]:
        asked = generation.routes[route]
        attempt = Attempt(
            id=uuid4(),
            generation_id=generation.id,
            index=request.index,
            number=number,
            provider=asked.provider,
            model=asked.model,
            started_at=self._clock.now(),
            finished_at=None,
            outcome=STARTED,
            provider_request_id=None,
            cost=None,
            route=route,
            profile_id=asked.profile_id,
        )
        async with self._unit_of_work() as work:
            # Locked: who ends the generation beside this knows of the call, or it is never made.
            locked = await work.generations.load(generation.id, for_update=True)
            if locked is None or locked.state.is_terminal:
                raise GenerationOver
            await self._check_ours(work, generation)
            await work.generations.add_attempt(attempt)
            profile = await self._profile(work, generation, attempt)
            await work.commit()
        event = await self._answer(generation, asked, profile, request)
        now = self._clock.now()
        outcome: Receipt | GenerationFailure
        cost = None if event.cost_micro_usd is None else Cost(event.cost_micro_usd, event.cost_basis)
        if isinstance(event, PictureArrived):
            receipt = Receipt(event.revised_prompt, event.request_id, cost, now, route)
            outcome = await self._stage(generation, request.index, event.data, receipt)
            ended = _closed(attempt, receipt, now, is_free=asked.is_free)
        else:
            outcome = event.failure
            ended = replace(
                attempt, provider_request_id=event.request_id, finished_at=now, cost=cost, detail=event.detail
            )
        if isinstance(outcome, GenerationFailure):
            ended = replace(ended, outcome=outcome.code.value, is_charged=outcome.is_charged)
        async with self._unit_of_work() as work:
            await work.generations.finish_attempt(ended)
            await work.commit()
        return ended, outcome

    async def _profile(self, work: UnitOfWork, generation: Generation, attempt: Attempt) -> ConnectionProfile | None:
        """The route's profile as it is now: read where the call is put on record, so that what fails there called nobody."""
        if attempt.profile_id is None:
            return None
        await work.connection_profiles.used(attempt.profile_id, attempt.started_at)
        found = await work.connection_profiles.of_user_by_ids(generation.requested_by_id, [attempt.profile_id])
        return found[0] if found else None

    async def _answer(
        self, generation: Generation, route: Route, profile: ConnectionProfile | None, request: PictureRequest
    ) -> PictureArrived | PictureFailed:
        """The provider's last word. A profile that is gone, or doesn't open, never means the server's own access."""
        if route.profile_id:
            problem = self._access.problem_of(profile) if profile else PROFILE_GONE
            if problem:
                return PictureFailed(failure(FailureCode.INVALID_KEY, problem))
        async with self._access.lend(route.provider, profile) as provider:
            timeout_s = self._limits.timeout_of(route.provider)
            return await self._heard(generation, request, provider.generate(request), timeout_s)

    async def _heard(
        self,
        generation: Generation,
        request: PictureRequest,
        events: AsyncGenerator[ProviderEvent, None],
        timeout_s: float,
    ) -> PictureArrived | PictureFailed:
        """What a call ends with. An adapter that breaks its promises is an internal failure, not a crash."""
        try:
            # Shown beside the call: a slow store must not use up the time that the provider has.
            async with (
                self._showing(generation, request.index) as previews,
                asyncio.timeout(timeout_s),
                aclosing(events),
            ):
                answer = await _listen(events, previews)
        except TimeoutError:
            return PictureFailed(failure(FailureCode.TIMEOUT, is_charged=True))
        except Exception:  # noqa: BLE001 - whatever it is, the call was made
            _log.exception("provider adapter failed", extra={"generation_id": str(generation.id)})
            return PictureFailed(failure(FailureCode.INTERNAL, is_charged=True))
        if isinstance(answer, PictureArrived) and not 0 < len(answer.data) <= MADE_LIMITS.max_bytes:
            return PictureFailed(failure(FailureCode.BAD_RESPONSE, is_charged=True), answer.request_id)
        return answer

    @asynccontextmanager
    async def _showing(self, generation: Generation, index: int) -> AsyncIterator[Previews]:
        """Show previews as they are queued. At the end what is still queued gets a moment, and is then dropped."""
        previews: Previews = asyncio.Queue(MAX_QUEUED_PREVIEWS)
        showing = asyncio.create_task(self._show_previews(generation, index, previews))
        try:
            yield previews
        finally:
            # Not wait_for: before Python 3.12 it may swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.previews_s):
                    await previews.join()
            showing.cancel()
            await asyncio.wait([showing])

    async def _show_previews(self, generation: Generation, index: int, previews: Previews) -> None:
        number = 0
        while True:
            number += 1
            await self._show_preview(generation, index, number, await previews.get())
            previews.task_done()

    async def _show_preview(self, generation: Generation, index: int, number: int, event: PreviewArrived) -> None:
        stem = f"{generation.community_id}/previews/{generation.id}/{index}-{number}-{uuid4().hex[:8]}"
        try:
            preview = await self._pictures.store_preview(stem, event.data)
            await self._events.tell(generation, EventDraft(index=index, stage=f"Preview {number}", preview=preview))
        except Exception:  # noqa: BLE001 - whatever it is, see below
            # A preview is a courtesy: a broken one, or a store or database that is away, must not cost the picture.
            extra = {"generation_id": str(generation.id), "index": index}
            _log.warning("preview dropped", extra=extra, exc_info=True)

    async def _stage(
        self, generation: Generation, index: int, data: bytes, receipt: Receipt
    ) -> Receipt | GenerationFailure:
        """Store what was paid for. The receipt goes first: where the bytes are, it is there too."""
        key, put = f"{staging(generation)}/{index}", self._pictures.objects.put
        try:
            await self.persistently(lambda: put(f"{key}.json", receipt.to_json(), "application/json"))
            await self.persistently(lambda: put(key, data, "application/octet-stream"))
        except StoreUnavailable:
            return failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=True)
        return receipt

    async def persistently(self, operation: Callable[[], Awaitable[Answer]]) -> Answer:
        """The operation's answer, waiting for a store that is away. Raises StoreUnavailable in the end."""
        tried = 0
        while True:
            tried += 1
            try:
                return await operation()
            except ObjectMissing:
                raise
            except StoreUnavailable:
                why = failure(FailureCode.STORAGE_UNAVAILABLE)
                pause_s = self._limits.storing.pause_s(why, tried, random.random())  # noqa: S311 - jitter
                if pause_s is None:
                    raise
                await self._sleep(pause_s)


async def _listen(events: AsyncGenerator[ProviderEvent, None], previews: Previews) -> PictureArrived | PictureFailed:
    async for event in events:
        if not isinstance(event, PreviewArrived):
            return event
        with suppress(asyncio.QueueFull):
            previews.put_nowait(event)
    return PictureFailed(failure(FailureCode.EMPTY_RESULT, is_charged=True))


async def _attempts_of(work: UnitOfWork, generation: Generation, index: int) -> list[Attempt]:
    return [attempt for attempt in await work.generations.attempts_of([generation.id]) if attempt.index == index]


def _closed(attempt: Attempt, receipt: Receipt | None, now: datetime, *, is_free: bool) -> Attempt:
    """The call's record with its outcome; without a receipt nobody knows what came of it."""
    if receipt is None:
        return replace(attempt, outcome=FailureCode.UNKNOWN_CHARGED.value, finished_at=now, is_charged=not is_free)
    return replace(
        attempt,
        outcome=SUCCEEDED,
        finished_at=receipt.arrived_at,
        provider_request_id=receipt.request_id,
        cost=receipt.cost,
    )


def _failure_of(attempt: Attempt) -> GenerationFailure:
    """What an earlier call ended with, so that a repeated step asks nothing of a provider that refused or was paid."""
    if attempt.outcome == SUCCEEDED:
        # It arrived, was stored, and is gone from the store.
        return failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=True)
    return failure(FailureCode(attempt.outcome), is_charged=attempt.is_charged)
