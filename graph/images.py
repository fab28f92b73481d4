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
from domain.costs import CostBasis
from domain.images import ImageList, ImageScope, ImageSource
from domain.pages import Page
from domain.providers import ProviderKind
from domain.users import User as UserModel
from graph.context import Info
from graph.cursors import PageInfo, asked_page, cursor_of
from graph.errors import ImageUse
from graph.fields import After, Before, First, Last, resolved, resolved_at_once
from graph.ids import uuid_of
from graph.nodes import Node
from graph.pictures import Picture
from graph.scalars import amount
from graph.tags import Tag, TagInput, tags_of
from graph.users import User

if TYPE_CHECKING:
    from domain.generations import Generation as GenerationModel
    from domain.identities import Identity as IdentityModel
    from domain.wizards import Step as StepModel
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


def _cost(recipe: Parent[models.Recipe]) -> int | None:
    return amount(recipe.cost_micro_usd)


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
    cost_micro_usd: int | None = resolved(_cost, "The cost in millionths of a US dollar, when it is known.")
    cost_basis: CostBasis | None = strawberry.field(description="How the cost is known; null when it isn't.")
    parent: Annotated["Image", strawberry.lazy("graph.images")] | None = resolved(
        _parent, "The image that this one regenerates or varies, if you may see it."
    )


def _owner(image: Parent[models.Image], info: Info) -> UserModel | Awaitable[UserModel | None]:
    # Most lists are of the viewer's own: without anything to wait for, a page takes half the time.
    viewer = info.context.viewer.user
    return viewer if image.owner_id == viewer.id else info.context.loaders.users.load(image.owner_id)


async def _used_by(image: Parent[models.Image], info: Info) -> "Sequence[IdentityModel | StepModel]":
    uses = (await info.context.loaders.uses_of.load(image.id)).seen_by(info.context.viewer)
    return [*uses.identities, *uses.steps]


def _recipe(image: Parent[models.Image], info: Info) -> models.Recipe | None:
    return image.recipe_for(info.context.viewer)


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
    tags: list[Tag] = strawberry.field(description="What it is about; at most 50.")
    used_by: list[ImageUse] = resolved(_used_by, "What shows it, as far as you may see that.")
    recipe: Recipe | None = resolved_at_once(
        _recipe,
        "How it was made; only when it was generated. Sharing an image shares its recipe, but not that of an "
        "identity's image, which tells of a person.",
    )
    generation: Annotated["Generation", strawberry.lazy("graph.generations")] | None = resolved(
        _generation, "What made it, if you may see that."
    )
    created_at: datetime = strawberry.field(description="Since when it is in the library.")


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of images, and which list it belongs to."""

    page: Page[models.Image]
    wanted: ImageList


def _cursor(image: Parent[models.Image]) -> str:
    return cursor_of(image)


async def _itself(image: Parent[models.Image]) -> models.Image:
    return image


@strawberry.type(description="An image's place in a list.")
class ImageEdge:
    """The source is the domain Image."""

    cursor: str = resolved(_cursor, "The place, to go on from.")
    node: Image = resolved(_itself, "The image.")


async def _rows(listing: Parent[Listing]) -> Sequence[models.Image]:
    return listing.page.rows


async def _total_count(listing: Parent[Listing], info: Info) -> int:
    async with info.context.reading() as work:
        return await work.images.count(listing.wanted)


@strawberry.type(description="A page of images, the newest first.")
class ImageConnection:
    """The source is a listing."""

    edges: list[ImageEdge] = resolved(_rows, "The images with their cursors.")
    nodes: list[Image] = resolved(_rows, "The images.")
    page: PageInfo = strawberry.field(name="pageInfo", description="Whether and where to go on.")
    total_count: int = resolved(_total_count, "How many images the whole list has; counted only when asked for.")


@strawberry.input(description="Which images of a list to show: those that have all that is given.")
class ImageFilter:
    """What to filter by."""

    search: str | None = strawberry.field(
        default=None,
        description="Words of the image's name, its tags, or its prompt where you see that: up to 20. A word of three "
        "letters or more also finds longer ones that begin with it. Case and accents make no difference.",
    )
    tags: list[TagInput] | None = strawberry.field(default=None, description="Tags that it has, all of them.")
    source: ImageSource | None = strawberry.field(default=None, description="Where it came from.")
    provider: ProviderKind | None = strawberry.field(default=None, description="Who made it.")
    created_after: datetime | None = strawberry.field(default=None, description="A moment that it is newer than.")
    created_before: datetime | None = strawberry.field(default=None, description="A moment that it is older than.")

    def filter(self) -> models.ImageFilter:
        """The domain's. Raises InvalidInput."""
        return models.image_filter(
            search=self.search,
            tags=tags_of(self.tags),
            source=self.source,
            provider=self.provider,
            created_after=self.created_after,
            created_before=self.created_before,
        )


async def _images(
    info: Info,
    scope: Annotated[ImageScope, strawberry.argument(description="Whose images.")] = ImageScope.MINE,
    user_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(
            description="For whom an admin acts: MINE are then that user's. PUBLIC is the same for all."
        ),
    ] = None,
    filter: Annotated[ImageFilter | None, strawberry.argument(description="Only images that have all of it.")] = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Listing:
    viewer = info.context.viewer
    page = asked_page(first, after, last, before)
    known_id = uuid_of("User", user_id) if user_id is not None else None
    is_public = scope is ImageScope.PUBLIC
    async with info.context.reading() as work:
        user = await work.users.acted_for(viewer, known_id)
        wanted = ImageList(
            community_id=user.community_id,
            owner_id=None if is_public else user.id,
            is_public=is_public,
            filter=filter.filter() if filter else models.ImageFilter(),
        )
        return Listing(await work.images.page(wanted, page), wanted)


@strawberry.type
class ImageQueries:
    """The library."""

    images: ImageConnection = resolved(_images, "The library's images, the newest first.")
