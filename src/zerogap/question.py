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
from zerogap.losses import Loss
from zerogap.output_losses import bound_loss, check_loss_name
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.targets import checked_targets
from zerogap.validation import positive, sample_weights
from zerogap.walls import Walls, find_walls

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Question:
    """min over networks of L(f) + beta/2 sum_j (||u_j||^2 + ||w_j||^2), for one architecture on one data set.

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
        target = checked_targets(y, rows.samples, check_loss_name(loss))
        if target.ndim == 2 and 0.0 < architecture.cone < np.inf:
            expected = "one output: its cone penalty is priced by one output weight"
            raise InputError("y", f"{target.shape[1]} outputs with a cone penalty", expected, "leave out cone_penalty")
        weights = sample_weights(sample_weight, rows.samples)
        present = weights > 0.0
        owner = np.full(weights.size, -1, dtype=np.intp)
        if not present.all():
            rows, target, weights = rows.keep(present), target[present], weights[present]
        rows, target, weights, owner[present] = _merged(rows, target, weights)
        return cls(architecture, rows, bound_loss(loss, target, weights, offset=architecture.offset), beta, owner)

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
    def outputs(self) -> int | None:
        """C, the number of outputs; None for a single one, whose targets have shape (n,)."""
        return None if self.loss.targets.ndim == 1 else int(self.loss.targets.shape[1])

    @property
    def cellular(self) -> bool:
        """Whether every neuron has one output weight, so that there is a cell program with shared walls."""
        return self.architecture.cellular and self.outputs is None

    @property
    def nothing(self) -> Array:
        """The outputs of the zero network."""
        return np.zeros(self.loss.targets.shape)

    @property
    def constant(self) -> Any:
        """The output of the best network without neurons: a number, or (C,) for C outputs."""
        if self.architecture.offset:
            return self.loss.best_constant()
        return 0.0 if self.outputs is None else np.zeros(self.outputs)

    @property
    def null_residual(self) -> Array:
        """An optimal dual point of the networks without neurons, (n,) or (n, C)."""
        if self.architecture.offset:
            return self.loss.constant_residual()
        return -self.loss.gradient(self.nothing)


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
