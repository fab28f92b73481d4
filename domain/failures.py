"""How a picture can fail to be made: one closed set of codes for every provider, and what each allows next."""

from dataclasses import dataclass, replace
from enum import StrEnum


class FailureCode(StrEnum):
    """Why no picture came. See `contract.graphql`: clients switch on these."""

    REFUSED_INPUT = "REFUSED_INPUT"
    REFUSED_OUTPUT = "REFUSED_OUTPUT"
    EMPTY_RESULT = "EMPTY_RESULT"
    INVALID_KEY = "INVALID_KEY"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    INSUFFICIENT_CREDIT = "INSUFFICIENT_CREDIT"
    RATE_LIMITED = "RATE_LIMITED"
    INVALID_REQUEST = "INVALID_REQUEST"
    MODEL_GONE = "MODEL_GONE"
    TIMEOUT = "TIMEOUT"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    BAD_RESPONSE = "BAD_RESPONSE"
    REFERENCE_UNREADABLE = "REFERENCE_UNREADABLE"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    UNKNOWN_CHARGED = "UNKNOWN_CHARGED"
    INTERNAL = "INTERNAL"


REFUSALS = frozenset({FailureCode.REFUSED_INPUT, FailureCode.REFUSED_OUTPUT})
"""The provider's content policy said no. Never retried, never sent elsewhere."""

RETRYABLE = frozenset({FailureCode.RATE_LIMITED, FailureCode.PROVIDER_UNAVAILABLE, FailureCode.STORAGE_UNAVAILABLE})
"""What may well succeed when simply asked again."""

MESSAGES = {
    FailureCode.REFUSED_INPUT: "The provider's content policy refused this prompt or a reference image.",
    FailureCode.REFUSED_OUTPUT: "The provider's content policy withheld the picture it made.",
    FailureCode.EMPTY_RESULT: "The provider answered without a picture.",
    FailureCode.INVALID_KEY: "The provider does not accept the API key.",
    FailureCode.PERMISSION_DENIED: "The provider's account may not use this model.",
    FailureCode.INSUFFICIENT_CREDIT: "The provider's account has no credit left.",
    FailureCode.RATE_LIMITED: "The provider is limiting how fast it may be called.",
    FailureCode.INVALID_REQUEST: "The provider did not accept the request's options.",
    FailureCode.MODEL_GONE: "The provider no longer offers this model.",
    FailureCode.TIMEOUT: "The provider did not answer in time.",
    FailureCode.PROVIDER_UNAVAILABLE: "The provider is not available right now.",
    FailureCode.BAD_RESPONSE: "The provider's answer was not a readable picture.",
    FailureCode.REFERENCE_UNREADABLE: "A reference image can't be read. Upload it again.",
    FailureCode.STORAGE_UNAVAILABLE: "The picture could not be stored.",
    FailureCode.UNKNOWN_CHARGED: "The worker stopped during the call; the provider may have charged for it.",
    FailureCode.INTERNAL: "Something went wrong on the server.",
}
"""What a user is told when an adapter has nothing more precise to say. Never a provider's own text."""


@dataclass(frozen=True, slots=True)
class GenerationFailure:
    """One failed picture (`index` from 0), or the whole generation when `index` is None.

    `is_charged` means that the provider may have taken money all the same.
    """

    code: FailureCode
    message: str
    is_retryable: bool
    is_charged: bool
    retry_after_s: int | None = None
    index: int | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether the provider's content policy said no."""
        return self.code in REFUSALS

    def at(self, index: int) -> "GenerationFailure":
        """The same failure, as that of one picture."""
        return replace(self, index=index)


def failure(
    code: FailureCode, message: str | None = None, *, is_charged: bool = False, retry_after_s: int | None = None
) -> GenerationFailure:
    """A failure with its code's own message and rules."""
    return GenerationFailure(
        code=code,
        message=message or MESSAGES[code],
        is_retryable=code in RETRYABLE,
        is_charged=is_charged,
        retry_after_s=retry_after_s,
    )
