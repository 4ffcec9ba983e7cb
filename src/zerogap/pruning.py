"""Caratheodory pruning of conic combinations.

    sum_j effects_j = sum_j s_j effects_j,  s >= 0,  cost . s <= cost . 1,  at most n non-zero s_j

As long as the effects in use are linearly dependent, their weights can be moved along a null vector, in
the direction that does not raise the cost, until one of them vanishes.
"""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, qr, solve_triangular

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


DEPENDENT = 1e-12
"""An effect depends on others if what is left of it is shorter than this share of its length."""

LARGE = 1e6
"""Where one effect takes larger shares of others, these are nearly dependent themselves: singular values decide."""

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
        # In the scale of the weights.
        _reduce(null / size[kept][:, None], cost, weights, kept)
        kept = kept[weights[kept] > 0.0]
    return weights


def _dependencies(scaled: Array, kept: Indices, fresh: Indices) -> tuple[Indices, Array]:
    """The effects of both lists, and vectors of weights under which they add up to zero: a basis of all such vectors.

    The effects have length one, those of `kept` are independent. No entry of the vectors is larger than one.
    """
    more, left = _independent(scaled, kept, fresh)
    first = np.concatenate([kept, more])
    if not left.size:
        return first, np.zeros((first.size, 0))
    both = np.concatenate([first, left])
    with contextlib.suppress(LinAlgError):
        if first.size == scaled.shape[0]:
            shares = np.linalg.solve(scaled[:, first], scaled[:, left])
        else:
            frame, triangle = np.linalg.qr(scaled[:, first])
            shares = solve_triangular(triangle, frame.T @ scaled[:, left], check_finite=False)
        largest = np.abs(shares).max(axis=0, initial=1.0)
        if np.all(largest < LARGE):
            return both, np.concatenate([-shares, np.eye(left.size)]) / largest
    _, singular, right = np.linalg.svd(scaled[:, both], full_matrices=True)
    return both, right[int(np.sum(singular > DEPENDENT * singular[0])) :].T


def _independent(scaled: Array, kept: Indices, fresh: Indices) -> tuple[Indices, Indices]:
    """Those of `fresh` that are independent of `kept` and of each other, and the others."""
    if kept.size == scaled.shape[0]:
        return fresh[:0], fresh
    frame = np.linalg.qr(scaled[:, kept])[0]
    rest = scaled[:, fresh] - frame @ (frame.T @ scaled[:, fresh])
    # Once more: what is left of an effect near the others' span would be rounding otherwise.
    rest -= frame @ (frame.T @ rest)
    _, triangle, order = qr(rest, mode="economic", pivoting=True, check_finite=False)
    count = int(np.sum(np.abs(np.diagonal(triangle)) > DEPENDENT))
    return fresh[order[:count]], fresh[order[count:]]


def _reduce(null: Array, cost: Array, weights: Array, batch: Indices) -> None:
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
            # Opposite effects share their dependencies: the entry may have left with that of another.
            if not null[zero].any():
                continue
            pivot = int(np.abs(null[zero]).argmax())
            column = null[:, pivot] / null[zero, pivot]
            null = np.delete(null - np.outer(column, null[zero]), pivot, axis=1)
            null[zero] = 0.0
    weights[batch] = current
