r"""The cell program as one conic program for Clarabel: the reference that other solvers are judged by.

    minimise    loss(e) + beta sum_b t_b + sum_bh cap_h w_bh
    subject to  e = sum_b A_b v_b + b 1 - target,  ||E v_b|| <= t_b,  K_b v_b + w_b >= 0,  w_b >= 0

with the losses of ``zerogap.solvers.conic_losses``.

There is no w with hard cones, and neither w nor K with gated networks (docs/theory.md, "Program").
Clarabel: Goulart and Chen, "Clarabel: an interior-point solver for conic programs with quadratic
objectives", 2024.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap import clock
from zerogap.cones import margins
from zerogap.program import Program
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
from zerogap.solvers.iterate import Iterate

Array = NDArray[np.float64]

FINEST = 1e-12
"""The smallest tolerance that Clarabel is asked for."""

ATTEMPTS = ((1.0, True), (10.0, False), (3.0, True))
"""Factor of the objective, and whether Clarabel equilibrates; the last one first with exponential cones,
where each of them fails on some percent of small random programs, but hardly ever all on the same one."""

CAUTIOUS = 0.9
"""Step fraction with exponential cones: with the usual 0.99 some percent more of the programs fail."""


class Conic:
    """One iterate: Clarabel's solution, moved into the cones; see the module docstring.

    The residual is the gradient at the predictions, whose error is of the order of the root of that of
    the objective; Clarabel is therefore asked for the square of the tolerance, which costs a few steps.
    Its status is not consulted: what it returns is judged by the gap of the iterate. If the gap is too
    large, Clarabel is called again (`ATTEMPTS`), and the smallest gap wins. There is no iterate if no
    numbers are finite.

    Parameters
    ----------
    program : Program
    tol : float
        Relative gap to aim at.
    max_time : float, optional
        Seconds for Clarabel, not counting the construction of the conic program; default no limit.
    """

    def __init__(self, program: Program, tol: float = 1e-8, max_time: float | None = None) -> None:
        self._program, self._tol = program, tol
        self._max_time = np.inf if max_time is None else max_time

    def __iter__(self) -> Iterator[Iterate]:
        form, stop = conic_form(self._program), clock.now() + self._max_time
        best: Iterate | None = None
        iterations = 0
        for factor, equilibrate in ATTEMPTS[:: -1 if self._program.loss.name == "logistic" else 1]:
            left = stop - clock.now()
            if left <= 0.0:
                break
            solution = self._solve(form, factor, equilibrate, left)
            iterations += solution.iterations
            found = recover(self._program, np.array(solution.x), np.array(solution.z) / factor, iterations)
            if found is not None and (best is None or abs(found.gap) < abs(best.gap)):
                best = found
            if best is not None and abs(best.gap) <= self._tol:
                break
        if best is not None:
            yield best

    def _solve(self, form: tuple[Any, ...], factor: float, equilibrate: bool, max_time: float) -> Any:
        import clarabel

        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = max(self._tol**2, FINEST)
        settings.time_limit = max_time
        settings.equilibrate_enable = equilibrate
        if self._program.loss.name == "logistic":
            settings.max_step_fraction = CAUTIOUS
        if not equilibrate:
            settings.static_regularization_constant = 1e-10
        objective, cost, *rest = form
        return clarabel.DefaultSolver(factor * objective, factor * cost, *rest, settings).solve()


def conic_form(program: Program) -> tuple[Any, Array, Any, Array, list[Any]]:
    """The conic program  min 1/2 x' P x + q' x  subject to  b - A x in a product of cones.

    Parameters
    ----------
    program : Program

    Returns
    -------
    P, q, A, b, cones
        The arguments of ``clarabel.DefaultSolver``: P (upper triangle) and A are sparse by columns, and
        the cones are Clarabel's. ``recover`` translates the solution back.
    """
    columns = _columns(program)
    matrix, right, cones = assembled(_constraints(program), columns)
    cost, curvature = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
    cost[columns["heights"]] = program.beta
    if columns["violations"].stop > columns["violations"].start:
        cost[columns["violations"]] = np.tile(program.wall_caps, program.families.size * program.cells.count)
    loss_cost(program.loss, cost, curvature, columns)
    objective = sp.csc_array(sp.diags_array(curvature))
    objective.eliminate_zeros()
    return objective, cost, matrix, right, cones


def recover(program: Program, x: Array, z: Array, iterations: int) -> Iterate | None:
    """The iterate that belongs to a solution of ``conic_form(program)``.

    Parameters
    ----------
    program : Program
    x, z : float64
        Primal and dual variables.
    iterations : int
        Counted as one forward and one adjoint product each.

    Returns
    -------
    Iterate or None
        None if `x` or `z` is not finite.
    """
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        return None
    columns, rows, shape = _columns(program), _rows(program), program.shape
    blocks = x[columns["blocks"]].reshape(shape)
    if program.cone_penalty == np.inf:
        blocks = inside(program, blocks)
    offset = float(x[columns["offset"]].sum())
    if program.loss.smooth:
        residual = -program.loss.gradient(program.matmul(blocks, offset))
    else:
        residual = program.loss.targets * np.clip(z[rows["loss"]], 0.0, program.loss.weights)
    gradient, multipliers = program.adjoint(residual), None
    if program.cone_penalty > 0.0:
        multipliers = np.clip(z[rows["walls"]].reshape(*shape[:2], -1), 0.0, program.wall_caps)
        gradient = gradient + (np.where(program.cells.signs, 1.0, -1.0) * multipliers) @ program.walls.normals
    price = float(program.gauge.value(gradient).max(initial=0.0))
    largest = program.beta / price if price > 0.0 else np.inf
    dual = program.loss.dual_value(program.loss.best_scale(residual, largest) * residual)
    primal = program.primal(blocks, offset)
    compute = None if multipliers is None else lambda: multipliers
    return Iterate(blocks, offset, residual, compute, primal, dual, 2.0 * iterations + 2.0)


def inside(program: Program, blocks: Array) -> Array:
    """The blocks, moved into the cones of their cells.

    A block v with a margin that is negative, or not positive beyond rounding, becomes v + tau c with
    the centre c of its cell and the smallest tau that mends this, or 0 if that is nearer.

    Parameters
    ----------
    program : Program
    blocks : (families, P, p) float64

    Returns
    -------
    (families, P, p) float64
    """
    normals, signs, centres = program.walls.normals, program.cells.signs, program.cells.centres
    reach, length = margins(normals, signs, centres), np.linalg.norm(centres, axis=1)
    moved = np.empty_like(blocks)
    for family, block in enumerate(blocks):
        size = np.linalg.norm(block, axis=1)
        # More than the rounding error of p products: the verdict must not depend on the order of summation.
        floor = 8.0 * block.shape[1] * np.finfo(np.float64).eps * size
        tau = np.max((floor[:, None] - margins(normals, signs, block)) / reach, axis=1, initial=0.0)
        near = tau * length < size
        moved[family] = np.where(near[:, None], block + tau[:, None] * centres, 0.0)
    return moved


def _columns(program: Program) -> dict[str, slice]:
    """The places of the variables v, t, e, b, w and of those of the loss."""
    families, cells, p = program.shape
    n, m = program.rows.samples, families * cells
    return slices(
        {
            "blocks": m * p,
            "heights": m,
            "output": n,
            "offset": int(program.offset),
            "violations": m * program.walls.count if 0.0 < program.cone_penalty < np.inf else 0,
            "loss": loss_variables(program.loss),
        }
    )


def _rows(program: Program) -> dict[str, slice]:
    """The places of the constraints whose multipliers are wanted; the order is that of ``_constraints``."""
    families, cells, _ = program.shape
    n, m = program.rows.samples, families * cells
    return slices(
        {
            "output": n,
            "loss": 0 if program.loss.smooth else n,
            "walls": m * program.walls.count if program.cone_penalty > 0.0 else 0,
        }
    )


def _constraints(program: Program) -> Iterator[Group]:
    """Coefficients A by variable, right-hand side b and cones of each group of constraints."""
    import clarabel

    families, cells, p = program.shape
    n, m, walls = program.rows.samples, families * cells, program.walls.count
    loss, identity = program.loss, sp.eye_array(n)
    matrix = np.asarray(program.operator.blocks()).reshape(n, cells * p)
    signed = sp.csc_array(np.concatenate([-family * matrix for family in program.families], axis=1))
    outputs = {"blocks": signed, "output": identity, "offset": sp.csc_array(-np.ones((n, 1)))}
    yield outputs, -loss_target(loss), [clarabel.ZeroConeT(n)]
    if not loss.smooth:
        yield margin_group(loss)
    if walls and program.cone_penalty > 0.0:
        signed_normals = np.where(program.cells.signs, -1.0, 1.0)[:, :, None] * program.walls.normals
        data = np.broadcast_to(signed_normals, (families, cells, walls, p))
        index = np.broadcast_to(np.arange(m * p).reshape(families, cells, 1, p), data.shape)
        ends = np.arange(0, data.size + 1, p)
        slacks = sp.csr_array((data.ravel(), index.ravel(), ends), shape=(m * walls, m * p))
        slacks.eliminate_zeros()
        excess = -sp.eye_array(m * walls)
        cone = [clarabel.NonnegativeConeT(m * walls)]
        yield {"blocks": slacks, "violations": excess}, np.zeros(m * walls), cone
        if program.cone_penalty < np.inf:
            yield {"violations": excess}, np.zeros(m * walls), cone
    kept = np.flatnonzero(program.gauge.penalised)
    head, tail = np.zeros((1 + kept.size, 1)), np.zeros((1 + kept.size, p))
    head[0, 0] = tail[1 + np.arange(kept.size), kept] = -1.0
    each = sp.eye_array(m)
    gauges = {"heights": sp.kron(each, head), "blocks": sp.kron(each, tail)}
    yield gauges, np.zeros(m * head.size), [clarabel.SecondOrderConeT(head.size)] * m
    yield from loss_groups(loss)
