"""Pictures of records: addresses are minted as they are shown, keys never leave."""

from typing import Any

from domain.pictures import VariantSize
from domain.ports import ObjectStore


def picture(objects: ObjectStore, row: Any, caption: str, *, id: Any = None, size: VariantSize) -> dict[str, Any]:
    """What the templates show: the variant's address, the original's, and the image that it leads to, if any."""
    key = (row.variant_keys or {}).get(size, row.picture_key)
    return {
        "id": id,
        "url": objects.url(key).url,
        "original": objects.url(row.picture_key).url,
        "caption": caption,
    }
