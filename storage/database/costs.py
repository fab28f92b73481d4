"""An amount of money as two columns, the millionths of a dollar and their ground, filled in or empty together."""

from typing import Any

from domain.costs import Cost, CostBasis


def cost_values(name: str, cost: Cost | None) -> dict[str, Any]:
    """What goes into the two columns that begin with `name`."""
    return {f"{name}_micro_usd": cost.micro_usd if cost else None, f"{name}_basis": cost.basis if cost else None}


def cost_of_row(micro_usd: int | None, basis: str | None) -> Cost | None:
    """The amount of two columns."""
    return None if micro_usd is None or basis is None else Cost(micro_usd, CostBasis(basis))
