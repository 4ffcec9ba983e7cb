"""All cells of an arrangement.

A cell whose last-inserted facet lies on wall i is a cell of the arrangement of walls 0..i and touches,
on wall i, a cell of the restricted arrangement in one dimension less. So the interior points of all
restricted cells, pushed off wall i to both sides, hit every cell; in two dimensions the cells are the
arcs between sorted angles. No linear program is needed (measured: thousands of times fewer
operations than one program for every cell and wall), and completeness is not taken on trust: the
number of distinct cells with verified signs must equal the exact count.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements.cells import Cells, first_of_each
from zerogap.arrangements.centres import analytic_centres, unit
from zerogap.arrangements.count import count_bound, count_cells
from zerogap.errors import InputError
from zerogap.rounding import SUBNORMAL, gamma
from zerogap.walls import Walls

Array = NDArray[np.float64]

PARALLEL = 1e-11
"""Traces on a wall closer than this count as one while searching; the exact count decides in the end."""


def enumerate_cells(walls: Walls, rows: Array, *, limit: int = 50_000) -> Cells:
    """All full-dimensional cells.

    Parameters
    ----------
    walls : Walls
        Of `rows`.
    rows : (N, p) float64
        The raw rows.
    limit : int
        Refuse arrangements that may have more cells than this.

    Returns
    -------
    Cells
        ``complete`` is True if their number equals the exact count and every sign has been verified
        against rounding; otherwise a RuntimeWarning tells how many are missing.

    Raises
    ------
    InputError
        If there may be more than `limit` cells.
    """
    rank = int(np.linalg.matrix_rank(walls.normals)) if walls.count else 0
    bound = count_bound(walls.count, rank)
    if bound > limit:
        raise InputError(
            "arrangements='enumerate'",
            f"{walls.count} distinct walls of rank {rank}, up to {bound} cells",
            f"at most {limit} cells",
            "pass a number of sampled cells instead, for example arrangements=200",
        )
    units = walls.units()
    normals = unit(walls.normals * units)
    points = interior_points(normals)
    signs = points @ normals.T >= 0.0
    first = first_of_each(signs)
    signs, points = signs[first], points[first]
    points = unit(analytic_centres(normals, signs, points) * units)
    verified = _verified(rows[walls.representative], walls, signs, points)
    expected = count_cells(rows)
    complete = bool(verified.all()) and signs.shape[0] == expected
    if not complete:
        warnings.warn(
            f"enumeration found {int(verified.sum())} verified cells of {expected}: the rows are too close to "
            "degenerate for float64, so the certificate covers the listed cells only; round or rescale X",
            RuntimeWarning,
            stacklevel=2,
        )
    return Cells(signs, points, complete)


def interior_points(normals: Array) -> Array:
    """At least one interior point of every cell; normals (H, p) with unit rows, no two parallel; result (P, p)."""
    count, dimension = normals.shape
    if count == 0:
        return np.zeros((1, dimension))
    if dimension == 1:
        return np.array([[1.0], [-1.0]])
    if dimension == 2:
        return _arcs(normals)
    found = []
    for i in range(count):
        wall, earlier = normals[i], normals[:i]
        basis = _complement(wall)
        base = interior_points(_distinct_traces(earlier @ basis)) @ basis.T
        slack, slope = np.abs(base @ earlier.T), np.abs(earlier @ wall)
        reach = np.where(slope > 0.0, slack / np.maximum(slope, 1e-300), np.inf)
        step = 0.5 * np.minimum(reach.min(axis=1, initial=np.inf), 1.0)[:, None]
        found += [base + step * wall, base - step * wall]
    points = unit(np.concatenate(found))
    # A point that a later wall passes through lies in no cell; the cells beside it come from that wall.
    points = points[np.abs(points @ normals.T).min(axis=1) > PARALLEL]
    return points[first_of_each(points @ normals.T > 0.0)]


def _arcs(normals: Array) -> Array:
    """Midpoints of the arcs between the 2 H rays that H lines cut out of the circle."""
    rays = np.sort(np.mod(np.arctan2(normals[:, 0], -normals[:, 1]), np.pi))
    rays = np.concatenate([rays, rays + np.pi])
    middle = 0.5 * (rays + np.append(rays[1:], rays[0] + 2.0 * np.pi))
    return np.stack([np.cos(middle), np.sin(middle)], axis=1)


def _complement(direction: Array) -> Array:
    """An orthonormal basis (p, p - 1) of the hyperplane with that unit normal (Householder)."""
    size = direction.size
    pivot = int(np.abs(direction).argmax())
    reflector = direction.copy()
    reflector[pivot] += np.copysign(1.0, direction[pivot])
    matrix = np.eye(size) - 2.0 * np.outer(reflector, reflector) / (reflector @ reflector)
    return np.delete(matrix, pivot, axis=1)


def _distinct_traces(traces: Array) -> Array:
    """Unit normals of the distinct traces; traces (H, q)."""
    norms = np.linalg.norm(traces, axis=1)
    traces = traces[norms > PARALLEL] / norms[norms > PARALLEL][:, None]
    if traces.shape[0] < 2:
        return traces
    pivot = np.abs(traces).argmax(axis=1)
    # Near ties of the largest entry may choose different pivots; a fixed generic direction does not.
    generic = traces @ np.cos(np.arange(1.0, traces.shape[1] + 1.0) ** 2)
    fallback = np.take_along_axis(traces, pivot[:, None], axis=1)[:, 0]
    traces = traces * np.sign(np.where(np.abs(generic) > 1e-6, generic, fallback))[:, None]
    order = np.argsort(traces @ np.sin(np.arange(1.0, traces.shape[1] + 1.0)), kind="stable")
    traces = traces[order]
    keep = np.ones(traces.shape[0], dtype=bool)
    projection = traces @ np.sin(np.arange(1.0, traces.shape[1] + 1.0))
    for k in range(1, traces.shape[0]):
        back = k - 1
        while back >= 0 and projection[k] - projection[back] <= 4.0 * PARALLEL * traces.shape[1]:
            if keep[back] and np.abs(traces[k] - traces[back]).max() <= PARALLEL:
                keep[k] = False
                break
            back -= 1
    return traces[keep]


def _verified(representatives: Array, walls: Walls, signs: NDArray[np.bool_], points: Array) -> NDArray[np.bool_]:
    """Whether the signs of the raw rows at each point are certain in spite of rounding; result (P,)."""
    values = points @ representatives.T
    error = gamma(points.shape[1] + 1) * (np.abs(points) @ np.abs(representatives).T) + SUBNORMAL
    claimed = np.where(signs == (walls.side[walls.representative] > 0), 1.0, -1.0)
    return np.asarray(np.all(claimed * values > error, axis=1))
