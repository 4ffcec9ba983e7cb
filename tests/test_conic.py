"""The conic reference: against the structured solver, and against CVXPY on the same mathematics."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from zerogap.arrangements import sample_cells
from zerogap.gauges import EuclideanGauge
from zerogap.losses import make_loss
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.solvers.conic import Conic, conic_form, inside, recover
from zerogap.solvers.interior_point import InteriorPoint
from zerogap.solvers.iterate import Iterate
from zerogap.walls import find_walls

# Untyped, and partly created at run time.
cp = import_module("cvxpy")

LOSSES = ("squared", "logistic", "hinge")
BIASES = ("none", "penalised", "free")


def make_program(
    loss: str = "squared", *, cone: float = np.inf, bias: str = "none", positions: int = 1, seed: int = 0
) -> Program:
    """Random data with 20 samples, filters of 3 entries, and unequal sample weights."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((20, positions, 3))
    response = np.maximum(matrix @ rng.standard_normal((3, 4)), 0.0).sum(axis=1) @ np.array([1.0, -1.0, 1.0, -1.0])
    targets = response if loss == "squared" else np.where(response > np.median(response), 1.0, -1.0)
    if bias != "none":
        matrix = np.concatenate([matrix, np.ones((20, positions, 1))], axis=2)
    rows = Rows(np.ascontiguousarray(matrix), 1.0 / positions)
    walls = find_walls(rows.flat)
    # Few gated cells: with a free bias in each of many the margin losses have the infimum 0, not attained.
    cells = sample_cells(walls, 12 if cone > 0.0 else 2, rng)
    penalised = np.ones(rows.dimension, dtype=bool)
    penalised[-1] = bias != "free"
    weights = rng.uniform(0.5, 1.5, 20)
    return Program(
        rows, walls, cells, EuclideanGauge(penalised), make_loss(loss, targets, weights), 0.1, cone, bias == "free"
    )


def solve(program: Program) -> Iterate:
    (iterate,) = Conic(program)
    return iterate


def cvxpy_value(program: Program) -> float:
    """The optimal value, from the raw rows and from points inside the cells."""
    matrix, y, c = program.rows.matrix, program.loss.targets, program.loss.weights
    row_weights = np.repeat(c, matrix.shape[1])
    kept = np.flatnonzero(program.gauge.penalised)
    families = [1.0, -1.0] if program.cone_penalty > 0.0 else [1.0]
    f = cp.Variable() * np.ones(len(y)) if program.offset else np.zeros(len(y))
    penalty, constraints = 0.0, []
    for centre in program.cells.centres:
        active = matrix @ centre >= 0.0
        features = program.rows.scale * np.einsum("nk,nkp->np", active, matrix)
        signed = np.where(active, 1.0, -1.0).reshape(-1, 1) * matrix.reshape(-1, matrix.shape[2])
        for sign in families:
            v = cp.Variable(matrix.shape[2])
            f = f + sign * features @ v
            penalty += program.beta * cp.norm(v[kept])
            if program.cone_penalty == np.inf:
                constraints.append(signed @ v >= 0)
            elif program.cone_penalty > 0.0:
                penalty += program.cone_penalty * (row_weights @ cp.pos(-signed @ v))
    losses = {
        "squared": lambda: 0.5 * cp.sum(cp.multiply(c, cp.square(f - y))),
        "logistic": lambda: c @ cp.logistic(cp.multiply(-y, f)),
        "hinge": lambda: c @ cp.pos(1 - cp.multiply(y, f)),
    }
    problem = cp.Problem(cp.Minimize(losses[program.loss.name]() + penalty), constraints)
    return float(problem.solve(solver="CLARABEL", tol_gap_rel=1e-9, tol_gap_abs=1e-9, tol_feas=1e-9))


@pytest.mark.parametrize("positions", [1, 3])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("cone", [np.inf, 0.0, 0.02])
@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_with_the_interior_point_method(loss: str, cone: float, bias: str, positions: int) -> None:
    program = make_program(loss, cone=cone, bias=bias, positions=positions)
    found = solve(program)
    for iterate in InteriorPoint(program):
        ours = iterate.primal
        if iterate.gap <= 1e-9:
            break
    assert abs(found.primal - ours) <= 1e-6 * ours


@pytest.mark.parametrize(
    ("loss", "cone", "bias", "positions"),
    [
        ("squared", np.inf, "none", 1),
        ("squared", 0.02, "free", 3),
        ("squared", 0.0, "penalised", 3),
        ("logistic", np.inf, "free", 3),
        ("logistic", 0.02, "none", 1),
        ("hinge", np.inf, "free", 1),
        ("hinge", 0.02, "penalised", 3),
        ("hinge", 0.0, "none", 1),
    ],
)
def test_agrees_with_cvxpy(loss: str, cone: float, bias: str, positions: int) -> None:
    program = make_program(loss, cone=cone, bias=bias, positions=positions, seed=1)
    expected = cvxpy_value(program)
    assert abs(solve(program).primal - expected) <= 1e-6 * expected


@pytest.mark.parametrize("cone", [np.inf, 0.0, 0.02])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_iterate_is_what_the_protocol_says(loss: str, cone: float) -> None:
    program = make_program(loss, cone=cone, bias="free", positions=3, seed=2)
    found = solve(program)
    assert found.blocks.shape == program.shape
    assert found.primal == program.primal(found.blocks, found.offset) < np.inf
    # The residual is orthogonal to the free biases up to Clarabel's accuracy only.
    assert abs(found.gap) <= 1e-6
    low, high = program.loss.box()
    assert np.all((low <= found.residual) & (found.residual <= high))
    if program.loss.smooth:
        gradient = program.loss.gradient(program.matmul(found.blocks, found.offset))
        np.testing.assert_array_equal(found.residual, -gradient)
    if cone == 0.0:
        assert found.multipliers is None
        return
    assert found.multipliers is not None
    assert found.multipliers.shape == (*program.shape[:2], program.walls.count)
    assert np.all((found.multipliers >= 0.0) & (found.multipliers <= program.wall_caps))


@pytest.mark.parametrize("loss", LOSSES)
def test_hard_blocks_lie_in_their_cones_however_it_is_computed(loss: str) -> None:
    program = make_program(loss, positions=3, seed=3)
    blocks = solve(program).blocks
    inner = program.rows.flat @ program.cells.centres.T
    for family in blocks:
        for cell, block in enumerate(family):
            side = np.sign(inner[:, cell])
            assert min(side[row] * float(np.dot(program.rows.flat[row], block)) for row in range(side.size)) >= 0.0


def test_inside_moves_only_what_is_outside_and_no_further_than_to_zero() -> None:
    program = make_program(seed=4)
    centres = program.cells.centres
    normals, sign = program.walls.normals, np.where(program.cells.signs, 1.0, -1.0)
    nearest = np.argmin(sign * (centres @ normals.T), axis=1)
    reach = np.sum(centres * normals[nearest], axis=1)
    # 1e-9 beyond the nearest wall.
    beyond = centres - (reach + 1e-9 * np.sign(reach))[:, None] * normals[nearest]
    moved = inside(program, np.stack([3.0 * centres, beyond]))
    np.testing.assert_array_equal(moved[0], 3.0 * centres)
    assert program.violation(moved) == 0.0
    assert np.abs(moved[1] - beyond).max() <= 1.1e-9 / np.abs(reach).min()
    np.testing.assert_array_equal(inside(program, np.stack([-centres, 0.0 * centres])), 0.0 * moved)


def test_nothing_is_handed_out_without_finite_numbers_or_time() -> None:
    program = make_program()
    objective, cost, matrix, right, _ = conic_form(program)
    assert matrix.shape == (right.size, cost.size)
    assert objective.shape == (cost.size, cost.size)
    x, z = np.zeros(cost.size), np.zeros(right.size)
    x[0] = np.nan
    assert recover(program, x, z, 0) is None
    assert list(Conic(program, max_time=0.0)) == []


def test_cut_short_it_hands_out_a_network_or_nothing() -> None:
    program = make_program("logistic", positions=3)
    for iterate in Conic(program, max_time=1e-3):
        assert np.isfinite(iterate.primal)
        assert iterate.dual <= iterate.primal
