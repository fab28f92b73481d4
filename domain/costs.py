"""What pictures cost, and how that is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class CostBasis(StrEnum):
    """On what ground an amount stands, the firmest ground first."""

    REPORTED = "REPORTED"
    USAGE = "USAGE"
    LISTED = "LISTED"
    TYPICAL = "TYPICAL"
    ASSUMED = "ASSUMED"


IN_WORDS = {
    CostBasis.REPORTED: "The provider told the price.",
    CostBasis.USAGE: "What the provider counted, at its listed prices.",
    CostBasis.LISTED: "The provider's listed price.",
    CostBasis.TYPICAL: "The mean of this model's latest images in the community.",
    CostBasis.ASSUMED: "No price is known.",
}
"""Each ground for a person to read."""

UNKNOWN_PRICE_MICRO_USD = 250_000
"""What a picture is taken to cost whose price nobody knows: a limit in money must hold for it too."""


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount in millionths of a US dollar, and its ground."""

    micro_usd: int
    basis: CostBasis


def total(costs: Iterable[Cost]) -> Cost | None:
    """The sum, on the weakest ground among them; None of nothing."""
    every = list(costs)
    if not every:
        return None
    return Cost(sum(cost.micro_usd for cost in every), max((cost.basis for cost in every), key=list(CostBasis).index))
