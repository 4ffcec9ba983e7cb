"""Attacks on certificates of several outputs that once broke, or could have: scales, free biases, scopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zerogap as zg

PLAIN = zg.MLP(bias=False)


def test_gates_with_a_free_bias_are_refused() -> None:
    """Their bias costs nothing, and no residual was balanced for it."""
    architecture = zg.MLP(gated=True, bias="free")
    gates = [[1.0, -1.5], [1.0, 0.1]]
    network = zg.Network(architecture, np.zeros((2, 2)), np.zeros((2, 2)), gates=gates)
    with pytest.raises(zg.InputError, match="bias"):
        zg.certify(network, [[1.0], [2.0]], [[1.0, 2.0], [3.0, 1.0]], beta=100.0)
    windows = zg.CNN((2,), pooling="none", gated=True, bias="free")
    network = zg.Network(windows, np.zeros((1, 3)), np.zeros((1, 2)), gates=np.ones((1, 3)))
    with pytest.raises(zg.InputError, match="bias"):
        zg.certify(network, np.ones((4, 3, 1)), np.arange(4.0), beta=1.0)


@pytest.mark.parametrize("exponents", [(-266, -282), (-300, -300), (0, 0), (200, 200)])
def test_bounds_scale_with_the_data(exponents: tuple[int, int]) -> None:
    """X 2^a, Y 2^b and beta 2^(a+b) scale the optimum by 4^b; squares of small gradients must not vanish."""
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((4, 2)), rng.standard_normal((4, 2))
    a, b = exponents
    beta = 1e-2 * 2.0 ** (a + b)
    network = zg.train(PLAIN, X, Y, beta=1e-2, arrangements="enumerate", tol=1e-6).network
    # Outputs scale by 2^b: weights of the first layer by 2^((b - a) / 2), those of the second likewise.
    root = 2.0 ** ((b - a) / 2)
    moved = zg.Network(PLAIN, network.first * root, network.second * root)
    attained = moved.objective(X * 2.0**a, Y * 2.0**b, beta=beta)
    for cone in ("completely_positive", "doubly_nonnegative", "psd"):
        found = zg.train_copositive(PLAIN, X * 2.0**a, Y * 2.0**b, beta=beta, cone=cone).certificate
        assert found.lower_bound <= attained * (1.0 + 1e-9)
    certificate = zg.train(PLAIN, X * 2.0**a, Y * 2.0**b, beta=beta, arrangements="enumerate").certificate
    assert certificate.lower_bound <= attained * (1.0 + 1e-9)
    critical = zg.critical_beta(PLAIN, X * 2.0**a, Y * 2.0**b)
    assert critical == pytest.approx(zg.critical_beta(PLAIN, X, Y) * 2.0 ** (a + b), rel=1e-9)


@pytest.mark.parametrize("targets", [[[1e90]], [1e90]], ids=["a column", "one output"])
def test_a_beta_that_is_almost_nothing(targets: Any) -> None:
    second = np.zeros((0, 1)) if np.ndim(targets) == 2 else np.zeros(0)
    network = zg.Network(PLAIN, np.zeros((0, 1)), second)
    for prove in (False, 1.0):
        found = zg.certify(network, [[1e60]], targets, beta=1.37e-170, prove=prove)
        # The optimum is beta 1e90 / 1e60 to many digits.
        assert found.lower_bound <= 1.37e-140 * (1.0 + 1e-12)


def test_constants_of_classes_are_balanced() -> None:
    """However far the constants of a network are from their best values, nothing overflows and bounds hold."""
    rng = np.random.default_rng(0)
    architecture = zg.MLP(bias="free")
    X, labels = rng.standard_normal((200, 2)), np.arange(200) % 3
    near = zg.Network(architecture, np.zeros((0, 3)), np.zeros((0, 3)), offset=[0.3, 0.0, 0.0])
    certificate = zg.certify(near, X, labels, loss="cross_entropy", beta=1.0, prove=False)
    assert certificate.proved
    assert 0.0 < certificate.lower_bound <= certificate.objective
    y, weights = np.ones(40, dtype=int), np.ones(40)
    y[0], weights[0] = 0, 1e4
    far = zg.Network(architecture, np.zeros((0, 2)), np.zeros((0, 2)), offset=[40.0, 0.0])
    certificate = zg.certify(
        far, rng.standard_normal((40, 1)), y, loss="cross_entropy", sample_weight=weights, prove=False
    )
    assert certificate.lower_bound <= certificate.objective


@pytest.mark.parametrize("architecture", [zg.MLP(gated=True, bias=False), zg.LinearCNN(2, bias=False)])
def test_frank_wolfe_moves_over_gates_and_linear_neurons(architecture: Any) -> None:
    rng = np.random.default_rng(3)
    X, Y = rng.standard_normal((8, 2)), rng.standard_normal((8, 2))
    cells: Any = 5 if architecture.gated else "enumerate"
    result = zg.train_by_frank_wolfe(architecture, X, Y, beta=0.05, arrangements=cells, iterations=300, tol=1e-3)
    others: Any = {"arrangements": 5} if architecture.gated else {}
    best = zg.train(architecture, X, Y, beta=0.05, tol=1e-7, **others).certificate
    assert best.lower_bound * (1.0 - 1e-9) <= result.certificate.objective
    assert result.certificate.objective <= 0.5 * (best.objective + best.zero_loss)
    assert result.certificate.lower_bound <= best.objective * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_rounding_over_some_cells_stays_in_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((8, 2)), rng.standard_normal((8, 2))
    found = zg.train_copositive(PLAIN, X, Y, beta=0.05, arrangements=2, random_state=0).certificate
    assert found.proved
    assert found.scope == "sampled"
    assert found.lower_bound <= found.objective


def test_linear_circular_networks_have_exact_prices() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 4)), rng.standard_normal((12, 3))
    result = zg.train(zg.CircularCNN(depth=2, bias=False), X, Y, beta=0.5, tol=1e-6)
    assert result.certificate.proof == "closed form"
    assert result.certificate.gap <= 1e-6


def test_linear_neurons_at_the_end_of_the_range() -> None:
    found = zg.train(zg.LinearCNN((1,), bias=False), [[1e60]], [[1e60]], beta=1e-60).certificate
    assert found.lower_bound <= found.objective


def test_separable_classes_and_a_tiny_decay() -> None:
    labels = np.repeat(np.arange(3), 10)
    X = np.eye(3)[labels] + 0.01 * np.random.default_rng(0).standard_normal((30, 3))
    found = zg.train(zg.LinearCNN((3,), bias=False), X, labels, loss="cross_entropy", beta=1e-11, tol=1e-3).certificate
    assert found.proved
    assert found.gap <= 1e-2
