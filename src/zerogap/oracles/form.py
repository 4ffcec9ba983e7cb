r"""The function that an oracle maximises, and its reduction to the span of the rows.

    g(u) = sum_j a_j (m_j . u)_+,   one row m_j for every distinct non-zero row of the data,

so that r . phi(u) = g(u). Equal rows are merged: their coefficients add up, and often cancel. Rows that
span a subspace are written as m_j = Q c_j + e_j with a frame Q of (nearly) orthonormal columns; then

    g(u) <= sum_j a_j (c_j . Q'u)_+ + sum_j |a_j| ||e_j||,   ||Q'u|| <= ||Q|| for ||u|| <= 1,

whatever Q is: a bad frame gives a weak bound, never a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zerogap.rounding import gamma, lengths_above
from zerogap.rows import Rows

Array = NDArray[np.float64]

RANK = 1e-11
"""Singular values of the rows below this share of the largest one span no direction."""


@dataclass(frozen=True, eq=False)
class Form:
    """Distinct rows of a data set, to be priced with any residual.

    Parameters
    ----------
    rows : (N, p) float64
        Distinct and non-zero.
    owner : (raw rows,) int
        The distinct row of every raw row, -1 for zero rows.
    samples : (raw rows,) int
        The sample of every raw row.
    scale : float
        Readout weight.
    free : bool
        Whether the last coordinate has no norm (unpenalised bias).
    """

    rows: Array
    owner: NDArray[np.intp]
    samples: NDArray[np.intp]
    scale: float
    free: bool

    @classmethod
    def of(cls, rows: Rows, *, free: bool) -> Form:
        """The distinct rows, in the order of their first appearance."""
        flat = rows.flat + 0.0
        table, first, inverse = np.unique(flat, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        order = order[np.any(table[order] != 0.0, axis=1)]
        rank = np.full(first.size, -1, dtype=np.intp)
        rank[order] = np.arange(order.size)
        samples = np.repeat(np.arange(rows.samples), rows.matrix.shape[1])
        return cls(np.ascontiguousarray(table[order]), rank[inverse.reshape(-1)], samples, rows.scale, free)

    @property
    def dimension(self) -> int:
        return int(self.rows.shape[1])

    def coefficients(self, residual: Array) -> Array:
        """a of a residual (n,), one for each distinct row."""
        used = self.owner >= 0
        raw = residual[self.samples[used]] * self.scale
        return np.bincount(self.owner[used], weights=raw, minlength=self.rows.shape[0]).astype(np.float64)

    def mass(self, residual: Array) -> float:
        """An upper bound of the sum of |r_s| scale over all raw rows."""
        raw = np.abs(residual)[self.samples] * self.scale
        return float(raw.sum()) * (1.0 + 2.0 * gamma(raw.size + 4))

    @cached_property
    def reach(self) -> Array:
        """B_i = max_j |m_ji| for the coordinates with a norm."""
        q = self.dimension - int(self.free)
        return np.abs(self.rows[:, :q]).max(axis=0, initial=0.0)

    @cached_property
    def reduced(self) -> Reduced:
        """The form in the coordinates of a frame, where the rows do not span all of the space."""
        q = self.dimension - int(self.free)
        part = self.rows[:, :q]
        left = np.flatnonzero(part.any(axis=0))
        columns = part[:, left]
        _, singular, right = np.linalg.svd(columns, full_matrices=False) if columns.size else (0, np.zeros(0), 0)
        rank = int(np.sum(singular > RANK * singular.max(initial=0.0)))
        if rank in (0, q):
            return Reduced(self.rows, np.zeros(self.rows.shape[0]), 1.0, None)
        frame = np.zeros((q, rank))
        if rank == left.size:
            frame[left, np.arange(rank)] = 1.0
        else:
            frame[left] = np.asarray(right)[:rank].T
        inner = sequential_product(part, frame)
        outer = part - inner @ frame.T
        error = np.abs(outer) + gamma(q + 4) * (np.abs(part) + np.abs(inner) @ np.abs(frame.T))
        stretch = float(np.linalg.norm(frame.T @ frame - np.eye(rank)))
        stretch = 1.0 + stretch + 2.0 * gamma(q + 4) * rank
        coordinates = np.concatenate([inner, self.rows[:, q:]], axis=1)
        return Reduced(np.ascontiguousarray(coordinates), lengths_above(error), stretch, frame)


@dataclass(frozen=True, eq=False)
class Reduced:
    """Rows (N, r) in the coordinates of a frame (q, r) or of the space itself, what is lost, and ||Q||."""

    rows: Array
    lost: Array
    stretch: float
    frame: Array | None

    def bound(self, inner: float, coefficients: Array) -> float:
        """An upper bound of g from one in the coordinates of the frame."""
        rest = float(np.abs(coefficients) @ self.lost)
        return (inner * self.stretch + rest) * (1.0 + 2.0 * gamma(coefficients.size + 8))

    def direction(self, point: Array) -> Array:
        """The direction of the space that belongs to one of the frame; last axis (r,) to (p,)."""
        if self.frame is None:
            return point
        rank = self.frame.shape[1]
        return np.concatenate([point[..., :rank] @ self.frame.T, point[..., rank:]], axis=-1)


def sequential_product(left: Array, right: Array) -> Array:
    """left @ right, summed in the order of the indices so that any other program finds the same digits."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for k in range(left.shape[1]):
        total += left[:, k : k + 1] * right[k]
    return total
