r"""Compiled loops over directions: local ascent, and the nodes of branch and bound.

Both work on  g(u) = sum_j a_j (m_j . u)_+  with rows m_j and signed coefficients a_j. Nothing here decides
what an answer is worth; see ``zerogap.oracles.search`` and ``zerogap.oracles.branch_and_bound``. Fused
multiply-add is left off, so that the standard-library checker repeats the same arithmetic.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LEAF = 0
"""Record of a leaf, followed by the weights of its vertices; a split of edge (i, j) is 1 + 16 i + j."""

FINEST = 65535.0
"""The largest weight of a leaf: weights are stored as 16-bit integers."""

TIE = 1e-9
"""A row whose values at the vertices add up to less than this share of their sizes counts as inactive there."""

DONE, BETTER, EXHAUSTED, PAUSED = 0, 1, 2, 3
"""How ``explore`` ended: all leaves below the threshold, a direction above it, no exact split left, out of budget."""


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


@njit(cache=True, nogil=True)
def plant(rows, coefficients, q, root, vertices, values, undecided, counts, decided):
    """Level 0 of the stacks: one root cone; vertices get a largest entry with a norm in [1/2, 1)."""
    p = rows.shape[1]
    for i in range(p):
        largest, factor = 0.0, 1.0
        for k in range(q):
            largest = max(largest, abs(root[i, k]))
        while largest * factor >= 1.0:
            factor *= 0.5
        while largest * factor < 0.5:
            factor *= 2.0
        for k in range(p):
            vertices[0, i, k] = factor * root[i, k]
    decided[0] = 0.0
    count = 0
    for j in range(rows.shape[0]):
        low, high = 0.0, 0.0
        for i in range(p):
            product = 0.0
            for k in range(p):
                product += rows[j, k] * vertices[0, i, k]
            values[0, count, i] = product
            low, high = min(low, product), max(high, product)
        if high <= 0.0:
            continue
        if low >= 0.0:
            for k in range(p):
                decided[0, k] += coefficients[j] * rows[j, k]
        else:
            undecided[0, count] = j
            count += 1
    counts[0] = count


@njit(cache=True, nogil=True)
def explore(
    rows,
    coefficients,
    reach,
    doubt,
    threshold,
    budget,
    top,
    vertices,
    values,
    undecided,
    counts,
    decided,
    records,
    point,
):
    """Depth-first branch and bound below one root, for at most `budget` nodes.

    Parameters
    ----------
    rows : (N, p), coefficients : (N,)
        g. The last coordinates, beyond ``reach.size``, have no norm.
    reach : (q,)
        B_i >= |m_ji| for the coordinates with a norm.
    doubt : float
        Rounding of a vertex's height, in units of sum_i B_i |v_i|.
    threshold : float
        Leaves are cones where g <= threshold ||u||.
    top : int
        Level of the stack to go on with.
    vertices (D, p, p), values (D, N, p), undecided (D, N), counts (D,), decided (D, p)
        The stack: vertices of a cone, products of its undecided rows with them, sum of the decided rows.
    records : ((p + 1) budget,) uint16
        The tree in preorder.
    point : (p,)
        The best direction of this call.

    Returns
    -------
    (status, top, nodes, records used, value at the point)
    """
    p, q = rows.shape[1], reach.size
    heights, decline, weights = np.empty(p), np.empty(p), np.empty(p)
    gram, u = np.empty((p, p)), np.empty(p)
    nodes, used, best = 0, 0, 0.0
    while top >= 0:
        if nodes >= budget or top + 2 >= vertices.shape[0]:
            return (PAUSED if nodes >= budget else EXHAUSTED), top, nodes, used, best
        count = counts[top]
        for i in range(p):
            height = 0.0
            for k in range(p):
                height += decided[top, k] * vertices[top, i, k]
            heights[i] = height
            decline[i] = 0.0
            for j in range(i + 1):
                product = 0.0
                for k in range(q):
                    product += vertices[top, i, k] * vertices[top, j, k]
                gram[i, j] = gram[j, i] = product
        for row in range(count):
            a = coefficients[undecided[top, row]]
            if a > 0.0:
                # (m . u)_+ is convex: at most the interpolation of its values at the vertices.
                for i in range(p):
                    if values[top, row, i] > 0.0:
                        heights[i] += a * values[top, row, i]
            else:
                # -(m . u)_+ is at most 0 and at most -m . u: the better one at the middle of the cone.
                middle, size = 0.0, 0.0
                for i in range(p):
                    middle += values[top, row, i]
                    size += abs(values[top, row, i])
                if middle > TIE * size:
                    for i in range(p):
                        decline[i] += a * values[top, row, i]
        for i in range(p):
            heights[i] += decline[i]
        best_weights(gram, heights, weights)
        if cap(vertices[top], gram, heights, weights, reach, doubt, records[used + 1 :]) <= threshold:
            records[used] = LEAF
            used += p + 1
            nodes += 1
            top -= 1
            continue
        length = 0.0
        for k in range(p):
            u[k] = 0.0
            for i in range(p):
                u[k] += weights[i] * vertices[top, i, k]
            if k < q:
                length += u[k] * u[k]
        length = np.sqrt(length)
        if length > 0.0:
            value = 0.0
            for k in range(p):
                value += decided[top, k] * u[k]
            for row in range(count):
                product = 0.0
                for i in range(p):
                    product += weights[i] * values[top, row, i]
                if product > 0.0:
                    value += coefficients[undecided[top, row]] * product
            value /= length
            if value > best:
                best = value
                for k in range(p):
                    point[k] = u[k] / length
                if value > threshold:
                    return BETTER, top, nodes, used, best
        widest, first, second = -1.0, 1, 0
        for i in range(p):
            for j in range(i):
                angle = edge_width(vertices[top], gram, i, j, reach)
                if angle > widest:
                    widest, first, second = angle, i, j
        if not _split(rows, coefficients, q, first, second, top, vertices, values, undecided, counts, decided):
            return EXHAUSTED, top, nodes, used, best
        records[used] = 1 + 16 * first + second
        used += 1
        nodes += 1
        top += 1
    return DONE, top, nodes, used, best


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
def cap(vertices, gram, heights, weights, reach, doubt, rounded):
    """An upper bound of g on the ball within the cone, with weights rounded to integers, which go to `rounded`.

    With c = E V weights and t the largest ratio of heights to c . v, every u = V x of the cone has
    g(u) <= heights . x <= t c . u <= t ||c||, whatever the weights are.
    """
    p, q = vertices.shape[0], reach.size
    largest = 0.0
    for i in range(p):
        largest = max(largest, weights[i])
    for i in range(p):
        rounded[i] = np.uint16(np.rint(FINEST * weights[i] / largest)) if largest > 0.0 else np.uint16(1)
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


@njit(cache=True, nogil=True)
def _split(rows, coefficients, q, first, second, top, vertices, values, undecided, counts, decided):
    """Replace level `top` by its two halves at levels `top` and `top` + 1; False if the new vertex is not exact."""
    p = rows.shape[1]
    exact, factor_first, factor_second = halved(vertices[top], first, second, q)
    if not exact:
        return False
    count, upper, lower = counts[top], 0, 0
    for i in range(p):
        for k in range(p):
            vertices[top + 1, i, k] = vertices[top, i, k]
    for k in range(p):
        middle = factor_first * vertices[top, first, k] + factor_second * vertices[top, second, k]
        vertices[top + 1, first, k] = middle
        vertices[top, second, k] = middle
        decided[top + 1, k] = decided[top, k]
    for row in range(count):
        j = undecided[top, row]
        new = factor_first * values[top, row, first] + factor_second * values[top, row, second]
        low_first, high_first, low_second, high_second = min(new, 0.0), max(new, 0.0), min(new, 0.0), max(new, 0.0)
        for i in range(p):
            value = values[top, row, i]
            if i != first:
                low_first, high_first = min(low_first, value), max(high_first, value)
            if i != second:
                low_second, high_second = min(low_second, value), max(high_second, value)
        if high_first > 0.0:
            if low_first >= 0.0:
                for k in range(p):
                    decided[top + 1, k] += coefficients[j] * rows[j, k]
            else:
                for i in range(p):
                    values[top + 1, upper, i] = values[top, row, i]
                values[top + 1, upper, first] = new
                undecided[top + 1, upper] = j
                upper += 1
        if high_second > 0.0:
            if low_second >= 0.0:
                for k in range(p):
                    decided[top, k] += coefficients[j] * rows[j, k]
            else:
                for i in range(p):
                    values[top, lower, i] = values[top, row, i]
                values[top, lower, second] = new
                undecided[top, lower] = j
                lower += 1
    counts[top + 1], counts[top] = upper, lower
    return True


@njit(cache=True, nogil=True)
def best_weights(gram, heights, weights):
    """argmax of heights . x - x' gram x / 2 over x >= 0 (Lawson and Hanson's active sets); to `weights`."""
    p = heights.size
    index, solution = np.empty(p, np.int64), np.empty(p)
    weights[:] = 0.0
    for i in range(p):
        index[i] = i
    _solve(gram, heights, index, p, solution)
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
            _solve(gram, heights, index, size, solution)
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
def _solve(gram, heights, index, size, solution):
    """Solve the system of some of the rows and columns by Cholesky's method."""
    lower = np.empty((size, size))
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
