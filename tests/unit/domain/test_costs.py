"""Amounts of money, and how firm the ground is that they stand on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.costs import IN_WORDS, Cost, CostBasis, total

COSTS = st.lists(st.builds(Cost, st.integers(0, 10**9), st.sampled_from(CostBasis)), min_size=1, max_size=6)


def test_nothing_has_no_sum() -> None:
    """What is not known is not nothing."""
    assert total([]) is None
    assert total([Cost(0, CostBasis.REPORTED)]) == Cost(0, CostBasis.REPORTED)


def test_the_grounds_stand_in_order() -> None:
    """The firmest first; each can be told to a person."""
    assert list(CostBasis) == ["REPORTED", "USAGE", "LISTED", "TYPICAL", "ASSUMED"]
    assert set(IN_WORDS) == set(CostBasis)


@pytest.mark.parametrize("weak", CostBasis)
def test_a_sum_is_as_weak_as_its_weakest_part(weak: CostBasis) -> None:
    """However small that part is."""
    firm = Cost(1_000_000, CostBasis.REPORTED)
    assert total([firm, Cost(1, weak), firm]) == Cost(2_000_001, weak)


@given(COSTS, COSTS)
def test_sums_can_be_summed(some: list[Cost], others: list[Cost]) -> None:
    """In any order and in any groups: the same amount on the same ground."""
    whole = total([*some, *others])
    parts = [part for part in (total(others), total(reversed(some))) if part]
    assert total(parts) == whole
    assert whole
    assert whole.micro_usd == sum(cost.micro_usd for cost in [*some, *others])
