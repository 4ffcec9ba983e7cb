r"""Compiled loops over smoothed ReLU features, for ``zerogap.training.sliding``.

(t)_+ becomes a parabola where |t| < e, with e = width ||m|| size for a row m and a neuron of that smoothed gauge:

    value = e a^2  if a < 1, else t,     a = clip(1/2 + t / (2 e), 0, 1),
    derivative in t = a,     derivative in e = a (1 - a),     second derivative in t = 1 / (2 e) where 0 < a < 1.

Throughout, `planes` (K, p, n) are the rows, position by position, so that all loops run over samples; `lengths` (K, n)
are theirs; `blocks` (m, p), `sizes` (m,) and `signs` (m,) the neurons.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SMALLEST = 1e-300
"""Widths are kept above, so that width 0 gives the ReLU itself."""


@njit(cache=True, nogil=True, fastmath=True)
def combine(weights, vectors, found):
    """found = weights (p,) @ vectors (p, n), four at a time: the loop is bound by memory."""
    p, n = weights.size, found.size
    first = weights[0]
    for i in range(n):
        found[i] = first * vectors[0, i]
    k = 1
    while k + 3 < p:
        a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for i in range(n):
            found[i] += a * vectors[k, i] + b * vectors[k + 1, i] + c * vectors[k + 2, i] + d * vectors[k + 3, i]
        k += 4
    while k < p:
        a = weights[k]
        for i in range(n):
            found[i] += a * vectors[k, i]
        k += 1


@njit(cache=True, nogil=True, fastmath=True)
def outputs(planes, lengths, width, blocks, sizes, signs):
    """Sum of the features over neurons and positions, (n,)."""
    positions, _, n = planes.shape
    found, values = np.zeros(n), np.empty(n)
    for j in range(sizes.size):
        sign, reach = signs[j], width * sizes[j]
        for position in range(positions):
            combine(blocks[j], planes[position], values)
            for i in range(n):
                e = max(reach * lengths[position, i], SMALLEST)
                share = min(max(0.5 + 0.5 * values[i] / e, 0.0), 1.0)
                found[i] += sign * (share * share * e if share < 1.0 else values[i])
    return found


@njit(cache=True, nogil=True, fastmath=True)
def pulls(planes, lengths, width, blocks, sizes, residual):
    """Gradients of r . phi in the block, (m, p), and in its size, (m,), for every neuron; `residual` (n,)."""
    positions, p, n = planes.shape
    m = sizes.size
    values, along, across = np.empty(n), np.zeros((m, p)), np.zeros(m)
    for j in range(m):
        reach = width * sizes[j]
        for position in range(positions):
            combine(blocks[j], planes[position], values)
            widening = 0.0
            for i in range(n):
                e = max(reach * lengths[position, i], SMALLEST)
                share = min(max(0.5 + 0.5 * values[i] / e, 0.0), 1.0)
                widening += share * (1.0 - share) * lengths[position, i] * residual[i]
                values[i] = share * residual[i]
            across[j] += width * widening
            for k in range(p):
                total = 0.0
                for i in range(n):
                    total += values[i] * planes[position, k, i]
                along[j, k] += total
    return along, across


@njit(cache=True, nogil=True, fastmath=True)
def curvatures(planes, lengths, width, blocks, sizes, signs, residual, root, penalised, beta, damping, images):
    """Factors of the curvature of a level, B + J' diag(root)^2 J.

    B_j is that of neuron j alone: its ridges, the second derivatives of -r . phi where they are positive, and its
    gauge, with the share `damping` added.

    Parameters
    ----------
    residual, root : (n,)
        The residual, and the root of the curvature of the loss, both times the readout weight of the rows.
    images : (m, p, n)
        Overwritten with R_j J_j' diag(root).

    Returns
    -------
    (m, p, p)
        Lower triangular R_j with R_j' R_j = B_j^-1.
    """
    positions, p, n = planes.shape
    m = sizes.size
    roots = np.zeros((m, p, p))
    values, widening, jacobian, image = np.empty(n), np.empty(n), np.empty((p, n)), np.empty(n)
    factor, slope, inside = np.empty((p, p)), np.empty(p), np.empty(n, np.int64)
    for j in range(m):
        sign, reach = signs[j], width * sizes[j]
        jacobian[:] = 0.0
        widening[:] = 0.0
        for k in range(p):
            slope[k] = penalised[k] * blocks[j, k] / sizes[j]
            for q in range(k + 1):
                factor[k, q] = -beta * slope[k] * slope[q] / sizes[j]
            factor[k, k] += beta * (penalised[k] + damping) / sizes[j]
        for position in range(positions):
            combine(blocks[j], planes[position], values)
            for i in range(n):
                e = max(reach * lengths[position, i], SMALLEST)
                values[i] = min(max(0.5 + 0.5 * values[i] / e, 0.0), 1.0)
            for i in range(n):
                widening[i] += width * values[i] * (1.0 - values[i]) * lengths[position, i]
            for k in range(p):
                for i in range(n):
                    jacobian[k, i] += values[i] * planes[position, k, i]
            count = 0
            for i in range(n):
                inside[count] = i
                count += (values[i] > 0.0) & (values[i] < 1.0) & (residual[i] * sign < 0.0)
            for i in inside[:count]:
                ridge = -0.5 * residual[i] * sign / max(reach * lengths[position, i], SMALLEST)
                for k in range(p):
                    for q in range(k + 1):
                        factor[k, q] += ridge * planes[position, k, i] * planes[position, q, i]
        # The width grows with the gauge.
        for k in range(p):
            for i in range(n):
                jacobian[k, i] = sign * root[i] * (jacobian[k, i] + slope[k] * widening[i])
        _invert_root(factor, roots[j])
        for q in range(p):
            combine(roots[j, q, : q + 1], jacobian, image)
            for i in range(n):
                images[j, q, i] = image[i]
    return roots


@njit(cache=True, nogil=True)
def _invert_root(matrix, inverse):
    """`inverse` = L^-1 for the Cholesky factor L of a matrix, of which the lower half is given and overwritten."""
    p = matrix.shape[0]
    for k in range(p):
        for q in range(k + 1):
            total = matrix[k, q]
            for i in range(q):
                total -= matrix[k, i] * matrix[q, i]
            matrix[k, q] = total / matrix[q, q] if q < k else np.sqrt(max(total, SMALLEST))
    for q in range(p):
        inverse[q, q] = 1.0 / matrix[q, q]
        for k in range(q + 1, p):
            total = 0.0
            for i in range(q, k):
                total -= matrix[k, i] * inverse[i, q]
            inverse[k, q] = total / matrix[k, k]
