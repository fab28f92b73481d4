"""Any server that speaks as OpenAI's image API does, more or less: nothing is sent that nobody asked for.

What it answers with may be base64, a data URI, or an address, absolute or relative to its own.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, ClassVar

from domain.providers import PictureArrived, PictureRequest, ProviderEvent
from providers.catalogue import COMPATIBLE, Catalogue
from providers.openai_style import OpenAIStyleProvider, body_of, files, first_picture, output_format, post, text_field
from providers.prompts import full_prompt
from providers.replies import request_id_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class CompatibleProvider(OpenAIStyleProvider):
    """The adapter for OpenAI-compatible servers. `base_url` ends before `/images`."""

    catalogue: ClassVar[Catalogue] = COMPATIBLE

    async def _ask(self, client: "AsyncOpenAI", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        wanted = self._wanted(request)
        if request.references:
            uploads = files(request.references)
            # The SDK calls a list `image[]`, which not every server knows; one file is `image` everywhere.
            image = uploads if len(uploads) > 1 else uploads[0]
            edited = await client.images.with_raw_response.edit(image=image, prompt=wanted["prompt"], extra_body=wanted)
            answer = edited.http_response
        else:
            answer = await post(client, "/images/generations", wanted)
        request_id = request_id_of(answer.headers)
        picture = first_picture(await body_of(answer), request_id)
        data = await self._picture(picture, request_id)
        yield PictureArrived(data, text_field(picture, "revised_prompt"), request_id)

    def _wanted(self, request: PictureRequest) -> dict[str, Any]:
        """What is asked for. Without a number of pictures, one is what everybody makes."""
        options = request.options
        wanted = {
            "model": request.model,
            "prompt": full_prompt(request),
            "size": options.size,
            "quality": options.quality,
            "style": options.style,
            "background": options.background,
            "output_format": output_format(options.output_format),
            "seed": options.seed,
        }
        return {name: value for name, value in wanted.items() if value is not None}
