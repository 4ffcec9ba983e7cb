"""Gradient descent on the weights of a network of fixed width.

    minimise over u_j, w_j (and the offset)   L(f) + beta/2 sum_j (||E u_j||^2 + w_j^2)

Used as a warm start, whose neurons name good cells, and as a baseline.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap.question import Question

Array = NDArray[np.float64]


class Descent:
    """Value and gradient of the objective in the flat vector (u, w, offset)."""

    def __init__(self, question: Question, width: int) -> None:
        self._question, self._width = question, width
        self._rows, self._flat = question.rows, question.rows.flat
        self._penalised = question.architecture.gauge(self._rows.dimension).penalised

    def start(self, rng: np.random.Generator) -> Array:
        """Gaussian weights of the usual size for ReLU layers."""
        p, m = self._rows.dimension, self._width
        size = np.sqrt(2.0 / (p * max(float(np.mean(self._flat**2)), 1e-300)))
        readout = 1.0 / (np.sqrt(m) * self._rows.scale * self._rows.matrix.shape[1])
        first, second = size * rng.standard_normal((m, p)), readout * rng.standard_normal(m)
        return np.concatenate([first.ravel(), second, [self._question.constant]])

    def unpack(self, flat: Array) -> tuple[Array, Array, float]:
        """u (m, p), w (m,), offset."""
        p, m = self._rows.dimension, self._width
        return flat[: m * p].reshape(m, p), flat[m * p : m * p + m], float(flat[-1])

    def __call__(self, flat: Array) -> tuple[float, Array]:
        question, rows = self._question, self._rows
        first, second, offset = self.unpack(flat)
        values = np.maximum(self._flat @ first.T, 0.0)  # (n K, m)
        features = values.reshape(rows.samples, -1, self._width).sum(axis=1) * rows.scale
        outputs = features @ second + offset
        slope = question.loss.gradient(outputs)
        decay = np.where(self._penalised, first, 0.0)
        value = question.loss.value(outputs) + 0.5 * question.beta * float(np.sum(decay**2) + second @ second)
        spread = np.repeat(slope * rows.scale, rows.matrix.shape[1])
        back = ((values > 0.0) * spread[:, None]).T @ self._flat
        gradient = np.concatenate(
            [
                (back * second[:, None] + question.beta * decay).ravel(),
                features.T @ slope + question.beta * second,
                [float(slope.sum()) if question.architecture.offset else 0.0],
            ]
        )
        return value, gradient


def lbfgs(problem: Descent, start: Array, iterations: int) -> Array:
    """L-BFGS from a point; the flat vector it ends at."""
    options: Any = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 1e-15, "gtol": 1e-10}
    return np.asarray(minimize(problem, start, jac=True, method="L-BFGS-B", options=options).x)


def adam(problem: Descent, start: Array, iterations: int) -> Array:
    """Adam (Kingma and Ba 2015) with a half-cosine step size; returns the best point met."""
    point, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    best, best_value = point.copy(), np.inf
    for step in range(1, iterations + 1):
        value, gradient = problem(point)
        if value < best_value:
            best, best_value = point.copy(), value
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        rate = 0.5e-2 * (1.0 + np.cos(np.pi * step / iterations))
        point = point - rate * (first / (1.0 - 0.9**step)) / (np.sqrt(second / (1.0 - 0.999**step)) + 1e-8)
    return best
