r"""Shrinkage: what the decay does to one singular value, and to one vector in a metric.

huber(s, beta) = min_t 1/2 (t - s)^2 + beta |t|,                               attained at t = (s - beta)_+
shrunk(t, H, beta) = argmin_f 1/2 ||f - t||^2 + beta sqrt(f'H f)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]


def huber(s: ArrayLike, beta: float) -> Array:
    """h(s) = s^2 / 2 for s <= beta, and beta s - beta^2 / 2 above; entry by entry, for s >= 0.

    The closed-form optimum is sum_k h(sigma_k) over singular values (P1, P4).
    """
    values = np.asarray(s, dtype=np.float64)
    clipped = np.minimum(values, beta)
    return np.asarray(clipped * (values - 0.5 * clipped))


def shrunk(target: Array, metric: Array, beta: float) -> tuple[Array, Array]:
    """f = argmin_f 1/2 ||f - t||^2 + beta sqrt(f'H f), and t - f without cancellation.

    With H = Q diag(l) Q' and t = Q s it is f = Q (nu s / (nu + l)), where nu >= 0 solves
    sum_i l_i s_i^2 / (nu + l_i)^2 = beta^2; and 0 if t'H^{-1}t <= beta^2. The left side decreases in nu.
    If H has no positive entry off its diagonal and t >= 0, then f >= 0: I + H / nu is an M-matrix.

    Parameters
    ----------
    target : (n,) float64
        t.
    metric : (n, n) float64
        H, positive definite.
    beta : float
    """
    levels, vectors = np.linalg.eigh(metric)
    coordinates = vectors.T @ target
    weighted = np.sqrt(levels) * coordinates

    def excess(nu: float) -> float:
        return float(np.linalg.norm(weighted / (nu + levels))) / beta - 1.0

    if excess(0.0) <= 0.0:
        return np.zeros_like(target), target.copy()
    # The left side is at most ||weighted|| / nu.
    above = 2.0 * float(np.linalg.norm(weighted)) / beta
    tolerance = 4.0 * float(np.finfo(np.float64).eps)
    nu = float(brentq(excess, 0.0, above, xtol=tolerance * float(levels[0]), rtol=tolerance, maxiter=1000))
    return vectors @ (nu * coordinates / (nu + levels)), vectors @ (levels * coordinates / (nu + levels))
