"""The walls of each cell that matter: the nearest ones, and those that turn out to.

A cell in p dimensions has a few dozen facets, whatever the number of walls: 13 of 100 at p = 5 and 39 of 100 at
p = 10 for Gaussian rows, and not many more of the ten thousand walls of image patches. The other walls are redundant.
In a barrier they cost time in every product and, because they pull the central path away from the facets, iterations
too. To find the facets exactly takes a linear program per wall; the walls that are nearest to a centre of the cell are
a good guess. Whether a step stays on the right side of all others is checked, and a wall that would be crossed joins.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements.centres import unit
from zerogap.solvers import kernels, wall_kernels

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

PER_DIMENSION = 4.5
"""Walls of each cell to start with, in units of p; with 4, walls have to join again and again."""

STEPS = 2
"""Newton steps towards a centre; 3 to 6 save no further iterations."""

MODEST = 10.0
"""The multipliers of close walls at first, at most, in units of one over the mean slack."""

LANES = 16
"""Walls come in multiples of what a compiled loop works on at a time; what is left over would be done one by one."""


class NearWalls(NamedTuple):
    """k of the H walls for each of C cells.

    Parameters
    ----------
    which : (C, k) intp
        Which walls; no wall twice in a cell.
    normals : (C, p, k) float64
        Their normals, which point into the cell.
    """

    which: Indices
    normals: Array

    @classmethod
    def of(cls, index: Indices, normals: Array, signs: Mask) -> NearWalls:
        """Given which walls; normals (H, p) and the signs of the cells (C, H)."""
        return cls(index, wall_kernels.inward(normals, signs, index))

    @classmethod
    def nearest(cls, normals: Array, signs: Mask, centres: Array) -> NearWalls:
        """Those nearest to centres (C, p)."""
        count = ceil(PER_DIMENSION * normals.shape[1] / LANES) * LANES
        if count >= normals.shape[0]:
            return cls.of(np.tile(np.arange(normals.shape[0]), (centres.shape[0], 1)), normals, signs)
        distances = np.abs(centres @ normals.T)
        return cls.of(np.argpartition(distances, count, axis=1)[:, :count], normals, signs)

    def centred(self, points: Array, normals: Array, signs: Mask) -> Array:
        """Points close to the analytic centres of the near walls alone, inside all walls and of unit length.

        They minimise -sum log(n_h . u) + k/2 ||u||^2, where sum n_h / (n_h . u) = k u. The kept centres belong to all
        walls, and there that sum is up to a thousand times larger: walls that balance each other are not all near.
        Newton's method with multipliers of its own, since that of the barrier alone can only double a small slack in
        every step.

        Parameters
        ----------
        points : (C, p) float64
            Of unit length, inside their cells.
        normals : (H, p), signs (C, H)
        """
        cells, k = self.which.shape
        each, diagonal = np.arange(cells), np.arange(points.shape[1])
        diagonal = diagonal * (diagonal + 3) // 2
        u = np.array(points.T, order="C")
        s = wall_kernels.slacks(self.normals, each, u)
        l = np.minimum(1.0 / s, MODEST / s.mean(axis=1, keepdims=True))  # noqa: E741
        for _ in range(STEPS):
            hessians = wall_kernels.hessians(self.normals, each, l, s)
            hessians[diagonal] += k
            roots, positive = kernels.inverse_roots(hessians, diagonal.size)
            if not positive:
                break
            du = kernels.solve_blocks(roots, wall_kernels.push(self.normals, each, 1.0 / s) - k * u)
            wall_kernels.centring_step(self.normals, u, du, s, l)
        result = np.ascontiguousarray(u.T)
        crossing = np.flatnonzero(((result @ normals.T > 0.0) != signs).any(axis=1))
        if crossing.size:
            before, after = points[crossing] @ normals.T, result[crossing] @ normals.T
            share = 0.9 / (1.0 - after / before).max(axis=1, keepdims=True)
            closer = points[crossing] + share * (result[crossing] - points[crossing])
            inside = ((closer @ normals.T > 0.0) == signs[crossing]).all(axis=1, keepdims=True)
            result[crossing] = np.where(inside, closer, points[crossing])
        return unit(result)

    def joined(self, entering: Indices, normals: Array, signs: Mask) -> NearWalls:
        """With one more wall for each cell; entering (C,)."""
        more = NearWalls.of(entering[:, None], normals, signs)
        return NearWalls(*(np.concatenate(pair, axis=-1) for pair in zip(self, more, strict=True)))
