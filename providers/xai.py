"""xAI's Grok Imagine: OpenAI's addresses with options of its own, references as JSON, and the price in every answer.

The calls go through the SDK's plain `post`, because its own methods send what xAI refuses.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, ClassVar

from domain.costs import CostBasis
from domain.failures import FailureCode, failure
from domain.providers import PictureArrived, PictureRequest, ProviderEvent
from providers.catalogue import XAI, Catalogue
from providers.errors import NoPicture, at_cost
from providers.openai_style import (
    OpenAIStyleProvider,
    body_of,
    data_uri,
    field,
    first_picture,
    listed_ids,
    post,
    text_field,
)
from providers.prompts import full_prompt
from providers.replies import request_id_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Source: docs.x.ai/developers/cost-tracking: 10,000,000,000 ticks are a dollar (2026-11-21).
TICKS_PER_MICRO_USD = 10_000


class XaiProvider(OpenAIStyleProvider):
    """The adapter for xAI. `base_url` ends before `/images`."""

    catalogue: ClassVar[Catalogue] = XAI
    default_base_url = "https://api.x.ai/v1"

    async def _offered(self, client: "AsyncOpenAI") -> Sequence[str] | None:
        from httpx2 import Response

        answer = await client.get("/image-generation-models", cast_to=Response)
        return listed_ids(answer.content, "models")

    async def _ask(self, client: "AsyncOpenAI", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        path = "/images/edits" if request.references else "/images/generations"
        # In a thread: references are megabytes to be encoded.
        answer = await post(client, path, await asyncio.to_thread(_wanted, request))
        request_id = request_id_of(answer.headers)
        body = await body_of(answer)
        cost = cost_micro_usd(field(body, "usage"))
        # It tells what it took for a picture that it keeps.
        with at_cost(cost, CostBasis.REPORTED):
            picture = _shown(body, request_id)
            data = await self._picture(picture, request_id)
        yield PictureArrived(
            data,
            revised_prompt=text_field(picture, "revised_prompt"),
            request_id=request_id,
            cost_micro_usd=cost,
            cost_basis=CostBasis.REPORTED,
        )


def _shown(body: object, request_id: str | None) -> object:
    """The entry of the picture. Raises NoPicture when it is withheld, or when there is none."""
    if field(body, "data") == [] or field(first_picture(body, request_id), "respect_moderation") is False:
        raise NoPicture(failure(FailureCode.REFUSED_OUTPUT, is_charged=True), request_id)
    return first_picture(body, request_id)


def _wanted(request: PictureRequest) -> dict[str, object]:
    options = request.options
    pictures = [{"type": "image_url", "url": data_uri(reference)} for reference in request.references]
    wanted = {
        "model": request.model,
        "prompt": full_prompt(request),
        # By default it answers with an address that is soon gone.
        "response_format": "b64_json",
        "aspect_ratio": options.aspect_ratio,
        "resolution": options.resolution and options.resolution.lower(),
        "quality": options.quality,
        "image": pictures[0] if len(pictures) == 1 else None,
        "images": pictures if len(pictures) > 1 else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def cost_micro_usd(usage: object) -> int | None:
    """What the answer says that it cost, or None when it doesn't."""
    ticks = field(usage, "cost_in_usd_ticks")
    return round(ticks / TICKS_PER_MICRO_USD) if type(ticks) is int and 0 <= ticks < 10**15 else None
