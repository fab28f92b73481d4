"""A picture as columns, which reference images and library images have alike, and as JSON, which events have."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Table

from domain.pictures import Picture, VariantSize

_SIZES = {size.value: size for size in VariantSize}
_COLUMNS = ("picture_key", "sha256", "media_type", "size_bytes", "width_px", "height_px", "placeholder", "variant_keys")


def picture_columns(table: Table) -> list[Column[Any]]:
    """The columns, in the order `picture_of_row` reads them."""
    return [table.c[name] for name in _COLUMNS]


def picture_of_row(values: Sequence[Any]) -> Picture:
    """The picture of filled-in columns."""
    key, sha256, media_type, size_bytes, width_px, height_px, placeholder, variant_keys = values
    return Picture(key, sha256, media_type, size_bytes, width_px, height_px, placeholder, sizes_of_json(variant_keys))


def picture_of_json(document: Mapping[str, Any]) -> Picture:
    """The picture of its JSON."""
    return Picture(**{**document, "variant_keys": sizes_of_json(document["variant_keys"])})


def sizes_of_json(variant_keys: Mapping[str, str]) -> dict[VariantSize, str]:
    """The keys of the variants by their size."""
    return {_SIZES[size]: key for size, key in variant_keys.items()}


def picture_values(picture: Picture | None) -> dict[str, Any]:
    """What goes into the columns; nothing at all for a slot without a picture."""
    if picture is None:
        return dict.fromkeys(_COLUMNS)
    return {
        "picture_key": picture.key,
        "sha256": picture.sha256,
        "media_type": picture.media_type,
        "size_bytes": picture.size_bytes,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "placeholder": picture.placeholder,
        "variant_keys": picture.variant_keys,
    }
