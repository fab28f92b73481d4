"""OpenAI's image models: text to picture through `images.generate`, with references through `images.edit`.

Always one picture per call, streamed where the model streams. The SDK validates nothing in a 200, so what comes back is
taken as plain JSON and checked here.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from domain.failures import FailureCode, failure
from domain.providers import (
    OutputFormat,
    PictureArrived,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
)
from providers.catalogue import OPENAI, TOKEN_PRICES, Catalogue
from providers.errors import NoPicture
from providers.prompts import full_prompt
from providers.remotes import RemoteProvider
from providers.replies import request_id_of

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from openai import AsyncOpenAI

BASE_URL = "https://api.openai.com/v1"
# Source: openai 3.52.0, types/image_generate_params.py: 0-3; each costs about 100 output tokens (2026-11-20).
PREVIEWS = 3

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class OpenAIProvider(RemoteProvider["AsyncOpenAI"]):
    """The adapter for OpenAI. `base_url` ends before `/images`."""

    catalogue: ClassVar[Catalogue] = OPENAI

    def _credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._api_key}"}

    def _client_over(self, http: "AsyncClient") -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._base_url or BASE_URL,
            timeout=http.timeout,
            # The SDK would send a second paid request after a lost answer.
            max_retries=0,
            http_client=http,
        )

    async def _ping(self, client: "AsyncOpenAI") -> None:
        answer = await client.models.with_raw_response.list()
        if not isinstance(_field(json.loads(answer.content), "data"), list):
            raise NoPicture(failure(FailureCode.BAD_RESPONSE, "The address does not answer as OpenAI's API does."))

    async def _ask(self, client: "AsyncOpenAI", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        arguments = self._arguments(request)
        images = client.images.with_raw_response
        answer = await (images.edit(**arguments) if request.references else images.generate(**arguments))
        request_id = request_id_of(answer.headers)
        if not arguments.get("stream") or "text/event-stream" not in answer.headers.get("content-type", ""):
            body = await asyncio.to_thread(json.loads, await answer.http_response.aread())
            pictures = _field(body, "data")
            if not isinstance(pictures, list) or not pictures:
                raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True), request_id)
            yield await _arrived(request, pictures[0], _field(body, "usage"), request_id)
            return
        async with aclosing(_events(answer)) as events:
            async for event in events:
                if _field(event, "type") in ("image_generation.partial_image", "image_edit.partial_image"):
                    yield PreviewArrived(await _decoded(event, request_id))
                elif _field(event, "type") in ("image_generation.completed", "image_edit.completed"):
                    yield await _arrived(request, event, _field(event, "usage"), request_id)
                    return
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True), request_id)

    def _arguments(self, request: PictureRequest) -> dict[str, Any]:
        options = request.options
        wanted: dict[str, Any] = {
            "size": options.size,
            "quality": options.quality,
            "background": options.background,
            "output_format": _output_format(options.output_format),
        }
        arguments = {
            "model": request.model,
            "prompt": full_prompt(request),
            "n": 1,
            **{name: value for name, value in wanted.items() if value is not None},
        }
        if self.model(request.model).streams_previews:
            arguments |= {"stream": True, "partial_images": PREVIEWS}
        if request.references:
            # Named and typed: bare bytes go out as application/octet-stream, which the API refuses.
            arguments["image"] = [
                (f"reference-{number}.{_EXTENSIONS.get(picture.media_type, 'bin')}", picture.data, picture.media_type)
                for number, picture in enumerate((reference.picture for reference in request.references), start=1)
            ]
        return arguments


def _output_format(chosen: OutputFormat | None) -> str | None:
    return None if chosen in (None, OutputFormat.ORIGINAL) else chosen.lower()


async def _events(answer: Any) -> AsyncGenerator[object, None]:
    """The stream's events as plain JSON values; leaving early closes the response."""
    from openai import AsyncStream

    async with answer.parse(to=AsyncStream[object]) as stream:
        async for event in stream:
            yield event


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


async def _arrived(request: PictureRequest, picture: object, usage: object, request_id: str | None) -> PictureArrived:
    revised = _field(picture, "revised_prompt")
    return PictureArrived(
        await _decoded(picture, request_id),
        revised_prompt=revised if isinstance(revised, str) else None,
        request_id=request_id,
        cost_micro_usd=cost_micro_usd(request.model, usage),
    )


async def _decoded(picture: object, request_id: str | None) -> bytes:
    """The picture's bytes. Raises NoPicture unless they are there as strict base64."""
    text = _field(picture, "b64_json")
    if not isinstance(text, str) or not text:
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True), request_id)
    try:
        return await asyncio.to_thread(base64.b64decode, text, validate=True)
    except ValueError:
        raise NoPicture(failure(FailureCode.BAD_RESPONSE, is_charged=True), request_id) from None


def cost_micro_usd(model: str, usage: object) -> int | None:
    """What the reported tokens cost, or None when the price or a count isn't known."""
    prices = TOKEN_PRICES.get(model)
    details = _field(usage, "input_tokens_details")
    counts = (_field(details, "text_tokens"), _field(details, "image_tokens"), _field(usage, "output_tokens"))
    if prices is None or not all(type(count) is int and 0 <= count < 10**9 for count in counts):
        return None
    text_in, image_in, image_out = counts
    cost: float = text_in * prices.text_in + image_in * prices.image_in + image_out * prices.image_out
    return round(cost)
