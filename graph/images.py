"""Images of the library: each with its recipe when it was generated, and lists of them."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from domain import images as models
from domain.images import ImageScope, ImageSource
from domain.pages import Page, page_request
from domain.providers import ProviderKind
from domain.users import User as UserModel
from graph.context import Info
from graph.cursors import PageInfo, cursor_of, parsed_cursor
from graph.fields import After, First, resolved
from graph.nodes import Node
from graph.pictures import Picture
from graph.users import User

if TYPE_CHECKING:
    from domain.generations import Generation as GenerationModel
    from graph.generations import Generation


@strawberry.type(description="A prompt given in parts.")
class StructuredPrompt:
    """The source is a domain StructuredPrompt."""

    style: str | None = strawberry.field(description="How it is made, such as watercolour.")
    subject: str | None = strawberry.field(description="What it shows.")
    mood: str | None = strawberry.field(description="How it feels.")
    color: str | None = strawberry.field(description="Its colours.")
    composition: str | None = strawberry.field(description="How it is arranged.")
    extra: str | None = strawberry.field(description="Anything else.")


def _identity_name(recipe: Parent[models.Recipe]) -> str | None:
    return str(recipe.identity["name"]) if recipe.identity else None


def _options(recipe: Parent[models.Recipe]) -> JSON:
    return JSON({to_camel_case(name): value for name, value in recipe.options.items()})


async def _parent(recipe: Parent[models.Recipe], info: Info) -> models.Image | None:
    if recipe.parent_image_id is None:
        return None
    return await info.context.loaders.visible_images.load(recipe.parent_image_id)


@strawberry.type(description="How an image was made. It never changes.")
class Recipe:
    """The source is a domain Recipe."""

    prompt: str = strawberry.field(description="What the provider was told.")
    structured_prompt: StructuredPrompt | None = strawberry.field(
        description="The prompt's parts, when it was given so."
    )
    prompt_version: int | None = strawberry.field(description="The version of the template, when one was used.")
    revised_prompt: str | None = strawberry.field(description="What the provider made of the prompt, when it says so.")
    identity_name: str | None = resolved(_identity_name, "Whom it shows.")
    reference_hashes: list[str] = strawberry.field(description="The SHA-256 of each reference image that was sent.")
    provider: ProviderKind = strawberry.field(description="Who made it.")
    model: str = strawberry.field(description="The model that made it.")
    options: JSON = resolved(_options, "The options, named as in `ImageOptionsInput`.")
    cost_micro_usd: int | None = strawberry.field(
        description="The cost in millionths of a US dollar, when it is known."
    )
    parent: Annotated["Image", strawberry.lazy("graph.images")] | None = resolved(
        _parent, "The image that this one regenerates or varies, if you may see it."
    )


def _owner(image: Parent[models.Image], info: Info) -> UserModel | Awaitable[UserModel | None]:
    # Most lists are of the viewer's own: without anything to wait for, a page takes half the time.
    viewer = info.context.viewer.user
    return viewer if image.owner_id == viewer.id else info.context.loaders.users.load(image.owner_id)


async def _generation(image: Parent[models.Image], info: Info) -> "GenerationModel | None":
    if image.generation_id is None:
        return None
    return await info.context.loaders.generations.load(image.generation_id)


@strawberry.type(description="An image of the library.")
class Image(Node):
    """The source is a domain Image."""

    owner: User = resolved(_owner, "Whose image it is.")
    source: ImageSource = strawberry.field(description="Where it came from.")
    picture: Picture = strawberry.field(description="What it looks like.")
    filename: str = strawberry.field(description="A name to download it by.")
    is_public: bool = strawberry.field(description="Whether the whole community sees it.")
    recipe: Recipe | None = strawberry.field(description="How it was made; only when it was generated.")
    generation: Annotated["Generation", strawberry.lazy("graph.generations")] | None = resolved(
        _generation, "What made it, if you may see that."
    )
    created_at: datetime = strawberry.field(description="Since when it is in the library.")


@dataclass(frozen=True, slots=True)
class _Listing:
    """A page of images, and which list it belongs to."""

    page: Page[models.Image]
    scope: ImageScope


def _cursor(image: Parent[models.Image]) -> str:
    return cursor_of(image)


async def _itself(image: Parent[models.Image]) -> models.Image:
    return image


@strawberry.type(description="An image's place in a list.")
class ImageEdge:
    """The source is the domain Image."""

    cursor: str = resolved(_cursor, "The place, to go on from.")
    node: Image = resolved(_itself, "The image.")


async def _rows(listing: Parent[_Listing]) -> Sequence[models.Image]:
    return listing.page.rows


async def _total_count(listing: Parent[_Listing], info: Info) -> int:
    async with info.context.reading() as work:
        return await work.images.count(info.context.viewer, listing.scope)


@strawberry.type(description="A page of images, the newest first.")
class ImageConnection:
    """The source is a page and its scope."""

    edges: list[ImageEdge] = resolved(_rows, "The images with their cursors.")
    nodes: list[Image] = resolved(_rows, "The images.")
    page: PageInfo = strawberry.field(name="pageInfo", description="Whether and where to go on.")
    total_count: int = resolved(_total_count, "How many images the whole list has; counted only when asked for.")


async def _images(
    info: Info,
    scope: Annotated[ImageScope, strawberry.argument(description="Whose images.")] = ImageScope.MINE,
    first: First = None,
    after: After = None,
    last: Annotated[int | None, strawberry.argument(description="How many items from the oldest on: 1-100.")] = None,
    before: Annotated[str | None, strawberry.argument(description="Only items newer than this cursor's.")] = None,
) -> _Listing:
    viewer = info.context.viewer
    wanted = page_request(first, parsed_cursor(after, "after"), last, parsed_cursor(before, "before"))
    async with info.context.reading() as work:
        return _Listing(await work.images.page(viewer, scope, wanted), scope)


@strawberry.type
class ImageQueries:
    """The library."""

    images: ImageConnection = resolved(_images, "The library's images, the newest first.")
