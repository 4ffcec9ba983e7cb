"""The operator of the interior point method: the maps of all cells, and A = [+-T_i ...] over blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from zerogap.solvers import map_kernels

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


class CellMaps:
    """The maps T_i of C cells.

    Parameters
    ----------
    maps : (C, p, n) or (1, p, n) float64
        The transposed T_i, or X' where T_i = D_i X; contiguous.
    activity : (0, n) or (C, n) bool
        The D_i, without rows in the first case.
    """

    def __init__(self, maps: Array, activity: Mask) -> None:
        self.maps, self.activity = maps, activity
        self.arrays = maps.reshape(-1, maps.shape[2]), activity  # for the compiled products

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, p, n)."""
        return self.activity.shape[0] or self.maps.shape[0], self.maps.shape[1], self.maps.shape[2]

    def take(self, cells: Indices) -> CellMaps:
        """Those of some cells."""
        if self.activity.shape[0]:
            return CellMaps(self.maps, self.activity[cells])
        return CellMaps(self.maps[cells], self.activity)

    def dense(self) -> Array:
        """The transposed T_i, (C, p, n)."""
        if self.activity.shape[0]:
            return np.asarray(np.where(self.activity[:, None], self.maps, 0.0))
        return self.maps

    def predictions(self, v: Array) -> Array:
        """T_i v_i of every cell; v (C, p), result (C, n)."""
        if self.activity.shape[0]:
            return np.asarray(np.where(self.activity, v @ self.maps[0], 0.0))
        return np.asarray(np.matmul(v[:, None], self.maps)[:, 0])

    def squares(self) -> Array:
        """The sum of the squares of each coordinate over samples and cells, (p,)."""
        if self.activity.shape[0]:
            return np.asarray((self.maps[0] ** 2) @ self.activity.sum(axis=0))
        return np.asarray(np.einsum("ipn,ipn->p", self.maps, self.maps))

    def gram(self, factors: Array) -> Array:
        """S = sum_i T_i L_i L_i' T_i'; upper triangular L_i' (C, p, p).

        Of the result only the lower triangle of the first n rows and columns means anything.
        """
        if self.activity.shape[0]:
            return np.asarray(map_kernels.masked_gram(factors, self.maps[0], self.activity))
        return np.asarray(dsyrk(1.0, map_kernels.whitened(factors, self.maps).T).T)


class SignedMaps:
    """A = [+-T_i ...] over blocks of given cells and signs, applied without being formed.

    Parameters
    ----------
    maps : CellMaps
    cell : (m,) intp
        The cell of each block.
    sign : (m,) float64
        Its output sign.
    """

    def __init__(self, maps: CellMaps, cell: Indices, sign: Array) -> None:
        self.maps, self.cell, self.sign = maps, cell, sign
        self.arrays = cell, sign, *maps.arrays  # for the compiled products

    def take(self, blocks: Indices) -> SignedMaps:
        """Those of some blocks, with the maps of their cells only."""
        cells, cell = np.unique(self.cell[blocks], return_inverse=True)
        return SignedMaps(self.maps.take(cells), cell, self.sign[blocks])

    def stacked(self) -> Array:
        """A' itself, (p, m, n)."""
        return np.asarray((self.maps.dense()[self.cell] * self.sign[:, None, None]).transpose(1, 0, 2))

    def forward(self, v: Array) -> Array:
        """A v; v (p, m), result (n,)."""
        return np.asarray(map_kernels.forward(v, *self.arrays))

    def adjoint(self, r: Array) -> Array:
        """A' r; r (n,), result (p, m)."""
        return np.asarray(map_kernels.adjoint(r, *self.arrays, self.maps.shape[1]))
