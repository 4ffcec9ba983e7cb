"""A free constant at the output next to a decayed bias: everything that trains, certifies or reads files knows it.

The table of ``instances`` holds more of these for the programs over cells.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from zerogap import checker

X = np.random.default_rng(0).standard_normal((12, 2))
Y = 3.0 + np.stack([X[:, 0] * X[:, 1], np.abs(X[:, 0])], axis=1)


@pytest.mark.parametrize("arrangements", ["generate", "enumerate"])
@pytest.mark.parametrize(
    ("architecture", "y", "loss"),
    [
        (zg.MLP(intercept=True), Y[:, 0], "squared"),
        (zg.MLP(intercept=True, bias=False), np.sign(Y[:, 0] - 2.95), "logistic"),
        (zg.MLP(intercept=True), Y, "squared"),
        (zg.MLP(intercept=True), np.arange(12) % 3, "cross_entropy"),
        (zg.CNN(2, pooling="max", intercept=True), Y[:, 0], "squared"),
        (zg.CircularCNN(intercept=True), Y[:, 0], "squared"),
        (zg.ThreeLayerCNN(1, intercept=True), Y[:4, 0], "squared"),
    ],
    ids=["mlp", "logistic", "outputs", "classes", "maximum", "circular", "layers"],
)
def test_a_shift_of_the_targets_costs_nothing(architecture: Any, y: Any, loss: str, arrangements: str) -> None:
    """The optimum of the squared loss does not move; no optimum is above that of the network without constant."""
    tiny, inputs = architecture.__class__ is zg.ThreeLayerCNN, X
    if tiny:
        inputs = X[:4]
    options: Any = {"loss": loss, "beta": 0.5, "arrangements": arrangements, "tol": 1e-4, "prove": 10.0}
    result = zg.train(architecture, inputs, y, **options)
    assert result.certificate.lower_bound <= result.certificate.objective
    assert result.network.objective(inputs, y, loss=loss, beta=0.5) <= result.certificate.objective * (1.0 + 1e-12)
    if result.certificate.proof != "relaxation":
        assert result.certificate.gap <= 2e-3
    without = zg.train(type(architecture)(**{**_options(architecture), "intercept": False}), inputs, y, **options)
    assert result.certificate.lower_bound <= without.certificate.objective
    if loss == "squared":
        shifted = zg.train(architecture, inputs, y - 7.0, **options)
        assert shifted.certificate.lower_bound <= result.certificate.objective
        assert result.certificate.lower_bound <= shifted.certificate.objective
        assert np.allclose(shifted.network(inputs), result.network(inputs) - 7.0, atol=0.05)


def _options(architecture: Any) -> dict[str, Any]:
    return {name: value for name, value in architecture.config().items() if name != "kind"}


def test_residuals_of_certificates_balance_the_constant(tmp_path: Path) -> None:
    """A stranger re-checks the tree, and refuses a point that does not sum to zero."""
    result = zg.train(zg.MLP(intercept=True), X, Y[:, 0], beta=0.5, tol=1e-3)
    assert result.certificate.proof == "branch and bound"
    result.certificate.save(tmp_path / "certificate.json")
    contents = json.loads((tmp_path / "certificate.json").read_text())
    check: Any = checker.check
    check(contents, X.tolist(), Y[:, 0].tolist())
    # The optimum without constant is larger: its certificate must not pass for one of a network with a constant.
    without = zg.train(zg.MLP(), X, Y[:, 0], beta=0.5, tol=1e-3)
    assert without.certificate.lower_bound > result.certificate.objective
    without.certificate.save(tmp_path / "certificate.json")
    forged = json.loads((tmp_path / "certificate.json").read_text())
    check(forged, X.tolist(), Y[:, 0].tolist())
    forged["architecture"]["intercept"] = True
    with pytest.raises(ValueError, match="dual value"):
        check(forged, X.tolist(), Y[:, 0].tolist())


def test_certify_and_improve_know_the_constant() -> None:
    architecture = zg.MLP(intercept=True)
    rng = np.random.default_rng(1)
    network = zg.Network(architecture, rng.standard_normal((30, 3)), rng.standard_normal(30), offset=2.0)
    certificate = zg.certify(network, X, Y[:, 0], beta=0.5, prove=5.0)
    better = zg.improve(network, X, Y[:, 0], beta=0.5, prove=5.0).result
    assert 0.0 < certificate.lower_bound <= better.certificate.objective < certificate.objective
    assert zg.critical_beta(architecture, X, Y[:, 0] - 100.0) == pytest.approx(
        zg.critical_beta(architecture, X, Y[:, 0])
    )


def test_an_offset_needs_an_architecture_that_has_one(tmp_path: Path) -> None:
    with pytest.raises(zg.InputError, match="use intercept=True"):
        zg.Network(zg.MLP(), [[1.0, 0.0]], [1.0], offset=1.0)
    with pytest.raises(zg.InputError, match="intercept: got 1"):
        zg.MLP(intercept=1)  # type: ignore[arg-type]
    network = zg.Network(zg.MLP(intercept=True), [[1.0, 0.0]], [[1.0, 2.0]], offset=[3.0, 4.0])
    network.save(tmp_path / "network.safetensors")
    loaded = zg.Network.load(tmp_path / "network.safetensors")
    assert np.array_equal(loaded([[2.0]]), [[5.0, 8.0]])
    assert loaded.architecture == network.architecture
