"""Compiled loops of the ascent over the faces of cells; see ``zerogap.oracles.face_ascent``."""

from __future__ import annotations

import numpy as np
from numba import njit

POWERS = 40
"""Power iterations for a leading singular vector, at most; any vector is a fair candidate."""

STILL = 1e-12
"""Relative gain of a power iteration that ends them."""


@njit(cache=True, nogil=True)
def price(rows, samples, slots, count, residual, slope, point, pull):
    """||sum_r act(m_r . u) R_{s(r)}||, one block of outputs for each slot; `pull` (count C,) is overwritten."""
    p, c = rows.shape[1], residual.shape[1]
    pull[:] = 0.0
    for r in range(rows.shape[0]):
        inner = 0.0
        for k in range(p):
            inner += rows[r, k] * point[k]
        active = inner if inner > 0.0 else slope * inner
        if active != 0.0:
            for o in range(c):
                pull[slots[r] * c + o] += active * residual[samples[r], o]
    total = 0.0
    for o in range(count * c):
        total += pull[o] * pull[o]
    return np.sqrt(total)


@njit(cache=True, nogil=True)
def climb_faces(
    rows, lengths, samples, slots, count, residual, slope, free, levels, rounds, gain, dependent, points, values
):
    """Move every point (k, p) to better faces, in place; `values` (k,) are their prices.

    Parameters
    ----------
    rows : (N, p), lengths : (N,), samples, slots : (N,) int
        Rows that belong to a slot, none of them zero, and their lengths.
    count : int
        Slots.
    residual : (n, C)
        Times the scale of the readout.
    slope : float
    free : bool
        Whether the last entry of a point is free.
    levels : (l,) int, rising
        How many of the nearest rows are taken for zero, besides the one that a free entry needs.
    """
    n, p = rows.shape
    c, q = residual.shape[1], p - 1 if free else p
    outputs = count * c
    few = min(n, 3 * p + 3)
    gradient, left, spanned = np.empty((p, outputs)), np.empty((q, outputs)), np.empty((q, q))
    nearest, distances = np.empty(few, np.int64), np.empty(few)
    pull, candidate, best = np.empty(outputs), np.empty(p), np.empty(p)
    base, part = np.zeros(q), np.empty(q)
    for j in range(points.shape[0]):
        for _ in range(rounds):
            _look(rows, lengths, samples, slots, residual, slope, points[j], gradient, nearest, distances)
            first = 0
            if free:
                first = 1
                for k in range(q):
                    base[k] = rows[nearest[0], k] / rows[nearest[0], q]
            for k in range(q):
                for o in range(outputs):
                    left[k, o] = gradient[k, o] - (base[k] * gradient[q, o] if free else 0.0)
            top, size, level = values[j] * (1.0 + gain), 0, 0
            found = False
            for e in range(first, few + 1):
                if level < levels.size and size == levels[level]:
                    level += 1
                    _lead(left, points[j], candidate)
                    if free:
                        candidate[q] = 0.0
                        for k in range(q):
                            candidate[q] -= base[k] * candidate[k]
                    value = price(rows, samples, slots, count, residual, slope, candidate, pull)
                    if value > top:
                        top, found = value, True
                        best[:] = candidate
                if e == few or level == levels.size:
                    break
                _reduced(rows[nearest[e]], base, free, q, part)
                if _orthogonal(part, spanned, size, dependent):
                    for o in range(outputs):
                        along = 0.0
                        for k in range(q):
                            along += spanned[size, k] * left[k, o]
                        for k in range(q):
                            left[k, o] -= along * spanned[size, k]
                    size += 1
            if not found:
                break
            points[j] = best
            values[j] = top


@njit(cache=True, nogil=True)
def _look(rows, lengths, samples, slots, residual, slope, point, gradient, nearest, distances):
    """G of the cell of a point, and the rows nearest to it, in order."""
    p, c = rows.shape[1], residual.shape[1]
    gradient[:] = 0.0
    distances[:] = np.inf
    nearest[:] = 0
    few = nearest.size
    for r in range(rows.shape[0]):
        inner = 0.0
        for k in range(p):
            inner += rows[r, k] * point[k]
        share = 1.0 if inner > 0.0 else slope
        if share != 0.0:
            for k in range(p):
                factor = share * rows[r, k]
                for o in range(c):
                    gradient[k, slots[r] * c + o] += factor * residual[samples[r], o]
        distance = abs(inner) / lengths[r]
        if distance < distances[few - 1]:
            e = few - 1
            while e > 0 and distances[e - 1] > distance:
                distances[e], nearest[e] = distances[e - 1], nearest[e - 1]
                e -= 1
            distances[e], nearest[e] = distance, r


@njit(cache=True, nogil=True)
def _reduced(row, base, free, q, part):
    """The row without the free entry, which the base row has eliminated."""
    for k in range(q):
        part[k] = row[k] - (base[k] * row[q] if free else 0.0)


@njit(cache=True, nogil=True)
def _orthogonal(part, spanned, size, dependent):
    """Append the part of a row that is orthogonal to those before; whether it is not nearly nothing."""
    q = part.size
    if size == q:
        return False
    whole = np.sqrt(np.sum(part * part))
    for _ in range(2):
        for i in range(size):
            along = 0.0
            for k in range(q):
                along += spanned[i, k] * part[k]
            for k in range(q):
                part[k] -= along * spanned[i, k]
    rest = np.sqrt(np.sum(part * part))
    if not rest > dependent * whole:
        return False
    for k in range(q):
        spanned[size, k] = part[k] / rest
    return True


@njit(cache=True, nogil=True)
def _lead(left, point, candidate):
    """The leading left singular vector of a matrix (q, o), by power iteration from a point; of length one, or zero."""
    q, outputs = left.shape
    gram = left.T @ left
    right = np.zeros(outputs)
    for o in range(outputs):
        for k in range(q):
            right[o] += left[k, o] * point[k]
    size = np.sqrt(np.sum(right * right))
    if not size > 0.0:
        right[:] = gram[:, 0]
        size = np.sqrt(np.sum(right * right))
    before = 0.0
    for _ in range(POWERS if outputs > 1 else 1):
        if not size > 0.0:
            break
        right /= size
        right = gram @ right
        size = np.sqrt(np.sum(right * right))
        if size <= before * (1.0 + STILL):
            break
        before = size
    total = 0.0
    for k in range(q):
        candidate[k] = 0.0
        for o in range(outputs):
            candidate[k] += left[k, o] * right[o]
        total += candidate[k] * candidate[k]
    if total > 0.0:
        for k in range(q):
            candidate[k] /= np.sqrt(total)
