r"""Compiled local ascent of  g(u) = sum_j a_j (m_j . u)_+,  rows m_j and signed coefficients a_j.

Nothing here decides what an answer is worth; see ``zerogap.oracles.search``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 120_000
"""Pre-activations that are computed together: they stay in the cache between the two products."""


@njit(cache=True, nogil=True)
def ascend(columns, coefficients, starts, q, widths, steps):
    """Ascent of g over ||(u_1 .. u_q)|| = 1 from every start, with kinks smoothed over ever smaller widths.

    A negative coefficient makes a concave kink, a ridge: a gradient step from either side ends on the other, and
    plain ascent stops there, far from any maximum. Smoothed, the ridge can be climbed. In place; returns the true
    values, up to the precision of `columns` (p, N), the transposed rows, of length one.

    Starts climb side by side, each with a step of its own, so that pre-activations are products of matrices.
    """
    count, rows = starts.shape[0], np.ascontiguousarray(columns.T)
    values = np.empty(count)
    most = max(1, BLOCK // max(1, columns.shape[1]))
    for first in range(0, count, most):
        last = min(first + most, count)
        points = starts[first:last].astype(columns.dtype)
        before = _gradients(columns, rows, coefficients, points, 0.0)[0]
        for width in widths:
            _climb(columns, rows, coefficients, points, q, width, steps)
        after = _gradients(columns, rows, coefficients, points, 0.0)[0]
        for s in range(last - first):
            values[first + s] = before[s]
            if after[s] > before[s]:
                values[first + s] = after[s]
                starts[first + s] = points[s]
    return values


@njit(cache=True, nogil=True)
def _climb(columns, rows, coefficients, points, q, width, steps):
    """At most so many steps of all points (B, p) at one width, in place; those that have come to rest drop out."""
    count, p = points.shape
    values, gradients = _gradients(columns, rows, coefficients, points, width)
    lengths = np.full(count, min(0.5, 3.0 * width))
    moving, trials = np.arange(count), np.empty((count, p), dtype=points.dtype)
    for _ in range(steps):
        left = 0
        for s in moving:
            along, square, tangent, length = 0.0, 0.0, 0.0, 0.0
            for k in range(p):
                along += gradients[s, k] * points[s, k] if k < q else 0.0
                square += gradients[s, k] * gradients[s, k]
            for k in range(p):
                trials[left, k] = gradients[s, k] - (along * points[s, k] if k < q else 0.0)
                tangent += trials[left, k] * trials[left, k]
            if tangent <= 1e-24 * square:
                continue
            for k in range(p):
                trials[left, k] = points[s, k] + lengths[s] * trials[left, k] / np.sqrt(tangent)
                length += trials[left, k] * trials[left, k] if k < q else 0.0
            for k in range(p):
                trials[left, k] /= np.sqrt(length)
            moving[left] = s
            left += 1
        moving = moving[:left]
        if left == 0:
            return
        found, slopes = _gradients(columns, rows, coefficients, trials[:left], width)
        left = 0
        for t in range(moving.size):
            s = moving[t]
            if found[t] > values[s]:
                values[s] = found[t]
                points[s] = trials[t]
                gradients[s] = slopes[t]
                lengths[s] = min(1.5 * lengths[s], 0.5)
            else:
                lengths[s] *= 0.4
                if lengths[s] < 0.02 * width:
                    continue
            moving[left] = s
            left += 1
        moving = moving[:left]


@njit(cache=True, nogil=True)
def _gradients(columns, rows, coefficients, points, width):
    """g (B,) and its gradients at the points (B, p), each ReLU a parabola within `width` of its kink."""
    active = np.dot(points, columns)
    values = _smoothed(active, coefficients, width)
    return values, np.dot(active, rows)


@njit(cache=True, nogil=True, fastmath=True)
def _smoothed(active, coefficients, width):
    """The sums g of pre-activations (B, N), which become the slopes of its terms.

    Without branches, which random signs would mispredict half of the time.
    """
    values, slope = np.empty(active.shape[0]), active.dtype.type(0.5 / max(width, 1e-150))
    for s in range(active.shape[0]):
        value = 0.0
        for j in range(active.shape[1]):
            share = min(max(0.5 + slope * active[s, j], 0.0), 1.0)
            value += coefficients[j] * (share * share * width if share < 1.0 else active[s, j])
            active[s, j] = coefficients[j] * share
        values[s] = value
    return values
