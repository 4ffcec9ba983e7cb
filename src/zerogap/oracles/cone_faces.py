r"""The largest ||L' u|| over the cone {K u >= 0} and the unit ball, face by face.

On the face where the rows S of K are tight, a maximiser is a local, hence global, maximiser of ||L' u|| in the subspace
{K_S u = 0}: its leading singular vector. So the maximum is the largest sigma_S, over at most p - 1 independent rows S,
whose vector lies in the cone (P1, cone-constrained principal components).

A face is ruled out only if its singular vector leaves the cone by more than what rounding explains; doubtful faces
count. Beyond a number of faces the deepest ones all count, wherever their vectors lie: the bound stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.rounding import UNIT_ROUNDOFF
from zerogap.spectral import singular_value_above

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST = 8_000
"""Faces looked at, at most."""

BACKWARD = 32.0 * UNIT_ROUNDOFF
"""Relative backward error of singular value decompositions and orthonormal bases, for each dimension."""


class Faces:
    """The faces of a cone, level by level; ``upper`` bounds the maximum over it, ``direction`` is the largest face's.

    Faces below the floor are dropped with all that lie in them.

    Parameters
    ----------
    lower : (p, r) float64
        L.
    generators : (m, p) float64
        K: unit rows, each entry correct to a few roundings.
    free : bool
        Whether the last entry of u is free; then the last entries of K are not zero, and have both signs.
    doubt : float
        Relative error of L.
    floor : float
        Maxima below this are of no interest.
    """

    def __init__(self, lower: Array, generators: Array, *, free: bool, doubt: float, floor: float) -> None:
        self._lower, self._generators, self._free, self._doubt = lower, generators, free, doubt
        self.upper, self._best = floor, -np.inf
        self.direction = np.zeros(lower.shape[0])
        count, p = generators.shape
        # With a free entry ||G' u|| is convex in it, so that it stops at a row: faces without tight rows do not matter.
        level = np.arange(count)[:, None] if free else np.zeros((1, 0), dtype=np.intp)
        limits, seen = np.full(level.shape[0], np.inf), 0
        while level.shape[0]:
            seen += level.shape[0]
            faces = self._look(level, limits)
            # Nothing in a face that certainly has its leading vector inside exceeds the face itself.
            interior = (faces.bounds > floor) & ~faces.surely
            following, above = _extended(level[interior], faces.bounds[interior], count, p)
            cut = seen + following.shape[0] > MOST
            self._count(faces, (faces.bounds > floor) & (faces.possible | cut))
            if cut:
                return
            level, limits = following, above

    def _look(self, level: Indices, limits: Array) -> _Level:
        """Bounds of the faces (T, s), and where their leading vectors lie."""
        lower, rows, magnitude, error = self._reduced(level)
        count, p = level.shape[0], lower.shape[1]
        tight = np.take_along_axis(rows, level[:, int(self._free) :, None], axis=1)  # (T, s, p)
        basis, turned = np.broadcast_to(np.eye(p), (count, p, p)), np.zeros(count)
        if tight.shape[1]:
            _, sizes, whole = np.linalg.svd(tight)
            basis = whole[:, tight.shape[1] :]
            # Sine of the angle to the true subspace: what the rows see of the basis, over their least singular value.
            rounding = tight.shape[1] * (p * BACKWARD + error)
            seen = np.linalg.norm(tight @ basis.transpose(0, 2, 1), axis=(1, 2)) + rounding
            turned = seen / np.maximum(sizes[:, -1] - rounding, 1e-300)
        moved = basis @ lower  # (T, p - s, r)
        vectors, values, _ = np.linalg.svd(moved, full_matrices=False)
        directions = np.einsum("tdp,td->tp", basis, vectors[:, :, 0])
        wide = self._doubt * magnitude + np.minimum(turned, 2.0) * np.linalg.norm(lower, axis=(1, 2))
        angle = turned + p * BACKWARD + error
        if values.shape[1] > 1:
            # Rotation of the leading vector by a perturbation of size `wide` (Wedin).
            angle = angle + 4.0 * wide / np.maximum(values[:, 0] - values[:, 1] - 2.0 * wide, 1e-300)
        slack = np.einsum("tmp,tp->tm", rows, directions)
        possible = (slack.min(axis=1, initial=0.0) >= -angle) | (slack.max(axis=1, initial=0.0) <= angle)
        # The tight rows are zero in the whole face.
        above, below = slack.copy(), slack
        np.put_along_axis(above, level, np.inf, axis=1)
        np.put_along_axis(below, level, -np.inf, axis=1)
        surely = (above.min(axis=1, initial=np.inf) >= angle) | (below.max(axis=1, initial=-np.inf) <= -angle)
        if self._free:
            base = self._generators[level[:, 0]]
            last = -np.sum(base[:, :-1] * directions, axis=1) / base[:, -1]
            directions = np.column_stack([directions, last])
        return _Level(limits, np.minimum(values[:, 0] + wide, limits), possible, surely, moved, wide, directions)

    def _reduced(self, level: Indices) -> tuple[Array, Array, Array, Array]:
        """L (T, p, r) and unit rows (T, m, p) without the free entry, which the first tight row names.

        Also bounds (T,) of the magnitudes that went into L, and of the errors of the rows.
        """
        count, rows, whole = level.shape[0], self._generators, float(np.linalg.norm(self._lower))
        if not self._free:
            lower = np.broadcast_to(self._lower, (count, *self._lower.shape))
            return lower, np.broadcast_to(rows, (count, *rows.shape)), np.full(count, whole), np.zeros(count)
        base = rows[level[:, 0]]
        slope = base[:, :-1] / base[:, -1:]  # the free entry is -slope . v
        lower = self._lower[None, :-1] - slope[:, :, None] * self._lower[None, -1:]
        reduced = rows[None, :, :-1] - slope[:, None] * rows[None, :, -1:]
        length = np.linalg.norm(reduced, axis=2)
        np.put_along_axis(length, level[:, :1], np.inf, axis=1)
        steep = 1.0 + np.linalg.norm(slope, axis=1)
        error = rows.shape[1] * BACKWARD * steep / length.min(axis=1)
        return lower, reduced / length[:, :, None], whole * steep, error

    def _count(self, faces: _Level, counted: NDArray[np.bool_]) -> None:
        """Raise the upper bound to some of the faces, and remember the direction of the largest one."""
        for face in np.flatnonzero(counted):
            exact = singular_value_above(faces.moved[face], float(faces.wide[face]))
            self.upper = max(self.upper, min(exact, float(faces.limits[face])))
            if faces.bounds[face] > self._best:
                self._best, self.direction = float(faces.bounds[face]), faces.directions[face]


@dataclass(frozen=True, eq=False)
class _Level:
    """T faces of equal dimension."""

    limits: Array  # bounds of the faces that they lie in
    bounds: Array
    possible: NDArray[np.bool_]  # the leading vector may lie in the cone
    surely: NDArray[np.bool_]  # it does
    moved: Array  # L in a basis of the face, (T, p - s, p)
    wide: Array  # what rounding may add to its singular values
    directions: Array  # leading vectors, (T, p)


def _extended(level: Indices, limits: Array, rows: int, dimension: int) -> tuple[Indices, Array]:
    """All subsets with one more, larger row, as long as they leave a dimension, and the bounds of their parents."""
    last = level[:, -1] if level.shape[1] else np.full(level.shape[0], -1)
    if level.shape[1] + 1 >= dimension:
        return np.zeros((0, level.shape[1] + 1), dtype=np.intp), np.zeros(0)
    parent, row = np.nonzero(np.arange(rows)[None] > last[:, None])
    return np.column_stack([level[parent], row]), limits[parent]
