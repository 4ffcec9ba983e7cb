"""Gradient descent on the weights of a network of fixed width.

    minimise over theta_j, w_j (and the offset)   L(f) + beta/2 sum_j (||E theta_j||^2 + ||w_j||^2)

Used as a warm start, whose neurons name good cells, and as a baseline.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap.features import Features
from zerogap.features.base import combined, pulled, spread
from zerogap.question import Question

Array = NDArray[np.float64]


class Descent:
    """Value and gradient of the objective in the flat vector (theta, w, offset).

    Parameters
    ----------
    question : Question
    width : int
        Neurons.
    batch : (b,) int, optional
        Only these samples, each counted n / b times, as in a step of stochastic gradient descent.
    kink : float
        The kink of a loss that has one is rounded over this width of the margin (0: not at all).
    gates : (m, p) float64, optional
        Of gated neurons; they stay as they are.
    offset_decay : float
        Half of it times the squared offset is added.
    """

    def __init__(
        self,
        question: Question,
        width: int,
        batch: NDArray[np.intp] | None = None,
        kink: float = 0.0,
        gates: Array | None = None,
        offset_decay: float = 0.0,
    ) -> None:
        self._question, self._width, self._loss, rows = question, width, question.loss, question.rows
        if batch is not None:
            rows = replace(rows, matrix=rows.matrix[batch])
            weights = self._loss.weights[batch] * (question.rows.samples / batch.size)
            self._loss = replace(self._loss, targets=self._loss.targets[batch], weights=weights)
        self.features: Features = question.architecture.features(rows)
        self.features = self.features if gates is None else self.features.gated(gates)
        self._penalised, self._kink, self._offset_decay = self.features.penalised, kink, offset_decay
        self._shape = width, self.features.outputs, *question.loss.targets.shape[1:]
        self._inner, self._outer = width * self.features.dimension, int(np.prod(self._shape))

    def start(self, rng: np.random.Generator) -> Array:
        """Random neurons with Gaussian output weights, whose outputs are of order one."""
        weights = self.features.random(self._width, rng)
        second = rng.standard_normal(self._shape)
        values, _ = self.features.forward(weights)
        size = 1.0 / np.sqrt(max(float(np.sqrt(np.mean(combined(values, second) ** 2))), 1e-300))
        return self.pack(
            np.where(self.features.scaled, size * weights, weights), size * second, self._question.constant
        )

    def pack(self, weights: Array, second: Array, offset: Any) -> Array:
        """The flat vector of theta (m, q), w (m, a) or (m, a, C), and the offset, a number or (C,)."""
        return np.concatenate([weights.ravel(), second.ravel(), np.atleast_1d(offset)])

    def unpack(self, flat: Array) -> tuple[Array, Array, Any]:
        """theta, w, offset."""
        weights = flat[: self._inner].reshape(self._width, self.features.dimension)
        second = flat[self._inner : self._inner + self._outer].reshape(self._shape)
        offset = flat[self._inner + self._outer :]
        return weights, second, float(offset[0]) if second.ndim == 2 else offset

    def __call__(self, flat: Array, width: float = 0.0) -> tuple[float, Array]:
        """Objective and gradient; `width` rounds the kinks of the features (``Features.forward``)."""
        question = self._question
        weights, second, offset = self.unpack(flat)
        values, back = self.features.forward(weights, width)
        outputs = combined(values, second) + offset
        loss, slope = self._rounded(outputs)
        decay = np.where(self._penalised, weights, 0.0)
        value = loss + 0.5 * question.beta * float(np.sum(decay**2) + np.sum(second**2))
        value += 0.5 * self._offset_decay * float(np.sum(np.square(offset)))
        inner = back(spread(slope, second)) + question.beta * decay
        outer = pulled(slope, values) + question.beta * second
        free = slope.sum(axis=0) if question.architecture.offset else np.zeros(slope.shape[1:])
        free = free + self._offset_decay * offset
        return value, np.concatenate([inner.ravel(), outer.ravel(), np.atleast_1d(free)])

    def _rounded(self, outputs: Array) -> tuple[float, Array]:
        """The loss and its gradient, a parabola around the kink of the hinge loss."""
        loss = self._loss
        if loss.smooth or self._kink == 0.0:
            return loss.value(outputs), loss.gradient(outputs)
        distance = 1.0 - loss.targets * outputs
        share = np.clip(0.5 + 0.5 * distance / self._kink, 0.0, 1.0)
        value = float(loss.weights @ np.where(share < 1.0, share * share * self._kink, distance))
        return value, -loss.weights * loss.targets * share


def lbfgs(problem: Any, start: Array, iterations: int) -> Array:
    """L-BFGS from a point; the flat vector it ends at."""
    options: Any = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 1e-15, "gtol": 1e-10}
    return np.asarray(minimize(problem, start, jac=True, method="L-BFGS-B", options=options).x)


def adam(problem: Any, start: Array, iterations: int, rate: float = 1e-2) -> Array:
    """Adam (Kingma and Ba 2015) with a half-cosine step size from `rate` on; returns the best point met."""
    point, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    best, best_value = point.copy(), np.inf
    for step in range(1, iterations + 1):
        value, gradient = problem(point)
        if value < best_value:
            best, best_value = point.copy(), value
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        size = 0.5 * rate * (1.0 + np.cos(np.pi * step / iterations))
        point = point - size * (first / (1.0 - 0.9**step)) / (np.sqrt(second / (1.0 - 0.999**step)) + 1e-8)
    return best


def stochastic(
    question: Question, width: int, start: Array, epochs: int, rate: float, rng: np.random.Generator
) -> Array:
    """Stochastic gradient descent: ten batches an epoch, momentum 0.9, a half-cosine step size from `rate` on.

    Returns
    -------
    Array
        The best point met at the end of an epoch.
    """
    n = question.rows.samples
    problem = Descent(question, width)
    point, velocity = start.copy(), np.zeros_like(start)
    best, best_value = point.copy(), problem(point)[0]
    for epoch in range(epochs):
        size = 0.5 * rate * (1.0 + np.cos(np.pi * epoch / epochs))
        for batch in np.array_split(rng.permutation(n), min(10, n)):
            velocity = 0.9 * velocity - size * Descent(question, width, batch)(point)[1]
            point = point + velocity
        value = problem(point)[0]
        if not np.isfinite(value):
            break
        if value < best_value:
            best, best_value = point.copy(), value
    return best
