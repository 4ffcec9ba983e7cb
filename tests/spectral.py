"""Training of the architectures with a matrix of weights, and their programs once more, solved by CVXPY."""

from __future__ import annotations

from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

import reference
import zerogap as zg
from zerogap.question import Question
from zerogap.training.rank_one import train_rank_one
from zerogap.training.spectral import train_gated, train_spectral

cp = import_module("cvxpy")

Array = NDArray[np.float64]

X5 = np.array(
    [
        [0.5, -1.2, 0.3, 0.8],
        [-0.7, 0.4, 1.1, -0.2],
        [1.3, 0.6, -0.9, 0.1],
        [-0.4, -0.8, 0.2, 1.5],
        [0.9, -0.3, 0.7, -1.1],
    ]
)
Y5 = np.array([1.0, -0.5, 0.8, -1.2, 0.3])


def train(architecture: Any, X: Array, y: Array, *, loss: str = "squared", beta: float = 0.1, **options: Any) -> Any:
    """A Result, by the training that serves the architecture."""
    arrangements = options.pop("arrangements", "enumerate")
    weights = options.pop("sample_weight", None)
    question = Question.of(architecture, X, y, loss=loss, beta=beta, sample_weight=weights)
    settings = {"tol": 1e-8, "limit": np.inf, "rng": np.random.default_rng(0), **options}
    with np.errstate(all="ignore"):
        if isinstance(architecture, zg.LinearCNN):
            return zg.Result(*train_spectral(question, **settings))
        if architecture.gated:
            return zg.Result(*train_gated(question, arrangements, **settings))
        return zg.Result(*train_rank_one(question, arrangements, **settings))


def windows(architecture: Any, X: Array, count: int) -> list[list[int]]:
    """The positions of every window, from the definition; one spatial axis."""
    if architecture.window is not None:
        size = architecture.window
        return [list(range(size * q, size * (q + 1))) for q in range(count // size)]
    return [[k] for k in range(count)] if architecture.pooling == "none" else [list(range(count))]


def maps(architecture: Any, X: Array, gates: Array | None = None) -> Array:
    """M with f_s = sum_iq M_isq . z_iq, shape (P, n, a, p)."""
    rows = reference.patches(X, architecture)
    n, count, p = rows.shape
    places = windows(architecture, X, count)
    if architecture.readout == "sum":
        places = [[k for place in places for k in place]]
    opened = np.ones((1, n, count)) if gates is None else 1.0 * (np.einsum("skd,id->isk", rows, gates) >= 0.0)
    result = np.zeros((opened.shape[0], n, len(places), p))
    size = len(windows(architecture, X, count)[0])
    scale = 1.0 / size if architecture.pooling == "average" else 1.0
    for i, s, q in product(range(opened.shape[0]), range(n), range(len(places))):
        for k in places[q]:
            result[i, s, q] += scale * opened[i, s, k] * rows[s, k]
    return result


def optimum(
    architecture: Any, X: Array, y: Array, *, loss: str, beta: float, weights: Any = None, gates: Any = None
) -> float:
    """min L(sum_i <M_i, Z_i> + b) + beta sum_i ||Z_i||_*, with a free b for a free bias."""
    M = maps(architecture, X, gates)
    count, n, a, p = M.shape
    kept = p - 1 if architecture.bias == "free" else p
    c = np.ones(n) if weights is None else weights
    f, penalty = cp.Variable() if architecture.bias == "free" else 0.0, 0.0
    for i in range(count):
        Z = cp.Variable((a, kept))
        f = f + M[i, :, :, :kept].reshape(n, -1) @ cp.vec(Z, order="C")
        penalty += beta * cp.normNuc(Z)
    terms = {
        "squared": lambda: 0.5 * cp.sum(cp.multiply(c, cp.square(f - y))),
        "logistic": lambda: cp.sum(cp.multiply(c, cp.logistic(cp.multiply(-y, f)))),
        "hinge": lambda: cp.sum(cp.multiply(c, cp.pos(1.0 - cp.multiply(y, f)))),
    }
    return float(cp.Problem(cp.Minimize(terms[loss]() + penalty)).solve(solver="CLARABEL", **reference.TOLERANCES))


def objective(network: Any, X: Array, y: Array, *, loss: str, beta: float, weights: Any = None) -> float:
    """The objective of a network, neuron by neuron and patch by patch."""
    architecture = network.architecture
    rows = reference.patches(X, architecture)
    n, count, _ = rows.shape
    places = windows(architecture, X, count)
    scale = 1.0 / len(places[0]) if architecture.pooling == "average" else 1.0
    f, decay = np.full(n, network.offset), 0.0
    for j, u in enumerate(network.first):
        w = np.atleast_1d(network.second[j])
        for s, (q, place) in product(range(n), enumerate(places)):
            for k in place:
                value = float(rows[s, k] @ u)
                if network.gates is not None:
                    value *= rows[s, k] @ network.gates[j] >= 0.0
                elif isinstance(architecture, zg.CNN):
                    value = max(value, 0.0)
                f[s] += scale * value * w[0 if architecture.readout == "sum" else q]
        decay += 0.5 * (sum(entry**2 for entry in (u[:-1] if architecture.bias == "free" else u)) + float(w @ w))
    c = np.ones(n) if weights is None else weights
    each = {"squared": 0.5 * (f - y) ** 2, "logistic": np.logaddexp(0.0, -y * f), "hinge": np.maximum(0.0, 1.0 - y * f)}
    return float(c @ each[loss]) + beta * decay


def relaxed_optimum(architecture: Any, X: Array, y: Array, *, loss: str, beta: float) -> float:
    """min L(sum_i <M_i, Z_i>) + beta/2 sum_i (tr U_i + tr V_i) over [[U, Z], [Z', V]] >= 0 and K_i U_i K_i' >= 0.

    With U_i = sum_l u_l u_l' and V_i = sum_l w_l w_l' a network is a feasible point. For filters of two entries every
    such U_i is of that form, because it is completely positive, and the program is exact.
    """
    rows = reference.patches(X, architecture)
    n, _, p = rows.shape
    flat = rows.reshape(-1, p)
    places = windows(architecture, X, rows.shape[1])
    scale = 1.0 / len(places[0]) if architecture.pooling == "average" else 1.0
    f, penalty, constraints = 0.0, 0.0, []
    for signs in reference.list_cells(flat):
        M = np.zeros((n, len(places), p))
        for s, (q, place) in product(range(n), enumerate(places)):
            for k in place:
                M[s, q] += scale * (signs[s * rows.shape[1] + k] > 0) * rows[s, k]
        whole = cp.Variable((p + len(places),) * 2, PSD=True)
        K = signs[:, None] * flat
        constraints.append(K @ whole[:p, :p] @ K.T >= 0.0)
        f = f + M.reshape(n, -1) @ cp.vec(whole[p:, :p], order="C")
        penalty += 0.5 * beta * cp.trace(whole)
    terms = {
        "squared": lambda: 0.5 * cp.sum_squares(f - y),
        "logistic": lambda: cp.sum(cp.logistic(cp.multiply(-y, f))),
        "hinge": lambda: cp.sum(cp.pos(1.0 - cp.multiply(y, f))),
    }
    problem = cp.Problem(cp.Minimize(terms[loss]() + penalty), constraints)
    return float(problem.solve(solver="CLARABEL", max_step_fraction=0.9, **reference.TOLERANCES))


def best_of_many(architecture: Any, X: Array, y: Array, *, beta: float, runs: int, width: int, seed: int) -> float:
    """The best objective of L-BFGS runs on a ReLU network of its own, without bias, squared loss, no pooling."""
    rows = reference.patches(X, architecture)
    _, count, p = rows.shape
    rng, best = np.random.default_rng(seed), np.inf

    def evaluate(flat: Array) -> tuple[float, Array]:
        u, w = flat[: width * p].reshape(width, p), flat[width * p :].reshape(width, count)
        inner = np.einsum("skd,jd->skj", rows, u)
        active = np.maximum(inner, 0.0)
        error = np.einsum("skj,jk->s", active, w) - y
        value = 0.5 * float(error @ error) + 0.5 * beta * float(flat @ flat)
        du = np.einsum("s,skj,jk,skd->jd", error, 1.0 * (inner > 0.0), w, rows, optimize=True) + beta * u
        dw = np.einsum("s,skj->jk", error, active) + beta * w
        return value, np.concatenate([du.ravel(), dw.ravel()])

    for _ in range(runs):
        point = 0.7 * rng.standard_normal(width * (p + count))
        for _ in range(3):
            answer = minimize(evaluate, point, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "ftol": 1e-15})
            best = min(best, float(answer.fun))
            point = answer.x + 1e-3 * rng.standard_normal(point.size)
    return best
