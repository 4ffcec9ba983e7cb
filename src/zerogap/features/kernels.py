"""Compiled loops over pre-activations: activation and pooling in one pass, and their derivative in another.

As array expressions they take several passes over arrays that do not fit into the caches, five to ten times as long.
`inner` is (n, K, m), `window` (K,) the window of every position (-1: none), `reach` (m,) the width of the rounded kink
(0: none); with t = slope inner + (1 - slope) e a^2 and a = clip(1/2 + inner / (2 e), 0, 1) for the width e.

Rows of few entries are multiplied by the weights (p, m) within these loops: products of all of them would be written to
memory and read again, which takes longer than to compute them twice.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FUSED = {"contract"}
"""Products and sums may be fused: one rounding less."""


@njit(cache=True, nogil=True, fastmath=FUSED)
def largest(matrix, weights):
    """The largest |m . u| over all rows (n, K, p), for every neuron (m,)."""
    p, m = weights.shape
    inner, most = np.empty(m), np.zeros(m)
    for s in range(matrix.shape[0]):
        for k in range(matrix.shape[1]):
            inner[:] = 0.0
            for i in range(p):
                entry = matrix[s, k, i]
                for j in range(m):
                    inner[j] += entry * weights[i, j]
            for j in range(m):
                most[j] = max(most[j], abs(inner[j]))
    return most


@njit(cache=True, nogil=True, fastmath=FUSED)
def rows_sum(matrix, weights, window, count, slope, reach, scale):
    """``pool_sum`` of the products of the rows (n, K, p) with the weights."""
    n, positions, p = matrix.shape
    m, rounded = weights.shape[1], np.any(reach > 0.0)
    values, inner = np.zeros((n, count, m)), np.empty(m)
    for s in range(n):
        for k in range(positions):
            q = window[k]
            if q < 0:
                continue
            inner[:] = 0.0
            for i in range(p):
                entry = matrix[s, k, i]
                for j in range(m):
                    inner[j] += entry * weights[i, j]
            if not rounded:
                for j in range(m):
                    values[s, q, j] += max(inner[j], slope * inner[j])
                continue
            for j in range(m):
                width = max(reach[j], 1e-300)
                share = min(max(0.5 + 0.5 * inner[j] / width, 0.0), 1.0)
                active = share * share * width if share < 1.0 else inner[j]
                values[s, q, j] += slope * inner[j] + (1.0 - slope) * active
        for q in range(count):
            for j in range(m):
                values[s, q, j] *= scale
    return values


@njit(cache=True, nogil=True, fastmath=FUSED)
def rows_back(matrix, weights, window, slope, reach, scale, cotangent):
    """The cotangent (n, count, m) of ``rows_sum`` carried back to the weights, (p, m)."""
    n, positions, p = matrix.shape
    m = weights.shape[1]
    gradient, inner = np.zeros((p, m)), np.empty(m)
    for s in range(n):
        for k in range(positions):
            q = window[k]
            if q < 0:
                continue
            inner[:] = 0.0
            for i in range(p):
                entry = matrix[s, k, i]
                for j in range(m):
                    inner[j] += entry * weights[i, j]
            for j in range(m):
                width = max(reach[j], 1e-300)
                share = min(max(0.5 + 0.5 * inner[j] / width, 0.0), 1.0)
                inner[j] = (slope + (1.0 - slope) * share) * cotangent[s, q, j]
            for i in range(p):
                entry = scale * matrix[s, k, i]
                for j in range(m):
                    gradient[i, j] += entry * inner[j]
    return gradient


@njit(cache=True, nogil=True)
def pool_sum(inner, window, count, slope, reach, scale):
    """Sums over the windows, (n, count, m)."""
    n, positions, m = inner.shape
    values = np.zeros((n, count, m))
    for s in range(n):
        for k in range(positions):
            q = window[k]
            if q < 0:
                continue
            for j in range(m):
                t = inner[s, k, j]
                if reach[j] > 0.0:
                    share = min(max(0.5 + 0.5 * t / reach[j], 0.0), 1.0)
                    active = share * share * reach[j] if share < 1.0 else t
                    values[s, q, j] += scale * (slope * t + (1.0 - slope) * active)
                else:
                    values[s, q, j] += scale * (t if t > 0.0 else slope * t)
    return values


@njit(cache=True, nogil=True)
def spread_sum(inner, window, slope, reach, scale, cotangent):
    """The cotangent (n, count, m) of ``pool_sum`` carried back to the pre-activations, (n, K, m)."""
    n, positions, m = inner.shape
    spread = np.zeros((n, positions, m))
    for s in range(n):
        for k in range(positions):
            q = window[k]
            if q < 0:
                continue
            for j in range(m):
                t = inner[s, k, j]
                if reach[j] > 0.0:
                    share = min(max(0.5 + 0.5 * t / reach[j], 0.0), 1.0)
                    spread[s, k, j] = scale * (slope + (1.0 - slope) * share) * cotangent[s, q, j]
                else:
                    spread[s, k, j] = scale * (1.0 if t > 0.0 else slope) * cotangent[s, q, j]
    return spread


@njit(cache=True, nogil=True)
def pool_max(inner, window, count, slope, reach):
    """Maxima over the windows (n, count, m), the positions where they are attained, and the slopes there."""
    n, positions, m = inner.shape
    values, chosen, slopes = np.empty((n, count, m)), np.full((n, count, m), -1), np.empty((n, count, m))
    for s in range(n):
        for k in range(positions):
            q = window[k]
            if q < 0:
                continue
            for j in range(m):
                # The activation rises, so the largest pre-activation is the one that counts.
                if chosen[s, q, j] < 0 or inner[s, k, j] > values[s, q, j]:
                    values[s, q, j], chosen[s, q, j] = inner[s, k, j], k
        for q in range(count):
            for j in range(m):
                t = values[s, q, j]
                share = 1.0 if t > 0.0 else 0.0
                active = max(t, 0.0)
                if reach[j] > 0.0:
                    share = min(max(0.5 + 0.5 * t / reach[j], 0.0), 1.0)
                    active = share * share * reach[j] if share < 1.0 else t
                values[s, q, j] = slope * t + (1.0 - slope) * active
                slopes[s, q, j] = slope + (1.0 - slope) * share
    return values, chosen, slopes


@njit(cache=True, nogil=True)
def spread_max(positions, chosen, slopes, cotangent):
    """The cotangent (n, count, m) of ``pool_max`` carried back to the pre-activations, (n, positions, m)."""
    n, count, m = chosen.shape
    spread = np.zeros((n, positions, m))
    for s in range(n):
        for q in range(count):
            for j in range(m):
                spread[s, chosen[s, q, j], j] = slopes[s, q, j] * cotangent[s, q, j]
    return spread
