r"""Cone-constrained principal components: the price of a cell when every neuron has several output weights.

    maximise ||G' u||   subject to   K u >= 0,  ||E u|| <= 1                  (P1, exact algorithm; P0, no pooling)

In few dimensions the faces of the cone are looked at, one by one (``zerogap.oracles.cone_faces``); beyond, a local
ascent finds a maximiser and a semidefinite program bounds the maximum (``zerogap.oracles.copositive``), which is tight
more often than not.

Rows of K join as they are needed: fewer rows are a larger cone, so every intermediate bound holds. They are facets:
those through which the way from a centre to the present maximiser leaves the cone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zerogap.cones import polar_multipliers
from zerogap.oracles.cone_faces import BACKWARD, Faces
from zerogap.oracles.copositive import doubly_nonnegative_bound

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

FEW = 6
"""Dimensions in which faces are looked at."""

INSIDE = 1e-12
"""Distance behind a wall that still counts as inside."""

TIGHT = 1e-8
"""Semidefinite programs are solved to about this share."""

DRAWN = 1e-6
"""Points are drawn towards the centre of the cone by at most this share."""

SHARE = 1e-4
"""What a free entry costs in the semidefinite program, in units of its reach; bounds grow by half of it."""

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
    cone = _Cone(generators, centre, np.zeros(0, dtype=np.intp) if rows is None else rows)
    if free:
        cone.used = np.union1d(cone.used, [generators[:, -1].argmin(), generators[:, -1].argmax()])
    if p <= FEW:
        return _by_faces(gradient, lower, cone, free, floor)
    return _by_bounds(lower, cone, free, floor, (gradient.shape[1] + p) * BACKWARD)


def _by_faces(gradient: Array, lower: Array, cone: _Cone, free: bool, floor: float) -> ConeMaximum:
    """The maximum over the used rows, until it lies in the cone or below the floor."""
    doubt = sum(gradient.shape) * BACKWARD
    while True:
        faces = Faces(lower, cone.generators[cone.used], free=free, doubt=doubt, floor=floor)
        if faces.upper <= floor:
            return ConeMaximum(np.zeros(lower.shape[0]), 0.0, floor, cone.used)
        for sign in (1.0, -1.0):
            inside = sign * faces.direction
            if cone.contains(inside):
                return ConeMaximum(inside, float(np.linalg.norm(gradient.T @ inside)), faces.upper, cone.used)
        if not cone.grow([faces.direction, -faces.direction]):
            break
    # Too many faces, or two that rounding does not tell apart.
    bounded = _by_bounds(lower, cone, free, floor, doubt)
    return replace(bounded, upper=min(faces.upper, bounded.upper))


def _by_bounds(lower: Array, cone: _Cone, free: bool, floor: float, doubt: float) -> ConeMaximum:
    """A local maximum, and bounds over the used rows until one meets it or the floor."""
    left = np.linalg.svd(lower, full_matrices=False)[0][:, 0]
    best, value = _ascended(lower, cone, [left, -left, cone.centre], free=free)
    units, weights, stretch = np.ones(lower.shape[0]), np.ones(lower.shape[0]), 1.0
    if free:
        # |b| <= reach ||v|| in the cone (``bounded_bias``).
        reach = np.linalg.norm(cone.generators[:, :-1], axis=1) / np.abs(cone.generators[:, -1])
        units[-1], weights[-1] = float(reach.max()) * (1.0 + 1e-12), SHARE
        stretch = float(np.sqrt(1.0 + SHARE)) * (1.0 + 1e-12)
    scaled = lower * units[:, None]
    upper = np.inf
    while True:
        count = cone.used.size
        rows = cone.generators[cone.used] * units
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        bound, direction = doubly_nonnegative_bound(scaled, rows, weights, tol=0.1 * TIGHT)
        upper = min(upper, (bound + 2.0 * doubt * float(np.linalg.norm(scaled))) * stretch)
        if upper <= max(floor, value * (1.0 + TIGHT)):
            break
        found, attained = _ascended(lower, cone, [direction * units, -direction * units], free=free)
        if attained > value:
            best, value = found, attained
        cone.grow([direction * units, -direction * units])
        if cone.used.size == count:
            break
    return ConeMaximum(best, value, max(upper, floor), cone.used)


class _Cone:
    """{K u >= 0}, of which only some rows are used."""

    def __init__(self, generators: Array, centre: Array, used: Indices) -> None:
        self.generators, self.centre, self.used = generators, centre, used
        self._slack = generators @ centre

    def inside(self, point: Array) -> Array:
        """The point, drawn towards the centre as far as rounding calls for; zero if it is not inside at all."""
        slack = self.generators @ point
        outside = slack < 0.0
        share = float((-slack[outside] / (self._slack[outside] - slack[outside])).max(initial=0.0))
        return (1.0 - share) * point + share * self.centre if share <= DRAWN else np.zeros_like(point)

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
                share = self._slack[outside] / (self._slack[outside] - slack[outside])
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
        found = cone.inside(inside * units)
        size = float(np.linalg.norm(found[:-1] if free else found))
        attained = float(np.linalg.norm(lower.T @ found)) / size if size > 0.0 else 0.0
        if attained > value:
            best, value = found / size, attained
    return best, value
