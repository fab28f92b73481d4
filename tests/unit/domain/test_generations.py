"""Where generations end, when calls are repeated, what they cost, and how long they take."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.costs import UNKNOWN_PRICE_MICRO_USD, Cost, CostBasis
from domain.failures import RETRYABLE, FailureCode, GenerationFailure, failure
from domain.generations import (
    CANCELLED,
    STAGES,
    SUCCEEDED,
    TERMINAL,
    GenerationEvent,
    GenerationState,
    RetryPolicy,
    cost_of,
    final_stage,
    final_state,
    seconds_left,
    spent,
)
from domain.providers import ImageOptions, ProviderKind
from domain.routes import Route
from domain.users import Community
from tests.rows import NOW, a_generation, a_user, after, an_attempt

REFUSED, LIMITED = failure(FailureCode.REFUSED_INPUT), failure(FailureCode.RATE_LIMITED)
OUTPUT_REFUSED = failure(FailureCode.REFUSED_OUTPUT)
OWNER = a_user(Community(UUID(int=1), "Lovelace"))


def test_four_states_are_the_last() -> None:
    """The others go on."""
    assert [state for state in GenerationState if state.is_terminal] == [
        GenerationState.SUCCEEDED,
        GenerationState.FAILED,
        GenerationState.REFUSED,
        GenerationState.CANCELLED,
    ]
    assert set(STAGES) == set(GenerationState)


@pytest.mark.parametrize("state", GenerationState)
def test_an_event_is_terminal_when_its_state_is(state: GenerationState) -> None:
    """So followers know when to stop."""
    assert GenerationEvent(UUID(int=1), 1, NOW, state, "").is_terminal is (state in TERMINAL)


def test_any_picture_is_a_success() -> None:
    """However many others failed."""
    assert final_state(1, [REFUSED, LIMITED]) is GenerationState.SUCCEEDED


def test_refusals_alone_are_a_refusal() -> None:
    """Of the prompt or of the picture."""
    assert final_state(0, [REFUSED, OUTPUT_REFUSED]) is GenerationState.REFUSED


@pytest.mark.parametrize("failures", [[], [LIMITED], [REFUSED, LIMITED]])
def test_all_else_has_failed(failures: list[GenerationFailure]) -> None:
    """Also when some were refused, and when nothing came at all."""
    assert final_state(0, failures) is GenerationState.FAILED


def test_the_last_words_count_the_pictures_when_some_are_missing() -> None:
    """Else they are the state's own."""
    assert final_stage(GenerationState.SUCCEEDED, 2, 3) == "Done: 2 of 3 pictures"
    assert final_stage(GenerationState.SUCCEEDED, 3, 3) == "Done"
    assert final_stage(GenerationState.FAILED, 0, 3) == "Failed"


class TestTimeLeft:
    """Estimates."""

    @pytest.mark.parametrize(("passed_s", "left_s"), [(0, 12), (2.4, 10), (12.4, 0), (99, 0)])
    def test_it_counts_down_to_nothing(self, passed_s: float, left_s: int) -> None:
        """In whole seconds, never below zero."""
        generation = a_generation(OWNER, expected_s=12.4)
        assert generation.seconds_left(after(passed_s)) == left_s

    def test_without_a_measured_time_there_is_none(self) -> None:
        """Nothing is made up."""
        assert a_generation(OWNER).seconds_left(NOW) is None

    def test_nothing_is_left_of_what_has_ended(self) -> None:
        """Whatever was expected."""
        assert seconds_left(60.0, NOW, NOW, GenerationState.FAILED) is None


class TestRetryPolicy:
    """When a failed call is made again."""

    def test_pauses_double_up_to_the_longest(self) -> None:
        """At full jitter."""
        policy = RetryPolicy(max_attempts=8, first_pause_s=1.0, max_pause_s=10.0)
        assert [policy.pause_s(LIMITED, made, 1.0) for made in range(1, 9)] == [1, 2, 4, 8, 10, 10, 10, None]

    def test_jitter_takes_up_to_half(self) -> None:
        """So that a crowd doesn't come back at once."""
        assert RetryPolicy().pause_s(LIMITED, 1, 0.0) == 0.5
        assert RetryPolicy().pause_s(LIMITED, 3, 0.5) == 3.0

    @pytest.mark.parametrize("code", [code for code in FailureCode if code not in RETRYABLE])
    def test_what_asking_again_does_not_help_is_given_up(self, code: FailureCode) -> None:
        """Refusals above all."""
        assert RetryPolicy().pause_s(failure(code), 1, 1.0) is None

    def test_what_may_have_been_charged_is_never_asked_again(self) -> None:
        """Even where it could help."""
        charged = failure(FailureCode.PROVIDER_UNAVAILABLE, is_charged=True)
        assert RetryPolicy().pause_s(charged, 1, 1.0) is None

    def test_the_providers_own_pause_is_kept(self) -> None:
        """At least that long."""
        told = failure(FailureCode.RATE_LIMITED, retry_after_s=7)
        assert RetryPolicy().pause_s(told, 1, 0.0) == 7
        assert RetryPolicy().pause_s(told, 3, 0.25) == 7.25

    def test_a_pause_that_is_too_long_is_not_waited_for(self) -> None:
        """The longest one still is."""
        assert RetryPolicy().pause_s(failure(FailureCode.RATE_LIMITED, retry_after_s=60), 1, 0.0) == 60
        assert RetryPolicy().pause_s(failure(FailureCode.RATE_LIMITED, retry_after_s=61), 1, 0.0) is None

    @given(
        st.builds(
            RetryPolicy,
            max_attempts=st.integers(1, 20),
            first_pause_s=st.floats(0.01, 10),
            max_pause_s=st.floats(0.01, 100),
        ),
        st.floats(0, 1),
    )
    def test_pauses_are_bounded_and_grow(self, policy: RetryPolicy, jitter: float) -> None:
        """Under any policy: `max_attempts` calls in all, no pause above the longest, none shorter than the last."""
        pauses = [policy.pause_s(LIMITED, made, jitter) for made in range(1, policy.max_attempts)]
        assert policy.pause_s(LIMITED, policy.max_attempts, jitter) is None
        kept = [pause for pause in pauses if pause is not None]
        assert kept == sorted(kept)
        assert len(kept) == policy.max_attempts - 1
        assert all(0 < pause <= policy.max_pause_s for pause in kept)

    @given(st.integers(0, 200), st.floats(0, 1), st.integers(1, 6))
    def test_a_told_pause_is_kept_or_given_up(self, told_s: int, jitter: float, made: int) -> None:
        """Never shortened, and lengthened by a second at most."""
        pause = RetryPolicy().pause_s(failure(FailureCode.RATE_LIMITED, retry_after_s=told_s), made, jitter)
        if made >= 4 or told_s > 60:
            assert pause is None
        else:
            assert pause is not None
            assert told_s <= pause <= told_s + 1


def usd(micro_usd: int, basis: CostBasis = CostBasis.LISTED) -> Cost:
    """An amount."""
    return Cost(micro_usd, basis)


def test_the_cost_is_what_is_counted_once_a_price_is_known() -> None:
    """With what was paid for without a word at what it was taken for; when no price was told, nothing is known."""
    generation = a_generation(OWNER, price=None)
    free = an_attempt(generation, outcome="TIMEOUT")
    silent = an_attempt(generation, outcome=SUCCEEDED)
    dear = an_attempt(generation, outcome=SUCCEEDED, cost=usd(5, CostBasis.REPORTED))
    assert cost_of([free, dear], generation) == usd(5, CostBasis.REPORTED)
    assert cost_of([free, dear, silent], generation) == usd(5 + UNKNOWN_PRICE_MICRO_USD, CostBasis.ASSUMED)
    assert cost_of([an_attempt(generation, outcome=SUCCEEDED, cost=usd(0))], generation) == usd(0)
    assert cost_of([free, silent], generation) is None
    given_up = an_attempt(generation, outcome=CANCELLED, is_charged=True)
    assert cost_of([given_up], generation) is None
    assert cost_of([given_up], replace(generation, price=usd(7))) == usd(7)


class TestRoutes:
    """The ways in which pictures may be made."""

    DEAR = Route(ProviderKind.GEMINI, "brush-2", ImageOptions(quality="high"), UUID(int=7), usd(500_000))
    UNKNOWN = Route(ProviderKind.XAI, "brush-3")

    def test_the_first_is_the_generations_own(self) -> None:
        """Then come the others, in order."""
        generation = a_generation(
            OWNER,
            options=ImageOptions(n=3),
            profile_id=UUID(int=5),
            price=usd(100),
            fallbacks=(self.DEAR, self.UNKNOWN),
        )
        first = Route(ProviderKind.OFFLINE, "sketch-1", ImageOptions(n=3), UUID(int=5), usd(100))
        assert generation.routes == (first, self.DEAR, self.UNKNOWN)
        assert a_generation(OWNER).routes == (Route(ProviderKind.OFFLINE, "sketch-1", ImageOptions(n=2)),)

    def test_what_is_estimated_is_by_the_first(self) -> None:
        """For all the pictures; a price that nobody knows is not made up."""
        generation = a_generation(OWNER, options=ImageOptions(n=3), price=usd(100), fallbacks=(self.DEAR,))
        assert generation.estimated_cost_micro_usd == 300
        assert replace(generation, price=usd(0)).estimated_cost_micro_usd == 0
        assert replace(generation, price=None).estimated_cost_micro_usd is None

    def test_what_is_reserved_is_by_the_dearest(self) -> None:
        """Wherever it stands; a price that nobody knows is taken for a dear one."""
        generation = a_generation(OWNER, price=usd(100))
        assert generation.reserved_price == usd(100)
        assumed = Cost(UNKNOWN_PRICE_MICRO_USD, CostBasis.ASSUMED)
        assert replace(generation, fallbacks=(self.UNKNOWN,)).reserved_price == assumed
        assert replace(generation, fallbacks=(self.DEAR, self.UNKNOWN)).reserved_price == self.DEAR.price
        assert replace(generation, price=usd(600_000), fallbacks=(self.DEAR,)).reserved_price == usd(600_000)
        assert replace(generation, price=None).reserved_price == assumed


class TestSpending:
    """What calls cost, for the quota."""

    GENERATION = a_generation(OWNER, options=ImageOptions(n=3), price=usd(33), fallbacks=(TestRoutes.DEAR,))

    def test_what_was_paid_counts(self) -> None:
        """As it was told; what was not charged costs nothing, also when a price came with it."""
        calls = [
            an_attempt(self.GENERATION, outcome="SUCCEEDED", cost=usd(5, CostBasis.USAGE)),
            an_attempt(self.GENERATION, outcome="TIMEOUT", is_charged=True, cost=usd(0, CostBasis.REPORTED)),
            an_attempt(self.GENERATION, outcome="RATE_LIMITED", cost=usd(7, CostBasis.ASSUMED)),
        ]
        assert spent(calls, self.GENERATION) == usd(5, CostBasis.USAGE)
        assert spent([], self.GENERATION) == spent(calls[2:], self.GENERATION) == usd(0, CostBasis.REPORTED)

    def test_a_call_whose_cost_was_not_told_counts_at_the_price_of_a_picture(self) -> None:
        """As much as is reserved where no price was known; the ground is the weakest."""
        calls = [
            an_attempt(self.GENERATION, outcome="SUCCEEDED"),
            an_attempt(self.GENERATION, outcome="TIMEOUT", is_charged=True),
            an_attempt(self.GENERATION, outcome="SUCCEEDED", cost=usd(4, CostBasis.REPORTED)),
        ]
        assert spent(calls, self.GENERATION) == usd(70)
        unknown = replace(self.GENERATION, price=None)
        assert spent(calls, unknown) == usd(2 * UNKNOWN_PRICE_MICRO_USD + 4, CostBasis.ASSUMED)

    def test_a_call_counts_at_the_price_of_its_own_route(self) -> None:
        """Not at that of the first."""
        paid = an_attempt(self.GENERATION, outcome="TIMEOUT", is_charged=True, route=1)
        assert spent([paid], self.GENERATION) == usd(500_000)
