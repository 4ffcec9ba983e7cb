"""Linear CNNs and gated networks with several output weights: nuclear norms."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from spectral import X5, Y5, objective, optimum, train
from zerogap.architectures import from_config
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.question import Question
from zerogap.solvers.spectral_barrier import SpectralBarrier

LINEAR: dict[str, Any] = {
    "none": zg.LinearCNN(2),
    "sum": zg.LinearCNN(2, pooling="sum"),
    "average": zg.LinearCNN(2, pooling="average", bias=False),
    "windows": zg.LinearCNN(3, pooling="average", window=2),
    "summed": zg.LinearCNN(2, pooling="sum", window=2, readout="sum", bias=False),
    "free": zg.LinearCNN(2, bias="free"),
    "free windows": zg.LinearCNN(3, pooling="sum", window=2, bias="free"),
    "padded": zg.LinearCNN(3, stride=2, padding=1, bias=False),
}
GATED: dict[str, Any] = {
    "gated": zg.CNN(2, pooling="none", gated=True),
    "gated windows": zg.CNN(3, pooling="average", window=2, gated=True, bias=False),
    "gated summed": zg.CNN(2, pooling="sum", window=2, readout="sum", gated=True),
}
LOSSES = ("squared", "logistic", "hinge")


def data(name: str, loss: str) -> tuple[Any, Any]:
    rng = np.random.default_rng([*name.encode(), LOSSES.index(loss)])
    X = rng.standard_normal((7, 6))
    y = rng.standard_normal(7) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], 7))
    return X, y


def test_golden_values() -> None:
    for architecture, value in (
        (zg.LinearCNN(2, bias=False), 0.7047238),
        (zg.LinearCNN(2, pooling="sum", bias=False), 0.8817237),
        (zg.CNN(2, pooling="none", gated=True, bias=False), 0.1503818),
    ):
        certificate = train(architecture, X5, Y5, beta=0.1).certificate
        assert abs(certificate.objective - value) <= 1e-6
        assert abs(certificate.lower_bound - value) <= 1e-6
        assert certificate.gap <= 1e-8
        gated = isinstance(architecture, zg.CNN)
        assert (certificate.scope, certificate.proof) == (
            ("gated", "enumeration") if gated else ("global", "closed form")
        )
        assert certificate.cells == (28 if gated else 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", LINEAR)
def test_linear_networks_agree_with_cvxpy(name: str, loss: str) -> None:
    X, y = data(name, loss)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 7) if name in ("none", "free") else None
    result = train(LINEAR[name], X, y, loss=loss, beta=0.2, sample_weight=weights)
    value = optimum(LINEAR[name], X, y, loss=loss, beta=0.2, weights=weights)
    assert abs(result.certificate.objective - value) <= 1e-6 * value
    assert value - 1e-6 * value <= result.certificate.lower_bound <= value + 1e-7
    assert result.certificate.gap <= 1e-7
    # Recovery: the network has the objective of the program, and its neurons are balanced.
    again = objective(result.network, X, y, loss=loss, beta=0.2, weights=weights)
    assert abs(again - result.certificate.objective) <= 1e-12 * again
    first = result.network.first[:, :-1] if LINEAR[name].bias == "free" else result.network.first
    assert np.allclose(np.linalg.norm(first, axis=1), np.linalg.norm(result.network.readout, axis=1), rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", GATED)
def test_gated_networks_agree_with_cvxpy(name: str, loss: str) -> None:
    X, y = data(name, loss)
    architecture = GATED[name]
    gates = np.random.default_rng(2).standard_normal((9, architecture.rows(X).dimension))
    result = train(architecture, X, y, loss=loss, beta=0.2, arrangements=gates)
    value = optimum(architecture, X, y, loss=loss, beta=0.2, gates=gates)
    assert abs(result.certificate.objective - value) <= 1e-6 * value
    assert value - 1e-6 * value <= result.certificate.lower_bound <= value + 1e-7
    assert (result.certificate.scope, result.certificate.cells) == ("gated", 9)
    again = objective(result.network, X, y, loss=loss, beta=0.2)
    assert abs(again - result.certificate.objective) <= 1e-12 * again


def test_many_gates_are_found_as_they_are_needed() -> None:
    X, y = data("many", "squared")
    architecture = GATED["gated"]
    gates = np.random.default_rng(3).standard_normal((60, 3))
    result = train(architecture, X, y, beta=0.2, arrangements=gates)
    value = optimum(architecture, X, y, loss="squared", beta=0.2, gates=gates)
    assert abs(result.certificate.lower_bound - value) <= 1e-6 * value
    assert abs(result.certificate.objective - value) <= 1e-6 * value


@pytest.mark.parametrize("loss", LOSSES)
def test_images(loss: str) -> None:
    """Also smooth ones, whose patches all look alike: the null residual is then far from every central point."""
    rng = np.random.default_rng(4)
    noise, y = rng.standard_normal((60, 9, 9)), rng.permutation(np.resize([1.0, -1.0], 60))
    for X, tol in ((noise, 1e-7), (noise.cumsum(axis=1).cumsum(axis=2), 1e-6)):
        result = train(zg.LinearCNN(3), X, y, loss=loss, beta=2.0, tol=tol)
        assert result.status is zg.Status.OPTIMAL
        assert result.certificate.gap <= tol
        assert result.network.width <= 10


@pytest.mark.parametrize("name", LINEAR)
def test_no_network_is_below_the_bound(name: str) -> None:
    X, y = data(name, "squared")
    result, rng = train(LINEAR[name], X, y, beta=0.2), np.random.default_rng(5)
    optimal, certificate = result.network, result.certificate
    for scale in (0.0, 1e-6, 1e-3, 1e-1):
        first = optimal.first + scale * rng.standard_normal(optimal.first.shape)
        second = optimal.second + scale * rng.standard_normal(optimal.second.shape)
        network = zg.Network(LINEAR[name], first, second, offset=optimal.offset)
        assert objective(network, X, y, loss="squared", beta=0.2) >= certificate.lower_bound


@pytest.mark.parametrize("name", [*LINEAR, *GATED])
def test_prices_bound_every_neuron_and_are_attained(name: str) -> None:
    rng = np.random.default_rng(6)
    architecture = {**LINEAR, **GATED}[name]
    X, _ = data(name, "squared")
    features = architecture.features(architecture.rows(X))
    if architecture.gated:
        features = features.gated(rng.standard_normal((1, features.dimension)))
    residual = rng.standard_normal(7)
    if architecture.bias == "free":
        residual = np.rint(8.0 * residual)
        residual[0] -= residual.sum()
    bound, _ = features.price_above(residual)
    weights = rng.standard_normal((2000, features.dimension))
    one = features.gated(np.repeat(features.gates, 2000, axis=0)) if architecture.gated else features
    prices = np.linalg.norm(np.tensordot(residual, one.forward(weights)[0], axes=1), axis=0) / one.sizes(weights)
    assert prices.max() <= bound
    assert prices.max() >= 0.9 * bound


def test_the_price_covers_its_rounding() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        X = rng.standard_normal((5, 4)) * 10.0 ** rng.integers(-8, 9, (5, 4))
        architecture = zg.LinearCNN(2, pooling="sum", bias=False)
        residual = rng.standard_normal(5) * 10.0 ** rng.integers(-8, 9, 5)
        bound, _ = architecture.features(architecture.rows(X)).price_above(residual)
        exact = [
            sum(Fraction(residual[s]) * sum(Fraction(X[s, k + i]) for k in range(3)) for s in range(5))
            for i in range(2)
        ]
        assert Fraction(bound) ** 2 >= sum(entry**2 for entry in exact)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_barrier_method_brackets_the_optimum(loss: str) -> None:
    """Its points are dual feasible, and for mu to 0 both objectives meet, with one row also on the group lasso."""
    rng = np.random.default_rng(8)
    for shape in ((3, 8, 2, 4), (2, 8, 4, 2), (5, 8, 1, 3)):
        maps = rng.standard_normal(shape)
        y = rng.standard_normal(8) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], 8))
        question = Question.of(zg.MLP(), rng.standard_normal((8, 2)), y, loss=loss, beta=0.3)
        null = -question.loss.gradient(np.zeros(8))
        gaps = []
        for iterate in SpectralBarrier(maps, question.loss, 0.3, offset=False, null=null):
            norms = np.linalg.norm(np.einsum("isqp,s->iqp", maps, iterate.residual), 2, axis=(1, 2))
            assert norms.max() <= 0.3 * (1.0 + 1e-12)
            assert iterate.dual <= iterate.primal * (1.0 + 1e-12)
            gaps.append(iterate.gap)
        assert min(gaps) <= 1e-6


def test_average_pooling_equals_sum_pooling_with_a_larger_beta() -> None:
    X, y = data("invariance", "squared")
    for window in (None, 2):
        count = 5 if window is None else 2
        average = train(zg.LinearCNN(2, pooling="average", window=window, bias=False), X, y, beta=0.1)
        total = train(zg.LinearCNN(2, pooling="sum", window=window, bias=False), X, y, beta=0.1 * count)
        assert abs(average.certificate.objective - total.certificate.objective) <= 1e-7


def test_large_beta_leaves_the_constant() -> None:
    X, y = data("none", "logistic")
    for name in ("none", "free"):
        result = train(LINEAR[name], X, y, loss="logistic", beta=1e3)
        assert result.network.width == 0
        assert result.certificate.gap <= 1e-8


def test_data_without_content() -> None:
    y = np.array([1.0, 2.0, -1.0])
    for architecture in (zg.LinearCNN(2, bias=False), zg.LinearCNN(2, bias="free")):
        result = train(architecture, np.zeros((3, 4)), y, beta=0.1)
        assert result.network.width == 0
        assert result.certificate.gap <= 1e-8


def test_options_files_and_errors(tmp_path: Path) -> None:
    architecture = zg.LinearCNN((3, 3), stride=2, padding=1, pooling="average", window=2, bias="free")
    assert from_config(architecture.config()) == architecture
    assert repr(zg.LinearCNN(2, pooling="sum")) == "LinearCNN(kernel_size=2, pooling='sum')"
    X, y = data("none", "squared")
    network = train(LINEAR["free"], X, y).network
    network.save(tmp_path / "network.safetensors")
    again = zg.Network.load(tmp_path / "network.safetensors")
    assert np.array_equal(again(X), network(X))
    for options in (
        {"pooling": "max"},
        {"readout": "sum"},
        {"window": 2},
        {"pooling": "sum", "readout": "mean"},
        {"bias": "none"},
    ):
        with pytest.raises(zg.InputError):
            zg.LinearCNN(2, **options)  # type: ignore[arg-type]
    with pytest.raises(zg.InputError, match="no cells"):
        architecture.pieces(architecture.rows(np.zeros((2, 8, 8))), lambda rows: (np.ones((1, len(rows)), bool), True))
    with pytest.raises(zg.InputError, match="free"):
        train(zg.CNN(2, pooling="none", gated=True, bias="free"), X, y, arrangements=3)


def test_runs_stop_when_asked_to() -> None:
    X, y = data("none", "squared")
    stopped = train(LINEAR["none"], X, y, callback=lambda record: True)
    assert (stopped.status, len(stopped.history)) == (zg.Status.STOPPED, 1)
    late = train(LINEAR["none"], X, y, limit=1e-9)
    assert late.status is zg.Status.TIME_LIMIT
    assert late.certificate.proved


def test_the_referee_of_features_balances_free_biases_exactly() -> None:
    X, y = data("free", "hinge")
    question = Question.of(LINEAR["free"], X, y, loss="hinge", beta=0.2)
    referee = FeatureReferee(question)
    residual = referee.feasible(question.loss.targets * np.random.default_rng(9).uniform(0.0, 1.0, 7))
    assert residual is not None
    assert sum(Fraction(entry) for entry in residual) == 0
    referee.hear(residual, np.inf, "closed form")
    assert referee.ratchet.proof is None
    referee.hear(residual, *question.architecture.features(question.rows).price_above(residual))
    assert 0.0 < referee.ratchet.bound <= optimum(LINEAR["free"], X, y, loss="hinge", beta=0.2)
