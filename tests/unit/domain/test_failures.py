"""The codes of failures and what each allows next."""

import pytest

from domain.failures import MESSAGES, REFUSALS, RETRYABLE, FailureCode, failure


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_has_words_for_a_person(code: FailureCode) -> None:
    """A failure without a message of its own gets its code's, a full sentence."""
    message = failure(code).message
    assert message == MESSAGES[code]
    assert message.endswith(".")


def test_a_message_of_its_own_is_kept() -> None:
    """An adapter may say it more precisely."""
    assert failure(FailureCode.TIMEOUT, "No answer for 5 minutes.").message == "No answer for 5 minutes."


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    """Limits and outages are; a refusal never is."""
    assert [code for code in FailureCode if failure(code).is_retryable] == [
        FailureCode.RATE_LIMITED,
        FailureCode.PROVIDER_UNAVAILABLE,
        FailureCode.STORAGE_UNAVAILABLE,
    ]
    assert not REFUSALS & RETRYABLE


def test_a_refusal_knows_itself() -> None:
    """Both kinds of refusals are, and nothing else."""
    assert [code for code in FailureCode if failure(code).is_refusal] == [
        FailureCode.REFUSED_INPUT,
        FailureCode.REFUSED_OUTPUT,
    ]


def test_a_failure_becomes_that_of_one_picture() -> None:
    """Only the index changes."""
    whole = failure(FailureCode.RATE_LIMITED, is_charged=True, retry_after_s=7)
    one = whole.at(2)
    assert (whole.index, one.index) == (None, 2)
    assert (one.code, one.is_charged, one.retry_after_s) == (FailureCode.RATE_LIMITED, True, 7)
