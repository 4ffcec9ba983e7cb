"""Compiled loops of the interior point method: the blocks of the Newton matrix, and passes over all walls.

As array expressions they cost three to ten times as much on a hundred blocks of five to ten entries: every
operation goes through memory, and most of the time is overhead.
"""

from __future__ import annotations

import numpy as np
from numba import njit

JITTERS = (0.0, 1e-14, 1e-12, 1e-10)
"""Shares of a unit diagonal that are added, one after the other, until a Cholesky factor exists."""


@njit(cache=True, error_model="numpy")
def assemble(packed, eta, w, kept, p):
    """B_b = E' W_b^{-2} E, its height eliminated, plus the symmetric part given by its packed upper rows; (m, p, p)."""
    m, q = eta.size, kept.size
    blocks = np.zeros((m, p, p))
    for i in range(m):
        if packed.shape[0]:
            position = 0
            for a in range(p):
                for b in range(a, p):
                    blocks[i, a, b] = packed[i, position]
                    blocks[i, b, a] = packed[i, position]
                    position += 1
        inverse = 1.0 / (eta[i] * eta[i])
        factor = 2.0 * inverse / (2.0 * w[i, 0] * w[i, 0] - 1.0)
        for a in range(q):
            for b in range(q):
                blocks[i, kept[a], kept[b]] -= factor * w[i, 1 + a] * w[i, 1 + b]
            blocks[i, kept[a], kept[a]] += inverse
    return blocks


@njit(cache=True, error_model="numpy")
def cholesky(matrix, lower):
    """Lower triangular factor of one matrix; False if it does not exist."""
    p = matrix.shape[0]
    for a in range(p):
        for b in range(a + 1):
            value = matrix[a, b]
            for c in range(b):
                value -= lower[a, c] * lower[b, c]
            if a == b:
                if not value > 0.0:
                    return False
                lower[a, a] = np.sqrt(value)
            else:
                lower[a, b] = value / lower[b, b]
        for b in range(a + 1, p):
            lower[a, b] = 0.0
    return True


@njit(cache=True, error_model="numpy")
def inverse_roots(blocks, roots):
    """Lower triangular R with R'R = B^{-1} for every block (m, p, p); False if one is not positive definite.

    Cholesky, not LU: near a solution a block adds walls with multipliers that differ by 16 digits, and
    only the triangular factor keeps the small eigenvalues of such graded matrices accurate.
    """
    m, p, _ = blocks.shape
    scale, scaled, lower = np.empty(p), np.empty((p, p)), np.empty((p, p))
    for i in range(m):
        for a in range(p):
            scale[a] = 1.0 / np.sqrt(blocks[i, a, a])
        for a in range(p):
            for b in range(a + 1):
                scaled[a, b] = scale[a] * blocks[i, a, b] * scale[b]
        found = False
        for jitter in JITTERS:
            for a in range(p):
                scaled[a, a] += jitter
            if cholesky(scaled, lower):
                found = True
                break
        if not found:
            return False
        root = roots[i]
        for a in range(p):
            for b in range(a):
                value = 0.0
                for c in range(b, a):
                    value -= lower[a, c] * root[c, b]
                root[a, b] = value / lower[a, a]
            root[a, a] = 1.0 / lower[a, a]
            for b in range(a + 1, p):
                root[a, b] = 0.0
        for a in range(p):
            for b in range(a + 1):
                root[a, b] *= scale[b]
    return True


@njit(cache=True, error_model="numpy")
def half_gram(roots, maps, weights, half):
    """Fill `half` (P p, n) with L_i' T_i' diag(weights), L_i L_i' = sum over families of R'R; False if impossible."""
    cells, p, n = maps.shape
    families = roots.shape[0] // cells
    merged, lower = np.empty((p, p)), np.empty((p, p))
    for i in range(cells):
        trace = 0.0
        for a in range(p):
            for b in range(a + 1):
                value = 0.0
                for family in range(families):
                    root = roots[family * cells + i]
                    for c in range(a, p):
                        value += root[c, a] * root[c, b]
                merged[a, b] = value
            trace += merged[a, a]
        # The directions that this jitter drowns are those that hardly enter the sum over the cells.
        for a in range(p):
            merged[a, a] += 1e-15 * trace
        if not cholesky(merged, lower):
            return False
        for a in range(p):
            row = half[i * p + a]
            for j in range(n):
                row[j] = lower[a, a] * maps[i, a, j]
            for b in range(a + 1, p):
                entry = lower[b, a]
                for j in range(n):
                    row[j] += entry * maps[i, b, j]
            for j in range(n):
                row[j] *= weights[j]
    return True


@njit(cache=True, error_model="numpy")
def solve_blocks(roots, right):
    """R'R g for every block; right and result (m, p)."""
    m, p = right.shape
    result, white = np.empty((m, p)), np.empty(p)
    for i in range(m):
        for a in range(p):
            value = 0.0
            for b in range(a + 1):
                value += roots[i, a, b] * right[i, b]
            white[a] = value
        for b in range(p):
            result[i, b] = 0.0
        for a in range(p):
            for b in range(a + 1):
                result[i, b] += roots[i, a, b] * white[a]
    return result


@njit(cache=True, error_model="numpy")
def apply_blocks(blocks, v):
    """B v for every block; v and result (m, p)."""
    m, p = v.shape
    result = np.empty((m, p))
    for i in range(m):
        for a in range(p):
            value = 0.0
            for b in range(p):
                value += blocks[i, a, b] * v[i, b]
            result[i, a] = value
    return result


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz"})
def shrinkage(change, value):
    """max_j -change_j / value_j, at least 0; the arguments are finite and contiguous."""
    x, y = change.ravel(), value.ravel()
    worst = 0.0
    for j in range(x.size):
        worst = max(worst, -x[j] / y[j])
    return worst


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz"})
def respond(dz, slacks, multipliers, aim, dl):
    """Fill dl = aim - l - (l / s) dz, an empty aim for zero; returns max -dz / s and max -dl / l, at least 0."""
    change, slack, multiplier = dz.ravel(), slacks.ravel(), multipliers.ravel()
    goal, result = aim.ravel(), dl.ravel()
    first, second = 0.0, 0.0
    if goal.size:
        for j in range(change.size):
            share = change[j] / slack[j]
            result[j] = goal[j] - multiplier[j] * (1.0 + share)
            first = max(first, -share)
            second = max(second, 1.0 + share - goal[j] / multiplier[j])
    else:
        for j in range(change.size):
            share = change[j] / slack[j]
            result[j] = -multiplier[j] * (1.0 + share)
            first = max(first, -share)
            second = max(second, 1.0 + share)
    return first, second


@njit(cache=True, error_model="numpy")
def norms(v, kept):
    """||E v|| of every block, (m,), where nothing over- or underflows."""
    result = np.empty(v.shape[0])
    for i in range(v.shape[0]):
        square = 0.0
        for a in kept:
            square += v[i, a] * v[i, a]
        result[i] = np.sqrt(square)
    return result
