"""Prices: never below the exact maximum, and equal to it up to rounding when the multipliers are refined."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import exact
import zerogap as zg
from zerogap.certificates.pricing import Pricer
from zerogap.program import Program
from zerogap.question import Question
from zerogap.scope import choose_cells

Array = NDArray[np.float64]

MODERATE = settings(max_examples=60, derandomize=True, deadline=None)
SMALL = st.integers(-3, 3)
# Smaller residuals have a test of their own below.
RESIDUALS = st.lists(st.floats(-1e3, 1e3).map(lambda r: r if abs(r) > 1e-100 else 0.0), min_size=6, max_size=6)


# Targets differ everywhere: equal samples with equal targets would be merged.
def program_of(architecture: Any, X: Any, y: Any, *, arrangements: Any = "enumerate", beta: float = 1e-6) -> Program:
    """With a tiny beta, so that refinement works on every cell."""
    question = Question.of(architecture, X, y, loss="squared", beta=beta)
    return question.program(choose_cells(question, arrangements, np.random.default_rng(0)))


def sides(program: Program) -> list[list[int]]:
    """The exact sign of every row in every cell."""
    flat = program.rows.flat
    return [list(exact.signs(flat, centre)) for centre in program.cells.centres]


def plane(matrix: Any, bias: Any) -> tuple[Any, Array]:
    """An architecture and inputs whose rows are two numbers each."""
    rows = np.array(matrix, dtype=float)
    return zg.MLP(bias=bias), rows if bias is False else rows[:, :1]


def exact_price_squared(program: Program, r: list[Fraction], *, free: bool = False) -> Fraction:
    flat = program.rows.flat
    opposite = [-value for value in r]
    return max(exact.price_squared(flat, s, side, free=free) for side in sides(program) for s in (r, opposite))


def exact_from_above(program: Program, residual: Array, truth: Fraction) -> None:
    """Never below the exact price, and equal to it once refined, unless it is below beta anyway."""
    pricer = Pricer(program)
    for refine in (False, True):
        price = pricer.upper(residual, 0.0, refine=refine)
        assert Fraction(price) ** 2 >= truth
    assert price <= max(float(truth) ** 0.5 * (1.0 + 1e-9) + 1e-9 * np.abs(residual).max(), program.beta)


@MODERATE
@given(
    st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=6),
    RESIDUALS,
    st.sampled_from([False, True]),
)
def test_prices_in_the_plane_are_exact_from_above(matrix: list[tuple[int, int]], r: list[float], bias: bool) -> None:
    architecture, X = plane(matrix, bias)
    program = program_of(architecture, X, np.arange(len(matrix)))
    residual = np.array(r[: len(matrix)])
    truth = exact_price_squared(program, exact.exact(residual))
    exact_from_above(program, residual, truth)


@MODERATE
@given(
    st.lists(SMALL, min_size=2, max_size=6, unique=True),
    st.lists(st.integers(-9, 9), min_size=5, max_size=5),
)
def test_prices_with_a_free_bias_are_exact_from_above(column: list[int], r: list[int]) -> None:
    program = program_of(zg.MLP(bias="free"), np.array(column, dtype=float)[:, None], np.arange(len(column)))
    head = r[: len(column) - 1]
    residual = np.array([*head, -sum(head)], dtype=float)
    truth = exact_price_squared(program, exact.exact(residual), free=True)
    exact_from_above(program, residual, truth)


@MODERATE
@given(
    st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=6),
    RESIDUALS,
    st.floats(0.0, 10.0),
    st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6),
)
def test_the_price_covers_every_residual_within_the_radius(
    matrix: list[tuple[int, int]], r: list[float], radius: float, shift: list[float]
) -> None:
    program = program_of(zg.MLP(bias=False), np.array(matrix, dtype=float), np.arange(len(matrix)))
    residual = np.array(r[: len(matrix)])
    pairs = zip(exact.exact(residual), shift, strict=False)
    moved = [value + Fraction(radius) * Fraction(step) for value, step in pairs]
    price = Pricer(program).upper(residual, radius, refine=True)
    assert Fraction(price) ** 2 >= exact_price_squared(program, moved)


def instances() -> list[tuple[str, Any, Array]]:
    rng = np.random.default_rng(0)
    flat, series = rng.standard_normal((5, 2)), rng.standard_normal((4, 4))
    three = rng.standard_normal((6, 3))
    duplicated = np.vstack([flat, -flat[:1], 2.0 * flat[1:2], np.zeros((1, 2))])
    return [
        ("plane", zg.MLP(bias=False), flat),
        ("space", zg.MLP(bias=False), three),
        ("bias", zg.MLP(), flat),
        ("degenerate", zg.MLP(bias=False), duplicated),
        ("degenerate with bias", zg.MLP(), duplicated),
        ("sum", zg.CNN(kernel_size=2, bias=False), series),
        ("average", zg.CNN(kernel_size=2, pooling="average"), series),
        ("scaled columns", zg.MLP(bias=False), three * np.array([1e-3, 1.0, 1e2])),
        ("free", zg.MLP(bias="free"), flat),
        ("free patches", zg.CNN(kernel_size=2, bias="free"), series),
    ]


@pytest.mark.parametrize(("name", "architecture", "X"), instances(), ids=[name for name, *_ in instances()])
def test_prices_against_dense_sampling(name: str, architecture: Any, X: Array) -> None:
    """No direction, in any cell, gains more than the price; the best of many gains nearly as much."""
    rng = np.random.default_rng(1)
    program = program_of(architecture, X, np.arange(len(X)))
    assert program.cells.complete
    flat, penalised = program.rows.flat, program.gauge.penalised
    directions = rng.standard_normal((200_000, flat.shape[1]))
    directions /= np.linalg.norm(flat, axis=0)
    if not penalised.all():
        directions[:, -1] *= 3.0
    directions /= np.linalg.norm(directions[:, penalised], axis=1, keepdims=True)
    positive = np.maximum(directions @ flat.T, 0.0).reshape(len(directions), len(X), -1).sum(axis=2)
    features = positive * program.rows.scale
    for _ in range(3):
        residual = rng.standard_normal(len(X))
        if not penalised.all():
            residual -= residual.mean()
        gain = float(np.abs(features @ residual).max())
        rough = Pricer(program).upper(residual, 0.0, refine=False)
        price = Pricer(program).upper(residual, 0.0, refine=True)
        assert gain <= price * (1.0 + 1e-12) <= rough * (1.0 + 2e-12)
        assert name == "scaled columns" or price <= 1.1 * gain


@pytest.mark.parametrize("rho", [0.0, 0.05, 0.5, 5.0])
def test_prices_of_penalised_cones_against_dense_sampling(rho: float) -> None:
    """max over unit u of r . T u minus rho times the contradiction, for both signs."""
    rng = np.random.default_rng(2)
    X, gates = rng.standard_normal((6, 2)), rng.standard_normal((4, 2))
    program = program_of(zg.MLP(bias=False, gated=True, cone_penalty=rho), X, np.ones(6), arrangements=gates, beta=1e-6)
    angles = np.linspace(0.0, 2.0 * np.pi, 20_001)
    values = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ X.T
    for _ in range(5):
        residual = rng.standard_normal(6)
        best = 0.0
        for gate in gates:
            active = X @ gate >= 0.0
            contradiction = np.maximum(0.0, -np.where(active, 1.0, -1.0) * values).sum(axis=1)
            gains = values[:, active] @ residual[active]
            best = max(best, float((np.abs(gains) - rho * contradiction).max()))
        price = Pricer(program).upper(residual, 0.0, refine=True)
        assert best <= price * (1.0 + 1e-12)
        capped = Pricer(program).upper(residual, 0.0, np.full((2, 4, program.walls.count), 1e9), refine=True)
        assert best <= capped * (1.0 + 1e-12)


def test_bad_multipliers_do_not_lower_the_price() -> None:
    """Negative, infinite and undefined proposals count for nothing or make the price useless, never smaller."""
    rng = np.random.default_rng(3)
    program = program_of(zg.MLP(), rng.standard_normal((5, 2)), np.ones(5))
    residual = rng.standard_normal(5)
    pricer = Pricer(program)
    truth = pricer.upper(residual, 0.0, refine=True)
    shape = (2, program.cells.count, program.walls.count)
    with np.errstate(all="ignore"):
        for value in (-1.0, -1e300, 1e-300, 1.0, 1e150, 1e300, np.inf, -np.inf, np.nan):
            one = np.zeros(shape)
            one[1, 0, 0] = value
            for multipliers in (np.full(shape, value), one):
                price = pricer.upper(residual, 0.0, multipliers, refine=False)
                assert not price < truth * (1.0 - 1e-9), value


def test_rows_too_short_to_square() -> None:
    """A row of length 1e-170 has a square that underflows, yet it is as good a wall as any."""
    rng = np.random.default_rng(4)
    X = np.vstack([rng.standard_normal((4, 2)), [[1e-170, 2e-170]]])
    program = program_of(zg.MLP(bias=False), X, np.ones(5), arrangements=20)
    residual = rng.standard_normal(5)
    with np.errstate(all="ignore"):
        price = Pricer(program).upper(residual, 0.0, refine=True)
    longest = max(np.linalg.norm(program.operator.adjoint(residual), axis=1))
    assert 0.1 * longest < price <= longest * (1.0 + 1e-12)


def test_prices_too_small_to_square() -> None:
    program = program_of(zg.MLP(bias=False), np.array([[3e-100, 4e-100]]), np.ones(1), arrangements=5)
    with np.errstate(all="ignore"):
        price = Pricer(program).upper(np.array([1e-80]), 0.0, refine=False)
    assert price >= 5e-180


def test_active_counts_of_patches() -> None:
    """Distinct non-zero vectors of active rows per sample."""
    X = np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
    program = program_of(zg.CNN(kernel_size=1, bias=False), X, np.ones(2))
    counts = Pricer(program).active_counts()
    assert sorted(counts.tolist()) == [[1.0, 3.0], [2.0, 0.0]]
