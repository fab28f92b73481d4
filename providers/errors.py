"""The one table from what vendors and their SDKs say on failure to `GenerationFailure`, by (vendor, status, code, body).

A vendor's answer is searched, and shown to admins alone and redacted: it may quote the key, the prompt, or worse. SDK
exceptions are named by text, so that this module needs no SDK; a test walks every exception that the SDKs export and fails on an unmapped one.
"""

import logging
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

from domain.costs import Cost, CostBasis
from domain.failures import FailureCode, GenerationFailure, failure
from domain.providers import PictureFailed, ProviderKind
from providers.refusals import is_refusal, is_refusal_of_picture
from providers.replies import Reply, request_id_of

logger = logging.getLogger(__name__)


class NoPicture(Exception):
    """An adapter read the vendor's answer and found no picture in it. `said` is the vendor's own reason."""

    def __init__(self, failure: GenerationFailure, request_id: str | None = None, said: str = "") -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.request_id = request_id
        self.said = said


class ErrorAnswered(Exception):
    """An answer that no SDK takes for an error, and which is one: by its status, or in the body of a 200."""

    def __init__(self, status_code: int, body: object, headers: Mapping[str, str]) -> None:
        super().__init__(status_code)
        self.status_code = status_code
        self.body = body
        self.headers = headers


class Costly(Exception):
    """An answer was of no use, as `why` says, and told what it cost all the same."""

    def __init__(self, cost: Cost, why: Exception) -> None:
        super().__init__(cost)
        self.cost = cost
        self.why = why


@contextmanager
def at_cost(micro_usd: int | None, basis: CostBasis) -> Iterator[None]:
    """Around the reading of an answer that tells its cost, or doesn't. Raises Costly."""
    try:
        yield
    except Exception as why:
        if micro_usd is None:
            raise
        raise Costly(Cost(micro_usd, basis), why) from why


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: it matches when status, one of the words, the text and `when` all do. What is left out matches anything."""

    code: FailureCode
    statuses: Container[int] | None = None
    words: frozenset[str] = frozenset()
    text: str = ""
    when: Callable[[Reply], bool] = lambda _: True
    message: str | None = None
    is_charged: bool = False

    def matches(self, reply: Reply) -> bool:
        """Whether this row speaks of that reply."""
        return (
            (self.statuses is None or reply.status in self.statuses)
            and (not self.words or not self.words.isdisjoint(reply.words))
            and self.text in reply.text
            and self.when(reply)
        )


_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_UNREADABLE = frozenset({"unsupported_file_mimetype", "invalid_image_file", "invalid_image_format", "invalid_image"})

# Source: openai 3.52.0 and the captures listed in the providers' design page, 2.7 (2026-11-20).
_AS_OPENAI = (
    Rule(FailureCode.INSUFFICIENT_CREDIT, words=_NO_CREDIT),
    Rule(FailureCode.RATE_LIMITED, words=frozenset({"rate_limit_exceeded"})),
    Rule(FailureCode.INVALID_KEY, words=frozenset({"invalid_api_key"})),
    Rule(FailureCode.MODEL_GONE, words=frozenset({"model_not_found"})),
    Rule(
        FailureCode.INVALID_REQUEST,
        words=_UNREADABLE,
        message="The provider could not read one of the reference images.",
    ),
)
# A 404 that doesn't speak of the model is a wrong address, not a model that is gone.
_WRONG_ADDRESS = Rule(
    FailureCode.INVALID_REQUEST, (404, 405, 501), message="The provider's address does not lead to its image API."
)
# Source: the gateways and servers of the design page, 8: whatever they stand before, they say it in its words (2026-11-20).
_AS_GATEWAYS = (
    *_AS_OPENAI,
    *(Rule(FailureCode.INVALID_KEY, (400, 403), text=text) for text in ("invalid api key", "incorrect api key")),
    Rule(FailureCode.INSUFFICIENT_CREDIT, words=frozenset({"insufficient_user_quota"})),
    *(
        Rule(FailureCode.INSUFFICIENT_CREDIT, (400, 403, 429), text=text)
        for text in ("insufficient balance", "insufficient credit", "insufficient funds")
    ),
    *(Rule(FailureCode.MODEL_GONE, (400,), text=text) for text in ("model not found", "unknown model")),
    Rule(FailureCode.MODEL_GONE, (404,), text="model"),
    _WRONG_ADDRESS,
)

# Source: ai.google.dev/gemini-api/docs/generate-content/api-errors and the design page, 3.6 (2026-11-20).
_AS_GOOGLE = (
    Rule(FailureCode.INVALID_KEY, words=frozenset({"api_key_invalid", "unauthenticated"})),
    Rule(FailureCode.INVALID_KEY, (400,), text="api key"),
    Rule(
        FailureCode.PERMISSION_DENIED,
        words=frozenset({"failed_precondition"}),
        message="Google does not serve this account here: its region or its billing stands against it.",
    ),
    Rule(FailureCode.INSUFFICIENT_CREDIT, (429,), text="limit: 0,"),
    Rule(FailureCode.INSUFFICIENT_CREDIT, (429,), text="credits are depleted"),
)

REFUSALS_OF: dict[ProviderKind, tuple[Rule, ...]] = {
    # Source: UKGovernmentBEIS/inspect_ai#2267; that it has a fee: docs.x.ai as quoted at news.ycombinator.com/item?id=45100178
    # (2025-09-02).
    ProviderKind.XAI: (Rule(FailureCode.REFUSED_INPUT, (400, 403), text="usage guidelines", is_charged=True),),
    # Source: googleapis/js-genai#321: "You will not be charged for blocked images" (2026-11-21).
    ProviderKind.IMAGEN: (Rule(FailureCode.REFUSED_OUTPUT, when=is_refusal_of_picture),),
}
"""Refusals whose price one vendor has its own rule for; the first row of all tables that matches counts."""

EVERY_REFUSAL = (
    Rule(FailureCode.REFUSED_OUTPUT, when=is_refusal_of_picture, is_charged=True),
    Rule(FailureCode.REFUSED_INPUT, when=is_refusal),
)
"""What counts before anything else that is said: a refusal is sent to nobody else."""

RULES: dict[ProviderKind, tuple[Rule, ...]] = {
    ProviderKind.OPENAI: (
        *_AS_OPENAI,
        Rule(
            FailureCode.PERMISSION_DENIED,
            (403,),
            text="must be verified",
            message="OpenAI asks for the organisation to be verified before it may use this model.",
        ),
        _WRONG_ADDRESS,
    ),
    ProviderKind.OPENAI_COMPATIBLE: _AS_GATEWAYS,
    # Source: gab.ai/docs/api-auth and /openclaw tell the statuses and no bodies (2026-11-20).
    ProviderKind.GAB: _AS_GATEWAYS,
    # Source: docs.x.ai/developers/debugging; captures in continuedev/continue#10778 (key) and #10373 (credit)
    # (2026-11-20).
    ProviderKind.XAI: (
        Rule(FailureCode.INVALID_KEY, (400,), text="api key"),
        *(Rule(FailureCode.INSUFFICIENT_CREDIT, (403, 429), text=text) for text in ("spending limit", "credits")),
        Rule(FailureCode.MODEL_GONE, (400,), text="model not found"),
    ),
    ProviderKind.GEMINI: _AS_GOOGLE,
    ProviderKind.IMAGEN: (
        Rule(
            FailureCode.INVALID_KEY,
            (401,),
            message="The provider does not accept the API key. Imagen takes one of Vertex AI in express mode.",
        ),
        *_AS_GOOGLE,
    ),
    # Source: openrouter.ai/docs/api/errors for statuses and `metadata`; captures in its SDKs' issues (2026-11-21).
    ProviderKind.OPENROUTER: (
        # It waited for a vendor that was at work.
        Rule(FailureCode.TIMEOUT, (408,), is_charged=True),
        Rule(
            FailureCode.INVALID_REQUEST, (404,), text="output modalities", message="This model does not make pictures."
        ),
        Rule(
            FailureCode.PERMISSION_DENIED,
            (404,),
            text="data policy",
            message="No provider of this model is allowed by the privacy settings of the OpenRouter account.",
        ),
        Rule(FailureCode.MODEL_GONE, (400,), text="not a valid model"),
    ),
    # Source: ollama/ollama#17893 and its server/routes.go as of 0.32 (2026-11-21).
    ProviderKind.OLLAMA: (
        Rule(
            FailureCode.INVALID_REQUEST,
            (400,),
            text="image generation models are not currently supported",
            message="This version of Ollama makes no images: that ended with 0.32.5. Use 0.32.5, or another provider.",
        ),
        Rule(
            FailureCode.MODEL_GONE,
            (404,),
            text="model",
            message="Ollama has not got this model. Get it there by `ollama pull` and the model's name.",
        ),
        Rule(FailureCode.INVALID_REQUEST, (404, 405), message="The provider's address does not lead to Ollama."),
        Rule(FailureCode.INVALID_REQUEST, (400,), text="does not support", message="This model makes no images."),
        Rule(
            FailureCode.PROVIDER_UNAVAILABLE,
            (500,),
            text="runner",
            message="Ollama could not run this model on its machine.",
        ),
    ),
}
"""What one vendor says in its own way, before what every vendor says."""

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
_ADDRESS_REFUSED = "The address may not be connected to from this server."

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
    "providers.AddressRefused": _BAD_ADDRESS,
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
    # A number of more digits than Python reads, or one that becomes infinite.
    "builtins.ValueError": _UNREADABLE_ANSWER,
    "builtins.OverflowError": _UNREADABLE_ANSWER,
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

_NAMEABLE = frozenset(
    {"size", "quality", "style", "background", "output_format", "seed", "prompt", "model", "image", "aspect_ratio"}
)


def picture_failed(
    provider: ProviderKind, error: Exception, shown: Callable[[str], str | None] = lambda _: None
) -> PictureFailed:
    """What to tell about an exception of any kind; logs its class when nothing here knows it.

    `shown` makes of what the vendor said what an admin may read; without it, that is nothing.
    """
    if isinstance(error, Costly):
        return _costing(picture_failed(provider, error.why, shown), error.cost)
    if isinstance(error, NoPicture):
        return PictureFailed(error.failure, error.request_id, shown(error.said))
    if reply := Reply.of(error):
        return PictureFailed(_by_rule(provider, reply), request_id_of(reply.headers), shown(reply.said))
    # openai wraps what the connection raised; only the inner one tells whether the request had left.
    code, is_charged = _known(error.__cause__) or _known(error) or (FailureCode.INTERNAL, True)
    if code is FailureCode.INTERNAL:
        logger.error("unexpected %s.%s from %s", type(error).__module__, type(error).__qualname__, provider)
    message = _ADDRESS_REFUSED if (code, is_charged) == _BAD_ADDRESS else None
    return PictureFailed(_paid_once(failure(code, message, is_charged=is_charged)))


def _costing(failed: PictureFailed, cost: Cost) -> PictureFailed:
    """The same failure, with money gone if the vendor says so, whatever it usually takes."""
    told = failed.failure
    known = failure(told.code, told.message, is_charged=cost.micro_usd > 0, retry_after_s=told.retry_after_s)
    return replace(failed, failure=_paid_once(known), cost_micro_usd=cost.micro_usd, cost_basis=cost.basis)


def _by_rule(provider: ProviderKind, reply: Reply) -> GenerationFailure:
    rules = (*REFUSALS_OF.get(provider, ()), *EVERY_REFUSAL, *RULES.get(provider, ()), *EVERY_VENDOR)
    rule = next(rule for rule in rules if rule.matches(reply))
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
