r"""The program of pieces as one conic program for Clarabel.

    minimise    loss(e) + beta sum_b t_b
    subject to  e = sum_b A_b v_b + b 1 - target,  gauge(v_b) <= t_b,  K_b v_b >= 0

with the losses of ``zerogap.solvers.conic_losses`` and the gauges of ``zerogap.solvers.conic_gauge``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from zerogap.solvers.interrupts import noted_interrupts

Array = NDArray[np.float64]


ATTEMPTS = ((1.0, True), (100.0, False), (1000.0, False), (100.0, True))
"""Factor of the objective, and whether Clarabel equilibrates. Which one is most accurate changes from case to case."""


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
    interrupted : bool
        By Ctrl-C: this is the iterate that the solver had reached.
    """

    blocks: Array
    offset: float
    residual: Array
    multipliers: list[list[Array]]
    dual: Array
    interrupted: bool = False


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

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, if there are no finite numbers to hand out.
    """
    import clarabel

    factor, equilibrate = attempt
    program, units = _in_units(program)
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
    settings.tol_gap_rel = settings.tol_feas = tol
    # The absolute gap would end a run early where beta, and with it the optimum, is tiny.
    settings.tol_gap_abs = 1e-8 * tol
    settings.time_limit = max_time
    settings.equilibrate_enable = equilibrate
    if program.loss.name == "logistic":
        settings.max_step_fraction = CAUTIOUS
    if not equilibrate:
        settings.static_regularization_constant = 1e-10
    solver = clarabel.DefaultSolver(objective, factor * cost, matrix, right, cones, settings)
    with noted_interrupts() as interrupt:
        solver.set_termination_callback(interrupt.asked)
        solution = solver.solve()
    x, z = np.array(solution.x), np.array(solution.z) / factor
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        if interrupt.pending:
            raise KeyboardInterrupt
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
    return PieceSolution(blocks / units, offset, residual, multipliers, z[:n], interrupt.pending)


def _in_units(program: PieceProgram) -> tuple[PieceProgram, Array]:
    """The program in v' = units v, powers of two that bring the maps near one.

    All coordinates that cost have one unit, by which beta is divided; free ones have their own.
    """
    pieces = program.pieces
    peaks = np.abs(pieces.maps).max(axis=(0, 1), initial=0.0)
    free = [rows for rows, cost in zip(pieces.gauge.groups, pieces.gauge.costs, strict=True) if cost == 0.0]
    loose = (
        np.any(pieces.gauge.basis[np.concatenate(free)] != 0.0, axis=0) if free else np.zeros(peaks.size, dtype=bool)
    )
    common = _power(float(peaks[~loose].max(initial=0.0)))
    units = np.where(loose, [_power(float(peak)) for peak in peaks], common)
    cones = tuple(cone / units for cone in pieces.cones)
    return PieceProgram(
        replace(pieces, maps=pieces.maps / units, cones=cones), program.loss, program.beta / common, program.offset
    ), units


def _power(size: float) -> float:
    """A power of two near a size, one for zero."""
    return float(np.ldexp(1.0, int(np.frexp(size)[1]))) if size > 0.0 else 1.0


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
