"""Gauges: the norms that weight decay turns into in the convex program (docs/theory.md, "Gauge").

For scalar outputs it is the Euclidean norm of the penalised coordinates of a block,

    gauge(v) = min { ||u|| |w| : u w = v } = ||E v||,

where E drops the bias coordinate if the bias is not penalised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

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
    """sqrt( (sum_l c_l ||G_l v||)^2 + ||G_0 v||^2 ), with orthonormal G = (G_0, G_1, ...).

    Parameters
    ----------
    basis : (q, q) float64
        G, orthonormal up to rounding.
    groups : tuple of index arrays
        The rows of G_l; with those of G_0 a partition of range(q).
    costs : (number of groups,) float64
        c_l >= 0; with c_l = 0 the coordinates G_l v are free.
    reach : float
        Free coordinates matter only up to this multiple of the gauge (``zerogap.features.base.bounded_bias``).
    beside : index array
        The rows of G_0, mostly none.
    """

    basis: Array
    groups: tuple[NDArray[np.intp], ...]
    costs: Array
    reach: float = np.inf
    beside: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    @classmethod
    def euclidean(cls, penalised: NDArray[np.bool_], reach: float = np.inf) -> GroupGauge:
        """||E v||_2, E keeping the penalised coordinates, (q,)."""
        kept, free = np.flatnonzero(penalised), np.flatnonzero(~penalised)
        groups, costs = ((kept, free), [1.0, 0.0]) if free.size else ((kept,), [1.0])
        return cls(np.eye(penalised.size), groups, np.array(costs), reach)

    @cached_property
    def penalised(self) -> NDArray[np.bool_] | None:
        """The coordinates that a Euclidean gauge keeps, (q,); None for all other gauges."""
        if not self._standard or self.beside.size or np.sum(self.costs > 0.0) != 1 or self.costs.max() != 1.0:
            return None
        kept = np.zeros(self.basis.shape[0], dtype=bool)
        kept[self.groups[int(self.costs.argmax())]] = True
        return kept

    @cached_property
    def _standard(self) -> bool:
        return np.array_equal(self.basis, np.eye(self.basis.shape[0]))

    @cached_property
    def _defect(self) -> float:
        """Inverse and transpose of G differ by its defect, which moves d by at most this share of its length."""
        q = self.basis.shape[0]
        return float(np.linalg.norm(self.basis @ self.basis.T - np.eye(q))) + gamma(q + 4) * q

    def value(self, blocks: Array) -> Array:
        """Gauge of each block, (..., q) to (...)."""
        inner = blocks @ self.basis.T
        parts = [cost * lengths(inner[..., rows]) for rows, cost in zip(self.groups, self.costs, strict=True)]
        total = np.asarray(np.sum(parts, axis=0))
        return np.hypot(total, lengths(inner[..., self.beside])) if self.beside.size else total

    def polar_above(self, dual: Array, error: Array) -> float:
        """An upper bound of sup { <d', v> : gauge(v) <= 1 } over |d' - d| <= error, elementwise; (q,), (q,).

        Free coordinates count up to ``reach``. That G is orthonormal only up to rounding is covered.
        """
        doubt = error
        if not self._standard:
            size = float(np.linalg.norm(np.abs(dual) + error))
            rounding = gamma(dual.size + 4) * np.abs(dual)
            doubt = np.abs(self.basis) @ (error + rounding) + 2.0 * self._defect * size
        inner = np.abs(self.basis @ dual) + doubt
        worst, loose = 0.0, 0.0
        for rows, cost in zip(self.groups, self.costs, strict=True):
            length = float(lengths_above(inner[None, rows])[0])
            if cost > 0.0:
                worst = float(np.maximum(worst, length / cost))
            elif length > 0.0:
                loose += length * self.reach
        if self.beside.size:
            # The dual norm of a Euclidean pair is the Euclidean norm of the dual norms.
            worst = float(lengths_above(np.append(inner[self.beside], worst)[None])[0])
        return (worst + loose) * (1.0 + 1e-15)
