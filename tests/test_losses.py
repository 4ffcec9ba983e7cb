"""Losses: calculus, duality, and evaluations that rounding cannot fool (compared in exact arithmetic)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import exact
from zerogap.losses import LOSSES, Loss, make_loss

Array = NDArray[np.float64]
NAMES = tuple(LOSSES)
MARGIN = ("logistic", "hinge")


def example(name: str, seed: int = 0, samples: int = 6) -> tuple[Loss, np.random.Generator]:
    rng = np.random.default_rng(seed)
    targets = rng.standard_normal(samples) if name == "squared" else np.resize([1.0, -1.0, -1.0], samples)
    return make_loss(name, targets, rng.uniform(0.1, 3.0, samples)), rng


def inner(loss: Loss, shares: Array) -> Array:
    """A point of the dual domain: shares in [0, 1] of the box, or any numbers for the squared loss."""
    return loss.targets * loss.weights * shares if loss.margin else shares


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_gradient_and_curvature_are_derivatives(name: str, size: float) -> None:
    loss, rng = example(name)
    step = 1e-5
    for _ in range(5):
        f = size * rng.standard_normal(6)
        if name == "hinge":  # away from the kinks
            f = np.where(np.abs(loss.targets * f - 1.0) < 1e-3, 0.0, f)
        for s in range(6):
            d = step * np.eye(6)[s]
            slope = (loss.value(f + d) - loss.value(f - d)) / (2.0 * step)
            assert slope == pytest.approx(loss.gradient(f)[s], abs=1e-8 * max(1.0, size))
            bend = (loss.gradient(f + d) - loss.gradient(f - d)) / (2.0 * step)
            np.testing.assert_allclose(bend, loss.curvature(f) * np.eye(6)[s], atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_fenchel_young_is_tight_at_the_gradient_only(name: str) -> None:
    loss, rng = example(name)
    for _ in range(50):
        f, other = 3.0 * rng.standard_normal((2, 6))
        z = loss.gradient(f)
        assert loss.value(f) + loss.conjugate(z) == pytest.approx(f @ z, abs=1e-12)
        assert loss.value(other) + loss.conjugate(z) >= other @ z - 1e-12
        assert loss.dual_value(-z) == -loss.conjugate(z)


@pytest.mark.parametrize("name", NAMES)
def test_the_hinge_gradient_on_a_kink_is_a_subgradient(name: str) -> None:
    loss, rng = example(name)
    f = loss.targets.copy()
    for _ in range(20):
        other = f + rng.standard_normal(6)
        assert loss.value(other) >= loss.value(f) + loss.gradient(f) @ (other - f) - 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_the_conjugate_is_the_supremum_over_a_grid(name: str) -> None:
    grid = np.linspace(-40.0, 40.0, 16_001)
    for target, weight in [(1.0, 0.7), (-1.0, 2.0)]:
        loss = LOSSES[name](np.array([target]), np.array([weight]))
        values = np.array([loss.value(f) for f in grid[:, None]])
        for share in (0.0, 1e-3, 0.3, 0.5, 0.999, 1.0):
            z = -target * weight * share
            assert loss.conjugate(np.array([z])) == pytest.approx(np.max(z * grid - values), abs=1e-5)
        if loss.margin:
            for share in (-0.01, 1.01):
                z = -target * weight * share
                assert loss.conjugate(np.array([z])) == np.inf
                gain = np.diff(z * grid - values)
                assert gain[-1] > 0.0 or gain[0] < 0.0  # still growing at an end


@pytest.mark.parametrize("name", NAMES)
def test_the_dual_domain_is_the_box(name: str) -> None:
    loss, rng = example(name)
    low, high = loss.box()
    if not loss.margin:
        assert np.all(low == -np.inf)
        assert np.all(high == np.inf)
        return
    for end in (low, high):
        assert np.isfinite(loss.dual_value(end))
        assert np.isfinite(loss.dual_lower(end))
    gradient = loss.gradient(100.0 * rng.standard_normal(6))
    assert np.all((-gradient >= low) & (-gradient <= high))
    for outside in (np.nextafter(high, np.inf), np.nextafter(low, -np.inf)):
        assert loss.dual_value(outside) == -np.inf
        assert loss.dual_lower(outside) == -np.inf


@pytest.mark.parametrize("name", NAMES)
def test_the_best_constant_and_its_residual(name: str) -> None:
    loss, _ = example(name)
    best = loss.value(np.full(6, loss.best_constant()))
    assert all(best <= loss.value(np.full(6, b)) + 1e-12 for b in np.linspace(-5.0, 5.0, 2001))
    residual = loss.constant_residual()
    assert abs(residual.sum()) <= 1e-12
    assert loss.dual_value(residual) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_best_scale_is_feasible_and_best_for_the_squared_loss(name: str) -> None:
    loss, rng = example(name)
    r = inner(loss, rng.uniform(0.0, 1.0, 6))
    for largest in (0.1, 1.0, 7.0):
        scale = loss.best_scale(r, largest)
        assert 0.0 <= scale <= largest
        ends = np.linspace(0.0, largest, 101) if name == "squared" else [0.0, scale]
        assert all(loss.dual_value(scale * r) >= loss.dual_value(s * r) - 1e-12 for s in ends)


# -- against exact arithmetic ----------------------------------------------------------------------------

TINY = Fraction(1, 10**25)

SHARES = st.one_of(
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 1e-17, 1e-9, 0.5, 1.0 - 1e-9, 1.0 - 2.0**-53]),
)
NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1.0 + 2.0**-52, 1e-9]))
WEIGHTS = st.sampled_from([1.0, 2.0, 0.1, 1e-6, 3.7e5])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Loss, Array]:
    """A loss on three samples with a point of its dual domain."""
    name = draw(st.sampled_from(NAMES))
    targets = (
        [draw(NUMBERS) for _ in range(3)] if name == "squared" else [1.0, -1.0, draw(st.sampled_from([1.0, -1.0]))]
    )
    loss = make_loss(name, np.array(targets), np.array([draw(WEIGHTS) for _ in range(3)]))
    return loss, inner(loss, np.array([draw(SHARES if loss.margin else NUMBERS) for _ in range(3)]))


def exact_dual(loss: Loss, r: list[Fraction]) -> Fraction:
    if loss.name == "logistic":
        # Below 1e-25 the sixty digits of 1 - q would lose q: there the entropy is q (1 - log q) - q^2 / 2 - ...
        large = [i for i, (a, c) in enumerate(zip(r, exact.exact(loss.weights), strict=True)) if abs(a) >= c * TINY]
        total = Fraction(0)
        for i in range(len(r)):
            c = Fraction(float(loss.weights[i]))
            q = Fraction(float(loss.targets[i])) * r[i] / c
            if i in large:
                total += exact.dual_value("logistic", [Fraction(1)], [c], [q * c])
            elif q:
                log = Fraction((Decimal(q.numerator) / Decimal(q.denominator)).ln())
                total += c * (q * (1 - log) - q * q / 2)
        return total
    return exact.dual_value(loss.name, exact.exact(loss.targets), exact.exact(loss.weights), r)


@given(cases())
def test_dual_lower_is_never_above_the_exact_value_and_close(case: tuple[Loss, Array]) -> None:
    loss, r = case
    value = exact_dual(loss, exact.exact(r))
    lower = Fraction(loss.dual_lower(r))
    assert lower <= value
    size = float(np.abs(loss.targets * r).sum() + (r * r / loss.weights).sum() + loss.weights.sum())
    assert float(value - lower) <= 1e-12 * size


@given(cases(), st.sampled_from([1e-15, 1e-9, 1e-3]), st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3))
def test_dual_lower_covers_everything_within_the_radius(
    case: tuple[Loss, Array], radius: float, moves: list[float]
) -> None:
    loss, r = case
    lower = Fraction(loss.dual_lower(r, radius))
    low, high = loss.box()
    moved = []
    for s, move in enumerate(moves):
        shifted = Fraction(r[s]) + Fraction(radius) * Fraction(move)
        if loss.margin:
            shifted = min(max(shifted, Fraction(low[s])), Fraction(high[s]))
        moved.append(shifted)
    assert lower <= exact_dual(loss, moved)


@given(
    cases(),
    st.lists(NUMBERS, min_size=3, max_size=3),
    st.sampled_from([0.0, 1e-300, 1e-12, 1.0]),
    st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3),
)
def test_upper_is_never_below_the_exact_value(
    case: tuple[Loss, Array], outputs: list[float], error: float, moves: list[float]
) -> None:
    loss, f = case[0], np.array(outputs)
    upper = Fraction(loss.upper(f, np.full(3, error)))
    moved = [Fraction(a) + Fraction(error) * Fraction(move) for a, move in zip(outputs, moves, strict=True)]
    targets, weights = exact.exact(loss.targets), exact.exact(loss.weights)
    assert upper >= exact.loss_value(loss.name, targets, weights, moved)
    if error == 0.0:
        value = exact.loss_value(loss.name, targets, weights, exact.exact(outputs))
        assert float(upper - value) <= 1e-12 * float(value) + 1e-12 * float(loss.weights @ (1.0 + np.abs(f)))
