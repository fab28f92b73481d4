"""The events of generations: recording them in order, ending with the outcome, and following them live."""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.errors import InvalidInput
from domain.failures import FailureCode, GenerationFailure, failure
from domain.generations import (
    CANCELLED,
    STARTED,
    SUCCEEDED,
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
        """Record the outcome: the images that were made, the failures, the cost, and the portrait when asked for."""
        now = self._clock.now()
        async with self._unit_of_work() as work:
            # Locked before anything is read: what is told beside this counts, or comes too late.
            await work.generations.load(generation.id, for_update=True)
            images = await work.images.of_generations([generation.id], for_use=True)
            outcomes = await work.generations.outcomes(generation.id)
            # Counted by what was told: an image may have been deleted since.
            made = sum(event.image_id is not None for event in outcomes)
            failures = [*unprepared, *(event.failure for event in outcomes if event.failure)]
            state = final_state(made, failures)
            draft = EventDraft(
                state,
                final_stage(state, made, generation.options.n),
                failure=unprepared[0] if unprepared else None,
            )
            attempts = await _given_up(work, generation, FailureCode.UNKNOWN_CHARGED, now)
            event = await work.generations.finish(generation.id, now, draft, failures, cost_of(attempts, generation))
            if event is None:
                return
            if images:
                await _show(work, generation, images[0], now)
            await settle(work, generation, made, spent(attempts, generation), now)
            await work.commit()
        self.publish(generation, event)

    async def cancel(self, generation: Generation) -> None:
        """End it because nobody wants it any more; does nothing when it has ended.

        The images that are there stay. Calls that are under way count as paid for, unless they are free.
        """
        now = self._clock.now()
        async with self._unit_of_work() as work:
            # Locked before anything is read: a call that begins beside this is seen here, or never made.
            await work.generations.load(generation.id, for_update=True)
            outcomes = await work.generations.outcomes(generation.id)
            attempts = await _given_up(work, generation, CANCELLED, now)
            settled = {event.index for event in outcomes}
            made = sum(event.image_id is not None for event in outcomes)
            lost = [
                failure(FailureCode.UNKNOWN_CHARGED, _PAID_IN_VAIN, is_charged=True).at(index)
                for index in sorted(_paid(attempts) - settled)
            ]
            failures = [*(event.failure for event in outcomes if event.failure), *lost]
            draft = EventDraft(GenerationState.CANCELLED, cancelled_stage(made, generation.options.n, len(lost)))
            event = await work.generations.finish(generation.id, now, draft, failures, cost_of(attempts, generation))
            if event is None:
                return
            await settle(work, generation, made, spent(attempts, generation), now)
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


async def _given_up(work: UnitOfWork, generation: Generation, outcome: str, now: datetime) -> list[Attempt]:
    """Every call of the generation's; those that are under way get this outcome, for nobody waits for them any more."""
    attempts = []
    for attempt in await work.generations.attempts_of([generation.id]):
        ended = attempt
        if attempt.outcome == STARTED:
            is_free = generation.routes[attempt.route].is_free
            ended = replace(attempt, outcome=outcome, finished_at=now, is_charged=not is_free)
            await work.generations.finish_attempt(ended)
        attempts.append(ended)
    return attempts


def _paid(attempts: Sequence[Attempt]) -> set[int]:
    return {attempt.index for attempt in attempts if attempt.is_charged or attempt.outcome == SUCCEEDED}


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
