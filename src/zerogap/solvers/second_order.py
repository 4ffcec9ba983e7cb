"""Many second-order cones at once, with Nesterov-Todd scaling.

The gauge term beta * ||v|| of a block is beta * t with (t, v) in the second-order cone Q; its dual
variable is z = (beta, z1), ||z1|| <= beta. Notation and formulas follow the symmetric-cone literature
(Vandenberghe, "The CVXOPT linear and quadratic cone program solvers", 2010): W = eta (2 v v' - J) is the
scaling with W z = W^{-1} s = lambda, J = diag(1, -1, ..., -1), and w = W e / eta. Every array has one row
per cone, entry 0 first. The loops are compiled: as array expressions they cost three times as much on a
hundred cones of five entries, nearly all of it overhead.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


def central_heights(lengths: Array, beta: float, mu: float) -> Array:
    """t with (t, v) o (beta, z1) = mu e for some z1, given ||v||: beta (t^2 - ||v||^2) = mu t."""
    return np.asarray((mu + np.sqrt(mu * mu + (2.0 * beta * lengths) ** 2)) / (2.0 * beta))


@njit(cache=True, error_model="numpy")
def determinants(x):
    """x0^2 - ||x1||^2, factored so that it keeps its sign near the boundary; (m,)."""
    result = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        square = 0.0
        for j in range(1, x.shape[1]):
            square += x[i, j] * x[i, j]
        length = np.sqrt(square)
        result[i] = (x[i, 0] - length) * (x[i, 0] + length)
    return result


@njit(cache=True, error_model="numpy")
def scaling(s, z, size_s, size_z):
    """eta (m,), w (m, 1 + q) and lambda (m, 1 + q) of interior points s, z with these determinants."""
    m, width = s.shape
    eta, w, point = np.empty(m), np.empty((m, width)), np.empty((m, width))
    for i in range(m):
        root_s, root_z = np.sqrt(max(size_s[i], 1e-300)), np.sqrt(max(size_z[i], 1e-300))
        along = 0.0
        for j in range(width):
            along += (s[i, j] / root_s) * (z[i, j] / root_z)
        half = np.sqrt(0.5 * (1.0 + along))
        square = 0.0
        for j in range(1, width):
            w[i, j] = (s[i, j] / root_s - z[i, j] / root_z) / (2.0 * half)
            square += w[i, j] * w[i, j]
        # The first entry of s / root_s + J z / root_z, in the form that makes the determinant 1 exactly.
        w[i, 0] = np.sqrt(1.0 + square)
        eta[i] = np.sqrt(root_s / root_z)
        _reflect(w[i], z[i], 1.0, point[i])
        for j in range(width):
            point[i, j] *= eta[i]
    return eta, w, point


@njit(cache=True, error_model="numpy")
def _reflect(w, x, sign, result):
    """W x / eta for sign = 1, eta W^{-1} x for sign = -1."""
    along = 0.0
    for j in range(1, w.size):
        along += w[j] * x[j]
    along *= sign
    factor = sign * (x[0] + along / (1.0 + w[0]))
    for j in range(1, w.size):
        result[j] = x[j] + factor * w[j]
    result[0] = w[0] * x[0] + along


@njit(cache=True, error_model="numpy")
def products(eta, w, primal, dual):
    """The Jordan products (W^{-1} ds) o (W dz), second-order terms of the complementarity; (m, 1 + q)."""
    m, width = w.shape
    result, a, b = np.empty((m, width)), np.empty(width), np.empty(width)
    for i in range(m):
        _reflect(w[i], primal[i], -1.0, a)
        _reflect(w[i], dual[i], 1.0, b)
        along = a[0] * b[0]
        for j in range(1, width):
            along += a[j] * b[j]
            result[i, j] = a[0] * b[j] + b[0] * a[j]
        result[i, 0] = along
    return result


@njit(cache=True, error_model="numpy")
def eliminated(eta, w, point, mu, corrections):
    """Constants of dz = constant - hessian dv and dt = head + ratio . dv that aim at complementarity `mu`.

    They solve lambda o (W^{-1} ds + W dz) = mu e - lambda o lambda - corrections with dz_0 = 0;
    `corrections` are the ``products``, or have no rows. Result (m, q), (m,).
    """
    m, width = w.shape
    constant, head = np.empty((m, width - 1)), np.empty(m)
    remove, target = np.empty(width), np.empty(width)
    for i in range(m):
        square, length = point[i, 0] * point[i, 0], 0.0
        for j in range(1, width):
            square += point[i, j] * point[i, j]
            length += point[i, j] * point[i, j]
            remove[j] = 2.0 * point[i, 0] * point[i, j]
        remove[0] = square
        if corrections.shape[0]:
            for j in range(width):
                remove[j] += corrections[i, j]
        remove[0] -= mu
        length = np.sqrt(length)
        along = point[i, 0] * remove[0]
        for j in range(1, width):
            along -= point[i, j] * remove[j]
        first = along / ((point[i, 0] - length) * (point[i, 0] + length))
        for j in range(1, width):
            remove[j] = (remove[j] - first * point[i, j]) / point[i, 0]
        remove[0] = first
        _reflect(w[i], remove, -1.0, target)
        inverse = 1.0 / (eta[i] * eta[i])
        head[i] = -target[0] / eta[i] / (inverse * (2.0 * w[i, 0] * w[i, 0] - 1.0))
        for j in range(1, width):
            constant[i, j - 1] = -target[j] / eta[i] + 2.0 * inverse * w[i, 0] * w[i, j] * head[i]
    return constant, head


@njit(cache=True, error_model="numpy")
def directions(eta, w, constant, head, dv, kept):
    """(dt, E dv) and (0, dz), both (m, 1 + q), that belong to dv (m, p); `kept` are the penalised coordinates."""
    m, width = w.shape
    primal, dual = np.empty((m, width)), np.empty((m, width))
    for i in range(m):
        inverse = 1.0 / (eta[i] * eta[i])
        corner = 2.0 * w[i, 0] * w[i, 0] - 1.0
        along = 0.0
        for j in range(1, width):
            primal[i, j] = dv[i, kept[j - 1]]
            along += w[i, j] * primal[i, j]
        primal[i, 0] = head[i] + 2.0 * w[i, 0] / corner * along
        dual[i, 0] = 0.0
        for j in range(1, width):
            dual[i, j] = constant[i, j - 1] - inverse * (primal[i, j] - 2.0 / corner * along * w[i, j])
    return primal, dual


@njit(cache=True, error_model="numpy")
def shrinkage(x, size, direction):
    """The least 1 / step that keeps interior points x, of determinants `size`, in their cones (0: any step does)."""
    shrink = 0.0
    for i in range(x.shape[0]):
        square, b = 0.0, x[i, 0] * direction[i, 0]
        for j in range(1, x.shape[1]):
            square += direction[i, j] * direction[i, j]
            b -= x[i, j] * direction[i, j]
        length = np.sqrt(square)
        a = (direction[i, 0] - length) * (direction[i, 0] + length)
        c = max(size[i], 1e-300)
        # The first positive root of a q^2 + 2 b q + c, in the form that does not cancel.
        inside = b * b - a * c
        if inside >= 0.0 and (a < 0.0 or b < 0.0):
            shrink = max(shrink, (np.sqrt(inside) - b) / c)
        shrink = max(shrink, -direction[i, 0] / x[i, 0])
    return shrink
