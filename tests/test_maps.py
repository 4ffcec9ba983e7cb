"""The maps of cells: kept as X and an activity, or one by one, they are the same operator."""

from __future__ import annotations

import numpy as np
import pytest

from test_absent import best, make_program
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.solvers import map_kernels
from zerogap.solvers.maps import CellMaps, SignedMaps
from zerogap.walls import find_walls


def both(n: int = 13, p: int = 4, cells: int = 37, *, seed: int = 0) -> tuple[CellMaps, CellMaps]:
    """The same maps in both forms; one cell lets everything through, one nothing."""
    rng = np.random.default_rng(seed)
    X, activity = rng.standard_normal((n, p)), rng.random((cells, n)) < 0.5
    activity[0], activity[-1] = True, False
    dense = np.ascontiguousarray((activity[:, :, None] * X).transpose(0, 2, 1))
    return CellMaps(X.T[None].copy(), activity), CellMaps(dense, np.zeros((0, n), dtype=bool))


def test_both_forms_are_one_operator() -> None:
    rng = np.random.default_rng(1)
    masked, dense = both()
    cells, p, n = dense.shape
    assert masked.shape == (cells, p, n)
    assert np.array_equal(masked.dense(), dense.dense())
    v = rng.standard_normal((cells, p))
    assert np.allclose(masked.predictions(v), dense.predictions(v))
    assert np.allclose(masked.squares(), dense.squares())
    some = np.array([3, 0, cells - 1])
    assert np.array_equal(masked.take(some).dense(), dense.take(some).dense())


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("cells", [1, 5, 70])  # fewer and more than are worked on together
def test_products_are_adjoint_and_agree_with_the_stacked_matrix(form: int, cells: int) -> None:
    rng = np.random.default_rng(2)
    maps = both(cells=cells)[form]
    _, p, n = maps.shape
    m = 2 * cells + 3
    cell = np.concatenate([np.arange(cells), rng.integers(0, cells, m - cells)])
    operator = SignedMaps(maps, cell, rng.choice([-1.0, 1.0], m))
    v, r, stacked = rng.standard_normal((p, m)), rng.standard_normal(n), operator.stacked()
    assert np.allclose(operator.forward(v), np.einsum("pmn,pm->n", stacked, v))
    assert np.allclose(operator.adjoint(r), stacked @ r)
    assert operator.forward(v) @ r == pytest.approx(float(np.vdot(v, operator.adjoint(r))))
    blocks = np.array([0, m - 1, m // 2])
    part = operator.take(blocks)
    assert part.maps.shape[0] == np.unique(cell[blocks]).size
    assert np.array_equal(part.stacked(), stacked[:, blocks])


@pytest.mark.parametrize("n", [1, 2, 7, 8, 33])
@pytest.mark.parametrize("p", [1, 2, 3, 5, 6, 8, 11])
def test_gram_matrices(n: int, p: int) -> None:
    rng = np.random.default_rng(3)
    masked, dense = both(n, p, 9)
    factors = np.triu(rng.standard_normal((9, p, p)))
    white = factors @ dense.dense()
    expected = np.einsum("iaj,iak->jk", white, white)
    for maps in (masked, dense):
        found = maps.gram(factors)[:n, :n]
        assert np.allclose(np.tril(found), np.tril(expected), rtol=1e-12, atol=1e-12)
    assert np.allclose(map_kernels.whitened(factors, dense.dense()), white.reshape(-1, n))


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_the_answer_does_not_depend_on_the_form(loss: str) -> None:
    # A second row of zeros per sample changes nothing but the form in which maps are kept.
    program = make_program(loss, n=40)
    matrix = np.concatenate([program.rows.matrix, np.zeros_like(program.rows.matrix)], axis=1)
    rows = Rows(matrix)
    twice = Program(rows, find_walls(rows.flat), program.cells, program.gauge, program.loss, program.beta)
    assert program.transposed_maps()[1].shape[0] == program.cells.count
    assert twice.transposed_maps()[1].shape[0] == 0
    first, second = best(program), best(twice)
    assert first.gap <= 1e-8
    assert second.gap <= 1e-8
    assert first.primal == pytest.approx(second.primal, rel=1e-7)
