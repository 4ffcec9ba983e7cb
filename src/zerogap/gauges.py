"""Gauges: the norms that weight decay turns into in the convex program (docs/theory.md, "Gauge").

For scalar outputs it is the Euclidean norm of the penalised coordinates of a block,

    gauge(v) = min { ||u|| |w| : u w = v } = ||E v||,

where E drops the bias coordinate if the bias is not penalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.rounding import lengths

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EuclideanGauge:
    """||E v||_2.

    Parameters
    ----------
    penalised : (p,) bool
        The coordinates that E keeps.
    """

    penalised: NDArray[np.bool_]

    def value(self, blocks: Array) -> Array:
        """Gauge of each block, (..., p) to (...)."""
        return lengths(blocks[..., self.penalised])

    def polar(self, duals: Array) -> Array:
        """sup { <d, v> : gauge(v) <= 1 }: infinite unless d vanishes on the free coordinates; (..., p) to (...)."""
        norms = lengths(duals[..., self.penalised])
        bounded = np.all(duals[..., ~self.penalised] == 0.0, axis=-1)
        return np.where(bounded, norms, np.inf)

    def prox(self, blocks: Array, step: float) -> Array:
        """argmin_v 1/2 ||v - block||^2 + step * gauge(v), per block; (..., p) to (..., p)."""
        norms = self.value(blocks)[..., None]
        shrink = np.maximum(0.0, 1.0 - step / np.where(norms > 0.0, norms, np.inf))
        shrink = np.where(norms > 0.0, shrink, 0.0)
        return np.where(self.penalised, shrink * blocks, blocks)

    def factor(self, blocks: Array) -> tuple[Array, Array]:
        """The balanced neurons u w = v with penalty (||E u||^2 + w^2) / 2 = gauge(v) (P2, recovery).

        Parameters
        ----------
        blocks : (m, p) float64

        Returns
        -------
        first : (m, p), second : (m,) float64
            Where the gauge vanishes but the block does not (only its free coordinate is set) the
            infimum is not attained; w is then 1e-9 of the block's size, at a cost of its square.
        """
        size = self.value(blocks)
        second = np.maximum(np.sqrt(size), 1e-9 * lengths(blocks))
        return blocks / np.where(second > 0.0, second, 1.0)[:, None], second
