"""The cold start: derivatives, descent, neurons that stay what they claim, and runs that can be stopped early."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import approx_fprime

import zerogap as zg
from zerogap.architectures import TwoLayer
from zerogap.oracles.form import Form
from zerogap.oracles.search import random_starts
from zerogap.question import Question
from zerogap.training import smoothed
from zerogap.training.quasi_newton import Point, descend
from zerogap.training.sliding import Sliding, _Curvature, _Level

Array = NDArray[np.float64]

RNG = np.random.default_rng(7)
TABLE = RNG.standard_normal((40, 3))
IMAGES = RNG.standard_normal((30, 3, 3))
SIGNS = np.where(RNG.random(40) < 0.4, 1.0, -1.0)

QUESTIONS: dict[str, Question] = {
    "squared": Question.of(zg.MLP(bias=False), TABLE, TABLE[:, 0] ** 2, loss="squared", beta=0.1),
    "free bias": Question.of(zg.MLP(bias="free"), TABLE, np.abs(TABLE[:, 0]), loss="squared", beta=0.1),
    "weights": Question.of(zg.MLP(), TABLE, TABLE[:, 1], loss="squared", beta=0.1, sample_weight=np.arange(40.0) % 3),
    "logistic": Question.of(zg.MLP(bias="free"), TABLE, SIGNS, loss="logistic", beta=0.05),
    "hinge": Question.of(zg.MLP(), TABLE, SIGNS, loss="hinge", beta=0.05),
    "sum": Question.of(zg.CNN(2), IMAGES, SIGNS[:30], loss="squared", beta=0.1),
    "average": Question.of(zg.CNN(2, pooling="average", bias="free"), IMAGES, SIGNS[:30], loss="squared", beta=0.1),
}


def scattered(question: Question, width: int = 20) -> Sliding:
    rng = np.random.default_rng(0)
    form = Form.of(question.rows, free=question.architecture.offset)
    return Sliding.scattered(question, random_starts(form, width, rng), rng)


def level_of(question: Question, width: float) -> tuple[_Level, Array]:
    sliding = scattered(question)
    planes = np.ascontiguousarray(question.rows.matrix.transpose(1, 2, 0))
    level = _Level(question, planes, np.linalg.norm(planes, axis=1), sliding.signs, width, 0.1)
    x = np.append(30.0 * sliding.blocks.ravel(), sliding.offset)
    level.value(x)
    return level, x


@pytest.mark.parametrize("name", QUESTIONS)
def test_gradients_of_a_level_are_those_of_its_values(name: str) -> None:
    level, x = level_of(QUESTIONS[name], 0.3)
    gradient = level.gradient(x)
    numerical = approx_fprime(x, level.value, 1e-6)
    numerical[-1] *= QUESTIONS[name].architecture.offset
    np.testing.assert_allclose(gradient, numerical, rtol=1e-3, atol=1e-4 * float(np.abs(numerical).max()))


@pytest.mark.parametrize("name", QUESTIONS)
def test_curvatures_are_positive_definite_and_exact_in_both_spaces(name: str) -> None:
    level, x = level_of(QUESTIONS[name], 0.1)
    gradient = level.gradient(x)
    double = _Curvature(level, np.float64)
    step = double.solve(gradient)
    assert float(step @ gradient) > 0.0
    # Symmetry: u . C^-1 v = v . C^-1 u.
    other = np.where(np.arange(x.size) == x.size - 1, gradient, np.sin(np.arange(x.size)))
    assert float(other @ step) == pytest.approx(float(gradient @ double.solve(other)), rel=1e-6)
    single = _Curvature(level, np.float32).solve(gradient)
    assert float(single @ gradient) == pytest.approx(float(step @ gradient), rel=2e-2)


def test_kinks_of_no_width_are_the_relu() -> None:
    question = QUESTIONS["sum"]
    planes = np.ascontiguousarray(question.rows.matrix.transpose(1, 2, 0))
    blocks, signs = RNG.standard_normal((5, 5)), np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    found = smoothed.outputs(planes, np.linalg.norm(planes, axis=1), 0.0, blocks, np.linalg.norm(blocks, axis=1), signs)
    expected = np.maximum(question.rows.preactivations(blocks), 0.0).sum(axis=1) @ signs
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


class Quadratic:
    """x' A x / 2 - b . x."""

    def __init__(self, matrix: Array, right: Array) -> None:
        self.matrix, self.right = matrix, right

    def value(self, x: Array) -> float:
        return float(0.5 * x @ self.matrix @ x - self.right @ x)

    def gradient(self, x: Array) -> Array:
        return self.matrix @ x - self.right


def test_descent_needs_one_step_with_the_true_curvature_and_learns_what_a_wrong_one_misses() -> None:
    root = RNG.standard_normal((12, 12))
    matrix, right = root @ root.T + 0.1 * np.eye(12), RNG.standard_normal(12)
    problem, best = Quadratic(matrix, right), np.linalg.solve(matrix, right)
    start = Point(np.zeros(12), 0.0, problem.gradient(np.zeros(12)))
    (first, *_) = descend(problem, start, lambda g: np.linalg.solve(matrix, g), 1)
    np.testing.assert_allclose(first.x, best, rtol=1e-8)
    # Seven times the curvature, and half of it forgotten.
    wrong = 7.0 * np.diag(np.diag(matrix))
    values = [point.value for point in descend(problem, start, lambda g: np.linalg.solve(wrong, g), 200)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))
    assert values[-1] - problem.value(best) < 1e-8 * -problem.value(best)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_objective_of_sliding_neurons_is_that_of_their_network(name: str) -> None:
    question, sliding = QUESTIONS[name], scattered(QUESTIONS[name])
    null = question.loss.value(np.full(question.rows.samples, question.constant))
    reached = [sliding.objective() for done in sliding.run() if done]
    assert sliding.network().objective_of(question) == pytest.approx(sliding.objective(), rel=1e-9)
    assert reached[-1] < null
    assert reached[-1] < 1.1 * min(reached)


CALLS: dict[str, tuple[TwoLayer, Array, Array, dict[str, Any]]] = {
    "squared": (zg.MLP(bias=False), TABLE, TABLE[:, 0] ** 2, {"beta": 0.1}),
    "hinge": (zg.MLP(bias="free"), TABLE, SIGNS, {"beta": 0.1, "loss": "hinge"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_run_stopped_while_neurons_slide_returns_them(name: str) -> None:
    architecture, X, y, question = CALLS[name]
    seen: list[Any] = []

    def fourth(step: Any) -> bool:
        seen.append(step)
        return len(seen) == 4

    result = zg.train(architecture, X, y, **question, prove=False, callback=fourth)
    assert result.status is zg.Status.STOPPED
    assert len(result.history) == 4
    assert result.network.width > 0
    assert result.certificate.objective <= result.history[-1].objective * (1.0 + 1e-9)
    assert result.network.objective(X, y, **question) == pytest.approx(result.certificate.objective, rel=1e-9)


def test_cold_starts_heed_the_clock() -> None:
    X = np.random.default_rng(1).standard_normal((600, 12))
    y = np.maximum(X @ np.ones(12), 0.0)
    zg.train(zg.MLP(), X[:20], y[:20], prove=False, max_time=0.1)  # compiles
    started = time.monotonic()
    result = zg.train(zg.MLP(), X, y, beta=0.1, prove=False, max_time=0.05)
    assert result.status is zg.Status.TIME_LIMIT
    assert result.history == () or result.history[-1].objective >= result.certificate.objective * (1.0 - 1e-9)
    assert time.monotonic() - started < 10.0
