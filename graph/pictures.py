"""Pictures as they are shown: URLs, minted when they are asked for, and facts."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import pictures as models
from domain.pictures import VariantSize
from graph.context import Info
from graph.fields import resolved
from graph.scalars import Url


def _minted(picture: models.Picture, info: Info, size: VariantSize) -> Url:
    return Url(info.context.services.objects.url(picture.key_of(size)).url)


def _url(
    picture: Parent[models.Picture],
    info: Info,
    size: Annotated[VariantSize, strawberry.argument(description="Which size.")] = VariantSize.ORIGINAL,
) -> Url:
    return _minted(picture, info, size)


def _url_of(size: VariantSize) -> Callable[[models.Picture, Info], Url]:
    def resolve(picture: Parent[models.Picture], info: Info) -> Url:
        return _minted(picture, info, size)

    return resolve


def _url_expires_at(picture: Parent[models.Picture], info: Info) -> datetime | None:
    return info.context.services.objects.url(picture.key).expires_at


@strawberry.type(description="What is shown wherever a picture stands. URLs work without further credentials.")
class Picture:
    """The source is a domain Picture."""

    url: Url = resolved(_url, "The absolute URL of one size, good until `urlExpiresAt`.")
    url_expires_at: datetime | None = resolved(
        _url_expires_at, "When the URLs stop working: ask again then. Null when never."
    )
    original: Url = resolved(_url_of(VariantSize.ORIGINAL), "As it was uploaded or made.")
    thumbnail: Url = resolved(_url_of(VariantSize.THUMBNAIL), "At most 100 pixels wide or high.")
    medium: Url = resolved(_url_of(VariantSize.MEDIUM), "At most 300 pixels wide or high.")
    large: Url = resolved(_url_of(VariantSize.LARGE), "At most 600 pixels wide or high.")
    width_px: int = strawberry.field(name="width", description="The original's width in pixels, as shown.")
    height_px: int = strawberry.field(name="height", description="The original's height in pixels, as shown.")
    size_bytes: int = strawberry.field(description="The original's size in bytes.")
    media_type: str = strawberry.field(description="The original's media type, such as `image/jpeg`.")
    sha256: str = strawberry.field(description="The original's SHA-256, in hexadecimal.")
    placeholder: str = strawberry.field(
        description="A ThumbHash (base64) to show while the picture loads; may be empty."
    )
