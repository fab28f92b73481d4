"""Prompts: versioned templates, shown, previewed and written."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import prompts as models
from domain.images import Acceptance, ImageList
from domain.prompts import ContextKey, PromptType
from domain.users import User as UserModel
from graph.context import Info
from graph.cursors import asked_page
from graph.errors import ConflictError, InvalidInputError, NotFoundError
from graph.fields import After, Before, First, Input, Last, resolved
from graph.generation_requests import StructuredPromptInput
from graph.ids import uuid_of
from graph.images import ImageConnection, Listing
from graph.nodes import Node
from graph.users import User


async def _author(prompt: Parent[models.Prompt], info: Info) -> UserModel | None:
    return await info.context.loaders.users.load(prompt.author_id) if prompt.author_id else None


@strawberry.type(description="What became of the images that were made with a version, as far as you may see them.")
class PromptAcceptance:
    """The source is a domain Acceptance."""

    made: int = strawberry.field(description="How many are in the library.")
    accepted: int = strawberry.field(
        description="How many of them are somebody's portrait, a step's background, or public now."
    )
    rate: float | None = strawberry.field(description="Accepted of made, 0 to 1; null when none were made.")


async def _images(
    prompt: Parent[models.Prompt],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Listing:
    scope = info.context.viewer.scope
    wanted = ImageList(scope.community_id, scope.owner_id, prompt_id=prompt.id)
    async with info.context.reading() as work:
        return Listing(await work.images.page(wanted, asked_page(first, after, last, before)), wanted)


async def _acceptance(prompt: Parent[models.Prompt], info: Info) -> Acceptance:
    return await info.context.loaders.acceptance_of.load(prompt.id)


@strawberry.type(description="One version of a template. The highest active version of a type is used.")
class Prompt(Node):
    """The source is a domain Prompt."""

    type: PromptType = strawberry.field(description="What the template is for.")
    version: int = strawberry.field(description="Counts up per type.")
    name: str = strawberry.field(description="What the version is called.")
    body: str = strawberry.field(description="The text, with placeholders such as `{identity_context}`.")
    required_context_keys: list[ContextKey] = strawberry.field(description="Placeholders that the body must have.")
    is_active: bool = strawberry.field(description="Whether the version may be used.")
    created_at: datetime = strawberry.field(description="When the version was saved.")
    author: User | None = resolved(_author, "Who wrote it; null for the built-in version.")
    images: ImageConnection = resolved(
        _images, "Your images that were made with it, the newest first; for an admin, those of the whole community."
    )
    acceptance: PromptAcceptance = resolved(_acceptance, "How often what was made with it was put to use.")


async def _prompts(
    info: Info,
    type: Annotated[PromptType | None, strawberry.argument(description="Only versions of this type.")] = None,
) -> Sequence[models.Prompt]:
    viewer = info.context.viewer
    async with info.context.reading() as work:
        return await work.prompts.list(viewer.user.community_id, type)


async def _preview(
    info: Info,
    body: Annotated[str, strawberry.argument(description="The text, with placeholders.")],
    type: Annotated[PromptType, strawberry.argument(description="What the template would be for.")],
    identity_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="An identity to fill the placeholders with.")
    ] = None,
    structured_prompt: Annotated[
        StructuredPromptInput | None, strawberry.argument(description="A prompt in parts to fill them with.")
    ] = None,
    additional_prompt: Annotated[
        str | None, strawberry.argument(description="A text to fill them with: up to 4,000 characters.")
    ] = None,
) -> str:
    viewer = info.context.viewer
    known_id = uuid_of("Identity", identity_id) if identity_id is not None else None
    structured = structured_prompt.prompt() if structured_prompt else None
    return await info.context.services.prompts.preview(
        viewer, body, type, known_id, structured, additional_prompt or ""
    )


@strawberry.type
class PromptQueries:
    """Templates."""

    prompts: list[Prompt] = resolved(_prompts, "Every version of every template, by type and then the newest first.")
    preview_prompt: str = resolved(_preview, "What a template's body would become, without saving it.")


@strawberry.input(description="A new version of a template.")
class CreatePromptInput:
    """A version."""

    type: PromptType = strawberry.field(description="What the template is for.")
    name: str = strawberry.field(description="What to call the version: 1 to 255 characters.")
    body: str = strawberry.field(
        description="The text: up to 20,000 characters. Only the type's placeholders may stand in it; "
        "write `{{` and `}}` for braces."
    )
    required_context_keys: list[ContextKey] | None = strawberry.field(
        default=None, description="Placeholders that the body must have."
    )
    activate: bool = strawberry.field(default=True, description="Whether the version may be used at once.")


@strawberry.type(description="The version was saved.")
class CreatePromptSuccess:
    """A version."""

    prompt: models.Prompt = strawberry.field(graphql_type=Prompt, description="The new version.")


CreatePromptResult = Annotated[
    CreatePromptSuccess | InvalidInputError,
    strawberry.union("CreatePromptResult", description="What became of saving a version."),
]


async def _create(info: Info, input: Input[CreatePromptInput]) -> CreatePromptResult:
    made = await info.context.services.prompts.create(
        info.context.viewer,
        type=input.type,
        name=input.name,
        body=input.body,
        required_context_keys=tuple(input.required_context_keys or ()),
        activate=input.activate,
    )
    return CreatePromptSuccess(prompt=made)


@strawberry.input(description="Whether to use a version.")
class SetPromptActiveInput:
    """A version."""

    id: strawberry.ID = strawberry.field(description="The version's id.")
    is_active: bool = strawberry.field(description="Whether it may be used.")


@strawberry.type(description="The version was changed.")
class SetPromptActiveSuccess:
    """A version."""

    prompt: models.Prompt = strawberry.field(graphql_type=Prompt, description="The version as it is now.")


SetPromptActiveResult = Annotated[
    SetPromptActiveSuccess | NotFoundError | ConflictError,
    strawberry.union("SetPromptActiveResult", description="What became of the change."),
]


async def _set_active(info: Info, input: Input[SetPromptActiveInput]) -> SetPromptActiveResult:
    changed = await info.context.services.prompts.set_active(
        info.context.viewer, uuid_of("Prompt", input.id), input.is_active
    )
    return SetPromptActiveSuccess(prompt=changed)


@strawberry.type
class PromptMutations:
    """Templates; for admins."""

    create_prompt: CreatePromptResult = strawberry.mutation(
        resolver=_create, description="Save the next version of a template; for admins."
    )
    set_prompt_active: SetPromptActiveResult = strawberry.mutation(
        resolver=_set_active, description="Use a version, or stop using it; for admins."
    )
