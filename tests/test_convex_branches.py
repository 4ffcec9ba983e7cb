"""Branch and bound over pooled features: never below a price that is attained, down to it, and of use in training."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import zerogap as zg
from test_architectures import MAX, NONE, X5, Y5
from zerogap import clock
from zerogap.features.pooled import PooledFeatures
from zerogap.oracles.convex_branches import ConvexBranches
from zerogap.oracles.feature_search import climb
from zerogap.question import Question
from zerogap.rows import Rows
from zerogap.training.features import FeatureRun
from zerogap.training.thresholds import falling, largest_price

Array = NDArray[np.float64]

KINDS: dict[str, dict[str, Any]] = {
    "no pooling": {"windows": np.arange(4)[:, None]},
    "sums of windows": {"windows": np.arange(4).reshape(2, 2)},
    "leaky sum": {"slope": 0.25},
    "leaky windows, added": {"windows": np.arange(4).reshape(2, 2), "slope": 0.1, "summed": True},
    "maximum": {"largest": True},
    "maxima of windows": {"largest": True, "windows": np.array([[0, 3], [1, 2]])},
    "maxima of windows, added": {"largest": True, "windows": np.array([[0, 1]]), "summed": True},
    "leaky maximum": {"largest": True, "slope": 0.3},
    "leaky maxima of windows": {"largest": True, "windows": np.array([[0, 1], [2, 3]]), "slope": 0.3},
}


def instance(kind: str, seed: int, p: int, *, free: bool = False, n: int = 6) -> tuple[PooledFeatures, Array]:
    """Features with four positions, and a residual; every third one has integer, every third one degenerate rows."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, 4, p))
    residual = rng.integers(-64, 65, n) / 16.0
    if seed % 3:
        matrix = np.rint(2.0 * matrix)
    if seed % 3 == 2:
        matrix[0, 1] = matrix[0, 0]
        matrix[1] = matrix[0]
        matrix[2] = -3.0 * matrix[0]
        matrix[3, :2] = 0.0
        matrix[4, :, 0] = 2.0 * matrix[4, :, -1]
    if seed % 5 == 4:
        matrix *= 10.0 ** rng.integers(-9, 9, p)
    if free:
        matrix[..., -1] = 1.0
        residual[-1] -= residual.sum()
    scale = 0.25 if seed % 2 else 1.0
    return PooledFeatures(Rows(matrix, scale), free=free, **KINDS[kind]), residual


def prices(features: PooledFeatures, residual: Array, directions: Array) -> Array:
    """||Phi(u)' r|| / ||E u||, 0 where E u vanishes."""
    sizes = np.linalg.norm(directions[:, features.penalised], axis=1)
    pulls = np.tensordot(residual, features.forward(directions)[0], axes=1)
    return np.where(sizes > 0.0, np.linalg.norm(pulls, axis=0) / np.where(sizes > 0.0, sizes, 1.0), 0.0)


def walls(features: PooledFeatures) -> Array:
    """All rows, and all differences within windows."""
    matrix = features.rows.matrix
    differences = [matrix[:, i] - matrix[:, j] for i, j in combinations(range(matrix.shape[1]), 2)]
    return np.concatenate([matrix.reshape(-1, matrix.shape[2]), *differences])


def best_in_plane(features: PooledFeatures, residual: Array, plane: Array) -> float:
    """The largest price in the span of (2, p), where E is injective: on every arc between walls it is ||G u||."""
    kept = plane[:, features.penalised]
    basis = np.linalg.inv(np.linalg.cholesky(kept @ kept.T)) @ plane
    normals = walls(features) @ basis.T
    normals = normals[np.abs(normals).max(axis=1) > 1e-12 * np.abs(normals).max(initial=1e-300)]
    corners = np.arctan2(normals[:, 0], -normals[:, 1])
    corners = np.unique(np.concatenate([corners, corners + np.pi, [0.0]]) % (2.0 * np.pi))
    ends = np.append(corners[1:], corners[0] + 2.0 * np.pi)
    points = np.stack([corners + share * (ends - corners) for share in (0.0, 0.25, 0.75)], axis=1)
    inner = np.stack([np.cos(points), np.sin(points)], axis=2)  # (arcs, 3, 2)
    pulls = np.tensordot(residual, features.forward((inner @ basis).reshape(-1, basis.shape[1]))[0], axes=1)
    pulls = pulls.T.reshape(inner.shape[0], 3, -1)
    usable = ends - corners > 1e-6
    linear = np.linalg.solve(inner[usable, 1:], pulls[usable, 1:])  # (arcs, 2, a)
    tops = np.linalg.svd(linear)[0][:, :, 0]
    candidates = np.concatenate([inner[:, 0], tops, -tops]) @ basis
    return float(prices(features, residual, candidates).max())


def reference(features: PooledFeatures, residual: Array, rng: np.random.Generator) -> float:
    """A price that is attained; the largest one in two dimensions, and most often in three."""
    p, free = features.dimension, features.free
    if p == 2 and not free:
        return best_in_plane(features, residual, np.eye(2))
    rows = walls(features)
    if p == 2:
        # On w = +-1 the price is the norm of something linear between the walls, and constant beyond them.
        rows = rows[rows[:, 1] != 0.0]
        ends = np.concatenate(
            [np.column_stack([sign * np.ones(len(rows)), -sign * rows[:, 0]]) for sign in (1.0, -1.0)]
        )
        return float(prices(features, residual, ends).max())
    used = rows[np.linalg.norm(rows, axis=1) > 0.0] if not free else rows[rows[:, -1] != 0.0]
    planes = [np.linalg.svd(row[None])[2][1:] for row in used]
    best = max((best_in_plane(features, residual, plane) for plane in planes), default=0.0)
    points, _ = climb(features, residual, features.random(300, rng))
    return max(best, float(prices(features, residual, points[:5]).max()))


def run(branches: ConvexBranches, thresholds: list[float], seconds: float = 60.0) -> Any:
    return branches.run(thresholds, clock.now() + seconds)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(st.integers(0, 10_000), st.booleans())
def test_in_two_dimensions_the_bound_is_the_largest_price(kind: str, seed: int, free: bool) -> None:
    features, residual = instance(kind, seed, 2, free=free)
    exact = reference(features, residual, np.random.default_rng(seed))
    branches = ConvexBranches(features, residual, workers=1)
    if exact <= 1e-12 * np.abs(residual).sum() * np.abs(features.rows.matrix[..., features.penalised]).max():
        return
    assert branches.possible
    # Closer to the maximum no exact split may be left before the search meets it: then nothing is claimed.
    refuted = run(branches, [exact * (1.0 - 1e-6)])
    assert refuted.upper == np.inf
    assert refuted.value > exact * (1.0 - 1e-6)
    assert prices(features, residual, refuted.direction[None])[0] == pytest.approx(refuted.value, rel=1e-12)
    found = run(branches, [2.0 * exact, exact * (1.0 + 1e-6)])
    assert found.upper == exact * (1.0 + 1e-6)
    assert found.direction is None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(st.integers(0, 10_000), st.booleans())
def test_in_three_dimensions_the_bound_is_never_below_a_price_that_is_attained(
    kind: str, seed: int, free: bool
) -> None:
    features, residual = instance(kind, seed, 3, free=free)
    attained = reference(features, residual, np.random.default_rng(seed))
    branches = ConvexBranches(features, residual, workers=1)
    if attained <= 1e-12 * np.abs(residual).sum() * np.abs(features.rows.matrix[..., features.penalised]).max():
        return
    assert run(branches, [attained * (1.0 - 1e-9)]).upper == np.inf
    found = run(branches, [10.0 * attained, attained * (1.0 + 1e-4)])
    assert found.upper == attained * (1.0 + 1e-4)
    assert found.upper >= features.price_above(residual)[0] * 1e-3
    assert found.upper <= features.price_above(residual)[0] * (1.0 + 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("p", "free"), [(3, False), (4, False), (4, True)])
def test_the_bound_converges_to_the_best_ascent(kind: str, p: int, free: bool) -> None:
    features, residual = instance(kind, 0, p, free=free, n=10)
    points, _ = climb(features, residual, features.random(1000, np.random.default_rng(0)))
    met = float(prices(features, residual, points[:20]).max())
    branches, upper = ConvexBranches(features, residual), np.inf
    while upper == np.inf:
        found = run(branches, [met * (1.0 + 1e-3)])
        assert (found.direction is None) == (found.upper < np.inf)
        met, upper = max(met, found.value), found.upper
    assert met <= upper <= met * (1.0 + 1e-3) * (1.0 + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@np.errstate(all="ignore")
def test_units_of_rows_and_residual_do_not_matter(kind: str) -> None:
    features, residual = instance(kind, 0, 2)
    exact = reference(features, residual, np.random.default_rng(0))
    for rows, factor in ((1e150, 1e100), (1e-150, 1e-100), (1e-200, 1e250)):
        moved = PooledFeatures(Rows(features.rows.matrix * rows, features.rows.scale), **KINDS[kind])
        branches = ConvexBranches(moved, residual * factor, workers=1)
        price = exact * rows * factor
        assert run(branches, [price * (1.0 - 1e-9)]).upper == np.inf
        assert run(branches, [price * (1.0 + 1e-6)]).upper == price * (1.0 + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_dependent_columns_are_searched_in_their_span(kind: str) -> None:
    features, residual = instance(kind, 0, 2)
    frame = np.array([[0.6, 0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.8, -0.6, 0.0]])
    wide = PooledFeatures(Rows(features.rows.matrix @ frame, features.rows.scale), **KINDS[kind])
    exact = reference(features, residual, np.random.default_rng(0))
    branches = ConvexBranches(wide, residual)
    found = run(branches, [exact * (1.0 + 1e-6)])
    assert found.upper == exact * (1.0 + 1e-6)
    assert found.nodes < 1000
    refuted = run(branches, [exact * (1.0 - 1e-6)])
    assert prices(wide, residual, refuted.direction[None])[0] > exact * (1.0 - 1e-6)


def test_an_interrupted_run_returns_what_it_has_finished() -> None:
    features, residual = instance("leaky maxima of windows", 0, 4, n=12)
    points, _ = climb(features, residual, features.random(500, np.random.default_rng(0)))
    met = float(prices(features, residual, points[:1])[0])
    thresholds = [met * (1.0 + excess) for excess in (3.0, 1.0, 0.1, 1e-2)]
    late = run(ConvexBranches(features, residual), thresholds, seconds=-1.0)
    assert (late.upper, late.direction, late.interrupted) == (np.inf, None, False)
    heard: list[float] = []

    def enough(upper: float) -> bool:
        heard.append(upper)
        return len(heard) == 2

    stopped = ConvexBranches(features, residual).run(thresholds, np.inf, enough)
    assert stopped.upper == thresholds[1] == heard[-1]
    assert not stopped.interrupted

    def interrupt(upper: float) -> bool:
        raise KeyboardInterrupt

    found = ConvexBranches(features, residual).run(thresholds, np.inf, interrupt)
    assert found.interrupted
    assert found.upper == thresholds[0]


def test_features_that_cannot_be_searched() -> None:
    features, residual = instance("maximum", 0, 9)
    assert not ConvexBranches(features, residual).possible
    assert not ConvexBranches(*instance("maximum", 0, 2)[:1], np.zeros(6)).possible
    nothing = PooledFeatures(Rows(np.zeros((6, 4, 2))))
    assert not ConvexBranches(nothing, residual).possible
    gated = instance("no pooling", 0, 2)[0].gated(np.ones((1, 2)))
    assert not ConvexBranches(gated, residual).possible
    question = Question.of(zg.LinearCNN(2, bias=False), X5, Y5, loss="squared", beta=0.1)
    assert not ConvexBranches(question.architecture.features(question.rows), np.ones(5)).possible


# -- in training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "value"), [(MAX, 0.3116029), (NONE, 0.2657286)])
def test_golden_values_are_proved_by_generation(architecture: Any, value: float) -> None:
    result = zg.train(architecture, X5, Y5, beta=0.1, tol=1e-3)
    certificate = result.certificate
    assert (certificate.proof, certificate.scope) == ("branch and bound", "global")
    assert certificate.gap <= 1e-3
    assert certificate.lower_bound <= value + 1e-7
    assert certificate.objective >= value - 1e-7
    assert result.status is zg.Status.OPTIMAL
    assert result.history[-1].nodes > 0
    assert certificate.evidence is None
    judged = zg.certify(result.network, X5, Y5, beta=0.1, tol=1e-3)
    assert judged.proof == "branch and bound"
    assert judged.gap <= 2e-3


def test_without_seconds_there_is_no_branch_and_bound() -> None:
    result = zg.train(MAX, X5, Y5, beta=0.1, tol=1e-2, prove=False)
    assert result.certificate.proof == "relaxation"
    assert result.history[-1].nodes == 0


@pytest.mark.parametrize("architecture", [MAX, NONE, zg.CNN(2, slope=0.1, bias="free")])
def test_neurons_that_search_misses_are_found_and_inserted(architecture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that meets nothing is made up for, from a single neuron on."""
    reference = zg.train(architecture, X5, Y5, beta=0.1, tol=1e-3).certificate
    scattered = FeatureRun._scattered
    monkeypatch.setattr(FeatureRun, "_scattered", lambda self, width: scattered(self, 1))
    monkeypatch.setattr(FeatureRun, "_search", lambda self, residual, neurons, effort: (neurons.weights[:0], 0.05))
    result = zg.train(architecture, X5, Y5, beta=0.1, tol=1e-3)
    assert result.certificate.proof == "branch and bound"
    assert result.certificate.gap <= 1e-3
    assert result.certificate.lower_bound <= reference.objective
    assert result.certificate.objective >= reference.lower_bound


@pytest.mark.parametrize("architecture", [MAX, NONE, zg.CNN(2, slope=0.1, bias="free")])
def test_the_critical_beta_is_bracketed(architecture: Any) -> None:
    lower, upper = zg.critical_beta_bounds(architecture, X5, Y5, tol=1e-4)
    assert lower <= upper <= lower * (1.0 + 1.1e-4)
    if architecture is MAX:
        assert zg.train(architecture, X5, Y5, beta=upper * 1.001, tol=1e-6).network.width == 0
        assert zg.train(architecture, X5, Y5, beta=lower * 0.98, tol=1e-6).network.width > 0


def test_thresholds_fall_to_the_price_that_closes_the_gap() -> None:
    target = largest_price(lambda price: 1.0 - price, 0.25, 0.5, 1.0)
    assert target == pytest.approx(0.75)
    assert largest_price(lambda price: 1.0 - price, 0.25, 0.8, 1.0) == 0.8
    thresholds = falling(0.7, target, 10.0, 2.0)
    assert thresholds[0] == pytest.approx(7.7)
    assert thresholds[-1] == target
    assert np.all(np.diff(thresholds) < 0.0)
    assert np.all(np.array(thresholds[:-1]) > 0.7 + 2.0 * (target - 0.7))
    assert falling(1.0, 1.0)[-2] > 1.0
