"""Search over the neurons of any architecture: the largest prices ||Phi(theta)' r|| that local ascent meets.

A value found is a lower bound of the largest price, never a proof. Kinks are rounded over falling widths on the way,
as in ``zerogap.oracles.search``; reported values are those of the true features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.features import Features
from zerogap.features.base import masses, pulled, spread
from zerogap.oracles.face_ascent import face_ascent

Array = NDArray[np.float64]

WIDTHS = (0.05, 0.01, 0.002, 0.0)
"""Of the rounded kinks, as shares of the largest pre-activations."""

STEPS = 15
"""Ascent steps at each width."""

PROMISING = 0.25
"""Share of the starts that is followed beyond the first width."""

ENTRIES = 4_000_000
"""Pre-activations held at a time."""

ALIKE = 1.0 - 1e-6
"""Neurons whose features have a larger cosine count as one."""


def prices(features: Features, residual: Array, weights: Array) -> Array:
    """||Phi(theta)' r|| of neurons (m, q), (m,)."""
    step = chunk(features)
    parts = [weights[start : start + step] for start in range(0, weights.shape[0], step)]
    found = [masses(pulled(residual, features.forward(part)[0])) for part in parts]
    return np.concatenate(found) if found else np.zeros(0)


def climb(features: Features, residual: Array, starts: Array, share: float = 1.0) -> tuple[Array, Array]:
    """Local ascent from neurons (k, q) of size one; `share` of the work may go into its last digits.

    Returns
    -------
    weights : (l, q) float64
        Of size one, best first; where the most promising ones came to rest.
    values : (l,) float64
        Their prices.
    """
    if not starts.shape[0]:
        return starts, np.zeros(0)
    step = chunk(features)

    def ascended(points: Array, width: float) -> tuple[Array, Array]:
        parts = [_ascend(features, residual, points[k : k + step], width) for k in range(0, points.shape[0], step)]
        return np.concatenate([part for part, _ in parts]), np.concatenate([value for _, value in parts])

    direct = prices(features, residual, starts)
    points, values = ascended(starts, WIDTHS[0])
    order = np.argsort(-values, kind="stable")[: max(1, int(PROMISING * values.size))]
    points = points[order]
    for width in WIDTHS[1:]:
        points, values = ascended(points, width)
    # Rounded kinks lead past sharp maxima, so the best starts also go on as they are.
    best = np.argsort(-direct, kind="stable")[: values.size]
    points, values = np.concatenate([points, starts[best]]), np.concatenate([values, direct[best]])
    order = np.argsort(-values, kind="stable")
    points, values = points[order], values[order]
    climbed = face_ascent(features, residual, points, np.random.default_rng(points.shape[0]), share)
    if climbed is not None:
        points, values = np.concatenate([points, climbed[0]]), np.concatenate([values, climbed[1]])
        order = np.argsort(-values, kind="stable")
    return points[order], values[order]


def _ascend(features: Features, residual: Array, points: Array, width: float) -> tuple[Array, Array]:
    """Ascent along the gradient on the sphere, with a step of its own for every start."""
    points = points.copy()
    values, gradients = _slope(features, residual, points, width)
    lengths = np.full(points.shape[0], 0.3)
    for _ in range(STEPS):
        size = np.linalg.norm(gradients, axis=1, keepdims=True)
        trial = _onto_sphere(features, points + lengths[:, None] * gradients / np.where(size > 0.0, size, 1.0))
        found, slopes = _slope(features, residual, trial, width)
        better = found > values
        points[better], values[better], gradients[better] = trial[better], found[better], slopes[better]
        lengths = np.where(better, 1.5 * lengths, 0.4 * lengths)
    return points, values


def _slope(features: Features, residual: Array, points: Array, width: float) -> tuple[Array, Array]:
    """Prices and their gradients along the sphere, (k,) and (k, q)."""
    values, back = features.forward(points, width)
    pulls = pulled(residual, values)
    price = masses(pulls)
    gradient = back(spread(residual, (pulls.T / np.where(price > 0.0, price, 1.0)).T))
    # Along the sphere: without the part that only lengthens the decayed weights.
    kept = features.penalised
    along = np.sum(gradient[:, kept] * points[:, kept], axis=1, keepdims=True)
    gradient[:, kept] -= along * points[:, kept]
    return price, gradient


def _onto_sphere(features: Features, weights: Array) -> Array:
    size = features.sizes(weights)[:, None]
    return np.where(features.scaled, weights / np.where(size > 0.0, size, 1.0), weights)


def distinct(features: Features, weights: Array, most: int) -> Array:
    """Indices of the first neurons, at most so many, whose features are not nearly multiples of earlier ones."""
    chosen: list[int] = []
    kept = np.zeros((0, features.samples * features.outputs))
    for start in range(0, weights.shape[0], max(1, chunk(features))):
        values = features.forward(weights[start : start + chunk(features)])[0]
        flat = values.reshape(-1, values.shape[2]).T
        flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
        for k in range(flat.shape[0]):
            if len(chosen) == most:
                return np.array(chosen, dtype=np.intp)
            if not kept.shape[0] or float((kept @ flat[k]).max()) < ALIKE:
                chosen.append(start + k)
                kept = np.concatenate([kept, flat[k : k + 1]])
    return np.array(chosen, dtype=np.intp)


def chunk(features: Features) -> int:
    """How many neurons to look at at a time."""
    return max(8, ENTRIES // features.rows.flat.shape[0])
