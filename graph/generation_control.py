"""What can be done about a generation that is there: no longer wanting it, and asking for it again."""

from typing import Annotated

import strawberry

from domain.generations import Generation as GenerationModel
from graph.context import Info
from graph.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ProviderUnusableError,
    QuotaExceededError,
    StorageUnavailableError,
    UnsupportedByModelError,
)
from graph.fields import Input
from graph.generations import Generation
from graph.ids import uuid_of

_NOUN = "Generation"


@strawberry.input(description="Which generation to cancel.")
class CancelGenerationInput:
    """A generation."""

    id: strawberry.ID = strawberry.field(description="The generation's id.")


@strawberry.type(description="The generation has ended: it is cancelled, or was over already.")
class CancelGenerationSuccess:
    """A generation."""

    generation: GenerationModel = strawberry.field(
        graphql_type=Generation,
        description="The generation. Its `state` is `CANCELLED` unless it had ended before, which is no error. What the "
        "provider may charge all the same is told by `failures` (`UNKNOWN_CHARGED`, with `isCharged`) and by `attempts` "
        "(`CANCELLED`, with `isCharged`); it counts against the month's quotas at the price that was expected.",
    )


CancelGenerationResult = Annotated[
    CancelGenerationSuccess | NotFoundError,
    strawberry.union("CancelGenerationResult", description="What became of cancelling a generation."),
]


async def _cancel(info: Info, input: Input[CancelGenerationInput]) -> CancelGenerationResult:
    viewer, id = info.context.viewer, uuid_of(_NOUN, input.id)
    return CancelGenerationSuccess(generation=await info.context.services.requests.cancel(viewer, id))


@strawberry.input(description="Which generation to ask for again.")
class RetryGenerationInput:
    """A generation that has ended."""

    id: strawberry.ID = strawberry.field(description="The id of a generation that ended without all of its images.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Of your choice, up to 255 characters: a repeated call with the same key answers with the first one. "
        "Keys are shared with `generateImage`.",
    )


@strawberry.type(description="A new generation is in line.")
class RetryGenerationSuccess:
    """A generation."""

    generation: GenerationModel = strawberry.field(
        graphql_type=Generation,
        description="The new generation, for the images that the earlier one didn't bring. Its `retryOf` is that one.",
    )


RetryGenerationResult = Annotated[
    RetryGenerationSuccess
    | InvalidInputError
    | NotFoundError
    | ConflictError
    | UnsupportedByModelError
    | ProviderUnusableError
    | QuotaExceededError
    | StorageUnavailableError,
    strawberry.union("RetryGenerationResult", description="What became of asking again."),
]


async def _retry(info: Info, input: Input[RetryGenerationInput]) -> RetryGenerationResult:
    viewer, id = info.context.viewer, uuid_of(_NOUN, input.id)
    again = await info.context.services.requests.retry(viewer, id, input.idempotency_key)
    return RetryGenerationSuccess(generation=again)


@strawberry.type
class GenerationControlMutations:
    """Cancelling and retrying."""

    cancel_generation: CancelGenerationResult = strawberry.mutation(
        resolver=_cancel,
        description="End a generation at whatever stage it is. Who follows it is told at once, and the work stops within "
        "about a second. Images that are there stay.",
    )
    retry_generation: RetryGenerationResult = strawberry.mutation(
        resolver=_retry,
        description="Ask again for the images that a generation didn't bring, just as they were asked for: with the same "
        "prompt, options and connection profiles, and the reference images as they are now.",
    )
