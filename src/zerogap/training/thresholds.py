"""Which thresholds branch and bound proves: falling ones, down to the price that closes the gap asked for."""

from __future__ import annotations

from collections.abc import Callable

BISECTIONS = 40

CLOSEST = 1e-8
"""Thresholds that exceed the known price by less, relative, are left out."""


def largest_price(dual_value: Callable[[float], float], wanted: float, known: float, beta: float) -> float:
    """The largest price whose bound `dual_value` is at least `wanted`, but not below the one that is known."""
    low, high = known, 2.0 * max(known, beta)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if dual_value(middle) >= wanted else (low, middle)
    return low


def falling(known: float, target: float, loosest: float = 1.0, ratio: float = 10.0) -> list[float]:
    """Thresholds above a known price, `ratio` times closer each, and the target last.

    A finished loose threshold is what an interrupted run falls back on; each costs a part of the next. The first one
    exceeds the known price by `loosest` times itself.
    """
    loose, excess = [], loosest * known
    while excess > max(2.0 * (target - known), CLOSEST * known):
        loose.append(known + excess)
        excess /= ratio
    return [*loose, target]
