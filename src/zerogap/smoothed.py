r"""Compiled loops over smoothed ReLU features, for ``zerogap.sliding``.

(t)_+ becomes a parabola where |t| < e, with e = width ||m|| size for a row m and a neuron of that smoothed gauge:

    value = e a^2  if a < 1, else t,     a = clip(1/2 + t / (2 e), 0, 1),
    derivative in t = a,     derivative in e = a (1 - a),     second derivative in t = 1 / (2 e) where 0 < a < 1.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=True)
def features(rows, reaches, samples, columns, sizes):
    """Sums over the rows of each sample, (n, m); `reaches` (N,) = width ||m||, `columns` (p, m) the neurons."""
    (count, p), m = rows.shape, sizes.size
    found, values = np.zeros((samples, m)), np.empty(m)
    each = count // samples
    for i in range(count):
        for j in range(m):
            values[j] = rows[i, 0] * columns[0, j]
        for k in range(1, p):
            for j in range(m):
                values[j] += rows[i, k] * columns[k, j]
        s = i // each
        for j in range(m):
            e = max(reaches[i] * sizes[j], 1e-300)
            share = min(max(0.5 + 0.5 * values[j] / e, 0.0), 1.0)
            found[s, j] += share * share * e if share < 1.0 else values[j]
    return found


@njit(cache=True, nogil=True)
def derivatives(rows, reaches, samples, columns, sizes, residual, signs):
    """What a Newton step needs.

    Returns
    -------
    jacobian : (m, n, p)
        Active rows, summed over each sample.
    widening : (m, n)
        Derivative in the size of the neuron.
    ridges : (m, p, p)
        Second derivatives where they are positive, for the pull `residual` (n,) times `signs` (m,).
    """
    (count, p), m = rows.shape, sizes.size
    jacobian, widening, ridges = np.zeros((m, samples, p)), np.zeros((m, samples)), np.zeros((m, p, p))
    each = count // samples
    for i in range(count):
        s = i // each
        for j in range(m):
            value = 0.0
            for k in range(p):
                value += rows[i, k] * columns[k, j]
            e = max(reaches[i] * sizes[j], 1e-300)
            share = 0.5 + 0.5 * value / e
            if share <= 0.0:
                continue
            if share >= 1.0:
                for k in range(p):
                    jacobian[j, s, k] += rows[i, k]
                continue
            for k in range(p):
                jacobian[j, s, k] += share * rows[i, k]
            widening[j, s] += share * (1.0 - share) * reaches[i]
            pull = -residual[s] * signs[j]
            if pull > 0.0:
                curvature = 0.5 * pull / e
                for k in range(p):
                    for q in range(k + 1):
                        ridges[j, k, q] += curvature * rows[i, k] * rows[i, q]
    for j in range(m):
        for k in range(p):
            for q in range(k):
                ridges[j, q, k] = ridges[j, k, q]
    return jacobian, widening, ridges
