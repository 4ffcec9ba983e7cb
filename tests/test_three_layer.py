"""Three layers with two ReLUs: features, programs over pieces, tied filters."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import zerogap as zg
from zerogap.objective import objective_above
from zerogap.question import Question
from zerogap.rounding import gamma

KINDS = [(tied, bias) for tied in (False, True) for bias in (False, True, "free")]


def features_of(tied: bool, bias, seed: int = 0, shape=(5, 4)):
    rng = np.random.default_rng(seed)
    architecture = zg.ThreeLayerCNN(2, tied=tied, bias=bias)
    return architecture.features(architecture.rows(rng.standard_normal(shape))), rng


def by_loops(features, theta) -> list[Fraction]:
    """Phi in rational arithmetic, for filters of rational lengths."""
    n, K, p = features.rows.matrix.shape
    kept = p - int(features.free)
    filters = np.resize(theta[: features.filters], (K, p))
    values = []
    for s in range(n):
        total = Fraction(theta[-1]) if features.free else Fraction(0)
        for k in range(K):
            square = sum(Fraction(c) ** 2 for c in filters[k, :kept])
            length = Fraction(int(np.sqrt(float(square.numerator))), int(np.sqrt(float(square.denominator))))
            assert length**2 == square
            inner = sum(Fraction(m) * Fraction(c) for m, c in zip(features.rows.matrix[s, k], filters[k], strict=True))
            total += max(inner / length, 0) * Fraction(theta[features.filters + k])
        values.append(max(total, Fraction(0)))
    return values


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_forward_is_exact_up_to_its_rounding_bound(tied, bias) -> None:
    features, rng = features_of(tied, bias, seed=3)
    for seed in range(5):
        theta = rng.standard_normal(features.dimension)
        # Pythagorean triples (and a third entry that makes a quadruple) have rational lengths.
        K, p = features.rows.matrix.shape[1:]
        triple = {2: [(3.0, -4.0)], 3: [(2.0, -1.0, 2.0)]}[p][0] if bias != "free" else (3.0, -4.0, 0.37)
        filters = np.array(triple) * 2.0 ** rng.integers(-3, 4, size=(1 if tied else K, 1))
        theta[: features.filters] = filters.ravel()
        exact = by_loops(features, theta)
        values, _ = features.forward(theta[None])
        allowed = gamma(features.roundings) * features.magnitude(theta[None])[:, 0, 0]
        for value, true, room in zip(values[:, 0, 0], exact, allowed, strict=True):
            assert abs(Fraction(value) - true) <= Fraction(room), seed


@pytest.mark.parametrize(("tied", "bias"), KINDS)
@pytest.mark.parametrize("width", [0.0, 1e-9])
def test_gradient_matches_differences(tied, bias, width) -> None:
    features, rng = features_of(tied, bias)
    theta = features.random(4, rng) + 0.03 * rng.standard_normal((4, features.dimension))
    values, back = features.forward(theta, width)
    weights = rng.standard_normal(values.shape)
    gradient, step = back(weights), 1e-6
    for j, i in product(range(4), range(features.dimension)):
        up, down = theta.copy(), theta.copy()
        up[j, i] += step
        down[j, i] -= step
        slope = np.sum((features.forward(up, width)[0] - features.forward(down, width)[0]) * weights) / (2.0 * step)
        assert abs(slope - gradient[j, i]) <= 1e-6 * (1.0 + abs(slope))


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_features_are_homogeneous_in_the_inner_layer_and_blind_to_the_size_of_filters(tied, bias) -> None:
    features, rng = features_of(tied, bias)
    theta = features.random(6, rng)
    np.testing.assert_allclose(features.sizes(theta), 1.0, rtol=1e-12)
    values, _ = features.forward(theta)
    scaled = np.where(features.scaled, 2.5 * theta, 0.3 * theta)
    np.testing.assert_allclose(features.forward(scaled)[0], 2.5 * values, rtol=1e-12, atol=1e-14)
    theta[:, : features.filters] = 0.0
    constant = np.maximum(theta[:, -1], 0.0) if bias == "free" else np.zeros(6)
    np.testing.assert_array_equal(features.forward(theta)[0][:, 0], np.tile(constant, (5, 1)))


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_relaxation_is_above_every_neuron_met(tied, bias) -> None:
    for seed in range(4):
        features, rng = features_of(tied, bias, seed=seed)
        residual = rng.standard_normal(5)
        if bias == "free":
            # Dyadic numbers sum to zero exactly.
            residual = np.round(residual * 2**20) / 2**20
            residual[-1] = -residual[:-1].sum()
        bound, proof = features.price_above(residual)
        assert proof == "relaxation"
        theta = features.random(3000, rng)
        for size in (0.5, 0.2, 0.1, 0.05, 0.02):
            prices = np.abs(np.einsum("nam,n->m", features.forward(theta)[0], residual))
            assert prices.max() <= bound
            best = theta[np.argsort(-prices)[:30]]
            theta = np.repeat(best, 100, axis=0)
            theta = features.unit(theta + size * rng.standard_normal(theta.shape) * np.abs(theta).mean())
        # It is a relaxation, not a formality.
        assert prices.max() >= 0.4 * bound


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_networks_keep_their_outputs_when_balanced_pruned_and_saved(tied, bias, tmp_path) -> None:
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((4, 3, 2)), rng.standard_normal(4)
    architecture = zg.ThreeLayerCNN((2,), tied=tied, bias=bias)
    question = Question.of(architecture, X, y, loss="squared", beta=0.1)
    features = architecture.features(question.rows)
    theta = np.where(features.scaled, 3.0, 0.5) * features.random(9, rng)
    network = zg.Network.from_weights(architecture, features, theta, rng.standard_normal((9, 1)), 0.2)
    outputs = network(X)
    balanced, pruned = network.balanced(), network.prune(X)
    penalised = balanced.first[:, : features.positions]
    np.testing.assert_allclose(np.linalg.norm(penalised, axis=1), np.abs(balanced.second), rtol=1e-12)
    assert pruned.width <= 4
    before = network.objective(X, y, beta=0.1)
    for other in (balanced, pruned):
        np.testing.assert_allclose(other(X), outputs, atol=1e-12)
        assert other.objective(X, y, beta=0.1) <= before
    assert objective_above(question, network) >= before - 1e-12
    network.save(tmp_path / "network.safetensors")
    loaded = zg.Network.load(tmp_path / "network.safetensors")
    assert loaded.architecture == architecture
    np.testing.assert_array_equal(loaded(X), outputs)
    empty = zg.Network(architecture, np.zeros((0, features.positions)), np.zeros(0))
    assert empty.weights.shape[0] == 0
    np.testing.assert_array_equal(empty(X), np.zeros(4))


def test_bad_options_and_shapes() -> None:
    with pytest.raises(zg.InputError, match="tied: got 1, expected one of"):
        zg.ThreeLayerCNN(2, tied=1)
    with pytest.raises(zg.InputError, match="kernel_size"):
        zg.ThreeLayerCNN(0)
    untied, tied = zg.ThreeLayerCNN(2), zg.ThreeLayerCNN(2, tied=True)
    assert repr(tied) == "ThreeLayerCNN(kernel_size=2, tied=True)"
    first, second = np.ones((3, 2)), np.ones(3)
    with pytest.raises(zg.InputError, match="filters: got None, expected an array"):
        zg.Network(untied, first, second)
    with pytest.raises(zg.InputError, match=r"filters: got shape \(3, 3\), expected \(m, K, h\)"):
        zg.Network(untied, first, second, filters=np.ones((3, 3)))
    with pytest.raises(zg.InputError, match=r"filters: got shape \(2, 3\), expected \(m, h\) with m = 3"):
        zg.Network(tied, first, second, filters=np.ones((2, 3)))
    with pytest.raises(zg.InputError, match="filters"):
        zg.Network(tied, first, second, filters=np.full((3, 3), np.nan))
    network = zg.Network(tied, first, second, filters=np.ones((3, 3)))
    with pytest.raises(zg.InputError, match="inputs for neurons with 6 inner"):
        network(np.ones((2, 4)))
