"""A training question: data, architecture, loss and beta, checked once and kept raw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import Architecture
from zerogap.arrangements import Cells
from zerogap.errors import InputError
from zerogap.losses import Loss, make_loss
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.validation import positive, sample_weights, targets
from zerogap.walls import Walls, find_walls

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Question:
    """min over networks of L(f) + beta/2 sum_j (||u_j||^2 + w_j^2), for one architecture on one data set.

    Samples of weight zero have been dropped: they neither add loss nor cut cells, as if they were absent.
    Equal samples with equal targets have been merged into one with the sum of their weights. ``owner``
    says for every sample that was given which one of these stands for it (-1: none).
    """

    architecture: Architecture
    rows: Rows
    loss: Loss
    beta: float
    owner: NDArray[np.intp]

    @classmethod
    def of(
        cls, architecture: Architecture, X: Any, y: Any, *, loss: str, beta: float, sample_weight: Any = None
    ) -> Question:
        """Check the arguments.

        Raises
        ------
        InputError
            For any of them.
        """
        if not isinstance(architecture, Architecture):
            raise InputError("architecture", repr(architecture), "an instance such as zg.MLP()", "construct one first")
        beta = positive("beta", beta)
        rows = architecture.rows(X)
        target = targets(y, rows.samples)
        weights = sample_weights(sample_weight, rows.samples)
        present = weights > 0.0
        owner = np.full(weights.size, -1, dtype=np.intp)
        if not present.all():
            rows, target, weights = rows.keep(present), target[present], weights[present]
        rows, target, weights, owner[present] = _merged(rows, target, weights)
        return cls(architecture, rows, make_loss(loss, target, weights), beta, owner)

    @cached_property
    def walls(self) -> Walls:
        return find_walls(self.rows.flat)

    def program(self, cells: Cells) -> Program:
        """The convex program of a list of cells."""
        architecture = self.architecture
        gauge = architecture.gauge(self.rows.dimension)
        return Program(
            self.rows, self.walls, cells, gauge, self.loss, self.beta, architecture.cone, architecture.offset
        )

    @property
    def constant(self) -> float:
        """The output of the best network without neurons."""
        return self.loss.best_constant() if self.architecture.offset else 0.0


def _merged(rows: Rows, target: Array, weights: Array) -> tuple[Rows, Array, Array, NDArray[np.intp]]:
    """Equal samples with equal targets as one; only where the sum of the weights is exact. Last, the owners."""
    itself = np.arange(rows.samples)
    if np.any(weights != np.rint(weights)) or weights.sum() >= 2.0**53:
        return rows, target, weights, itself
    table = np.column_stack([rows.matrix.reshape(rows.samples, -1), target])
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    if first.size == rows.samples:
        return rows, target, weights, itself
    total = np.bincount(inverse.reshape(-1), weights=weights).astype(np.float64)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = itself[: order.size]
    first = first[order]
    return (
        replace(rows, matrix=np.ascontiguousarray(rows.matrix[first])),
        target[first],
        total[order],
        rank[inverse.reshape(-1)],
    )
