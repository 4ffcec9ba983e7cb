"""Columns too small to matter: left out of the search, never out of the certificate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zerogap as zg
from reference import optimum
from zerogap.question import Question
from zerogap.training.negligible import SHARE, without_negligible


@pytest.mark.parametrize("bias", [True, False, "free"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_the_optimum_rises_by_no_more_than_promised(bias: Any, loss: str) -> None:
    """At the largest scale that is still left out, against the exact program."""
    rng = np.random.default_rng(4)
    X, column = rng.standard_normal((6, 1)), rng.standard_normal(6)
    y = X[:, 0] + column if loss == "squared" else np.sign(X[:, 0] + column)
    architecture, beta, tol = zg.MLP(bias=bias), 0.1, 1.0
    scale = 1.0
    while True:
        whole = np.column_stack([scale * column, X])
        question = Question.of(architecture, whole, y, loss=loss, beta=beta)
        less = without_negligible(question, tol)
        if less is not question:
            break
        scale *= 0.8
    assert scale > 1e-4
    np.testing.assert_array_equal(less.rows.matrix[..., 0], 0.0)
    np.testing.assert_array_equal(less.rows.matrix[..., 1:], question.rows.matrix[..., 1:])
    exact, without = (optimum(architecture, Z, y, loss=loss, beta=beta) for Z in (whole, less.rows.matrix[:, 0, :2]))
    assert exact * (1.0 - 1e-6) <= without <= exact * (1.0 + SHARE * tol + 1e-6)


def test_columns_that_matter_stay() -> None:
    rng = np.random.default_rng(0)
    question = Question.of(
        zg.MLP(), 1e-3 * rng.standard_normal((20, 3)), rng.standard_normal(20), loss="squared", beta=1e-3
    )
    assert without_negligible(question, 1e-2) is question
    # A free bias has no price, however small its column would have to be.
    free = Question.of(
        zg.MLP(bias="free"), rng.standard_normal((20, 3)), rng.standard_normal(20), loss="squared", beta=1e9
    )
    assert np.all(without_negligible(free, 1e-2).rows.matrix[..., -1] == 1.0)


@pytest.mark.parametrize("architecture", [zg.MLP(bias=False), zg.MLP(intercept=True), zg.MLP(bias="free"), zg.CNN(2)])
@pytest.mark.parametrize("noise", [5e-17, 1e-12, 1e-8])
def test_noise_in_a_column_costs_nothing(architecture: Any, noise: float) -> None:
    rng = np.random.default_rng(1)
    if isinstance(architecture, zg.CNN):
        X = rng.standard_normal((60, 3, 3))
        # Filters of two rows, of which the second sees noise alone.
        X = np.concatenate([X[:, :1], noise * X[:, 1:2]], axis=1)
        y = np.abs(X[:, 0, 0]) - X[:, 0, 2]
        bare = np.where(np.arange(2)[None, :, None] == 0, X, 0.0)
    else:
        X = rng.standard_normal((60, 3))
        y = np.abs(X[:, 0]) - X[:, 1]
        bare = X * [1.0, 1.0, 0.0]
        X[:, 2] *= noise
    found = zg.train(architecture, X, y, beta=0.5, tol=1e-2, prove=False)
    other = zg.train(architecture, bare, y, beta=0.5, tol=1e-2, prove=False)
    assert found.status is other.status is zg.Status.SEARCHED
    assert found.certificate.objective <= 1.01 * other.certificate.objective
    assert found.certificate.objective == pytest.approx(found.network.objective(X, y, beta=0.5), rel=1e-12)


def test_the_certificate_reads_what_the_search_left_out() -> None:
    """A proof over the raw columns, repeated by a check of the file."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((25, 3)) * [1.0, 1.0, 1e-9]
    y = np.abs(X[:, 0]) + X[:, 1]
    result = zg.train(zg.MLP(bias=False), X, y, beta=0.3, tol=1e-3, prove=30.0)
    assert result.certificate.proved
    assert result.certificate.gap <= 1e-3
    question = Question.of(zg.MLP(bias=False), X, y, loss="squared", beta=0.3)
    assert without_negligible(question, 1e-3) is not question
    # The same network judged where the small column is large: its bound falls, it is not kept.
    large = X * [1.0, 1.0, 1e9]
    assert zg.certify(result.network, large, y, beta=0.3, prove=5.0).lower_bound < result.certificate.lower_bound


def test_nothing_but_noise_is_no_network() -> None:
    rng = np.random.default_rng(3)
    result = zg.train(zg.MLP(bias=False), 1e-17 * rng.standard_normal((20, 3)), rng.standard_normal(20), beta=1.0)
    assert result.network.width == 0
    assert result.certificate.proved
    assert result.certificate.gap <= 1e-4
