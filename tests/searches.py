"""A library to search in: images of a community's members, beside another community's."""

from dataclasses import dataclass, replace
from typing import Any

from domain.images import Image, ImageList, image_filter
from domain.pages import PageRequest
from domain.repositories import UnitOfWorkFactory
from domain.tags import Tag, TagKind
from domain.users import Viewer
from tests.rows import an_image, stored_community, stored_images, stored_viewer

SECRET = {"name": "The Analyst"}
CORPUS = {
    "accents": "Crème brûlée à la carte",
    "case": "RED House",
    "sharp s": "Straße",
    "ligature": "ﬁne ﬂower",
    "turkish": "İstanbul \u0131\u015f\u0131k",
    "chinese": "東京タワー2026",
    "hangul": "서울의 밤",
    "greek": "ΟΔΥΣΣΕΥΣ",
    "emoji": "🙂 cat 👩‍🚀 dog",
    "digits": "route 66 \uff12\uff10 ½",
    "apostrophes": "it's don\u2019t",
    "underscores": "red_house-2.final",
    "hyphens": "well-known co-op",
    "long": " ".join(["x" + "rindfleisch" * 60, "y" + "é" * 3000, "\U0001d49c" * 700]),
    "cut": "\ufb03" * 167 + "z",
    "wide": "\U00010428" * 600,
    "signs": "§secret ¶t0 * : & | ! \\ ' \"",
    "operators": "and or not near null",
    "arabic": "السَّلام عليكم",
    "hindi": "नमस्ते दुनिया",
}


@dataclass
class Library:
    """The images of a community's members, and searches among them."""

    unit_of_work: UnitOfWorkFactory
    viewer: Viewer
    other: Viewer

    @property
    def mine(self) -> ImageList:
        """The viewer's own images."""
        return ImageList(self.viewer.user.community_id, self.viewer.id)

    @property
    def public(self) -> ImageList:
        """The community's public ones."""
        return ImageList(self.viewer.user.community_id, is_public=True)

    @property
    def everybodys(self) -> ImageList:
        """All of the community's."""
        return ImageList(self.viewer.user.community_id)

    @property
    def lists(self) -> list[ImageList]:
        """The three, and the viewer's public ones."""
        return [self.mine, self.public, self.everybodys, replace(self.mine, is_public=True)]

    async def add(self, **changes: Any) -> Image:
        """An image of the viewer's, without a word in its name."""
        image = an_image(self.viewer.user, **{"filename": "_.png", **changes})
        await stored_images(self.unit_of_work, image)
        return image

    async def found(self, wanted: ImageList, **filter: Any) -> list[Image]:
        """The whole of a list, which its count agrees with."""
        wanted = replace(wanted, filter=image_filter(**filter))
        async with self.unit_of_work(read_only=True) as work:
            rows = (await work.images.page(wanted, PageRequest(100))).rows
            assert await work.images.count(wanted) == len(rows)
        return list(rows)


async def new_library(unit_of_work: UnitOfWorkFactory) -> Library:
    """An empty library, beside another community's, which is never searched."""
    community = await stored_community(unit_of_work)
    viewer, other = [await stored_viewer(unit_of_work, community) for _ in range(2)]
    stranger = await stored_viewer(unit_of_work)
    theirs = {"is_public": True, "tags": (Tag(TagKind.THEME, "Sea"),)}
    names = (*CORPUS.values(), "cat", "Sea")
    await stored_images(unit_of_work, *(an_image(stranger.user, filename=f"{name}.png", **theirs) for name in names))
    return Library(unit_of_work, viewer, other)
