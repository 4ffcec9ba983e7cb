"""The convex program, written once more from the mathematics and solved by CVXPY.

Only the options of an architecture are read from the package. Patches are cut out by loops, and cells are
listed by linear programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

# Untyped, and partly created at run time.
cp = import_module("cvxpy")

Array = NDArray[np.float64]

TOLERANCES = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), 1e-8)


def patches(X: Array, architecture: Any) -> Array:
    """The rows (n, K, p) of inputs X, with a last one where there is a bias."""
    if not hasattr(architecture, "kernel_size"):
        rows = [[list(sample)] for sample in X]
    else:
        rows = [list(_patches_of(sample, architecture, X.ndim)) for sample in X]
    ones = [] if architecture.bias is False else [1.0]
    return np.array([[[*row, *ones] for row in sample] for sample in rows])


def _patches_of(sample: Array, architecture: Any, ndim: int) -> Iterator[list[float]]:
    """The patches of one input, entry by entry; outside the input everything is zero."""
    one_axis = ndim == 2 or (isinstance(architecture.kernel_size, tuple) and len(architecture.kernel_size) == 1)
    axes = 1 if one_axis else 2
    image = sample if sample.ndim == axes + 1 else sample[..., None]

    def each(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, tuple) else (value,) * axes

    kernel, stride = each(architecture.kernel_size), each(architecture.stride)
    padding, dilation = each(architecture.padding), each(architecture.dilation)
    starts = []
    for axis in range(axes):
        last = image.shape[axis] + padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1
        starts.append(range(-padding[axis], last + 1, stride[axis]))
    for corner in product(*starts):
        patch = []
        for entry in product(*(range(k) for k in kernel)):
            at = tuple(c + d * e for c, d, e in zip(corner, dilation, entry, strict=True))
            inside = all(0 <= a < size for a, size in zip(at, image.shape, strict=False))
            for channel in range(image.shape[-1]):
                patch.append(float(image[(*at, channel)]) if inside else 0.0)
        yield patch


def readout(architecture: Any, positions: int) -> float:
    """The weight of every patch in the output."""
    return 1.0 / positions if getattr(architecture, "pooling", "sum") == "average" else 1.0


def list_cells(rows: Array) -> NDArray[np.int64]:
    """Signs (P, N) in {-1, 0, 1} of all full-dimensional cells; 0 for zero rows.

    Rows are inserted one by one, and a cell is split if both sides keep a point of positive margin. The
    point that a cell had before lies on one side already. Cells come in opposite pairs.
    """
    used = np.flatnonzero(np.any(rows != 0.0, axis=1))
    units = rows[used] / np.linalg.norm(rows[used], axis=1, keepdims=True)
    cells = [(np.ones(1), units[0])]
    for count in range(2, len(used) + 1):
        found = []
        for signs, point in cells:
            for sign in (1.0, -1.0):
                longer = np.append(signs, sign)
                if sign * (units[count - 1] @ point) > 1e-7:
                    found.append((longer, point))
                    continue
                margin, inside = _inside(longer[:, None] * units[:count])
                if margin > 1e-7:
                    found.append((longer, inside))
        cells = found
    half = np.zeros((len(cells), len(rows)), dtype=int)
    half[:, used] = [signs for signs, _ in cells]
    return np.concatenate([half, -half])


def _inside(signed: Array) -> tuple[float, Array]:
    """max t with signed . u >= t and u in the unit box, and that u."""
    count, p = signed.shape
    answer = linprog(
        np.append(np.zeros(p), -1.0),
        A_ub=np.hstack([-signed, np.ones((count, 1))]),
        b_ub=np.zeros(count),
        bounds=[(-1.0, 1.0)] * p + [(None, 1.0)],
    )
    return float(answer.x[-1]), answer.x[:-1]


def optimum(
    architecture: Any, X: Array, y: Array, *, loss: str, beta: float, weights: Any = None, gates: Any = None
) -> float:
    """The optimal value over all cells, or over the cells of the given gates."""
    M = patches(X, architecture)
    n, K, p = M.shape
    flat = M.reshape(-1, p)
    signs = list_cells(flat) if gates is None else np.where(np.asarray(gates) @ flat.T >= 0.0, 1, -1)
    # A row of zeros is neither active nor a constraint, and equal rows are one constraint.
    signs = np.where(np.any(flat != 0.0, axis=1), signs, 0)
    distinct, first, repeats = np.unique(flat, axis=0, return_index=True, return_counts=True)
    walls = np.any(distinct != 0.0, axis=1)
    distinct, first, repeats = distinct[walls], first[walls], repeats[walls]
    P = len(signs)
    T = np.zeros((n, P, p))
    for s, k in product(range(n), range(K)):
        T[s] += readout(architecture, K) * (signs[:, s * K + k] > 0)[:, None] * M[s, k]
    kept = range(p - 1 if architecture.bias == "free" else p)
    c = np.ones(n) if weights is None else weights

    plain = architecture.gated and architecture.cone_penalty == 0.0
    blocks = [(1.0, cp.Variable((P, p)))] + ([] if plain else [(-1.0, cp.Variable((P, p)))])
    f, penalty, constraints = cp.Variable() if architecture.intercept else 0.0, 0.0, []
    for sign, V in blocks:
        f = f + sign * T.reshape(n, P * p) @ cp.reshape(V, (P * p,), order="C")
        penalty += beta * cp.sum(cp.norm(V[:, kept], 2, axis=1))
        if architecture.bias == "free":
            # The optimal set is unbounded along opposite free biases, which the solver does not like.
            constraints.append(cp.abs(V[:, -1]) <= 100.0)
        slack = cp.multiply(signs[:, first], V @ distinct.T)
        if not architecture.gated:
            constraints.append(slack >= 0.0)
        elif not plain:
            penalty += architecture.cone_penalty * cp.sum(cp.pos(-slack) @ repeats)
    terms = {
        "squared": lambda: 0.5 * cp.sum(cp.multiply(c, cp.square(f - y))),
        "logistic": lambda: cp.sum(cp.multiply(c, cp.logistic(cp.multiply(-y, f)))),
        "hinge": lambda: cp.sum(cp.multiply(c, cp.pos(1.0 - cp.multiply(y, f)))),
    }
    problem = cp.Problem(cp.Minimize(terms[loss]() + penalty), constraints)
    return float(problem.solve(solver="CLARABEL", **TOLERANCES))


def objective(network: Any, X: Array, y: Array, *, loss: str, beta: float, weights: Any = None) -> float:
    """The objective of a network, neuron by neuron and patch by patch."""
    architecture = network.architecture
    M = patches(X, architecture)
    c = np.ones(len(y)) if weights is None else weights
    f = np.full(len(y), network.offset)
    decay = 0.0
    for j, (u, w) in enumerate(zip(network.first, network.second, strict=True)):
        for s, k in product(range(M.shape[0]), range(M.shape[1])):
            value = float(M[s, k] @ u)
            active = value > 0.0 if network.gates is None else M[s, k] @ network.gates[j] >= 0.0
            f[s] += readout(architecture, M.shape[1]) * w * value * active
            if network.gates is not None:
                agree = 1.0 if M[s, k] @ network.gates[j] >= 0.0 else -1.0
                decay += architecture.cone_penalty / beta * abs(w) * max(0.0, -agree * value)
        decay += 0.5 * (sum(entry**2 for entry in (u[:-1] if architecture.bias == "free" else u)) + w**2)
    each = {"squared": 0.5 * (f - y) ** 2, "logistic": np.logaddexp(0.0, -y * f), "hinge": np.maximum(0.0, 1.0 - y * f)}
    return float(c @ each[loss]) + beta * decay
