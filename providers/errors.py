"""The one table from what vendors and their SDKs say on failure to `GenerationFailure`, by (vendor, status, code, body).

A vendor's answer is searched and never shown: it may quote the key, the prompt, or worse. SDK exceptions are named by
text, so that this module needs no SDK; a test walks every exception that the SDKs export and fails on an unmapped one.
"""

import logging
from collections.abc import Container
from dataclasses import dataclass, replace
from http import HTTPStatus

from domain.failures import FailureCode, GenerationFailure, failure
from domain.providers import PictureFailed, ProviderKind
from providers.replies import Reply, request_id_of

logger = logging.getLogger(__name__)


class NoPicture(Exception):
    """An adapter read the vendor's answer and found no picture in it."""

    def __init__(self, failure: GenerationFailure, request_id: str | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: it matches when status, one of the words, and the text all do. What is left out matches anything."""

    code: FailureCode
    statuses: Container[int] | None = None
    words: frozenset[str] = frozenset()
    text: str = ""
    message: str | None = None
    is_charged: bool = False

    def matches(self, reply: Reply) -> bool:
        """Whether this row speaks of that reply."""
        return (
            (self.statuses is None or reply.status in self.statuses)
            and (not self.words or not self.words.isdisjoint(reply.words))
            and self.text in reply.text
        )


_MODERATION = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_UNREADABLE = frozenset({"unsupported_file_mimetype", "invalid_image_file", "invalid_image_format", "invalid_image"})

RULES: dict[ProviderKind, tuple[Rule, ...]] = {
    # Source: openai 3.52.0 and the captures listed in the providers' design page, 2.7 (2026-11-20).
    ProviderKind.OPENAI: (
        Rule(FailureCode.REFUSED_OUTPUT, words=frozenset({"stage:output"}), is_charged=True),
        Rule(FailureCode.REFUSED_INPUT, words=_MODERATION),
        Rule(FailureCode.REFUSED_INPUT, range(400, 500), text="safety system"),
        Rule(FailureCode.INSUFFICIENT_CREDIT, words=_NO_CREDIT),
        Rule(FailureCode.RATE_LIMITED, words=frozenset({"rate_limit_exceeded"})),
        Rule(FailureCode.INVALID_KEY, words=frozenset({"invalid_api_key"})),
        Rule(FailureCode.MODEL_GONE, words=frozenset({"model_not_found"})),
        Rule(
            FailureCode.PERMISSION_DENIED,
            (403,),
            text="must be verified",
            message="OpenAI asks for the organisation to be verified before it may use this model.",
        ),
        Rule(
            FailureCode.INVALID_REQUEST,
            words=_UNREADABLE,
            message="The provider could not read one of the reference images.",
        ),
        # A 404 without the model's code is a wrong address, not a model that is gone.
        Rule(FailureCode.INVALID_REQUEST, (404,), message="The provider's address does not lead to its image API."),
    ),
    # Source: ai.google.dev/gemini-api/docs/generate-content/api-errors and the design page, 3.6 (2026-11-20).
    ProviderKind.GEMINI: (
        Rule(FailureCode.INVALID_KEY, words=frozenset({"api_key_invalid", "unauthenticated"})),
        Rule(FailureCode.INVALID_KEY, (400,), text="api key"),
        Rule(
            FailureCode.PERMISSION_DENIED,
            words=frozenset({"failed_precondition"}),
            message="Google does not serve this account here: its region or its billing stands against it.",
        ),
        Rule(FailureCode.INSUFFICIENT_CREDIT, (429,), text="limit: 0,"),
        Rule(FailureCode.INSUFFICIENT_CREDIT, (429,), text="credits are depleted"),
    ),
}
"""What one vendor says in its own way; the first row that matches counts, then those of every vendor."""

EVERY_VENDOR = (
    Rule(FailureCode.INVALID_KEY, (401,)),
    Rule(FailureCode.INSUFFICIENT_CREDIT, (402,)),
    Rule(FailureCode.PERMISSION_DENIED, (403,)),
    Rule(FailureCode.MODEL_GONE, (404, 410)),
    Rule(FailureCode.TIMEOUT, (408,)),
    Rule(FailureCode.PROVIDER_UNAVAILABLE, (409, 499)),
    Rule(FailureCode.INVALID_REQUEST, (413,), message="The request is too large for the provider."),
    Rule(FailureCode.RATE_LIMITED, (429,)),
    Rule(FailureCode.REFUSED_INPUT, (451,)),
    Rule(FailureCode.INVALID_REQUEST, range(400, 500)),
    # A gateway lost the vendor's machine in mid-work: that picture may have been made and paid.
    Rule(FailureCode.TIMEOUT, (504, 524), is_charged=True),
    Rule(FailureCode.PROVIDER_UNAVAILABLE, (502, *range(520, 528)), is_charged=True),
    Rule(FailureCode.PROVIDER_UNAVAILABLE, range(500, 600)),
    Rule(FailureCode.PROVIDER_UNAVAILABLE, words=frozenset({"server_error"})),
    Rule(FailureCode.BAD_RESPONSE, range(300, 400), message="The provider's address leads elsewhere."),
    Rule(FailureCode.BAD_RESPONSE, is_charged=True),
)

BY_STATUS = frozenset(
    {
        "openai.APIStatusError",
        "openai.APIResponseValidationError",
        "openai.BadRequestError",
        "openai.AuthenticationError",
        "openai.OAuthError",
        "openai.PermissionDeniedError",
        "openai.NotFoundError",
        "openai.ConflictError",
        "openai.UnprocessableEntityError",
        "openai.RateLimitError",
        "openai.InternalServerError",
        "google.APIError",
        "google.ClientError",
        "google.ServerError",
    }
)
"""Exceptions that carry an answer: the rules above decide."""

_UNREACHABLE = (FailureCode.PROVIDER_UNAVAILABLE, False)
_CUT = (FailureCode.PROVIDER_UNAVAILABLE, True)
_LATE = (FailureCode.TIMEOUT, True)
_UNREADABLE_ANSWER = (FailureCode.BAD_RESPONSE, True)
_BAD_ADDRESS = (FailureCode.INVALID_REQUEST, False)
_OUR_FAULT = (FailureCode.INTERNAL, False)

EXCEPTIONS = {
    # The connection. Whatever happens before the request has left whole can't have been paid.
    "httpx2.ConnectError": _UNREACHABLE,
    "httpx2.ConnectTimeout": _UNREACHABLE,
    "httpx2.PoolTimeout": _UNREACHABLE,
    "httpx2.ProxyError": _UNREACHABLE,
    "httpx2.WriteError": _UNREACHABLE,
    "httpx2.WriteTimeout": _UNREACHABLE,
    "httpx2.ReadTimeout": _LATE,
    "httpx2.TimeoutException": _LATE,
    "httpx2.ReadError": _CUT,
    "httpx2.CloseError": _CUT,
    "httpx2.NetworkError": _CUT,
    "httpx2.RemoteProtocolError": _CUT,
    "httpx2.ProtocolError": _CUT,
    "httpx2.TransportError": _CUT,
    "httpx2.RequestError": _CUT,
    "httpx2.HTTPError": _CUT,
    "httpx2.HTTPStatusError": _CUT,
    "httpx2.DecodingError": _UNREADABLE_ANSWER,
    "httpx2.SSEError": _UNREADABLE_ANSWER,
    "httpx2.TooManyRedirects": _BAD_ADDRESS,
    "httpx2.InvalidURL": _BAD_ADDRESS,
    "httpx2.UnsupportedProtocol": _BAD_ADDRESS,
    "httpx2.LocalProtocolError": _OUR_FAULT,
    "httpx2.CookieConflict": _OUR_FAULT,
    "httpx2.StreamError": _OUR_FAULT,
    "httpx2.StreamClosed": _OUR_FAULT,
    "httpx2.StreamConsumed": _OUR_FAULT,
    "httpx2.RequestNotRead": _OUR_FAULT,
    "httpx2.ResponseNotRead": _OUR_FAULT,
    "ssl.SSLError": _CUT,
    "builtins.TimeoutError": _LATE,
    "builtins.OSError": _CUT,
    # The answer.
    "json.JSONDecodeError": _UNREADABLE_ANSWER,
    "builtins.UnicodeDecodeError": _UNREADABLE_ANSWER,
    "builtins.RecursionError": _UNREADABLE_ANSWER,
    "pydantic_core.ValidationError": _UNREADABLE_ANSWER,
    "google.UnknownApiResponseError": _UNREADABLE_ANSWER,
    # openai's own. The first three are seen; the rest belong to other APIs of theirs.
    "openai.APIError": _CUT,
    "openai.APIConnectionError": _CUT,
    "openai.APITimeoutError": _LATE,
    "openai.OpenAIError": _OUR_FAULT,
    "openai.SubjectTokenProviderError": _OUR_FAULT,
    "openai.LengthFinishReasonError": _UNREADABLE_ANSWER,
    "openai.ContentFilterFinishReasonError": (FailureCode.REFUSED_OUTPUT, True),
    "openai.InvalidWebhookSignatureError": _OUR_FAULT,
    "openai.WebSocketConnectionClosedError": _OUR_FAULT,
    "openai.WebSocketQueueFullError": _OUR_FAULT,
    # google-genai's own: function calling and continuation, which are switched off.
    "google.ContinuationInterruptedError": (FailureCode.EMPTY_RESULT, True),
    "google.FunctionInvocationError": _OUR_FAULT,
    "google.UnknownFunctionCallArgumentError": _OUR_FAULT,
    "google.UnsupportedFunctionError": _OUR_FAULT,
}
"""Exceptions that carry no answer, by package and class: the code, and whether money may have gone."""

_NAMEABLE = frozenset({"size", "quality", "background", "output_format", "seed", "prompt", "model", "image"})


def picture_failed(provider: ProviderKind, error: Exception) -> PictureFailed:
    """What to tell about an exception of any kind; logs its class when nothing here knows it."""
    if isinstance(error, NoPicture):
        return PictureFailed(error.failure, error.request_id)
    if reply := Reply.of(error):
        return PictureFailed(_by_rule(provider, reply), request_id_of(reply.headers))
    # openai wraps what the connection raised; only the inner one tells whether the request had left.
    code, is_charged = _known(error.__cause__) or _known(error) or (FailureCode.INTERNAL, True)
    if code is FailureCode.INTERNAL:
        logger.error("unexpected %s.%s from %s", type(error).__module__, type(error).__qualname__, provider)
    return PictureFailed(_paid_once(failure(code, is_charged=is_charged)))


def _by_rule(provider: ProviderKind, reply: Reply) -> GenerationFailure:
    rule = next(rule for rule in (*RULES.get(provider, ()), *EVERY_VENDOR) if rule.matches(reply))
    message = rule.message
    if rule.code is FailureCode.INVALID_REQUEST and reply.param in _NAMEABLE:
        message = message or f"The provider did not accept the {reply.param.replace('_', ' ')}."
    # An error in the middle of a stream comes after the work began.
    is_charged = rule.is_charged or (reply.status == HTTPStatus.OK and rule.code is FailureCode.PROVIDER_UNAVAILABLE)
    is_limit = rule.code in (FailureCode.RATE_LIMITED, FailureCode.PROVIDER_UNAVAILABLE)
    told = failure(rule.code, message, is_charged=is_charged, retry_after_s=reply.retry_after_s if is_limit else None)
    return _paid_once(told)


def _paid_once(told: GenerationFailure) -> GenerationFailure:
    """What may have been paid is not asked again by itself: no vendor offers idempotency keys for pictures."""
    return replace(told, is_retryable=told.is_retryable and not told.is_charged)


def _known(error: BaseException | None) -> tuple[FailureCode, bool] | None:
    return next((EXCEPTIONS[name] for name in map(exception_name, type(error).__mro__) if name in EXCEPTIONS), None)


def exception_name(error: type) -> str:
    """How `EXCEPTIONS` names a class: `package.Class`."""
    return f"{error.__module__.partition('.')[0]}.{error.__name__}"
