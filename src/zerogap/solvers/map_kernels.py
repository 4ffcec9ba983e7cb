"""Compiled products with the maps of all cells, f = sum_i T_i u_i, and the sum of T_i L_i L_i' T_i'.

Maps are a matrix and an activity. With one row per sample T_i = D_i X, and they are X', (p, n), and D, (C, n): a
p-th of the numbers, and X' stays in the cache. Else the matrix holds the T_i' one below the other, (C p, n), and the
activity has no rows. Blocks (p, m) have a cell and a sign each, as in ``kernels``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 32
"""Cells whose predictions are formed together."""

DEPTH = 5
"""Rows that one loop adds at a time; sums of more do not fit into the registers."""

ALIGNMENT = 4
"""Rows of a gram matrix begin where an instruction that works on that many numbers can start."""


@njit(cache=True, error_model="numpy")
def merge(v, cell, sign, cells):
    """The sum of sign v over the blocks of each cell; v (p, m), result (cells, p)."""
    result = np.zeros((cells, v.shape[0]))
    for a in range(v.shape[0]):
        for i in range(cell.size):
            result[cell[i], a] += sign[i] * v[a, i]
    return result


@njit(cache=True, error_model="numpy")
def spread(g, cell, sign):
    """The adjoint of ``merge``; g (cells, p), result (p, m)."""
    result = np.empty((g.shape[1], cell.size))
    for a in range(g.shape[1]):
        for i in range(cell.size):
            result[a, i] = sign[i] * g[cell[i], a]
    return result


@njit(cache=True, error_model="numpy")
def forward(v, cell, sign, matrix, activity):
    """A v; v (p, m), result (n,)."""
    p, cells = v.shape[0], activity.shape[0]
    if cells == 0:
        return np.dot(merge(v, cell, sign, matrix.shape[0] // p).ravel(), matrix)
    merged = merge(v, cell, sign, cells)
    result, values = np.zeros(matrix.shape[1]), np.empty((min(LANES, cells), matrix.shape[1]))
    for start in range(0, cells, LANES):
        width = min(LANES, cells - start)
        np.dot(merged[start : start + width], matrix, values[:width])
        for i in range(width):
            for j in range(result.size):
                result[j] += values[i, j] if activity[start + i, j] else 0.0
    return result


@njit(cache=True, error_model="numpy")
def responses(r, matrix, activity, p):
    """T_i' r of all cells; r (n,), result (C, p)."""
    cells = activity.shape[0]
    if cells == 0:
        return np.dot(matrix, r).reshape((-1, p))
    result, masked = np.empty((cells, p)), np.empty((min(LANES, cells), r.size))
    for start in range(0, cells, LANES):
        width = min(LANES, cells - start)
        for i in range(width):
            for j in range(r.size):
                masked[i, j] = r[j] if activity[start + i, j] else 0.0
        np.dot(masked[:width], matrix.T, result[start : start + width])
    return result


@njit(cache=True, error_model="numpy")
def adjoint(r, cell, sign, matrix, activity, p):
    """A' r; r (n,), result (p, m)."""
    return spread(responses(r, matrix, activity, p), cell, sign)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def whitened(factors, maps):
    """L_i' T_i' of all cells, (C p, n); upper triangular L_i' (C, p, p), T_i' (C, p, n).

    Rows are added in pairs. Batched products of BLAS took 1.3 to 2.3 times as long up to p = 20, and 0.9 times at 65.
    """
    cells, p, n = maps.shape
    result = np.empty((cells * p, n))
    for i in range(cells):
        for a in range(p):
            row, c = i * p + a, a + 1
            if (p - a) % 2:
                for j in range(n):
                    result[row, j] = factors[i, a, a] * maps[i, a, j]
            else:
                for j in range(n):
                    result[row, j] = factors[i, a, a] * maps[i, a, j] + factors[i, a, c] * maps[i, c, j]
                c += 1
            while c < p:
                for j in range(n):
                    result[row, j] += factors[i, a, c] * maps[i, c, j] + factors[i, a, c + 1] * maps[i, c + 1, j]
                c += 2
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _whitened_rows(factor, rows, result):
    """L' Y in the first rows of `result`; upper triangular L' with rows of zeros, Y (q, n), q a multiple of DEPTH."""
    for a in range(factor.shape[0]):
        for c in range(a // DEPTH * DEPTH, rows.shape[0], DEPTH):
            f0, f1, f2, f3, f4 = factor[a, c], factor[a, c + 1], factor[a, c + 2], factor[a, c + 3], factor[a, c + 4]
            if c <= a:
                for j in range(rows.shape[1]):
                    result[a, j] = (
                        f0 * rows[c, j] + f1 * rows[c + 1, j] + f2 * rows[c + 2, j] + f3 * rows[c + 3, j]
                    ) + f4 * rows[c + 4, j]
            else:
                for j in range(rows.shape[1]):
                    result[a, j] += (
                        f0 * rows[c, j] + f1 * rows[c + 1, j] + f2 * rows[c + 2, j] + f3 * rows[c + 3, j]
                    ) + f4 * rows[c + 4, j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def masked_gram(factors, matrix, activity):
    """The lower triangle of sum_i D_i X L_i L_i' X' D_i, in an array (n + 1, n or more) whose rest is meaningless.

    Upper triangular L_i' (C, p, p), X' (p, n), D (C, n). Rows of samples that a cell does not let through are left out,
    which halves the work of a product of BLAS. The loops are here and not in functions of their own, nor do columns
    start elsewhere than at 0: either doubles the time.
    """
    cells, p, _ = factors.shape
    n, q = matrix.shape[1], (p + DEPTH - 1) // DEPTH * DEPTH
    wide = (n + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    gram, active = np.zeros((n + 1, wide)), np.empty(n + 1, dtype=np.uint32)
    whole = q if p % DEPTH > 2 else p // DEPTH * DEPTH  # one or two more rows are added by themselves
    factor, masked, rows = np.zeros((p, q)), np.zeros((q, wide)), np.zeros((q, wide))
    for i in range(cells):
        for a in range(p):
            for b in range(a, p):
                factor[a, b] = factors[i, a, b]
            for j in range(n):
                masked[a, j] = matrix[a, j] if activity[i, j] else 0.0
        _whitened_rows(factor, masked, rows)
        count = 0
        for j in range(n):
            active[count] = j
            count += activity[i, j]
        # Two rows at a time; the last of an odd number together with a row that nobody reads.
        for y in range(0, count, 2):
            g = active[y]
            h = active[y + 1] if y + 1 < count else g
            target = h if h > g else np.uint32(n)
            stop = h // ALIGNMENT * ALIGNMENT + ALIGNMENT
            for a in range(0, whole, DEPTH):
                v0, v1, v2, v3, v4 = rows[a, g], rows[a + 1, g], rows[a + 2, g], rows[a + 3, g], rows[a + 4, g]
                w0, w1, w2, w3, w4 = rows[a, h], rows[a + 1, h], rows[a + 2, h], rows[a + 3, h], rows[a + 4, h]
                for k in range(stop):
                    x0, x1, x2, x3, x4 = rows[a, k], rows[a + 1, k], rows[a + 2, k], rows[a + 3, k], rows[a + 4, k]
                    gram[g, k] += v0 * x0 + v1 * x1 + v2 * x2 + v3 * x3 + v4 * x4
                    gram[target, k] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3 + w4 * x4
            for a in range(whole, p):
                v0, w0 = rows[a, g], rows[a, h]
                for k in range(stop):
                    gram[g, k] += v0 * rows[a, k]
                    gram[target, k] += w0 * rows[a, k]
    return gram
