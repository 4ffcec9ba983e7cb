r"""The best output weights of given neurons for C outputs: a group lasso whose groups are matrices.

    minimise over W_j in R^{a x C} and b in R^C     L( sum_j Phi_j W_j + 1 b' ) + beta sum_j ||W_j||

Every norm is the least t of the cone ||W|| <= t; with its logarithmic barrier and t eliminated it becomes

    psi(W) = min_t  beta t - mu log(t^2 - ||W||^2),     gradient beta^2 W / (mu + q),  q = sqrt(mu^2 + beta^2 ||W||^2),

whose minimiser is dual feasible and off the optimum by 2 mu for each group. Newton's matrix for a loss with curvature
h_s I in every sample is A x I_C minus one rank for each group, A = Phi' diag(h) Phi + diag(beta^2 / (mu + q)): it is
inverted in the size of A alone, whatever C is. That is exact for the squared loss, and preconditions conjugate
gradients for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lu_factor, lu_solve

from zerogap.losses import Loss
from zerogap.solvers.iterate import Iterate

Array = NDArray[np.float64]

SHRINK = 0.15
"""Factor of mu from one level to the next."""

CENTRED = 0.05
"""Newton's decrement, in units of mu per group, that ends a level."""

NEWTON = 12
"""Steps in a level, at most."""

LEVELS = 40
"""Levels, at most."""

CONJUGATE = 60
"""Steps of conjugate gradients for one Newton step, at most."""

FORCING = 0.02
"""Relative residual at which they end."""


def vector_lasso(
    values: Array, loss: Loss, beta: float, *, offset: bool, tol: float, start: Array | None = None
) -> Iterator[Iterate]:
    """Iterates for neurons with features (n, a, m), one for each Newton step, up to a relative gap of `tol`.

    Parameters
    ----------
    values : (n, a, m) float64
    loss : Loss
        Smooth, of C outputs.
    beta : float
    offset : bool
        Whether there is a constant b.
    tol : float
    start : (m, a, C) float64, optional

    Yields
    ------
    Iterate
        With blocks (1, m, a, C), offset (C,) and residual (n, C).
    """
    problem = _Problem(values, loss, beta, offset)
    weights = problem.start(start)
    found = problem.judged(weights, 0.0)
    if start is not None:
        # Saturated samples leave no curvature to come back from.
        plain = problem.judged(problem.start(None), 0.0)
        if plain.primal < found.primal:
            weights, found = problem.start(None), plain
    passes, level = 1.0, max(found.primal - found.dual, 1e-3 * abs(found.primal)) / (2.0 * problem.groups)
    yield found
    for _ in range(LEVELS):
        level *= SHRINK
        if not level > 1e-17 * abs(found.primal) / problem.groups:
            return
        for _ in range(NEWTON):
            try:
                moved, decrement = problem.step(weights, level)
            except LinAlgError:
                return
            weights, passes = moved, passes + 3.0
            found = problem.judged(weights, passes)
            yield found
            if found.gap <= tol:
                return
            if decrement <= CENTRED * level * problem.groups:
                break


@dataclass(frozen=True, eq=False)
class _Point:
    """The barrier function at some weights, and what its derivatives need."""

    value: float
    outputs: Array
    root: Array  # q of every group, (m,)


class _Problem:
    """Weights are (m a + 1, C), row by row: groups of a rows, and last the constant, if there is one."""

    def __init__(self, values: Array, loss: Loss, beta: float, offset: bool) -> None:
        n, self._slots, self.groups = values.shape
        maps = values.transpose(0, 2, 1).reshape(n, -1)
        self._maps = np.concatenate([maps, np.ones((n, 1))], axis=1) if offset else np.ascontiguousarray(maps)
        self._grouped, self._offset = maps.shape[1], offset
        self._loss, self._beta, self._outputs = loss, beta, loss.targets.shape[1]
        self._gram = self._maps.T @ (loss.weights[:, None] * self._maps) if loss.quadratic else None

    def start(self, given: Array | None) -> Array:
        weights = np.zeros((self._maps.shape[1], self._outputs))
        if self._offset:
            weights[-1] = self._loss.best_constant()
        if given is not None:
            weights[: self._grouped] = given.reshape(self._grouped, self._outputs)
        return weights

    def judged(self, weights: Array, passes: float) -> Iterate:
        """The iterate of these weights, with the dual value of its own scaled residual."""
        outputs = self._maps @ weights
        norms, residual = self._norms(weights), -self._loss.gradient(outputs)
        prices = self._norms(self._maps.T @ residual)
        largest = self._beta / max(float(prices.max(initial=0.0)), 1e-300)
        scale = self._loss.best_scale(residual, largest)
        scale = scale if np.isfinite(scale) else 1.0
        primal = self._loss.value(outputs) + self._beta * float(norms.sum())
        # A residual that a constant has not balanced belongs to another problem by so much.
        lost = float(np.abs(weights[-1] @ residual.sum(axis=0))) if self._offset else 0.0
        dual = self._loss.dual_value(self._loss.feasible(scale * residual)) - lost
        blocks = weights[: self._grouped].reshape(1, self.groups, self._slots, self._outputs)
        constant = weights[-1] if self._offset else np.zeros(self._outputs)
        return Iterate(blocks.copy(), constant.copy(), residual, None, primal, dual, passes)

    def step(self, weights: Array, mu: float) -> tuple[Array, float]:
        """One damped Newton step, and the decrement that it promised."""
        point = self._at(weights, mu)
        kappa = self._beta**2 / (mu + point.root)
        gradient = self._maps.T @ self._loss.gradient(point.outputs)
        gradient[: self._grouped] += np.repeat(kappa, self._slots)[:, None] * weights[: self._grouped]
        direction = self._newton(weights, point, mu, kappa, -gradient)
        slope = float(np.sum(gradient * direction))
        length = 1.0
        while length > 1e-10:
            moved = weights + length * direction
            value = self._at(moved, mu).value
            if value <= point.value + 0.1 * length * slope + 1e-15 * abs(point.value):
                return moved, -slope
            length *= 0.5
        return weights, 0.0

    def _at(self, weights: Array, mu: float) -> _Point:
        outputs, norms = self._maps @ weights, self._norms(weights)
        root = np.sqrt(mu * mu + (self._beta * norms) ** 2)
        # t = (mu + q) / beta and t^2 - ||W||^2 = 2 mu t / beta.
        height = (mu + root) / self._beta
        barrier = self._beta * height - mu * np.log(2.0 * mu * height / self._beta)
        return _Point(self._loss.value(outputs) + float(barrier.sum()), outputs, root)

    def _norms(self, weights: Array) -> Array:
        return np.linalg.norm(weights[: self._grouped].reshape(self.groups, -1), axis=1)

    def _newton(self, weights: Array, point: _Point, mu: float, kappa: Array, right: Array) -> Array:
        """Solve the Newton system; by conjugate gradients unless the loss is quadratic."""
        solver = _Structured(self, weights, point, mu, kappa)
        if self._gram is not None:
            return solver.solve(right)
        x, residual = np.zeros_like(right), right.copy()
        z = solver.solve(residual)
        direction, rho = z, float(np.sum(residual * z))
        first = rho
        for _ in range(CONJUGATE):
            curved = self._loss.curved(point.outputs, self._maps @ direction)
            image = self._maps.T @ curved + solver.norms(direction)
            length = rho / max(float(np.sum(direction * image)), 1e-300)
            x += length * direction
            residual -= length * image
            z = solver.solve(residual)
            following = float(np.sum(residual * z))
            if not following > FORCING**2 * first:
                break
            direction, rho = z + (following / rho) * direction, following
        return x


class _Structured:
    """A x I_C - sum_j c_j vec(W_j) vec(W_j)', with one factor of A and one of a matrix of the number of groups."""

    def __init__(self, problem: _Problem, weights: Array, point: _Point, mu: float, kappa: Array) -> None:
        self._grouped, self._slots = problem._grouped, problem._slots
        self._weights = weights[: self._grouped]
        self._kappa = np.repeat(kappa, self._slots)[:, None]
        maps, size = problem._maps, problem._maps.shape[1]
        if problem._gram is not None:
            matrix = problem._gram.copy()
        else:
            curvature = problem._loss.curvature(point.outputs).mean(axis=1)
            matrix = maps.T @ (curvature[:, None] * maps)
        diagonal = np.arange(size)
        matrix[diagonal[: self._grouped], diagonal[: self._grouped]] += self._kappa[:, 0]
        # A constant that no curvature holds, or neurons that are equal.
        matrix[diagonal, diagonal] *= 1.0 + 1e-14
        self._factor = cho_factor(matrix, lower=True, check_finite=False)
        # c_j = kappa_j beta^2 / (q_j (q_j + mu)): what psi curves less along W_j than across.
        self._less = kappa * problem._beta**2 / (point.root * (point.root + mu))
        inverse = cho_solve(self._factor, np.eye(size)[:, : self._grouped], check_finite=False)[: self._grouped]
        products = inverse * (self._weights @ self._weights.T)
        groups = problem.groups
        inner = products.reshape(groups, self._slots, groups, self._slots).sum(axis=(1, 3))
        root = np.sqrt(self._less)
        self._inner = lu_factor(np.eye(groups) - root[:, None] * inner * root, check_finite=False)
        self._root = root

    def _along(self, columns: Array) -> Array:
        """<W_j, X_j> of every group."""
        products = self._weights * columns[: self._grouped]
        return np.asarray(products.reshape(self._root.size, -1).sum(axis=1))

    def _spread(self, shares: Array) -> Array:
        """sum_j s_j W_j as weights, without that of the constant."""
        return np.repeat(shares, self._slots)[:, None] * self._weights

    def norms(self, columns: Array) -> Array:
        """The Hessian of the barrier times some weights."""
        image = np.zeros_like(columns)
        image[: self._grouped] = self._kappa * columns[: self._grouped]
        image[: self._grouped] -= self._spread(self._less * self._along(columns))
        return image

    def solve(self, right: Array) -> Array:
        first = cho_solve(self._factor, right, check_finite=False)
        shares = self._root * lu_solve(self._inner, self._root * self._along(first), check_finite=False)
        correction = np.zeros_like(right)
        correction[: self._grouped] = self._spread(shares)
        return np.asarray(first + cho_solve(self._factor, correction, check_finite=False))
