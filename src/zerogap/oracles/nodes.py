r"""Compiled branch and bound over cones: how large  g(u) = sum_j a_j (m_j . u)_+  is on the unit ball.

On the cone of u = sum x_i v_i, x >= 0, a row with a_j > 0 is convex and at most the interpolation of its values
at the vertices; a row with a_j < 0 is at most -theta_j |a_j| m_j . u for any theta_j in [0, 1]. The loss of a
cone is the sum of these gaps, over the rows that change sign on it. So

    g(u) <= min over theta of heights(theta) . x  =  interpolated convex part - exact concave part,

a concave function of x, whose largest value on the ball is approached by cutting planes: theta_j = 1 for the rows
that are positive at a point (a cut), the next point where that bound is largest, then the best mean of the cuts.

Vertices are exact; everything else carries a rounding that ``doubt`` bounds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zerogap.oracles.quadratic import largest
from zerogap.oracles.simplicial import BETTER, DONE, EXHAUSTED, PAUSED, cap, edge_width, halved

LEAF = 256
"""Record of a leaf with k cuts: LEAF + k; a split of edge (i, j) is 1 + 16 i + j."""

CUTS = 3
"""At most so many cuts in a leaf."""

COARSEST = 255.0
"""The largest weight of a cut's point."""

PARTS = 16
"""Means of two cuts are taken in these parts."""

HOPE = 0.5
"""A cut may be expected to close this share of the way from the bound to the best value of any theta."""

TIE = 1e-7
"""A row counts as positive at a cut's point if its value there exceeds this share of its sizes at the vertices.

The checker, which is exact, has to come to the same answer: on pixels and integers exact zeros abound. The sizes
are not weighted like the values, or a point on a vertex of value zero would be decided by rounding.
"""


@njit(cache=True, nogil=True)
def plant(rows, coefficients, q, root, vertices, values, undecided, counts, decided):
    """Level 0 of the stacks: one root cone; vertices get a largest entry with a norm in [1/2, 1)."""
    count, p = rows.shape
    for i in range(p):
        size, factor = 0.0, 1.0
        for k in range(q):
            size = max(size, abs(root[i, k]))
        while size * factor >= 1.0:
            factor *= 0.5
        while size * factor < 0.5:
            factor *= 2.0
        for k in range(p):
            vertices[0, i, k] = factor * root[i, k]
    decided[0] = 0.0
    convex, concave = 0, 0
    products = np.empty(p)
    for j in range(count):
        low, high = 0.0, 0.0
        for i in range(p):
            product = 0.0
            for k in range(p):
                product += rows[j, k] * vertices[0, i, k]
            products[i] = abs(coefficients[j]) * product
            low, high = min(low, product), max(high, product)
        if high <= 0.0 or coefficients[j] == 0.0:
            continue
        if low >= 0.0:
            for k in range(p):
                decided[0, k] += coefficients[j] * rows[j, k]
            continue
        if coefficients[j] > 0.0:
            place = convex
            convex += 1
        else:
            concave += 1
            place = count - concave
        values[0, :, place] = products
        undecided[0, place] = j
    counts[0, 0], counts[0, 1] = convex, concave


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
    vertices (D, p, p), values (D, p, N), undecided (D, N), counts (D, 2), decided (D, p)
        The stack: vertices of a cone, |a_j| m_j . v_i of its undecided rows (convex ones from the front, concave ones
        from the back), which rows they are, their numbers, and the sum of the decided rows.
    records : (budget (1 + CUTS (p + 1) + p),) uint16
        The tree in preorder.
    point : (p,)
        The direction above the threshold, if one was met.

    Returns
    -------
    (status, top, nodes, records used, value at the point)
    """
    count, p = rows.shape
    q = reach.size
    gram, lower, small = np.empty((p, p)), np.empty((p, p)), np.empty((6, p))
    points, shares = np.empty((CUTS, p)), np.empty(CUTS)
    buffers = np.empty((2, count))
    nodes, used = 0, 0
    while top >= 0:
        if nodes >= budget or top + 2 >= vertices.shape[0]:
            return (PAUSED if nodes >= budget else EXHAUSTED), top, nodes, used, 0.0
        convex, concave = counts[top, 0], count - counts[top, 1]
        for i in range(p):
            height = 0.0
            for k in range(p):
                height += decided[top, k] * vertices[top, i, k]
            small[0, i] = _add_positive(height, values[top, i, :convex])
            for j in range(i + 1):
                product = 0.0
                for k in range(q):
                    product += vertices[top, i, k] * vertices[top, j, k]
                gram[i, j] = gram[j, i] = product
        nodes += 1
        cuts, value = _bound(
            vertices[top],
            values[top, :, :convex],
            values[top, :, concave:],
            decided[top],
            gram,
            reach,
            doubt,
            threshold,
            small,
            lower,
            points,
            shares,
            buffers,
            records[used + 1 :],
        )
        if cuts > 0:
            records[used] = LEAF + cuts
            used += 1 + cuts * (p + 1) + p
            top -= 1
            continue
        weights = small[4]
        if value > threshold:
            length = 0.0
            for k in range(p):
                point[k] = 0.0
                for i in range(p):
                    point[k] += weights[i] * vertices[top, i, k]
                if k < q:
                    length += point[k] * point[k]
            point /= np.sqrt(length)
            return BETTER, top, nodes, used, value
        first, second = _edge(vertices[top], values[top, :, :convex], values[top, :, concave:], gram, weights, reach)
        if p == 1 or not _split(
            rows, coefficients, q, first, second, top, vertices, values, undecided, counts, decided
        ):
            return EXHAUSTED, top, nodes, used, 0.0
        records[used] = 1 + 16 * first + second
        used += 1
        top += 1
    return DONE, top, nodes, used, 0.0


@njit(cache=True, nogil=True)
def _bound(
    vertices,
    convex,
    concave,
    decided,
    gram,
    reach,
    doubt,
    threshold,
    small,
    lower,
    points,
    shares,
    buffers,
    record,
):
    """Look for cuts that bound a cone; the leaf goes to `record`.

    `small` holds p-vectors: 0 the heights of the decided and the convex rows; 4, on return, the maximiser of the last
    bound.

    Returns
    -------
    (number of cuts, 0 if the cone was not bounded; value of g at the maximiser of the last bound)
    """
    p = vertices.shape[0]
    base, heights, cut, mean, weights, trial = small[0], small[1], small[2], small[3], small[4], small[5]
    points[0], shares[0] = 1.0, 1.0
    _cut(concave, points[0], base, buffers, heights)
    largest(gram, heights, weights, lower)
    bound = cap(vertices, gram, heights, weights, reach, doubt, record[p + 1 :])
    if bound <= threshold:
        _write(points, shares, 1, record)
        return 1, 0.0
    cuts, total = 1, 1.0
    while True:
        square, interpolated, attained = 0.0, 0.0, 0.0
        for i in range(p):
            interpolated += base[i] * weights[i]
            for j in range(p):
                square += weights[i] * gram[i, j] * weights[j]
                attained += weights[i] * decided[j] * vertices[i, j]
        if not square > 0.0:
            return 0, 0.0
        length = np.sqrt(square)
        lowered = _sum_positive(concave, weights, buffers[0])
        value = (attained + _sum_positive(convex, weights, buffers[0]) - lowered) / length
        least = (interpolated - lowered) / length
        if cuts == CUTS or value > threshold or least > threshold or bound - threshold > HOPE * (bound - least):
            return 0, value
        peak = 0.0
        for i in range(p):
            peak = max(peak, weights[i])
        for i in range(p):
            points[cuts, i] = np.rint(COARSEST * weights[i] / peak)
        _cut(concave, points[cuts], base, buffers, cut)
        largest(gram, cut, trial, lower)
        if cap(vertices, gram, cut, trial, reach, doubt, record[p + 1 :]) <= threshold:
            points[0], shares[0] = points[cuts], 1.0
            _write(points, shares, 1, record)
            return 1, 0.0
        low, high, share = 0, PARTS, 0
        while high - low > 1:
            share = (low + high) // 2
            for i in range(p):
                mean[i] = (share * heights[i] + (PARTS - share) * cut[i]) / PARTS
            largest(gram, mean, trial, lower)
            bound = cap(vertices, gram, mean, trial, reach, doubt, record[(cuts + 1) * (p + 1) :])
            if bound <= threshold:
                break
            slope = 0.0
            for i in range(p):
                slope += (heights[i] - cut[i]) * trial[i]
            if slope > 0.0:
                high = share
            else:
                low = share
        for k in range(cuts):
            shares[k] *= share
        shares[cuts] = (PARTS - share) * total
        cuts, total = cuts + 1, total * PARTS
        heights[:], weights[:] = mean, trial
        if bound <= threshold:
            _write(points, shares, cuts, record)
            return cuts, 0.0


@njit(cache=True, nogil=True)
def _write(points, shares, cuts, record):
    """Share and point of every cut."""
    p = points.shape[1]
    for k in range(cuts):
        record[k * (p + 1)] = np.uint16(shares[k])
        for i in range(p):
            record[k * (p + 1) + 1 + i] = np.uint16(points[k, i])


@njit(cache=True, nogil=True, fastmath=True)
def _add_positive(start, values):
    """start + sum of the positive values."""
    total = 0.0
    for k in range(values.size):
        total += max(values[k], 0.0)
    return start + total


@njit(cache=True, nogil=True, fastmath=True)
def _sum_positive(values, weights, buffer):
    """sum_j (sum_i weights_i values_ij)_+."""
    p, count = values.shape
    for j in range(count):
        buffer[j] = 0.0
    for i in range(p):
        if weights[i] != 0.0:
            for j in range(count):
                buffer[j] += weights[i] * values[i, j]
    total = 0.0
    for j in range(count):
        total += max(buffer[j], 0.0)
    return total


@njit(cache=True, nogil=True, fastmath=True)
def _cut(concave, point, base, buffers, heights):
    """heights = base - values of the concave rows that are positive at a point."""
    p, count = concave.shape
    for j in range(count):
        buffers[0, j] = buffers[1, j] = 0.0
    for i in range(p):
        for j in range(count):
            buffers[0, j] += point[i] * concave[i, j]
            buffers[1, j] += abs(concave[i, j])
    for j in range(count):
        buffers[0, j] = 1.0 if buffers[0, j] > TIE * buffers[1, j] else 0.0
    for i in range(p):
        total = 0.0
        for j in range(count):
            total += buffers[0, j] * concave[i, j]
        heights[i] = base[i] - total


@njit(cache=True, nogil=True)
def _edge(vertices, convex, concave, gram, weights, reach):
    """The edge to halve: where the rows lose most at its middle, above all near the maximiser of the bound.

    The widest edge instead takes several times the nodes, and a hundred times where columns differ in size.
    """
    p = vertices.shape[0]
    total = 0.0
    for i in range(p):
        total += weights[i] * np.sqrt(gram[i, i])
    total = max(total, 1e-300)
    most, first, second = 0.0, 1, 0
    for i in range(p):
        for j in range(i):
            a, b = np.sqrt(gram[i, i]), np.sqrt(gram[j, j])
            loss = _tents(convex[i], convex[j], 1.0 / a, 1.0 / b) + _tents(concave[i], concave[j], 1.0 / a, 1.0 / b)
            loss *= (1.0 + weights[i] * a / total) * (1.0 + weights[j] * b / total)
            if loss > most:
                most, first, second = loss, i, j
    if most > 0.0:
        return first, second
    for i in range(p):
        for j in range(i):
            spread = edge_width(vertices, gram, i, j, reach)
            if spread > most:
                most, first, second = spread, i, j
    return first, second


@njit(cache=True, nogil=True, fastmath=True)
def _tents(left, right, a, b):
    """Twice the gap between a sum of ReLUs and its interpolation, in the middle between two vertices."""
    total = 0.0
    for k in range(left.size):
        x, y = a * left[k], b * right[k]
        total += max(min(x, -y), min(-x, y), 0.0)
    return total


@njit(cache=True, nogil=True)
def _split(rows, coefficients, q, first, second, top, vertices, values, undecided, counts, decided):
    """Replace level `top` by its two halves at levels `top` and `top` + 1; False if the new vertex is not exact."""
    p = rows.shape[1]
    exact, factor_first, factor_second = halved(vertices[top], first, second, q)
    if not exact:
        return False
    for i in range(p):
        for k in range(p):
            vertices[top + 1, i, k] = vertices[top, i, k]
    for k in range(p):
        middle = factor_first * vertices[top, first, k] + factor_second * vertices[top, second, k]
        vertices[top + 1, first, k] = middle
        vertices[top, second, k] = middle
        decided[top + 1, k] = decided[top, k]
    for side in range(2):
        _share(
            rows,
            coefficients,
            side,
            factor_first,
            factor_second,
            first,
            second,
            top,
            values,
            undecided,
            counts,
            decided,
        )
    return True


@njit(cache=True, nogil=True)
def _share(
    rows,
    coefficients,
    side,
    factor_first,
    factor_second,
    first,
    second,
    top,
    values,
    undecided,
    counts,
    decided,
):
    """Hand the convex rows (side 0, from the front) or the concave ones (side 1, from the back) to the two halves."""
    count, p = rows.shape
    origin, step = (0, 1) if side == 0 else (count - 1, -1)
    upper, lower = 0, 0
    for row in range(counts[top, side]):
        place = origin + step * row
        j = undecided[top, place]
        new = factor_first * values[top, first, place] + factor_second * values[top, second, place]
        low, high = new, new
        for i in range(p):
            if i != first and i != second:
                low, high = min(low, values[top, i, place]), max(high, values[top, i, place])
        left, right = values[top, second, place], values[top, first, place]
        if max(high, left) > 0.0:
            if min(low, left) >= 0.0:
                for k in range(p):
                    decided[top + 1, k] += coefficients[j] * rows[j, k]
            else:
                target = origin + step * upper
                for i in range(p):
                    values[top + 1, i, target] = values[top, i, place]
                values[top + 1, first, target] = new
                undecided[top + 1, target] = j
                upper += 1
        if max(high, right) > 0.0:
            if min(low, right) >= 0.0:
                for k in range(p):
                    decided[top, k] += coefficients[j] * rows[j, k]
            else:
                target = origin + step * lower
                for i in range(p):
                    values[top, i, target] = values[top, i, place]
                values[top, second, target] = new
                undecided[top, target] = j
                lower += 1
    counts[top + 1, side], counts[top, side] = upper, lower
