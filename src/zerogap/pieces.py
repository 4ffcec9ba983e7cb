r"""Pieces: convex cones of neurons on which features are linear, where shared walls do not describe them.

    minimise    L( sum_i T_i (v_i - v'_i) + b 1 ) + beta sum_i ( gauge(v_i) + gauge(v'_i) )
    subject to  K_i v_i >= 0,  K_i v'_i >= 0                                      for all pieces i

A piece has a map T_i and a cone {v : K_i v >= 0} of its own (docs/theory.md, "Program", last paragraph). Its price
for a residual r is at most polar(T_i' r + K_i' lam) for every lam >= 0, polar being the dual norm of the gauge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zerogap.gauges import GroupGauge
from zerogap.losses import Loss
from zerogap.rounding import SUBNORMAL, gamma

Array = NDArray[np.float64]


class Choose(Protocol):
    """From rows (N, q) to cells of their arrangement: the rows each lets through, (P, N), and whether they are all."""

    @property
    def number(self) -> int | None:
        """How many cells are sampled; None for all."""

    @property
    def rng(self) -> np.random.Generator:
        """For sampling."""

    def __call__(self, rows: Array, /) -> tuple[NDArray[np.bool_], bool]: ...


@dataclass(frozen=True, eq=False)
class Pieces:
    """A list of pieces.

    Parameters
    ----------
    maps : (P, n, q) float64
        T_i.
    cones : tuple of P arrays (H_i, q) float64
        K_i, in any scale; without rows where there is no constraint.
    gauge : GroupGauge
    neurons : callable
        From piece indices (m,) and blocks (m, q) in their cones, none with gauge zero, to neurons theta (m, ...) with
        ||E theta|| = 1, and the sizes (m,) that multiply their features: Phi(theta_j) size_j = T v_j, and
        size_j = gauge(v_j), or more in a relaxation.
    complete : bool
        Whether every neuron lies in the closure of a listed piece.
    exact : bool
        Whether every block of a piece is a neuron; otherwise the program is a relaxation, and only its bound is used.
    roundings : int
        Entries of T_i and K_i are off by at most gamma(roundings) times their own size.
    errors : (n, q) float64, optional
        |Phi(theta) size - T_i v| <= errors |v| for every neuron of a piece, beyond that; sums with cancellation need
        it.
    """

    maps: Array
    cones: tuple[Array, ...]
    gauge: GroupGauge
    neurons: Callable[[NDArray[np.intp], Array], tuple[Array, Array]]
    complete: bool
    exact: bool = True
    roundings: int = 0
    errors: Array | None = None

    @property
    def count(self) -> int:
        return int(self.maps.shape[0])

    @property
    def dimension(self) -> int:
        return int(self.maps.shape[2])


@dataclass(frozen=True, eq=False)
class PieceProgram:
    """The program of the module docstring.

    Parameters
    ----------
    pieces : Pieces
    loss : Loss
    beta : float
    offset : bool
        Whether a free constant is added to the output.
    """

    pieces: Pieces
    loss: Loss
    beta: float
    offset: bool = False

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(2, P, q), the shape of the block weights."""
        return 2, self.pieces.count, self.pieces.dimension

    def matmul(self, blocks: Array, offset: float = 0.0) -> Array:
        """Predictions (n,) of block weights (2, P, q)."""
        return np.einsum("inq,iq->n", self.pieces.maps, blocks[0] - blocks[1]) + offset

    def primal(self, blocks: Array, offset: float = 0.0) -> float:
        """The objective, whether or not the blocks lie in their cones."""
        return self.loss.value(self.matmul(blocks, offset)) + self.beta * float(self.pieces.gauge.value(blocks).sum())

    def price_above(self, residual: Array, radius: float, multipliers: list[list[Array]]) -> float:
        """An upper bound of the largest price over pieces and signs; see ``prices_above``."""
        return float(self.prices_above(residual, radius, multipliers).max(initial=0.0))

    def prices_above(self, residual: Array, radius: float, multipliers: list[list[Array]]) -> Array:
        """Upper bounds of the prices of all signs and pieces, (2, P), for every r' within `radius` of the residual.

        Parameters
        ----------
        residual : (n,) float64
        radius : float
            In the largest-entry norm.
        multipliers : for each family and piece an array (H_i,)
            Negative entries count as zero.
        """
        pieces, found = self.pieces, np.zeros(self.shape[:2])
        absolute = np.abs(pieces.maps)
        magnitudes = np.einsum("inq,n->iq", absolute, np.abs(residual))
        doubt = radius * absolute.sum(axis=1)
        gradients = np.einsum("inq,n->iq", pieces.maps, residual)
        operations = gamma(residual.size + pieces.roundings + 8)
        if pieces.errors is not None:
            doubt = doubt + (np.abs(residual) + radius) @ pieces.errors * (1.0 + 1e-12)
        for family, sign in enumerate((1.0, -1.0)):
            for i, cone in enumerate(pieces.cones):
                lam = np.where(multipliers[family][i] > 0.0, multipliers[family][i], 0.0)
                dual = sign * gradients[i] + cone.T @ lam
                size = magnitudes[i] + np.abs(cone).T @ lam
                error = (operations + gamma(cone.shape[0] + 4)) * size + doubt[i] + SUBNORMAL
                found[family, i] = pieces.gauge.polar_above(dual, error)
        return found
