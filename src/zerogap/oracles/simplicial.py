"""Simplicial cones {V x : x >= 0} as branch and bound sees them: the bound of one, its width, its halves (compiled).

Vertices have a largest entry in [1/2, 1) among the first q, those with a norm.
"""

from __future__ import annotations

import numpy as np
from numba import njit

DONE, BETTER, EXHAUSTED, PAUSED = 0, 1, 2, 3
"""How ``explore`` ended: all leaves below the threshold, a direction above it, no exact split left, out of budget."""

FINEST = 65535.0
"""The largest weight of the last point of a leaf: weights are stored as 16-bit integers."""


@njit(cache=True, nogil=True)
def cap(vertices, gram, heights, weights, reach, doubt, rounded):
    """An upper bound of g on the ball within the cone, with weights rounded to integers, which go to `rounded`.

    With c = E V weights and t the largest ratio of heights to c . v, every u = V x of the cone has
    g(u) <= heights . x <= t c . u <= t ||c||, whatever the weights are. None is zero: a vertex orthogonal to c
    would spoil the bound of a cone however thin, by the rounding of a height of zero.
    """
    p, q = vertices.shape[0], reach.size
    peak = 0.0
    for i in range(p):
        peak = max(peak, weights[i])
    for i in range(p):
        rounded[i] = np.uint16(max(1.0, np.rint(FINEST * weights[i] / peak))) if peak > 0.0 else np.uint16(1)
    square, ratio = 0.0, 0.0
    for i in range(p):
        product = 0.0
        for j in range(p):
            product += gram[i, j] * rounded[j]
        square += rounded[i] * product
        size = 0.0
        for k in range(q):
            size += reach[k] * abs(vertices[i, k])
        height = heights[i] + doubt * size
        if height > 0.0:
            ratio = max(ratio, height / product) if product > 0.0 else np.inf
    return ratio * np.sqrt(square) * (1.0 + 1e-13)


@njit(cache=True, nogil=True)
def edge_width(vertices, gram, i, j, reach):
    """How far apart two vertices are: 1 - cos of the angle between the parts with a norm, and any free part."""
    q = reach.size
    spread = 1.0 - gram[i, j] / np.sqrt(gram[i, i] * gram[j, j])
    width = 0.0
    for k in range(q):
        width += reach[k] * reach[k]
    for k in range(q, vertices.shape[1]):
        difference = vertices[i, k] / np.sqrt(gram[i, i]) - vertices[j, k] / np.sqrt(gram[j, j])
        spread = max(spread, 0.5 * difference * difference / width)
    return spread


@njit(cache=True, nogil=True)
def halved(vertices, first, second, q):
    """The factors, powers of two, of two vertices whose sum halves their edge, and whether that sum is exact."""
    p = vertices.shape[1]
    size_first, size_second = 0.0, 0.0
    for k in range(q):
        size_first = max(size_first, abs(vertices[first, k]))
        size_second = max(size_second, abs(vertices[second, k]))
    # Vertices are kept with a largest entry in [1/2, 1) among those with a norm.
    factor_first, factor_second = 0.5, 0.5
    if size_first > 1.5 * size_second:
        factor_second = 1.0
    elif size_second > 1.5 * size_first:
        factor_first = 1.0
    largest = 0.0
    for k in range(p):
        a, b = factor_first * vertices[first, k], factor_second * vertices[second, k]
        total = a + b
        if total - a != b or total - b != a:
            return False, 1.0, 1.0
        if k < q:
            largest = max(largest, abs(total))
    while largest < 0.5:
        factor_first, factor_second, largest = 2.0 * factor_first, 2.0 * factor_second, 2.0 * largest
    while largest >= 1.0:
        factor_first, factor_second, largest = 0.5 * factor_first, 0.5 * factor_second, 0.5 * largest
    return True, factor_first, factor_second
