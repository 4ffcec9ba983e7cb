"""Many second-order cones at once, with Nesterov-Todd scaling.

The gauge term beta * ||v|| of a block is beta * t with (t, v) in the second-order cone Q; its dual
variable is z = (beta, z1), ||z1|| <= beta. Notation and formulas follow the symmetric-cone literature
(Vandenberghe, "The CVXOPT linear and quadratic cone program solvers", 2010): W = eta (2 v v' - J) is the
scaling with W z = W^{-1} s = lambda, J = diag(1, -1, ..., -1), and w = W e / eta. Every array has one column
per cone, entry 0 first, so that the innermost loops run over cones. They are compiled: as array expressions they
cost three times as much on a hundred cones of five entries, nearly all of it overhead.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


def central_heights(lengths: Array, beta: float, mu: float) -> Array:
    """t with (t, v) o (beta, z1) = mu e for some z1, given ||v||: beta (t^2 - ||v||^2) = mu t."""
    return np.asarray((mu + np.sqrt(mu * mu + (2.0 * beta * lengths) ** 2)) / (2.0 * beta))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def determinants(x):
    """x0^2 - ||x1||^2, factored so that it keeps its sign near the boundary; (m,)."""
    length = np.zeros(x.shape[1])
    for j in range(1, x.shape[0]):
        for i in range(length.size):
            length[i] += x[j, i] * x[j, i]
    for i in range(length.size):
        root = np.sqrt(length[i])
        length[i] = (x[0, i] - root) * (x[0, i] + root)
    return length


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def scaled(t, v, z, beta, kept):
    """The cones of the points (t, E v) and (beta, z), and their scaling.

    Parameters
    ----------
    t : (m,), v : (p, m), z : (q, m) float64
    beta : float
    kept : (q,) intp
        The coordinates that E keeps.

    Returns
    -------
    primal, dual : (1 + q, m), their determinants (m,) each, eta (m,), w and lambda (1 + q, m)
    """
    m, width = t.size, kept.size + 1
    s, d = np.empty((width, m)), np.empty((width, m))
    for i in range(m):
        s[0, i], d[0, i] = t[i], beta
    for j in range(1, width):
        for i in range(m):
            s[j, i], d[j, i] = v[kept[j - 1], i], z[j - 1, i]
    size_s, size_d = determinants(s), determinants(d)
    eta, w = np.empty(m), np.empty((width, m))
    by_s, by_d, half = np.empty(m), np.empty(m), np.zeros(m)
    for i in range(m):
        by_s[i], by_d[i] = 1.0 / np.sqrt(max(size_s[i], 1e-300)), 1.0 / np.sqrt(max(size_d[i], 1e-300))
        eta[i] = np.sqrt(by_d[i] / by_s[i])
    for j in range(width):
        for i in range(m):
            half[i] += (s[j, i] * by_s[i]) * (d[j, i] * by_d[i])
    for i in range(m):
        half[i] = 0.5 / np.sqrt(0.5 * (1.0 + half[i]))
    # The first entry of s / root_s + J z / root_z, in the form that makes the determinant 1 exactly.
    for i in range(m):
        w[0, i] = 1.0
    for j in range(1, width):
        for i in range(m):
            w[j, i] = (s[j, i] * by_s[i] - d[j, i] * by_d[i]) * half[i]
            w[0, i] += w[j, i] * w[j, i]
    for i in range(m):
        w[0, i] = np.sqrt(w[0, i])
    point = _reflect(w, d, 1.0)
    for j in range(width):
        for i in range(m):
            point[j, i] *= eta[i]
    return s, d, size_s, size_d, eta, w, point


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _reflect(w, x, sign):
    """W x / eta for sign = 1, eta W^{-1} x for sign = -1."""
    width, m = w.shape
    result, along = np.empty((width, m)), np.zeros(m)
    for j in range(1, width):
        for i in range(m):
            along[i] += w[j, i] * x[j, i]
    for i in range(m):
        result[0, i] = w[0, i] * x[0, i] + sign * along[i]
        along[i] = sign * x[0, i] + along[i] / (1.0 + w[0, i])
    for j in range(1, width):
        for i in range(m):
            result[j, i] = x[j, i] + along[i] * w[j, i]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _products(w, primal, dual):
    """The Jordan products (W^{-1} ds) o (W dz), second-order terms of the complementarity; (1 + q, m)."""
    width, m = w.shape
    a, b = _reflect(w, primal, -1.0), _reflect(w, dual, 1.0)
    result = np.empty((width, m))
    for i in range(m):
        result[0, i] = a[0, i] * b[0, i]
    for j in range(1, width):
        for i in range(m):
            result[0, i] += a[j, i] * b[j, i]
            result[j, i] = a[0, i] * b[j, i] + b[0, i] * a[j, i]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _right_side(share, pull, z, constant, kept, pushed, polar):
    """share (pull + E' z) + E' constant + pushed - polar, (p, m); the last two may have no rows."""
    result = np.empty_like(pull)
    for a in range(pull.shape[0]):
        for i in range(pull.shape[1]):
            result[a, i] = share * pull[a, i]
        if pushed.shape[0]:
            for i in range(pull.shape[1]):
                result[a, i] += pushed[a, i]
        if polar.shape[0]:
            for i in range(pull.shape[1]):
                result[a, i] -= polar[a, i]
    for j in range(kept.size):
        a = kept[j]
        for i in range(pull.shape[1]):
            result[a, i] += share * z[j, i] + constant[j, i]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def eliminated(eta, w, point, mu, primal, dual, share, pull, z, kept, pushed, polar):
    """Constants of dz = constant - hessian dv and dt = head + ratio . dv that aim at complementarity `mu`.

    They solve lambda o (W^{-1} ds + W dz) = mu e - lambda o lambda - (W^{-1} ds') o (W dz') with dz_0 = 0, where
    ds' and dz' are the predicted directions `primal` and `dual`, or have no columns. Shapes (q, m), (m,).

    With them the right-hand side A'r + K' aim + E'(z + constant), less the share of A'r + K'l + E'z that is to remain,
    for the blocks, (p, m); `pull` is A'r + K'l, `pushed` K' aim and `polar` K'l (which both may have no rows).
    """
    width, m = w.shape
    constant, head = np.empty((width - 1, m)), np.empty(m)
    remove, square, along = np.empty((width, m)), np.zeros(m), np.empty(m)
    for j in range(1, width):
        for i in range(m):
            square[i] += point[j, i] * point[j, i]
            remove[j, i] = 2.0 * point[0, i] * point[j, i]
    for i in range(m):
        remove[0, i] = point[0, i] * point[0, i] + square[i] - mu
    if primal.shape[1]:
        corrections = _products(w, primal, dual)
        for j in range(width):
            for i in range(m):
                remove[j, i] += corrections[j, i]
    for i in range(m):
        along[i] = point[0, i] * remove[0, i]
    for j in range(1, width):
        for i in range(m):
            along[i] -= point[j, i] * remove[j, i]
    for i in range(m):
        length = np.sqrt(square[i])
        remove[0, i] = along[i] / ((point[0, i] - length) * (point[0, i] + length))
    for j in range(1, width):
        for i in range(m):
            remove[j, i] = (remove[j, i] - remove[0, i] * point[j, i]) / point[0, i]
    target = _reflect(w, remove, -1.0)
    for i in range(m):
        head[i] = -target[0, i] * eta[i] / (2.0 * w[0, i] * w[0, i] - 1.0)
        along[i] = 2.0 / (eta[i] * eta[i]) * w[0, i] * head[i]
    for j in range(1, width):
        for i in range(m):
            constant[j - 1, i] = -target[j, i] / eta[i] + along[i] * w[j, i]
    return constant, head, _right_side(share, pull, z, constant, kept, pushed, polar)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _shrinkage(x, size, direction):
    """The least 1 / step that keeps interior points x, of determinants `size`, in their cones (0: any step does)."""
    width, m = x.shape
    square, b = np.zeros(m), np.empty(m)
    for i in range(m):
        b[i] = x[0, i] * direction[0, i]
    for j in range(1, width):
        for i in range(m):
            square[i] += direction[j, i] * direction[j, i]
            b[i] -= x[j, i] * direction[j, i]
    shrink = 0.0
    for i in range(m):
        length = np.sqrt(square[i])
        a = (direction[0, i] - length) * (direction[0, i] + length)
        c = max(size[i], 1e-300)
        # The first positive root of a q^2 + 2 b q + c, in the form that does not cancel.
        inside = b[i] * b[i] - a * c
        if inside >= 0.0 and (a < 0.0 or b[i] < 0.0):
            shrink = max(shrink, (np.sqrt(inside) - b[i]) / c)
        shrink = max(shrink, -direction[0, i] / x[0, i])
    return shrink


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def directions(s, d, size_s, size_d, eta, w, constant, head, dv, kept):
    """(dt, E dv) and (0, dz), both (1 + q, m), that belong to dv (p, m), and the least 1 / step that both allow.

    The first arguments are results of ``scaled``, then of ``eliminated``.
    """
    width, m = w.shape
    primal, dual = np.empty((width, m)), np.empty((width, m))
    along = np.zeros(m)
    for j in range(1, width):
        for i in range(m):
            primal[j, i] = dv[kept[j - 1], i]
            along[i] += w[j, i] * primal[j, i]
    for i in range(m):
        along[i] *= 2.0 / (2.0 * w[0, i] * w[0, i] - 1.0)
        primal[0, i] = head[i] + w[0, i] * along[i]
        dual[0, i] = 0.0
    for j in range(1, width):
        for i in range(m):
            dual[j, i] = constant[j - 1, i] - (primal[j, i] - along[i] * w[j, i]) / (eta[i] * eta[i])
    return primal, dual, max(_shrinkage(s, size_s, primal), _shrinkage(d, size_d, dual))
