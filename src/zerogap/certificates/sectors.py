r"""Prices of cells in the plane: every cell is a sector, and all of them are priced at once.

||G' u|| on the unit circle has its maxima at the leading singular vector and its opposite, and falls in between. On a
sector it is largest at that vector, if the sector holds it, and else at one of its two rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells
from zerogap.rounding import SUBNORMAL, enlarged
from zerogap.walls import Walls

Array = NDArray[np.float64]

ANGLE, SLACK = 1e-9, 1e-13
"""A vector this close to a sector counts as inside, and relative errors of singular values and vectors."""


@dataclass(frozen=True, eq=False)
class Prices:
    """What one residual costs.

    Parameters
    ----------
    upper : float
        No neuron of the listed cells has a higher price.
    value : float
        The highest price that was attained.
    directions : (k, p) float64
        Neurons of size one in cells with high prices, the best first.
    cells : (k,) int
        Those cells.
    exact : bool
        Whether `upper` is attained, up to rounding.
    """

    upper: float
    value: float
    directions: Array
    cells: NDArray[np.intp]
    exact: bool


@dataclass(frozen=True, eq=False)
class Sectors:
    """The rays of all cells in the plane, counter-clockwise: first and second, (P, 2) of length one."""

    first: Array
    second: Array

    @classmethod
    def of(cls, walls: Walls, cells: Cells) -> Sectors | None:
        """None unless the plane is cut into sectors."""
        if walls.normals.shape[1] != 2 or walls.normals.shape[0] < 2:
            return None
        turned = np.stack([-walls.normals[:, 1], walls.normals[:, 0]], axis=1)
        rays = np.concatenate([turned, -turned])
        angles = np.arctan2(rays[:, 1], rays[:, 0])
        order = np.argsort(angles, kind="stable")
        place = np.searchsorted(angles[order], np.arctan2(cells.centres[:, 1], cells.centres[:, 0]))
        first, second = rays[order[place - 1]], rays[order[place % order.size]]
        # Angles of thin sectors may coincide in floating point; then their order is not known.
        left, right = _cross(first, cells.centres), _cross(cells.centres, second)
        return cls(first, second) if np.all((left > 0.0) & (right > 0.0)) else None

    def prices(self, gradients: Array, error: float, *, known: float, worth: float, most: int) -> Prices:
        """As ``CellPricer.prices``, of gradients (P, 2, a C) that are off by `error` in any price."""
        unit = int(np.frexp(np.abs(gradients).max(initial=0.0))[1])
        scaled = np.ldexp(gradients, -unit)
        squares = scaled @ scaled.transpose(0, 2, 1)
        half, cross = 0.5 * (squares[:, 0, 0] - squares[:, 1, 1]), squares[:, 0, 1]
        spread, middle = np.hypot(half, cross), 0.5 * (squares[:, 0, 0] + squares[:, 1, 1])
        angle = 0.5 * np.arctan2(cross, half)
        leading = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        # The vector turns by rounding as far as its singular value is close to the other one.
        doubt = ANGLE + SLACK * middle / np.maximum(spread, 1e-300)
        depth = np.maximum(self._depth(leading), self._depth(-leading))
        leading = np.where((self._depth(-leading) > self._depth(leading))[:, None], -leading, leading)
        ends = np.stack([self.first, self.second])  # (2, P, 2)
        attained = np.linalg.norm(np.einsum("epk,pko->epo", ends, scaled), axis=2)
        better = attained.argmax(axis=0)
        directions = np.where((depth >= 0.0)[:, None], leading, ends[better, np.arange(better.size)])
        values = np.linalg.norm(np.einsum("pk,pko->po", directions, scaled), axis=1)
        # Either the leading value, or the larger end; squares of trifles underflow by less than the last term.
        bounds = np.where(depth >= -doubt, np.sqrt(middle + spread), attained.max(axis=0)) * (1.0 + SLACK) + 2.0**-500
        top = float(np.ldexp(bounds.max(initial=0.0), unit))
        prices = np.ldexp(values, unit)
        order = np.argsort(-prices, kind="stable")
        chosen = order[:1] if not np.isfinite(worth) else order[prices[order] > worth][:most]
        best = max(known, float(prices.max(initial=0.0)))
        upper = enlarged(max(top, known) + error + SUBNORMAL, 8)
        exact = best >= top * (1.0 - 1e-7)
        return Prices(upper, best, directions[chosen], chosen, exact)

    def _depth(self, vectors: Array) -> Array:
        """Sine of the angle to the nearer ray, negative outside; vectors (P, 2)."""
        return np.asarray(np.minimum(_cross(self.first, vectors), _cross(vectors, self.second)))


def _cross(left: Array, right: Array) -> Array:
    return np.asarray(left[:, 0] * right[:, 1] - left[:, 1] * right[:, 0])
