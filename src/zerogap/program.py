"""The convex program of a list of cells (docs/theory.md, "Program").

    minimise    L( sum_i T_i (v_i - v'_i) + b 1 ) + beta sum_i ( gauge(v_i) + gauge(v'_i) )
    subject to  s_ih n_h . v_i >= 0,  s_ih n_h . v'_i >= 0    for all cells i and walls h

(P2, program 8; P0, sum and average pooling). ``cone_penalty`` replaces the constraints by
rho * sum of violations over the raw rows (infinite: the constraints; 0: none, gated networks, and then
one family v_i suffices). The offset b exists only if the bias is not penalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells
from zerogap.cones import polar_multipliers
from zerogap.gauges import EuclideanGauge
from zerogap.losses import Loss
from zerogap.operator import CellOperator
from zerogap.rows import Rows
from zerogap.walls import Walls

Array = NDArray[np.float64]


INSIDE = 1e-10
"""Distance behind a wall, relative to the longest block, that still counts as inside a hard cone."""


@dataclass(frozen=True, eq=False)
class Program:
    """A frozen cell program.

    Parameters
    ----------
    rows, walls, cells
        Data and arrangement; P cells, H walls, n samples, p entries per block.
    gauge : EuclideanGauge
    loss : Loss
        Bound to its targets and weights.
    beta : float
    cone_penalty : float
        In [0, inf].
    offset : bool
        Whether a free constant is added to the output.
    """

    rows: Rows
    walls: Walls
    cells: Cells
    gauge: EuclideanGauge
    loss: Loss
    beta: float
    cone_penalty: float = np.inf
    offset: bool = False

    @cached_property
    def families(self) -> Array:
        """The output signs of the block families: (+1, -1), or (+1,) without cones."""
        return np.array([1.0, -1.0]) if self.cone_penalty > 0.0 else np.array([1.0])

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(families, P, p), the shape of the block weights."""
        return self.families.size, self.cells.count, self.rows.dimension

    @cached_property
    def operator(self) -> CellOperator:
        activity = self.walls.activity(self.cells.signs)
        n, K, _ = self.rows.matrix.shape
        return CellOperator(self.rows, activity.reshape(-1, n, K))

    def transposed_maps(self) -> tuple[Array, NDArray[np.bool_]]:
        """T_i' of all cells, (P, p, n), and (0, n); or with one row per sample X', (1, p, n), and D, (P, n)."""
        operator, (n, K, _) = self.operator, self.rows.matrix.shape
        if K > 1:
            blocks = np.asarray(operator.blocks())
            return np.ascontiguousarray(blocks.transpose(1, 2, 0)), np.zeros((0, n), dtype=bool)
        columns = np.ascontiguousarray(self.rows.matrix.transpose(1, 2, 0)) * self.rows.scale
        return columns, np.ascontiguousarray(operator.activity[:, :, 0])

    @cached_property
    def row_weights(self) -> Array:
        """The weight of the sample of each raw row, (n K,)."""
        return np.repeat(self.loss.weights, self.rows.matrix.shape[1])

    @cached_property
    def wall_caps(self) -> Array:
        """Upper bounds of the cone multipliers per unit wall normal, (H,): rho times the weighted row lengths."""
        if not 0.0 < self.cone_penalty < np.inf:
            return np.full(self.walls.count, self.cone_penalty)
        return self.cone_penalty * self.walls.row_sums(self.row_weights * np.linalg.norm(self.rows.flat, axis=1))

    def matmul(self, blocks: Array, offset: float = 0.0) -> Array:
        """Predictions (n,) of block weights (families, P, p)."""
        merged = np.tensordot(self.families, blocks, axes=1)
        return np.asarray(self.operator.matmul(merged)) + offset

    def adjoint(self, residual: Array) -> Array:
        """Signed T_i' r for every block; residual (n,), result (families, P, p)."""
        return self.families[:, None, None] * np.asarray(self.operator.adjoint(residual))[None]

    def violation(self, blocks: Array) -> float:
        """Cone violations weighted by ``wall_caps`` (the penalty of a finite `cone_penalty`)."""
        if self.cone_penalty == 0.0:
            return 0.0
        sign = np.where(self.cells.signs, 1.0, -1.0)
        below = np.maximum(0.0, -sign[None] * (blocks @ self.walls.normals.T))
        # Solvers return points on the walls: what rounding explains is no violation of a constraint.
        if self.cone_penalty == np.inf:
            below[below <= INSIDE * np.linalg.norm(blocks, axis=2).max(initial=0.0)] = 0.0
        total = below.sum(axis=(0, 1))
        used = total > 0.0
        return float(total[used] @ self.wall_caps[used])

    def primal(self, blocks: Array, offset: float = 0.0) -> float:
        """The objective; infinite outside the cones if they are constraints."""
        value = self.loss.value(self.matmul(blocks, offset)) + self.beta * float(self.gauge.value(blocks).sum())
        return value + self.violation(blocks)

    def dual(self, residual: Array) -> float:
        """The dual objective of the residual, scaled until feasible (weak duality; not rounding-safe)."""
        price = self.price(residual)
        largest = self.beta / price if price > 0.0 else np.inf
        return self.loss.dual_value(self.loss.best_scale(residual, largest) * residual)

    def price(self, residual: Array) -> float:
        """max over cells and signs of { r . T_i u : u in cone i, gauge(u) <= 1 }."""
        families = np.array([1.0, -1.0])
        gradients = families[:, None, None] * np.asarray(self.operator.adjoint(residual))[None]
        free = ~self.gauge.penalised
        best = 0.0
        for cell in range(self.cells.count):
            generators = np.where(self.cells.signs[cell], 1.0, -1.0)[:, None] * self.walls.normals
            for gradient in gradients[:, cell]:
                if self.cone_penalty > 0.0 and np.linalg.norm(gradient[~free]) > best:
                    multipliers = polar_multipliers(generators, gradient, free)
                    multipliers = np.minimum(multipliers, self.wall_caps)
                    gradient = gradient + generators.T @ multipliers
                best = max(best, float(np.linalg.norm(gradient[~free])))
        return best

    def null_residual(self) -> Array:
        """An optimal dual point of the networks without neurons, (n,)."""
        if self.offset:
            return self.loss.constant_residual()
        return -self.loss.gradient(np.zeros(self.rows.samples))

    def critical_beta(self) -> float:
        """The beta from which on the network without neurons is optimal (over the listed cells).

        With the hinge loss and an offset the subgradient at that network is not unique; the value is
        then an upper bound.
        """
        return self.price(self.null_residual())
