r"""L-BFGS that starts from a given curvature instead of a multiple of the identity.

    x+ = x - t H g,      H = the BFGS update of C^-1 by the last steps and changes of the gradient.

C need be neither exact nor fresh: what it misses, the updates learn (Nocedal and Wright, Numerical Optimization,
algorithm 7.4). A factor of C serves many steps, each of which costs little more than a gradient.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEMORY = 20
"""Steps that the update remembers."""

DECREASE = 1e-4
"""Share of the promised decrease that a step must bring (Armijo)."""

HALVINGS = 10
"""Shorter steps tried before giving up."""


@dataclass(frozen=True, eq=False)
class Point:
    """A point (k,), its value and its gradient (k,)."""

    x: Array
    value: float
    gradient: Array


class Objective(Protocol):
    """What is minimised."""

    def value(self, x: Array) -> float: ...

    def gradient(self, x: Array) -> Array:
        """The gradient at the point whose value was asked for last."""


def descend(objective: Objective, point: Point, solve: Callable[[Array], Array], steps: int) -> Iterator[Point]:
    """At most so many steps from a point; every one lowers the value.

    Parameters
    ----------
    objective : Objective
    point : Point
    solve : callable
        C^-1 g for a gradient (k,), with C positive definite.
    steps : int
    """
    memory: deque[tuple[Array, Array]] = deque(maxlen=MEMORY)
    for _ in range(steps):
        direction = _direction(point.gradient, memory, solve)
        slope = -float(direction @ point.gradient)
        if not slope < 0.0:
            return
        found = _search(objective, point, direction, slope)
        if found is None:
            return
        step, change = found.x - point.x, found.gradient - point.gradient
        if float(step @ change) > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            memory.append((step, change))
        point = found
        yield point


def _direction(gradient: Array, memory: deque[tuple[Array, Array]], solve: Callable[[Array], Array]) -> Array:
    """H g, by the two loops."""
    rest, shares = gradient.copy(), []
    for step, change in reversed(memory):
        shares.append(float(step @ rest) / float(step @ change))
        rest -= shares[-1] * change
    direction = solve(rest)
    for (step, change), share in zip(memory, reversed(shares), strict=True):
        direction += (share - float(change @ direction) / float(step @ change)) * step
    return direction


def _search(objective: Objective, point: Point, direction: Array, slope: float) -> Point | None:
    """Backtracking by interpolation."""
    length = 1.0
    for _ in range(HALVINGS):
        x = point.x - length * direction
        value = objective.value(x)
        if value <= point.value + DECREASE * length * slope:
            return Point(x, value, objective.gradient(x))
        # The minimum of the parabola through both values and the slope.
        excess = value - point.value - length * slope
        length *= float(np.clip(-0.5 * length * slope / excess, 0.1, 0.5)) if np.isfinite(excess) else 0.1
    return None
