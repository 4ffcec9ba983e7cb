"""An output weight for every position or window: the cone-constrained nuclear norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zerogap as zg
from spectral import X5, Y5, best_of_many, objective, relaxed_optimum, train
from zerogap.certificates.cell_prices import CellPricer
from zerogap.question import Question
from zerogap.scope import choose_cells

LOSSES = ("squared", "logistic", "hinge")
PLAIN = zg.CNN(2, pooling="none", bias=False)


def data(seed: int, loss: str = "squared", shape: tuple[int, int] = (4, 4)) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X, n = rng.standard_normal(shape), shape[0]
    return X, rng.standard_normal(n) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], n))


def test_golden_value() -> None:
    certificate = train(PLAIN, X5, Y5, beta=0.1).certificate
    assert abs(certificate.objective - 0.2657286) <= 1e-6
    assert abs(certificate.lower_bound - 0.2657286) <= 1e-6
    assert certificate.gap <= 1e-8
    assert (certificate.scope, certificate.proof, certificate.cells) == ("global", "enumeration", 28)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "architecture",
    [PLAIN, zg.CNN(2, pooling="average", window=2, bias=False), zg.CNN(2, stride=2, pooling="none", bias=False)],
    ids=str,
)
def test_training_agrees_with_the_semidefinite_program(architecture: Any, loss: str) -> None:
    X, y = data(1, loss, (4, 5 if architecture.window else 4))
    result = train(architecture, X, y, loss=loss, beta=0.1)
    value = relaxed_optimum(architecture, X, y, loss=loss, beta=0.1)
    assert abs(result.certificate.objective - value) <= 1e-6 * value
    assert value - 1e-6 * value <= result.certificate.lower_bound <= value + 1e-7
    assert (result.certificate.scope, result.certificate.proof) == ("global", "enumeration")
    again = objective(result.network, X, y, loss=loss, beta=0.1)
    assert abs(again - result.certificate.objective) <= 1e-12 * again
    balanced = np.linalg.norm(result.network.first, axis=1), np.linalg.norm(result.network.readout, axis=1)
    assert np.allclose(*balanced, rtol=1e-9)
    assert result.network.width <= 4


@pytest.mark.parametrize("bias", [True, "free"])
@pytest.mark.parametrize("loss", LOSSES)
def test_biases(bias: Any, loss: str) -> None:
    architecture = zg.CNN(2, stride=2, pooling="none", bias=bias)
    X, y = data(2, loss)
    result = train(architecture, X, y, loss=loss, beta=0.1)
    assert result.certificate.gap <= 1e-8
    assert (result.certificate.scope, result.certificate.proof) == ("global", "enumeration")
    again = objective(result.network, X, y, loss=loss, beta=0.1)
    assert abs(again - result.certificate.objective) <= 1e-12 * again
    # Any filters and any output weights near by are networks too.
    rng = np.random.default_rng(3)
    for scale in (1e-6, 1e-3, 1e-1):
        first = result.network.first + scale * rng.standard_normal(result.network.first.shape)
        second = result.network.second + scale * rng.standard_normal(result.network.second.shape)
        moved = zg.Network(architecture, first, second, offset=result.network.offset)
        assert objective(moved, X, y, loss=loss, beta=0.1) >= result.certificate.lower_bound


def test_a_free_bias_costs_no_more_than_a_penalised_one() -> None:
    X, y = data(2)
    free, paid, none = (
        train(zg.CNN(2, stride=2, pooling="none", bias=bias), X, y).certificate for bias in ("free", True, False)
    )
    assert free.lower_bound <= paid.objective
    assert paid.lower_bound <= none.objective


def test_the_best_of_many_networks_reaches_the_optimum() -> None:
    for seed in (10, 11, 12):
        X, y = data(seed)
        certificate = train(PLAIN, X, y, beta=0.2).certificate
        best = best_of_many(PLAIN, X, y, beta=0.2, runs=6, width=6, seed=seed)
        assert certificate.lower_bound <= best <= certificate.objective * (1.0 + 1e-3)


def test_gated_is_below_exact_is_below_any_network() -> None:
    strict = 0
    for seed in range(20):
        X, y = data(100 + seed, shape=(3, 3))
        exact = train(PLAIN, X, y, beta=0.1, tol=1e-6).certificate
        gated = train(zg.CNN(2, pooling="none", bias=False, gated=True), X, y, beta=0.1, tol=1e-6).certificate
        assert gated.lower_bound <= exact.objective
        assert exact.gap <= 1e-6
        assert gated.gap <= 1e-6
        strict += gated.objective < 0.9 * exact.lower_bound
        rng = np.random.default_rng(seed)
        for scale in (0.3, 1.0):
            network = zg.Network(PLAIN, scale * rng.standard_normal((5, 2)), scale * rng.standard_normal((5, 2)))
            assert objective(network, X, y, loss="squared", beta=0.1) >= exact.lower_bound
    # The plain nuclear norm is no exact program of ReLU networks.
    assert strict >= 5


def test_average_windows_equal_sums_with_a_larger_beta() -> None:
    X, y = data(4, shape=(4, 5))
    average = train(zg.CNN(2, pooling="average", window=2, bias=False), X, y, beta=0.1).certificate
    total = train(zg.CNN(2, pooling="sum", window=2, bias=False), X, y, beta=0.2).certificate
    assert abs(average.objective - total.objective) <= 1e-7


def test_one_position_is_the_plain_network() -> None:
    X, y = data(5, shape=(5, 3))
    one = train(zg.CNN((3,), pooling="none", bias=False), X[:, :, None], y, beta=0.1).certificate
    plain = zg.train(zg.MLP(bias=False), X, y, beta=0.1, arrangements="enumerate", tol=1e-8).certificate
    assert abs(one.objective - plain.objective) <= 1e-7


def test_one_window_over_everything_is_pooling() -> None:
    X, y = data(6)
    for readout in ("weights", "sum"):
        window = zg.CNN(2, pooling="sum", window=3, readout=readout, bias=False)
        pooled = zg.train(zg.CNN(2, bias=False), X, y, beta=0.1, arrangements="enumerate", tol=1e-8).certificate
        assert abs(train(window, X, y, beta=0.1).certificate.objective - pooled.objective) <= 1e-7


@pytest.mark.parametrize("pooling", ["none", "sum"])
def test_patches_may_be_permuted(pooling: str) -> None:
    X, y = data(7, shape=(4, 6))
    order = np.array([4, 5, 0, 1, 2, 3])
    architecture = zg.CNN(2, stride=2, pooling=pooling, bias=False)
    if pooling == "none":
        first, second = train(architecture, X, y), train(architecture, X[:, order], y)
    else:
        options: dict[str, Any] = {"beta": 0.1, "arrangements": "enumerate", "tol": 1e-8}
        first, second = zg.train(architecture, X, y, **options), zg.train(architecture, X[:, order], y, **options)
    assert abs(first.certificate.objective - second.certificate.objective) <= 1e-7


def test_leaky_slopes() -> None:
    """A slope near one is nearly the linear network, whose optimum has a closed form."""
    X, y = data(8)
    linear = train(zg.LinearCNN(2, bias=False), X, y).certificate.objective
    for slope in (0.5, 0.999999):
        certificate = train(zg.CNN(2, pooling="none", bias=False, slope=slope), X, y).certificate
        assert certificate.gap <= 1e-8
    assert abs(certificate.objective - linear) <= 1e-4 * linear


def test_sampled_cells() -> None:
    X, y = data(9, shape=(12, 8))
    architecture = zg.CNN(3, pooling="none", bias=False)
    result = train(architecture, X, y, arrangements=15, tol=1e-7)
    certificate = result.certificate
    assert (certificate.scope, certificate.proof, certificate.cells) == ("sampled", "enumeration", 15)
    assert certificate.gap <= 1e-7
    # All neurons lie in the listed cells.
    question = Question.of(architecture, X, y, loss="squared", beta=0.1)
    cells = choose_cells(question, 15, np.random.default_rng(0))
    slack = np.einsum("ph,jh->jph", np.where(cells.signs, 1.0, -1.0), result.network.first @ question.walls.normals.T)
    lengths = np.linalg.norm(result.network.first, axis=1)
    assert np.all(slack.min(axis=2).max(axis=1) >= -1e-11 * lengths)


def test_filters_of_many_entries_are_bounded() -> None:
    X, y = data(13, shape=(12, 9))
    result = train(zg.CNN(7, pooling="none", bias=False), X, y, arrangements=4, tol=1e-5)
    assert result.certificate.scope == "sampled"
    assert result.certificate.proof in ("enumeration", "relaxation")
    assert result.certificate.gap <= 0.06


@pytest.mark.parametrize("bias", [False, True, "free"])
def test_prices_bound_every_neuron(bias: Any) -> None:
    X, y = data(14)
    architecture = zg.CNN(2, stride=2, pooling="none", bias=bias)
    question = Question.of(architecture, X, y, loss="squared", beta=0.1)
    features = architecture.features(question.rows)
    pricer = CellPricer(features, question.walls, choose_cells(question, "enumerate", np.random.default_rng(0)))
    rng = np.random.default_rng(15)
    for _ in range(5):
        residual = np.rint(16.0 * rng.standard_normal(4))
        residual[0] -= residual.sum() if bias == "free" else 0.0
        prices = pricer.prices(residual, known=0.0, worth=0.0, most=10_000)
        neurons = features.random(5000, rng)
        met = np.linalg.norm(np.tensordot(residual, features.forward(neurons)[0], axes=1), axis=0)
        assert met.max() <= prices.upper
        best = np.linalg.norm(np.tensordot(residual, features.forward(prices.directions[:1])[0], axes=1))
        assert np.isclose(best, prices.value, rtol=1e-9)
        assert prices.value <= prices.upper <= prices.value * (1.0 + 1e-8)
        assert prices.exact


def test_large_beta_and_data_without_content() -> None:
    X, y = data(16)
    for inputs, beta in ((X, 1e3), (np.zeros_like(X), 0.1)):
        result = train(PLAIN, inputs, y, beta=beta)
        assert result.network.width == 0
        assert result.certificate.gap <= 1e-8


def test_runs_stop_when_asked_to() -> None:
    X, y = data(17)
    stopped = train(PLAIN, X, y, callback=lambda record: len(record.to_dict()) > 0)
    assert (stopped.status, len(stopped.history)) == (zg.Status.STOPPED, 1)
    late = train(PLAIN, X, y, limit=1e-9)
    assert late.status is zg.Status.TIME_LIMIT
    assert late.certificate.proved


def test_other_architectures_are_refused() -> None:
    X, y = data(18)
    with pytest.raises(zg.InputError, match="pooling"):
        train(zg.CNN(2, pooling="max", bias=False), X, y)
