"""Following a generation live: its events, those that were missed first."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import strawberry
from strawberry import Parent

from domain import generations as models
from domain.errors import InvalidInput
from domain.generations import GenerationState
from domain.images import Image as ImageModel
from graph.context import Info
from graph.fields import Id, resolved
from graph.generations import Generation, GenerationFailure
from graph.ids import uuid_of
from graph.images import Image
from graph.pictures import Picture
from graph.sharing import Steps


@dataclass(frozen=True, slots=True)
class _Step:
    """An event, and the generation as it was when following began: what never changes of it is enough here."""

    event: models.GenerationEvent
    generation: models.Generation

    @property
    def seq(self) -> int:
        """The event's number."""
        return self.event.seq

    @property
    def is_terminal(self) -> bool:
        """Whether it is the generation's last event."""
        return self.event.is_terminal


def _elapsed_seconds(step: Parent[_Step]) -> float:
    return (step.event.at - step.generation.created_at).total_seconds()


def _seconds_left(step: Parent[_Step]) -> int | None:
    began = step.generation
    return models.seconds_left(began.expected_s, began.created_at, step.event.at, step.event.state)


async def _image(step: Parent[_Step], info: Info) -> ImageModel | None:
    if step.event.image_id is None:
        return None
    return await info.context.loaders.images.load(step.event.image_id)


async def _generation(step: Parent[_Step], info: Info) -> models.Generation | None:
    return await info.context.loaders.generations.load(step.event.generation_id)


def _of_event(name: str) -> Callable[[_Step], Any]:
    def resolve(step: Parent[_Step]) -> Any:
        return getattr(step.event, name)

    return resolve


@strawberry.type(description="One step of progress. Numbers count from 1 without gaps.")
class GenerationEvent:
    """The source is a step."""

    seq: int = resolved(_of_event("seq"), "The event's number within its generation.")
    at: datetime = resolved(_of_event("at"), "When it happened.")
    state: GenerationState = resolved(_of_event("state"), "How far the generation was then.")
    is_terminal: bool = resolved(_of_event("is_terminal"), "Whether this is the last event.")
    stage: str = resolved(_of_event("stage"), "What happens, for a person to read.")
    elapsed_seconds: float = resolved(_elapsed_seconds, "Since the generation was asked for.")
    estimated_seconds_left: int | None = resolved(
        _seconds_left, "By the model's measured times; null when there are none, or it has ended."
    )
    preview: Picture | None = resolved(_of_event("preview"), "A partial picture that the provider really streamed.")
    index: int | None = resolved(_of_event("index"), "Which image, from 0; null for all.")
    image: Image | None = resolved(_image, "An image that is done.")
    failure: GenerationFailure | None = resolved(_of_event("failure"), "Why an image, or the whole generation, failed.")
    generation: Generation = resolved(_generation, "The generation as it is now.")


async def _progress(
    info: Info,
    id: Id,
    after: Annotated[int, strawberry.argument(description="The number of the last event that is known.")] = 0,
) -> AsyncGenerator[GenerationEvent, None]:
    viewer, events = info.context.viewer, info.context.services.events
    # What forbids following is said before the stream begins: an error of the operation, not of an event.
    if after < 0:
        raise InvalidInput("after must not be negative", "after")
    async with info.context.reading() as work:
        generation = await work.generations.get(viewer.scope, uuid_of("Generation", id))

    async def steps(after: int) -> AsyncGenerator[_Step, None]:
        async with aclosing(events.follow(viewer, generation.id, after)) as followed:
            async for event in followed:
                yield _Step(event, generation)

    # After a number that was never drawn, the subscriber would miss what comes up to it.
    return cast("AsyncGenerator[GenerationEvent, None]", Steps(min(after, generation.event_seq), steps))


async def _progress_of_all(info: Info) -> AsyncGenerator[GenerationEvent, None]:
    viewer, context = info.context.viewer, info.context

    async def steps() -> AsyncGenerator[Any, None]:
        begun: dict[UUID, models.Generation] = {}
        async with aclosing(context.services.events.follow_all(viewer)) as followed:
            async for event in followed:
                id = event.generation_id
                generation = begun.pop(id, None) or await context.loaders.generations.load(id)
                if generation is None:
                    continue
                if not event.is_terminal:
                    begun[id] = generation
                yield _Step(event, generation)

    return steps()


@strawberry.type(description="What can be followed live, over WebSocket.")
class Subscription:
    """Live events."""

    generation_progress: AsyncGenerator[GenerationEvent, None] = strawberry.subscription(
        resolver=_progress,
        description="Every event of a generation after that number: those that were missed, then live, until it ends.",
    )
    generations_progress: AsyncGenerator[GenerationEvent, None] = strawberry.subscription(
        resolver=_progress_of_all,
        description="Every event from now on of all your generations, those too that you have yet to ask for.",
    )
