"""Caratheodory pruning of conic combinations.

    sum_j effects_j = sum_j s_j effects_j,  s >= 0,  cost . s <= cost . 1,  at most n non-zero s_j

As long as the effects in use are linearly dependent, their weights can be moved along a null vector, in
the direction that does not raise the cost, until one of them vanishes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def reduced_weights(effects: Array, cost: Array) -> Array:
    """Weights s of at most n effects.

    Parameters
    ----------
    effects : (n, m) float64
    cost : (m,) float64, non-negative

    Returns
    -------
    (m,) float64
        Non-negative; zero for effects that vanish, which are only a cost.
    """
    n = effects.shape[0]
    size = np.linalg.norm(effects, axis=0)
    weights = np.where(size > 0.0, 1.0, 0.0)
    waiting = np.flatnonzero(size > 0.0)
    kept = waiting[:0]
    # Batches of 2 n keep the decompositions small when there are far more neurons than samples.
    step = max(1, n)
    for start in range(0, waiting.size, step):
        kept = np.concatenate([kept, waiting[start : start + step]])
        _reduce(effects, cost, size, weights, kept)
        kept = kept[weights[kept] > 0.0]
    return weights


def _reduce(effects: Array, cost: Array, size: Array, weights: Array, batch: NDArray[np.intp]) -> None:
    """Zero weights of the batch, in place, until its effects are independent."""
    scaled = effects[:, batch] / size[batch]
    if scaled.shape[0] > scaled.shape[1]:
        # Only the right singular vectors matter.
        scaled = np.asarray(np.linalg.qr(scaled, mode="r"))
    _, singular, right = np.linalg.svd(scaled, full_matrices=True)
    rank = int(np.sum(singular > 1e-12 * singular[0])) if singular.size else 0
    # Columns span the null space, in the scale of the weights.
    null = right[rank:].T / size[batch][:, None]
    current = weights[batch]
    while null.shape[1]:
        vector = null[:, 0] if float(null[:, 0] @ cost[batch]) <= 0.0 else -null[:, 0]
        if not np.any(vector < 0.0):
            # Possible only for costs that vanish along it.
            vector = -vector
        ratio = np.where(vector < 0.0, current / np.maximum(-vector, 1e-300), np.inf)
        leaving = int(ratio.argmin())
        current = np.maximum(current + ratio[leaving] * vector, 0.0)
        current[leaving] = 0.0
        # Keep the weights that have vanished at zero: eliminate their entry from the rest of the basis.
        for zero in np.flatnonzero((current == 0.0) & null.any(axis=1)):
            if not null.shape[1]:
                break
            pivot = int(np.abs(null[zero]).argmax())
            column = null[:, pivot] / null[zero, pivot]
            null = np.delete(null - np.outer(column, null[zero]), pivot, axis=1)
            null[zero] = 0.0
    weights[batch] = current
