"""The table from the SDKs' exceptions to failures: complete, and honest about money and about what it doesn't know."""

import inspect
import logging
from types import ModuleType

import google.genai.errors
import httpx2
import openai
import openai._exceptions
import pytest
from google.genai.types import FinishReason

from domain.costs import CostBasis
from domain.failures import REFUSALS, FailureCode, failure
from domain.providers import ProviderKind
from providers.errors import (
    BY_STATUS,
    EXCEPTIONS,
    Costly,
    ErrorAnswered,
    NoPicture,
    at_cost,
    exception_name,
    picture_failed,
)
from providers.gemini import FINISHES


def exceptions_of(module: ModuleType) -> set[str]:
    """Every exception class of a module's public names, as the table names them."""
    # A copy, because looking at a lazy name of openai adds to its module.
    classes = (
        value for name, value in list(vars(module).items()) if inspect.isclass(value) and not name.startswith("_")
    )
    package = module.__name__.partition(".")[0]
    found = {
        exception_name(value) for value in classes if issubclass(value, Exception) and not issubclass(value, Warning)
    }
    return {name for name in found if name.startswith(package)}


@pytest.mark.parametrize(
    ("module", "at_least"), [(openai, 15), (openai._exceptions, 18), (google.genai.errors, 8), (httpx2, 20)]
)
def test_every_exception_is_mapped(module: ModuleType, at_least: int) -> None:
    """An exception that an SDK's next version adds fails here until somebody has decided what it means."""
    found = exceptions_of(module)
    assert len(found) >= at_least
    assert found - set(EXCEPTIONS) - BY_STATUS == set()


def test_the_table_names_nothing_that_is_gone() -> None:
    """Every SDK exception in the table still exists."""
    real = set().union(*map(exceptions_of, (openai, openai._exceptions, google.genai.errors, httpx2)))
    named = {name for name in {*EXCEPTIONS, *BY_STATUS} if name.partition(".")[0] in {"openai", "google", "httpx2"}}
    assert named - real == set()


def test_every_reason_to_stop_is_mapped() -> None:
    """A reason that Google's next version adds fails here until somebody has decided what it means."""
    assert {reason.value for reason in FinishReason} == set(FINISHES)


@pytest.mark.parametrize(
    ("error", "code", "is_charged"),
    [
        (httpx2.ConnectError("x"), FailureCode.PROVIDER_UNAVAILABLE, False),
        (httpx2.WriteError("x"), FailureCode.PROVIDER_UNAVAILABLE, False),
        (httpx2.ReadError("x"), FailureCode.PROVIDER_UNAVAILABLE, True),
        (httpx2.ReadTimeout("x"), FailureCode.TIMEOUT, True),
        (httpx2.ConnectTimeout("x"), FailureCode.PROVIDER_UNAVAILABLE, False),
        (TimeoutError(), FailureCode.TIMEOUT, True),
        (ConnectionResetError(), FailureCode.PROVIDER_UNAVAILABLE, True),
        (google.genai.errors.UnknownApiResponseError("x"), FailureCode.BAD_RESPONSE, True),
        (ValueError("x"), FailureCode.BAD_RESPONSE, True),
        (OverflowError("x"), FailureCode.BAD_RESPONSE, True),
        (RecursionError("x"), FailureCode.BAD_RESPONSE, True),
    ],
)
def test_money_depends_on_whether_the_request_had_left(error: Exception, code: FailureCode, is_charged: bool) -> None:
    """What happens before the request has left is free and may be repeated; what happens after is neither."""
    told = picture_failed(ProviderKind.OPENAI, error).failure
    assert (told.code, told.is_charged) == (code, is_charged)
    assert told.is_retryable == (not is_charged)


def test_the_wrapped_exception_decides() -> None:
    """The SDK calls every lost connection the same; the one inside tells whether the request had left."""
    request = httpx2.Request("POST", "http://127.0.0.1/")
    outer = openai.APIConnectionError(request=request)
    outer.__cause__ = httpx2.ConnectError("x")
    assert not picture_failed(ProviderKind.OPENAI, outer).failure.is_charged
    outer.__cause__ = httpx2.RemoteProtocolError("x")
    assert picture_failed(ProviderKind.OPENAI, outer).failure.is_charged


def test_the_unknown_is_logged_by_its_class_alone(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody foresaw is our fault, may have cost money, and its text stays out of the log."""
    with caplog.at_level(logging.ERROR):
        told = picture_failed(ProviderKind.GEMINI, ZeroDivisionError("sk-secret")).failure
    assert (told.code, told.is_charged, told.is_retryable) == (FailureCode.INTERNAL, True, False)
    assert caplog.messages == ["unexpected builtins.ZeroDivisionError from GEMINI"]


GONE = {"error": {"message": "No such MODEL", "code": "model_not_found"}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (GONE, "No such MODEL"),
        ([GONE], "No such MODEL"),
        ({"error": "No such MODEL"}, "No such MODEL"),
        ({"code": "x", "error": "No such MODEL"}, "No such MODEL"),
        ({"detail": "No such MODEL"}, "No such MODEL"),
        ({"detail": [{"msg": "No such"}, {"msg": "MODEL"}, 7]}, "No such; MODEL"),
        ({"message": "No such MODEL"}, "No such MODEL"),
        ("No such MODEL", "No such MODEL"),
    ],
)
def test_an_error_may_have_any_shape(body: object, said: str) -> None:
    """What it says is found, judged in lower case, and shown as it was sent to whoever may see it."""
    told = picture_failed(ProviderKind.OPENAI_COMPATIBLE, ErrorAnswered(404, body, {"x-request-id": "req_1"}), str)
    assert (told.failure.code, told.request_id, told.detail) == (FailureCode.MODEL_GONE, "req_1", said)


def test_what_a_vendor_says_is_shown_to_nobody_by_default() -> None:
    """Only a caller that redacts it gets to see it."""
    refused = NoPicture(failure(FailureCode.EMPTY_RESULT), "req_1", "Its own words")
    for error in (ErrorAnswered(500, {"message": "Its own words"}, {}), refused):
        assert picture_failed(ProviderKind.OPENAI, error).detail is None
        assert picture_failed(ProviderKind.OPENAI, error, str.upper).detail == "ITS OWN WORDS"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("server_error", (FailureCode.PROVIDER_UNAVAILABLE, True)),
        ("insufficient_quota", (FailureCode.INSUFFICIENT_CREDIT, False)),
        ("whatever", (FailureCode.BAD_RESPONSE, True)),
    ],
)
def test_an_error_inside_of_a_success_is_one(code: str, expected: tuple[FailureCode, bool]) -> None:
    """It may have been paid, unless its code says that nothing was made."""
    told = picture_failed(ProviderKind.OPENAI_COMPATIBLE, ErrorAnswered(200, {"error": {"code": code}}, {})).failure
    assert (told.code, told.is_charged) == expected
    assert not told.is_retryable


REFUSED = NoPicture(failure(FailureCode.REFUSED_OUTPUT, is_charged=True), "req_1", "Its own words")
LOST = ErrorAnswered(200, {"code": "server_error", "message": "Its own words"}, {"x-request-id": "req_1"})


@pytest.mark.parametrize(
    ("why", "micro_usd", "expected"),
    [
        (REFUSED, 40_000, (FailureCode.REFUSED_OUTPUT, True, False)),
        (REFUSED, 0, (FailureCode.REFUSED_OUTPUT, False, False)),
        (
            NoPicture(failure(FailureCode.REFUSED_INPUT), "req_1", "Its own words"),
            10,
            (FailureCode.REFUSED_INPUT, True, False),
        ),
        (LOST, 40_000, (FailureCode.PROVIDER_UNAVAILABLE, True, False)),
        (LOST, 0, (FailureCode.PROVIDER_UNAVAILABLE, False, True)),
    ],
)
def test_what_was_told_to_be_paid_was_paid(
    why: Exception, micro_usd: int, expected: tuple[FailureCode, bool, bool]
) -> None:
    """A cost that an answer tells decides over what such an answer usually means, and goes along with all the rest."""
    with pytest.raises(Costly) as caught, at_cost(micro_usd, CostBasis.REPORTED):
        raise why
    told = picture_failed(ProviderKind.OPENROUTER, caught.value, str)
    assert (told.failure.code, told.failure.is_charged, told.failure.is_retryable) == expected
    assert (told.cost_micro_usd, told.cost_basis) == (micro_usd, CostBasis.REPORTED)
    assert (told.request_id, told.detail) == ("req_1", "Its own words")


def test_an_untold_cost_changes_nothing() -> None:
    """Then the failure is what it is, and no cost is made up."""
    with pytest.raises(NoPicture) as caught, at_cost(None, CostBasis.REPORTED):
        raise REFUSED
    told = picture_failed(ProviderKind.OPENROUTER, caught.value)
    assert (told.failure, told.cost_micro_usd) == (REFUSED.failure, None)


def test_refusals_are_never_retried() -> None:
    """No refusal among the reasons to stop allows another try."""
    refused = {reason for reason, (code, _) in FINISHES.items() if code in REFUSALS}
    assert len(refused) == 10
