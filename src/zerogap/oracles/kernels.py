r"""Compiled local ascent of  g(u) = sum_j a_j (m_j . u)_+,  rows m_j and signed coefficients a_j.

Nothing here decides what an answer is worth; see ``zerogap.oracles.search``.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def ascend(columns, coefficients, starts, q, widths, steps):
    """Ascent of g over ||(u_1 .. u_q)|| = 1 from every start, with kinks smoothed over ever smaller widths.

    A negative coefficient makes a concave kink, a ridge: a gradient step from either side ends on the other, and
    plain ascent stops there, far from any maximum. Smoothed, the ridge can be climbed. In place; returns the true
    values. `columns` (p, N) are the transposed rows, of length one.
    """
    count, p = starts.shape
    values, active = np.empty(count), np.empty(columns.shape[1])
    gradient, trial_gradient, trial, u = np.empty(p), np.empty(p), np.empty(p), np.empty(p)
    for s in range(count):
        u[:] = starts[s]
        values[s] = _gradient(columns, coefficients, u, 0.0, gradient, active)
        for width in widths:
            value = _gradient(columns, coefficients, u, width, gradient, active)
            step = min(0.5, 3.0 * width)
            for _ in range(steps):
                along, square, tangent, length = 0.0, 0.0, 0.0, 0.0
                for k in range(p):
                    along += gradient[k] * u[k] if k < q else 0.0
                    square += gradient[k] * gradient[k]
                for k in range(p):
                    trial[k] = gradient[k] - (along * u[k] if k < q else 0.0)
                    tangent += trial[k] * trial[k]
                if tangent <= 1e-24 * square:
                    break
                for k in range(p):
                    trial[k] = u[k] + step * trial[k] / np.sqrt(tangent)
                    length += trial[k] * trial[k] if k < q else 0.0
                length = np.sqrt(length)
                for k in range(p):
                    trial[k] /= length
                found = _gradient(columns, coefficients, trial, width, trial_gradient, active)
                if found > value:
                    value = found
                    u[:] = trial
                    gradient[:] = trial_gradient
                    step = min(1.5 * step, 0.5)
                else:
                    step *= 0.4
                    if step < 0.02 * width:
                        break
        value = _gradient(columns, coefficients, u, 0.0, gradient, active)
        if value > values[s]:
            values[s] = value
            starts[s] = u
    return values


@njit(cache=True, nogil=True, fastmath=True)
def _gradient(columns, coefficients, u, width, gradient, active):
    """g(u), each ReLU replaced by a parabola within `width` of its kink; the gradient goes to `gradient`.

    Without branches, which random signs would mispredict half of the time.
    """
    p, count = columns.shape
    for j in range(count):
        active[j] = u[0] * columns[0, j]
    for k in range(1, p):
        for j in range(count):
            active[j] += u[k] * columns[k, j]
    value, slope = 0.0, 0.5 / max(width, 1e-150)
    for j in range(count):
        share = min(max(0.5 + slope * active[j], 0.0), 1.0)
        value += coefficients[j] * (share * share * width if share < 1.0 else active[j])
        active[j] = coefficients[j] * share
    for k in range(p):
        total = 0.0
        for j in range(count):
            total += active[j] * columns[k, j]
        gradient[k] = total
    return value
