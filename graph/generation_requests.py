"""Asking for images: what can be said of them, what it would cost, and putting it in line."""

from typing import Annotated

import strawberry
from strawberry import Parent

from domain import generation_requests as models
from domain.errors import NotFound
from domain.generation_requests import NO_PRICE
from domain.generations import Generation as GenerationModel
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, OutputFormat, ProviderKind
from domain.wishes import GenerateImage
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
from graph.fields import Input, resolved
from graph.generations import Generation
from graph.ids import uuid_of
from graph.scalars import amount
from graph.tags import TagInput, tags_of

_PROFILE = "ConnectionProfile"


@strawberry.input(
    description="What is asked of the model. What is not given is as the model's `defaults`, or left to the model."
)
class ImageOptionsInput:
    """What a model can do is said by `ImageModel`."""

    n: int | None = strawberry.field(default=1, description="How many images: 1 to 10.")
    size: str | None = strawberry.field(default=None, description="Size in pixels, such as `1024x1024`.")
    aspect_ratio: str | None = strawberry.field(default=None, description="Ratio of width to height, such as `16:9`.")
    resolution: str | None = strawberry.field(default=None, description="Resolution, such as `2K`.")
    quality: str | None = strawberry.field(
        default=None,
        description="Quality, such as `high`; `standard` and `hd` where `ImageModel.qualityWords` has them.",
    )
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
    description="What to make. One of `identityId`, `prompt`, `structuredPrompt` and `parentImageId` is needed; the "
    "others say more. What is not given is taken from the parent's recipe, when you may see it."
)
class GenerateImageInput:
    """A wish."""

    identity_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whom to show, by the reference images of the identity's user."
    )
    step_id: strawberry.ID | None = strawberry.field(
        default=None, description="The step whose background the first image becomes; for admins."
    )
    prompt: str | None = strawberry.field(default=None, description="What to show: 1 to 4,000 characters.")
    structured_prompt: StructuredPromptInput | None = strawberry.field(default=None, description="The same, in parts.")
    additional_prompt: str | None = strawberry.field(
        default=None, description="What to add to the rest: up to 4,000 characters."
    )
    profile_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The connection profile to ask by. When not given: the server's own access to what is named; your "
        "default profile, when nothing is named or the server has no such access.",
    )
    fallback_profile_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="Up to 5 other connection profiles, in order. Each is tried when the one before fails in a way that "
        "another may mend; never after a refusal, and never when somebody may have been paid. One that can't do what is "
        "asked is passed over, which `estimateGeneration` tells.",
    )
    provider: ProviderKind | None = strawberry.field(
        default=None, description="Whom to ask; by the profile, the model, or the server's default, when not given."
    )
    model: str | None = strawberry.field(
        default=None, description="Which model; the profile's, or the provider's default, when not given."
    )
    options: ImageOptionsInput | None = strawberry.field(default=None, description="What is asked of the model.")
    tags: list[TagInput] | None = strawberry.field(
        default=None, description="What the images are about: up to 50 tags, which they get."
    )
    parent_image_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The image that this one regenerates or varies: yours, or one that is public. What is not given is "
        "taken from its recipe, but for how many images to make, and for tags.",
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
            step_id=uuid_of("Step", self.step_id) if self.step_id is not None else None,
            prompt=self.prompt,
            structured_prompt=self.structured_prompt.prompt() if self.structured_prompt else None,
            additional_prompt=self.additional_prompt or "",
            profile_id=uuid_of(_PROFILE, self.profile_id) if self.profile_id is not None else None,
            fallback_profile_ids=tuple(uuid_of(_PROFILE, id) for id in self.fallback_profile_ids or ()),
            provider=self.provider,
            model=self.model,
            options=self.options.options() if self.options else ImageOptions(),
            tags=tags_of(self.tags),
            parent_image_id=uuid_of("Image", self.parent_image_id) if self.parent_image_id is not None else None,
            save_to_identity=bool(self.save_to_identity),
            idempotency_key=self.idempotency_key,
        )


@strawberry.type(description="The generation is in line.")
class GenerateImageSuccess:
    """A generation."""

    generation: GenerationModel = strawberry.field(
        graphql_type=Generation, description="Follow it with `generationProgress`."
    )


GenerateImageResult = Annotated[
    GenerateImageSuccess
    | InvalidInputError
    | NotFoundError
    | ConflictError
    | UnsupportedByModelError
    | ProviderUnusableError
    | QuotaExceededError
    | StorageUnavailableError,
    strawberry.union("GenerateImageResult", description="What became of asking for images."),
]


async def _generate(info: Info, input: Input[GenerateImageInput]) -> GenerateImageResult:
    viewer = info.context.viewer
    return GenerateImageSuccess(generation=await info.context.services.requests.ask(viewer, input.wish()))


def _estimated_cost(estimate: Parent[models.GenerationEstimate]) -> int | None:
    return amount(estimate.cost_micro_usd)


@strawberry.type(description="What asking for images would cost and meet with. Nothing is put in line.")
class GenerationEstimate:
    """The source is a domain GenerationEstimate."""

    cost_micro_usd: int | None = resolved(
        _estimated_cost, "In millionths of a US dollar; null when nobody can tell, or it would be refused."
    )
    basis: str = strawberry.field(description="On what ground, for a person to read.")
    seconds: int | None = strawberry.field(
        description="How long an image takes, by the model's measured times; null when there are none."
    )
    problems: list[str] = strawberry.field(description="What stands against it or makes it weak; empty when nothing.")


async def _estimate(info: Info, input: Input[GenerateImageInput]) -> models.GenerationEstimate:
    viewer = info.context.viewer
    try:
        wish = input.wish()
    except NotFound as error:
        return models.GenerationEstimate(None, NO_PRICE, None, (error.message,))
    return await info.context.services.requests.estimate(viewer, wish)


@strawberry.type
class GenerationRequestQueries:
    """Before asking."""

    estimate_generation: GenerationEstimate = resolved(
        _estimate, "What `generateImage` would cost and meet with, the month's quota included."
    )


@strawberry.type
class GenerationRequestMutations:
    """Asking."""

    generate_image: GenerateImageResult = strawberry.mutation(
        resolver=_generate,
        description="Ask for images. Answers at once; everything that can be known beforehand is checked beforehand.",
    )
