"""Compiled loops of the interior point method over blocks, above all the blocks of the Newton matrix.

Arrays have one column per block, and symmetric p x p matrices are packed: row a (a + 1) / 2 + b of an array
(p (p + 1) / 2, m) holds entry (a, b), b <= a, of all m blocks. The innermost loops then run over blocks, and the
processor works on several at once. As array expressions, or block by block, they cost three to ten times as much
on a hundred blocks of five to ten entries: most of that is overhead, or waiting for the previous operation.
Assignments of whole rows, and array expressions, are written as loops: they take seconds to compile.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zerogap.solvers.map_kernels import adjoint, forward, responses, spread

JITTERS = (0.0, 1e-14, 1e-12, 1e-10)
"""Shares of a unit diagonal that are added, one after the other, until a Cholesky factor exists."""

ACCURATE = 1e-8
"""Relative residuals of the Newton system up to which refinement would be wasted."""

LANES = 32
"""Blocks that are factored together, at most; 32 packed matrices of 10 rows fit into the first-level cache.

Loops over as many as a compiler can count would be unrolled, and not vectorised.
"""


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def add_gauges(packed, eta, w, kept):
    """Add E' W_b^{-2} E, its height eliminated, to every block."""
    m, q = eta.size, kept.size
    inverse, factor = np.empty(m), np.empty(m)
    for i in range(m):
        inverse[i] = 1.0 / (eta[i] * eta[i])
        factor[i] = 2.0 * inverse[i] / (2.0 * w[0, i] * w[0, i] - 1.0)
    for a in range(q):
        for b in range(a + 1):
            row, left, right = packed[kept[a] * (kept[a] + 1) // 2 + kept[b]], w[1 + a], w[1 + b]
            for i in range(m):
                row[i] -= factor[i] * left[i] * right[i]
            if a == b:
                for i in range(m):
                    row[i] += inverse[i]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def cholesky(lower, inverse):
    """Factor packed matrices in place, (p (p + 1) / 2, lanes); `inverse` (p, lanes) gets one over the diagonals.

    A pivot that is not positive, or no number, makes the entries of its block meaningless and its `inverse` NaN.
    """
    p, lanes = inverse.shape
    for a in range(p):
        for b in range(a + 1):
            target, left, right = a * (a + 1) // 2 + b, a * (a + 1) // 2, b * (b + 1) // 2
            for c in range(b):
                for i in range(lanes):
                    lower[target, i] -= lower[left + c, i] * lower[right + c, i]
            if a == b:
                for i in range(lanes):
                    lower[target, i] = np.sqrt(lower[target, i])
                    inverse[a, i] = 1.0 / lower[target, i]
            else:
                for i in range(lanes):
                    lower[target, i] *= inverse[b, i]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def inverse_roots(packed, p):
    """Lower triangular R with R'R = B^{-1} for every block, packed, and whether all are positive definite.

    Cholesky, not LU: near a solution a block adds walls with multipliers that differ by 16 digits, and
    only the triangular factor keeps the small eigenvalues of such graded matrices accurate.
    """
    size, m = packed.shape
    roots = np.empty((size, m))
    lanes = min(LANES, m)
    lower, root = np.empty((size, lanes)), np.empty((size, lanes))
    scale, inverse = np.ones((p, lanes)), np.empty((p, lanes))
    shift, failed = np.empty(lanes), np.empty(lanes, dtype=np.bool_)
    for start in range(0, m, lanes):
        width = min(lanes, m - start)
        for a in range(p):
            for i in range(width):
                scale[a, i] = 1.0 / np.sqrt(packed[a * (a + 1) // 2 + a, start + i])
        for i in range(lanes):
            shift[i], failed[i] = 0.0, False
        for jitter in JITTERS:
            for i in range(width):
                if failed[i]:
                    shift[i] = jitter
            for a in range(p):
                for b in range(a + 1):
                    position = a * (a + 1) // 2 + b
                    for i in range(width):
                        lower[position, i] = scale[a, i] * packed[position, start + i] * scale[b, i]
                    for i in range(width, lanes):
                        lower[position, i] = 1.0 if a == b else 0.0
                    if a == b:
                        for i in range(width):
                            lower[position, i] += shift[i]
            cholesky(lower, inverse)
            failures = 0
            for i in range(width):
                failed[i] = False
                for a in range(p):
                    failed[i] |= not inverse[a, i] < np.inf
                failures += failed[i]
            if failures == 0:
                break
        if failures > 0:
            return roots, False
        for a in range(p):
            for b in range(a):
                target, left = a * (a + 1) // 2 + b, a * (a + 1) // 2
                for i in range(lanes):
                    root[target, i] = 0.0
                for c in range(b, a):
                    right = c * (c + 1) // 2 + b
                    for i in range(lanes):
                        root[target, i] -= lower[left + c, i] * root[right, i]
                for i in range(lanes):
                    root[target, i] *= inverse[a, i]
            for i in range(lanes):
                root[a * (a + 1) // 2 + a, i] = inverse[a, i]
        for a in range(p):
            for b in range(a + 1):
                position = a * (a + 1) // 2 + b
                for i in range(width):
                    roots[position, start + i] = root[position, i] * scale[b, i]
    return roots, True


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def merged_factors(roots, cell, cells, p):
    """L_i', (C, p, p), with L_i L_i' the sum of R'R over the blocks of cell i; and whether all of them exist."""
    size, m = roots.shape
    factors = np.zeros((cells, p, p))
    lanes = min(LANES, cells)
    padded = (cells + lanes - 1) // lanes * lanes
    merged, inverse = np.zeros((size, padded)), np.empty((p, lanes))
    value, trace = np.empty(m), np.zeros(padded)
    for a in range(p):
        for b in range(a + 1):
            for i in range(m):
                value[i] = 0.0
            for c in range(a, p):
                left, right = c * (c + 1) // 2 + a, c * (c + 1) // 2 + b
                for i in range(m):
                    value[i] += roots[left, i] * roots[right, i]
            for i in range(m):
                merged[a * (a + 1) // 2 + b, cell[i]] += value[i]
        for i in range(cells):
            trace[i] += merged[a * (a + 1) // 2 + a, i]
    # The directions that this jitter drowns are those that hardly enter the sum over the cells.
    for a in range(p):
        for i in range(padded):
            merged[a * (a + 1) // 2 + a, i] += 1e-15 * trace[i] if i < cells else 1.0
    lower = np.empty((size, lanes))
    for start in range(0, padded, lanes):
        for k in range(size):
            for i in range(lanes):
                lower[k, i] = merged[k, start + i]
        cholesky(lower, inverse)
        for a in range(p):
            for i in range(lanes):
                if not inverse[a, i] < np.inf:
                    return factors, False
            for b in range(a + 1):
                for i in range(min(lanes, cells - start)):
                    factors[start + i, b, a] = lower[a * (a + 1) // 2 + b, i]
    return factors, True


@njit(cache=True, error_model="numpy")
def weighted(gram, root):
    """The lower triangle of I + diag(root) S diag(root), (n, n), given that of S in an array that may be larger."""
    n = root.size
    result = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            result[i, j] = gram[i, j] * root[i] * root[j]
        result[i, i] += 1.0
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def solve_blocks(roots, right):
    """R'R g for every block; right and result (p, m)."""
    p, m = right.shape
    result, white = np.zeros((p, m)), np.empty(m)
    for a in range(p):
        for i in range(m):
            white[i] = 0.0
        for b in range(a + 1):
            root, entries = roots[a * (a + 1) // 2 + b], right[b]
            for i in range(m):
                white[i] += root[i] * entries[i]
        for b in range(a + 1):
            root, entries = roots[a * (a + 1) // 2 + b], result[b]
            for i in range(m):
                entries[i] += root[i] * white[i]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def apply_blocks(packed, v):
    """B v for every block; v and result (p, m)."""
    p, m = v.shape
    result = np.zeros((p, m))
    for a in range(p):
        for b in range(a + 1):
            entries = packed[a * (a + 1) // 2 + b]
            first, second = result[a], result[b]
            for i in range(m):
                first[i] += entries[i] * v[b, i]
            if a != b:
                for i in range(m):
                    second[i] += entries[i] * v[a, i]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def triangular(lower, b):
    """Solve L L' x = b in place; L (n, n) lower triangular."""
    n = b.size
    for i in range(n):
        total = 0.0
        for j in range(i):
            total += lower[i, j] * b[j]
        b[i] = (b[i] - total) / lower[i, i]
    for i in range(n - 1, -1, -1):
        b[i] /= lower[i, i]
        for j in range(i):
            b[j] -= lower[i, j] * b[i]


@njit(cache=True, error_model="numpy")
def solved(roots, right, shift, root, lower, cell, sign, matrix, activity):
    """dv = B^{-1} (g - A'q), q = W (A dv + shift) and A'q, given L L' = I + W^{1/2} S W^{1/2}; g (p, m), shift (n,)."""
    q = forward(solve_blocks(roots, right), cell, sign, matrix, activity)
    for j in range(q.size):
        q[j] = root[j] * (q[j] + shift[j])
    triangular(lower, q)
    for j in range(q.size):
        q[j] *= root[j]
    pull = adjoint(q, cell, sign, matrix, activity, right.shape[0])
    rest = np.empty_like(pull)
    for a in range(rest.shape[0]):
        for i in range(rest.shape[1]):
            rest[a, i] = right[a, i] - pull[a, i]
    return solve_blocks(roots, rest), q, pull


@njit(cache=True, error_model="numpy")
def checked(packed, right, dv, pull, q, curvature, move, cell, sign, matrix, activity):
    """A dv + move, the errors g - B dv - A'q and A dv + move - q / w, and whether they are negligible."""
    df, residual, mismatch = forward(dv, cell, sign, matrix, activity), apply_blocks(packed, dv), np.empty(q.size)
    sizes = np.zeros(4)
    for a in range(dv.shape[0]):
        for i in range(dv.shape[1]):
            residual[a, i] = right[a, i] - pull[a, i] - residual[a, i]
            sizes[0] = larger(sizes[0], residual[a, i])
            sizes[1] = larger(sizes[1], right[a, i])
    for j in range(q.size):
        df[j] += move[j]
        mismatch[j] = df[j] - q[j] / max(curvature[j], 1e-300)
        sizes[2] = larger(sizes[2], mismatch[j])
        sizes[3] = larger(sizes[3], df[j])
    return df, residual, mismatch, sizes[0] <= ACCURATE * sizes[1] and sizes[2] <= ACCURATE * sizes[3]


@njit(cache=True, error_model="numpy")
def larger(size, x):
    """max(size, |x|); NaN counts as infinite."""
    return max(size, abs(x) if x == x else np.inf)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def moved(length, v, dv, t, cone, z, dual):
    """v + length dv, t + length dt and z + length dz; cone (1 + q, m) starts with dt, dual (1 + q, m) with 0."""
    first, second, third = np.empty_like(v), np.empty_like(t), np.empty_like(z)
    for a in range(v.shape[0]):
        for i in range(t.size):
            first[a, i] = v[a, i] + length * dv[a, i]
    for i in range(t.size):
        second[i] = t[i] + length * cone[0, i]
    for j in range(z.shape[0]):
        for i in range(t.size):
            third[j, i] = z[j, i] + length * dual[1 + j, i]
    return first, second, third


@njit(cache=True, error_model="numpy")
def pulled(r, cell, sign, matrix, activity, p, polar, kept):
    """A' r + K' l of every block, the largest ||E .||, and T_i' r of all cells, (C, p).

    r (n,); K' l (p, m) may have no rows.
    """
    gradients = responses(r, matrix, activity, p)
    result = spread(gradients, cell, sign)
    if polar.shape[0]:
        for a in range(result.shape[0]):
            for i in range(result.shape[1]):
                result[a, i] += polar[a, i]
    return result, norms(result, kept).max(), gradients


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def gauge_products(beta, t, v, z, kept):
    """The sum of beta t + z . E v."""
    total = np.zeros(t.size)
    for i in range(t.size):
        total[i] = beta * t[i]
    for j in range(kept.size):
        for i in range(t.size):
            total[i] += z[j, i] * v[kept[j], i]
    return total.sum()


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz"})
def shrinkage(change, value):
    """max_j -change_j / value_j, at least 0; the arguments are finite and contiguous."""
    x, y = change.ravel(), value.ravel()
    worst = 0.0
    for j in range(x.size):
        worst = max(worst, -x[j] / y[j])
    return worst


@njit(cache=True, error_model="numpy")
def norms(v, kept):
    """||E v|| of every block, (m,), where nothing over- or underflows; v (p, m)."""
    result = np.zeros(v.shape[1])
    for a in kept:
        for i in range(result.size):
            result[i] += v[a, i] * v[a, i]
    for i in range(result.size):
        result[i] = np.sqrt(result[i])
    return result
