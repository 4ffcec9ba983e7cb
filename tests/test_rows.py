"""Rows: patches against loops; walls that merge exact multiples and nothing else."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import reference
import zerogap as zg
from instances import INSTANCES, make
from zerogap import question
from zerogap.arrangements import enumerate_cells
from zerogap.patches import Geometry
from zerogap.rows import Rows
from zerogap.walls import find_walls

Array = NDArray[np.float64]

# -- patches ---------------------------------------------------------------------------------------------


@st.composite
def geometries(draw: st.DrawFn) -> tuple[zg.CNN, Array]:
    """A CNN and two inputs that its filter fits into."""
    axes, channels = draw(st.sampled_from([1, 2])), draw(st.integers(1, 3))
    numbers = {
        name: tuple(draw(st.integers(low, high)) for _ in range(axes))
        for name, low, high in [("kernel_size", 1, 3), ("stride", 1, 3), ("padding", 0, 2), ("dilation", 1, 2)]
    }
    size = tuple(draw(st.integers(1, 6)) for _ in range(axes))
    reach = [d * (k - 1) + 1 for k, d in zip(numbers["kernel_size"], numbers["dilation"], strict=True)]
    assume(all(r <= s + 2 * p for r, s, p in zip(reach, size, numbers["padding"], strict=True)))
    X = np.arange(1.0, 2 * np.prod(size) * channels + 1.0).reshape(2, *size, channels)
    pooling, bias = draw(st.sampled_from(["sum", "average"])), draw(st.sampled_from([True, False]))
    return zg.CNN(**numbers, pooling=pooling, bias=bias), X


@given(geometries())
def test_patches_are_those_cut_out_by_loops(case: tuple[zg.CNN, Array]) -> None:
    architecture, X = case
    rows = architecture.rows(X)
    expected = reference.patches(X, architecture)
    assert np.array_equal(rows.matrix, expected)
    assert rows.scale == reference.readout(architecture, expected.shape[1])
    geometry = architecture.geometry(X.ndim - 2)
    assert int(np.prod(geometry.positions(X.shape[1:-1]))) == rows.matrix.shape[1]


@pytest.mark.parametrize("name", INSTANCES)
def test_rows_of_every_architecture(name: str) -> None:
    instance = INSTANCES[name]
    rows = instance.architecture.rows(instance.X)
    assert np.array_equal(rows.matrix, reference.patches(instance.X, instance.architecture))
    assert (rows.samples, rows.dimension) == (rows.matrix.shape[0], rows.matrix.shape[2])
    assert np.array_equal(rows.flat[rows.matrix.shape[1]], rows.matrix[1, 0])


@pytest.mark.parametrize(
    ("architecture", "long", "short"),
    [
        (zg.CNN(2), (3, 4, 4, 1), (3, 4, 4)),
        (zg.CNN(2), (3, 5), (3, 5)),
        (zg.CNN((2,)), (3, 5, 1), (3, 5)),
        (zg.CNN((2, 1)), (3, 4, 1, 1), (3, 4, 1)),
    ],
)
def test_one_channel_may_be_left_out(architecture: zg.CNN, long: tuple[int, ...], short: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).standard_normal(long)
    assert np.array_equal(architecture.rows(X).matrix, architecture.rows(X.reshape(short)).matrix)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "size", "count"),
    [
        (3, 1, 0, 1, 8, 6),
        (3, 2, 0, 1, 8, 3),
        (3, 1, 1, 1, 8, 8),
        (3, 1, 0, 3, 8, 2),
        (8, 1, 0, 1, 8, 1),
        (1, 5, 0, 1, 8, 2),
    ],
)
def test_number_of_positions(kernel: int, stride: int, padding: int, dilation: int, size: int, count: int) -> None:
    assert Geometry((kernel,), (stride,), (padding,), (dilation,)).positions((size,)) == (count,)


def test_a_filter_that_does_not_fit_is_refused() -> None:
    with pytest.raises(zg.InputError, match="spans 5 entries on axis 2"):
        Geometry((2, 3), (1, 1), (0, 0), (1, 2)).positions((2, 4))


def test_blocks_of_known_activity() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(rng.standard_normal((4, 3, 2)), 0.5)
    for u in rng.standard_normal((5, 2)):
        active = (rows.matrix @ u >= 0.0)[None]
        expected = 0.5 * np.maximum(rows.matrix @ u, 0.0).sum(axis=1)
        np.testing.assert_allclose(rows.blocks(active)[:, 0] @ u, expected, rtol=1e-13)
    kept = rows.keep(np.array([True, False, True, False]))
    assert kept.samples == 2
    assert kept.scale == 0.5


# -- walls -----------------------------------------------------------------------------------------------

BASE = np.array([0.3, -1.7, 0.9])

WALLS: dict[str, tuple[Any, int, list[int]]] = {
    "duplicates": ([BASE, BASE, BASE], 1, [-1, -1, -1]),
    "positive multiples": ([BASE, 2.0 * BASE, 0.25 * BASE], 1, [-1, -1, -1]),
    "negative multiples": ([BASE, -BASE, -8.0 * BASE], 1, [-1, 1, 1]),
    "integer multiples": ([[1, 2, 4], [3, 6, 12], [-7, -14, -28]], 1, [1, 1, -1]),
    "zero rows": ([BASE, 0.0 * BASE, -0.0 * BASE], 1, [-1, 0, 0]),
    "only zero rows": ([[0, 0, 0], [0, 0, 0]], 0, [0, 0]),
    "signed zeros": ([[0.0, 1.0, 2.0], [-0.0, 1.0, 2.0]], 1, [1, 1]),
    "last digit": ([BASE, BASE + np.array([0, 0, 2.0**-53])], 2, [-1, -1]),
    "sliver": ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0 + 2.0**-52]], 2, [1, 1]),
    "rounded multiple": ([[1.0, 1.0 / 3.0, 0], [3.0, 1.0, 0]], 2, [1, 1]),
    "tiny and huge": ([1e-90 * np.ones(3), 1e90 * np.ones(3)], 1, [1, 1]),
    "powers of two": ([np.ldexp(BASE, -300), np.ldexp(BASE, 300)], 1, [-1, -1]),
    "one huge entry": ([[1e90, 1.0, 0.0], [1e90, -1.0, 0.0]], 2, [1, 1]),
    "one column": ([[2.0], [-3.0], [0.0]], 1, [1, -1, 0]),
}


@pytest.mark.parametrize("case", WALLS.values(), ids=WALLS)
def test_walls(case: tuple[Any, int, list[int]]) -> None:
    rows = np.array(case[0], dtype=float)
    walls = find_walls(rows)
    assert walls.count == case[1]
    assert walls.side.tolist() == case[2]
    np.testing.assert_allclose(np.linalg.norm(walls.normals, axis=1), 1.0, rtol=1e-15)
    for k, row in enumerate(rows):
        if walls.side[k]:
            np.testing.assert_allclose(
                walls.side[k] * np.linalg.norm(row) * walls.normals[walls.index[k]], row, rtol=1e-14, atol=0
            )
    first = [int(np.flatnonzero((walls.index == wall) & (walls.side != 0))[0]) for wall in range(walls.count)]
    assert walls.representative.tolist() == first


ENTRIES = st.sampled_from([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 0.5, -0.25])


@given(arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=ENTRIES))
def test_two_rows_share_a_wall_exactly_when_they_are_multiples(rows: Array) -> None:
    walls = find_walls(rows)
    for i in range(len(rows)):
        for j in range(len(rows)):
            # Exact for these entries: all 2 x 2 minors vanish.
            parallel = np.array_equal(np.outer(rows[i], rows[j]), np.outer(rows[j], rows[i]))
            if rows[i].any() and rows[j].any():
                assert (walls.index[i] == walls.index[j]) == parallel
                if parallel:
                    assert (walls.side[i] == walls.side[j]) == (rows[i] @ rows[j] > 0.0)


@given(arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=ENTRIES), st.integers(0, 99))
def test_activity_is_the_sign_of_the_raw_rows(rows: Array, seed: int) -> None:
    directions = np.random.default_rng(seed).standard_normal((5, rows.shape[1]))
    for walls in (find_walls(rows), find_walls(rows, merge=False)):
        assert np.array_equal(walls.activity(walls.signs(directions)), directions @ rows.T > 0.0)
    merged = find_walls(rows)
    values = np.arange(1.0, len(rows) + 1.0)
    expected = [values[(merged.index == wall) & (merged.side != 0)].sum() for wall in range(merged.count)]
    assert merged.row_sums(values).tolist() == expected


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize(("gated", "rho"), [(False, 0.0), (True, 0.0), (True, 0.05)])
def test_merging_does_not_change_the_optimum(
    loss: str, gated: bool, rho: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(1).integers(-1, 3, (5, 4)).astype(float)
    y = np.array([1.0, -1.0, 1.0, -1.0, -1.0])
    architecture = zg.CNN(2, bias=False, gated=gated, cone_penalty=rho)
    instance = make("series", loss, False).but(architecture=architecture, X=X, y=y)
    flat = architecture.rows(X).flat
    assert find_walls(flat).count < find_walls(flat, merge=False).count
    centres = enumerate_cells(find_walls(flat), flat).centres
    merged = instance.train(arrangements=centres).certificate
    monkeypatch.setattr(question, "find_walls", functools.partial(find_walls, merge=False))
    plain = instance.train(arrangements=centres).certificate
    assert merged.cells == plain.cells
    assert merged.gap <= 1e-8
    assert abs(plain.objective - merged.objective) <= 1e-6 * merged.objective
    assert plain.lower_bound <= merged.objective
    assert merged.lower_bound <= plain.objective
