"""Every beta, from far below the critical one to above it, ends with a closed gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zerogap as zg
from instances import make

PROBLEMS: list[tuple[str, str, Any]] = [
    ("mlp", "squared", True),
    ("mlp", "squared", "free"),
    ("mlp", "logistic", True),
    ("mlp", "logistic", "free"),
    ("mlp", "hinge", True),
    ("series", "logistic", False),
    ("series", "hinge", False),
]


@pytest.mark.parametrize("ratio", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.5, 10.0])
@pytest.mark.parametrize(("shape", "loss", "bias"), PROBLEMS)
def test_the_gap_closes_at_every_beta(shape: str, loss: str, bias: Any, ratio: float) -> None:
    instance = make(shape, loss, bias)
    critical = zg.critical_beta(instance.architecture, instance.X, instance.y, loss=loss)
    result = instance.but(beta=ratio * critical).train(tol=1e-6)
    assert result.certificate.gap <= 1e-6
    assert result.status is zg.Status.OPTIMAL
    assert (result.network.width == 0) == (ratio > 1.0)


@pytest.mark.parametrize(("shape", "loss", "bias"), PROBLEMS)
def test_the_objective_is_increasing_and_concave_in_beta(shape: str, loss: str, bias: Any) -> None:
    instance = make(shape, loss, bias)
    betas = np.array([0.02, 0.05, 0.1, 0.2, 0.4])
    values = np.array([instance.but(beta=beta).train(tol=1e-8).certificate.objective for beta in betas])
    slopes = np.diff(values) / np.diff(betas)
    assert np.all(slopes > 0.0)
    assert np.all(np.diff(slopes) <= 1e-6 * slopes[0])


@pytest.mark.parametrize("solver", ["interior_point", "clarabel"])
def test_a_free_bias_with_tiny_beta_raises_no_warning(solver: str) -> None:
    instance = make("mlp", "squared", "free").but(beta=1e-3)
    assert instance.train(tol=1e-6, solver=solver).certificate.gap <= 1e-6


@pytest.mark.parametrize("beta", np.logspace(-6.0, -3.0, 13).tolist())
def test_a_grid_of_small_betas_for_the_hinge_loss(beta: float) -> None:
    assert make("mlp", "hinge", True).but(beta=beta).train(tol=1e-6).certificate.gap <= 1e-6
