r"""Cone-constrained principal components: the price of a cell when every neuron has several output weights.

    maximise ||G' u||   subject to   K u >= 0,  ||u|| <= 1

(P1, exact algorithm; P0, no pooling). On the face of the cone where the rows S of K are tight, a maximiser is a local,
hence global, maximiser of ||G' u|| in the subspace {K_S u = 0}: its leading singular vector. So the maximum is the
largest sigma_S, over at most p - 1 independent rows S, whose vector lies in the cone.

Rows join as they are needed: fewer rows are a larger cone, so every intermediate maximum bounds the true one. They are
facets: those through which the way from a centre to the present maximiser leaves the cone. A face is ruled out only if its singular vector leaves the cone by more than what rounding explains; doubtful faces count.
Beyond a number of faces the deepest ones all count, whether their vectors lie in the cone or not: the bound stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.cones import polar_multipliers
from zerogap.rounding import UNIT_ROUNDOFF
from zerogap.spectral import singular_value_above

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

FACES = 8_000
"""Faces looked at in one round, at most; then the deepest ones all count. Enough for five dimensions."""

FACES_OF_MANY = 300
"""The same beyond five dimensions, where no number that could be looked at suffices."""

INSIDE = 1e-12
"""Distance behind a wall that still counts as inside."""

BACKWARD = 32.0 * UNIT_ROUNDOFF
"""Relative backward error of singular value decompositions and orthonormal bases, for each dimension."""

FEW = 5
"""Beyond so many dimensions a local ascent comes first: faces below the value that it reaches are never looked at."""

ASCENTS, STILL = 200, 1e-10
"""Steps of a local ascent, at most, and the relative gain that ends it."""


@dataclass(frozen=True, eq=False)
class ConeMaximum:
    """What is known about the maximum.

    Parameters
    ----------
    direction : (p,) float64
        A vector of size one inside the cone (up to rounding), the best one that was met; zero if none was.
    value : float
        ||G' u|| there: a lower bound of the maximum.
    upper : float
        An upper bound of the maximum, or the floor if that is larger.
    rows : (k,) int
        The rows of K that mattered.
    """

    direction: Array
    value: float
    upper: float
    rows: Indices


def cone_maximum(
    gradient: Array,
    generators: Array,
    centre: Array,
    *,
    free: bool = False,
    floor: float = 0.0,
    rows: Indices | None = None,
) -> ConeMaximum:
    """Solve the problem of the module docstring, as far as the maximum exceeds a floor.

    Parameters
    ----------
    gradient : (p, a) float64
        G, exact.
    generators : (H, p) float64
        K: unit rows, each entry correct to a few roundings.
    centre : (p,) float64
        Strictly inside the cone.
    free : bool
        Whether the last entry of u is free: ||E u|| <= 1 for the others. Then the last entries of K are not zero, and
        have both signs.
    floor : float
        Maxima below this are of no interest.
    rows : (k,) int, optional
        Rows that are likely to matter.

    Returns
    -------
    ConeMaximum
        With value < upper if the maximum was not found, or lies below the floor.
    """
    p = gradient.shape[0]
    # G = L Q with orthonormal rows of Q: ||G' u|| = ||L' u||.
    lower = np.linalg.qr(gradient.T)[1].T if gradient.shape[1] > p else gradient
    doubt = (gradient.shape[1] + p) * BACKWARD
    cone = _Cone(generators, centre, np.zeros(0, dtype=np.intp) if rows is None else rows)
    if free:
        cone.used = np.union1d(cone.used, [generators[:, -1].argmin(), generators[:, -1].argmax()])
    best, value = np.zeros(p), 0.0
    if p > FEW:
        best, value = _ascended(lower, cone, [lower[:, 0], -lower[:, 0], centre], free=free)
    # Faces below what has been reached are of no interest either.
    level = max(floor, value)
    while True:
        faces = _Faces(lower, generators[cone.used], free, doubt, level)
        if faces.upper <= level:
            return ConeMaximum(best, value, level, cone.used)
        for sign in (1.0, -1.0):
            inside = sign * faces.direction
            if cone.contains(inside):
                return ConeMaximum(inside, float(np.linalg.norm(gradient.T @ inside)), faces.upper, cone.used)
        # All that matters is known to be so in few dimensions only.
        if not cone.grow([faces.direction, -faces.direction]) or (faces.cut and p > FEW):
            break
    best, value = _ascended(lower, cone, [best, faces.direction, -faces.direction], free=free)
    return ConeMaximum(best, value, faces.upper, cone.used)


class _Cone:
    """{K u >= 0}, of which only some rows are used."""

    def __init__(self, generators: Array, centre: Array, used: Indices) -> None:
        self.generators, self.used = generators, used
        self._centre = generators @ centre

    def contains(self, point: Array) -> bool:
        """Up to rounding."""
        slack = self.generators @ point
        return bool(slack.min(initial=0.0) >= -INSIDE * float(np.linalg.norm(point)))

    def grow(self, points: list[Array]) -> bool:
        """Use the rows through which the ways from the centre to some points leave the cone; whether any is new."""
        exits = []
        for point in points:
            slack = self.generators @ point
            outside = np.flatnonzero(slack < -INSIDE * float(np.linalg.norm(point)))
            if outside.size:
                share = self._centre[outside] / (self._centre[outside] - slack[outside])
                exits.append(int(outside[share.argmin()]))
        fresh = np.setdiff1d(np.array(exits, dtype=np.intp), self.used)
        self.used = np.concatenate([self.used, fresh])
        return bool(fresh.size)

    def projected(self, point: Array, units: Array) -> Array:
        """The projection of a point on the cone in some units, of unit length; zero if that is the apex."""
        length = float(np.linalg.norm(point))
        while True:
            rows = self.generators[self.used] * units
            projected = point + rows.T @ polar_multipliers(rows, point)
            if float(np.linalg.norm(projected)) <= 1e-9 * length:
                return np.zeros_like(point)
            if not self.grow([projected * units]):
                return projected / float(np.linalg.norm(projected))


class _Faces:
    """The faces of a cone with few rows, level by level; `upper` bounds the maximum over it.

    Faces below the floor are dropped with all that lie in them.
    """

    def __init__(self, lower: Array, generators: Array, free: bool, doubt: float, floor: float) -> None:
        self._lower, self._generators, self._free, self._doubt = lower, generators, free, doubt
        self.upper, self._best = floor, -np.inf
        self.direction, self.cut = np.zeros(lower.shape[0]), False
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
            cut = seen + following.shape[0] > (FACES if p <= FEW else FACES_OF_MANY)
            self._count(faces, (faces.bounds > floor) & (faces.possible | cut))
            self.cut = bool(cut)
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


def _ascended(lower: Array, cone: _Cone, starts: list[Array], *, free: bool) -> tuple[Array, float]:
    """The best of a few local ascents u <- Proj(L L' u), which never lowers a convex function on a cone; its value.

    A free entry is measured in units in which it hardly counts.
    """
    units = np.ones(lower.shape[0])
    if free:
        units[-1] = 10.0 / np.abs(cone.generators[:, -1]).min()
    scaled = lower * units[:, None]
    best, value = np.zeros(lower.shape[0]), 0.0
    for start in starts:
        inside = cone.projected(start / units, units)
        reached = float(np.linalg.norm(scaled.T @ inside))
        for _ in range(ASCENTS):
            following = cone.projected(scaled @ (scaled.T @ inside), units)
            gained = float(np.linalg.norm(scaled.T @ following))
            if not gained > reached * (1.0 + STILL):
                break
            inside, reached = following, gained
        found = inside * units
        size = float(np.linalg.norm(found[:-1] if free else found))
        attained = float(np.linalg.norm(lower.T @ found)) / size if size > 0.0 else 0.0
        if attained > value:
            best, value = found / size, attained
    return best, value
