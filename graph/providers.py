"""Providers and their models: capabilities as data, for forms to be drawn from."""

from collections.abc import Iterable

import strawberry
from strawberry import Parent

from domain import providers as models
from domain.providers import ProviderKind
from graph.context import Info
from graph.fields import resolved


@strawberry.type(
    description="A word for quality that isn't the model's own, such as `standard` or `hd`, and what it stands for here."
)
class QualityWord:
    """The source is a domain QualityWord."""

    word: str = strawberry.field(description="What to give as `quality`.")
    quality: str | None = strawberry.field(description="The model's own quality that it stands for; null for none.")
    resolution: str | None = strawberry.field(
        description="The resolution that it stands for, unless one is given; null for none."
    )


@strawberry.type(description="What is asked of a model where nothing is given; null leaves it to the model.")
class ModelDefaults:
    """The source is a domain ImageOptions."""

    size: str | None = strawberry.field(description="The size, unless a ratio or a resolution is given.")
    aspect_ratio: str | None = strawberry.field(description="The ratio, unless a size is given.")
    resolution: str | None = strawberry.field(description="The resolution, unless a size is given: it makes the price.")
    quality: str | None = strawberry.field(description="The quality.")


def _size_rule(model: Parent[models.ImageModel]) -> str | None:
    return str(model.size_rule) if model.size_rule else None


@strawberry.type(description="What one model can do. An empty list means that the option can't be set.")
class ImageModel:
    """The source is a domain ImageModel."""

    id: str = strawberry.field(description="The vendor's name for it.")
    name: str = strawberry.field(description="Its name as people write it.")
    is_retired: bool = strawberry.field(description="Whether the vendor has shut it down.")
    replaced_by: str | None = strawberry.field(description="The model to use instead of a retired one.")
    sizes: list[str] = strawberry.field(description="Sizes in pixels, such as `1024x1024`.")
    size_rule: str | None = resolved(
        _size_rule, "Which sizes it takes beside those, for a person to read; null for none."
    )
    aspect_ratios: list[str] = strawberry.field(description="Ratios of width to height, such as `16:9`.")
    resolutions: list[str] = strawberry.field(description="Resolutions, such as `2K`.")
    qualities: list[str] = strawberry.field(description="Qualities, such as `high`.")
    quality_words: list[QualityWord] = strawberry.field(
        description="Words such as `standard` and `hd` that it also takes for `quality`, and what they mean here."
    )
    styles: list[str] = strawberry.field(description="Styles, such as `vivid`.")
    backgrounds: list[str] = strawberry.field(description="Backgrounds, such as `transparent`.")
    output_formats: list[str] = strawberry.field(description="File formats, named as in `PictureFormat`.")
    max_images: int = strawberry.field(description="How many images one generation may ask for.")
    max_references: int = strawberry.field(description="How many reference images it takes.")
    streams_previews: bool = strawberry.field(description="Whether partial pictures come while it works.")
    takes_seed: bool = strawberry.field(description="Whether `seed` can be set.")
    defaults: ModelDefaults = strawberry.field(description="What it is asked where nothing is given.")


def _can_generate(provider: Parent[models.ImageProvider]) -> bool:
    return provider.problem is None


@strawberry.type(description="A vendor of image models.")
class Provider:
    """The source is a provider."""

    kind: ProviderKind = strawberry.field(description="Which vendor this is.")
    name: str = strawberry.field(description="The vendor's name as people write it.")
    makes_images: bool = strawberry.field(description="Whether it makes images at all.")
    can_generate_images: bool = resolved(
        _can_generate,
        "Whether images can be asked of it here and now, by the server's own access; by a connection profile they can be "
        "wherever `makesImages`.",
    )
    problem: str | None = strawberry.field(description="Why it can't be asked so; null when it can.")
    needs_key: bool = strawberry.field(description="Whether a connection profile for it needs a key.")
    needs_base_url: bool = strawberry.field(
        description="Whether a connection profile for it needs an address; elsewhere only operators may give one."
    )
    models: list[ImageModel] = strawberry.field(description="Its models; the first is the default.")


async def _providers(info: Info) -> Iterable[models.ImageProvider]:
    _ = info.context.viewer
    return list(info.context.services.access.own.values())


@strawberry.type
class ProviderQueries:
    """Vendors."""

    providers: list[Provider] = resolved(_providers, "Every provider that is known by name.")
