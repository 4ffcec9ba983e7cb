r"""Rigorous upper bounds of the price of every piece, and the multipliers that make them tight.

    price_i(r) = max { r . T_i v : K_i v >= 0, gauge(v) <= 1 } = min over lam >= 0 of polar(T_i' r + K_i' lam).

Every lam gives a bound, so lam may come from anywhere. For a Euclidean gauge the best one solves a non-negative least
squares problem; for others a small conic program does (docs/theory.md, "Price of a cell").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.cones import polar_multipliers
from zerogap.pieces import PieceProgram
from zerogap.solvers.conic_prices import conic_multipliers

Array = NDArray[np.float64]


def best_price(program: PieceProgram, residual: Array, multipliers: list[list[Array]] | None, *, refine: bool) -> float:
    """An upper bound of the largest price over pieces and signs.

    Parameters
    ----------
    program : PieceProgram
    residual : (n,) float64
        With a free bias its entries sum to zero exactly.
    multipliers : for each family and piece an array (H_i,), optional
        Tried beside zero.
    refine : bool
        Compute the best multipliers where the others do not bring a price down to beta.
    """
    nothing = [[np.zeros(cone.shape[0]) for cone in program.pieces.cones]] * 2
    prices = program.prices_above(residual, 0.0, nothing)
    if multipliers is not None:
        prices = np.fmin(prices, program.prices_above(residual, 0.0, multipliers))
    if refine:
        gradients = np.einsum("inq,n->iq", program.pieces.maps, residual)
        found = [list(family) for family in nothing]
        for family, piece in np.argwhere(~(prices <= program.beta)):
            found[family][piece] = _multipliers(program, int(piece), gradients[piece] * (1.0, -1.0)[family])
        prices = np.fmin(prices, program.prices_above(residual, 0.0, found))
    return float(prices.max(initial=0.0))


def _multipliers(program: PieceProgram, piece: int, gradient: Array) -> Array:
    """(Nearly) the best multipliers of one piece and sign; rows of a cone count with length one while solving."""
    cone, gauge = program.pieces.cones[piece], program.pieces.gauge
    if not cone.shape[0]:
        return np.zeros(0)
    length = np.linalg.norm(cone, axis=1)
    penalised = gauge.penalised
    if penalised is None:
        return conic_multipliers(gauge, cone / length[:, None], gradient) / length
    return polar_multipliers(cone / length[:, None], gradient, ~penalised) / length
