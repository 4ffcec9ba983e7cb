"""The walls of each cell that matter: the nearest ones, and those that turn out to.

A cell in p dimensions has a few dozen facets, whatever the number of walls: 13 of 100 at p = 5 and 39 of 100 at
p = 10 for Gaussian rows, and not many more of the ten thousand walls of image patches. The other walls are redundant.
In a barrier they cost time in every product and, because they pull the central path away from the facets, iterations
too. To find the facets exactly takes a linear program per wall; the walls that are nearest to a centre of the cell are
a good guess. Whether a step stays on the right side of all others is checked, and a wall that would be crossed joins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerogap.solvers import wall_kernels

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

PER_DIMENSION = 5
"""Walls of each cell to start with, in units of p.

With 6 the iterations are as many, with 7 some more; with 4, walls have to join again and again.
"""


LANES = 4
"""Walls come in multiples of what one instruction works on: 28 instead of 25 are 4 percent faster."""


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
        count = -(-PER_DIMENSION * normals.shape[1] // LANES) * LANES
        if count >= normals.shape[0]:
            return cls.of(np.tile(np.arange(normals.shape[0]), (centres.shape[0], 1)), normals, signs)
        distances = np.abs(centres @ normals.T)
        return cls.of(np.argpartition(distances, count, axis=1)[:, :count], normals, signs)

    def joined(self, entering: Indices, normals: Array, signs: Mask) -> NearWalls:
        """With one more wall for each cell; entering (C,)."""
        more = NearWalls.of(entering[:, None], normals, signs)
        return NearWalls(*(np.concatenate(pair, axis=-1) for pair in zip(self, more, strict=True)))
