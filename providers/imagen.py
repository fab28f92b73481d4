"""Google's Imagen models through `predict` of Vertex AI, with a key of its express mode: the only way the SDK has.

Google has retired every Imagen model that we know (see the catalogue); what it still serves to somebody passes through.
"""

import warnings
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, ClassVar

from domain.failures import FailureCode, failure
from domain.providers import OutputFormat, PictureArrived, PictureRequest, ProviderEvent
from providers.catalogue import IMAGEN, Catalogue
from providers.errors import NoPicture
from providers.gemini import GoogleProvider
from providers.prompts import full_prompt

if TYPE_CHECKING:
    from google.genai import Client, types

_MIME_TYPES = {OutputFormat.PNG: "image/png", OutputFormat.JPEG: "image/jpeg"}


class ImagenProvider(GoogleProvider):
    """The adapter for Imagen."""

    catalogue: ClassVar[Catalogue] = IMAGEN
    default_base_url = "https://aiplatform.googleapis.com/"
    # The lists of models are in no other version.
    api_version = "v1beta1"
    is_vertex = True

    @property
    def problem(self) -> str | None:
        """What is wrong with the key, and where one comes from."""
        told = super().problem
        if told is None or self._api_key:
            return told
        return (
            f"{told} It takes one of Vertex AI in express mode. Google has retired Imagen: Google Gemini replaces it."
        )

    def _is_image_model(self, id: str) -> bool:
        return id.startswith("imag")

    async def _ask(self, client: "Client", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        from google.genai import types

        config = types.GenerateImagesConfig(
            number_of_images=1,
            aspect_ratio=request.options.aspect_ratio,
            image_size=request.options.resolution,
            output_mime_type=_MIME_TYPES.get(request.options.output_format or OutputFormat.ORIGINAL),
            # Without it, a picture that was filtered out is simply missing.
            include_rai_reason=True,
        )
        with warnings.catch_warnings():
            # The SDK warns that Imagen will go; the catalogue says so already.
            warnings.simplefilter("ignore")
            asking = client.aio.models.generate_images(model=request.model, prompt=full_prompt(request), config=config)
        made = _first(await asking)
        yield PictureArrived(_picture(made), revised_prompt=made.enhanced_prompt)


def _first(answer: "types.GenerateImagesResponse") -> "types.GeneratedImage":
    """The picture, or the reason why it was withheld. Raises NoPicture when there is neither."""
    if not answer.generated_images:
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True))
    return answer.generated_images[0]


def _picture(made: "types.GeneratedImage") -> bytes:
    if made.rai_filtered_reason:
        # Source: googleapis/js-genai#321: "You will not be charged for blocked images" (2026-11-21).
        raise NoPicture(failure(FailureCode.REFUSED_OUTPUT), said=made.rai_filtered_reason)
    data = made.image.image_bytes if made.image else None
    if not data:
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True))
    return data
