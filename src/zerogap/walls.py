"""Walls: the distinct hyperplanes {u : m . u = 0} of a set of rows.

Real images have thousands of duplicate, parallel and zero patches. Two rows share a wall exactly when
one is a (positive or negative) multiple of the other; this is decided in exact arithmetic, because a
wall that is dropped although it is only nearly parallel would hide the sliver cells between the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Walls:
    """Hyperplanes through the origin, and how the rows lie on them.

    Parameters
    ----------
    normals : (H, p) float64
        Unit normals; the first entry of largest magnitude is positive.
    representative : (H,) int
        The first raw row on each wall.
    index : (N,) int
        The wall of each raw row (0 for zero rows, which have none).
    side : (N,) int8
        +1 if the row points along the normal, -1 if against it, 0 for a zero row.
    """

    normals: Array
    representative: NDArray[np.intp]
    index: NDArray[np.intp]
    side: NDArray[np.int8]

    @property
    def count(self) -> int:
        return int(self.normals.shape[0])

    @property
    def dimension(self) -> int:
        return int(self.normals.shape[1])

    def units(self) -> Array:
        """Powers of two that bring the largest entry of every column of the normals near 1, (p,).

        With m' = units * m and u' = u / units, m' . u' = m . u without rounding: cells map one to one, and
        tolerances mean the same whatever the features are measured in.
        """
        exponent = np.frexp(np.abs(self.normals).max(axis=0, initial=0.0))[1]
        # Beyond 2^1000 the units themselves would overflow.
        return np.ldexp(1.0, np.minimum(-exponent, 1000))

    def signs(self, directions: Array) -> NDArray[np.bool_]:
        """Sign vectors [normal . u >= 0]; directions (P, p), result (P, H)."""
        return np.asarray(directions @ self.normals.T >= 0.0)

    def activity(self, signs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which raw rows a cell lets through; signs (P, H), result (P, N). Zero rows: none."""
        if self.count == 0:
            return np.zeros((signs.shape[0], self.side.size), dtype=bool)
        return (np.take(signs, self.index, axis=1) == (self.side > 0)) & (self.side != 0)

    def row_sums(self, values: Array) -> Array:
        """Sum over the raw rows of each wall; values (N,), result (H,)."""
        used = self.side != 0
        return np.bincount(self.index[used], weights=values[used], minlength=self.count).astype(np.float64)


def find_walls(rows: Array, *, merge: bool = True) -> Walls:
    """The walls of raw rows.

    Parameters
    ----------
    rows : (N, p) float64
        Finite; magnitudes at most 1e100.
    merge : bool
        False keeps a wall for every non-zero row: the off switch that tests compare with.
    """
    count = rows.shape[0]
    peak = np.abs(rows).max(axis=1, initial=0.0)
    nonzero = np.flatnonzero(peak > 0.0)
    # A power of two takes every row to largest magnitude in [1/2, 1) without rounding.
    scaled = np.ldexp(rows[nonzero], -np.frexp(peak[nonzero])[1][:, None])
    pivot = np.abs(scaled).argmax(axis=1)
    head = np.take_along_axis(scaled, pivot[:, None], axis=1)
    # Division is correctly rounded, so multiples of one row give identical keys; the reverse is checked.
    keys = scaled / head + 0.0
    if merge and nonzero.size:
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        first, inverse = first[order], rank[inverse.reshape(-1)]
        doubtful = ~_parallel(scaled, head, first[inverse], pivot)
        extra = np.flatnonzero(doubtful)
        inverse[extra] = first.size + np.arange(extra.size)
        first = np.concatenate([first, extra])
    else:
        first = inverse = np.arange(nonzero.size)
    index = np.zeros(count, dtype=np.intp)
    side = np.zeros(count, dtype=np.int8)
    index[nonzero] = inverse
    side[nonzero] = np.sign(head[:, 0]).astype(np.int8)
    normals = keys[first]
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return Walls(normals, nonzero[first], index, side)


def _parallel(scaled: Array, head: Array, first: NDArray[np.intp], pivot: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each row is an exact multiple of its group's first row: all 2 x 2 minors with the pivot vanish."""
    same = np.all(scaled == scaled[first], axis=1) | np.all(scaled == -scaled[first], axis=1)
    left, left_error = _two_product(scaled, head[first])
    right, right_error = _two_product(scaled[first], head)
    magnitude = np.abs(scaled)
    # Below 1e-140 the error term of a product could underflow: such rows count as parallel only if equal.
    representable = np.all((magnitude == 0.0) | (magnitude > 1e-140), axis=1)
    exact = np.all((left == right) & (left_error == right_error), axis=1) & (pivot == pivot[first])
    return same | (exact & representable & representable[first])


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Dekker's exact product: a * b = high + low, for |a|, |b| <= 1 away from underflow."""
    high = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    low = ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low
    return high, low


def _split(a: Array) -> tuple[Array, Array]:
    scaled = 134217729.0 * a  # 2**27 + 1
    high = scaled - (scaled - a)
    return high, a - high
