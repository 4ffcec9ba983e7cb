r"""ReLU networks on spike-free rows, group by group: residuals, hidden outputs and what was decided.

The two cases with a network that attains the bound, and the formulas, are those of
``zerogap.closed_forms.soft_thresholded_svd``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from zerogap.closed_forms.complete_positivity import nonnegative_factor
from zerogap.closed_forms.shrinkage import shrunk
from zerogap.closed_forms.spike_free import ORTHOGONAL, Groups, SpikeFree

Array = NDArray[np.float64]

PARALLEL = 1e-12
"""Relative tolerance of angles between rows of Y."""

STARTS = 32
"""Rows of Y that start a neuron of their own, where the network has no closed form."""


@dataclass(frozen=True, eq=False)
class Part:
    """The closed form of a group of rows, or of all of them.

    Parameters
    ----------
    residual : (n, C) float64
        R, whose dual value is the bound.
    activations : (n, m) float64
        Non-negative outputs of the hidden neurons; where nothing is solved, a start for descent.
    second : (m, C) float64 or None
        Their output weights, if this network attains the bound.
    reason : str
    """

    residual: Array
    activations: Array
    second: Array | None
    reason: str


def partition(geometry: SpikeFree, Y: Array) -> Groups:
    """Groups of rows, across which the metric vanishes and no two rows of Y make an acute angle."""
    lengths = np.linalg.norm(Y, axis=1)
    acute = PARALLEL * np.outer(lengths, lengths) < (Y @ Y.T)
    count, labels = connected_components(acute | (geometry.factor != 0.0), directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]


def solved(geometry: SpikeFree, Y: Array, group: NDArray[np.intp], beta: float) -> Part:
    """The closed form of some rows on their own; arrays with as many rows."""
    targets, factor = Y[group], geometry.block(group)
    left, singular, right = np.linalg.svd(geometry.scaled(targets, group), full_matrices=False)
    kept = singular > beta
    if not kept.any():
        return Part(targets, np.zeros((group.size, 0)), np.zeros((0, Y.shape[1])), "all singular values below beta")
    residual = factor @ ((left * np.minimum(singular, beta)) @ right)
    left, right, excess = left[:, kept], right[kept], singular[kept] - beta
    inverse_lengths = np.diagonal(factor)
    typical = float(inverse_lengths.mean())
    if geometry.diagonal and np.abs(inverse_lengths / typical - 1.0).max() <= ORTHOGONAL:
        factored = nonnegative_factor((left * excess) @ left.T, group)
        if factored.factor is not None:
            second = typical * (factored.factor.T @ left) @ right
            return Part(residual, factored.factor, second, f"S* completely positive ({factored.reason})")
        reason = f"S* not found completely positive: {factored.reason}"
    else:
        direction = targets[np.linalg.norm(targets, axis=1).argmax()]
        direction = direction / np.linalg.norm(direction)
        heights = targets @ direction
        away = float(np.linalg.norm(targets - np.outer(heights, direction)) / np.linalg.norm(targets))
        metric = geometry.metric[np.ix_(group, group)]
        if away <= 1e-3 * ORTHOGONAL and heights.min() >= 0.0:
            fit, rest = shrunk(heights, metric, beta)
            fit = np.maximum(fit, 0.0)
            root = np.sqrt(np.sqrt(float(fit @ metric @ fit)))
            neuron, second = (fit / root)[:, None], root * direction[None]
            return Part(np.outer(rest, direction), neuron, second, "targets on one ray")
        reason = f"X_k X_k' is no multiple of I, and targets are off a common ray by {away:.2g}"
    # Positive parts of the singular vectors of both signs, in the metric of the weights, and of what the longest
    # rows of Y would ask for alone.
    vectors = np.linalg.solve(factor.T, left) * (typical * np.sqrt(excess))
    longest = targets[np.argsort(-np.linalg.norm(targets, axis=1), kind="stable")[:STARTS]]
    wanted = np.maximum(targets @ longest.T, 0.0)
    wanted *= np.linalg.norm(vectors[:, 0]) / np.maximum(np.linalg.norm(wanted, axis=0), 1e-300)
    start = np.hstack([np.maximum(vectors, 0.0), np.maximum(-vectors, 0.0), wanted])
    return Part(residual, start[:, start.any(axis=0)], None, reason)


def joined(parts: list[Part], groups: Groups, n: int) -> Part:
    """The groups side by side."""
    width = sum(part.activations.shape[1] for part in parts)
    residual = np.zeros((n, parts[0].residual.shape[1]))
    activations = np.zeros((n, width))
    seconds: list[Array] = []
    filled = 0
    for part, group in zip(parts, groups, strict=True):
        residual[group] = part.residual
        activations[group, filled : filled + part.activations.shape[1]] = part.activations
        filled += part.activations.shape[1]
        if part.second is not None:
            seconds.append(part.second)
    second = np.vstack(seconds) if len(seconds) == len(parts) else None
    failed = [part.reason for part in parts if part.second is None]
    reasons = failed or [part.reason for part in parts]
    counts = ", ".join(f"{reasons.count(reason)} with {reason}" for reason in dict.fromkeys(reasons))
    reason = reasons[0] if len(parts) == 1 else f"of {len(parts)} groups of rows {counts}"
    return Part(residual, activations, second, reason)
