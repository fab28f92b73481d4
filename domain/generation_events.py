"""The events of generations: recording them in order, and following them live."""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.errors import InvalidInput
from domain.failures import GenerationFailure
from domain.generations import (
    EventDraft,
    Generation,
    GenerationEvent,
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
        """Record one step, with the library image it brought. Of what has ended nothing is told; its image is kept."""
        async with self._unit_of_work() as work:
            if image:
                await _add(work, image, self._clock.now())
            event = await work.generations.append(generation.id, self._clock.now(), draft)
            await work.commit()
        self._publish(event)

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
            attempts = await work.generations.attempts_of([generation.id])
            event = await work.generations.finish(generation.id, now, draft, failures, cost_of(attempts, generation))
            if event and images:
                await _show(work, generation, images[0], now)
            if event:
                await settle(work, generation, made, spent(attempts, generation), now)
            await work.commit()
        self._publish(event)

    def _publish(self, event: GenerationEvent | None) -> None:
        if event is None:
            return
        self._bus.publish(event)
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
