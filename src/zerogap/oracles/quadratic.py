r"""The small quadratic program of a cone: where heights . x is largest on the unit ball, for u = V x with x >= 0.

With gram = (E V)'(E V) the maximiser of  heights . x - x' gram x / 2  points to it. Whoever uses the answer
verifies it; a poor one costs tightness only.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def largest(gram, heights, weights, lower):
    """argmax of heights . x - x' gram x / 2 over x >= 0 (Lawson and Hanson's active sets); to `weights`.

    `lower` (p, p) is scratch.
    """
    p = heights.size
    index, solution = np.empty(p, np.int64), np.empty(p)
    weights[:] = 0.0
    for i in range(p):
        index[i] = i
    _solve(gram, heights, index, p, solution, lower)
    positive = True
    for i in range(p):
        positive = positive and solution[i] > 0.0
    if positive:
        weights[:] = solution
        return
    active = np.zeros(p, np.bool_)
    largest = 0.0
    for i in range(p):
        largest = max(largest, abs(heights[i]))
    for _ in range(4 * p + 10):
        entering, steepest = -1, 1e-13 * largest
        for i in range(p):
            if not active[i]:
                slope = heights[i]
                for j in range(p):
                    slope -= gram[i, j] * weights[j]
                if slope > steepest:
                    steepest, entering = slope, i
        if entering < 0:
            return
        active[entering] = True
        while True:
            size = 0
            for i in range(p):
                if active[i]:
                    index[size] = i
                    size += 1
            _solve(gram, heights, index, size, solution, lower)
            step = 1.0
            for t in range(size):
                if solution[t] <= 0.0:
                    fall = weights[index[t]] - solution[t]
                    step = min(step, weights[index[t]] / fall if fall > 0.0 else 0.0)
            if step >= 1.0:
                for i in range(p):
                    weights[i] = 0.0
                for t in range(size):
                    weights[index[t]] = solution[t]
                break
            removed = False
            for t in range(size):
                i = index[t]
                weights[i] += step * (solution[t] - weights[i])
                if solution[t] <= 0.0 and weights[i] <= 1e-15:
                    weights[i] = 0.0
                    active[i] = False
                    removed = True
            if not removed:
                return


@njit(cache=True, nogil=True)
def _solve(gram, heights, index, size, solution, lower):
    """Solve the system of some of the rows and columns by Cholesky's method."""
    for i in range(size):
        for j in range(i + 1):
            entry = gram[index[i], index[j]]
            for t in range(j):
                entry -= lower[i, t] * lower[j, t]
            if i == j:
                lower[i, i] = np.sqrt(max(entry, 1e-16 * gram[index[i], index[i]]))
            else:
                lower[i, j] = entry / lower[j, j]
    for i in range(size):
        entry = heights[index[i]]
        for t in range(i):
            entry -= lower[i, t] * solution[t]
        solution[i] = entry / lower[i, i]
    for i in range(size - 1, -1, -1):
        entry = solution[i]
        for t in range(i + 1, size):
            entry -= lower[t, i] * solution[t]
        solution[i] = entry / lower[i, i]
