"""Laws of the building blocks: losses, gauges, cones, patches, walls, arrangements, the operator."""

from __future__ import annotations

import itertools

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

import zerogap as zg
from zerogap.arrangements import cells_of_gates, count_bound, count_cells, enumerate_cells, sample_cells
from zerogap.cones import contains, polar_multipliers, project
from zerogap.gauges import EuclideanGauge
from zerogap.losses import LOSSES, make_loss
from zerogap.operator import CellOperator
from zerogap.patches import Geometry, extract_patches
from zerogap.question import Question
from zerogap.rows import Rows
from zerogap.solvers.interior_point import InteriorPoint
from zerogap.walls import find_walls


def loss_of(name: str, seed: int = 0):
    rng = np.random.default_rng(seed)
    targets = rng.standard_normal(7) if name == "squared" else np.resize([1.0, -1.0], 7)
    return make_loss(name, targets, rng.uniform(0.5, 2.0, 7)), rng


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_and_curvature_match_differences(name: str) -> None:
    loss, rng = loss_of(name)
    f, step = rng.standard_normal(7), 1e-5
    units = np.eye(7) * step
    slopes = [(loss.value(f + unit) - loss.value(f - unit)) / (2 * step) for unit in units]
    np.testing.assert_allclose(loss.gradient(f), slopes, rtol=1e-6, atol=1e-8)
    bends = [(loss.gradient(f + unit) - loss.gradient(f - unit))[i] / (2 * step) for i, unit in enumerate(units)]
    np.testing.assert_allclose(loss.curvature(f), bends, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_fenchel_young(name: str) -> None:
    loss, rng = loss_of(name)
    for _ in range(50):
        f, z = 3.0 * rng.standard_normal(7), loss.gradient(3.0 * rng.standard_normal(7))
        assert loss.value(f) + loss.conjugate(z) >= f @ z - 1e-12
        z = loss.gradient(f)
        assert loss.value(f) + loss.conjugate(z) == pytest.approx(f @ z, abs=1e-10)
        assert loss.dual_lower(-z) <= loss.dual_value(-z) <= loss.dual_lower(-z) + 1e-12
        assert loss.upper(f, np.zeros(7)) >= loss.value(f)


@pytest.mark.parametrize("name", ["logistic", "hinge"])
def test_outside_the_box_nothing_is_proved(name: str) -> None:
    loss, _ = loss_of(name)
    outside = 1.01 * loss.targets * loss.weights
    assert loss.conjugate(-outside) == np.inf
    assert loss.dual_lower(outside) == -np.inf
    assert loss.dual_lower(-0.1 * outside) == -np.inf


@pytest.mark.parametrize("name", LOSSES)
def test_best_constant_and_its_residual(name: str) -> None:
    loss, _ = loss_of(name)
    best = loss.best_constant()
    here = loss.value(np.full(7, best))
    assert all(here <= loss.value(np.full(7, best + shift)) + 1e-12 for shift in (-1.0, -1e-3, 1e-3, 1.0))
    residual = loss.constant_residual()
    assert abs(residual.sum()) <= 1e-12
    # An optimal dual point: zero duality gap against the constants.
    assert loss.dual_value(residual) == pytest.approx(here, rel=1e-12)


@pytest.mark.parametrize("penalised", [[True, True, True], [True, True, False]])
def test_gauge_polar_prox_and_factor(penalised: list[bool]) -> None:
    gauge, rng = EuclideanGauge(np.array(penalised)), np.random.default_rng(0)
    blocks, duals = rng.standard_normal((20, 3)), rng.standard_normal((20, 3)) * penalised
    assert np.all(np.sum(blocks * duals, axis=1) <= gauge.value(blocks) * gauge.polar(duals) + 1e-12)
    for block in blocks[:5]:
        found = minimize(lambda v, b=block: 0.5 * np.sum((v - b) ** 2) + 0.4 * gauge.value(v), block, tol=1e-14)
        np.testing.assert_allclose(gauge.prox(block[None], 0.4)[0], found.x, atol=1e-5)
    first, second = gauge.factor(blocks)
    np.testing.assert_allclose(first * second[:, None], blocks, rtol=1e-14)
    np.testing.assert_allclose(0.5 * (gauge.value(first) ** 2 + second**2), gauge.value(blocks), rtol=1e-12)


def test_projection_is_moreau() -> None:
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((9, 4))
    signs = normals @ rng.standard_normal(4) >= 0
    generators = np.where(signs, 1.0, -1.0)[:, None] * normals
    for direction in rng.standard_normal((20, 4)):
        nearest = project(normals, signs, direction)
        multipliers = polar_multipliers(generators, direction)
        assert np.all(multipliers >= 0.0)
        assert np.linalg.norm(nearest) <= 1e-9 or contains(normals, signs, nearest[None], 1e-9)[0]
        assert abs(nearest @ (direction - nearest)) <= 1e-9
        assert np.all(generators @ nearest * multipliers <= 1e-9)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [((5,), (3,), (1,), (0,), (1,)), ((6,), (2,), (2,), (1,), (2,)), ((4, 5), (2, 3), (1, 2), (1, 0), (1, 1))],
)
def test_patches_match_loops(size, kernel, stride, padding, dilation) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, *size, 3))
    got = extract_patches(inputs, Geometry(kernel, stride, padding, dilation))
    padded = np.pad(inputs, [(0, 0), *((p, p) for p in padding), (0, 0)])
    spans = [range(0, padded.shape[1 + a] - dilation[a] * (kernel[a] - 1), stride[a]) for a in range(len(size))]
    for k, corner in enumerate(itertools.product(*spans)):
        offsets = itertools.product(*(range(length) for length in kernel))
        places = [tuple(c + o * d for c, o, d in zip(corner, offset, dilation, strict=True)) for offset in offsets]
        expected = np.concatenate([padded[(slice(None), *place)] for place in places], axis=1)
        np.testing.assert_array_equal(got[:, k], expected)
    assert got.shape[1] == k + 1


def test_walls_merge_exact_multiples_only() -> None:
    row = np.array([0.3, -1.7, 0.9])
    rows = np.array([row, 2.0 * row, -0.5 * row, np.zeros(3), row, 0.3 * row, [1.0, 2.0, 4.0], [3.0, 6.0, 12.0]])
    walls = find_walls(rows)
    exact = walls.index[[0, 1, 2, 4]]
    assert len(set(exact)) == 1
    assert walls.side.tolist() == [-1, -1, 1, 0, -1, -1, 1, 1]
    assert walls.index[6] == walls.index[7]
    # 0.3 row is parallel up to rounding only.
    assert walls.index[5] != walls.index[0] or np.all(np.outer(rows[5], row) == np.outer(row, rows[5]))
    assert find_walls(rows, merge=False).count == 7


def test_merging_walls_does_not_change_the_optimum() -> None:
    rng = np.random.default_rng(1)
    X = rng.integers(-1, 2, (6, 4)).astype(float)
    y = rng.standard_normal(6)
    question = Question.of(zg.CNN(2, bias=False), X, y, loss="squared", beta=0.2)
    cells = enumerate_cells(question.walls, question.rows.flat)
    merged = question.program(cells)
    question.__dict__["walls"] = find_walls(question.rows.flat, merge=False)
    assert question.walls.count > merged.walls.count
    plain = question.program(cells_of_gates(question.walls, cells.centres))
    values = [min(iterate.primal for iterate in InteriorPoint(program)) for program in (merged, plain)]
    assert values[0] == pytest.approx(values[1], rel=1e-7)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 10**6))
def test_enumeration_of_integer_rows_against_linear_programs(dimension: int, count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-2, 3, (count, dimension)).astype(float)
    walls = find_walls(rows)
    expected = set()
    for pattern in itertools.product((1.0, -1.0), repeat=walls.count):
        generators = np.array(pattern)[:, None] * walls.normals
        columns = np.hstack([-generators, np.ones((walls.count, 1))])
        bounds = [(-1, 1)] * dimension + [(None, 1)]
        best = linprog(np.append(np.zeros(dimension), -1.0), columns, np.zeros(walls.count), bounds=bounds)
        if walls.count == 0 or best.x[-1] > 1e-7:
            expected.add(pattern)
    cells = enumerate_cells(walls, rows)
    assert cells.complete
    assert {tuple(np.where(signs, 1.0, -1.0)) for signs in cells.signs} == expected
    assert count_cells(rows) == len(expected)


def test_count_in_general_position_and_near_degeneracy() -> None:
    rng = np.random.default_rng(0)
    for count, dimension in [(5, 2), (5, 3), (5, 4), (9, 4), (30, 3)]:
        assert count_cells(rng.standard_normal((count, dimension))) == count_bound(count, dimension)
    X = np.column_stack([rng.standard_normal((6, 2)), np.ones(6)])
    X = np.vstack([X, 0.3 * X[:2]])
    with pytest.warns(RuntimeWarning, match="verified cells"):
        cells = enumerate_cells(find_walls(X), X)
    assert not cells.complete


def test_sampled_cells_are_distinct_and_centred() -> None:
    rng = np.random.default_rng(0)
    walls = find_walls(rng.standard_normal((40, 3)))
    cells = sample_cells(walls, 50, rng)
    assert len(set(cells.keys())) == cells.count == 50
    assert np.all(walls.signs(cells.centres) == cells.signs)
    on_a_wall = np.cross(walls.normals[0], walls.normals[1])
    nudged = cells_of_gates(walls, on_a_wall[None])
    assert np.all(walls.signs(nudged.centres) == nudged.signs)
    assert sample_cells(find_walls(np.eye(2)), 50, rng).count == 4


def test_operator_is_adjoint_and_runs_on_any_array_library() -> None:
    rng = np.random.default_rng(0)
    matrix, activity = rng.standard_normal((5, 3, 4)), rng.random((6, 5, 3)) < 0.5
    operator = CellOperator(Rows(matrix, 0.5), activity)
    v, r = rng.standard_normal((6, 4)), rng.standard_normal(5)
    assert operator.matmul(v) @ r == pytest.approx(np.sum(v * operator.adjoint(r)), rel=1e-12)
    np.testing.assert_allclose(np.einsum("npi,pi->n", operator.blocks(), v), operator.matmul(v), rtol=1e-12)
    np.testing.assert_allclose(operator.blocks(np.array([2, 4])), operator.blocks()[:, [2, 4]])
    xp = array_api_strict
    foreign = CellOperator(Rows(xp.asarray(matrix), 0.5), xp.asarray(activity))
    np.testing.assert_allclose(np.asarray(foreign.matmul(xp.asarray(v))), operator.matmul(v), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(foreign.adjoint(xp.asarray(r))), operator.adjoint(r), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(foreign.blocks()), operator.blocks(), rtol=1e-12)
