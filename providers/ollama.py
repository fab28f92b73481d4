"""Ollama on a machine of one's own, through its native `/api/generate`, which tells its steps line by line.

No SDK is installed for it: two plain requests need none. What is made at home is never paid.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from domain.costs import CostBasis
from domain.failures import RETRYABLE, FailureCode, failure
from domain.providers import ImageOptions, PictureArrived, PictureFailed, PictureRequest, ProviderEvent
from providers.catalogue import OLLAMA, Catalogue
from providers.errors import ErrorAnswered, NoPicture
from providers.openai_style import field, listed, text_field
from providers.prompts import full_prompt
from providers.remotes import RemoteProvider, check_answered, decoded

if TYPE_CHECKING:
    from httpx2 import AsyncClient

MAX_LINES = 2_000
"""Ollama writes one for each of its steps, which are few."""
LONG_LINE = 64 * 1024
"""Characters; a line with a picture in it is read in a thread, one that tells a step isn't worth it."""
NO_IMAGE_MODEL = "This model makes no images. Choose one that does, such as x/flux2-klein."


class OllamaProvider(RemoteProvider["AsyncClient"]):
    """The adapter for Ollama. Its address may end in `/v1`, as those that are given to SDKs do."""

    catalogue: ClassVar[Catalogue] = OLLAMA

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """Nothing, whatever the model."""
        return 0

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask for one picture, once. What fails has cost nothing, so that another try is always safe."""
        async with aclosing(super().generate(request)) as events:
            async for event in events:
                yield _unpaid(event)

    def _credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._api_key}"} if self._api_key else {}

    def _client_over(self, http: "AsyncClient") -> "AsyncClient":
        return http

    def _url(self, path: str) -> str:
        return f"{(self._base_url or '').rstrip('/').removesuffix('/v1')}{path}"

    async def _offered(self, client: "AsyncClient") -> Sequence[str] | None:
        answer = await client.get(self._url("/api/tags"))
        await check_answered(answer)
        return [name for model in listed(answer.content, "models") if (name := _image_model(model))]

    async def _ask(self, client: "AsyncClient", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        # In a thread: references are megabytes to be encoded.
        order = await asyncio.to_thread(_order, request)
        async with client.stream("POST", self._url("/api/generate"), json=order) as answer:
            await check_answered(answer)
            words = False
            lines = 0
            async for line in answer.aiter_lines():
                lines += 1
                if lines > MAX_LINES:
                    raise NoPicture(failure(FailureCode.BAD_RESPONSE))
                told = await asyncio.to_thread(json.loads, line) if len(line) > LONG_LINE else json.loads(line)
                if error := field(told, "error"):
                    raise ErrorAnswered(answer.status_code, error, answer.headers)
                if image := text_field(told, "image"):
                    yield PictureArrived(await decoded(image, None), cost_micro_usd=0, cost_basis=CostBasis.LISTED)
                    return
                words = words or bool(field(told, "response"))
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, NO_IMAGE_MODEL if words else None))


def _order(request: PictureRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"model": request.model, "prompt": full_prompt(request)}
    if request.options.size:
        width, _, height = request.options.size.partition("x")
        body |= {"width": int(width), "height": int(height)}
    if request.options.seed is not None:
        body["options"] = {"seed": request.options.seed}
    if request.references:
        body["images"] = [base64.b64encode(each.picture.data).decode() for each in request.references]
    return body


def _image_model(model: object) -> str | None:
    """The name of a model of the list, if it makes images. Before 0.30 or so the list says nothing of abilities."""
    name, abilities = text_field(model, "name"), field(model, "capabilities")
    if name is None:
        return None
    name = name.removesuffix(":latest")
    is_known = any(name.partition(":")[0] == known.id for known in OLLAMA.models)
    return name if ("image" in abilities if isinstance(abilities, list) else is_known) else None


def _unpaid(event: ProviderEvent) -> ProviderEvent:
    if not isinstance(event, PictureFailed):
        return event
    told = event.failure
    return replace(event, failure=replace(told, is_charged=False, is_retryable=told.code in RETRYABLE))
