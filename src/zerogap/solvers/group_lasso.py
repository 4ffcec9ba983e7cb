r"""The best output weights of given neurons: a group lasso.

    minimise over w_j in R^a and b     L( sum_j Phi_j w_j + b 1 ) + beta sum_j ||w_j||

This is the cell program without walls, one family of blocks, and the features of the neurons as its maps, so the
interior point method solves it as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells
from zerogap.gauges import EuclideanGauge
from zerogap.losses import Loss
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.solvers.iterate import Iterate
from zerogap.walls import find_walls

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Given:
    """An operator whose maps are given, (n, m, a)."""

    maps: Array

    def blocks(self) -> Array:
        return self.maps

    def matmul(self, blocks: Array) -> Array:
        return np.asarray(np.tensordot(self.maps, blocks, axes=([1, 2], [0, 1])))

    def adjoint(self, residual: Array) -> Array:
        return np.asarray(np.tensordot(residual, self.maps, axes=1))


class GroupLasso(Program):
    """The program of neurons with features `values` (n, a, m)."""

    def __init__(self, values: Array, loss: Loss, beta: float, *, offset: bool) -> None:
        n, a, m = values.shape
        nothing = np.zeros((n, 1, a))
        cells = Cells(np.zeros((m, 0), dtype=bool), np.full((m, a), 1.0 / np.sqrt(a)))
        gauge = EuclideanGauge(np.ones(a, dtype=bool))
        super().__init__(Rows(nothing), find_walls(nothing[:, 0]), cells, gauge, loss, beta, 0.0, offset)
        self.__dict__["operator"] = _Given(np.ascontiguousarray(values.transpose(0, 2, 1)))

    def transposed_maps(self) -> tuple[Array, NDArray[np.bool_]]:
        maps = np.asarray(self.operator.blocks())
        return np.ascontiguousarray(maps.transpose(1, 2, 0)), np.zeros((0, maps.shape[0]), dtype=bool)


def group_lasso(
    values: Array, loss: Loss, beta: float, *, offset: bool, tol: float, start: Array | None = None
) -> Iterator[Iterate]:
    """Iterates for neurons with features (n, a, m), up to a relative gap of `tol`; blocks are (1, m, a).

    For C outputs see ``zerogap.solvers.vector_lasso``: blocks are (1, m, a, C), and `start` (m, a, C) is used.
    """
    from zerogap.solvers.interior_point import InteriorPoint
    from zerogap.solvers.vector_lasso import vector_lasso

    if loss.targets.ndim == 2:
        yield from vector_lasso(values, loss, beta, offset=offset, tol=tol, start=start)
        return
    for iterate in InteriorPoint(GroupLasso(values, loss, beta, offset=offset)):
        yield iterate
        if iterate.gap <= tol:
            return
