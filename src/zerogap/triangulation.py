r"""Facets, rays and triangulations of cones {u : K u >= 0}.

A row is no facet where it is a non-negative combination of the others (Farkas). With the lines L = {u : K u = 0} the
cone is L plus its pointed part, the part orthogonal to L, of dimension rank K, and that is spanned by its rays. The
pulling triangulation of a face joins a ray to those of the facets of the face that the ray does not lie on. It needs no
coordinates, only to know which ray lies on which facet.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from zerogap.cones import polar_multipliers
from zerogap.rounding import lengths

Array = NDArray[np.float64]
Incidence = NDArray[np.bool_]

CLOSE = 1e-9
"""Unit rows this close to the span of others, and unit rays this close to a wall, count as lying there."""


def nearest(rows: Array, direction: Array) -> Array | None:
    """The projection of a unit vector (p,) on the cone, or None where that fails; unit rows (F, p)."""
    inside = direction + rows.T @ polar_multipliers(rows, direction)
    if (rows @ inside).min(initial=0.0) >= -CLOSE and abs(inside @ (inside - direction)) <= CLOSE:
        return np.asarray(inside)
    return None


def facets(rows: Array) -> Array:
    """Rows of K, of unit length, that cut out the same cone, none of them without effect.

    Parameters
    ----------
    rows : (H, p) float64
        K; zero rows are dropped.

    Returns
    -------
    (F, p) float64
        Unique where the cone has an interior. Every row left out is non-negative on the cone up to ``CLOSE``.
    """
    size = lengths(rows)
    rows = rows[size > 0.0] / size[size > 0.0][:, None]
    kept = np.ones(rows.shape[0], dtype=bool)
    for k in range(rows.shape[0]):
        kept[k] = False
        # As long as the other walls let points reach beyond this one.
        beyond = nearest(rows[kept], -rows[k])
        kept[k] = beyond is None or np.linalg.norm(beyond) > CLOSE
    return rows[kept]


def lines(rows: Array) -> tuple[Array, Array]:
    """Orthonormal bases of {u : K u = 0}, (p, p - r), and of its complement, (p, r), where r is the rank of K."""
    if rows.shape[0] == 0:
        return np.eye(rows.shape[1]), np.zeros((rows.shape[1], 0))
    _, sizes, vectors = np.linalg.svd(rows)
    rank = int(np.sum(sizes > CLOSE * sizes[0]))
    return vectors[rank:].T, vectors[:rank].T


def rays(rows: Array) -> tuple[Array, Incidence]:
    """The rays of the pointed part of the cone, and the facets that they lie on.

    Parameters
    ----------
    rows : (F, p) float64
        ``facets(K)``. The work grows like the binomial of F over rank K - 1.

    Returns
    -------
    rays : (p, m) float64
        Unit columns, orthogonal to the lines.
    on : (m, F) bool
    """
    basis = lines(rows)[1]
    pointed = rows @ basis
    rank = pointed.shape[1]
    if rank == 0:
        return basis, np.zeros((0, 0), dtype=bool)
    candidates = np.ones((1, 1))
    if rank > 1:
        subsets = pointed[np.array(list(combinations(range(rows.shape[0]), rank - 1)))]
        _, sizes, vectors = np.linalg.svd(subsets)
        candidates = vectors[sizes[:, -1] > CLOSE, -1]
    candidates = np.concatenate([candidates, -candidates])
    heights = candidates @ pointed.T
    inside = heights.min(axis=1) >= -CLOSE
    candidates, on = candidates[inside], np.abs(heights[inside]) <= CLOSE
    # Where more facets meet than needed, the ray comes once for each choice of them.
    _, first = np.unique(on, axis=0, return_index=True)
    return basis @ candidates[first].T, on[first]


def triangulated(rows: Array) -> list[Array]:
    """Simplicial cones whose union is the pointed part of the cone.

    Parameters
    ----------
    rows : (F, p) float64
        ``facets(K)``.

    Returns
    -------
    list of (p, r) float64
        Linearly independent unit rays, r = rank K; empty if the cone is a subspace.
    """
    columns, on = rays(rows)
    if columns.shape[1] == 0:
        return []
    rank = lines(rows)[1].shape[1]
    everything = np.ones(columns.shape[1], dtype=bool)
    return [columns[:, list(simplex)] for simplex in _pulled(everything, on, rank)]


def _pulled(face: Incidence, on: Incidence, dimension: int) -> list[tuple[int, ...]]:
    """The pulling triangulation of a face, given by its rays (m,)."""
    members = np.flatnonzero(face)
    if members.size <= dimension:
        return [tuple(members.tolist())] if members.size == dimension else []
    apex = int(members[0])
    parts = np.unique(face & on.T, axis=0)
    parts = parts[(parts.sum(axis=1) >= dimension - 1) & (parts.sum(axis=1) < members.size)]
    # The facets of the face are its largest intersections with those of the cone.
    largest = [part for part in parts if not any(np.all(part <= other) and np.any(part < other) for other in parts)]
    return [(apex, *rest) for part in largest if not part[apex] for rest in _pulled(part, on, dimension - 1)]
