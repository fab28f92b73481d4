"""Images: the pictures of the library, each with its owner and, when generated, the recipe it was made by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from uuid import UUID, uuid4

from domain.pictures import MEDIA_TYPES, Picture
from domain.prompts import StructuredPrompt
from domain.providers import ProviderKind


class ImageSource(StrEnum):
    """Where an image came from."""

    GENERATED = "GENERATED"
    UPLOADED = "UPLOADED"
    IMPORTED = "IMPORTED"


class ImageScope(StrEnum):
    """Which images a list shows: the viewer's own, or those shared with the community."""

    MINE = "MINE"
    PUBLIC = "PUBLIC"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image was made. Never changed afterwards."""

    prompt: str
    structured_prompt: StructuredPrompt | None
    prompt_version: int | None
    revised_prompt: str | None
    identity: Mapping[str, object] | None
    reference_hashes: tuple[str, ...]
    provider: ProviderKind
    model: str
    options: Mapping[str, object]
    cost_micro_usd: int | None
    parent_image_id: UUID | None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of the library. `is_public` means visible to the whole community and no further."""

    id: UUID
    community_id: UUID
    owner_id: UUID
    source: ImageSource
    picture: Picture
    filename: str
    is_public: bool
    recipe: Recipe | None
    generation_id: UUID | None
    generation_index: int | None
    created_at: datetime


def shown_filename(sent: str, media_type: str) -> str:
    """A name to show and to download by: the client's own last path part, with the extension the bytes deserve."""
    name = PurePosixPath(sent.replace("\\", "/")).name
    stem = "".join(char for char in PurePosixPath(name).stem if char.isprintable()).strip(" .")[:200]
    return f"{stem or 'picture'}.{MEDIA_TYPES[media_type]}"


def new_upload(community_id: UUID, owner_id: UUID, picture: Picture, filename: str, now: datetime) -> Image:
    """A library image from an uploaded file."""
    return Image(
        id=uuid4(),
        community_id=community_id,
        owner_id=owner_id,
        source=ImageSource.UPLOADED,
        picture=picture,
        filename=shown_filename(filename, picture.media_type),
        is_public=False,
        recipe=None,
        generation_id=None,
        generation_index=None,
        created_at=now,
    )
