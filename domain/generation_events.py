"""The events of generations: recording them in order, ending with the outcome, and following them live."""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from domain.errors import InvalidInput
from domain.failures import FailureCode, GenerationFailure, failure
from domain.generations import (
    CANCELLED,
    STARTED,
    Attempt,
    EventDraft,
    Generation,
    GenerationEvent,
    GenerationState,
    PictureSettled,
    cancelled_stage,
    cost_of,
    final_stage,
    final_state,
    spent,
)
from domain.images import Image
from domain.ports import Clock, EventBus
from domain.quotas import settle
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import Viewer

_log = logging.getLogger(__name__)


class GenerationEvents:
    """The one place that writes events and hands them on: the row first, then the bus."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, bus: EventBus, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._bus = bus
        self._clock = clock

    async def tell(self, generation: Generation, draft: EventDraft, image: Image | None = None) -> None:
        """Record one step, with the library image it brought. Of what has ended nothing is told.

        The image of what was broken off is kept, for it was paid for; that of what was cancelled nobody wants. What
        another worker has told of a picture stays its last word.
        """
        try:
            async with self._unit_of_work() as work:
                if image:
                    await _add(work, image, self._clock.now())
                event = await work.generations.append(generation.id, self._clock.now(), draft)
                if event is None and image and await _is_cancelled(work, generation):
                    return
                await work.commit()
        except PictureSettled:
            return
        self.publish(generation, event)

    async def end(self, generation: Generation, unprepared: Sequence[GenerationFailure] = ()) -> None:
        """Record the outcome: the images that were made, the failures, the cost, and the portrait when asked for.

        Does nothing when it has ended, or when the work that asks has lost it to another worker.
        """
        now = self._clock.now()
        async with self._unit_of_work() as work:
            # Locked before the generation, as by whoever removes an image, an identity or a step: else both might wait for
            # each other. A picture that is told of in between counts, but isn't shown.
            images = await work.images.of_generations([generation.id], for_use=True)
            if images:
                await _show(work, generation, images[0], now)
            tally = await _tallied(work, generation, FailureCode.UNKNOWN_CHARGED, now)
            if tally is None or not await work.jobs.is_ours(generation.id):
                return
            failures = [*unprepared, *tally.failures]
            state = final_state(tally.made, failures)
            stage = final_stage(state, tally.made, generation.options.n)
            draft = EventDraft(state, stage, failure=unprepared[0] if unprepared else None)
            event = await _finished(work, generation, draft, failures, tally, now)
            await work.commit()
        self.publish(generation, event)

    async def cancel(self, generation: Generation) -> None:
        """End it because nobody wants it any more; does nothing when it has ended.

        The images that are there stay. Calls that are under way count as paid for, unless they are free.
        """
        now = self._clock.now()
        async with self._unit_of_work() as work:
            tally = await _tallied(work, generation, CANCELLED, now)
            if tally is None:
                return
            lost = [
                failure(FailureCode.UNKNOWN_CHARGED, _PAID_IN_VAIN, is_charged=True).at(index)
                for index in tally.paid_in_vain
            ]
            stage = cancelled_stage(tally.made, generation.options.n, len(lost))
            draft = EventDraft(GenerationState.CANCELLED, stage)
            event = await _finished(work, generation, draft, [*tally.failures, *lost], tally, now)
            await work.commit()
        self.publish(generation, event)

    def publish(self, generation: Generation, event: GenerationEvent | None) -> None:
        """Hand an event on, once its row is committed."""
        if event is None:
            return
        self._bus.publish(event, generation.owner_id)
        _log.info(
            "generation",
            extra={
                "generation_id": str(event.generation_id),
                "seq": event.seq,
                "state": event.state.value,
                "stage": event.stage,
                "index": event.index,
                "code": event.failure.code.value if event.failure else None,
            },
        )

    async def follow(self, viewer: Viewer, id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """Every event numbered above `after`: those that were missed, then live, until the generation ends.

        Raises NotFound, InvalidInput.
        """
        if after < 0:
            raise InvalidInput("after must not be negative", "after")
        async with self._unit_of_work(read_only=True) as work:
            generation = await work.generations.get(viewer.scope, id)
        if generation.state.is_terminal and after >= generation.event_seq:
            return
        # A number that was never drawn must not make the follower wait for what comes after it.
        events = self._bus.follow(generation.id, min(after, generation.event_seq))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def follow_all(self, viewer: Viewer) -> AsyncGenerator[GenerationEvent, None]:
        """Every event from now on of all the viewer's generations, those too that are yet to be asked for."""
        events = self._bus.follow_all(viewer.id)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


_PAID_IN_VAIN = "Cancelled after the provider was asked; it may have charged for this picture."


@dataclass(frozen=True, slots=True)
class _Tally:
    """What was told of each picture, and every call that was made for them, of which none is under way any more."""

    outcomes: Sequence[GenerationEvent]
    calls: Sequence[Attempt]

    @property
    def made(self) -> int:
        """How many pictures came: counted by what was told, for an image may have been deleted since."""
        return sum(event.image_id is not None for event in self.outcomes)

    @property
    def failures(self) -> list[GenerationFailure]:
        """Those of single pictures."""
        return [event.failure for event in self.outcomes if event.failure]

    @property
    def paid_in_vain(self) -> list[int]:
        """The pictures that were paid for and of which nothing was told."""
        paid = {call.index for call in self.calls if call.is_paid_for}
        return sorted(paid - {event.index for event in self.outcomes})


async def _tallied(work: UnitOfWork, generation: Generation, given_up: str, now: datetime) -> _Tally | None:
    """What a generation ends with; None when it has ended. Calls under way get the outcome: nobody waits for them."""
    # Locked before anything is read: what is told, or called, beside this counts, or comes too late.
    locked = await work.generations.load(generation.id, for_update=True)
    if locked is None or locked.state.is_terminal:
        return None
    for call in await work.generations.attempts_of([generation.id]):
        if call.outcome == STARTED:
            is_free = generation.routes[call.route].is_free
            ended = replace(call, outcome=given_up, finished_at=now, is_charged=not is_free)
            await work.generations.finish_attempt(ended)
    # Read again: what a worker recorded of its call meanwhile stays.
    calls = await work.generations.attempts_of([generation.id])
    return _Tally(await work.generations.outcomes(generation.id), calls)


async def _finished(
    work: UnitOfWork,
    generation: Generation,
    draft: EventDraft,
    failures: Sequence[GenerationFailure],
    tally: _Tally,
    now: datetime,
) -> GenerationEvent | None:
    """Store the last event with the outcome, and count what was used."""
    cost = cost_of(tally.calls, generation)
    event = await work.generations.finish(generation.id, now, draft, failures, cost)
    await settle(work, generation, tally.made, spent(tally.calls, generation), now)
    return event


async def _is_cancelled(work: UnitOfWork, generation: Generation) -> bool:
    now = await work.generations.load(generation.id)
    return now is not None and now.state is GenerationState.CANCELLED


async def _add(work: UnitOfWork, image: Image, now: datetime) -> None:
    picture = await work.pictures.keep(image.owner_id, image.picture)
    if not await work.images.add(replace(image, picture=picture)):
        await work.pictures.release(picture, now)


async def _show(work: UnitOfWork, generation: Generation, image: Image, now: datetime) -> None:
    """Put the image where the request wanted it: identities and steps that are gone by now are passed over."""
    if generation.save_to_identity and generation.identity_id:
        await work.identities.set_image(generation.identity_id, image.id, now)
    if generation.step_id:
        await work.wizards.set_background(generation.step_id, image.id)
