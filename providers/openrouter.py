"""OpenRouter: many vendors' models behind one key, through its images API or, for models that talk, its chat.

Both are asked by the SDK of OpenAI, which knows neither: the images API is at another path than OpenAI's, and pictures
in a chat are OpenRouter's own. Answers are read as plain JSON.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from domain.costs import CostBasis
from domain.failures import FailureCode, GenerationFailure, failure
from domain.providers import PictureArrived, PictureRequest, ProviderEvent
from providers.catalogue import OPENROUTER, OPENROUTER_CHAT, Catalogue
from providers.errors import ErrorAnswered, NoPicture, at_cost
from providers.gemini import WORDS_ONLY, finished
from providers.openai_style import (
    OpenAIStyleProvider,
    data_uri,
    field,
    first_picture,
    listed_ids,
    output_format,
    post,
    text_field,
)
from providers.prompts import full_prompt
from providers.replies import request_id_of

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI


class OpenRouterProvider(OpenAIStyleProvider):
    """The adapter for OpenRouter. `base_url` ends before `/images` and `/chat`."""

    catalogue: ClassVar[Catalogue] = OPENROUTER
    default_base_url = "https://openrouter.ai/api/v1"

    async def _offered(self, client: "AsyncOpenAI") -> Sequence[str] | None:
        from httpx2 import Response

        # The list is open to everybody: only this tells whether the key is one.
        await client.get("/key", cast_to=Response)
        return listed_ids((await client.get("/images/models", cast_to=Response)).content)

    async def _ask(self, client: "AsyncOpenAI", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        is_chat = request.model in OPENROUTER_CHAT
        path, written = ("/chat/completions", _message) if is_chat else ("/images", _order)
        # In a thread: references are megabytes to be encoded.
        answer = await post(client, path, await asyncio.to_thread(written, request))
        told = await asyncio.to_thread(json.loads, answer.content)
        request_id = request_id_of({"x-request-id": text_field(told, "id") or ""}) or request_id_of(answer.headers)
        cost = cost_micro_usd(field(told, "usage"))
        with at_cost(cost, CostBasis.REPORTED):
            _check(told, answer)
            if is_chat:
                choice = _first(field(told, "choices"))
                _check(choice, answer)
                data = await self._of_chat(choice, request_id)
            else:
                data = await self._picture(first_picture(told, request_id), request_id)
        yield PictureArrived(data, request_id=request_id, cost_micro_usd=cost, cost_basis=CostBasis.REPORTED)

    async def _of_chat(self, choice: object, request_id: str | None) -> bytes:
        """The picture in an answer's message. Raises NoPicture with the reason why there is none."""
        message = field(choice, "message")
        url = text_field(field(_first(field(message, "images")), "image_url"), "url")
        refusal, words = text_field(message, "refusal"), text_field(message, "content")
        if refusal or field(choice, "finish_reason") == "content_filter":
            raise NoPicture(failure(FailureCode.REFUSED_OUTPUT, is_charged=True), request_id, refusal or words or "")
        if not url:
            raise NoPicture(_why_none(choice), request_id, words or "")
        return await self._at(url, request_id)


def _order(request: PictureRequest) -> dict[str, Any]:
    """A picture to be made, as the images API wants it."""
    options = request.options
    wanted = {
        "size": options.size,
        "aspect_ratio": options.aspect_ratio,
        "resolution": options.resolution,
        "quality": options.quality,
        "background": options.background,
        "output_format": output_format(options.output_format),
        "seed": options.seed,
        "input_references": _pictures(request) or None,
    }
    return {
        "model": request.model,
        "prompt": full_prompt(request),
        "n": 1,
        **{name: value for name, value in wanted.items() if value is not None},
    }


def _message(request: PictureRequest) -> dict[str, Any]:
    """A message that asks for a picture. Without `modalities` the answer would be words."""
    resolution = request.options.resolution
    shape = {
        "aspect_ratio": request.options.aspect_ratio,
        # Chat has a name of its own for the smallest tier.
        "image_size": "0.5K" if resolution == "512" else resolution,
    }
    return {
        "model": request.model,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": full_prompt(request)}, *_pictures(request)]}
        ],
        "modalities": ["image", "text"],
        "image_config": {name: value for name, value in shape.items() if value is not None},
    }


def _pictures(request: PictureRequest) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": data_uri(reference)}} for reference in request.references]


def _check(told: object, answer: "Response") -> None:
    """Raises ErrorAnswered when there is an error inside of a 200: it then has a status of its own."""
    error = field(told, "error")
    if not error:
        return
    code = field(error, "code")
    raise ErrorAnswered(code if type(code) is int else answer.status_code, error, answer.headers)


def _why_none(choice: object) -> GenerationFailure:
    """The reason by the vendor's own word for it, which OpenRouter passes on; it has those of Google for Google's models."""
    told = finished((text_field(choice, "native_finish_reason") or "").upper())
    if field(choice, "finish_reason") == "error":
        return failure(FailureCode.BAD_RESPONSE, is_charged=True)
    if told.code is FailureCode.EMPTY_RESULT and text_field(field(choice, "message"), "content"):
        return failure(FailureCode.EMPTY_RESULT, WORDS_ONLY, is_charged=True)
    return told


def _first(values: object) -> object:
    return values[0] if isinstance(values, list) and values else None


def cost_micro_usd(usage: object) -> int | None:
    """What was paid, or None when that isn't told. A vendor who is paid by a key kept at OpenRouter bills apart."""
    parts = [field(usage, "cost")]
    if field(usage, "is_byok") is True:
        parts.append(field(field(usage, "cost_details"), "upstream_inference_cost"))
    if not all(type(part) in (int, float) and 0 <= part < 10**6 for part in parts):
        return None
    cost: float = sum(parts)
    return round(cost * 1_000_000)
