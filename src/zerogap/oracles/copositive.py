r"""A convex bound of cone-constrained principal components, where faces are too many to look at.

For u in {K u >= 0} and a symmetric N >= 0, entry by entry, u' K' N K u >= 0. So

    max { u' M u : K u >= 0, u' W u <= 1 } <= the least t with t W - M - K' N K positive semidefinite,

W a positive diagonal matrix. The best N solves a semidefinite program, the dual of the doubly non-negative relaxation
(P1, relaxations). Any N is good for a bound; the solver's is checked by a Cholesky factor.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap.rounding import SUBNORMAL, gamma
from zerogap.spectral import eigenvalue_above

Array = NDArray[np.float64]


def doubly_nonnegative_bound(
    lower: Array, generators: Array, weights: Array | None = None, *, tol: float = 1e-9
) -> tuple[float, Array]:
    """An upper bound of max ||L' u|| over the cone and u' W u <= 1, and a direction that it suggests.

    Parameters
    ----------
    lower : (p, r) float64
        L, exact.
    generators : (m, p) float64
        K: unit rows, each entry correct to a few roundings.
    weights : (p,) float64, optional
        The diagonal of W, at most 1; default ones.
    tol : float
        Of the solver.

    Returns
    -------
    upper : float
    direction : (p,) float64
    """
    p, power = lower.shape[0], int(np.frexp(np.abs(lower).max(initial=0.0))[1])
    # A power of two first, so that no square under- or overflows.
    lower = np.ldexp(lower, -power)
    scale = float(np.linalg.norm(lower))
    unit = lower / max(scale, 1e-300)
    matrix = unit @ unit.T
    first, second = np.triu_indices(generators.shape[0], 1)
    weights = np.ones(p) if weights is None else weights
    multipliers, direction = _solved(matrix, generators, weights, first, second, tol)
    nonnegative = np.maximum(multipliers, 0.0)
    products = np.zeros((generators.shape[0],) * 2)
    products[first, second] = products[second, first] = 0.5 * nonnegative
    shifted = matrix + generators.T @ products @ generators
    # M to p + r roundings of a matrix of trace 1, and the other term to those of K, N and the products.
    magnitude = float(products.sum())
    error = gamma(lower.shape[1] + 8) + gamma(2 * generators.shape[0] + 8 * p + 40) * p * magnitude + SUBNORMAL
    # t W - S >= 0 if t bounds the eigenvalues of W^{-1/2} S W^{-1/2}.
    root = np.sqrt(weights)
    scaled = [0.5 * (part + part.T) / np.outer(root, root) for part in (shifted, matrix)]
    least = float(weights.min())
    error = (error + gamma(8) * (1.0 + magnitude)) / least * (1.0 + gamma(4))
    upper = min(eigenvalue_above(part, error) for part in scaled)
    return float(np.ldexp(np.sqrt(upper) * scale * (1.0 + 1e-14), power)) + SUBNORMAL, direction


def _solved(
    matrix: Array, generators: Array, weights: Array, first: NDArray[np.intp], second: NDArray[np.intp], tol: float
) -> tuple[Array, Array]:
    """N above the diagonal (counted twice) and the leading direction of the relaxation's matrix; zeros on failure."""
    import clarabel

    p = matrix.shape[0]
    rows, columns = np.triu_indices(p)
    order = np.lexsort((rows, columns))
    rows, columns = rows[order], columns[order]
    double = np.where(rows == columns, 1.0, np.sqrt(2.0))
    pairs = generators[first][:, rows] * generators[second][:, columns]
    pairs += generators[second][:, rows] * generators[first][:, columns]
    count = first.size
    # minimise t with t W - M - sum_hk N_hk (K_h K_k' + K_k K_h') / 2 positive semidefinite and N >= 0
    top = np.column_stack([np.where(rows == columns, -weights[rows], 0.0), 0.5 * (pairs * double).T])
    constraints = sp.csc_array(np.concatenate([top, -np.eye(count, count + 1, 1)]))
    right = np.concatenate([-double * matrix[rows, columns], np.zeros(count)])
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
    relaxed[rows, columns] = relaxed[columns, rows] = z / double
    return x[1:], np.linalg.eigh(relaxed)[1][:, -1]
