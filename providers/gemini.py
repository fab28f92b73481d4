"""Google's Gemini image models, through `generateContent` on the developer API: one picture per call, no previews.

A refusal is an HTTP 200 without a picture, so that most of this is reading why there is none.
"""

import ssl
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, ClassVar

from domain.costs import CostBasis
from domain.failures import FailureCode, GenerationFailure, failure
from domain.providers import PictureArrived, PictureRequest, ProviderEvent
from providers.catalogue import GEMINI, Catalogue
from providers.errors import NoPicture, at_cost
from providers.prices import GEMINI_TOKEN_PRICES
from providers.prompts import full_prompt
from providers.remotes import RemoteProvider, check_answered

if TYPE_CHECKING:
    from google.genai import Client, types
    from httpx2 import AsyncClient

WORDS_ONLY = "The model answered in words instead of a picture. Say in the prompt what the picture should show."
MAX_TOKENS = 10**9
"""More, or less than none, are nonsense."""
LIMITED = "Google has limited this account for breaking its use policy."

# Source: google-genai 3.4.0, types.FinishReason; a test walks the enum (2026-11-20).
FINISHES: dict[str, tuple[FailureCode, str | None]] = {
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
        ),
        (FailureCode.REFUSED_OUTPUT, None),
    ),
    "ESCALATION": (FailureCode.REFUSED_INPUT, None),
    "PUP_LIMITED_DISABLED": (FailureCode.PERMISSION_DENIED, LIMITED),
    "STOP": (FailureCode.EMPTY_RESULT, WORDS_ONLY),
    "LANGUAGE": (FailureCode.INVALID_REQUEST, "The model does not understand the prompt's language."),
    "MALFORMED_RESPONSE": (FailureCode.BAD_RESPONSE, None),
    **dict.fromkeys(
        (
            "FINISH_REASON_UNSPECIFIED",
            "MAX_TOKENS",
            "OTHER",
            "IMAGE_OTHER",
            "NO_IMAGE",
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "MISSING_THOUGHT_SIGNATURE",
            "CONTINUATION",
        ),
        (FailureCode.EMPTY_RESULT, None),
    ),
}
"""Why the model stopped, and what that means when no picture came."""


class GoogleProvider(RemoteProvider["Client"]):
    """What the adapters over Google's SDK share. `base_url` ends before the version of the API."""

    default_base_url: ClassVar[str]
    api_version: ClassVar[str]
    is_vertex: ClassVar[bool] = False

    def _credentials(self) -> dict[str, str]:
        return {"x-goog-api-key": self._api_key}

    def _client_over(self, http: "AsyncClient") -> "Client":
        from google.genai import Client, types

        # Before the SDK, which loses the status of an error whose body it can't read.
        http.event_hooks["response"].append(check_answered)
        # For the clients that the SDK makes beside ours and never uses: to read certificates for them takes longer than
        # all the rest, for each call by a profile. Without any, they would trust nobody.
        blank = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        options = types.HttpOptions(
            base_url=self._base_url or self.default_base_url,
            api_version=self.api_version,
            timeout=round(self._timeout_s * 1000),
            # Said out loud: by default the SDK asks twice over one of its HTTP clients, and once over ours.
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=http,
            client_args={"verify": blank},
            async_client_args={"ssl": blank},
        )
        # Said out loud, because an environment variable could decide which of Google's two services is asked.
        return Client(vertexai=self.is_vertex, api_key=self._api_key, http_options=options)

    async def _offered(self, client: "Client") -> Sequence[str] | None:
        names = [model.name or "" async for model in await client.aio.models.list(config={"page_size": 1000})]
        ids = [name.rpartition("models/")[2] for name in names]
        return [id for id in ids if self._is_image_model(id)]

    @abstractmethod
    def _is_image_model(self, id: str) -> bool:
        """Whether a model of Google's list makes images by this adapter."""


class GeminiProvider(GoogleProvider):
    """The adapter for Gemini."""

    catalogue: ClassVar[Catalogue] = GEMINI
    default_base_url = "https://generativelanguage.googleapis.com/"
    api_version = "v1"

    def _is_image_model(self, id: str) -> bool:
        return id.startswith(("gemini-", "nano-banana-")) and ("image" in id or "banana" in id)

    async def _ask(self, client: "Client", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        contents, config = _question(request)
        answer = await client.aio.models.generate_content(model=request.model, contents=contents, config=config)
        usage = answer.usage_metadata
        with at_cost(_counted_micro_usd(request.model, usage, is_picture=False), CostBasis.USAGE):
            data = _picture(answer)
        counted = _counted_micro_usd(request.model, usage, is_picture=True)
        yield PictureArrived(
            data,
            request_id=answer.response_id,
            cost_micro_usd=self.price_micro_usd(request.model, request.options, 0) if counted is None else counted,
            cost_basis=CostBasis.LISTED if counted is None else CostBasis.USAGE,
        )


def _question(request: PictureRequest) -> "tuple[types.Content, types.GenerateContentConfig]":
    from google.genai import types

    pictures = (reference.picture for reference in request.references)
    parts = [
        types.Part.from_text(text=full_prompt(request)),
        *(types.Part.from_bytes(data=picture.data, mime_type=picture.media_type) for picture in pictures),
    ]
    shape = types.ImageConfig(aspect_ratio=request.options.aspect_ratio, image_size=request.options.resolution)
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"],
        image_config=shape,
        # It would send further paid requests when an answer is cut short.
        automatic_continuation=False,
    )
    return types.Content(role="user", parts=parts), config


def _counted_micro_usd(
    model: str, usage: "types.GenerateContentResponseUsageMetadata | None", *, is_picture: bool
) -> int | None:
    """What the reported tokens cost, or None when the price isn't known, or not how many of them are the picture."""
    prices = GEMINI_TOKEN_PRICES.get(model)
    if prices is None or usage is None:
        return None
    details = usage.candidates_tokens_details or []
    pictures = sum(part.token_count or 0 for part in details if part.modality == "IMAGE")
    told = (usage.prompt_token_count or 0, usage.candidates_token_count or 0, usage.thoughts_token_count or 0)
    asked, answered, thought = told
    # Where no picture came, its tokens may be among those that came, unless it is told what these are.
    is_told = pictures > 0 if is_picture else usage.prompt_token_count is not None and (details or not answered)
    if not (is_told and all(0 <= count < MAX_TOKENS for count in (*told, pictures))):
        return None
    words = max(0, answered - pictures) + thought
    return round(asked * prices.text_in + pictures * prices.image_out + words * prices.text_out)


def _picture(answer: "types.GenerateContentResponse") -> bytes:
    """The first picture that isn't a draft. Raises NoPicture with the reason why there is none."""
    blocked = answer.prompt_feedback and answer.prompt_feedback.block_reason
    if blocked:
        raise NoPicture(failure(FailureCode.REFUSED_INPUT), answer.response_id)
    candidate = answer.candidates[0] if answer.candidates else None
    told = finished(candidate.finish_reason.value if candidate and candidate.finish_reason else "OTHER")
    if told.is_refusal:
        raise NoPicture(told, answer.response_id)
    parts = (candidate and candidate.content and candidate.content.parts) or []
    # The parts of its thinking may hold draft pictures.
    blobs = [part.inline_data for part in parts if part.inline_data and not part.thought]
    pictures = [blob.data for blob in blobs if blob.data and (blob.mime_type or "image/").startswith("image/")]
    if not pictures:
        words = " ".join(part.text for part in parts if part.text and not part.thought)
        raise NoPicture(
            failure(FailureCode.BAD_RESPONSE, is_charged=True) if blobs else told, answer.response_id, words
        )
    return pictures[0]


def finished(reason: str) -> GenerationFailure:
    """What Google's reason to stop means when no picture came."""
    code, message = FINISHES.get(reason, (FailureCode.EMPTY_RESULT, None))
    return failure(code, message, is_charged=code is not FailureCode.REFUSED_INPUT)
