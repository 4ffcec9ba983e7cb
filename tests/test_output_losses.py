"""Losses of several outputs: calculus, duality, exact domains, and evaluations that rounding cannot fool."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zerogap as zg
from zerogap.certificates.annihilation import balanced_columns
from zerogap.losses import LogisticLoss, Loss, SquaredLoss
from zerogap.output_losses import CrossEntropyLoss, EachOutput, bound_loss

Array = NDArray[np.float64]
Table = list[list[Fraction]]

NAMES = ("squared", "logistic", "cross_entropy")
DIGITS = Context(prec=60, Emin=-(10**9), Emax=10**9)


def example(name: str, seed: int = 0, n: int = 5, outputs: int = 3, *, weighted: bool = True) -> Loss:
    """A loss whose columns and classes all have several labels."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.1, 0.3, 1.0, 2.0, 37.0], n) if weighted else np.ones(n)
    if name == "squared":
        return EachOutput(rng.standard_normal((n, outputs)), weights, SquaredLoss)
    if name == "logistic":
        labels = np.tile(np.resize([1.0, -1.0], n)[:, None], (1, outputs))
        return EachOutput(rng.permuted(labels, axis=0), weights, LogisticLoss)
    return CrossEntropyLoss(np.eye(outputs)[rng.permutation(np.resize(np.arange(outputs), n))], weights)


def inner(loss: Loss, rng: np.random.Generator, *, edge: bool = False) -> Array:
    """A point of the dual domain, exactly; on an edge of it, some shares are 0 or 1."""
    n, outputs = loss.targets.shape
    if loss.name == "squared":
        return 10.0 ** rng.uniform(-3.0, 3.0) * rng.standard_normal((n, outputs))
    if loss.name == "logistic":
        shares = rng.uniform(0.0, 1.0, (n, outputs))
        if edge:
            ends = rng.choice([0.0, 1.0, 1e-300, 1e-12], (n, outputs))
            shares = np.where(rng.random((n, outputs)) < 0.5, ends, shares)
        return loss.weights[:, None] * loss.targets * shares
    # Entries of the wrong classes on a grid, and not more of them than the right class has.
    shares = rng.dirichlet(np.full(outputs, 0.5 if edge else 2.0), n)
    grid = 2.0**-44
    wrong = np.trunc(loss.weights[:, None] * shares / grid) * grid * (loss.targets == 0.0)
    if edge:
        wrong[rng.random(n) < 0.3] = 0.0
    return np.where(loss.targets > 0.0, wrong.sum(axis=1, keepdims=True), -wrong)


# -- references in exact arithmetic ------------------------------------------------------------------------


def fractions(array: Array) -> Table:
    return [[Fraction(value) for value in row] for row in array.tolist()]


def decimal(value: Fraction) -> Decimal:
    return DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))


def plogp(share: Fraction) -> Fraction:
    """-p log p."""
    if share == 0:
        return Fraction(0)
    return -share * Fraction(DIGITS.ln(decimal(share)))


def entropy(share: Fraction) -> Fraction:
    """-p log p - (1 - p) log(1 - p); below 1e-25 by a series, because 1 - p would lose p."""
    if 0 < share < Fraction(1, 10**25):
        return plogp(share) + share - share * share / 2
    return plogp(share) + plogp(1 - share)


def exact_value(loss: Loss, f: Table) -> Fraction:
    """L(F)."""
    targets, weights = fractions(loss.targets), [Fraction(c) for c in loss.weights.tolist()]
    total = Fraction(0)
    for c, row, target in zip(weights, f, targets, strict=True):
        if loss.name == "squared":
            total += c * sum(((a - b) ** 2 for a, b in zip(row, target, strict=True)), Fraction(0)) / 2
        elif loss.name == "logistic":
            for a, b in zip(row, target, strict=True):
                tail = DIGITS.ln(DIGITS.add(Decimal(1), DIGITS.exp(decimal(-abs(a)))))
                total += c * (Fraction(tail) + max(-a * b, Fraction(0)))
        else:
            top = max(row)
            parts = [DIGITS.exp(decimal(a - top)) for a in row]
            mass = Decimal(0)
            for part in parts:
                mass = DIGITS.add(mass, part)
            right = sum((a * b for a, b in zip(row, target, strict=True)), Fraction(0))
            total += c * (top - right + Fraction(DIGITS.ln(mass)))
    return total


def exact_dual(loss: Loss, r: Table) -> Fraction:
    """-L*(-R) of a point of the domain."""
    targets, weights = fractions(loss.targets), [Fraction(c) for c in loss.weights.tolist()]
    total = Fraction(0)
    for c, row, target in zip(weights, r, targets, strict=True):
        for a, b in zip(row, target, strict=True):
            if loss.name == "squared":
                total += a * b - a * a / (2 * c)
            elif loss.name == "logistic":
                total += c * entropy(b * a / c)
            else:
                total += c * plogp(b - a / c)
    return total


def lies_inside(loss: Loss, r: Table) -> bool:
    """Whether R is in the dual domain, in exact arithmetic."""
    targets, weights = fractions(loss.targets), [Fraction(c) for c in loss.weights.tolist()]
    if loss.name == "squared":
        return True
    for c, row, target in zip(weights, r, targets, strict=True):
        if loss.name == "logistic":
            if not all(0 <= b * a <= c for a, b in zip(row, target, strict=True)):
                return False
        elif sum(row) != 0 or not all(c * b - a >= 0 for a, b in zip(row, target, strict=True)):
            return False
    return True


# -- calculus ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0.1, 1.0, 8.0])
def test_gradient_and_hessian_are_derivatives(name: str, size: float) -> None:
    loss, rng = example(name), np.random.default_rng(1)
    f = size * rng.standard_normal(loss.targets.shape)
    step, scale = 1e-5, float(loss.weights.max()) * max(1.0, size)
    hessian = np.zeros((f.size, f.size))
    for k in range(f.size):
        d = step * np.eye(f.size)[k].reshape(f.shape)
        slope = (loss.value(f + d) - loss.value(f - d)) / (2.0 * step)
        assert slope == pytest.approx(loss.gradient(f).ravel()[k], abs=1e-8 * scale)
        hessian[k] = ((loss.gradient(f + d) - loss.gradient(f - d)) / (2.0 * step)).ravel()
    np.testing.assert_allclose(np.diag(hessian).reshape(f.shape), loss.curvature(f), atol=1e-8 * scale)
    for _ in range(4):
        direction = rng.standard_normal(f.shape)
        expected = (hessian @ direction.ravel()).reshape(f.shape)
        np.testing.assert_allclose(loss.curved(f, direction), expected, atol=1e-7 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_sums_of_what_a_textbook_says(name: str) -> None:
    loss, rng = example(name), np.random.default_rng(2)
    f = 2.0 * rng.standard_normal(loss.targets.shape)
    expected = 0.0
    for s in range(f.shape[0]):
        if name == "cross_entropy":
            share = np.exp(f[s]) / np.exp(f[s]).sum()
            expected -= loss.weights[s] * np.log(share[loss.targets[s] == 1.0].item())
        for c in range(f.shape[1]):
            if name == "squared":
                expected += 0.5 * loss.weights[s] * (f[s, c] - loss.targets[s, c]) ** 2
            if name == "logistic":
                expected += loss.weights[s] * np.log(1.0 + np.exp(-loss.targets[s, c] * f[s, c]))
    assert loss.value(f) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("f", [800.0, 1e6, 1e100])
def test_huge_outputs_overflow_nowhere(name: str, f: float) -> None:
    loss = example(name)
    for sign in (1.0, -1.0):
        outputs = sign * f * (2.0 * loss.targets - 1.0 if name == "cross_entropy" else np.sign(loss.targets))
        value, gradient = loss.value(outputs), loss.gradient(outputs)
        assert np.isfinite(value)
        assert value >= 0.0
        assert np.all(np.isfinite(gradient))
        assert loss.upper(outputs, np.zeros_like(outputs)) >= value


@pytest.mark.parametrize("name", NAMES)
def test_fenchel_young(name: str) -> None:
    loss, rng = example(name), np.random.default_rng(3)
    for k in range(60):
        f = 10.0 ** rng.uniform(-1.0, 1.0) * rng.standard_normal(loss.targets.shape)
        r = inner(loss, rng, edge=k % 2 == 0)
        # L(F) + L*(-R) >= <F, -R>
        scale = float(np.abs(f * r).sum()) + loss.value(f)
        assert loss.value(f) - loss.dual_value(r) >= -float(np.sum(f * r)) - 1e-12 * scale
        tight = loss.feasible(-loss.gradient(f))
        assert loss.value(f) - loss.dual_value(tight) == pytest.approx(-float(np.sum(f * tight)), abs=1e-11 * scale)


def test_cross_entropy_of_two_classes_is_the_logistic_loss() -> None:
    rng = np.random.default_rng(4)
    labels = np.resize([0, 1, 1], 6)
    both = CrossEntropyLoss(np.eye(2)[labels], np.ones(6))
    single = LogisticLoss(np.where(labels == 1, 1.0, -1.0), np.ones(6))
    f = rng.standard_normal((6, 2))
    assert both.value(f) == pytest.approx(single.value(f[:, 1] - f[:, 0]), rel=1e-13)
    r = both.feasible(-both.gradient(f))
    assert both.dual_value(r) == pytest.approx(single.dual_value(r[:, 1]), rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_each_output_is_the_sum_over_columns(name: str) -> None:
    loss = example(name, 5)
    if not isinstance(loss, EachOutput):
        assert loss.value(np.zeros((5, 3))) == pytest.approx(float(loss.weights.sum()) * np.log(3.0))
        return
    f, r = np.random.default_rng(5).standard_normal((2, 5, 3)), inner(loss, np.random.default_rng(5))
    parts = loss.columns()
    assert loss.value(f[0]) == pytest.approx(sum(part.value(f[0][:, c]) for c, part in enumerate(parts)))
    assert loss.dual_value(r) == pytest.approx(sum(part.dual_value(r[:, c]) for c, part in enumerate(parts)))
    np.testing.assert_allclose(loss.gradient(f[0])[:, 1], parts[1].gradient(f[0][:, 1]))


@pytest.mark.parametrize("name", NAMES)
def test_the_best_constant_beats_others_and_its_residual_proves_it(name: str) -> None:
    loss, rng = example(name, 6), np.random.default_rng(6)
    best = loss.best_constant()
    assert best.shape == (3,)
    value = loss.value(np.tile(best, (5, 1)))
    for scale in (1e-3, 0.1, 3.0):
        for _ in range(20):
            assert value <= loss.value(np.tile(best + scale * rng.standard_normal(3), (5, 1))) + 1e-12 * value
    residual = loss.constant_residual()
    np.testing.assert_allclose(residual.sum(axis=0), 0.0, atol=1e-12 * float(loss.weights.sum()))
    assert loss.dual_value(loss.feasible(residual)) == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_best_scale_is_feasible(name: str) -> None:
    loss, rng = example(name, 7), np.random.default_rng(7)
    for largest in (0.1, 1.0, 7.0):
        r = inner(loss, rng)
        scale = loss.best_scale(r, largest)
        assert 0.0 <= scale <= largest
        # Shrinking a grid point rounds, so that a point beside it takes its place.
        assert loss.dual_value(loss.feasible(scale * r)) >= loss.dual_value(0.0 * r) - 1e-9
        if name == "squared":
            others = [loss.dual_value(s * r) for s in np.linspace(0.0, largest, 101)]
            assert loss.dual_value(scale * r) >= max(others) - 1e-12 * max(abs(v) for v in others)


# -- rounding ----------------------------------------------------------------------------------------------


def outputs_of(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.where(
        rng.random(shape) < 0.3,
        rng.choice([0.0, 1.0, -1.0, 1.0 + 2.0**-52, 1e-300, 40.0, -800.0, 1e6], shape),
        10.0 ** rng.uniform(-3.0, 2.0) * rng.standard_normal(shape),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [0.0, 1e-300, 1e-12, 1e-3, 1.0])
def test_upper_covers_everything_within_the_error(name: str, error: float) -> None:
    rng = np.random.default_rng(8)
    for seed in range(12):
        loss = example(name, seed)
        f = outputs_of(rng, loss.targets.shape)
        errors = error * rng.uniform(0.0, 1.0, f.shape)
        upper = Fraction(loss.upper(f, errors))
        worst = np.where(f - loss.targets >= 0.0, 1.0, -1.0) if name == "squared" else -np.sign(loss.targets - 0.5)
        for moves in (np.zeros_like(f), worst, rng.uniform(-1.0, 1.0, f.shape)):
            shifts = zip(fractions(f), fractions(errors), fractions(moves), strict=True)
            moved = [[a + e * t for a, e, t in zip(*rows, strict=True)] for rows in shifts]
            assert upper >= exact_value(loss, moved)
        if error == 0.0:
            value = float(exact_value(loss, fractions(f)))
            slack = float(loss.weights @ (1.0 + np.abs(f).sum(axis=1)))
            assert float(upper) <= value + 1e-12 * (value + slack)


@pytest.mark.parametrize("name", NAMES)
def test_dual_lower_is_never_above_the_exact_value_and_close(name: str) -> None:
    rng = np.random.default_rng(9)
    for seed in range(30):
        loss = example(name, seed)
        r = inner(loss, rng, edge=seed % 2 == 0)
        assert lies_inside(loss, fractions(r))
        value, lower = exact_dual(loss, fractions(r)), Fraction(loss.dual_lower(r))
        assert lower <= value
        size = float(np.abs(loss.targets * r).sum() + (r * r / loss.weights[:, None]).sum() + loss.weights.sum())
        assert float(value - lower) <= 1e-12 * size
        assert loss.dual_value(r) == pytest.approx(float(value), abs=1e-12 * size)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("radius", [5e-324, 1e-15, 1e-9, 1e-3, 0.3])
def test_dual_lower_covers_every_point_of_the_domain_within_the_radius(name: str, radius: float) -> None:
    rng, reach = np.random.default_rng(10), Fraction(radius)
    for seed in range(15):
        loss = example(name, seed)
        r = inner(loss, rng, edge=seed % 2 == 0)
        lower = loss.dual_lower(r, radius)
        assert np.isfinite(lower)
        table, targets = fractions(r), fractions(loss.targets)
        weights = [Fraction(c) for c in loss.weights.tolist()]
        for _ in range(4):
            moved = [[a + reach * Fraction(rng.uniform(-1.0, 1.0)) for a in row] for row in table]
            for row, before, target, c in zip(moved, table, targets, weights, strict=True):
                for k, b in enumerate(target):
                    if name == "logistic":
                        row[k] = min(max(row[k], min(c * b, Fraction(0))), max(c * b, Fraction(0)))
                if name == "cross_entropy":
                    # Move mass between two classes, as far as the radius and the simplex let it.
                    k, other = (int(j) for j in rng.choice(len(row), 2, replace=False))
                    room = min(reach, c * target[other] - before[other])
                    row[:] = before
                    row[k], row[other] = row[k] - room, row[other] + room
            assert lies_inside(loss, moved)
            assert Fraction(lower) <= exact_dual(loss, moved)


@pytest.mark.parametrize("name", ["logistic", "cross_entropy"])
def test_points_outside_the_domain_prove_nothing(name: str) -> None:
    rng = np.random.default_rng(11)
    for seed in range(10):
        loss = example(name, seed)
        low, high = loss.box()
        s, c = int(rng.integers(5)), int(rng.integers(3))
        for end, away in ((low, -np.inf), (high, np.inf)):
            r = np.zeros_like(low) if name == "cross_entropy" else inner(loss, rng)
            r[s, c] = np.nextafter(end[s, c], away)
            assert not lies_inside(loss, fractions(r))
            assert loss.dual_value(r) == -np.inf
            assert loss.dual_lower(r) == -np.inf
        assert loss.dual_lower(np.full_like(low, np.nan)) == -np.inf


def test_rows_of_cross_entropy_that_do_not_sum_to_zero_prove_nothing() -> None:
    rng = np.random.default_rng(12)
    for seed in range(10):
        loss = example("cross_entropy", seed)
        r = 0.5 * inner(loss, rng)
        s = int(np.abs(r).max(axis=1).argmax())
        right = int(loss.targets[s].argmax())
        for share in (1e-13, 1e-9, 1e-3):
            moved = r.copy()
            moved[s, right] *= 1.0 - share
            assert loss.dual_value(moved) == -np.inf
            assert loss.dual_lower(moved) == -np.inf
        # Within a radius there is such a point after all.
        moved[s, right] = r[s, right] - 1e-9
        assert np.isfinite(loss.dual_lower(moved, 1e-9))
        assert loss.dual_lower(moved, 1e-10) == -np.inf


# -- points exactly inside -----------------------------------------------------------------------------------


def wild(loss: Loss, rng: np.random.Generator, kind: str) -> Array:
    shape = loss.targets.shape
    if kind == "gradients":
        return -loss.gradient(10.0 ** rng.uniform(-2.0, 1.5) * rng.standard_normal(shape))
    if kind == "fitted":
        return -loss.gradient(rng.uniform(20.0, 300.0) * loss.targets)
    if kind == "tiny":
        return 1e-300 * rng.standard_normal(shape)
    if kind == "huge":
        return 1e300 * rng.standard_normal(shape)
    if kind == "mixed":
        return rng.standard_normal(shape) * 10.0 ** rng.uniform(-200.0, 3.0, shape)
    if kind == "wrong signs":
        return -inner(loss, rng)
    return np.zeros(shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["gradients", "fitted", "tiny", "huge", "mixed", "wrong signs", "zeros"])
def test_feasible_points_are_exactly_inside(name: str, kind: str) -> None:
    rng = np.random.default_rng(13)
    for seed in range(15):
        loss = example(name, seed, n=6, outputs=2 + seed % 4)
        r = wild(loss, rng, kind)
        found = loss.feasible(r)
        assert found.shape == r.shape
        assert np.all(np.isfinite(found))
        assert lies_inside(loss, fractions(found))
        if name != "squared" or kind != "huge":  # whose squares overflow
            assert loss.dual_lower(found) > -np.inf
        if kind in ("gradients", "fitted"):
            # The gradient of the right class, p - 1, has lost the digits of a tiny 1 - p.
            sure = loss.targets == 0.0 if name == "cross_entropy" else np.full(r.shape, True)
            peak = float(np.abs(r[sure]).max(initial=0.0))
            np.testing.assert_allclose(found[sure], r[sure], rtol=0.0, atol=1e-12 * peak)
            np.testing.assert_allclose(found, r, rtol=0.0, atol=1e-12 * float(loss.weights.max()))


@pytest.mark.parametrize("outputs", [10, 100, 500, 1000])
def test_feasible_points_of_many_classes_are_exactly_inside(outputs: int) -> None:
    rng = np.random.default_rng(14)
    loss = CrossEntropyLoss(np.eye(outputs)[[0, 3, outputs - 1]], np.array([1.0, 0.3, 7.0]))
    for scale in (0.0, 0.1, 3.0):
        found = loss.feasible(-loss.gradient(scale * rng.standard_normal((3, outputs))))
        assert lies_inside(loss, fractions(found))


def test_feasible_points_of_thousands_of_classes_are_exactly_inside() -> None:
    # Once wrong: the sum of 1999 entries of 2**-44 of their peak each needs 55 bits, so rows are off by 2**-54.
    loss = CrossEntropyLoss(np.eye(2000)[:9], np.ones(9))
    outputs = 0.1 * np.random.default_rng(14).standard_normal((9, 2000))
    assert lies_inside(loss, fractions(loss.feasible(-loss.gradient(outputs))))


def test_feasible_points_of_subnormal_residuals_are_numbers() -> None:
    # Once wrong: the step of the grid underflows to zero, and the point is NaN.
    loss = CrossEntropyLoss(np.eye(3), np.ones(3))
    with np.errstate(all="ignore"):
        found = loss.feasible(1e-313 * np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, -1.0, 2.0]]))
    assert np.all(np.isfinite(found))
    assert lies_inside(loss, fractions(found))


def test_networks_that_fit_their_classes_too_well_are_judged() -> None:
    # Once wrong: the residual of margins between 709 and 745 is subnormal; the price of ``improve`` is NaN.
    second = 27.0 * np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    network = zg.Network(zg.MLP(bias=False), 27.0 * np.eye(2), second)
    question: dict[str, Any] = {"loss": "cross_entropy", "beta": 0.1}
    certificate = zg.certify(network, np.eye(2), np.eye(2, 3), **question, prove=2.0)
    assert certificate.lower_bound <= certificate.objective
    improvement = zg.improve(network, np.eye(2), np.eye(2, 3), **question, prove=False)
    assert improvement.price <= 1e-300


def columns_inside(loss: Loss, r: Array) -> bool:
    return lies_inside(loss, fractions(r)) and all(sum(column) == 0 for column in fractions(r.T))


@pytest.mark.parametrize("outputs", [2, 3, 20])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-3])
def test_balanced_columns_sum_to_zero_exactly_within_the_simplex(outputs: int, scale: float) -> None:
    """Of residuals whose columns are off by a little, as those of a solver are."""
    rng = np.random.default_rng(15)
    for seed in range(4):
        loss = example("cross_entropy", seed, n=4 * outputs, outputs=outputs, weighted=seed % 2 == 0)
        residual = loss.constant_residual() * (1.0 + scale * rng.standard_normal(loss.targets.shape))
        given = loss.feasible(residual)
        found = balanced_columns(given, loss.targets, loss.weights)
        assert found is not None
        assert columns_inside(loss, found)
        excess = float(np.abs(given.sum(axis=0)).sum())
        assert float(np.abs(found - given).max()) <= excess + 1e-12
        # A balanced point stays as it is.
        again = balanced_columns(found, loss.targets, loss.weights)
        assert again is not None
        np.testing.assert_array_equal(again, found)


def test_columns_are_balanced_as_long_as_shares_have_room() -> None:
    """Whatever the residual: either None, or exactly balanced."""
    rng, done = np.random.default_rng(16), 0
    for seed in range(60):
        loss = example("cross_entropy", seed, n=12, outputs=3, weighted=seed % 2 == 0)
        noise = rng.uniform(0.0, 0.2) * rng.standard_normal((12, 3))
        given = loss.feasible(-loss.gradient(loss.best_constant() + noise))
        found = balanced_columns(given, loss.targets, loss.weights)
        if found is not None:
            assert columns_inside(loss, found)
            done += 1
    assert done >= 10


def test_columns_that_cannot_be_balanced_are_refused() -> None:
    # A class without samples has no entry above zero; of two samples, the heavier one wins.
    empty = CrossEntropyLoss(np.eye(3)[[0, 1, 0, 1]], np.ones(4))
    given = empty.feasible(-empty.gradient(np.zeros((4, 3))))
    assert balanced_columns(given, empty.targets, empty.weights) is None
    one = CrossEntropyLoss(np.eye(2)[[0]], np.ones(1))
    assert balanced_columns(one.feasible(np.array([[0.5, -0.5]])), one.targets, one.weights) is None
    # Entries off the grid count for nothing.
    assert balanced_columns(np.array([[np.pi, -np.pi], [-1e-30, 1e-30]]), np.eye(2), np.full(2, 10.0)) is None
    zeros = np.zeros((4, 3))
    np.testing.assert_array_equal(balanced_columns(zeros, empty.targets, empty.weights), zeros)


def test_columns_of_many_classes_are_balanced() -> None:
    # Once wrong: with more than some 128 classes of one size the sum over the wrong ones exceeds the peak that
    # the grid of ``feasible`` is made for, and ``balanced_columns`` does not recognise its grid.
    loss = example("cross_entropy", n=300, outputs=150, weighted=False)
    found = balanced_columns(loss.feasible(loss.constant_residual()), loss.targets, loss.weights)
    assert found is not None
    assert columns_inside(loss, found)


@pytest.mark.parametrize("name", ["hinge", "logistic", "cross_entropy"])
def test_losses_that_cannot_be_bound(name: str) -> None:
    table: dict[str, tuple[Any, bool]] = {
        "hinge": (np.ones((4, 2)), False),
        "logistic": (np.array([[1.0, 1.0], [-1.0, 1.0]]), True),
        "cross_entropy": (np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), True),
    }
    targets, offset = table[name]
    with pytest.raises(zg.InputError) as caught:
        bound_loss(name, targets, np.ones(len(targets)), offset=offset)
    assert all((caught.value.what, caught.value.got, caught.value.expected, caught.value.remedy))
    if offset:
        assert bound_loss(name, targets, np.ones(len(targets))).targets is targets
