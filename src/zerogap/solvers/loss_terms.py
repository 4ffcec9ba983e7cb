"""How the loss enters the Newton system:  dr = constant - curvature * df.

Smooth losses keep r = -grad L(f) exactly; the hinge loss is a capped inequality z = y f - 1 with
multipliers l and r = y l.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zerogap.losses import Loss
from zerogap.solvers.inequalities import Inequalities

Array = NDArray[np.float64]


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

    def complementarity(self) -> float: ...

    def linearise(self, mu: float, corrections: tuple[Array, ...] | None) -> tuple[Array, Array]:
        """(constant, curvature) of dr."""

    def direction(self, df: Array, image: Array, mu: float, corrections: tuple[Array, ...] | None) -> tuple[Array, ...]:
        """The changes of the term's own variables; image = curvature * df, computed without loss of digits."""

    def products(self, direction: tuple[Array, ...]) -> tuple[Array, ...]: ...

    def longest(self, direction: tuple[Array, ...]) -> float: ...

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> LossTerm: ...


@dataclass(frozen=True, eq=False)
class SmoothTerm:
    """A differentiable loss."""

    loss: Loss
    f: Array

    @property
    def residual(self) -> Array:
        return -self.loss.gradient(self.f)

    @property
    def count(self) -> int:
        return 0

    def complementarity(self) -> float:
        return 0.0

    def linearise(self, mu: float, corrections: tuple[Array, ...] | None) -> tuple[Array, Array]:
        return np.zeros_like(self.f), self.loss.curvature(self.f)

    def direction(self, df: Array, image: Array, mu: float, corrections: tuple[Array, ...] | None) -> tuple[Array, ...]:
        return ()

    def products(self, direction: tuple[Array, ...]) -> tuple[Array, ...]:
        return ()

    def longest(self, direction: tuple[Array, ...]) -> float:
        return np.inf

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> SmoothTerm:
        return SmoothTerm(self.loss, self.f + length * df)


@dataclass(frozen=True, eq=False)
class HingeTerm:
    """The hinge loss as the capped inequality y f >= 1."""

    loss: Loss
    f: Array
    margin: Inequalities

    @classmethod
    def start(cls, loss: Loss, f: Array, mu: float) -> HingeTerm:
        return cls(loss, f, Inequalities.capped(loss.targets * f - 1.0, loss.weights, mu))

    @property
    def residual(self) -> Array:
        return self.loss.targets * self.margin.l

    @property
    def count(self) -> int:
        return self.margin.count

    def complementarity(self) -> float:
        return self.margin.complementarity()

    def linearise(self, mu: float, corrections: tuple[Array, ...] | None) -> tuple[Array, Array]:
        constant, weight = self.margin.linearise(mu, corrections)
        return self.loss.targets * constant, weight

    def direction(self, df: Array, image: Array, mu: float, corrections: tuple[Array, ...] | None) -> tuple[Array, ...]:
        constant, _ = self.margin.linearise(mu, corrections)
        dl = constant - self.loss.targets * image
        return self.margin.step(self.loss.targets * df, dl, mu, corrections)

    def products(self, direction: tuple[Array, ...]) -> tuple[Array, ...]:
        return self.margin.products(direction)

    def longest(self, direction: tuple[Array, ...]) -> float:
        return self.margin.longest(direction)

    def moved(self, df: Array, direction: tuple[Array, ...], length: float) -> HingeTerm:
        return HingeTerm(self.loss, self.f + length * df, self.margin.moved(direction, length))


def loss_term(loss: Loss, f: Array, mu: float) -> LossTerm:
    """The term of a loss at predictions f, on the central path of `mu` where it has one."""
    return SmoothTerm(loss, f) if loss.smooth else HingeTerm.start(loss, f, mu)
