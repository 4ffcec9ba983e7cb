r"""Rigorous upper bounds of eigenvalues and singular values, for prices that are norms.

If a Cholesky factor of lambda I - H exists in floating point, the smallest eigenvalue of that matrix is above minus a
known multiple of its trace (Rump, "Verification of positive definiteness", 2006), so lambda plus that multiple bounds
the largest eigenvalue of H.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.rounding import SUBNORMAL, gamma

Array = NDArray[np.float64]


def eigenvalue_above(matrix: Array, error: float) -> float:
    """An upper bound of the largest eigenvalue of all symmetric matrices within `error` (spectral norm) of one.

    Parameters
    ----------
    matrix : (p, p) float64
        Symmetric, positive semidefinite up to rounding.
    error : float

    Returns
    -------
    float
        Infinite if nothing could be verified.
    """
    p = matrix.shape[0]
    if not np.isfinite(matrix).all():
        return np.inf
    largest = max(float(np.linalg.eigvalsh(matrix)[-1]), 0.0)
    trace = float(np.abs(np.diagonal(matrix)).sum())
    for slack in (1e-12, 1e-9, 1e-6, 1e-3, 1.0):
        level = largest * (1.0 + slack) + error + SUBNORMAL
        try:
            np.linalg.cholesky(level * np.eye(p) - matrix)
        except np.linalg.LinAlgError:
            continue
        return float(level + 2.0 * gamma(2 * p + 8) * (p * level + trace) + error)
    return np.inf


def singular_value_above(matrix: Array, error: float) -> float:
    """An upper bound of the largest singular value of every matrix within `error` (spectral norm) of one."""
    if 0 in matrix.shape:
        return error
    if not np.isfinite(matrix).all():
        return np.inf
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    scale = max(float(np.abs(tall).max()), 1e-300)
    tall = tall / scale
    rounding = 2.0 * gamma(tall.shape[0] + 4) * float(np.sum(tall * tall)) + SUBNORMAL
    value = float(np.sqrt(eigenvalue_above(tall.T @ tall, rounding)))
    return (value * scale + error) * (1.0 + 2.0 * gamma(8))


def weighted_gram(matrix: Array, weights: Array) -> tuple[Array, float]:
    """sum_s w_s sum_k m_sk m_sk', and a bound of its rounding error in the spectral norm.

    Parameters
    ----------
    matrix : (n, K, p) float64
    weights : (n,) float64, non-negative
    """
    n, count, p = matrix.shape
    flat = matrix.reshape(-1, p)
    scaled = flat * np.repeat(weights, count)[:, None]
    magnitude = float(np.sum(np.abs(scaled).sum(axis=1) * np.abs(flat).max(axis=1, initial=0.0)))
    return scaled.T @ flat, 2.0 * gamma(n * count + 8) * magnitude * p + SUBNORMAL
