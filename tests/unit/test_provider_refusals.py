"""What is a refusal of a content policy, whoever of the vendors says it, and what only sounds like one."""

import json

import pytest

from domain.failures import REFUSALS, FailureCode, GenerationFailure
from domain.providers import ProviderKind
from providers.errors import ErrorAnswered, picture_failed
from tests.wire.dialects import DIALECTS

EVERY_KIND = pytest.mark.parametrize("kind", DIALECTS)


def told(kind: ProviderKind, status: int, body: object) -> GenerationFailure:
    """The failure that an answer of that vendor is."""
    return picture_failed(kind, ErrorAnswered(status, body, {})).failure


def error(message: str = "No", **fields: object) -> dict[str, object]:
    """A body in OpenAI's shape."""
    return {"error": {"message": message, **fields}}


def quoted(**metadata: object) -> dict[str, object]:
    """A body of OpenRouter's, which quotes the vendor behind it."""
    return error("Provider returned error", code=400, metadata=metadata)


TEXTS = [
    "This request violates our usage policies.",
    "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
    "Your prompt may violate our policies",
    "That is against the usage policies.",
    "Read the usage guidelines before you ask for that again.",
    "The image violates one of our community guidelines.",
    "This violates the provider's acceptable use policy",
    "Request Moderated",
    "Rejected by our MODERATION SYSTEM",
    "The prompt was rejected by moderation.",
    "Failed check: SAFETY_CHECK_TYPE_CSAM",
    "Blocked: PROHIBITED_CONTENT",
    "This prompt contains words that violate Google's Responsible AI practices.",
    "Input prompt contains NSFW content",
    "Your request was stopped by the content filter.",
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy: content_filter",
    "Your input was flagged",
    "Your request was rejected as a result of our safety system.",
    "This breaks the content policy",
    "Input data may contain inappropriate content.",
    "Your prompt contains sensitive words",
]
BODIES: list[object] = [
    *map(error, TEXTS),
    *({"error": text} for text in TEXTS),
    *({"detail": text} for text in TEXTS),
    *(quoted(raw=json.dumps(error(text))) for text in TEXTS),
    *TEXTS,
    error(type="image_generation_user_error"),
    error(type="image_generation_user_error", param=None, code=None),
    error(code="image_generation_user_error"),
    error(type="image_generation_user_error", code="moderation_blocked"),
    error(code="contentFilter"),
    error(code="content_filter"),
    error(code="content_policy_violation", type="invalid_request_error", param="prompt"),
    error(code="data_inspection_failed"),
    {"code": "DataInspectionFailed", "message": "No"},
    error(code="sensitive_words_detected"),
    error(code="invalid_request_error", innererror={"code": "ResponsibleAIPolicyViolation"}),
    error(code="invalid_request_error", inner_error={"code": "ResponsibleAIPolicyViolation"}),
    error(status="INVALID_ARGUMENT", details=[{"reason": "PUBLIC_ERROR_UNSAFE_GENERATION"}]),
    error(status="FAILED_PRECONDITION", message="Blocked by PROHIBITED_CONTENT"),
    error(moderation_details={"moderation_stage": "input"}),
    {"detail": [{"loc": ["body", "prompt"], "msg": "Not processed", "type": "content_policy_violation"}]},
    {"detail": {"message": "The prompt was flagged"}},
    {"errors": [{"code": 3030, "message": "AiError: Input prompt contains NSFW content"}]},
    {"errors": ["The prompt was flagged"]},
    quoted(reasons=["violence"], flagged_input="A fox"),
    quoted(raw='{"error": {"code": "moderation_blocked"}}'),
]


@EVERY_KIND
@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_a_refusal_is_known_whoever_says_it(kind: ProviderKind, body: object) -> None:
    """Any vendor may say it in the words of any other one, as an error or in a success, and it isn't retried."""
    failed = {(told(kind, status, body).code, told(kind, status, body).is_retryable) for status in (400, 403, 422, 200)}
    assert failed == {(FailureCode.REFUSED_INPUT, False)}


OUTPUT: list[object] = [
    error(code="moderation_blocked", moderation_details={"moderation_stage": "output"}),
    quoted(raw=json.dumps(error(moderation_details={"moderation_stage": "output"}))),
    error("Generated image rejected by content moderation."),
    error("The generated image was flagged"),
    error("Output data may contain inappropriate content.", code="data_inspection_failed"),
    error("The response is blocked, as it may violate our policies."),
    quoted(raw=json.dumps(error(code="moderation_blocked", moderation_details={"moderation_stage": "output"}))),
]


@EVERY_KIND
@pytest.mark.parametrize("body", OUTPUT, ids=repr)
def test_a_refusal_of_the_picture_is_told_apart(kind: ProviderKind, body: object) -> None:
    """The picture was made before it was withheld, and that is paid, but for Imagen's."""
    failed = told(kind, 400, body)
    assert failed.code is FailureCode.REFUSED_OUTPUT
    assert failed.is_charged == (kind is not ProviderKind.IMAGEN)


@EVERY_KIND
def test_a_refusal_of_either_is_one_of_the_prompt(kind: ProviderKind) -> None:
    """Who doesn't say which it was has not said that a picture was made."""
    body = error("Input or output data may contain inappropriate content.")
    assert told(kind, 400, body).code is FailureCode.REFUSED_INPUT


OTHERWISE: list[tuple[int, object]] = [
    *((status, error("No policy allows that.", code="policy")) for status in (400, 403, 422)),
    (400, error("Unknown parameter: 'moderation'.", param="moderation", code="unknown_parameter")),
    (400, error("Invalid value: 'none'. Supported values are: 'low' and 'auto'.", param="moderation")),
    (400, error("Invalid value: 'nsfw'. Supported values are: 'vivid' and 'natural'.", param="style")),
    (400, error("Invalid value for moderation")),
    (400, error("Unrecognized request argument supplied: nsfw_filter")),
    (422, {"detail": [{"loc": ["body", "nsfw"], "msg": "nsfw must be a boolean", "type": "bool_type"}]}),
    (422, {"detail": [{"loc": ["body", "size"], "msg": "Too large", "type": "value", "input": "A flagged fox"}]}),
    (400, error("Unsupported value: safety_filter_level")),
    (400, error("Invalid size '4096x4096'.", type="image_generation_user_error", param="size", code="invalid_value")),
    (400, error("Invalid image file", type="image_generation_user_error", param="", code="invalid_image_file")),
    (400, error("The model needs it", type="image_generation_user_error", param="input_fidelity")),
    (404, error("No endpoints available matching your guardrail restrictions and data policy.", code=404)),
    (403, error("This request violates your data policy.")),
    (429, error("This request violates the rate limit policy.")),
    (403, error("This request violates your organization's spending policy.")),
    (403, error("Your account has been flagged for review.")),
    (403, error("Your organization was suspended for violating our usage policies.")),
    (400, error("An unmoderated endpoint needs a key of your own.")),
    (400, error("Model not found: nsfw-gen-v2")),
    (400, error("acme/nsfw-gen is not a valid model ID")),
    (400, error("Failed to parse field moderation")),
    (400, error("The request was rejected: moderation is not allowed for this model")),
    (403, error("Your access was terminated due to violation of our policies")),
    (429, error("Too fast. See our usage policies.", code="rate_limit_exceeded")),
    (401, error("Incorrect key. See our usage policies.")),
    (402, error("Out of credits. See our usage policies.")),
    (503, error("The content filter is not available.")),
    (500, error()),
    (200, error()),
]


@EVERY_KIND
@pytest.mark.parametrize(("status", "body"), OTHERWISE, ids=repr)
def test_what_only_sounds_like_a_refusal_is_none(kind: ProviderKind, status: int, body: object) -> None:
    """A parameter, an account, a setting of it, or a service that failed isn't the prompt."""
    assert told(kind, status, body).code not in REFUSALS


@EVERY_KIND
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_code_is_believed_at_any_status(kind: ProviderKind, status: int) -> None:
    """Gateways give the refusals of others statuses of their own; these would be retried, and taken elsewhere."""
    assert told(kind, status, error(code="sensitive_words_detected")).code is FailureCode.REFUSED_INPUT


def test_xai_takes_a_fee_for_some_refusals() -> None:
    """And nobody else does for the same words."""
    body = error("Content violates usage guidelines.")
    charged = {kind for kind in DIALECTS if told(kind, 403, body).is_charged}
    assert charged == {ProviderKind.XAI}
