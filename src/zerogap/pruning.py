"""Caratheodory pruning of conic combinations.

    sum_j effects_j = sum_j s_j effects_j,  s >= 0,  cost . s <= cost . 1,  at most n non-zero s_j

As long as the effects in use are linearly dependent, their weights can be moved along a null vector, in
the direction that does not raise the cost, until one of them vanishes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, qr, solve_triangular

Array = NDArray[np.float64]


DEPENDENT = 1e-12
"""An effect depends on others if what is left of it is shorter than this share of its length."""

BATCH = 64
"""Effects that are tried against the independent ones at a time, at least; or a quarter as many as samples."""


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
    size = np.linalg.norm(effects, axis=0)
    weights = np.where(size > 0.0, 1.0, 0.0)
    scaled = effects / np.where(size > 0.0, size, 1.0)
    # The longest first: where the independent ones are long, most others vanish without taking the place of one.
    waiting = np.argsort(-size, kind="stable")[: int(np.sum(size > 0.0))]
    kept = waiting[:0]
    step = max(BATCH, effects.shape[0] // 4)
    for start in range(0, waiting.size, step):
        kept, null = _dependencies(scaled, kept, waiting[start : start + step])
        _reduce(null / size[kept][:, None], cost, weights, kept)
        kept = kept[weights[kept] > 0.0]
    return weights


def _dependencies(scaled: Array, kept: NDArray[np.intp], fresh: NDArray[np.intp]) -> tuple[NDArray[np.intp], Array]:
    """The effects of both lists, the independent ones first, and a basis of the weights under which they add up to 0.

    The effects `kept` are independent; all have length one.
    """
    left = fresh
    if kept.size < scaled.shape[0]:
        frame = np.linalg.qr(scaled[:, kept])[0]
        rest = scaled[:, fresh] - frame @ (frame.T @ scaled[:, fresh])
        # Once more: what is left of an effect near the others' span would be rounding otherwise.
        rest -= frame @ (frame.T @ rest)
        _, triangle, order = qr(rest, mode="economic", pivoting=True, check_finite=False)
        more = fresh[order[: int(np.sum(np.abs(np.diagonal(triangle)) > DEPENDENT))]]
        kept, left = np.concatenate([kept, more]), np.setdiff1d(fresh, more)
    if not left.size:
        return kept, np.zeros((kept.size, 0))
    both = np.concatenate([kept, left])
    try:
        if kept.size == scaled.shape[0]:
            shares = np.linalg.solve(scaled[:, kept], scaled[:, left])
        else:
            frame, triangle = np.linalg.qr(scaled[:, kept])
            shares = solve_triangular(triangle, frame.T @ scaled[:, left], check_finite=False)
    except LinAlgError:
        # So nearly dependent that rounding has taken the rest.
        _, singular, right = np.linalg.svd(scaled[:, both], full_matrices=True)
        return both, right[int(np.sum(singular > DEPENDENT * singular[0])) :].T
    return both, np.concatenate([-shares, np.eye(left.size)])


def _reduce(null: Array, cost: Array, weights: Array, batch: NDArray[np.intp]) -> None:
    """Zero weights of the batch, in place, along the columns of `null` until none of these is left."""
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
