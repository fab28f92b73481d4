"""Providers and their models: capabilities as data, for forms to be drawn from."""

from collections.abc import Iterable

import strawberry
from strawberry import Parent

from domain import providers as models
from domain.providers import ProviderKind
from graph.context import Info
from graph.fields import resolved


@strawberry.type(description="What one model can do. An empty list means that the option can't be set.")
class ImageModel:
    """The source is a domain ImageModel."""

    id: str = strawberry.field(description="The vendor's name for it.")
    name: str = strawberry.field(description="Its name as people write it.")
    is_retired: bool = strawberry.field(description="Whether the vendor has shut it down.")
    replaced_by: str | None = strawberry.field(description="The model to use instead of a retired one.")
    sizes: list[str] = strawberry.field(description="Sizes in pixels, such as `1024x1024`.")
    aspect_ratios: list[str] = strawberry.field(description="Ratios of width to height, such as `16:9`.")
    resolutions: list[str] = strawberry.field(description="Resolutions, such as `2K`.")
    qualities: list[str] = strawberry.field(description="Qualities, such as `high`.")
    styles: list[str] = strawberry.field(description="Styles, such as `vivid`.")
    backgrounds: list[str] = strawberry.field(description="Backgrounds, such as `transparent`.")
    output_formats: list[str] = strawberry.field(description="File formats, named as in `PictureFormat`.")
    max_images: int = strawberry.field(description="How many images one generation may ask for.")
    max_references: int = strawberry.field(description="How many reference images it takes.")
    streams_previews: bool = strawberry.field(description="Whether partial pictures come while it works.")
    takes_seed: bool = strawberry.field(description="Whether `seed` can be set.")


def _can_generate(provider: Parent[models.ImageProvider]) -> bool:
    return provider.problem is None


@strawberry.type(description="A vendor of image models.")
class Provider:
    """The source is a provider."""

    kind: ProviderKind = strawberry.field(description="Which vendor this is.")
    name: str = strawberry.field(description="The vendor's name as people write it.")
    can_generate_images: bool = resolved(_can_generate, "Whether images can be asked of it here and now.")
    problem: str | None = strawberry.field(description="Why it can't be asked; null when it can.")
    models: list[ImageModel] = strawberry.field(description="Its models; the first is the default.")


async def _providers(info: Info) -> Iterable[models.ImageProvider]:
    _ = info.context.viewer
    return list(info.context.services.providers.values())


@strawberry.type
class ProviderQueries:
    """Vendors."""

    providers: list[Provider] = resolved(_providers, "Every provider that is known by name.")
