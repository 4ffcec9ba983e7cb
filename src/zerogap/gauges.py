"""Gauges: the norms that weight decay turns into in the convex program (docs/theory.md, "Gauge").

For scalar outputs it is the Euclidean norm of the penalised coordinates of a block,

    gauge(v) = min { ||u|| |w| : u w = v } = ||E v||,

where E drops the bias coordinate if the bias is not penalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.rounding import gamma, lengths, lengths_above

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


@dataclass(frozen=True, eq=False)
class GroupGauge:
    """sum_l c_l ||G_l v||_2, with orthonormal G = (G_1, G_2, ...).

    Parameters
    ----------
    basis : (q, q) float64
        G, orthonormal up to rounding.
    groups : tuple of index arrays
        The rows of G_l, a partition of range(q).
    costs : (number of groups,) float64
        c_l >= 0; with c_l = 0 the coordinates G_l v are free.
    reach : float
        Free coordinates matter only up to this multiple of the gauge (``zerogap.features.base.bounded_bias``).
    """

    basis: Array
    groups: tuple[NDArray[np.intp], ...]
    costs: Array
    reach: float = np.inf

    @classmethod
    def euclidean(cls, penalised: NDArray[np.bool_], reach: float = np.inf) -> GroupGauge:
        """||E v||_2, E keeping the penalised coordinates, (q,)."""
        kept, free = np.flatnonzero(penalised), np.flatnonzero(~penalised)
        groups, costs = ((kept, free), [1.0, 0.0]) if free.size else ((kept,), [1.0])
        return cls(np.eye(penalised.size), groups, np.array(costs), reach)

    def value(self, blocks: Array) -> Array:
        """Gauge of each block, (..., q) to (...)."""
        inner = blocks @ self.basis.T
        parts = [cost * lengths(inner[..., rows]) for rows, cost in zip(self.groups, self.costs, strict=True)]
        return np.asarray(np.sum(parts, axis=0))

    def polar_above(self, dual: Array, error: Array) -> float:
        """An upper bound of sup { <d', v> : gauge(v) <= 1 } over |d' - d| <= error, elementwise; (q,), (q,).

        Free coordinates count up to ``reach``. That G is orthonormal only up to rounding is covered.
        """
        inner = self.basis @ dual
        # Inverse and transpose of G differ by its defect, which moves d by at most this share of its length.
        defect = float(np.linalg.norm(self.basis @ self.basis.T - np.eye(dual.size))) + gamma(dual.size + 4) * dual.size
        size = float(np.linalg.norm(np.abs(dual) + error))
        doubt = np.abs(self.basis) @ (error + gamma(dual.size + 4) * np.abs(dual)) + 2.0 * defect * size
        if np.array_equal(self.basis, np.eye(dual.size)):
            doubt = error
        worst, loose = 0.0, 0.0
        for rows, cost in zip(self.groups, self.costs, strict=True):
            length = float(lengths_above((np.abs(inner) + doubt)[None, rows])[0])
            if cost > 0.0:
                worst = max(worst, length / cost)
            elif length > 0.0:
                loose += length * self.reach
        return (worst + loose) * (1.0 + 1e-15)
