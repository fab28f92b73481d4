"""Generations: what became of asking for images. The asking itself is in `generation_requests`."""

from collections.abc import Sequence
from datetime import datetime

import strawberry
from strawberry import Parent

from domain import generations as models
from domain.connection_profiles import ConnectionProfile as ProfileModel
from domain.costs import CostBasis
from domain.failures import FailureCode
from domain.generations import GenerationState
from domain.identities import Identity as IdentityModel
from domain.images import Image as ImageModel
from domain.pages import Page
from domain.providers import ProviderKind
from domain.users import User as UserModel
from domain.wizards import Step as StepModel
from graph.connection_profiles import ConnectionProfile
from graph.context import Info
from graph.cursors import PageInfo, asked_page, cursor_of
from graph.fields import After, First, Id, resolved
from graph.identities import Identity
from graph.images import Image
from graph.nodes import Node, found
from graph.scalars import amount
from graph.steps import Step
from graph.tags import Tag
from graph.users import User


@strawberry.type(description="Why a picture could not be made.")
class GenerationFailure:
    """The source is a domain GenerationFailure."""

    code: FailureCode = strawberry.field(description="What happened, to switch on.")
    message: str = strawberry.field(description="What happened, for a person to read.")
    is_retryable: bool = strawberry.field(description="Whether asking again may well succeed.")
    is_charged: bool = strawberry.field(description="Whether the provider may have taken money all the same.")
    retry_after_s: int | None = strawberry.field(
        name="retryAfterSeconds", description="How long the provider wants to be left alone, when it says so."
    )
    index: int | None = strawberry.field(description="Which image failed, from 0; null for all of them.")


async def _profile(source: Parent[models.Generation | models.Attempt], info: Info) -> ProfileModel | None:
    return await info.context.loaders.connection_profiles.load(source.profile_id) if source.profile_id else None


def _provider_message(attempt: Parent[models.Attempt], info: Info) -> str | None:
    return attempt.detail if info.context.viewer.is_admin else None


def _attempt_cost(attempt: Parent[models.Attempt]) -> int | None:
    return amount(attempt.cost.micro_usd) if attempt.cost else None


def _attempt_basis(attempt: Parent[models.Attempt]) -> CostBasis | None:
    return attempt.cost.basis if attempt.cost else None


@strawberry.type(description="One call to a provider.")
class Attempt:
    """The source is a domain Attempt."""

    provider: ProviderKind = strawberry.field(description="Who was called.")
    model: str = strawberry.field(description="The model that was asked for.")
    profile: ConnectionProfile | None = resolved(
        _profile, "By which connection profile, if it is one of yours and still there."
    )
    route: int = strawberry.field(
        description="By which of the ways that were asked for: 0 is the first, others are what it fell back to."
    )
    index: int = strawberry.field(description="For which image, from 0.")
    number: int = strawberry.field(description="The how manieth call for this image, from 1.")
    started_at: datetime = strawberry.field(description="When the call began.")
    finished_at: datetime | None = strawberry.field(description="When it ended; null while it runs.")
    outcome: str = strawberry.field(description="`STARTED`, `SUCCEEDED`, `CANCELLED`, or a `FailureCode`.")
    is_charged: bool = strawberry.field(
        description="Whether the provider may have taken money although it brought no image: for a call that failed, that "
        "was cancelled, or of which nobody knows what came."
    )
    provider_request_id: str | None = strawberry.field(
        description="The provider's own id of the call, for its support."
    )
    provider_message: str | None = resolved(
        _provider_message,
        "What the provider said when it failed, without secrets and cut short; for admins of the community alone.",
    )
    cost_micro_usd: int | None = resolved(
        _attempt_cost, "What it cost in millionths of a US dollar; null when that is not known."
    )
    cost_basis: CostBasis | None = resolved(_attempt_basis, "How the cost is known; null when it isn't.")


async def _owner(generation: Parent[models.Generation], info: Info) -> UserModel | None:
    return await info.context.loaders.users.load(generation.owner_id)


async def _identity(generation: Parent[models.Generation], info: Info) -> IdentityModel | None:
    if generation.identity_id is None:
        return None
    return await info.context.loaders.identities.load(generation.identity_id)


async def _step(generation: Parent[models.Generation], info: Info) -> StepModel | None:
    return await info.context.loaders.steps.load(generation.step_id) if generation.step_id else None


def _requested_images(generation: Parent[models.Generation]) -> int:
    return generation.options.n


async def _images(generation: Parent[models.Generation], info: Info) -> Sequence[ImageModel]:
    return await info.context.loaders.images_of.load(generation.id)


def _seconds_left(generation: Parent[models.Generation], info: Info) -> int | None:
    return generation.seconds_left(info.context.services.clock.now())


def _estimated_cost(generation: Parent[models.Generation]) -> int | None:
    return amount(generation.estimated_cost_micro_usd)


def _actual_cost(generation: Parent[models.Generation]) -> int | None:
    return amount(generation.actual_cost.micro_usd) if generation.actual_cost else None


def _cost_basis(generation: Parent[models.Generation]) -> CostBasis | None:
    return generation.actual_cost.basis if generation.actual_cost else None


async def _retry_of(generation: Parent[models.Generation], info: Info) -> models.Generation | None:
    return await info.context.loaders.generations.load(generation.retry_of_id) if generation.retry_of_id else None


async def _attempts(generation: Parent[models.Generation], info: Info) -> Sequence[models.Attempt]:
    return await info.context.loaders.attempts_of.load(generation.id)


@strawberry.type(description="One request for images, and everything that became of it.")
class Generation(Node):
    """The source is a domain Generation."""

    owner: User = resolved(_owner, "Whose images they will be.")
    identity: Identity | None = resolved(_identity, "Whom they show, if it is still there.")
    step: Step | None = resolved(_step, "Whose background the first image becomes, if the step is still there.")
    state: GenerationState = strawberry.field(description="How far it has come.")
    requested_images: int = resolved(_requested_images, "How many images were asked for.")
    profile: ConnectionProfile | None = resolved(
        _profile, "The connection profile that it asks by, if it is one of yours and still there."
    )
    provider: ProviderKind = strawberry.field(description="Who is asked first.")
    model: str = strawberry.field(description="Which model is asked first.")
    prompt: str = strawberry.field(description="What the provider is told.")
    tags: list[Tag] = strawberry.field(description="What its images are tagged with.")
    images: list[Image] = resolved(_images, "The images that are done, in order.")
    failures: list[GenerationFailure] = strawberry.field(
        description="What could not be made, once the generation has ended."
    )
    event_seq: int = strawberry.field(description="The number of its newest event: follow progress from here.")
    estimated_seconds_left: int | None = resolved(
        _seconds_left, "By the model's measured times; null when there are none, or it has ended."
    )
    estimated_cost_micro_usd: int | None = resolved(
        _estimated_cost,
        "What it was expected to cost in millionths of a US dollar; null when nobody could tell.",
    )
    actual_cost_micro_usd: int | None = resolved(
        _actual_cost, "What it cost in millionths of a US dollar, as far as that is known."
    )
    cost_basis: CostBasis | None = resolved(
        _cost_basis, "How what it cost is known: the weakest ground of its parts; null when it isn't known."
    )
    attempts: list[Attempt] = resolved(
        _attempts, "Every call that was made for it, those by what it fell back to included."
    )
    retry_of: "Generation | None" = resolved(
        _retry_of, "The earlier generation whose missing images it asks for again; null when there is none."
    )
    created_at: datetime = strawberry.field(description="When it was asked for.")
    finished_at: datetime | None = strawberry.field(description="When it ended; null while it runs.")


def _cursor(generation: Parent[models.Generation]) -> str:
    return cursor_of(generation)


async def _itself(generation: Parent[models.Generation]) -> models.Generation:
    return generation


@strawberry.type(description="A generation's place in a list.")
class GenerationEdge:
    """The source is the domain Generation."""

    cursor: str = resolved(_cursor, "The place, to go on from.")
    node: Generation = resolved(_itself, "The generation.")


async def _rows(page: Parent[Page[models.Generation]]) -> Sequence[models.Generation]:
    return page.rows


async def _page(page: Parent[Page[models.Generation]]) -> Page[models.Generation]:
    return page


@strawberry.type(description="A page of generations, the newest first.")
class GenerationConnection:
    """The source is a domain Page."""

    edges: list[GenerationEdge] = resolved(_rows, "The generations with their cursors.")
    nodes: list[Generation] = resolved(_rows, "The generations.")
    page_info: PageInfo = resolved(_page, "Whether and where to go on.")


async def _generation(info: Info, id: Id) -> models.Generation | None:
    generation: models.Generation | None = await found(info.context, id, "Generation")
    return generation


async def _generations(info: Info, first: First = None, after: After = None) -> Page[models.Generation]:
    viewer = info.context.viewer
    wanted = asked_page(first, after)
    async with info.context.reading() as work:
        return await work.generations.page(viewer, wanted)


@strawberry.type
class GenerationQueries:
    """What was asked for."""

    generation: Generation | None = resolved(_generation, "The generation with this id, if you may see it.")
    generations: GenerationConnection = resolved(_generations, "Your generations, the newest first.")
