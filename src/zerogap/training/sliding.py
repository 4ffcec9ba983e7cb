r"""Neurons that slide across walls: quasi-Newton steps on the convex gauge, with kinks smoothed less and less.

    minimise over v_j   L( sum_j sigma_j phi(v_j) ) + beta sum_j gauge(v_j),      sigma_j = +-1,

is the objective of balanced neurons v_j = u_j |w_j| (docs/theory.md, "Gauge"). It is convex but for the kinks
of phi. A program over listed cells cannot move a neuron into the next cell, and gradient steps jam at kinks, where
most neurons of an optimum sit. Here each (m . v)_+ becomes a parabola over a width eps ||m|| gauge(v), gauge(v)
becomes sqrt(gauge(v)^2 + delta^2), and eps and delta shrink together. Once in a level the positive curvature is
factored in full: the loss through the Jacobian (Gauss and Newton), the gauge, and the concave side of the price, the
ridges on which neurons come to rest. L-BFGS learns the rest: what it costs to leave out is the negative curvature of
convex kinks, without which Newton's steps are several times too short.

What is found names good cells, and proves nothing: single precision is enough for the factors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsyrk, ssyrk

from zerogap.architectures import Neurons
from zerogap.network import Network
from zerogap.question import Question
from zerogap.training import smoothed
from zerogap.training.merging import leaders
from zerogap.training.quasi_newton import Point, descend

Array = NDArray[np.float64]

WIDTHS: Array = 0.3 * 0.5 ** np.arange(8.0)
"""Widths eps of the kinks, one level after the other."""

STEPS = 20
"""Steps in a level, at most."""

BEGINNINGS = 3
"""The first level starts so many times over, with fresh curvature: its start is far from anywhere."""

DAMPING = 1.0
"""Added curvature, in units of that of the gauge."""

ROUNDING = 1e-6
"""What single precision may lose of the Gram matrix, in units of its largest entry."""

SKIPPED = 2
"""So many of the widest levels are left out where sliding starts from a network."""

MARGIN = 10.0
"""Width of the kink of the hinge loss, in units of eps."""

LIGHT = 0.01
"""Weight of neurons that join a network, in units of the mean of those that are there."""

GONE = 0.1
"""Neurons with less than this share of delta leave."""


class Sliding:
    """The levels of one question.

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
        self._question = question
        self._gauge = question.architecture.gauge(question.rows.dimension)
        self._planes = np.ascontiguousarray(question.rows.matrix.transpose(1, 2, 0))  # (K, p, n)
        self._lengths = np.linalg.norm(self._planes, axis=1)
        self.blocks, self.signs, self.offset = blocks, signs, offset
        self._mass = float(np.mean(self._gauge.value(blocks)))

    @classmethod
    def scattered(cls, question: Question, directions: Array, rng: np.random.Generator) -> Sliding:
        """Start from neurons of equal gauge and random signs, whose outputs are of the size of the targets at most."""
        rows, gauge = question.rows, question.architecture.gauge(question.rows.dimension)
        unit = directions / gauge.value(directions)[:, None]
        features = np.maximum(rows.preactivations(unit), 0.0).sum(axis=1) * rows.scale
        wanted = np.sqrt(np.mean((question.loss.targets - question.constant) ** 2))
        mass = wanted / max(np.sqrt(np.mean(features**2) * unit.shape[0]), 1e-300)
        return cls(question, mass * unit, rng.choice([-1.0, 1.0], unit.shape[0]), question.constant)

    @classmethod
    def continued(cls, question: Question, network: Network, directions: Array, rng: np.random.Generator) -> Sliding:
        """Start from the neurons of a network and from others, so light that they hardly change its outputs."""
        gauge, given = question.architecture.gauge(question.rows.dimension), network.balanced()
        blocks = given.first * np.abs(given.second)[:, None]
        light = LIGHT * float(np.mean(gauge.value(blocks)))
        fresh = light * directions / gauge.value(directions)[:, None]
        signs = np.concatenate([np.sign(given.second), rng.choice([-1.0, 1.0], fresh.shape[0])])
        return cls(question, np.concatenate([blocks, fresh]), signs, float(given.offset))

    def run(self, widths: Array = WIDTHS) -> Iterator[bool]:
        """Follow the minimum through the levels; after every step, whether it was the last one of its level."""
        for k, width in enumerate(widths):
            beginnings = BEGINNINGS if k == 0 else 1
            for _ in range(beginnings):
                for _ in self._descend(float(width), STEPS // beginnings):
                    yield False
            self._thin(float(width))
            if not self.signs.size:
                return
            yield True

    def objective(self) -> float:
        """Of the neurons as they are, without any smoothing."""
        sizes = self._gauge.value(self.blocks)
        found = smoothed.outputs(self._planes, self._lengths, 0.0, self.blocks, sizes, self.signs)
        outputs = found * self._question.rows.scale + self.offset
        return self._question.loss.value(outputs) + self._question.beta * float(sizes.sum())

    def network(self) -> Network:
        """The neurons as they are."""
        first, second = self._gauge.factor(self.blocks)
        return Network.of(self._question.architecture, Neurons(first, self.signs * second, offset=self.offset))

    def _descend(self, width: float, steps: int) -> Iterator[None]:
        """Steps of L-BFGS from the curvature at the present point; none where that cannot be factored."""
        level = _Level(self._question, self._planes, self._lengths, self.signs, width, width * self._mass)
        x = np.append(self.blocks.ravel(), self.offset)
        start = Point(x, level.value(x), level.gradient(x))
        curvature = _Curvature.of(level)
        if curvature is None:
            return
        for point in descend(level, start, curvature.solve, steps):
            self.blocks, self.offset = point.x[:-1].reshape(self.blocks.shape), float(point.x[-1])
            yield

    def _thin(self, width: float) -> None:
        """Drop neurons without weight, and merge those of one sign that the width of the level cannot tell apart."""
        sizes = self._gauge.value(self.blocks)
        order = np.argsort(-sizes, kind="stable")
        order = order[sizes[order] > GONE * width * self._mass]
        blocks, signs = self.blocks[order], self.signs[order]
        # |m . u - m . u'| <= ||m|| ||u - u'||: below the width of every kink. Those of other signs are two apart.
        leader = leaders(np.column_stack([blocks / sizes[order, None], signs]), width)
        alone = np.flatnonzero(leader == np.arange(leader.size))
        together = np.zeros_like(blocks)
        np.add.at(together, leader, blocks)
        self.blocks, self.signs = together[alone], signs[alone]


def slide(
    question: Question, network: Network | None, directions: Array, rng: np.random.Generator
) -> Iterator[tuple[Sliding, bool]]:
    """Let random neurons of some directions (k, p) slide, along with those of a network if there is one.

    Yields after every step, and whether it was the last one of its level.
    """
    if network is None or not network.width:
        sliding, widths = Sliding.scattered(question, directions, rng), WIDTHS
    else:
        sliding, widths = Sliding.continued(question, network, directions, rng), WIDTHS[SKIPPED:]
    for done in sliding.run(widths):
        yield sliding, done


class _Level:
    """The objective with kinks of one width, in x = (blocks, offset)."""

    def __init__(
        self, question: Question, planes: Array, lengths: Array, signs: Array, width: float, delta: float
    ) -> None:
        self.question, self.planes, self.lengths = question, planes, lengths
        self.signs, self.width, self._delta = signs, width, delta
        self.penalised = question.architecture.gauge(planes.shape[1]).penalised.astype(np.float64)

    def value(self, x: Array) -> float:
        """Objective of the level; outputs and smoothed gauges (m,) are kept for the derivatives."""
        question = self.question
        self.blocks = np.ascontiguousarray(x[:-1].reshape(self.signs.size, -1))
        self.sizes = np.sqrt(np.sum((self.blocks * self.penalised) ** 2, axis=1) + self._delta**2)
        found = smoothed.outputs(self.planes, self.lengths, self.width, self.blocks, self.sizes, self.signs)
        value, self.residual, self.curvature = self._loss(found * question.rows.scale + x[-1])
        return value + question.beta * float(self.sizes.sum())

    def gradient(self, x: Array) -> Array:
        question, scaled = self.question, self.residual * self.question.rows.scale
        along, across = smoothed.pulls(self.planes, self.lengths, self.width, self.blocks, self.sizes, scaled)
        slope = self.penalised * self.blocks / self.sizes[:, None]
        # The width grows with the gauge.
        blocks = question.beta * slope - self.signs[:, None] * (along + across[:, None] * slope)
        return np.append(blocks.ravel(), -self.residual.sum() if question.architecture.offset else 0.0)

    def _loss(self, outputs: Array) -> tuple[float, Array, Array]:
        """Value, residual and curvature; the kink of the hinge loss is smoothed like the others."""
        loss = self.question.loss
        if loss.smooth:
            return loss.value(outputs), -loss.gradient(outputs), loss.curvature(outputs)
        distance, width = 1.0 - loss.targets * outputs, MARGIN * self.width
        share = np.clip(0.5 + 0.5 * distance / width, 0.0, 1.0)
        value = float(loss.weights @ np.where(share < 1.0, share * share * width, distance))
        inside = (share > 0.0) & (share < 1.0)
        return value, loss.weights * loss.targets * share, np.where(inside, 0.5 * loss.weights / width, 0.0)


class _Curvature:
    """Factors of B + J' W J where a level was evaluated last; in sample space or in weight space."""

    @classmethod
    def of(cls, level: _Level) -> _Curvature | None:
        """In single precision if that suffices, None if not even double precision does."""
        for precision in (np.float32, np.float64):
            with contextlib.suppress(LinAlgError), np.errstate(all="ignore"):
                return cls(level, precision)
        return None

    def __init__(self, level: _Level, precision: type[np.float32 | np.float64]) -> None:
        question, (m, p) = level.question, level.blocks.shape
        n, self._free = question.rows.samples, question.architecture.offset
        root = np.sqrt(level.curvature)
        images = np.empty((m * p + self._free, n), dtype=precision)
        self._roots = smoothed.curvatures(
            level.planes,
            level.lengths,
            level.width,
            level.blocks,
            level.sizes,
            level.signs,
            level.residual * question.rows.scale,
            root * question.rows.scale,
            level.penalised,
            question.beta,
            DAMPING,
            images[: m * p].reshape(m, p, n),
        )
        # The constant as one more weight, almost without curvature of its own.
        self._unit = 1.0 / np.sqrt(1e-3 * max(float(level.curvature.sum()), 1e-300))
        if self._free:
            images[-1] = self._unit * root
        self._images, self._samples = images, n <= images.shape[0]
        syrk = ssyrk if precision is np.float32 else dsyrk
        gram = syrk(1.0, images.T, trans=0 if self._samples else 1, lower=1)
        diagonal = np.arange(gram.shape[0])
        gram[diagonal, diagonal] += 1.0 + ROUNDING * float(gram[diagonal, diagonal].max())
        if not np.isfinite(gram[diagonal, diagonal]).all():
            raise LinAlgError(f"beyond the range of {precision.__name__}")
        self._factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)

    def solve(self, gradient: Array) -> Array:
        """(B + J' W J)^-1 gradient."""
        roots, (m, p, _) = self._roots, self._roots.shape
        right = np.matmul(roots, gradient[:-1].reshape(m, p, 1)).ravel()
        right = (np.append(right, self._unit * gradient[-1]) if self._free else right).astype(self._images.dtype)
        if self._samples:
            inner = cho_solve(self._factor, self._images.T @ right, check_finite=False)
            solved = (right - self._images @ inner).astype(np.float64)
        else:
            solved = cho_solve(self._factor, right, check_finite=False).astype(np.float64)
        blocks = np.matmul(roots.transpose(0, 2, 1), solved[: m * p].reshape(m, p, 1))
        return np.append(blocks.ravel(), self._unit * solved[-1] if self._free else 0.0)
