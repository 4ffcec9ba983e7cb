"""The cell operator: adjointness, formed blocks, predictions of neurons, and another array library."""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.typing import NDArray

from instances import INSTANCES
from zerogap.arrangements import sample_cells
from zerogap.operator import CellOperator
from zerogap.question import Question
from zerogap.rows import Rows

Array = NDArray[np.float64]

NAMES = [
    "mlp-squared-bias=True",
    "average-squared-bias=free",
    "channels-squared-bias=True-weighted",
    "image-hinge-bias=True",
]
each_name = pytest.mark.parametrize("name", NAMES)


def setting(name: str) -> tuple[CellOperator, Array, Array, Array]:
    """The operator of ten sampled cells, block weights, a residual, and the centres of the cells."""
    instance = INSTANCES[name]
    question = Question.of(instance.architecture, instance.X, instance.y, **instance.question())
    rng = np.random.default_rng(0)
    cells = sample_cells(question.walls, 10, rng)
    operator = question.program(cells).operator
    n, P, p = operator.shape
    assert (n, P, p) == (len(instance.y), 10, cells.centres.shape[1])
    return operator, rng.standard_normal((P, p)), rng.standard_normal(n), cells.centres


def strict(operator: CellOperator) -> CellOperator:
    rows = Rows(array_api_strict.asarray(operator.rows.matrix), operator.rows.scale)
    return CellOperator(rows, array_api_strict.asarray(operator.activity))


@each_name
def test_adjointness(name: str) -> None:
    operator, blocks, residual, _ = setting(name)
    assert operator.matmul(blocks) @ residual == pytest.approx(np.sum(blocks * operator.adjoint(residual)), rel=1e-12)


@each_name
def test_the_operator_equals_its_formed_blocks(name: str) -> None:
    operator, blocks, residual, _ = setting(name)
    formed = operator.blocks()
    assert formed.shape == operator.shape
    np.testing.assert_allclose(np.einsum("nip,ip->n", formed, blocks), operator.matmul(blocks), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        np.einsum("nip,n->ip", formed, residual), operator.adjoint(residual), rtol=1e-12, atol=1e-13
    )
    active = np.array([3, 7])
    assert np.array_equal(operator.blocks(active), formed[:, active])


@each_name
def test_inside_its_cell_a_block_is_a_neuron(name: str) -> None:
    operator, _, _, centres = setting(name)
    for cell, u in enumerate(centres):
        one = np.zeros_like(centres)
        one[cell] = u
        feature = operator.rows.scale * np.maximum(operator.rows.preactivations(u[None]), 0.0).sum(axis=(1, 2))
        np.testing.assert_allclose(operator.matmul(one), feature, rtol=1e-12, atol=1e-14)


@each_name
def test_it_runs_on_another_array_library(name: str) -> None:
    operator, blocks, residual, _ = setting(name)
    foreign, xp = strict(operator), array_api_strict
    results: list[tuple[Any, Array]] = [
        (foreign.matmul(xp.asarray(blocks)), operator.matmul(blocks)),
        (foreign.adjoint(xp.asarray(residual)), operator.adjoint(residual)),
        (foreign.blocks(), operator.blocks()),
    ]
    for got, expected in results:
        assert isinstance(got, type(xp.asarray(0.0)))
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-12, atol=1e-13)
    assert foreign.shape == operator.shape


def test_a_choice_of_blocks_on_another_array_library() -> None:
    operator = setting(NAMES[0])[0]
    active = np.array([0, 3, 9])
    got = strict(operator).blocks(array_api_strict.asarray(active))
    np.testing.assert_allclose(np.asarray(got), operator.blocks(active), rtol=1e-12)
