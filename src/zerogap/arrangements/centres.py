"""Centres: strictly interior points of cells, far from the walls.

The analytic centre of a cell within the ball minimises -sum_h log(s_h n_h . u) + H/2 ||u||^2. There
sum_h s_h n_h / (s_h n_h . u) = H u, so the interior point method that starts on a multiple of it, with
multipliers inverse to the slacks, is on its central path but for the data term.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from zerogap.cones import margins
from zerogap.rounding import lengths

Array = NDArray[np.float64]


def analytic_centres(normals: Array, signs: NDArray[np.bool_], starts: Array, *, steps: int = 6) -> Array:
    """Approximate analytic centres of many cells at once, by damped Newton steps.

    Parameters
    ----------
    normals : (H, p) float64
    signs : (P, H) bool
    starts : (P, p) float64
        Strictly interior points.
    steps : int
        Newton steps; a few suffice, since nothing later needs the exact centre.

    Returns
    -------
    (P, p) float64
        Strictly interior, of unit length; a start is returned where no step improves it.
    """
    cells, dimension = starts.shape
    walls = normals.shape[0]
    if walls == 0 or cells == 0:
        return unit(starts)
    points = unit(starts)
    outer = (normals[:, :, None] * normals[:, None, :]).reshape(walls, -1)
    sign = np.where(signs, 1.0, -1.0)
    slack = sign * (points @ normals.T)
    for _ in range(steps):
        inverse = 1.0 / slack
        gradient = walls * points - (sign * inverse) @ normals
        hessian = ((inverse * inverse) @ outer).reshape(cells, dimension, dimension)
        hessian[:, np.arange(dimension), np.arange(dimension)] += walls
        # Columns of very different size: equilibrate, and keep the smallest ones from vanishing.
        scale = 1.0 / np.sqrt(np.diagonal(hessian, axis1=1, axis2=2))
        hessian *= scale[:, :, None] * scale[:, None, :]
        hessian[:, np.arange(dimension), np.arange(dimension)] += 1e-13
        step = -scale * np.linalg.solve(hessian, (scale * gradient)[..., None])[..., 0]
        change = sign * (step @ normals.T)
        # Stay inside: 90 percent of the way to the first wall at most, and Newton's damping before that.
        decrement = np.sqrt(np.maximum(-np.sum(gradient * step, axis=1), 0.0))
        to_wall = 1.0 / np.maximum(np.max(-change * inverse, axis=1), 1e-300)
        length = np.minimum(np.where(decrement < 0.5, 1.0, 1.0 / (1.0 + decrement)), 0.9 * to_wall)
        length = np.maximum(length, np.minimum(0.5 * to_wall, 1.0))
        points = points + length[:, None] * step
        slack = slack + length[:, None] * change
    points = unit(points)
    inside = margins(normals, signs, points).min(axis=1) > 0.0
    return np.where(inside[:, None], points, unit(starts))


def interior_point(normals: Array, signs: NDArray[np.bool_]) -> Array | None:
    """The point of largest margin in one cell, or None if the cell has no interior; signs (H,), result (p,).

    The linear program  max t  s.t.  s_h n_h . u >= t,  -1 <= u <= 1  (spec of the papers, enumeration).
    """
    count, dimension = normals.shape
    if count == 0:
        return np.eye(dimension)[0]
    generators = np.where(signs, 1.0, -1.0)[:, None] * normals
    solution = linprog(
        np.append(np.zeros(dimension), -1.0),
        A_ub=np.hstack([-generators, np.ones((count, 1))]),
        b_ub=np.zeros(count),
        bounds=[(-1.0, 1.0)] * dimension + [(None, 1.0)],
        method="highs",
    )
    if solution.status != 0 or solution.x is None or solution.x[-1] <= 1e-9:
        return None
    return np.asarray(solution.x[:-1], dtype=np.float64)


def unit(points: Array) -> Array:
    """Rows divided by their lengths; zero rows stay."""
    norms = lengths(points)[:, None]
    return points / np.where(norms > 0.0, norms, 1.0)
