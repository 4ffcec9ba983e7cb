"""Cones {u : s_h n_h . u >= 0 for all walls h}: membership, violation, projection.

The projection is Moreau's: with the generators s_h n_h of the polar cone,

    Proj(g) = g + K' lam,   lam = argmin_{lam >= 0} ||g + K' lam||,    K = diag(s) N,

a non-negative least squares problem (docs/theory.md, "Price of a cell"). ||Proj(g)|| is the largest
g . u over the unit ball of the cone, and every lam >= 0 gives an upper bound of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

CLOSE = 1e-8
"""Distance, in units of the direction, up to which a projection counts as one."""

NUDGES = (1e-9, -1e-9, 1e-8)
"""Distances beside a direction, in units of its largest entry, at which to try again."""


def margins(normals: Array, signs: NDArray[np.bool_], points: Array) -> Array:
    """s_h n_h . u; normals (H, p), signs (P, H), points (P, p), result (P, H)."""
    return np.where(signs, 1.0, -1.0) * (points @ normals.T)


def violation(normals: Array, signs: NDArray[np.bool_], points: Array) -> Array:
    """The largest violated margin of each point, 0 inside its cone; result (P,)."""
    return np.maximum(0.0, -margins(normals, signs, points).min(axis=1, initial=0.0))


def contains(normals: Array, signs: NDArray[np.bool_], points: Array, tolerance: float = 0.0) -> NDArray[np.bool_]:
    """Whether each point lies in its cone up to `tolerance` times its length; result (P,)."""
    return np.asarray(violation(normals, signs, points) <= tolerance * np.linalg.norm(points, axis=1))


def polar_multipliers(generators: Array, direction: Array, free: NDArray[np.bool_] | None = None) -> Array:
    """lam >= 0 that (nearly) minimises ||E (g + K' lam)||, subject to zero free coordinates.

    Parameters
    ----------
    generators : (H, p) float64
        K, rows s_h n_h.
    direction : (p,) float64
        g.
    free : (p,) bool, optional
        Coordinates that must vanish (unpenalised bias); default none.

    Returns
    -------
    (H,) float64
        Non-negative. Zero (a valid, weak choice) if the active-set method does not converge.
    """
    size = np.abs(direction).max(initial=0.0)
    if size == 0.0 or generators.shape[0] == 0:
        return np.zeros(generators.shape[0])
    unit = direction / size
    if free is not None and free.any():
        # A large weight stands for the equality; the support is then re-solved with the exact one.
        weight = np.where(free, 1e4, 1.0)
        solution = _least_squares(generators.T * weight[:, None], -unit * weight)
        return size * _equality_polish(generators, unit, free, solution)
    solution = _least_squares(generators.T, -unit)
    for nudge in NUDGES:
        if _is_projection(generators, unit, solution):
            break
        # SciPy's multipliers may be wrong where the direction lies on a wall (scipy/scipy, issue 25389): aim beside it.
        solution = _least_squares(generators.T, -unit - nudge * np.cos(np.arange(1.0, unit.size + 1.0) ** 2))
    return np.asarray(solution * size)


def _least_squares(matrix: Array, target: Array) -> Array:
    """Non-negative least squares; zeros if the active-set method does not converge."""
    try:
        return np.asarray(nnls(matrix, target, maxiter=max(200, 10 * matrix.shape[1]))[0])
    except RuntimeError:
        return np.zeros(matrix.shape[1])


def _is_projection(generators: Array, direction: Array, multipliers: Array) -> bool:
    """Whether g + K' lam lies in the cone and is orthogonal to K' lam, up to ``CLOSE``."""
    step = generators.T @ multipliers
    inside = direction + step
    scale = CLOSE * float(np.linalg.norm(direction))
    reach = np.linalg.norm(generators, axis=1)
    return bool(np.all(generators @ inside >= -scale * reach)) and abs(float(inside @ step)) <= scale


def _equality_polish(generators: Array, direction: Array, free: NDArray[np.bool_], start: Array) -> Array:
    """Re-solve on the support of `start` with the free coordinates exactly zero; keep it if non-negative."""
    support = np.flatnonzero(start > 0.0)
    if support.size == 0:
        return start
    block, count = generators[support], int(free.sum())
    kkt = np.zeros((support.size + count, support.size + count))
    kkt[: support.size, : support.size] = block[:, ~free] @ block[:, ~free].T
    kkt[: support.size, support.size :] = block[:, free]
    kkt[support.size :, : support.size] = block[:, free].T
    right = np.concatenate([-block[:, ~free] @ direction[~free], -direction[free]])
    solution = np.linalg.lstsq(kkt, right, rcond=None)[0][: support.size]
    if np.any(solution < 0.0) or not np.all(np.isfinite(solution)):
        return start
    polished = np.zeros_like(start)
    polished[support] = solution
    return polished


def project(normals: Array, signs: NDArray[np.bool_], direction: Array) -> Array:
    """Euclidean projection of one direction on one cone; signs (H,), direction (p,), result (p,)."""
    generators = np.where(signs, 1.0, -1.0)[:, None] * normals
    return direction + generators.T @ polar_multipliers(generators, direction)
