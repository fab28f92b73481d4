"""Images: the pictures of the library, each with its owner and, when generated, the recipe it was made by."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from domain.errors import FieldProblem, Forbidden, ImageInUse, InvalidInput, NotFound
from domain.pictures import MEDIA_TYPES, Picture, UploadedFile
from domain.search import SearchText, searched, words
from domain.tags import Tag, checked_tags, retagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from domain.costs import CostBasis
    from domain.identities import Identity
    from domain.picture_store import PictureStore
    from domain.ports import Clock, Fetcher
    from domain.prompts import StructuredPrompt
    from domain.providers import ProviderKind
    from domain.repositories import UnitOfWork, UnitOfWorkFactory
    from domain.users import User, Viewer
    from domain.wizards import Step


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
    cost_basis: CostBasis | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of the library. `is_public` means visible to the whole community and no further.

    `prompt_id` is the version of the template it was made with.
    """

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
    tags: tuple[Tag, ...] = ()
    prompt_id: UUID | None = None

    def recipe_for(self, viewer: Viewer) -> Recipe | None:
        """The recipe, when the viewer may see it.

        The prompt of an identity's image repeats what the person wrote about themselves: sharing the picture does not
        share that. Other recipes are shared with the picture.
        """
        if self.recipe is None or viewer.reaches(self.owner_id):
            return self.recipe
        return self.recipe if self.is_public and self.recipe.identity is None else None

    def search_text(self) -> SearchText:
        """What the image is found by: its name, its tags, and its prompt, which is private where the recipe is."""
        open_texts = [PurePosixPath(self.filename).stem, *(tag.value for tag in self.tags)]
        prompt = words(self.recipe.prompt) if self.recipe else []
        named = [word for text in open_texts for word in words(text)]
        if self.recipe and self.recipe.identity is not None:
            return SearchText(tuple(named), tuple(prompt))
        return SearchText((*named, *prompt))


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which images of a list are shown: those that have every word and every tag, and all the rest that is given."""

    words: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()
    source: ImageSource | None = None
    provider: ProviderKind | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def image_filter(
    *,
    search: str | None = None,
    tags: Iterable[Tag] = (),
    source: ImageSource | None = None,
    provider: ProviderKind | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> ImageFilter:
    """What a caller filters by. Raises InvalidInput."""
    for name, moment in (("createdAfter", created_after), ("createdBefore", created_before)):
        if moment is not None and moment.tzinfo is None:
            message = f"{name} needs a time zone, such as 2026-11-21T09:00:00Z"
            raise InvalidInput(message, problems=[FieldProblem(("filter", name), message)])
    return ImageFilter(
        searched(search), checked_tags(tags, "filter", "tags"), source, provider, created_after, created_before
    )


@dataclass(frozen=True, slots=True)
class ImageList:
    """A list of one community's images, the newest first.

    Of `owner_id`, or of anybody when None; with `is_public` those alone that are shared, and found by open words alone;
    with `prompt_id` those made with that version.
    """

    community_id: UUID
    owner_id: UUID | None = None
    is_public: bool = False
    prompt_id: UUID | None = None
    filter: ImageFilter = field(default_factory=ImageFilter)


@dataclass(frozen=True, slots=True)
class ImageUses:
    """What shows an image: identities as their portrait, steps as their background."""

    identities: tuple[Identity, ...] = ()
    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.identities or self.steps)

    def seen_by(self, viewer: Viewer) -> ImageUses:
        """Those that the viewer may see: a person's identities are nobody else's business."""
        return replace(self, identities=tuple(one for one in self.identities if viewer.reaches(one.user_id)))

    def in_words(self, viewer: Viewer) -> str:
        """Who uses the image, for the viewer to read."""
        seen = self.seen_by(viewer).identities
        parts = [f"the portrait of {one.name}" for one in seen]
        hidden = len(self.identities) - len(seen)
        if hidden:
            parts.append(f"the portrait of {hidden} {'identity' if hidden == 1 else 'identities'} of others")
        parts += [f"the background of the step {one.title}" for one in self.steps]
        return f"The image is in use: it is {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How many images were made with a prompt version, and how many of them are in use or public."""

    made: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float | None:
        """Accepted of made, 0 to 1; None when nothing was made."""
        return self.accepted / self.made if self.made else None


def shown_filename(sent: str, media_type: str) -> str:
    """A name to show and to download by: the client's own last path part, with the extension the bytes deserve."""
    name = PurePosixPath(sent.replace("\\", "/")).name
    stem = "".join(char for char in PurePosixPath(name).stem if char.isprintable()).strip(" .")[:200]
    return f"{stem or 'picture'}.{MEDIA_TYPES[media_type]}"


def new_upload(
    community_id: UUID, owner_id: UUID, picture: Picture, filename: str, now: datetime, tags: tuple[Tag, ...] = ()
) -> Image:
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
        tags=tags,
    )


class Images:
    """What people do with the images of the library."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, pictures: PictureStore, fetcher: Fetcher, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._pictures = pictures
        self._fetcher = fetcher
        self._clock = clock

    async def upload(
        self, viewer: Viewer, file: UploadedFile | None, tags: Iterable[Tag] = (), user_id: UUID | None = None
    ) -> Image:
        """Make a file an image of the viewer's, or of the user an admin names.

        Raises NotFound, InvalidInput, InvalidImage, StoreUnavailable.
        """
        if file is None:
            raise InvalidInput("No image file provided", "file")
        tidy = checked_tags(tags)
        async with self._unit_of_work(read_only=True) as work:
            owner = await work.users.acted_for(viewer, user_id)
        return await self._keep(owner, file, ImageSource.UPLOADED, tidy)

    async def import_from(
        self, viewer: Viewer, url: str, tags: Iterable[Tag] = (), user_id: UUID | None = None
    ) -> Image:
        """Make the picture at a public address an image of the viewer's, or of the user an admin names.

        Raises NotFound, InvalidInput, FetchRefused, InvalidImage, StoreUnavailable.
        """
        tidy = checked_tags(tags)
        async with self._unit_of_work(read_only=True) as work:
            owner = await work.users.acted_for(viewer, user_id)
        data = await self._fetcher.fetch(url.strip(), self._pictures.limits.max_bytes)
        file = UploadedFile(unquote(PurePosixPath(urlsplit(url.strip()).path).name), io.BytesIO(data))
        return await self._keep(owner, file, ImageSource.IMPORTED, tidy)

    async def tag(self, viewer: Viewer, id: UUID, add: Iterable[Tag] = (), remove: Iterable[Tag] = ()) -> Image:
        """Change an image's tags. Raises NotFound, InvalidInput."""
        async with self._unit_of_work() as work:
            before = await work.images.get(viewer.scope, id, for_update=True)
            after = replace(before, tags=retagged(before.tags, add, remove))
            await work.images.update(after)
            await work.commit()
        return after

    async def set_public(self, viewer: Viewer, id: UUID, is_public: bool | None, *, force: bool = False) -> Image:
        """Share an image with the community, or no longer; None turns it round.

        Only the owner may share it; the owner or an admin may end that. With `force`, uses that only its being public
        allowed end too. Raises NotFound, Forbidden, ImageInUse.
        """
        async with self._unit_of_work() as work:
            before = await work.images.get_visible(viewer.scope, id, for_update=True)
            if not viewer.reaches(before.owner_id):
                raise NotFound("Image", id)
            after = replace(before, is_public=not before.is_public if is_public is None else is_public)
            if after.is_public and not before.is_public and before.owner_id != viewer.id:
                raise Forbidden("Only its owner may make an image public")
            if before.is_public and not after.is_public:
                await self._free(work, viewer, before, force=force, but_of=before.owner_id)
            await work.images.update(after)
            await work.commit()
        return after

    async def delete(self, viewer: Viewer, id: UUID, *, force: bool = False) -> None:
        """Remove an image, and its files unless others have the same ones. Raises NotFound, ImageInUse."""
        async with self._unit_of_work() as work:
            found = await work.images.get(viewer.scope, id, for_update=True)
            await self._free(work, viewer, found, force=force)
            await work.images.delete(found.id)
            await work.pictures.release(found.picture, self._clock.now())
            await work.commit()
        await self._pictures.clear_away(found.picture)

    async def _keep(self, owner: User, file: UploadedFile, source: ImageSource, tags: tuple[Tag, ...]) -> Image:
        async with self._pictures.storing(owner.community_id, file) as picture, self._unit_of_work() as work:
            kept = await work.pictures.keep(owner.id, picture)
            image = new_upload(owner.community_id, owner.id, kept, file.filename, self._clock.now(), tags)
            image = replace(image, source=source)
            await work.images.add(image)
            await work.commit()
        return image

    async def _free(
        self, work: UnitOfWork, viewer: Viewer, image: Image, *, force: bool, but_of: UUID | None = None
    ) -> None:
        """End every use of the image, but for identities of `but_of`; not without `force`. Raises ImageInUse."""
        uses = (await work.images.uses_of([image.id])).get(image.id, ImageUses())
        ending = replace(uses, identities=tuple(one for one in uses.identities if one.user_id != but_of))
        if not ending:
            return
        if not force:
            raise ImageInUse(ending.in_words(viewer), ending.seen_by(viewer))
        await work.images.end_uses(image.id, but_of, self._clock.now())
