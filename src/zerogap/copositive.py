r"""A convex bound of cone-constrained principal components, where faces are too many to look at.

For u in {K u >= 0} and a symmetric N >= 0, entry by entry, u' K' N K u >= 0. So

    max { u' M u : K u >= 0, ||u|| <= 1 } <= largest eigenvalue of M + K' N K,

and the best N solves a semidefinite program, the dual of the doubly non-negative relaxation (P1, relaxations). Any N is
good for a bound; the solver's is checked by a Cholesky factor.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap.rounding import SUBNORMAL, gamma
from zerogap.spectral import eigenvalue_above

Array = NDArray[np.float64]


def doubly_nonnegative_bound(lower: Array, generators: Array, *, tol: float = 1e-9) -> tuple[float, Array]:
    """An upper bound of max ||L' u|| over the cone and the unit ball, and a direction that it suggests.

    Parameters
    ----------
    lower : (p, r) float64
        L, exact.
    generators : (m, p) float64
        K: unit rows, each entry correct to a few roundings.
    tol : float
        Of the solver.

    Returns
    -------
    upper : float
    direction : (p,) float64
    """
    p, scale = lower.shape[0], float(np.linalg.norm(lower))
    unit = lower / max(scale, 1e-300)
    matrix = unit @ unit.T
    first, second = np.triu_indices(generators.shape[0], 1)
    multipliers, direction = _solved(matrix, generators, first, second, tol)
    nonnegative = np.maximum(multipliers, 0.0)
    products = np.zeros((generators.shape[0],) * 2)
    products[first, second] = products[second, first] = 0.5 * nonnegative
    shifted = matrix + generators.T @ products @ generators
    # M to p + r roundings of a matrix of trace 1, and the other term to those of K, N and the products.
    magnitude = float(products.sum())
    error = gamma(lower.shape[1] + 8) + gamma(2 * generators.shape[0] + 8 * p + 40) * p * magnitude + SUBNORMAL
    upper = min(eigenvalue_above(0.5 * (shifted + shifted.T), error), eigenvalue_above(matrix, error))
    return float(np.sqrt(upper)) * scale * (1.0 + 1e-14), direction


def _solved(
    matrix: Array, generators: Array, first: NDArray[np.intp], second: NDArray[np.intp], tol: float
) -> tuple[Array, Array]:
    """N above the diagonal (counted twice) and the leading direction of the relaxation's matrix; zeros on failure."""
    import clarabel

    p = matrix.shape[0]
    rows, columns = np.triu_indices(p)
    order = np.lexsort((rows, columns))
    rows, columns = rows[order], columns[order]
    weight = np.where(rows == columns, 1.0, np.sqrt(2.0))
    pairs = generators[first][:, rows] * generators[second][:, columns]
    pairs += generators[second][:, rows] * generators[first][:, columns]
    count = first.size
    # minimise t with t I - M - sum_hk N_hk (K_h K_k' + K_k K_h') / 2 positive semidefinite and N >= 0
    top = np.column_stack([-weight * (rows == columns), 0.5 * (pairs * weight).T])
    constraints = sp.csc_array(np.concatenate([top, -np.eye(count, count + 1, 1)]))
    right = np.concatenate([-weight * matrix[rows, columns], np.zeros(count)])
    cost = np.append(1.0, np.zeros(count))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = tol
    cones = [clarabel.PSDTriangleConeT(p), clarabel.NonnegativeConeT(count)]
    empty = sp.csc_array((count + 1, count + 1))
    solution = clarabel.DefaultSolver(empty, cost, constraints, right, cones, settings).solve()
    x, z = np.array(solution.x), np.array(solution.z)[: rows.size]
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        return np.zeros(count), np.zeros(p)
    relaxed = np.zeros((p, p))
    relaxed[rows, columns] = relaxed[columns, rows] = z / weight
    return x[1:], np.linalg.eigh(relaxed)[1][:, -1]
