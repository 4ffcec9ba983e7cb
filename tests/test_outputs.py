"""Several outputs under the squared l1 decay: they separate, and their certificates add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

import zerogap as zg

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 2)), RNG.standard_normal((6, 3))


def joint_objective(flat: np.ndarray, width: int, beta: float) -> float:
    """1/2 ||(X U)_+ W - Y||^2 + beta/2 sum (||u||^2 + ||w||_1^2)."""
    U, W = flat[: 2 * width].reshape(2, width), flat[2 * width :].reshape(width, 3)
    outputs = np.maximum(X @ U, 0.0) @ W
    decay = np.sum(U**2) + np.sum(np.abs(W).sum(axis=1) ** 2)
    return float(0.5 * np.sum((outputs - Y) ** 2) + 0.5 * beta * decay)


def test_no_joint_network_is_better() -> None:
    result = zg.train_separately(zg.MLP(bias=False), X, Y, beta=0.1, arrangements="enumerate", tol=1e-7)
    certificate = result.certificate
    assert (certificate.scope, certificate.proof) == ("global", "enumeration")
    assert certificate.gap <= 1e-7
    assert result.status is zg.Status.OPTIMAL
    best = np.inf
    for seed in range(10):
        start = 0.5 * np.random.default_rng(seed).standard_normal(5 * 20)
        best = min(best, minimize(joint_objective, start, args=(20, 0.1), options={"maxiter": 300}).fun)
    assert best >= certificate.lower_bound
    assert best <= certificate.objective * 1.05
    # The networks, as one with a row of output weights for every neuron.
    first = np.concatenate([network.first for network in result.networks.networks])
    second = np.zeros((first.shape[0], 3))
    row = 0
    for c, network in enumerate(result.networks.networks):
        second[row : row + network.width, c] = network.second
        row += network.width
    together = joint_objective(np.concatenate([first.T.ravel(), second.ravel()]), first.shape[0], 0.1)
    assert together == pytest.approx(certificate.objective, rel=1e-9)
    assert result.networks.objective(X, Y, beta=0.1) == pytest.approx(together, rel=1e-9)


def test_one_output_is_the_scalar_problem() -> None:
    one = zg.train_separately(zg.MLP(), X, Y[:, :1], beta=0.1, arrangements="enumerate", tol=1e-8)
    scalar = zg.train(zg.MLP(), X, Y[:, 0], beta=0.1, arrangements="enumerate", tol=1e-8)
    assert one.certificate.objective == pytest.approx(scalar.certificate.objective, rel=1e-8)
    np.testing.assert_allclose(one.networks(X)[:, 0], scalar.network(X), atol=1e-6)


@pytest.mark.parametrize(
    "architecture", [zg.CNN(2, pooling="max"), zg.CNN(2, pooling="none"), zg.LinearCNN(2), zg.MLP(gated=True)]
)
def test_every_architecture_has_several_outputs(architecture: object, tmp_path: Path) -> None:
    images = RNG.standard_normal((6, 3)) if not isinstance(architecture, zg.MLP) else X
    arrangements = 4 if isinstance(architecture, zg.MLP) else "generate"
    result = zg.train_separately(architecture, images, Y, beta=0.1, arrangements=arrangements, tol=1e-3)  # type: ignore[arg-type]
    certificate = result.certificate
    parts = [part.certificate for part in result.results]
    assert certificate.objective == pytest.approx(sum(part.objective for part in parts), rel=1e-12)
    assert 0.0 < certificate.lower_bound <= certificate.objective
    assert len({part.cells for part in parts}) == 1
    assert result.networks(images).shape == (6, 3)
    result.networks.save(tmp_path / "nets.safetensors")
    again = zg.OutputNetworks.load(tmp_path / "nets.safetensors")
    np.testing.assert_array_equal(again(images), result.networks(images))
    assert repr(again) == repr(result.networks)
    assert str(certificate)


def test_outputs_without_a_proof_are_not_proved_together() -> None:
    calls: list[int] = []

    def stop(step: zg.Iteration) -> bool:
        calls.append(1)
        return True

    result = zg.train_separately(zg.MLP(), X, Y, beta=0.1, arrangements=5, callback=stop)
    assert result.status is zg.Status.STOPPED
    assert result.networks.width >= 0
    assert result.certificate.lower_bound <= result.certificate.objective
    with pytest.raises(zg.ToleranceError):
        result.raise_for_status()


def test_bad_outputs_are_refused(tmp_path: Path) -> None:
    for bad in (Y[:, 0], np.zeros((6, 0)), np.zeros((6, 2, 2))):
        with pytest.raises(zg.InputError, match="y"):
            zg.train_separately(zg.MLP(), X, bad, beta=0.1)
    with pytest.raises(zg.InputError, match="train_separately"):
        zg.train(zg.MLP(), X, np.sign(Y), loss="hinge", beta=0.1)
    with pytest.raises(zg.InputError, match="networks"):
        zg.OutputNetworks([])
    single = zg.train(zg.MLP(), X, Y[:, 0], beta=0.1, arrangements=5).network
    single.save(tmp_path / "single.safetensors")
    with pytest.raises(zg.DataFileError, match="format"):
        zg.OutputNetworks.load(tmp_path / "single.safetensors")
