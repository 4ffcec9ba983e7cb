"""Arrangements: enumeration, count, sampling and centres against linear programs and formulas."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import exact
import reference
import zerogap as zg
from zerogap.arrangements import (
    Cells,
    analytic_centres,
    cells_of_gates,
    count_bound,
    count_cells,
    enumerate_cells,
    interior_point,
    sample_cells,
)
from zerogap.cones import margins
from zerogap.walls import find_walls

Array = NDArray[np.float64]

FEW = settings(max_examples=40)
SMALL_INTEGERS = st.integers(-2, 2).map(float)


@st.composite
def integer_rows(draw: st.DrawFn) -> Array:
    """Rows in dimensions 1 to 4, most of them degenerate: zero, parallel or dependent."""
    shape = st.integers(1, 4).flatmap(lambda p: st.tuples(st.integers(1, 8 if p < 4 else 6), st.just(p)))
    return draw(arrays(np.float64, shape, elements=SMALL_INTEGERS))


def patterns(rows: Array) -> set[tuple[int, ...]]:
    """Sign patterns of the raw rows in all cells, by linear programs."""
    if not rows.any():
        return {(0,) * len(rows)}
    return {tuple(signs) for signs in reference.list_cells(rows).tolist()}


def patterns_of(rows: Array, cells: Cells) -> list[tuple[int, ...]]:
    """The same for a list of cells, read off their centres in exact arithmetic."""
    return [exact.signs(rows, centre) for centre in cells.centres]


# -- enumeration and count -------------------------------------------------------------------------------


@FEW
@given(integer_rows())
def test_enumeration_of_degenerate_rows(rows: Array) -> None:
    walls = find_walls(rows)
    cells = enumerate_cells(walls, rows)
    expected = patterns(rows)
    assert cells.complete
    assert cells.count == count_cells(rows) == len(expected)
    assert set(patterns_of(rows, cells)) == expected


@FEW
@given(integer_rows())
def test_the_count_of_degenerate_rows_is_whitneys(rows: Array) -> None:
    assert count_cells(rows) == exact.count_cells(rows)


@pytest.mark.parametrize(("walls", "dimension"), [(1, 1), (1, 3), (6, 2), (7, 3), (6, 4), (6, 5), (3, 4)])
def test_enumeration_in_general_position(walls: int, dimension: int) -> None:
    rows = np.random.default_rng([walls, dimension]).standard_normal((walls, dimension))
    cells = enumerate_cells(find_walls(rows), rows)
    assert cells.complete
    assert set(patterns_of(rows, cells)) == patterns(rows)
    assert cells.count == count_bound(walls, min(walls, dimension))


@pytest.mark.parametrize(
    ("walls", "dimension", "count"),
    [(5, 2, 10), (5, 3, 22), (5, 4, 30), (1, 4, 2), (4, 4, 16), (40, 2, 80), (30, 4, 8180)],
)
def test_the_exact_count_equals_the_formula(walls: int, dimension: int, count: int) -> None:
    rows = np.random.default_rng(walls).standard_normal((walls, dimension))
    assert count_cells(rows) == count == count_bound(walls, min(walls, dimension))
    assert count == 2 * sum(comb(walls - 1, k) for k in range(dimension))
    repeated = np.concatenate([rows, -2.0 * rows, 0.0 * rows[:1]])
    assert count_cells(repeated) == count


def test_the_count_is_exact_where_floats_are_nearly_degenerate() -> None:
    almost = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert count_cells(almost) == 6
    almost[2, 2] = 1e-300
    assert count_cells(almost) == 8
    assert count_cells(np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-52]])) == 4
    assert count_cells(np.zeros((3, 2))) == 1


def test_cells_too_thin_for_floats_are_reported_missing() -> None:
    rows = np.array([[1.0, 1.0, 0.3], [1.0, 1.0 + 2.0**-52, 0.3], [0.2, -1.0, 0.7]])
    with pytest.warns(RuntimeWarning, match="verified cells of 8"):
        cells = enumerate_cells(find_walls(rows), rows)
    assert not cells.complete


def test_no_more_cells_than_the_limit() -> None:
    rows = np.random.default_rng(0).standard_normal((12, 3))
    with pytest.raises(zg.InputError, match="up to 134 cells"):
        enumerate_cells(find_walls(rows), rows, limit=133)
    assert enumerate_cells(find_walls(rows), rows, limit=134).count == 134


def test_rows_of_lower_rank() -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(-3, 4, (7, 2)).astype(float) @ rng.integers(-2, 3, (2, 4)).astype(float)
    cells = enumerate_cells(find_walls(rows), rows)
    assert cells.complete
    assert set(patterns_of(rows, cells)) == patterns(rows)


def test_the_bound_needs_no_rows() -> None:
    assert count_bound(0, 0) == 1
    assert count_bound(3, 1) == 2


# -- centres ---------------------------------------------------------------------------------------------


@FEW
@given(integer_rows())
def test_centres_are_strictly_interior_unit_vectors(rows: Array) -> None:
    walls = find_walls(rows)
    cells = enumerate_cells(walls, rows)
    inside = margins(walls.normals, cells.signs, cells.centres)
    assert np.all(inside.min(axis=1, initial=1.0) > 1e-6)
    if walls.count:
        np.testing.assert_allclose(np.linalg.norm(cells.centres, axis=1), 1.0, rtol=1e-12)


def test_centres_do_not_get_closer_to_the_walls() -> None:
    rng = np.random.default_rng(0)
    walls = find_walls(rng.standard_normal((20, 3)))
    starts = rng.standard_normal((50, 3))
    starts /= np.linalg.norm(starts, axis=1, keepdims=True)
    signs = walls.signs(starts)
    centres = analytic_centres(walls.normals, signs, starts, steps=30)
    logs = [np.log(margins(walls.normals, signs, points)).sum(axis=1) for points in (starts, centres)]
    assert np.all(logs[1] >= logs[0] - 1e-9)
    # At the analytic centre on the sphere the sum of n / (n . u) is parallel to u.
    pull = (np.where(signs, 1.0, -1.0) / margins(walls.normals, signs, centres)) @ walls.normals
    np.testing.assert_allclose(pull, 20.0 * centres, rtol=1e-6, atol=1e-6)


def test_interior_points_exist_exactly_for_cells() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 2))
    walls = find_walls(rows)
    cells = {tuple(signs) for signs in enumerate_cells(walls, rows).signs.tolist()}
    for code in range(2**5):
        signs = np.array([bool(code >> k & 1) for k in range(5)])
        point = interior_point(walls.normals, signs)
        assert (point is not None) == (tuple(signs.tolist()) in cells)
        if point is not None:
            assert np.all(margins(walls.normals, signs[None], point[None]) > 0.0)
    assert interior_point(np.empty((0, 2)), np.empty(0, dtype=bool)) is not None


# -- sampling and gates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scales", [[1.0, 1.0, 1.0], [1e-8, 1.0, 1e8]])
def test_sampled_cells_are_distinct_and_have_the_right_signs(centred: bool, scales: list[float]) -> None:
    rows = np.random.default_rng(0).standard_normal((25, 3)) * scales
    walls = find_walls(rows)
    cells = sample_cells(walls, 60, np.random.default_rng(1), centred=centred)
    assert cells.count == 60 == len(set(cells.keys()))
    assert np.array_equal(walls.signs(cells.centres), cells.signs)
    assert not cells.complete


def test_sampling_ends_when_the_cells_are_exhausted() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 2))
    walls = find_walls(rows)
    cells = sample_cells(walls, 500, np.random.default_rng(0))
    assert set(cells.keys()) <= set(enumerate_cells(walls, rows).keys())
    assert cells.count == 12
    assert not cells.complete
    assert sample_cells(find_walls(np.zeros((2, 3))), 5, np.random.default_rng(0)).count == 1


def test_a_seed_fixes_the_sample() -> None:
    walls = find_walls(np.random.default_rng(0).standard_normal((25, 3)))
    one, two, other = (sample_cells(walls, 9, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(one.centres, two.centres)
    assert not np.array_equal(one.signs, other.signs)


@pytest.mark.parametrize("centred", [True, False])
def test_cells_of_gates_hold_their_gates(centred: bool) -> None:
    walls = find_walls(np.random.default_rng(0).standard_normal((10, 3)))
    gates = np.random.default_rng(1).standard_normal((20, 3))
    gates = np.concatenate([gates, 3.0 * gates[:5]])
    cells = cells_of_gates(walls, gates, centred=centred)
    keys = Cells(walls.signs(gates), gates).keys()
    assert cells.keys() == list(dict.fromkeys(keys))
    assert np.array_equal(walls.signs(cells.centres), cells.signs)
    if not centred:
        assert np.array_equal(cells.centres, gates[: cells.count]) or cells.count < 20


def test_a_gate_on_a_wall_of_a_relu_network_gets_a_neighbouring_cell() -> None:
    walls = find_walls(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    for gate in ([0.0, 1.0], [0.0, -1.0], [0.0, 0.0], [1.0, -1.0]):
        cells = cells_of_gates(walls, np.array([gate]))
        assert cells.count == 1
        inside = margins(walls.normals, cells.signs, cells.centres)
        assert np.all(inside > 0.0)
        # The cell touches the gate: no wall separates them.
        assert np.all(margins(walls.normals, cells.signs, np.array([gate])) >= -1e-6)


def test_gates_of_a_wrong_length_are_refused() -> None:
    with pytest.raises(zg.InputError, match="gate vectors with 2 entries"):
        cells_of_gates(find_walls(np.eye(3)), np.ones((4, 2)))


def test_cells_are_taken_and_united_by_sign() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 2))
    cells = enumerate_cells(find_walls(rows), rows)
    left, right = cells.take(np.arange(8)), cells.take(np.arange(5, 12))
    both = left.union(right)
    assert both.keys() == cells.keys()
    assert cells.complete
    assert not both.complete
    assert left.union(left).count == 8
