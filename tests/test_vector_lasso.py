"""The group lasso of several outputs against a conic solver, and its gaps against what they claim."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zerogap.losses import LogisticLoss, Loss, SquaredLoss
from zerogap.output_losses import CrossEntropyLoss, EachOutput
from zerogap.solvers import Iterate
from zerogap.solvers.group_lasso import group_lasso
from zerogap.solvers.vector_lasso import vector_lasso

cp = import_module("cvxpy")

Array = NDArray[np.float64]

NAMES = ("squared", "logistic", "cross_entropy")
CASES = ("plain", "duplicated", "zero", "weighted", "scaled")
N, WIDTH, OUTPUTS = 8, 6, 3


@cache
def instance(name: str, case: str, slots: int) -> tuple[Array, Loss]:
    """Rectified features (n, a, m) and a loss."""
    rng = np.random.default_rng([NAMES.index(name), CASES.index(case), slots])
    values = np.maximum(rng.standard_normal((N, slots, WIDTH)), 0.0)
    if case == "duplicated":
        values[:, :, 3], values[:, :, 4] = values[:, :, 0], values[:, :, 0]
    if case == "zero":
        values[:, :, 2] = 0.0
    if case == "scaled":
        values *= 10.0 ** np.linspace(-6.0, 6.0, WIDTH)
    weights = rng.uniform(0.2, 3.0, N) if case == "weighted" else np.ones(N)
    if name == "squared":
        return values, EachOutput(rng.standard_normal((N, OUTPUTS)) + 0.5, weights, SquaredLoss)
    if name == "logistic":
        labels = np.tile(np.resize([1.0, -1.0, 1.0], N)[:, None], (1, OUTPUTS))
        return values, EachOutput(rng.permuted(labels, axis=0), weights, LogisticLoss)
    classes = rng.permutation(np.resize(np.arange(OUTPUTS), N))
    return values, CrossEntropyLoss(np.eye(OUTPUTS)[classes], weights)


def objective(values: Array, loss: Loss, beta: float, second: Array, offset: Array) -> float:
    """From the formulas."""
    f = np.tile(offset, (values.shape[0], 1)).astype(float)
    penalty = 0.0
    for j, block in enumerate(second):
        f += values[:, :, j] @ block
        penalty += float(np.sqrt(np.sum(block**2)))
    y, c = loss.targets, loss.weights[:, None]
    if loss.name == "squared":
        return 0.5 * float(np.sum(c * (f - y) ** 2)) + beta * penalty
    if loss.name == "logistic":
        return float(np.sum(c * np.logaddexp(0.0, -y * f))) + beta * penalty
    top = f.max(axis=1, keepdims=True)
    logs = np.log(np.exp(f - top).sum(axis=1, keepdims=True)) + top - np.sum(y * f, axis=1, keepdims=True)
    return float(np.sum(c * logs)) + beta * penalty


@cache
def reference(name: str, case: str, slots: int, beta: float, offset: bool) -> float:
    """The optimal value by CVXPY, re-evaluated at the weights it found."""
    values, loss = instance(name, case, slots)
    blocks = [cp.Variable((slots, OUTPUTS)) for _ in range(WIDTH)]
    b: Any = cp.Variable((1, OUTPUTS)) if offset else cp.Constant(np.zeros((1, OUTPUTS)))
    f = np.ones((N, 1)) @ b
    for j, block in enumerate(blocks):
        f = f + values[:, :, j] @ block
    y, c = loss.targets, loss.weights
    value: Any
    if name == "squared":
        value = 0.5 * cp.sum(cp.multiply(np.tile(c[:, None], (1, OUTPUTS)), cp.square(f - y)))
    elif name == "logistic":
        value = cp.sum(cp.multiply(np.tile(c[:, None], (1, OUTPUTS)), cp.logistic(cp.multiply(-y, f))))
    else:
        value = cp.sum(cp.multiply(c, cp.log_sum_exp(f, axis=1) - cp.sum(cp.multiply(y, f), axis=1)))
    problem = cp.Problem(cp.Minimize(value + beta * sum(cp.norm(cp.vec(block, order="C")) for block in blocks)))
    tolerances = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), 1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "may be inaccurate": short of the last digits
        problem.solve(solver="CLARABEL", **tolerances)
    found = np.array([block.value for block in blocks])
    return objective(values, loss, beta, found, b.value[0])


def solve(
    values: Array, loss: Loss, beta: float, *, offset: bool, tol: float = 1e-9, start: Array | None = None
) -> list[Iterate]:
    with np.errstate(all="ignore"):
        return list(vector_lasso(values, loss, beta, offset=offset, tol=tol, start=start))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("case", "slots"),
    [("plain", 1), ("plain", 3), ("duplicated", 3), ("zero", 1), ("weighted", 3), ("scaled", 1), ("scaled", 3)],
)
@pytest.mark.parametrize("offset", [False, True])
def test_optima_agree_with_a_conic_solver(name: str, case: str, slots: int, offset: bool) -> None:
    values, loss = instance(name, case, slots)
    for beta in (0.05, 0.7):
        iterates = solve(values, loss, beta, offset=offset)
        last, expected = iterates[-1], reference(name, case, slots, beta, offset)
        assert last.blocks.shape == (1, WIDTH, slots, OUTPUTS)
        assert last.offset.shape == (OUTPUTS,)
        assert last.residual.shape == (N, OUTPUTS)
        assert offset or not last.offset.any()
        again = objective(values, loss, beta, last.blocks[0], last.offset)
        assert again == pytest.approx(last.primal, rel=1e-12)
        assert last.primal <= expected * (1.0 + 1e-8)
        if case != "scaled":
            assert last.primal >= expected * (1.0 - 1e-7)
            assert last.gap <= 1e-9
        # No dual value above the optimum, at any time.
        lowest = min(expected, *(iterate.primal for iterate in iterates))
        assert all(iterate.dual <= lowest * (1.0 + 1e-9) for iterate in iterates)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("case", ["plain", "scaled"])
def test_tiny_beta(name: str, offset: bool, case: str) -> None:
    """The conic solver is not always as good there, and the gap of so flat a problem need not close."""
    values, loss = instance(name, case, 1)
    iterates = solve(values, loss, 1e-5, offset=offset)
    assert iterates[-1].primal <= reference(name, case, 1, 1e-5, offset) * (1.0 + 1e-6)
    best = min(iterate.primal for iterate in iterates)
    if case == "plain":
        assert iterates[-1].gap <= 1e-4
        assert all(iterate.dual <= best * (1.0 + 1e-6) for iterate in iterates)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [False, True])
def test_huge_beta_leaves_the_constant_alone(name: str, offset: bool) -> None:
    values, loss = instance(name, "weighted", 3)
    for beta in (1e3, 1e6, 1e12):
        last = solve(values, loss, beta, offset=offset)[-1]
        constant = loss.best_constant() if offset else np.zeros(OUTPUTS)
        expected = loss.value(np.tile(constant, (N, 1)))
        assert last.primal == pytest.approx(expected, rel=1e-8)
        assert np.abs(last.blocks).max() * beta <= 1e-8 * expected
        assert last.gap <= 1e-9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [False, True])
def test_just_above_the_largest_price_all_weights_vanish(name: str, offset: bool) -> None:
    """And just below it they do not: optimality of zero is max_j ||Phi_j' R|| <= beta at the best constant."""
    values, loss = instance(name, "plain", 3)
    constant = loss.best_constant() if offset else np.zeros(OUTPUTS)
    residual = -loss.gradient(np.tile(constant, (N, 1)))
    critical = max(float(np.linalg.norm(values[:, :, j].T @ residual)) for j in range(WIDTH))
    zero = loss.value(np.tile(constant, (N, 1)))
    above = solve(values, loss, 1.001 * critical, offset=offset)[-1]
    assert above.primal == pytest.approx(zero, rel=1e-8)
    below = solve(values, loss, 0.9 * critical, offset=offset)[-1]
    assert below.primal < zero * (1.0 - 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [False, True])
def test_warm_starts_reach_the_same_optimum(name: str, offset: bool) -> None:
    values, loss = instance(name, "weighted", 3)
    cold = solve(values, loss, 0.3, offset=offset)[-1]
    rng = np.random.default_rng(0)
    near = solve(values, loss, 0.4, offset=offset)[-1].blocks[0]
    starts = [cold.blocks[0], near, np.zeros_like(near)]
    starts += [scale * rng.standard_normal(near.shape) for scale in (1e-8, 1.0, 10.0)]
    for start in starts:
        before = start.copy()
        iterates = solve(values, loss, 0.3, offset=offset, start=start)
        np.testing.assert_array_equal(start, before)
        assert iterates[-1].primal == pytest.approx(cold.primal, rel=2e-9)
        assert iterates[-1].gap <= 1e-9
        assert all(iterate.dual <= cold.primal * (1.0 + 1e-9) for iterate in iterates)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [False, True])
def test_warm_starts_far_away_reach_the_same_optimum(name: str, offset: bool) -> None:
    # Once wrong: with a constant, saturated samples leave Newton's matrix without curvature along it; the
    # logistic and the cross-entropy loss then stay where they were for all levels, hundreds of times the optimum.
    values, loss = instance(name, "weighted", 1)
    cold = solve(values, loss, 0.3, offset=offset)[-1]
    for scale in (100.0, 1e5):
        start = scale * np.random.default_rng(0).standard_normal(cold.blocks[0].shape)
        last = solve(values, loss, 0.3, offset=offset, start=start)[-1]
        assert last.primal == pytest.approx(cold.primal, rel=2e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [False, True])
def test_gaps_are_duality_gaps_at_every_iterate(name: str, offset: bool) -> None:
    """Reported gap >= (primal - optimum) / primal, over random problems and starts; shapes from 1 sample to many."""
    rng = np.random.default_rng(1)
    for k in range(10):
        n, slots, m, outputs = int(rng.integers(4, 12)), int(rng.integers(1, 4)), int(rng.integers(1, 15)), 2 + k % 3
        values = np.maximum(rng.standard_normal((n, slots, m)), 0.0) * 10.0 ** rng.uniform(-1.0, 1.0)
        if name == "squared":
            loss: Loss = EachOutput(rng.standard_normal((n, outputs)) + 1.0, rng.uniform(0.1, 3.0, n), SquaredLoss)
        elif name == "logistic":
            labels = rng.permuted(np.tile(np.resize([1.0, -1.0], n)[:, None], (1, outputs)), axis=0)
            loss = EachOutput(labels, rng.uniform(0.1, 3.0, n), LogisticLoss)
        else:
            loss = CrossEntropyLoss(np.eye(outputs)[np.resize(np.arange(outputs), n)], rng.uniform(0.1, 3.0, n))
        beta = 10.0 ** rng.uniform(-2.0, 1.0)
        start = 10.0 ** rng.uniform(-1.0, 1.0) * rng.standard_normal((m, slots, outputs)) if k % 2 else None
        iterates = solve(values, loss, beta, offset=offset, start=start)
        optimum = min(iterate.primal for iterate in iterates)
        assert iterates[-1].gap <= 1e-9
        for iterate in iterates:
            assert iterate.gap * iterate.primal >= iterate.primal - optimum - 1e-9 * optimum


@pytest.mark.parametrize("offset", [False, True])
def test_the_dispatcher_sends_several_outputs_here(offset: bool) -> None:
    values, loss = instance("squared", "plain", 3)
    by_name = list(group_lasso(values, loss, 0.3, offset=offset, tol=1e-9))[-1]
    assert by_name.primal == solve(values, loss, 0.3, offset=offset)[-1].primal
    # One column alone is the group lasso of one output.
    column = EachOutput(loss.targets[:, :1].copy(), loss.weights, SquaredLoss)
    single = SquaredLoss(loss.targets[:, 0].copy(), loss.weights)
    vector = solve(values, column, 0.3, offset=offset)[-1]
    scalar = list(group_lasso(values, single, 0.3, offset=offset, tol=1e-9))[-1]
    assert vector.primal == pytest.approx(scalar.primal, rel=2e-9)


def test_duplicates_share_what_one_would_carry() -> None:
    """Equal groups change neither the optimum nor the outputs."""
    values, loss = instance("cross_entropy", "duplicated", 3)
    alone = np.delete(values, [3, 4], axis=2)
    both = [solve(v, loss, 0.2, offset=True, tol=1e-10)[-1] for v in (values, alone)]
    assert both[0].primal == pytest.approx(both[1].primal, rel=1e-9)
    np.testing.assert_allclose(both[0].residual, both[1].residual, atol=1e-4)
    carried = [np.linalg.norm(both[0].blocks[0, [0, 3, 4]].sum(axis=0)), np.linalg.norm(both[1].blocks[0, 0])]
    assert carried[0] == pytest.approx(float(carried[1]), rel=1e-3, abs=1e-6)
