"""What each vendor says on the wire, case by case, and what it means: the columns of the provider matrix.

One entry per kind. The cases that every vendor can meet are made from its answer to a picture.
"""

from collections.abc import Sequence

from domain.failures import FailureCode
from domain.providers import ProviderKind
from providers.compatible import CompatibleProvider
from providers.gab import GabProvider
from providers.gemini import GeminiProvider
from providers.imagen import ImagenProvider
from providers.ollama import OllamaProvider
from providers.openai import OpenAIProvider
from providers.openrouter import OpenRouterProvider
from providers.xai import XaiProvider
from tests.wire import compatible, gemini, imagen, ollama, openai, openrouter, xai
from tests.wire.cases import Dialect, Told, base64_images, data_uris, inline_data, message_pictures, uploads
from tests.wire.server import json_answer, text_answer

F = FailureCode


def _google_key(key: str) -> tuple[str, str]:
    return "x-goog-api-key", key


_BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}

_OF_GOOGLE: dict[str, Sequence[Told]] = {
    "wrong key": (
        Told(gemini.error(400, "INVALID_ARGUMENT", _BAD_KEY), F.INVALID_KEY),
        Told(gemini.error(400, "INVALID_ARGUMENT", message="API key expired."), F.INVALID_KEY),
        Told(gemini.error(401, "UNAUTHENTICATED"), F.INVALID_KEY),
    ),
    "not allowed": (
        Told(gemini.error(403, "PERMISSION_DENIED"), F.PERMISSION_DENIED),
        Told(gemini.error(400, "FAILED_PRECONDITION"), F.PERMISSION_DENIED),
    ),
    "no credit": (
        Told(
            gemini.error(429, "RESOURCE_EXHAUSTED", message="Quota exceeded, limit: 0, model: x"), F.INSUFFICIENT_CREDIT
        ),
        Told(gemini.error(429, "RESOURCE_EXHAUSTED", message="Your credits are depleted."), F.INSUFFICIENT_CREDIT),
    ),
    "rate limit": (Told(gemini.error(429, "RESOURCE_EXHAUSTED"), F.RATE_LIMITED),),
    "bad request": (Told(gemini.error(400, "INVALID_ARGUMENT"), F.INVALID_REQUEST),),
    "model gone": (Told(gemini.error(404, "NOT_FOUND"), F.MODEL_GONE),),
    "unavailable": (
        Told(gemini.error(500, "INTERNAL"), F.PROVIDER_UNAVAILABLE),
        Told(gemini.error(503, "UNAVAILABLE"), F.PROVIDER_UNAVAILABLE),
        Told(json_answer([{"error": {"code": 503, "status": "UNAVAILABLE"}}], 503), F.PROVIDER_UNAVAILABLE),
    ),
}

_OF_GATEWAYS: dict[str, Sequence[Told]] = {
    "refused prompt": (
        Told(openai.error(400, "content_policy_violation"), F.REFUSED_INPUT),
        Told(compatible.error(400, "Flagged by our content moderation", "text"), F.REFUSED_INPUT),
        Told(compatible.error(422, "This breaks the content policy", "fields"), F.REFUSED_INPUT),
        Told(compatible.error(200, "Your request was rejected by the safety system"), F.REFUSED_INPUT),
        Told(compatible.error(451), F.REFUSED_INPUT),
    ),
    "wrong key": (
        Told(compatible.error(401, kind="message"), F.INVALID_KEY),
        Told(compatible.error(403, "Invalid API key", "detail"), F.INVALID_KEY),
        Told(openai.error(401, "invalid_api_key"), F.INVALID_KEY),
    ),
    "not allowed": (
        Told(compatible.error(403), F.PERMISSION_DENIED),
        Told(compatible.error(403, "Insufficient permissions of this API key", "detail"), F.PERMISSION_DENIED),
    ),
    "no credit": (
        Told(compatible.error(402, kind="message"), F.INSUFFICIENT_CREDIT),
        Told(compatible.error(403, "Insufficient balance", "text"), F.INSUFFICIENT_CREDIT),
        Told(openai.error(429, "insufficient_quota"), F.INSUFFICIENT_CREDIT),
        Told(json_answer({"code": "insufficient_quota", "error": "No"}, 429), F.INSUFFICIENT_CREDIT),
        Told(openai.error(403, "insufficient_user_quota"), F.INSUFFICIENT_CREDIT),
    ),
    "rate limit": (
        Told(compatible.error(429, kind="detail"), F.RATE_LIMITED),
        Told(text_answer("Too many requests", 429, "text/plain"), F.RATE_LIMITED),
    ),
    "bad request": (
        Told(compatible.error(400, kind="text"), F.INVALID_REQUEST),
        Told(compatible.error(400, "This model makes no pictures of that size"), F.INVALID_REQUEST),
        Told(compatible.error(422, kind="fields"), F.INVALID_REQUEST),
        Told(json_answer({"error": {}}, 400), F.INVALID_REQUEST),
        Told(text_answer("<html>Not found</html>", 404), F.INVALID_REQUEST),
        Told(compatible.error(501), F.INVALID_REQUEST),
    ),
    "model gone": (
        Told(openai.error(404, "model_not_found"), F.MODEL_GONE),
        Told(compatible.error(404, "No such model", "detail"), F.MODEL_GONE),
        Told(compatible.error(400, "Model not found: flux", "text"), F.MODEL_GONE),
    ),
    "unavailable": (
        Told(compatible.error(503, "Loading", "message"), F.PROVIDER_UNAVAILABLE),
        Told(text_answer("<html>Oh no</html>", 500), F.PROVIDER_UNAVAILABLE),
    ),
    "broken 200": (
        Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE, is_charged=True),
        Told(text_answer("", media_type="application/json"), F.BAD_RESPONSE, is_charged=True),
        Told(compatible.error(200, kind="text"), F.BAD_RESPONSE, is_charged=True),
        Told(compatible.picture(b64_json="not base64!"), F.BAD_RESPONSE, is_charged=True),
        Told(compatible.picture(url="data:image/png;base64,%%%"), F.BAD_RESPONSE, is_charged=True),
    ),
    "no picture": (
        Told(json_answer({"data": []}), F.EMPTY_RESULT, is_charged=True),
        Told(json_answer({"data": [{"url": None}]}), F.EMPTY_RESULT, is_charged=True),
        Told(json_answer({"data": [7]}), F.EMPTY_RESULT, is_charged=True),
        Told(json_answer({}), F.EMPTY_RESULT, is_charged=True),
    ),
}

DIALECTS: dict[ProviderKind, Dialect] = {
    ProviderKind.OPENAI: Dialect(
        OpenAIProvider,
        "a-model-of-tomorrow",
        openai.picture(),
        uploads,
        {
            "refused prompt": (
                Told(openai.error(400, "moderation_blocked"), F.REFUSED_INPUT),
                Told(openai.error(400, "content_policy_violation"), F.REFUSED_INPUT),
                Told(openai.error(400, message="Your request was rejected by the safety system."), F.REFUSED_INPUT),
                Told(openai.error(451), F.REFUSED_INPUT),
            ),
            "refused picture": (
                Told(
                    openai.error(
                        400, "moderation_blocked", extra={"moderation_details": {"moderation_stage": "output"}}
                    ),
                    F.REFUSED_OUTPUT,
                    is_charged=True,
                ),
            ),
            "wrong key": (
                Told(openai.error(401, "invalid_api_key"), F.INVALID_KEY),
                Told(openai.error(400, "invalid_api_key"), F.INVALID_KEY),
            ),
            "not allowed": (Told(openai.error(403), F.PERMISSION_DENIED),),
            "no credit": (
                Told(openai.error(402), F.INSUFFICIENT_CREDIT),
                Told(openai.error(400, "billing_hard_limit_reached"), F.INSUFFICIENT_CREDIT),
                Told(openai.error(429, "insufficient_quota"), F.INSUFFICIENT_CREDIT),
                Told(openai.error(429, extra={"type": "insufficient_quota"}), F.INSUFFICIENT_CREDIT),
            ),
            "rate limit": (Told(openai.error(429, "rate_limit_exceeded"), F.RATE_LIMITED),),
            "bad request": (
                Told(openai.error(400, "invalid_value", extra={"param": "size"}), F.INVALID_REQUEST),
                Told(openai.error(422), F.INVALID_REQUEST),
            ),
            "model gone": (Told(openai.error(404, "model_not_found"), F.MODEL_GONE),),
            "unavailable": (
                Told(openai.error(500, "server_error"), F.PROVIDER_UNAVAILABLE),
                Told(openai.error(503), F.PROVIDER_UNAVAILABLE),
            ),
            "broken 200": (
                Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE, is_charged=True),
                Told(openai.picture(b64_json="not base64!"), F.BAD_RESPONSE, is_charged=True),
            ),
            "no picture": (Told(openai.picture(b64_json=None), F.EMPTY_RESULT, is_charged=True),),
        },
    ),
    ProviderKind.OPENAI_COMPATIBLE: Dialect(
        CompatibleProvider, "flux.1-schnell", compatible.picture(), uploads, _OF_GATEWAYS
    ),
    ProviderKind.GAB: Dialect(GabProvider, "seedream-4.5", compatible.picture(), None, _OF_GATEWAYS),
    ProviderKind.XAI: Dialect(
        XaiProvider,
        "grok-imagine-image-2.0",
        xai.picture(),
        data_uris("images"),
        {
            "refused prompt": (
                Told(
                    xai.error(
                        403,
                        "Content violates usage guidelines. API key ID: x, Failed check: SAFETY_CHECK_TYPE_BIO",
                        "The caller does not have permission to execute the specified operation",
                    ),
                    F.REFUSED_INPUT,
                    is_charged=True,
                ),
                Told(xai.error(400, "Prompt rejected by content moderation."), F.REFUSED_INPUT),
            ),
            "refused picture": (
                Told(xai.picture(respect_moderation=False), F.REFUSED_OUTPUT, is_charged=True),
                Told(xai.picture(respect_moderation=False, ticks=0), F.REFUSED_OUTPUT),
                Told(xai.nothing(), F.REFUSED_OUTPUT, is_charged=True),
                Told(xai.nothing(ticks=0), F.REFUSED_OUTPUT),
                Told(
                    xai.error(400, "Generated image rejected by content moderation."), F.REFUSED_OUTPUT, is_charged=True
                ),
            ),
            "wrong key": (
                Told(xai.error(400, "Incorrect API key provided: ow***ef."), F.INVALID_KEY),
                Told(xai.error(400, "Incorrect%20API%20key%20provided:%20ow***ef."), F.INVALID_KEY),
                Told(xai.error(401), F.INVALID_KEY),
            ),
            "not allowed": (Told(xai.error(403), F.PERMISSION_DENIED),),
            "no credit": (
                Told(
                    xai.error(
                        429, "Your team x has either used all available credits or reached its monthly spending limit."
                    ),
                    F.INSUFFICIENT_CREDIT,
                ),
                Told(xai.error(403, "Your newly created team doesn't have any credits yet."), F.INSUFFICIENT_CREDIT),
                Told(xai.error(402), F.INSUFFICIENT_CREDIT),
            ),
            "rate limit": (Told(xai.error(429, "Too many requests"), F.RATE_LIMITED),),
            "bad request": (
                Told(xai.error(400, "Argument not supported: size"), F.INVALID_REQUEST),
                Told(text_answer("Failed to deserialize the JSON body", 422, "text/plain"), F.INVALID_REQUEST),
            ),
            "model gone": (
                Told(xai.error(404, "The model grok-2-image does not exist"), F.MODEL_GONE),
                Told(xai.error(400, "Model not found: grok-2-image"), F.MODEL_GONE),
            ),
            "unavailable": (
                Told(xai.error(500), F.PROVIDER_UNAVAILABLE),
                Told(xai.error(503, "The service is at capacity"), F.PROVIDER_UNAVAILABLE),
            ),
            "broken 200": (
                Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE, is_charged=True),
                Told(json_answer({"error": "own words"}), F.BAD_RESPONSE, is_charged=True),
                Told(xai.picture(b64_json="not base64!"), F.BAD_RESPONSE, is_charged=True),
            ),
            "no picture": (
                Told(xai.picture(revised_prompt="A fox"), F.EMPTY_RESULT, is_charged=True),
                Told(json_answer({"data": "oops"}), F.EMPTY_RESULT, is_charged=True),
                Told(json_answer([]), F.EMPTY_RESULT, is_charged=True),
            ),
        },
    ),
    ProviderKind.GEMINI: Dialect(
        GeminiProvider,
        "gemini-3-pro-image",
        gemini.candidate(gemini.inline()),
        inline_data,
        {
            "refused prompt": (
                *(Told(gemini.blocked(reason), F.REFUSED_INPUT) for reason in ("SAFETY", "PROHIBITED_CONTENT")),
                Told(gemini.candidate(finish="ESCALATION"), F.REFUSED_INPUT),
            ),
            "refused picture": tuple(
                Told(gemini.candidate(finish=reason), F.REFUSED_OUTPUT, is_charged=True)
                for reason in ("SAFETY", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION")
            ),
            **_OF_GOOGLE,
            "broken 200": (
                Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE, is_charged=True),
                Told(gemini.candidate(gemini.inline(b"%PDF", "application/pdf")), F.BAD_RESPONSE, is_charged=True),
                Told(
                    gemini.candidate({"inlineData": {"mimeType": "image/png", "data": "not base64!"}}),
                    F.BAD_RESPONSE,
                    is_charged=True,
                ),
            ),
            "no picture": (
                Told(gemini.candidate(finish="NO_IMAGE"), F.EMPTY_RESULT, is_charged=True),
                Told(gemini.candidate({"text": "I can't draw"}), F.EMPTY_RESULT, is_charged=True),
                Told(json_answer({}), F.EMPTY_RESULT, is_charged=True),
            ),
        },
        path="",
        credential=_google_key,
    ),
    ProviderKind.IMAGEN: Dialect(
        ImagenProvider,
        "imagen-of-tomorrow",
        imagen.picture(),
        None,
        {
            "refused prompt": (
                Told(
                    gemini.error(
                        400,
                        "INVALID_ARGUMENT",
                        message="The prompt contains words that violate Google's Responsible AI practices.",
                    ),
                    F.REFUSED_INPUT,
                ),
            ),
            "refused picture": (
                Told(imagen.filtered(), F.REFUSED_OUTPUT),
                Told(
                    gemini.error(400, "INVALID_ARGUMENT", message="The response is blocked, as it may violate"),
                    F.REFUSED_OUTPUT,
                ),
            ),
            **_OF_GOOGLE,
            "broken 200": (
                Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE, is_charged=True),
                Told(imagen.picture(bytesBase64Encoded="not base64!"), F.BAD_RESPONSE, is_charged=True),
            ),
            "no picture": (
                Told(imagen.predicted(), F.EMPTY_RESULT, is_charged=True),
                Told(imagen.picture(bytesBase64Encoded=""), F.EMPTY_RESULT, is_charged=True),
            ),
        },
        path="",
        credential=_google_key,
    ),
    ProviderKind.OPENROUTER: Dialect(
        OpenRouterProvider,
        "google/gemini-3-pro-image",
        openrouter.drawn(),
        message_pictures,
        {
            "refused prompt": (
                Told(openrouter.error(403, reasons=["violence"], flagged_input="A fox"), F.REFUSED_INPUT),
                Told(openrouter.error(400, raw='{"code": "moderation_blocked"}'), F.REFUSED_INPUT),
                Told(json_answer({"error": openrouter.told(403, reasons=["violence"])}), F.REFUSED_INPUT),
            ),
            "refused picture": (
                Told(openrouter.chat(finish="content_filter"), F.REFUSED_OUTPUT, is_charged=True),
                Told(openrouter.chat(native="IMAGE_SAFETY"), F.REFUSED_OUTPUT, is_charged=True),
                Told(openrouter.chat(refusal="I can't draw that"), F.REFUSED_OUTPUT, is_charged=True),
            ),
            "wrong key": (Told(openrouter.error(401), F.INVALID_KEY),),
            "not allowed": (
                Told(openrouter.error(403), F.PERMISSION_DENIED),
                Told(openrouter.error(404, "No endpoints found matching your data policy"), F.PERMISSION_DENIED),
            ),
            "no credit": (
                Told(openrouter.error(402), F.INSUFFICIENT_CREDIT),
                Told(json_answer({"error": openrouter.told(402)}), F.INSUFFICIENT_CREDIT),
            ),
            "rate limit": (
                Told(openrouter.error(429), F.RATE_LIMITED),
                Told(json_answer({"error": openrouter.told(429)}), F.RATE_LIMITED),
            ),
            "bad request": (
                Told(openrouter.error(400), F.INVALID_REQUEST),
                Told(
                    openrouter.error(404, "No endpoints found that support the requested output modalities"),
                    F.INVALID_REQUEST,
                ),
            ),
            "model gone": (
                Told(openrouter.error(404), F.MODEL_GONE),
                Told(openrouter.error(400, "a/b is not a valid model ID"), F.MODEL_GONE),
            ),
            "unavailable": (
                Told(openrouter.error(503), F.PROVIDER_UNAVAILABLE),
                Told(openrouter.error(529), F.PROVIDER_UNAVAILABLE),
            ),
            "broken 200": (
                Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE, is_charged=True),
                Told(openrouter.chat("data:image/png;base64,%%%"), F.BAD_RESPONSE, is_charged=True),
                Told(openrouter.chat(finish="error", native=None), F.BAD_RESPONSE, is_charged=True),
                Told(json_answer({"error": openrouter.told(502)}), F.PROVIDER_UNAVAILABLE, is_charged=True),
            ),
            "no picture": (
                Told(openrouter.chat(content="I can't draw"), F.EMPTY_RESULT, is_charged=True),
                Told(json_answer({"choices": []}), F.EMPTY_RESULT, is_charged=True),
            ),
        },
        path="/api/v1",
    ),
    ProviderKind.OLLAMA: Dialect(
        OllamaProvider,
        "x/flux2-klein",
        ollama.picture(),
        base64_images,
        {
            "wrong key": (Told(ollama.error(401), F.INVALID_KEY),),
            "not allowed": (Told(ollama.error(403), F.PERMISSION_DENIED),),
            "rate limit": (Told(ollama.error(429), F.RATE_LIMITED),),
            "bad request": (
                Told(ollama.error(400, "image generation models are not currently supported"), F.INVALID_REQUEST),
                Told(ollama.error(400, '"llama" does not support generate'), F.INVALID_REQUEST),
                Told(text_answer("404 page not found", 404, "text/plain"), F.INVALID_REQUEST),
            ),
            "model gone": (Told(ollama.error(404, "model 'x/flux2-klein' not found"), F.MODEL_GONE),),
            "unavailable": (
                Told(ollama.error(503, "server busy"), F.PROVIDER_UNAVAILABLE),
                Told(ollama.error(500, "mlx runner failed"), F.PROVIDER_UNAVAILABLE),
            ),
            "broken 200": (
                Told(text_answer("<html>Hello</html>"), F.BAD_RESPONSE),
                Told(ollama.lines({"image": "not base64!"}), F.BAD_RESPONSE),
                Told(ollama.lines(*ollama.STEPS, {"error": "own words"}), F.BAD_RESPONSE),
            ),
            "no picture": (
                Told(ollama.lines(*ollama.STEPS), F.EMPTY_RESULT),
                Told(ollama.lines({"response": "A fox is", "done": True}), F.EMPTY_RESULT),
            ),
        },
        path="",
        is_paid=False,
        begun=ollama.lines(*ollama.STEPS),
    ),
}
