r"""Ascent over the faces of cells: the last digits of a search, where kinks jam gradient steps.

In a cell the price of a neuron is ||G' u||, and a maximiser in it is the leading singular vector of G on the face that
it lies in (P1, cone-constrained principal components). Which face that is, is guessed: for k = 0, 1, ... the k rows
nearest to the neuron are taken for zero. Every candidate is judged by its true price, whatever cell it lies in, so
that a wrong guess costs nothing but time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.features.base import Features, masses, pulled
from zerogap.features.pooled import PooledFeatures

Array = NDArray[np.float64]

ROUNDS = 4
"""Times that every neuron moves on, at most."""

GAIN = 1e-9
"""Relative gain below which a neuron has come to rest."""

DEPENDENT = 1e-7
"""Rows that are this close to the span of nearer ones add no new face."""

MOST = 100
"""Neurons that move, at most."""

WORK = 30_000_000
"""Pre-activations of all candidates of one call, at most."""


def face_ascent(features: Features, residual: Array, points: Array, values: Array) -> tuple[Array, Array]:
    """Better neurons near the given ones.

    Parameters
    ----------
    features : Features
        Other than rectified sums without gates are left alone.
    residual : (n,) or (n, C) float64
    points : (k, q) float64
        Of size one, best first; the first ones move, as many as the work allows.
    values : (k,) float64
        Their prices.

    Returns
    -------
    points, values
        Of the same shapes, and in their order.
    """
    if not isinstance(features, PooledFeatures) or features.gates is not None or features.largest:
        return points, values
    rows = features.rows.flat
    levels = _levels(features.dimension - int(features.free))
    count = min(points.shape[0], MOST, max(1, WORK // (ROUNDS * levels.size * rows.shape[0])))
    points, values = points.copy(), values.copy()
    lengths = np.linalg.norm(rows[:, features.penalised], axis=1)
    lengths = np.where(lengths > 0.0, lengths, np.inf)
    moving = np.arange(count)
    for _ in range(ROUNDS):
        candidates = [_candidates(features, residual, points[k], lengths, levels) for k in moving]
        owner = np.repeat(moving, [len(each) for each in candidates])
        found = features.unit(np.concatenate(candidates)) if owner.size else points[:0]
        if found.shape[0] != owner.size:
            return points, values
        prices = masses(pulled(residual, features.forward(found)[0]))
        following = []
        for k in moving:
            own = np.flatnonzero(owner == k)
            best = own[prices[own].argmax()] if own.size else None
            if best is not None and prices[best] > values[k] * (1.0 + GAIN):
                points[k], values[k] = found[best], prices[best]
                following.append(k)
        moving = np.array(following, dtype=np.intp)
        if not moving.size:
            break
    return points, values


def _levels(dimension: int) -> NDArray[np.intp]:
    """Numbers of rows that are taken for zero: all of them in few dimensions, ever sparser ones beyond."""
    if dimension <= 12:
        return np.arange(dimension)
    return np.unique(np.minimum(np.geomspace(1, dimension, 12).astype(np.intp) - 1, dimension - 1))


def _candidates(
    features: PooledFeatures, residual: Array, point: Array, lengths: Array, levels: NDArray[np.intp]
) -> Array:
    """The leading vectors of the faces that the nearest rows span, (k, p)."""
    rows, penalised = features.rows.flat, features.penalised
    inner = rows @ point
    distances = np.abs(inner) / lengths
    few = min(4 * rows.shape[1] + 1, distances.size)
    nearest = np.argpartition(distances, few - 1)[:few]
    nearest = nearest[np.argsort(distances[nearest], kind="stable")]
    share = np.where(inner > 0.0, 1.0, features.slope)
    gradient = _gradient(features, residual, share)  # (p, a C)
    base = None
    if features.free:
        # On a face with the row m tight the bias is -m . v.
        base = rows[nearest[0], :-1]
        gradient = gradient[:-1] - np.outer(base, gradient[-1])
        nearest = nearest[1:]
    matrices, left = [gradient] if 0 in levels else [], gradient
    spanned = np.zeros((0, gradient.shape[0]))
    for row in rows[nearest][:, penalised] - (0.0 if base is None else base):
        if spanned.shape[0] >= levels[-1]:
            break
        part = row - spanned.T @ (spanned @ row)
        part -= spanned.T @ (spanned @ part)
        size = float(np.linalg.norm(part))
        if size <= DEPENDENT * float(np.linalg.norm(row)):
            continue
        spanned = np.concatenate([spanned, part[None] / size])
        left = left - np.outer(spanned[-1], spanned[-1] @ left)
        if spanned.shape[0] in levels:
            matrices.append(left)
    stacked = np.stack(matrices)
    if stacked.shape[2] == 1:
        found = stacked[:, :, 0]
    else:
        vectors = np.linalg.eigh(stacked.transpose(0, 2, 1) @ stacked)[1][:, :, -1]
        found = np.einsum("kpc,kc->kp", stacked, vectors)
    found = found[np.linalg.norm(found, axis=1) > 0.0]
    found = np.where((found @ point[penalised])[:, None] >= 0.0, found, -found)
    return found if base is None else np.concatenate([found, -(found @ base)[:, None]], axis=1)


def _gradient(features: PooledFeatures, residual: Array, share: Array) -> Array:
    """G of the cell in which rows pass to these shares (N,), (p, a C)."""
    shape = features.rows.matrix.shape
    if features.outputs == 1 and features.windows_of_rows.size == shape[1]:
        weights = np.repeat(residual.reshape(shape[0], -1) * features.rows.scale, shape[1], axis=0)
        return np.asarray(features.rows.flat.T @ (share[:, None] * weights))
    passed = features.rows.matrix * share.reshape(shape[:2])[..., None]
    positions = np.tensordot(np.atleast_2d(residual.T), passed, axes=1)  # (C, K, p)
    return np.asarray(features.pooled(positions).reshape(-1, shape[2]).T)
