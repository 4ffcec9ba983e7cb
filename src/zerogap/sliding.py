r"""Neurons that slide across walls: Newton's method on the convex gauge, with kinks smoothed less and less.

    minimise over v_j   L( sum_j sigma_j phi(v_j) ) + beta sum_j gauge(v_j),      sigma_j = +-1,

is the objective of balanced neurons v_j = u_j |w_j| (docs/theory.md, "Gauge"). It is convex but for the kinks
of phi. A program over listed cells cannot move a neuron into the next cell, and gradient steps jam at kinks, where
most neurons of an optimum sit. Here each (m . v)_+ becomes a parabola over a width eps ||m|| gauge(v), gauge(v)
becomes sqrt(gauge(v)^2 + delta^2), and eps and delta shrink together. Positive curvature is kept in full:
the loss through the Jacobian (Gauss and Newton), the gauge, and the concave side of the price, the ridges on
which neurons come to rest.

What is found names good cells, and proves nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

from zerogap import smoothed
from zerogap.question import Question

Array = NDArray[np.float64]

WIDTHS: Array = 0.3 * 0.5 ** np.arange(8.0)
"""Widths eps of the kinks, one level after the other."""

STEPS = 8
"""Newton steps in a level, at most."""

SETTLED = 1e-3
"""A level ends when a step promises less than this share of the objective."""

DAMPING = 1e-2
"""Added curvature, in units of that of the gauge."""

MARGIN = 10.0
"""Width of the kink of the hinge loss, in units of eps."""

GONE = 0.1
"""Neurons with less than this share of delta leave."""


class Sliding:
    """Newton's method for one question.

    Parameters
    ----------
    question : Question
    blocks : (m, p) float64
        u |w| of the neurons to start from.
    signs : (m,) float64
        Of their output weights.
    offset : float
    """

    def __init__(self, question: Question, blocks: Array, signs: Array, offset: float) -> None:
        self._question, self._rows = question, question.rows.flat
        self._lengths = np.linalg.norm(self._rows, axis=1)
        gauge = question.architecture.gauge(question.rows.dimension)
        self._penalised = gauge.penalised.astype(np.float64)
        self.blocks, self.signs, self.offset = blocks, signs, offset
        self._mass = float(np.mean(gauge.value(blocks)))
        self._damping = DAMPING

    @classmethod
    def scattered(cls, question: Question, directions: Array, rng: np.random.Generator) -> Sliding:
        """Start from neurons of equal gauge and random signs, whose outputs are of the size of the targets."""
        rows, gauge = question.rows, question.architecture.gauge(question.rows.dimension)
        unit = directions / gauge.value(directions)[:, None]
        features = np.maximum(rows.preactivations(unit), 0.0).sum(axis=1) * rows.scale
        wanted = np.sqrt(np.mean((question.loss.targets - question.constant) ** 2))
        mass = wanted / max(np.sqrt(np.mean(features**2) * unit.shape[0]), 1e-300)
        return cls(question, mass * unit, rng.choice([-1.0, 1.0], unit.shape[0]), question.constant)

    def run(self, widths: Array = WIDTHS) -> None:
        """Follow the minimum through the levels; every step lowers the objective of its level."""
        for width in widths:
            delta = float(width) * self._mass
            for _ in range(STEPS):
                if not self._step(float(width), delta):
                    break
            kept = np.linalg.norm(self.blocks * self._penalised, axis=1) > GONE * delta
            self.blocks, self.signs = self.blocks[kept], self.signs[kept]
            if not self.signs.size:
                return

    def _loss(self, outputs: Array, width: float) -> tuple[float, Array, Array]:
        """Value, residual and curvature; the kink of the hinge loss is smoothed like the others."""
        loss = self._question.loss
        if loss.smooth:
            return loss.value(outputs), -loss.gradient(outputs), loss.curvature(outputs)
        distance, width = 1.0 - loss.targets * outputs, MARGIN * width
        share = np.clip(0.5 + 0.5 * distance / width, 0.0, 1.0)
        value = float(loss.weights @ np.where(share < 1.0, share * share * width, distance))
        inside = (share > 0.0) & (share < 1.0)
        return value, loss.weights * loss.targets * share, np.where(inside, 0.5 * loss.weights / width, 0.0)

    def _evaluate(self, blocks: Array, offset: float, width: float, delta: float) -> tuple[float, Array, Array]:
        """Objective of the level, outputs (n,), smoothed gauges (m,)."""
        rows = self._question.rows
        sizes = np.sqrt(np.sum((blocks * self._penalised) ** 2, axis=1) + delta * delta)
        columns = np.ascontiguousarray(blocks.T)
        found = smoothed.features(self._rows, width * self._lengths, rows.samples, columns, sizes)
        outputs = found @ self.signs * rows.scale + offset
        value = self._loss(outputs, width)[0] + self._question.beta * float(sizes.sum())
        return value, outputs, sizes

    def _step(self, width: float, delta: float) -> bool:
        """One damped step; False when it promises little, or nothing is gained."""
        question, rows = self._question, self._question.rows
        beta, penalised, p = question.beta, self._penalised, self.blocks.shape[1]
        value, outputs, sizes = self._evaluate(self.blocks, self.offset, width, delta)
        _, residual, curvature = self._loss(outputs, width)
        columns, reaches = np.ascontiguousarray(self.blocks.T), width * self._lengths
        jacobian, widening, ridges = smoothed.derivatives(
            self._rows, reaches, rows.samples, columns, sizes, residual, self.signs
        )
        # The width grows with the gauge.
        scaled = penalised * self.blocks / sizes[:, None]
        jacobian += widening[:, :, None] * scaled[:, None, :]
        jacobian *= (rows.scale * self.signs)[:, None, None]
        gradient = beta * scaled - residual @ jacobian
        # Curvature of the blocks: ridges, gauge, damping.
        blocks = rows.scale * ridges - beta * (scaled[:, :, None] * scaled[:, None, :] / sizes[:, None, None])
        diagonal = np.arange(p)
        blocks[:, diagonal, diagonal] += beta * (penalised + self._damping) / sizes[:, None]
        try:
            roots = np.linalg.inv(np.linalg.cholesky(blocks))  # R' R is the inverse
            change, shift = self._solve(
                np.matmul(jacobian, roots.transpose(0, 2, 1)), roots, gradient, residual, curvature
            )
        except LinAlgError:
            return False
        promised = -float(np.sum(change * gradient)) + shift * float(residual.sum())
        length = 1.0
        for _ in range(6):
            trial, offset = self.blocks + length * change, self.offset + length * shift
            found = self._evaluate(trial, offset, width, delta)[0]
            if found <= value - 1e-4 * length * promised:
                self.blocks, self.offset = trial, offset
                self._damping = max(DAMPING, 0.3 * self._damping) if length == 1.0 else self._damping
                return promised > SETTLED * value
            length *= 0.5
        self._damping *= 30.0
        return self._damping < 1e6

    def _solve(
        self, jacobian: Array, roots: Array, gradient: Array, residual: Array, curvature: Array
    ) -> tuple[Array, float]:
        """-(B + J'WJ)^-1 gradient, with J R' (m, n, p) given; in sample space or in weight space."""
        m, n, p = jacobian.shape
        flat = jacobian.transpose(1, 0, 2).reshape(n, m * p)
        root = np.sqrt(curvature)
        flat = flat * root[:, None]
        right = np.einsum("jqp,jp->jq", roots, gradient).ravel()
        free = self._question.architecture.offset
        if free:
            # The constant as one more weight, almost without curvature of its own.
            unit = 1.0 / np.sqrt(1e-6 * max(float(curvature.sum()), 1e-300))
            flat = np.column_stack([flat, unit * root])
            right = np.append(right, -unit * float(residual.sum()))
        if n <= flat.shape[1]:
            system = dsyrk(1.0, flat.T, trans=1, lower=1)
            system[np.arange(n), np.arange(n)] += 1.0
            solution = right - flat.T @ cho_solve(cho_factor(system, lower=True), flat @ right)
        else:
            system = dsyrk(1.0, flat, trans=1, lower=1)
            system[np.arange(right.size), np.arange(right.size)] += 1.0
            solution = cho_solve(cho_factor(system, lower=True), right)
        shift = -unit * float(solution[-1]) if free else 0.0
        blocks = solution[: m * p].reshape(m, p)
        return -np.einsum("jqp,jq->jp", roots, blocks), shift
