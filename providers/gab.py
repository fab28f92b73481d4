"""Gab AI: OpenAI's image API in front of models of many makers, paid in credits. It has no edits, so no references."""

import re
from typing import ClassVar

from providers.catalogue import GAB, Catalogue
from providers.compatible import CompatibleProvider

# Source: the makers that gab.ai/docs/api names; its list tells models of all kinds (2026-11-21).
_IMAGE_MODEL = re.compile(r"image|banana|seedream|flux|dall-e|imagen|diffusion|recraft|ideogram", re.IGNORECASE)


class GabProvider(CompatibleProvider):
    """The adapter for Gab AI."""

    catalogue: ClassVar[Catalogue] = GAB
    default_base_url = "https://gab.ai/v1"

    def _is_image_model(self, id: str) -> bool:
        return _IMAGE_MODEL.search(id) is not None
