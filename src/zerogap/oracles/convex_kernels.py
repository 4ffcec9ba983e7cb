r"""Compiled loops of branch and bound over sums of maxima; see ``zerogap.oracles.convex_branches``.

    g_qc(u) = sum over units j of slot q  a_jc max { l . u : l in unit j },     bounded: ||(g_qc(u))_qc|| on the ball.

A cone remembers its undecided units: those with more than one linear function left that is not below another one of
them on the whole cone. Units with a single one are linear there, and only their sum is kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zerogap.oracles.quadratic import largest
from zerogap.oracles.simplicial import BETTER, DONE, EXHAUSTED, PAUSED, cap, edge_width, halved

TINY = 2.0**-500
"""More than squares of heights lose by underflow, for rows and coefficients of the order of one."""

SHAPE = 0.5
"""Weight of an edge's width against what interpolation along it costs, in units of the threshold."""

PERIOD = 6
"""Every so many generations the widest edge is cut: else cones can become ever flatter without getting smaller."""


@njit(cache=True, nogil=True)
def plant(
    pieces, starts, floors, coefficients, outputs, q, root, vertices, ages, values, members, units, sizes, decided
):
    """Level 0 of the stacks: one root cone; vertices get a largest entry with a norm in [1/2, 1)."""
    p = pieces.shape[1]
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
    ages[0], decided[0] = 1, 0.0
    entries, used = 0, 0
    for j in range(starts.size - 1):
        number = starts[j + 1] - starts[j]
        for t in range(number):
            members[0, used + t] = starts[j] + t
            for i in range(p):
                total = 0.0
                for k in range(p):
                    total += pieces[starts[j] + t, k] * vertices[0, i, k]
                values[0, used + t, i] = total
        kept, floor = _sift(values[0], members[0], used, number, floors[j], values[0], members[0], used)
        if kept == 1 and not floor:
            _add(decided[0], outputs[j], coefficients[j], pieces[members[0, used]])
        elif kept:
            units[0, entries, 0], units[0, entries, 1], units[0, entries, 2] = j, kept, floor
            entries, used = entries + 1, used + kept
    sizes[0] = entries


@njit(cache=True, nogil=True)
def _add(totals, slot, factors, piece):
    """Add a linear unit of one slot to the sums of its outputs."""
    for c in range(factors.size):
        for k in range(piece.size):
            totals[slot * factors.size + c, k] += factors[c] * piece[k]


@njit(cache=True, nogil=True)
def _sift(values, members, start, number, floor, kept_values, kept_members, place):
    """Keep the linear functions of a unit that are not below another one, or zero, at all vertices of a cone.

    The others are compared with that function only that is largest in the middle. They go to `place`, which may be at
    `start` or before it in the same arrays. Returns how many are left, and whether zero is.
    """
    p = values.shape[1]
    lead, most = -1, 0.0 if floor else -np.inf
    for t in range(start, start + number):
        total, low = 0.0, values[t, 0]
        for i in range(p):
            total += values[t, i]
            low = min(low, values[t, i])
        if total > most:
            lead, most = t, total
        floor = floor and low < 0.0
    # Its values may be overwritten below.
    level = np.zeros(p)
    if lead >= 0:
        for i in range(p):
            level[i] = values[lead, i]
    count = place
    for t in range(start, start + number):
        below, negative = True, floor
        for i in range(p):
            below = below and values[t, i] <= level[i]
            negative = negative and values[t, i] <= 0.0
        if (below and t != lead and (lead >= 0 or floor)) or negative:
            continue
        kept_members[count] = members[t]
        for i in range(p):
            kept_values[count, i] = values[t, i]
        count += 1
    return count - place, floor


@njit(cache=True, nogil=True)
def explore(
    pieces,
    coefficients,
    outputs,
    reach,
    doubt,
    threshold,
    budget,
    top,
    vertices,
    ages,
    values,
    members,
    units,
    sizes,
    decided,
    point,
):
    """Depth-first branch and bound below one root, for at most `budget` nodes.

    Parameters
    ----------
    pieces : (M, p), coefficients : (U, C), outputs : (U,)
        g; the slots of units. The last coordinates, beyond ``reach.size``, have no norm.
    reach : (q,)
        B_i >= |l_i| for the coordinates with a norm.
    doubt : float
        Rounding of a vertex's height, in units of sum_i B_i |v_i|.
    threshold : float
        Leaves are cones where ||g|| <= threshold ||u||.
    top : int
        Level of the stack to go on with.
    vertices (D, p, p), ages (D,), values (D, M, p), members (D, M), units (D, U, 3), sizes (D,), decided (D, a, p)
        The stack: vertices of a cone, its generation, products of its linear functions with them, their numbers, its
        undecided units (number, functions, whether zero is one besides), how many there are, and the sums of the
        decided ones.
    point : (p,)
        The best direction of this call.

    Returns
    -------
    (status, top, nodes, value at the point)
    """
    p, q, a = pieces.shape[1], reach.size, decided.shape[1]
    heights, weights, rounded = np.empty(p), np.empty(p), np.empty(p, np.uint16)
    above, below, inner = np.empty((a, p)), np.empty((a, p)), np.empty(a)
    gram, lower, bends = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    u, middle, peak = np.empty(p), np.empty(p), np.empty(p)
    nodes, best = 0, 0.0
    while top >= 0:
        if nodes >= budget or top + 2 >= vertices.shape[0]:
            return (PAUSED if nodes >= budget else EXHAUSTED), top, nodes, best
        nodes += 1
        for i in range(p):
            for j in range(i + 1):
                total = 0.0
                for k in range(q):
                    total += vertices[top, i, k] * vertices[top, j, k]
                gram[i, j] = gram[j, i] = total
            for o in range(a):
                total = 0.0
                for k in range(p):
                    total += decided[top, o, k] * vertices[top, i, k]
                above[o, i] = below[o, i] = total
        _interpolate(coefficients, outputs, values[top], units[top], sizes[top], peak, above, below)
        for i in range(p):
            total = 0.0
            for o in range(a):
                height = max(above[o, i], -below[o, i])
                total += height * height
            heights[i] = np.sqrt(total) + TINY
        largest(gram, heights, weights, lower)
        if cap(vertices[top], gram, heights, weights, reach, doubt, rounded) <= threshold:
            top -= 1
            continue
        length = 0.0
        for k in range(p):
            u[k] = 0.0
            for i in range(p):
                u[k] += weights[i] * vertices[top, i, k]
            if k < q:
                length += u[k] * u[k]
        if length > 0.0:
            for o in range(a):
                inner[o] = 0.0
                for k in range(p):
                    inner[o] += decided[top, o, k] * u[k]
            _evaluate(coefficients, outputs, values[top], units[top], sizes[top], weights, inner)
            value = np.sqrt(np.sum(inner * inner) / length)
            if value > best:
                best = value
                for k in range(p):
                    point[k] = u[k] / np.sqrt(length)
                if value > threshold:
                    return BETTER, top, nodes, best
        _bend(coefficients, values[top], units[top], sizes[top], bends)
        worst, first, second = -1.0, 0, 0
        for i in range(p):
            for j in range(i):
                length = threshold * (np.sqrt(gram[i, i]) + np.sqrt(gram[j, j]))
                width = np.sqrt(max(edge_width(vertices[top], gram, i, j, reach), 0.0))
                cost = width if ages[top] % PERIOD == 0 else bends[i, j] / length + SHAPE * width
                if cost > worst:
                    worst, first, second = cost, i, j
        exact, factor_first, factor_second = halved(vertices[top], first, second, q)
        # In one dimension there is no edge: nothing is undecided, and only rounding keeps the cone from being a leaf.
        if not exact or first == second:
            return EXHAUSTED, top, nodes, best
        for k in range(p):
            middle[k] = factor_first * vertices[top, first, k] + factor_second * vertices[top, second, k]
        _split(
            pieces, coefficients, outputs, first, second, middle, top, vertices, values, members, units, sizes, decided
        )
        ages[top] += 1
        ages[top + 1] = ages[top]
        top += 1
    return DONE, top, nodes, best


@njit(cache=True, nogil=True)
def _interpolate(coefficients, outputs, values, units, size, peak, above, below):
    """Add the bounds of the undecided units to those of g at the vertices.

    A maximum is convex: at most the interpolation of its values at the vertices, and at least any of its functions;
    the one that is largest in the middle of the cone is taken.
    """
    p, start = values.shape[1], 0
    for e in range(size):
        j, number, floor = units[e, 0], units[e, 1], units[e, 2]
        lead, most = -1, 0.0 if floor else -np.inf
        for i in range(p):
            peak[i] = most
        for t in range(start, start + number):
            total = 0.0
            for i in range(p):
                total += values[t, i]
                peak[i] = max(peak[i], values[t, i])
            if total > most:
                lead, most = t, total
        start += number
        for c in range(coefficients.shape[1]):
            factor, o = coefficients[j, c], outputs[j] * coefficients.shape[1] + c
            if factor > 0.0:
                for i in range(p):
                    above[o, i] += factor * peak[i]
                    below[o, i] += factor * values[lead, i] if lead >= 0 else 0.0
            else:
                for i in range(p):
                    above[o, i] += factor * values[lead, i] if lead >= 0 else 0.0
                    below[o, i] += factor * peak[i]


@njit(cache=True, nogil=True)
def _bend(coefficients, values, units, size, bends):
    """How far the undecided units bend along edges: sum ||a|| (phi(v_i) + phi(v_j) - phi(v_i + v_j)), for j < i."""
    p, start = values.shape[1], 0
    bends[:] = 0.0
    for e in range(size):
        j, number, floor = units[e, 0], units[e, 1], units[e, 2]
        length = 0.0
        for c in range(coefficients.shape[1]):
            length += coefficients[j, c] * coefficients[j, c]
        length = np.sqrt(length)
        for i in range(p):
            for k in range(i):
                first = second = both = 0.0 if floor else -np.inf
                for t in range(start, start + number):
                    first, second = max(first, values[t, i]), max(second, values[t, k])
                    both = max(both, values[t, i] + values[t, k])
                bends[i, k] += length * (first + second - both)
        start += number


@njit(cache=True, nogil=True)
def _evaluate(coefficients, outputs, values, units, size, weights, inner):
    """Add the undecided units at the point with these weights of the vertices."""
    p, start = values.shape[1], 0
    for e in range(size):
        j, number, floor = units[e, 0], units[e, 1], units[e, 2]
        most = 0.0 if floor else -np.inf
        for t in range(start, start + number):
            total = 0.0
            for i in range(p):
                total += weights[i] * values[t, i]
            most = max(most, total)
        start += number
        for c in range(coefficients.shape[1]):
            inner[outputs[j] * coefficients.shape[1] + c] += coefficients[j, c] * most


@njit(cache=True, nogil=True)
def _split(pieces, coefficients, outputs, first, second, middle, top, vertices, values, members, units, sizes, decided):
    """Replace level `top` by its two halves at levels `top` and `top` + 1."""
    p, a = pieces.shape[1], decided.shape[1]
    for i in range(p):
        for k in range(p):
            vertices[top + 1, i, k] = vertices[top, i, k]
    for k in range(p):
        vertices[top + 1, first, k] = middle[k]
        vertices[top, second, k] = middle[k]
        for o in range(a):
            decided[top + 1, o, k] = decided[top, o, k]
    start, upper, lower, upper_used, lower_used = 0, 0, 0, 0, 0
    for e in range(sizes[top]):
        j, number, floor = units[top, e, 0], units[top, e, 1], units[top, e, 2] == 1
        for t in range(number):
            member = members[top, start + t]
            product = 0.0
            for k in range(p):
                product += pieces[member, k] * middle[k]
            members[top + 1, upper_used + t] = member
            for i in range(p):
                values[top + 1, upper_used + t, i] = values[top, start + t, i]
            values[top + 1, upper_used + t, first] = product
            values[top, start + t, second] = product
        kept, left = _sift(
            values[top + 1], members[top + 1], upper_used, number, floor, values[top + 1], members[top + 1], upper_used
        )
        if kept == 1 and not left:
            _add(decided[top + 1], outputs[j], coefficients[j], pieces[members[top + 1, upper_used]])
        elif kept:
            units[top + 1, upper, 0], units[top + 1, upper, 1], units[top + 1, upper, 2] = j, kept, left
            upper, upper_used = upper + 1, upper_used + kept
        kept, left = _sift(values[top], members[top], start, number, floor, values[top], members[top], lower_used)
        start += number
        if kept == 1 and not left:
            _add(decided[top], outputs[j], coefficients[j], pieces[members[top, lower_used]])
        elif kept:
            units[top, lower, 0], units[top, lower, 1], units[top, lower, 2] = j, kept, left
            lower, lower_used = lower + 1, lower_used + kept
    sizes[top + 1], sizes[top] = upper, lower
