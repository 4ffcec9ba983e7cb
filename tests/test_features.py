"""Laws of features: derivatives, homogeneity, rounding bounds, prices; one row of the table for each architecture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zerogap as zg
from zerogap.features import Features
from zerogap.network import Network
from zerogap.oracles.feature_search import climb, distinct, prices
from zerogap.rounding import gamma

Array = NDArray[np.float64]

TABLE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "mlp": (zg.MLP(), (6, 3)),
    "leaky mlp": (zg.MLP(slope=0.3, bias=False), (6, 3)),
    "sum": (zg.CNN(2), (5, 4, 4)),
    "average": (zg.CNN(2, pooling="average", bias="free"), (5, 4, 4)),
    "leaky": (zg.CNN(2, slope=0.1), (5, 4, 4)),
    "max": (zg.CNN(2, pooling="max", bias=False), (5, 4, 4)),
    "leaky max": (zg.CNN(2, pooling="max", slope=0.2), (5, 4, 4)),
    "max windows": (zg.CNN(2, pooling="max", window=2), (5, 5, 5)),
    "sum of maxima": (zg.CNN(2, pooling="max", window=(2, 1), readout="sum", bias="free"), (5, 5, 4)),
    "none": (zg.CNN((2,), pooling="none", stride=2), (5, 6, 2)),
    "average windows": (zg.CNN(2, pooling="average", window=2, padding=1), (5, 4, 4)),
    "linear": (zg.LinearCNN(2), (5, 4, 4)),
    "linear sum": (zg.LinearCNN(2, pooling="sum", bias="free"), (5, 4, 4)),
    "circular linear": (zg.CircularCNN(depth=2, bias=False), (5, 4)),
    "circular linear short": (zg.CircularCNN(depth=2, kernel_size=2, bias=False), (5, 4)),
    "circular": (zg.CircularCNN(depth=3), (5, 4)),
    "circular short": (zg.CircularCNN(depth=3, kernel_size=2, bias="free"), (5, 4)),
    "circular deep": (zg.CircularCNN(depth=5, kernel_size=3, bias=False), (5, 5)),
    "three layers": (zg.ThreeLayerCNN(2), (5, 4)),
    "three layers tied": (zg.ThreeLayerCNN(2, tied=True, bias=False), (5, 3, 3)),
    "three layers free": (zg.ThreeLayerCNN(2, tied=True, bias="free"), (5, 4)),
}


def made(name: str, seed: int = 0) -> tuple[Any, Features, Array, np.random.Generator]:
    architecture, shape = TABLE[name]
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape)
    return architecture, architecture.features(architecture.rows(X)), X, rng


@pytest.mark.parametrize("name", TABLE)
def test_the_derivative_is_that_of_finite_differences(name: str) -> None:
    _, features, _, rng = made(name)
    weights = features.random(4, rng)
    # Random neurons with a free bias have a kink on a row.
    weights += 1e-2 * rng.standard_normal(weights.shape)
    values, back = features.forward(weights)
    assert values.shape == (features.samples, features.outputs, 4)
    cotangent, direction, step = rng.standard_normal(values.shape), rng.standard_normal(weights.shape), 1e-6
    ahead, behind = (features.forward(weights + sign * step * direction)[0] for sign in (1.0, -1.0))
    slope = float(np.sum(cotangent * (ahead - behind))) / (2.0 * step)
    assert float(np.sum(back(cotangent) * direction)) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", TABLE)
def test_features_are_homogeneous_in_the_scaled_weights_and_filters_have_no_size(name: str) -> None:
    _, features, _, rng = made(name)
    weights = features.random(3, rng)
    values = features.forward(weights)[0]
    longer = np.where(features.scaled, 2.5 * weights, 0.3 * weights)
    np.testing.assert_allclose(features.forward(longer)[0], 2.5 * values, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(features.sizes(weights), 1.0, rtol=1e-12)
    assert not features.penalised[: features.filters].any()


@pytest.mark.parametrize("name", TABLE)
def test_rounded_kinks_approach_the_features(name: str) -> None:
    _, features, _, rng = made(name)
    weights = features.random(3, rng)
    exact = features.forward(weights)[0]
    errors = [np.abs(features.forward(weights, width)[0] - exact).max() for width in (1e-1, 1e-3, 1e-9)]
    assert errors[2] <= 1e-8 * (1.0 + np.abs(exact).max())
    assert errors[1] <= errors[0] + 1e-12


@pytest.mark.parametrize("name", TABLE)
def test_rounding_stays_below_its_bound(name: str) -> None:
    """Features are at most their magnitudes, and another order of summation moves them by no more than two bounds."""
    _, features, _, rng = made(name)
    weights = features.random(5, rng)
    exact, magnitude = features.forward(weights)[0], features.magnitude(weights)
    assert np.all(np.abs(exact) <= magnitude * (1.0 + 1e-12) + 1e-300)
    order = rng.permutation(features.samples)
    moved = replace(features, rows=features.rows.keep(order)).forward(weights)[0]
    assert np.all(np.abs(moved - exact[order]) <= 2.0 * gamma(features.roundings) * magnitude[order] + 1e-300)


@pytest.mark.parametrize("name", TABLE)
def test_no_neuron_is_worth_more_than_the_bound_of_its_price(name: str) -> None:
    for seed in range(3):
        _, features, _, rng = made(name, seed)
        residual = rng.standard_normal(features.samples)
        if features.free:
            residual -= residual.mean()
            residual[-1] -= residual.sum()
            residual = np.round(residual * 2.0**20) / 2.0**20
            residual[-1] -= residual.sum()
            assert residual.sum() == 0.0
        upper, proof = features.price_above(residual)
        points, values = climb(features, residual, features.random(200, rng))
        assert values.size
        assert values.max() <= upper * (1.0 + 1e-12)
        np.testing.assert_allclose(prices(features, residual, points), values, rtol=1e-9, atol=1e-12)
        assert proof in ("closed form", "relaxation")
        if proof == "closed form":
            assert values.max() >= upper * (1.0 - 1e-4)


@pytest.mark.parametrize("name", TABLE)
def test_networks_add_up_their_features(name: str, tmp_path: Any) -> None:
    architecture, features, X, rng = made(name)
    weights, second = features.random(3, rng), rng.standard_normal((3, features.outputs))
    network = Network.from_weights(architecture, features, weights, second, 0.5 if architecture.offset else 0.0)
    expected = np.einsum("nam,ma->n", features.forward(weights)[0], second) + network.offset
    np.testing.assert_allclose(network(X), expected, rtol=1e-12, atol=1e-12)
    balanced = network.balanced()
    np.testing.assert_allclose(balanced(X), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(features.sizes(balanced.weights), np.linalg.norm(balanced.readout, axis=1), rtol=1e-10)
    wide = Network.from_weights(architecture, features, features.random(12, rng), np.ones((12, features.outputs)), 0.0)
    pruned = wide.prune(X)
    assert pruned.width <= features.samples
    np.testing.assert_allclose(pruned(X), wide(X), rtol=1e-8, atol=1e-8)
    y = rng.standard_normal(features.samples)
    assert pruned.objective(X, y, beta=0.1) <= wide.balanced().objective(X, y, beta=0.1) * (1.0 + 1e-9)
    network.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again(X), network(X))
    assert again.architecture == network.architecture
    assert repr(again) == repr(network)


def test_windows_tile_the_positions_and_leave_the_rest_out() -> None:
    architecture = zg.CNN(2, pooling="average", window=2, bias=False)
    X = np.random.default_rng(0).standard_normal((2, 4, 4))
    u, w = np.array([1.0, -0.5, 0.3, 2.0]), np.array([[1.7]])
    network = zg.Network(architecture, u[None], w)
    for s in range(2):
        grid = np.array([[X[s, i : i + 2, j : j + 2].ravel() @ u for j in range(3)] for i in range(3)])
        expected = 1.7 * np.maximum(grid[:2, :2], 0.0).mean()
        assert network(X)[s] == pytest.approx(expected, rel=1e-12)


def test_alike_neurons_count_once() -> None:
    _, features, _, rng = made("none")
    weights = features.random(5, rng)
    doubled = np.concatenate([weights, weights * (1.0 + 1e-9), weights])
    np.testing.assert_array_equal(distinct(features, doubled, 50), np.arange(5))
    np.testing.assert_array_equal(distinct(features, doubled, 2), np.arange(2))
