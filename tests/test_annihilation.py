"""Dual points that vanish on the free directions: an exact solution within the radius must exist, and does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import exact
from zerogap.certificates.annihilation import annihilated

Array = NDArray[np.float64]
Exact = list[Fraction]

MODERATE = settings(max_examples=80, derandomize=True, deadline=None)
SIZE = st.floats(-1e6, 1e6)


def independent(constraints: list[Exact]) -> list[Exact]:
    """A maximal independent subset of rational rows."""
    kept: list[Exact] = []
    for row in constraints:
        if exact.rank([*kept, row]) > len(kept):
            kept.append(row)
    return kept


def solve(matrix: list[Exact], right: Exact) -> Exact:
    """A regular rational linear system, by elimination."""
    system = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for k in range(len(system)):
        pivot = next(i for i in range(k, len(system)) if system[i][k])
        system[k], system[pivot] = system[pivot], system[k]
        system[k] = [entry / system[k][k] for entry in system[k]]
        for i in range(len(system)):
            if i != k and system[i][k]:
                system[i] = [a - system[i][k] * b for a, b in zip(system[i], system[k], strict=True)]
    return [row[-1] for row in system]


def nearest_solution(constraints: Array, point: Array, movable: list[int]) -> Exact:
    """The rational point with C r = 0 that is nearest to `point` when only the movable coordinates may change."""
    rows, values = [exact.exact(row) for row in constraints], exact.exact(point)
    head = independent([[row[k] for k in movable] for row in rows])
    chosen: list[Exact] = []
    for row in rows:
        restricted = [[r[k] for k in movable] for r in [*chosen, row]]
        if len(chosen) < len(head) and exact.rank(restricted) > len(chosen):
            chosen.append(row)
    moved = list(values)
    if chosen:
        parts = [[row[k] for k in movable] for row in chosen]
        gram = [[exact.dot(a, b) for b in parts] for a in parts]
        weights = solve(gram, [-exact.dot(row, values) for row in chosen])
        for position, k in enumerate(movable):
            moved[k] += sum((w * part[position] for w, part in zip(weights, parts, strict=True)), Fraction(0))
    return moved


def holds(constraints: Array, found: tuple[Array, float], low: Array, high: Array) -> None:
    """Some r' with C r' = 0 exactly lies in the box, within the radius of the point.

    Coordinates on an end of the box stay there, as the package means them to.
    """
    point, radius = found
    assert np.isfinite(point).all()
    assert 0.0 <= radius < np.inf
    assert np.all(point >= low)
    assert np.all(point <= high)
    movable = [k for k in range(point.size) if low[k] < point[k] < high[k]]
    solution = nearest_solution(constraints, point, movable)
    for row in constraints:
        assert exact.dot(exact.exact(row), solution) == 0
    for k, value in enumerate(solution):
        assert abs(value - Fraction(float(point[k]))) <= Fraction(radius)
        assert value == point[k] or Fraction(float(low[k])) <= value <= Fraction(float(high[k]))


def unbounded(size: int) -> tuple[Array, Array]:
    return np.full(size, -np.inf), np.full(size, np.inf)


def margin_box(labels: Array, weights: Array) -> tuple[Array, Array]:
    signed = labels * weights
    return np.minimum(signed, 0.0), np.maximum(signed, 0.0)


class TestTotal:
    """C = (1, ..., 1): the output offset."""

    @MODERATE
    @given(st.lists(SIZE, min_size=1, max_size=8))
    def test_squared_loss(self, residual: list[float]) -> None:
        r = np.array(residual)
        constraints = np.ones((1, r.size))
        found = annihilated(r, constraints, *unbounded(r.size))
        assert found is not None
        point, radius = found
        assert radius <= 1e-12 * np.abs(r).max() + 1e-300
        if np.isfinite(point).all() and r.size > 1:
            low, high = np.full(r.size, -1e9), np.full(r.size, 1e9)
            holds(constraints, found, low, high)

    @MODERATE
    @given(
        st.lists(
            st.tuples(st.floats(-2.0, 2.0), st.sampled_from([-1.0, 1.0]), st.floats(1e-3, 1e3)), min_size=2, max_size=8
        )
    )
    def test_margin_losses(self, samples: list[tuple[float, float, float]]) -> None:
        r, labels, weights = (np.array(column) for column in zip(*samples, strict=True))
        low, high = margin_box(labels, weights)
        constraints = np.ones((1, r.size))
        found = annihilated(np.clip(r * weights, low, high), constraints, low, high)
        if found is not None:
            holds(constraints, found, low, high)

    def test_both_classes_on_the_ends_of_the_box(self) -> None:
        """Every q = 1 is what a hinge loss proposes that violates all margins."""
        labels = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
        low, high = margin_box(labels, np.ones(5))
        constraints = np.ones((1, 5))
        for start in (labels, 0.0 * labels, 0.5 * labels):
            found = annihilated(start.copy(), constraints, low, high)
            assert found is not None
            holds(constraints, found, low, high)

    def test_extreme_weights(self) -> None:
        labels = np.array([1.0, -1.0, 1.0, -1.0])
        low, high = margin_box(labels, np.array([1e-12, 1.0, 1e12, 1e-6]))
        constraints = np.ones((1, 4))
        for share in (0.0, 0.3, 1.0):
            found = annihilated(share * (low + high), constraints, low, high)
            if found is not None:
                holds(constraints, found, low, high)

    def test_the_argument_is_not_changed(self) -> None:
        r = np.array([1.0, 2.0, -0.5])
        r.setflags(write=False)
        found = annihilated(r, np.ones((1, 3)), *unbounded(3))
        assert found is not None
        assert found[0] is not r


class TestCounts:
    """C = active rows per sample and gate: gated networks with a free bias."""

    @MODERATE
    @given(st.data())
    def test_any_integers(self, data: st.DataObject) -> None:
        samples, gates = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 4))
        entries = st.lists(st.integers(0, 3), min_size=samples, max_size=samples)
        constraints = np.array(data.draw(st.lists(entries, min_size=gates, max_size=gates)), dtype=float)
        r = np.array(data.draw(st.lists(SIZE, min_size=samples, max_size=samples)))
        if not constraints.any(axis=1).all():
            return
        found = annihilated(r, constraints, *unbounded(samples))
        if found is not None:
            holds(constraints, found, np.full(samples, -1e12), np.full(samples, 1e12))

    @MODERATE
    @given(st.data())
    def test_with_a_box(self, data: st.DataObject) -> None:
        samples, gates = data.draw(st.integers(2, 7)), data.draw(st.integers(1, 3))
        entries = st.lists(st.integers(0, 2), min_size=samples, max_size=samples)
        constraints = np.array(data.draw(st.lists(entries, min_size=gates, max_size=gates)), dtype=float)
        labels = np.array(data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=samples, max_size=samples)))
        low, high = margin_box(labels, np.ones(samples))
        shares = st.sampled_from([0.0, 1e-13, 1e-7, 0.25, 0.5, 1.0 - 1e-13, 1.0])
        r = labels * np.array(data.draw(st.lists(shares, min_size=samples, max_size=samples)))
        if not constraints.any(axis=1).all():
            return
        found = annihilated(r, constraints, low, high)
        if found is not None:
            holds(constraints, found, low, high)

    def test_solutions_are_found_where_there_are_any(self) -> None:
        """Random exact solutions, rounded and disturbed, are recognised, with repeated and dependent rows too."""
        rng = np.random.default_rng(0)
        for base in ([[1, 1, 0, 0, 2, 1]], [[1, 1, 0, 0, 2, 1], [0, 1, 1, 3, 0, 0]], np.eye(3, 6) + np.eye(3, 6, 3)):
            rows = np.array(base, dtype=float)
            for constraints in (rows, np.vstack([rows, rows]), np.vstack([rows, rows.sum(axis=0, keepdims=True)])):
                r = rng.standard_normal(6)
                r -= np.linalg.pinv(rows) @ (rows @ r)
                found = annihilated(r + 1e-9 * rng.standard_normal(6), constraints, *unbounded(6))
                assert found is not None
                assert np.abs(found[0] - r).max() < 1e-7
                assert found[1] < 1e-13
                holds(constraints, found, np.full(6, -1e3), np.full(6, 1e3))

    def test_no_solution_but_zero(self) -> None:
        """A regular square C forces r = 0."""
        found = annihilated(np.array([1.0, -2.0]), np.array([[1.0, 0.0], [1.0, 1.0]]), *unbounded(2))
        if found is not None:
            assert np.abs(found[0]).max() <= found[1] + 1e-300

    def test_contradicting_ends_are_refused(self) -> None:
        """Both coordinates sit at an end, and 1 + 1 is not 0: either they are moved, or nothing is claimed."""
        low, high = np.zeros(2), np.ones(2)
        found = annihilated(np.ones(2), np.array([[1.0, 1.0], [1.0, 0.0]]), low, high)
        if found is not None:
            holds(np.array([[1.0, 1.0], [1.0, 0.0]]), found, low, high)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_undefined_residuals_prove_nothing(self, value: float) -> None:
        with np.errstate(all="ignore"):
            try:
                found: Any = annihilated(np.array([value, 1.0]), np.array([[1.0, 2.0], [2.0, 1.0]]), *unbounded(2))
            except (ArithmeticError, ValueError, np.linalg.LinAlgError):
                return
        assert found is None or not np.isfinite(found[0]).all() or not np.isfinite(found[1])
