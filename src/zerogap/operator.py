"""The linear operator of a cell program: V -> sum_i T_i v_i and its adjoint.

The operator is applied through the rows, without forming any T_i; ``blocks`` forms those of the cells
that a solver works on. Only the array API standard is used, so that rows and activity may live in
another array library (on a GPU, or in pieces on a cluster).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from zerogap.rows import Rows


@dataclass(frozen=True, eq=False)
class CellOperator:
    """T = [T_1 ... T_P] with T_i u = scale * sum_k D_i^k (M_k u).

    Parameters
    ----------
    rows : Rows
        matrix (n, K, p).
    activity : (P, n, K) bool
        Which rows each cell lets through.
    """

    rows: Rows
    activity: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, P, p)."""
        return self.rows.samples, int(self.activity.shape[0]), self.rows.dimension

    def matmul(self, blocks: Any) -> Any:
        """sum_i T_i v_i; blocks (P, p), result (n,)."""
        xp = array_namespace(self.rows.matrix)
        values = xp.matmul(self.rows.matrix, xp.permute_dims(blocks, (1, 0)))  # (n, K, P)
        mask = xp.astype(xp.permute_dims(self.activity, (1, 2, 0)), values.dtype)
        return xp.sum(values * mask, axis=(1, 2)) * self.rows.scale

    def adjoint(self, residual: Any) -> Any:
        """T_i' r of all cells; residual (n,), result (P, p)."""
        xp = array_namespace(self.rows.matrix)
        cells, samples, positions = self.activity.shape
        mask = xp.astype(self.activity, residual.dtype)
        coefficients = xp.reshape(mask * residual[None, :, None], (cells, samples * positions))
        flat = xp.reshape(self.rows.matrix, (samples * positions, self.rows.dimension))
        return xp.matmul(coefficients, flat) * self.rows.scale

    def blocks(self, active: Any = None) -> Any:
        """T_i of the cells `active` (default all) as one array of shape (n, P_active, p)."""
        xp = array_namespace(self.activity)
        chosen = self.activity if active is None else xp.take(self.activity, active, axis=0)
        return self.rows.blocks(chosen)
