"""Google's Gemini image models, through `generateContent` on the developer API: one picture per call, no previews.

A refusal is an HTTP 200 without a picture, so that most of this is reading why there is none.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, ClassVar

from domain.failures import FailureCode, GenerationFailure, failure
from domain.providers import PictureArrived, PictureRequest, ProviderEvent
from providers.catalogue import GEMINI, Catalogue, picture_price_micro_usd
from providers.errors import NoPicture
from providers.prompts import full_prompt
from providers.remotes import RemoteProvider

if TYPE_CHECKING:
    from google.genai import Client, types
    from httpx2 import AsyncClient

BASE_URL = "https://generativelanguage.googleapis.com/"
API_VERSION = "v1"

WORDS_ONLY = "The model answered in words instead of a picture. Say in the prompt what the picture should show."
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


class GeminiProvider(RemoteProvider["Client"]):
    """The adapter for Gemini. `base_url` ends before `/v1`."""

    catalogue: ClassVar[Catalogue] = GEMINI

    def _credentials(self) -> dict[str, str]:
        return {"x-goog-api-key": self._api_key}

    def _client_over(self, http: "AsyncClient") -> "Client":
        from google.genai import Client, types

        options = types.HttpOptions(
            base_url=self._base_url or BASE_URL,
            api_version=API_VERSION,
            timeout=round(self._timeout_s * 1000),
            # Said out loud: by default the SDK asks twice over one of its HTTP clients, and once over ours.
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=http,
        )
        # Said out loud, because an environment variable could turn this into a Vertex client.
        return Client(vertexai=False, api_key=self._api_key, http_options=options)

    async def _ping(self, client: "Client") -> None:
        await client.aio.models.list(config={"page_size": 1})

    async def _ask(self, client: "Client", request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        contents, config = _question(request)
        answer = await client.aio.models.generate_content(model=request.model, contents=contents, config=config)
        data = _picture(answer)
        yield PictureArrived(
            data,
            request_id=answer.response_id,
            cost_micro_usd=picture_price_micro_usd(request.model, request.options),
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


def _picture(answer: "types.GenerateContentResponse") -> bytes:
    """The first picture that isn't a draft. Raises NoPicture with the reason why there is none."""
    blocked = answer.prompt_feedback and answer.prompt_feedback.block_reason
    if blocked:
        raise NoPicture(failure(FailureCode.REFUSED_INPUT), answer.response_id)
    candidate = answer.candidates[0] if answer.candidates else None
    told = _finish(candidate)
    if told.is_refusal:
        raise NoPicture(told, answer.response_id)
    blobs = [
        part.inline_data
        for part in (candidate and candidate.content and candidate.content.parts) or []
        # The parts of its thinking may hold draft pictures.
        if part.inline_data and not part.thought
    ]
    pictures = [blob.data for blob in blobs if blob.data and (blob.mime_type or "image/").startswith("image/")]
    if not pictures:
        raise NoPicture(failure(FailureCode.BAD_RESPONSE, is_charged=True) if blobs else told, answer.response_id)
    return pictures[0]


def _finish(candidate: "types.Candidate | None") -> GenerationFailure:
    reason = candidate.finish_reason.value if candidate and candidate.finish_reason else "OTHER"
    code, message = FINISHES.get(reason, (FailureCode.EMPTY_RESULT, None))
    return failure(code, message, is_charged=code is not FailureCode.REFUSED_INPUT)
