"""Closed forms: their values against trained networks and conic programs, their conditions against brute force."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import zerogap as zg
from zerogap.closed_forms import ClosedForm, huber, soft_thresholded_svd
from zerogap.closed_forms.complete_positivity import nonnegative_factor
from zerogap.closed_forms.groups import partition
from zerogap.closed_forms.shrinkage import shrunk
from zerogap.closed_forms.spike_free import measured, spike_free
from zerogap.errors import InputError

LABELS = np.eye(3)[[0, 0, 0, 1, 1, 2]]


def whitened(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Rows with X X' = I."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, n)))[0].T


def chained(n: int, seed: int = 0) -> np.ndarray:
    """Spike-free rows: the inverse of X X' is tridiagonal, with negative entries off its diagonal."""
    rng = np.random.default_rng(seed)
    off = -0.9 * rng.random(n - 1)
    return np.linalg.cholesky(np.linalg.inv(np.diag(np.full(n, 2.0)) + np.diag(off, 1) + np.diag(off, -1)))


def objective(X: np.ndarray, Y: np.ndarray, beta: float, first: np.ndarray, second: np.ndarray) -> float:
    """1/2 ||(X U')_+ W - Y||^2 + beta/2 (||U||^2 + ||W||^2)."""
    residual = np.maximum(X @ first.T, 0.0) @ second - Y
    return float(0.5 * np.sum(residual**2) + 0.5 * beta * (np.sum(first**2) + np.sum(second**2)))


def trained(X: np.ndarray, Y: np.ndarray, beta: float, *, runs: int = 20, width: int = 12) -> list[float]:
    """Objectives of ReLU networks trained by L-BFGS from random starts."""
    d, C = X.shape[1], Y.shape[1]

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        U, W = flat[: width * d].reshape(width, d), flat[width * d :].reshape(width, C)
        Z = X @ U.T
        A = np.maximum(Z, 0.0)
        R = A @ W - Y
        gradients = ((R @ W.T) * (Z > 0.0)).T @ X + beta * U, A.T @ R + beta * W
        total = 0.5 * np.sum(R**2) + 0.5 * beta * np.sum(flat**2)
        return float(total), np.concatenate([part.ravel() for part in gradients])

    size = width * (d + C)
    starts = [0.7 * np.random.default_rng(seed).standard_normal(size) for seed in range(runs)]
    options = {"maxiter": 1000, "ftol": 1e-13}
    return [float(minimize(value, x, jac=True, method="L-BFGS-B", options=options).fun) for x in starts]


def check(found: ClosedForm, X: np.ndarray, Y: np.ndarray, beta: float) -> None:
    """What holds for every result, recomputed here."""
    Y = Y.reshape(len(X), -1)
    assert found.value <= found.objective
    assert found.objective == pytest.approx(objective(X, Y, beta, found.first, found.second), rel=1e-12, abs=1e-200)
    assert np.linalg.norm(found.first, axis=1) == pytest.approx(np.linalg.norm(found.second, axis=1), rel=1e-12)
    assert found.fitted == pytest.approx(np.maximum(X @ found.first.T, 0.0) @ found.second, abs=1e-12 * abs(Y).max())
    assert found.singular_values == pytest.approx(np.linalg.svd(X.T @ Y, compute_uv=False), rel=1e-12)
    assert found.exact == (found.gap <= 1e-8)


EXACT = {
    # name: inputs, targets, beta
    "one-hot": (whitened(6, 8), LABELS, 0.6),
    "one-hot, some classes left out": (whitened(6, 6), LABELS, 1.2),
    "centred one-hot": (whitened(6, 7), LABELS - 1 / 3, 0.3),
    "identity": (np.eye(6), LABELS, 0.6),
    "one ray": (whitened(4, 5), np.outer([1.0, 2.0, 0.5, 0.0], [1.0, -2.0]), 0.4),
    "scalar of both signs": (whitened(5, 5), np.array([[1.0], [-2.0], [0.5], [0.0], [3.0]]), 0.5),
    "rank two": (whitened(6, 6), np.abs(np.random.default_rng(0).standard_normal((6, 2))) + 0.5, 0.4),
    "order three": (whitened(3, 4), np.abs(np.random.default_rng(1).standard_normal((3, 3))) + 2 * np.eye(3), 0.3),
    "order four": (whitened(4, 4), np.abs(np.random.default_rng(2).standard_normal((4, 4))) + 3 * np.eye(4), 0.3),
    "four rows, each twice": (
        whitened(8, 8),
        np.repeat(np.abs(np.random.default_rng(2).standard_normal((4, 4))) + 3 * np.eye(4), 2, axis=0),
        0.3,
    ),
    "ties": (whitened(4, 5), np.eye(4)[:, ::-1] @ np.kron(np.eye(2), [[1.0, 1.0], [1.0, -1.0]]), 0.3),
    "lengths apart": (np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) @ whitened(6, 6), LABELS, 0.6),
    "lengths apart, both signs": (np.diag([1.0, 2.0, 3.0]) @ whitened(3, 3), np.array([[2.0], [-1.0], [1.5]]), 0.6),
    "scaled": (30.0 * whitened(6, 6), LABELS, 5.0),
    "spike-free, one ray": (chained(5), np.outer(np.arange(5.0), [1.0, 1.0]), 0.6),
    "two spike-free blocks": (
        np.block([[chained(3), np.zeros((3, 3))], [np.zeros((3, 3)), chained(3, 1)]]),
        np.kron(np.eye(2), np.array([[1.0], [2.0], [0.5]])),
        0.3,
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_values_are_those_of_trained_networks(name: str) -> None:
    X, Y, beta = EXACT[name]
    found = soft_thresholded_svd(X, Y, beta)
    check(found, X, Y, beta)
    assert found.exact, found.condition
    runs = trained(X, Y, beta)
    assert min(runs) >= found.value
    assert min(runs) == pytest.approx(found.value, rel=1e-4)


BOUNDED = {
    "generic": (whitened(6, 6), np.random.default_rng(0).standard_normal((6, 3)), 0.6),
    "five samples": (whitened(5, 5), np.random.default_rng(1).standard_normal((5, 2)), 0.3),
    "lengths apart": (np.diag([1.0, 2.0, 3.0]) @ whitened(3, 4), np.random.default_rng(2).standard_normal((3, 2)), 0.3),
    "spike-free": (chained(4), np.random.default_rng(3).standard_normal((4, 2)), 0.3),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_generic_targets_have_a_strict_bound_and_a_good_network(name: str) -> None:
    X, Y, beta = BOUNDED[name]
    found = soft_thresholded_svd(X, Y, beta)
    check(found, X, Y, beta)
    assert not found.exact
    assert "the value is a bound" in found.condition
    best = min(trained(X, Y, beta))
    assert found.value * 1.005 < best
    assert found.objective == pytest.approx(best, rel=1e-3)


def test_golden_values() -> None:
    # G11, and the network of the paper: outputs y_c / ||y_c|| with weights (||y_c|| - beta)_+ e_c.
    X = whitened(6, 8)
    found = soft_thresholded_svd(X, LABELS, 0.6)
    assert found.value == pytest.approx(1.9477586, abs=1e-7)
    assert found.value == pytest.approx(float(huber(np.sqrt([3.0, 2.0, 1.0]), 0.6).sum()), rel=1e-11)
    sizes = np.sqrt(LABELS.sum(axis=0))
    assert found.fitted == pytest.approx(LABELS / sizes * (sizes - 0.6), abs=1e-12)
    assert found.first.shape == (3, 8)
    assert "3 groups" in found.condition
    # G12: the auto-encoder of whitened data.
    X = whitened(4, 6)
    found = soft_thresholded_svd(X, X, 0.3)
    assert found.exact
    assert found.value == pytest.approx(1.02, abs=1e-10)
    # Section 5.4: mixed signs add up their two halves, although the nuclear norm alone gives less.
    y = np.array([1.0, -2.0, 0.5, -0.1])
    found = soft_thresholded_svd(X, y, 0.5)
    halves = [np.linalg.norm(np.maximum(y, 0.0)), np.linalg.norm(np.maximum(-y, 0.0))]
    assert found.value == pytest.approx(float(huber(halves, 0.5).sum()), rel=1e-11)
    assert found.value > float(huber(np.linalg.norm(y), 0.5)) * 1.1


def test_beta_above_every_singular_value_gives_the_zero_network() -> None:
    for activation in ("relu", "linear"):
        found = soft_thresholded_svd(whitened(6, 8), LABELS, 1.8, activation=activation)
        assert found.exact
        assert found.first.shape == (0, 8)
        assert found.second.shape == (0, 3)
        assert not found.fitted.any()
        assert found.value == pytest.approx(3.0, rel=1e-12)
        nothing = soft_thresholded_svd(whitened(6, 8), np.zeros(6), 1.0, activation=activation)
        assert (nothing.exact, nothing.value, nothing.gap) == (True, 0.0, 0.0)


@pytest.mark.parametrize("side", ["rows", "columns", "square", "scaled"])
def test_linear_networks_against_the_nuclear_norm_program(side: str) -> None:
    rng = np.random.default_rng(0)
    X = {"rows": whitened(4, 6), "columns": whitened(4, 7).T, "square": whitened(5, 5), "scaled": 3 * whitened(3, 6).T}[
        side
    ]
    Y, beta = rng.standard_normal((X.shape[0], 3)), 0.7
    found = soft_thresholded_svd(X, Y, beta, activation="linear")
    W = cp.Variable((X.shape[1], 3))
    program = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(X @ W - Y) + beta * cp.normNuc(W)))
    program.solve(solver=cp.CLARABEL)
    assert found.exact
    assert found.gap < 1e-11
    assert found.value == pytest.approx(program.value, rel=1e-6)
    assert found.first.T @ found.second == pytest.approx(W.value, abs=1e-3)
    assert found.fitted == pytest.approx(X @ found.first.T @ found.second, abs=1e-13)
    if side == "square":
        assert found.value == pytest.approx(float(huber(found.singular_values, beta).sum()), rel=1e-11)


def test_a_relu_network_never_beats_the_linear_bound() -> None:
    # The relaxation that drops complete positivity is the linear problem.
    X, Y = whitened(4, 4), np.random.default_rng(5).standard_normal((4, 3))
    linear = soft_thresholded_svd(X, Y, 0.4, activation="linear")
    assert soft_thresholded_svd(X, Y, 0.4).value >= linear.value * (1.0 - 1e-11)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.floats(0.01, 2.0))
@settings(max_examples=60)
def test_symmetries(seed: int, n: int, C: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    X, Y = whitened(n, n + 1, seed), rng.standard_normal((n, C))
    found = soft_thresholded_svd(X, Y, beta)
    check(found, X, Y, beta)
    order, turn = rng.permutation(n), whitened(C, C, seed + 1)
    for inputs, targets, level, factor in (
        (X[order], Y[order], beta, 1.0),
        (X, Y @ turn, beta, 1.0),
        (8.0 * X, Y, 8.0 * beta, 1.0),
        (X, 5.0 * Y, 5.0 * beta, 25.0),
    ):
        other = soft_thresholded_svd(inputs, targets, level)
        assert other.value == pytest.approx(factor * found.value, rel=1e-9)
        # Where nothing is exact, descent may end in another stationary point.
        assert found.value * (1.0 - 1e-9) <= other.objective / factor
        assert other.exact or not found.exact


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5), st.booleans())
@settings(max_examples=150)
def test_doubly_nonnegative_up_to_order_four_is_completely_positive(seed: int, n: int, rank: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.integers(-1, 3, (n, rank)).astype(float) if whole else rng.standard_normal((n, rank))
    if not whole:
        factor[:, 0] = 2.0 * np.abs(factor[:, 0])
    matrix = factor @ factor.T
    found = nonnegative_factor(matrix, np.arange(n))
    assert (found.factor is not None) == (matrix.min() >= 0.0), found.reason
    if found.factor is not None:
        assert found.factor.min(initial=0.0) >= 0.0
        assert found.factor @ found.factor.T == pytest.approx(matrix, abs=1e-10 * matrix.max())


def test_what_complete_positivity_says() -> None:
    names = np.arange(10, 15)
    # The five-cycle: doubly non-negative, not completely positive, and not decided.
    cycle = np.array([[1, 1, 0, 0, 1], [1, 2, 1, 0, 0], [0, 1, 2, 1, 0], [0, 0, 1, 1, 1], [1, 0, 0, 1, 6]], float)
    assert np.linalg.eigvalsh(cycle)[0] > -1e-12
    undecided = nonnegative_factor(cycle, names)
    assert undecided.factor is None
    assert "not decided" in undecided.reason
    negative = nonnegative_factor(np.array([[1.0, -0.5], [-0.5, 1.0]]), names)
    assert negative.factor is None
    assert "(10, 11) is -0.5" in negative.reason
    # Dominance of any order, and rows that are multiples of each other.
    large = np.eye(9) + np.ones((9, 9)) / 9
    doubled = np.kron(np.array([[2.0, 1.0], [1.0, 3.0]]), np.ones((4, 4)))
    for matrix in (large, doubled):
        found = nonnegative_factor(matrix, np.arange(len(matrix)))
        assert found.factor is not None
        assert found.factor.min() >= 0.0
        assert found.factor @ found.factor.T == pytest.approx(matrix, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(2, 4), st.sampled_from(["orthogonal", "chained", "random"]))
@settings(max_examples=40)
def test_spike_free_rows_and_their_prices_against_sampling(seed: int, n: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    X = {"orthogonal": np.diag(rng.uniform(0.2, 3.0, n)) @ whitened(n, n, seed), "chained": chained(n, seed)}.get(
        kind, rng.standard_normal((n, n + 1))
    )
    U = rng.standard_normal((X.shape[1], 3000))
    # Directions whose outputs have one faint negative entry: where clipping reaches most.
    U[:, :1500] = np.linalg.pinv(X) @ (np.abs(X @ U[:, :1500]) * np.where(rng.random((n, 1500)) < 0.3, -0.05, 1.0))
    U /= np.linalg.norm(U, axis=0)
    clipped = np.maximum(X @ U, 0.0)
    reach = np.linalg.norm(np.linalg.pinv(X) @ clipped, axis=0).max()
    if kind == "random" and (np.linalg.inv(X @ X.T) - np.diag(np.full(n, np.inf))).max() > 0.0:
        with pytest.raises(InputError, match="entry"):
            spike_free(X)
        return
    geometry = spike_free(X)
    assert reach <= 1.0 + 1e-9
    R = rng.standard_normal((n, 2))
    sampled = np.linalg.norm(R.T @ clipped, axis=0).max()
    for groups in ([np.arange(n)], partition(geometry, R)):
        assert geometry.price_above(R, groups) >= sampled
    # Any other grouping along the metric is valid too.
    if kind == "orthogonal":
        assert geometry.price_above(R, [np.array([i]) for i in range(n)]) >= sampled


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=30)
def test_any_diagonal_metric_prices_any_rows(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    X, R, lengths = rng.standard_normal((n, 3)), rng.standard_normal((n, 2)), rng.uniform(0.2, 3.0, n)
    geometry = measured(X, np.diag(lengths**2), np.diag(lengths), 0.0, np.inf)
    U = rng.standard_normal((3, 3000))
    sampled = np.linalg.norm(R.T @ np.maximum(X @ (U / np.linalg.norm(U, axis=0)), 0.0), axis=0).max()
    for groups in ([np.arange(n)], [np.array([i]) for i in range(n)]):
        assert geometry.price_above(R, groups) >= sampled


def test_rows_that_are_not_spike_free_reach_further() -> None:
    X = np.array([[1.0, 0.0], [-0.6, 0.8]])
    with pytest.raises(InputError, match=r"entry \(0, 1\) of its inverse is 0.6 > 0"):
        soft_thresholded_svd(X, np.eye(2), 0.1)
    # With z = t e_1 - e_2 for large t, as in the proof.
    u = np.linalg.solve(X, [50.0, -1.0])
    assert np.linalg.norm(np.linalg.solve(X, np.maximum(X @ u, 0.0))) > np.linalg.norm(u) * 1.001


def test_shrinkage_is_a_minimiser() -> None:
    rng = np.random.default_rng(0)
    for seed in range(10):
        metric = np.linalg.inv(chained(4, seed) @ chained(4, seed).T)
        target = np.abs(rng.standard_normal(4))
        fit, rest = shrunk(target, metric, 0.4)
        assert fit + rest == pytest.approx(target, abs=1e-14)
        assert fit.min() >= 0.0

        def value(f: np.ndarray, t: np.ndarray = target, H: np.ndarray = metric) -> float:
            return float(0.5 * np.sum((f - t) ** 2) + 0.4 * np.sqrt(f @ H @ f))

        moves = 0.05 * rng.standard_normal((200, 4))
        assert min(value(fit + move) for move in moves) >= value(fit)
    assert not shrunk(np.full(3, 0.1), np.eye(3), 1.0)[0].any()
    steps = np.linspace(-3.0, 3.0, 6001)
    for s in (0.0, 0.3, 1.0, 2.5):
        assert float(huber(s, 1.0)) == pytest.approx(np.min(0.5 * (steps - s) ** 2 + np.abs(steps)), abs=1e-6)


def test_rounded_inputs_move_the_bound_and_not_its_truth() -> None:
    rng = np.random.default_rng(0)
    X, Y = whitened(6, 8), LABELS
    ideal = soft_thresholded_svd(X, Y, 0.6)
    noise = rng.standard_normal(X.shape)
    near = soft_thresholded_svd(X + 1e-10 * noise, Y, 0.6)
    assert near.exact
    assert near.value == pytest.approx(ideal.value, rel=1e-8)
    assert min(trained(X + 1e-10 * noise, Y, 0.6, runs=5)) >= near.value
    for activation in ("relu", "linear"):
        with pytest.raises(InputError, match=r"X X'.* [0-9.]+e-06"):
            soft_thresholded_svd(X + 1e-6 * noise, Y, 0.6, activation=activation)
    for c in (1e-60, 1e60):
        scaled = soft_thresholded_svd(X * c, Y, 0.6 * c)
        assert scaled.exact
        assert scaled.value == pytest.approx(ideal.value, rel=1e-11)


def test_values_of_worse_networks_stay_above() -> None:
    X, Y, beta = EXACT["order four"]
    found = soft_thresholded_svd(X, Y, beta)
    rng = np.random.default_rng(0)
    for size in (1e-12, 1e-6, 1e-2):
        first = found.first + size * rng.standard_normal(found.first.shape)
        assert objective(X, Y, beta, first, found.second) >= found.value
    assert objective(X, Y, beta, found.first[1:], found.second[1:]) > found.value
    single = found.first.astype(np.float32).astype(float), found.second.astype(np.float32).astype(float)
    assert objective(X, Y, beta, *single) >= found.value


def test_averages_over_orthonormal_patches() -> None:
    """P1, global average pooling: the value of averaged patches, never above a trained CNN."""
    patches = 1.7 * whitened(15, 20).reshape(5, 3, 20)
    series = patches.reshape(5, 60)
    architecture = zg.CNN((20,), stride=20, pooling="average", bias=False)
    exact = soft_thresholded_svd(patches, np.eye(3)[[0, 0, 1, 1, 2]], 0.2)
    assert exact.exact
    for Y in (np.eye(3)[[0, 0, 1, 1, 2]], np.random.default_rng(3).standard_normal((5, 3))):
        found = soft_thresholded_svd(patches, Y, 0.2)
        assert found.network.objective(series, Y, beta=0.2) == pytest.approx(found.objective, rel=1e-9)
        np.testing.assert_allclose(found.network(series), found.fitted, atol=1e-12)
        run = zg.train(architecture, series, Y, beta=0.2, prove=False, tol=1e-6).certificate.objective
        assert found.value <= run * (1.0 + 1e-12)
        if found.exact:
            assert run == pytest.approx(found.value, rel=1e-6)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "X of four axes": ({"X": np.ones((2, 2, 2, 2))}, "shape (n, d)"),
    "patches that are not orthonormal": ({"X": np.ones((6, 2, 2))}, "multiple of the identity"),
    "patches of a linear network": ({"X": np.ones((6, 2, 2)), "activation": "linear"}, "shape (n, d)"),
    "X a vector": ({"X": np.ones(3)}, "shape (n, d)"),
    "X with NaN": ({"X": [[np.nan, 1.0]] * 6}, "finite numbers"),
    "X of text": ({"X": [["a"]] * 6}, "real numbers"),
    "X too tall": ({"X": whitened(3, 6).T}, "6 rows in 3 dimensions"),
    "X of low rank": ({"X": np.ones((6, 8))}, "of full rank"),
    "X with a zero row": ({"X": np.vstack([whitened(5, 8), np.zeros(8)])}, "row 5 of length 0"),
    "X zero, linear": ({"X": np.zeros((6, 8)), "activation": "linear"}, "orthonormal rows"),
    "X generic, linear": (
        {"X": np.random.default_rng(0).random((6, 4)), "activation": "linear"},
        "orthonormal columns",
    ),
    "Y too short": ({"Y": np.ones(5)}, "shape (6, C)"),
    "Y of three axes": ({"Y": np.ones((6, 2, 2))}, "shape (6, C)"),
    "Y with infinity": ({"Y": [np.inf] * 6}, "finite numbers"),
    "beta zero": ({"beta": 0.0}, "> 0"),
    "beta negative": ({"beta": -1.0}, "> 0"),
    "beta NaN": ({"beta": np.nan}, "> 0"),
    "beta text": ({"beta": "1"}, "> 0"),
    "activation": ({"activation": "tanh"}, "'relu'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    changes, text = BAD[name]
    options = {"X": whitened(6, 8), "Y": LABELS, "beta": 0.6, "activation": "relu"} | changes
    with pytest.raises(InputError) as caught:
        soft_thresholded_svd(options["X"], options["Y"], options["beta"], activation=options["activation"])
    assert text in str(caught.value)
