"""OpenAI's image models: text to picture through `images.generate`, with references through `images.edit`.

Always one picture per call, streamed where the model streams. The SDK validates nothing in a 200, so what comes back is
taken as plain JSON and checked here.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from domain.costs import CostBasis
from domain.failures import FailureCode, failure
from domain.providers import ImageOptions, PictureArrived, PictureRequest, PreviewArrived, ProviderEvent
from providers.catalogue import OPENAI, Catalogue
from providers.errors import NoPicture, at_cost
from providers.openai_style import (
    OpenAIStyleProvider,
    body_of,
    field,
    files,
    first_picture,
    output_format,
    text_field,
)
from providers.prices import TOKEN_PRICES, picture_price_micro_usd
from providers.prompts import full_prompt
from providers.replies import request_id_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Source: openai 3.52.0, types/image_generate_params.py: 0-3 (2026-11-20).
PREVIEWS = 3

_IMAGE_MODELS = ("gpt-image-", "chatgpt-image-", "dall-e-")


class OpenAIProvider(OpenAIStyleProvider):
    """The adapter for OpenAI. `base_url` ends before `/images`."""

    catalogue: ClassVar[Catalogue] = OPENAI
    default_base_url = "https://api.openai.com/v1"

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """The listed price, with the previews that are always asked for."""
        return picture_price_micro_usd(self.kind, model, options, references, self._previews(model))

    def _previews(self, model: str) -> int:
        return PREVIEWS if self.model(model).streams_previews else 0

    def _is_image_model(self, id: str) -> bool:
        return id.startswith(_IMAGE_MODELS)

    async def _ask(self, client: "AsyncOpenAI", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        arguments = self._arguments(request)
        images = client.images.with_raw_response
        answer = await (images.edit(**arguments) if request.references else images.generate(**arguments))
        request_id = request_id_of(answer.headers)
        if not arguments.get("stream") or "text/event-stream" not in answer.headers.get("content-type", ""):
            body = await body_of(answer.http_response)
            picture = first_picture(body, request_id)
            yield await self._arrived(request, picture, field(body, "usage"), request_id)
            return
        async with aclosing(_events(answer)) as events:
            async for event in events:
                if field(event, "type") in ("image_generation.partial_image", "image_edit.partial_image"):
                    yield PreviewArrived(await self._picture(event, request_id))
                elif field(event, "type") in ("image_generation.completed", "image_edit.completed"):
                    yield await self._arrived(request, event, field(event, "usage"), request_id)
                    return
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True), request_id)

    def _arguments(self, request: PictureRequest) -> dict[str, Any]:
        options = request.options
        wanted: dict[str, Any] = {
            "size": options.size,
            "quality": options.quality,
            "background": options.background,
            "output_format": output_format(options.output_format),
        }
        arguments = {
            "model": request.model,
            "prompt": full_prompt(request),
            "n": 1,
            **{name: value for name, value in wanted.items() if value is not None},
        }
        if previews := self._previews(request.model):
            arguments |= {"stream": True, "partial_images": previews}
        if request.references:
            arguments["image"] = files(request.references)
        return arguments

    async def _arrived(
        self, request: PictureRequest, picture: object, usage: object, request_id: str | None
    ) -> PictureArrived:
        cost = cost_micro_usd(request.model, usage)
        with at_cost(cost, CostBasis.USAGE):
            data = await self._picture(picture, request_id)
        return PictureArrived(
            data,
            revised_prompt=text_field(picture, "revised_prompt"),
            request_id=request_id,
            cost_micro_usd=cost,
            cost_basis=CostBasis.USAGE,
        )


async def _events(answer: Any) -> AsyncGenerator[object, None]:
    """The stream's events as plain JSON values; leaving early closes the response."""
    from openai import AsyncStream

    async with answer.parse(to=AsyncStream[object]) as stream:
        async for event in stream:
            yield event


def cost_micro_usd(model: str, usage: object) -> int | None:
    """What the reported tokens cost, or None when the price or a count isn't known."""
    prices = TOKEN_PRICES.get(model)
    details = field(usage, "input_tokens_details")
    counts = (field(details, "text_tokens"), field(details, "image_tokens"), field(usage, "output_tokens"))
    if prices is None or not all(type(count) is int and 0 <= count < 10**9 for count in counts):
        return None
    text_in, image_in, image_out = counts
    cost: float = text_in * prices.text_in + image_in * prices.image_in + image_out * prices.image_out
    return round(cost)
