r"""The program of pieces as one conic program for Clarabel.

    minimise    loss(e) + beta sum_b t_b
    subject to  e = sum_b A_b v_b + b 1 - target,  gauge(v_b) <= t_b,  K_b v_b >= 0

with the losses of ``zerogap.solvers.conic_losses`` and the gauges of ``zerogap.solvers.conic_gauge``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap.pieces import PieceProgram
from zerogap.solvers.conic import CAUTIOUS
from zerogap.solvers.conic_gauge import gauge_groups, gauge_values, gauge_variables
from zerogap.solvers.conic_losses import (
    Group,
    assembled,
    loss_cost,
    loss_groups,
    loss_target,
    loss_variables,
    margin_group,
    slices,
)

Array = NDArray[np.float64]


ATTEMPTS = ((1.0, True), (10.0, False), (3.0, True), (0.1, False))
"""Factor of the objective, and whether Clarabel equilibrates; see ``zerogap.solvers.conic``."""


@dataclass(frozen=True, eq=False)
class PieceSolution:
    """What Clarabel returns; nobody believes it before it has been judged.

    Parameters
    ----------
    blocks : (2, P, q) float64
    offset : float
    residual : (n,) float64
        Minus the gradient at the predictions, or the multipliers of the hinge loss.
    multipliers : for each family and piece an array (H_i,)
    dual : (n,) float64
        The multipliers of the predictions. At an optimum it equals the residual, but it is off by the tolerance of the
        solver where the gradient, continuous in the predictions, may be off by the root of that.
    """

    blocks: Array
    offset: float
    residual: Array
    multipliers: list[list[Array]]
    dual: Array


def solve_pieces(
    program: PieceProgram,
    *,
    tol: float = 1e-10,
    max_time: float = np.inf,
    attempt: tuple[float, bool] = ATTEMPTS[0],
) -> PieceSolution | None:
    """Clarabel's solution of a program of pieces; None if its numbers are not finite.

    Parameters
    ----------
    program : PieceProgram
    tol : float
        Clarabel's tolerances.
    max_time : float
        Seconds.
    attempt : (float, bool)
        One of ``ATTEMPTS``.
    """
    import clarabel

    factor, equilibrate = attempt
    columns = _columns(program)
    matrix, right, cones = assembled(_constraints(program), columns)
    cost, curvature = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
    families, count, _ = program.shape
    for name, rows in gauge_values(program.pieces.gauge, families * count).items():
        cost[columns[name]] = program.beta * rows.sum(axis=0)
    loss_cost(program.loss, cost, curvature, columns)
    objective = sp.csc_array(sp.diags_array(factor * curvature))
    objective.eliminate_zeros()
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = tol
    settings.time_limit = max_time
    settings.equilibrate_enable = equilibrate
    if program.loss.name == "logistic":
        settings.max_step_fraction = CAUTIOUS
    if not equilibrate:
        settings.static_regularization_constant = 1e-10
    solution = clarabel.DefaultSolver(objective, factor * cost, matrix, right, cones, settings).solve()
    x, z = np.array(solution.x), np.array(solution.z) / factor
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        return None
    blocks = x[columns["blocks"]].reshape(program.shape)
    offset = float(x[columns["offset"]].sum())
    n = program.loss.targets.size
    if program.loss.smooth:
        residual = -program.loss.gradient(program.matmul(blocks, offset))
        place = n
    else:
        residual = program.loss.targets * np.clip(z[n : 2 * n], 0.0, program.loss.weights)
        place = 2 * n
    multipliers: list[list[Array]] = []
    for _ in range(families):
        multipliers.append([])
        for cone in program.pieces.cones:
            multipliers[-1].append(np.maximum(z[place : place + cone.shape[0]], 0.0))
            place += cone.shape[0]
    return PieceSolution(blocks, offset, residual, multipliers, z[:n])


def _columns(program: PieceProgram) -> dict[str, slice]:
    families, count, q = program.shape
    return slices(
        {
            "blocks": families * count * q,
            **gauge_variables(program.pieces.gauge, families * count),
            "output": program.loss.targets.size,
            "offset": int(program.offset),
            "loss": loss_variables(program.loss),
        }
    )


def _constraints(program: PieceProgram) -> Iterator[Group]:
    import clarabel

    families, count, q = program.shape
    pieces, loss, n = program.pieces, program.loss, program.loss.targets.size
    matrix = pieces.maps.transpose(1, 0, 2).reshape(n, count * q)
    outputs: dict[str, Any] = {
        "blocks": sp.csc_array(np.concatenate([-matrix, matrix], axis=1)),
        "output": sp.eye_array(n),
        "offset": sp.csc_array(-np.ones((n, 1))),
    }
    yield outputs, -loss_target(loss), [clarabel.ZeroConeT(n)]
    if not loss.smooth:
        yield margin_group(loss)
    walls = sum(cone.shape[0] for cone in pieces.cones)
    if walls:
        each: Any = sp.block_diag([-cone for cone in pieces.cones], format="csc")
        both: Any = sp.block_diag([each] * families, format="csc")
        yield {"blocks": both}, np.zeros(families * walls), [clarabel.NonnegativeConeT(families * walls)]
    yield from gauge_groups(pieces.gauge, families * count)
    yield from loss_groups(loss)
