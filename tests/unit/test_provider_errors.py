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

from domain.failures import REFUSALS, FailureCode
from domain.providers import ProviderKind
from providers.errors import BY_STATUS, EXCEPTIONS, exception_name, picture_failed
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


def test_refusals_are_never_retried() -> None:
    """No refusal among the reasons to stop allows another try."""
    refused = {reason for reason, (code, _) in FINISHES.items() if code in REFUSALS}
    assert len(refused) == 10
