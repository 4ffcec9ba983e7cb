r"""Prices of cells for neurons with several output weights.

    price_i(r) = max { ||G_i' u|| : u in cone i, ||E u|| <= 1 }
    G_i = scale * [ sum_s r_s sum_{k in window q} D_sk m_sk ]_q       (one column for each window and each output)

with D_sk what cell i lets through of row m_sk: 1 or 0, or the slope of a leaky ReLU (P0, no pooling, oracle).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells
from zerogap.certificates.sectors import Prices, Sectors
from zerogap.features.pooled import PooledFeatures
from zerogap.oracles.cone_pca import ConeMaximum, cone_maximum
from zerogap.rounding import SUBNORMAL, UNIT_ROUNDOFF, enlarged, gamma, lengths
from zerogap.spectral import singular_value_above
from zerogap.walls import Walls

Array = NDArray[np.float64]

DEEPER = 0.9
"""Cells are priced down to this share of the floor, so that they need not be priced again for a while."""

CHUNK = 20_000_000
"""Entries of gradients or rows held at a time."""

MAPS = 2_000_000
"""Entries of the maps of all cells that are kept, at most."""

TIGHT = 1e-7
"""Upper and attained prices that agree to this share count as equal."""


class CellPricer:
    """Prices of one list of cells.

    Parameters
    ----------
    features : PooledFeatures
        Without gates, and not of maxima.
    walls, cells
        The arrangement of the rows of the features.
    outputs : int
        C.
    """

    def __init__(self, features: PooledFeatures, walls: Walls, cells: Cells, outputs: int = 1) -> None:
        self._features, self._walls, self._cells = features, walls, cells
        self._matrix = features.rows.matrix
        # In cells with rows on both sides a free bias is at most so many times the length of the other weights.
        size = lengths(self._matrix[:, :, features.penalised])
        self._reach = float(size.max(initial=0.0)) * (1.0 + 1e-12) if features.free else 0.0
        self._rows: dict[int, NDArray[np.intp]] = {}
        self._sectors = Sectors.of(walls, cells) if not features.free else None
        shape = cells.count, features.dimension, features.outputs * outputs
        # Gradients whose price is known to be below something: prices move no faster than gradients.
        self._known, self._below = np.zeros(shape), np.zeros(cells.count)

    @cached_property
    def _maps(self) -> Array | None:
        """What cells make of the rows of every sample, (P, n, p, a), if that is little."""
        features, (n, _, p) = self._features, self._matrix.shape
        if self._cells.count * n * p * features.outputs > MAPS:
            return None
        parts = []
        for _, let in self._shares():
            parts += [features.pooled(each[..., None] * self._matrix).transpose(0, 2, 1) for each in let]
        return np.stack(parts)

    def prices(self, residual: Array, *, known: float, worth: float, most: int) -> Prices:
        """Price a residual.

        Parameters
        ----------
        residual : (n,) float64, or (n, C)
            With sums of zero for a free bias.
        known : float
            A price that some neuron in the listed cells attains.
        worth : float
            Neurons with higher prices than this are wanted.
        most : int
            So many of them; once they are found, the cells that are left are only bounded.
        """
        gradients = self.gradients(residual)
        if self._sectors is not None:
            return self._sectors.prices(gradients, self.error(residual), known=known, worth=worth, most=most)
        moved = self._below + self._sizes(gradients - self._known)
        bounds = np.minimum(self._sizes(gradients), moved * (1.0 + 4.0 * UNIT_ROUNDOFF))
        error = self.error(residual)
        best, upper, exact = known, known, True
        found: list[tuple[float, Array, int]] = []
        for cell in np.argsort(-bounds, kind="stable"):
            floor = min(best, max(worth, 0.5 * (worth + best)))
            if bounds[cell] <= floor:
                break
            if len(found) >= most:
                # Enough to go on with: the other cells are only bounded.
                upper, exact = max(upper, float(bounds[cell])), False
                break
            maximum = self._maximum(int(cell), gradients[cell], DEEPER * floor)
            self._known[cell], self._below[cell] = gradients[cell], maximum.upper
            if maximum.upper > max(upper, best):
                upper, exact = maximum.upper, maximum.value >= maximum.upper * (1.0 - TIGHT)
            if maximum.value > floor:
                best = max(best, maximum.value)
                found.append((maximum.value, maximum.direction, int(cell)))
        found.sort(key=lambda each: -each[0])
        directions = np.array([direction for _, direction, _ in found]).reshape(len(found), self._features.dimension)
        cells = np.array([cell for *_, cell in found], dtype=np.intp)
        return Prices(enlarged(max(upper, best) + error, 4), best, self._features.unit(directions), cells, exact)

    def _maximum(self, cell: int, gradient: Array, floor: float) -> ConeMaximum:
        """The price of one cell, as far as it exceeds the floor."""
        signs, free = self._cells.signs[cell], self._features.free
        generators = np.where(signs, 1.0, -1.0)[:, None] * self._walls.normals
        if free and (generators[:, -1].min() >= 0.0 or generators[:, -1].max() <= 0.0):
            # All rows pass, or none does: the bias adds a constant, for which r has no price, and there are no walls.
            kept = gradient[:-1]
            left, sizes, _ = np.linalg.svd(kept, full_matrices=False)
            direction = np.append(left[:, 0], 0.0)
            direction[-1] = np.sign(generators[:, -1].sum()) * self._reach
            upper = singular_value_above(kept, 0.0)
            return ConeMaximum(direction, float(sizes[0]), max(upper, floor), np.zeros(0, dtype=np.intp))
        centre = self._cells.centres[cell]
        # A power of two, so that no square under- or overflows.
        unit = int(np.frexp(np.abs(gradient).max(initial=0.0))[1])
        scaled, low = np.ldexp(gradient, -unit), float(np.ldexp(floor, -unit))
        maximum = cone_maximum(scaled, generators, centre, free=free, floor=low, rows=self._rows.get(cell))
        self._rows[cell] = maximum.rows
        value, upper = float(np.ldexp(maximum.value, unit)), enlarged(float(np.ldexp(maximum.upper, unit)), 4)
        return replace(maximum, value=value, upper=max(upper, floor))

    def gradients(self, residual: Array) -> Array:
        """G of all cells, (P, p, a C)."""
        residual = np.atleast_2d(residual.T)
        if self._maps is not None:
            found = np.tensordot(self._maps, residual, axes=([1], [1]))  # (P, p, a, C)
            return np.ascontiguousarray(found.transpose(0, 1, 3, 2)).reshape(*found.shape[:2], -1)
        gradients = np.zeros((self._cells.count, self._features.dimension, residual.shape[0], self._features.outputs))
        for k, column in enumerate(residual):
            weighted = (column[:, None, None] * self._matrix).transpose(1, 0, 2)
            for part, let in self._shares():
                positions = let.transpose(2, 0, 1) @ weighted  # (K, c, p)
                gradients[part, :, k] = self._features.pooled(positions.transpose(1, 0, 2)).transpose(0, 2, 1)
        return gradients.reshape(*gradients.shape[:2], -1)

    def _sizes(self, gradients: Array) -> Array:
        """Upper bounds of ||G' u|| over all u of size one whose free bias, if any, is within reach; (P,)."""
        unit = int(np.frexp(np.abs(gradients).max(initial=0.0))[1])
        scaled = np.ldexp(gradients, -unit)
        kept = scaled[:, self._features.penalised]
        squares = kept @ kept.transpose(0, 2, 1)
        traces = np.trace(squares, axis1=1, axis2=2)
        largest = np.linalg.eigvalsh(squares)[:, -1]
        slack = 64.0 * sum(kept.shape[1:]) * UNIT_ROUNDOFF
        free = self._reach * np.linalg.norm(scaled[:, ~self._features.penalised], axis=(1, 2))
        # Of cells whose gradients are a trifle of the largest one, squares still underflow: by less than this.
        lost = 2.0**-500
        sizes = (np.sqrt(np.maximum(largest, 0.0) + slack * traces) + free + lost) * (1.0 + slack)
        return np.asarray(np.ldexp(sizes, unit) + SUBNORMAL)

    def error(self, residual: Array) -> float:
        """A bound of what rounding in G does to any price."""
        positions = np.tensordot(np.atleast_2d(np.abs(residual).T), np.abs(self._matrix), axes=1)  # (C, K, p)
        magnitude = self._features.pooled(positions).reshape(-1, self._matrix.shape[2]).T
        operations = residual.shape[0] + self._features.roundings + 8
        kept = self._features.penalised
        size = float(lengths(magnitude[kept].ravel())) + self._reach * float(lengths(magnitude[~kept].ravel()))
        return enlarged(gamma(operations) * size, operations)

    def _shares(self) -> Iterator[tuple[slice, Array]]:
        """What cells let through of the rows, (c, n, K), for a few of them at a time."""
        n, positions, p = self._matrix.shape
        step = max(1, CHUNK // (n * positions * p))
        for begin in range(0, self._cells.count, step):
            part = slice(begin, min(begin + step, self._cells.count))
            active = self._walls.activity(self._cells.signs[part]).reshape(-1, n, positions)
            yield part, np.where(active, 1.0, self._features.slope)
