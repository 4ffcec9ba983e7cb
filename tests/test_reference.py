"""train against an independent conic program: the objective in both directions, and the bound below it."""

from __future__ import annotations

import numpy as np
import pytest

import reference
import zerogap as zg
from instances import INSTANCES, RELU, Instance, make, solved


def expected(instance: Instance) -> float:
    return reference.optimum(
        instance.architecture,
        instance.X,
        instance.y,
        loss=instance.loss,
        beta=instance.beta,
        weights=instance.weights,
        gates=instance.gates,
    )


def agrees(result: zg.Result, value: float) -> None:
    certificate = result.certificate
    assert abs(certificate.objective - value) <= 1e-6 * value
    assert certificate.lower_bound <= value + 1e-7
    assert certificate.lower_bound >= value - 1e-6 * value


@pytest.mark.parametrize("name", INSTANCES)
def test_train_agrees_with_cvxpy(name: str) -> None:
    agrees(solved(name), expected(INSTANCES[name]))


@pytest.mark.parametrize("name", RELU[::4])
def test_the_conic_solver_agrees_with_cvxpy(name: str) -> None:
    instance = INSTANCES[name]
    agrees(instance.train(solver="clarabel", tol=1e-7), expected(instance))


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize("bias", [True, False, "free"])
def test_repeated_parallel_and_zero_rows(loss: str, bias: bool | str) -> None:
    X = np.array([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 2.0], [0.0, 3.0]])
    instance = make("mlp", loss, bias, weighted=True).but(X=X)
    agrees(instance.train(), expected(instance))


@pytest.mark.parametrize("beta", [1e-3, 1.0, 3.0])
def test_other_betas(beta: float) -> None:
    instance = make("average", "squared", True).but(beta=beta)
    agrees(instance.train(), expected(instance))


@pytest.mark.parametrize("gated", [True, False])
def test_cells_of_given_gates(gated: bool) -> None:
    gates = np.random.default_rng(5).standard_normal((7, 3))
    instance = make("series", "squared", True, gated=gated).but(gates=gates)
    result = instance.train()
    agrees(result, expected(instance))
    assert result.certificate.scope == ("gated" if gated else "sampled")


@pytest.mark.parametrize("name", INSTANCES)
def test_the_objective_is_that_of_the_network(name: str) -> None:
    instance, result = INSTANCES[name], solved(name)
    value = reference.objective(
        result.network, instance.X, instance.y, loss=instance.loss, beta=instance.beta, weights=instance.weights
    )
    assert abs(result.certificate.objective - value) <= 1e-12 * value
    assert abs(result.network.objective(instance.X, instance.y, **instance.question()) - value) <= 1e-12 * value
