"""Generations: asking for images, and what became of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import generations as models
from domain.failures import FailureCode
from domain.generation_requests import GenerateImage
from domain.generations import GenerationState
from domain.identities import Identity as IdentityModel
from domain.images import Image as ImageModel
from domain.pages import Page, page_request
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, OutputFormat, ProviderKind
from domain.users import User as UserModel
from graph.context import Info
from graph.cursors import PageInfo, cursor_of, parsed_cursor
from graph.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ProviderUnusableError,
    StorageUnavailableError,
    UnsupportedByModelError,
)
from graph.fields import After, First, Id, Input, resolved
from graph.identities import Identity
from graph.ids import uuid_of
from graph.images import Image
from graph.nodes import Node, found
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


@strawberry.type(description="One call to a provider.")
class Attempt:
    """The source is a domain Attempt."""

    provider: ProviderKind = strawberry.field(description="Who was called.")
    model: str = strawberry.field(description="The model that was asked for.")
    index: int = strawberry.field(description="For which image, from 0.")
    number: int = strawberry.field(description="The how manieth call for this image, from 1.")
    started_at: datetime = strawberry.field(description="When the call began.")
    finished_at: datetime | None = strawberry.field(description="When it ended; null while it runs.")
    outcome: str = strawberry.field(description="`STARTED`, `SUCCEEDED`, or a `FailureCode`.")
    provider_request_id: str | None = strawberry.field(
        description="The provider's own id of the call, for its support."
    )


async def _owner(generation: Parent[models.Generation], info: Info) -> UserModel | None:
    return await info.context.loaders.users.load(generation.owner_id)


async def _identity(generation: Parent[models.Generation], info: Info) -> IdentityModel | None:
    if generation.identity_id is None:
        return None
    return await info.context.loaders.identities.load(generation.identity_id)


def _requested_images(generation: Parent[models.Generation]) -> int:
    return generation.options.n


async def _images(generation: Parent[models.Generation], info: Info) -> Sequence[ImageModel]:
    return await info.context.loaders.images_of.load(generation.id)


def _seconds_left(generation: Parent[models.Generation], info: Info) -> int | None:
    return generation.seconds_left(info.context.services.clock.now())


async def _attempts(generation: Parent[models.Generation], info: Info) -> Sequence[models.Attempt]:
    return await info.context.loaders.attempts_of.load(generation.id)


@strawberry.type(description="One request for images, and everything that became of it.")
class Generation(Node):
    """The source is a domain Generation."""

    owner: User = resolved(_owner, "Whose images they will be.")
    identity: Identity | None = resolved(_identity, "Whom they show, if it is still there.")
    state: GenerationState = strawberry.field(description="How far it has come.")
    requested_images: int = resolved(_requested_images, "How many images were asked for.")
    provider: ProviderKind = strawberry.field(description="Who is asked.")
    model: str = strawberry.field(description="Which model is asked.")
    prompt: str = strawberry.field(description="What the provider is told.")
    images: list[Image] = resolved(_images, "The images that are done, in order.")
    failures: list[GenerationFailure] = strawberry.field(
        description="What could not be made, once the generation has ended."
    )
    event_seq: int = strawberry.field(description="The number of its newest event: follow progress from here.")
    estimated_seconds_left: int | None = resolved(
        _seconds_left, "By the model's measured times; null when there are none, or it has ended."
    )
    actual_cost_micro_usd: int | None = strawberry.field(
        description="What it cost in millionths of a US dollar, as far as the provider tells."
    )
    attempts: list[Attempt] = resolved(_attempts, "Every call that was made for it.")
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
    wanted = page_request(first, parsed_cursor(after, "after"))
    async with info.context.reading() as work:
        return await work.generations.page(viewer, wanted)


@strawberry.type
class GenerationQueries:
    """What was asked for."""

    generation: Generation | None = resolved(_generation, "The generation with this id, if you may see it.")
    generations: GenerationConnection = resolved(_generations, "Your generations, the newest first.")


@strawberry.input(description="What is asked of the model. What is not given is left to the model.")
class ImageOptionsInput:
    """What a model can do is said by `ImageModel`."""

    n: int | None = strawberry.field(default=1, description="How many images: 1 to 10.")
    size: str | None = strawberry.field(default=None, description="Size in pixels, such as `1024x1024`.")
    aspect_ratio: str | None = strawberry.field(default=None, description="Ratio of width to height, such as `16:9`.")
    resolution: str | None = strawberry.field(default=None, description="Resolution, such as `2K`.")
    quality: str | None = strawberry.field(default=None, description="Quality, such as `high`.")
    style: str | None = strawberry.field(default=None, description="Style, such as `vivid`.")
    background: str | None = strawberry.field(default=None, description="Background, such as `transparent`.")
    output_format: OutputFormat | None = strawberry.field(default=None, description="File format.")
    seed: int | None = strawberry.field(
        default=None, description="Makes results repeatable, where the model takes one."
    )

    def options(self) -> ImageOptions:
        """The domain's."""
        return ImageOptions(
            n=1 if self.n is None else self.n,
            size=self.size,
            aspect_ratio=self.aspect_ratio,
            resolution=self.resolution,
            quality=self.quality,
            style=self.style,
            background=self.background,
            output_format=self.output_format,
            seed=self.seed,
        )


@strawberry.input(description="A prompt given in parts, of up to 500 characters each; at least one must be filled in.")
class StructuredPromptInput:
    """Parts."""

    style: str | None = strawberry.field(default=None, description="How it is made, such as watercolour.")
    subject: str | None = strawberry.field(default=None, description="What it shows.")
    mood: str | None = strawberry.field(default=None, description="How it feels.")
    color: str | None = strawberry.field(default=None, description="Its colours.")
    composition: str | None = strawberry.field(default=None, description="How it is arranged.")
    extra: str | None = strawberry.field(default=None, description="Anything else.")

    def prompt(self) -> StructuredPrompt:
        """The domain's."""
        return StructuredPrompt(self.style, self.subject, self.mood, self.color, self.composition, self.extra)


@strawberry.input(
    description="What to make. One of `identityId`, `prompt` and `structuredPrompt` is needed; `identityId` may be "
    "joined by either of the others."
)
class GenerateImageInput:
    """A wish."""

    identity_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whom to show, by the reference images of the identity's user."
    )
    prompt: str | None = strawberry.field(default=None, description="What to show: 1 to 4,000 characters.")
    structured_prompt: StructuredPromptInput | None = strawberry.field(default=None, description="The same, in parts.")
    additional_prompt: str | None = strawberry.field(
        default=None, description="What to add to the rest: up to 4,000 characters."
    )
    provider: ProviderKind | None = strawberry.field(
        default=None, description="Whom to ask; by the model, or the server's default, when not given."
    )
    model: str | None = strawberry.field(
        default=None, description="Which model; the provider's default when not given."
    )
    options: ImageOptionsInput | None = strawberry.field(default=None, description="What is asked of the model.")
    parent_image_id: strawberry.ID | None = strawberry.field(
        default=None, description="The image that this one regenerates or varies."
    )
    save_to_identity: bool | None = strawberry.field(
        default=False, description="Whether the first image becomes the identity's portrait."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Of your choice, up to 255 characters: a repeated call with the same key answers with the first one.",
    )

    def wish(self) -> GenerateImage:
        """The domain's. Raises NotFound for malformed ids."""
        return GenerateImage(
            identity_id=uuid_of("Identity", self.identity_id) if self.identity_id is not None else None,
            prompt=self.prompt,
            structured_prompt=self.structured_prompt.prompt() if self.structured_prompt else None,
            additional_prompt=self.additional_prompt or "",
            provider=self.provider,
            model=self.model,
            options=self.options.options() if self.options else ImageOptions(),
            parent_image_id=uuid_of("Image", self.parent_image_id) if self.parent_image_id is not None else None,
            save_to_identity=bool(self.save_to_identity),
            idempotency_key=self.idempotency_key,
        )


@strawberry.type(description="The generation is in line.")
class GenerateImageSuccess:
    """A generation."""

    generation: models.Generation = strawberry.field(
        graphql_type=Generation, description="Follow it with `generationProgress`."
    )


GenerateImageResult = Annotated[
    GenerateImageSuccess
    | InvalidInputError
    | NotFoundError
    | ConflictError
    | UnsupportedByModelError
    | ProviderUnusableError
    | StorageUnavailableError,
    strawberry.union("GenerateImageResult", description="What became of asking for images."),
]


async def _generate(info: Info, input: Input[GenerateImageInput]) -> GenerateImageResult:
    viewer = info.context.viewer
    return GenerateImageSuccess(generation=await info.context.services.requests.ask(viewer, input.wish()))


@strawberry.type
class GenerationMutations:
    """Asking."""

    generate_image: GenerateImageResult = strawberry.mutation(
        resolver=_generate,
        description="Ask for images. Answers at once; everything that can be known beforehand is checked beforehand.",
    )
