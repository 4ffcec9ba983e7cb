"""How the loss enters the Newton system:  dr = constant - curvature * df.

The squared loss keeps r = -grad L(f) exactly. The logistic loss carries r as an unknown of its own, and
the hinge loss is a capped inequality z = y f - 1 with multipliers l and r = y l.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from zerogap.losses import Loss
from zerogap.solvers.inequalities import Capped, ratio

Array = NDArray[np.float64]


NEGLIGIBLE = 1e-2
"""Multipliers of the logistic loss below this share of their mean do not shorten steps."""


class LossTerm(Protocol):
    """The loss at the current predictions f."""

    @property
    def f(self) -> Array:
        """Predictions, shape (n,)."""

    @property
    def residual(self) -> Array:
        """r, shape (n,)."""

    @property
    def count(self) -> int:
        """Number of complementarity pairs."""

    @property
    def exact(self) -> bool:
        """Whether dr = -curvature df holds for steps of any size, with a positive curvature."""

    def complementarity(self) -> float: ...

    def mismatch(self) -> float:
        """About the gap of the Fenchel-Young inequality between predictions and residual."""

    def linearise(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        """(constant, curvature) of dr, with the second-order terms of `predicted` changes of the own variables."""

    def direction(self, df: Array, image: Array, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, ...]:
        """The changes of the term's own variables; image = curvature * df, computed without loss of digits."""

    def longest(self, direction: tuple[Array, ...]) -> float: ...

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> LossTerm: ...


@dataclass(frozen=True, eq=False)
class QuadraticTerm:
    """A loss with constant curvature."""

    loss: Loss
    f: Array
    exact: bool

    @cached_property
    def residual(self) -> Array:
        return -self.loss.gradient(self.f)

    @property
    def count(self) -> int:
        return 0

    def complementarity(self) -> float:
        return 0.0

    def mismatch(self) -> float:
        return 0.0

    def linearise(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        return np.zeros_like(self.f), self.loss.curvature(self.f)

    def direction(self, df: Array, image: Array, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, ...]:
        return ()

    def longest(self, direction: tuple[Array, ...]) -> float:
        return np.inf

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> QuadraticTerm:
        return QuadraticTerm(self.loss, self.f + length * df, self.exact)


@dataclass(frozen=True, eq=False)
class LogisticTerm:
    """The logistic loss with r = y q, 0 < q < c, and the equation y f = log((c - q) / q).

    Newton's method on the logarithm: with q = c / (1 + exp(y f)) eliminated instead, steps stay of size one
    in f while the exponential has to fall by many orders of magnitude, which tiny beta asks for.
    """

    loss: Loss
    f: Array
    q: Array
    rest: Array  # c - q, carried along because the difference cancels

    @property
    def exact(self) -> bool:
        return False

    @classmethod
    def start(cls, loss: Loss, f: Array) -> LogisticTerm:
        """At predictions f; q starts at least 1e-3 c away from its bounds."""
        share = np.clip(expit(-loss.targets * f), 1e-3, 1.0 - 1e-3)
        return cls(loss, f, loss.weights * share, loss.weights * (1.0 - share))

    @property
    def residual(self) -> Array:
        return self.loss.targets * self.q

    @property
    def count(self) -> int:
        return 0

    def complementarity(self) -> float:
        return 0.0

    def linearise(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        # No second-order term: that of the logarithm misleads, where q has to fall it asks for the opposite.
        weight = self.q * self.rest / self.loss.weights
        return self.loss.targets * (weight * self._missing()), weight

    def mismatch(self) -> float:
        missing = np.abs(self._missing())
        return float((self.q * self.rest / self.loss.weights) @ (missing * missing / (1.0 + missing)))

    def _missing(self) -> Array:
        """How far log((c - q) / q) is above y f."""
        return np.log(self.rest / self.q) - self.loss.targets * self.f

    def direction(self, df: Array, image: Array, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, ...]:
        constant, _ = self.linearise(mu, predicted)
        return (self.loss.targets * (constant - image),)

    def longest(self, direction: tuple[Array, ...]) -> float:
        # Samples far beyond the margin have a q of no weight, and too far to fall to wait for them.
        heavy, light = self.q > NEGLIGIBLE * self.q.mean(), self.rest > NEGLIGIBLE * self.rest.mean()
        shrink = max(ratio(direction[0][heavy], self.q[heavy]), ratio(-direction[0][light], self.rest[light]))
        return 1.0 / shrink if shrink > 0.0 else np.inf

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> LogisticTerm:
        change = np.clip(length * direction[0], -0.99 * self.q, 0.99 * self.rest)
        return LogisticTerm(self.loss, self.f + length * df, self.q + change, self.rest - change)


@dataclass(frozen=True, eq=False)
class HingeTerm:
    """The hinge loss as the capped inequality y f >= 1."""

    loss: Loss
    f: Array
    margin: Capped

    @property
    def exact(self) -> bool:
        return False

    @classmethod
    def start(cls, loss: Loss, f: Array, mu: float) -> HingeTerm:
        return cls(loss, f, Capped.start(loss.targets * f - 1.0, loss.weights, mu))

    @property
    def residual(self) -> Array:
        return self.loss.targets * self.margin.l

    @property
    def count(self) -> int:
        return self.margin.count

    def complementarity(self) -> float:
        return self.margin.complementarity()

    def mismatch(self) -> float:
        return 0.0

    def linearise(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        return self.loss.targets * self.margin.constant(mu, predicted), self.margin.weights()

    def direction(self, df: Array, image: Array, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, ...]:
        dl = self.margin.constant(mu, predicted) - self.loss.targets * image
        return self.margin.step(self.loss.targets * df, dl, mu, predicted)

    def longest(self, direction: tuple[Array, ...]) -> float:
        return self.margin.longest(direction)

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> HingeTerm:
        return HingeTerm(self.loss, self.f + length * df, self.margin.moved(direction, length))


def loss_term(loss: Loss, f: Array, mu: float) -> LossTerm:
    """The term of a loss at predictions f, on the central path of `mu` where it has one."""
    if loss.quadratic:
        return QuadraticTerm(loss, f, bool(np.all(loss.weights > 0.0)))
    return LogisticTerm.start(loss, f) if loss.smooth else HingeTerm.start(loss, f, mu)
