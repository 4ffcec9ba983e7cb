r"""Losses: L(f) = sum_s c_s l(f_s, y_s), its gradient, curvature and conjugate.

The dual problem of every program of this package is (docs/theory.md, "Dual")

    maximise  -L*(-r)   subject to   |r . phi(u)| <= beta  for every feature phi(u),

so a loss also owns the dual value ``-L*(-r)``, its domain, and evaluations that are safe against
rounding: ``upper`` never lies below the exact L, ``dual_lower`` never above the exact -L*(-r).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit, xlog1py

from zerogap.errors import InputError
from zerogap.rounding import enlarged, gamma, reduced

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Loss(ABC):
    """A convex loss bound to its data, separable over samples.

    One output has shape (n,); for C outputs all shapes (n,) below, but that of the weights, are (n, C)
    (``zerogap.output_losses``).

    Parameters
    ----------
    targets : (n,) float64
        y; for the margin losses every entry is -1 or +1.
    weights : (n,) float64, positive
        c; a weight of 2 equals a duplicated sample.
    """

    targets: Array
    weights: Array

    name: ClassVar[str] = ""
    margin: ClassVar[bool] = False
    smooth: ClassVar[bool] = True
    quadratic: ClassVar[bool] = False

    @abstractmethod
    def value(self, f: Array) -> float:
        """L(f), f of shape (n,)."""

    @abstractmethod
    def gradient(self, f: Array) -> Array:
        """A (sub)gradient of L at f, shape (n,)."""

    @abstractmethod
    def curvature(self, f: Array) -> Array:
        """The diagonal of the Hessian of L at f, shape (n,)."""

    def curved(self, f: Array, direction: Array) -> Array:
        """The Hessian of L at f times a direction of the shape of f."""
        return self.curvature(f) * direction

    @abstractmethod
    def conjugate(self, z: Array) -> float:
        """L*(z) = sup_f z . f - L(f); infinite outside the domain."""

    def dual_value(self, r: Array) -> float:
        """-L*(-r), the dual objective."""
        return -self.conjugate(-r)

    @abstractmethod
    def dual_lower(self, r: Array, radius: float = 0.0) -> float:
        """A number not above -L*(-r') for every r' in the dual domain with |r' - r| <= radius."""

    @abstractmethod
    def upper(self, f: Array, error: Array) -> float:
        """A number not below L(f') for every f' with |f' - f| <= error, elementwise."""

    @abstractmethod
    def box(self) -> tuple[Array, Array]:
        """Lower and upper ends of the dual domain of r, each (n,)."""

    def feasible(self, r: Array) -> Array:
        """A point of the dual domain near r; exactly inside, as real numbers."""
        return np.clip(r, *self.box())

    def best_scale(self, r: Array, largest: float) -> float:
        """The s in [0, largest] to use in the dual point s r."""
        return min(1.0, largest)

    @abstractmethod
    def best_constant(self) -> Any:
        """argmin_b L(b 1): the network that is only an output offset; a number, or (C,) for C outputs."""

    def constant_residual(self) -> Array:
        """An r in -dL(b 1) at the best constant b with 1' r = 0."""
        return -self.gradient(np.full(self.targets.shape, self.best_constant()))


@dataclass(frozen=True, eq=False)
class SquaredLoss(Loss):
    """L(f) = 1/2 sum_s c_s (f_s - y_s)^2 and L*(z) = sum_s z_s^2 / (2 c_s) + y_s z_s."""

    name: ClassVar[str] = "squared"
    quadratic: ClassVar[bool] = True

    def value(self, f: Array) -> float:
        return 0.5 * float(self.weights @ (f - self.targets) ** 2)

    def gradient(self, f: Array) -> Array:
        return self.weights * (f - self.targets)

    def curvature(self, f: Array) -> Array:
        return self.weights.copy()

    def conjugate(self, z: Array) -> float:
        return float(z @ (0.5 * (z / self.weights) + self.targets))

    def dual_lower(self, r: Array, radius: float = 0.0) -> float:
        # r / c first: r * r could underflow.
        linear, quadratic = self.targets * r, 0.5 * r * (r / self.weights)
        # |d/dr (y r - r^2 / 2c)| = |y - r / c| inside the radius, plus its second-order term.
        slope = np.abs(self.targets) + (np.abs(r) + radius) / self.weights
        magnitude = float(np.abs(linear).sum() + quadratic.sum())
        shift = enlarged(radius * float(slope.sum()), r.size + 4)
        return reduced(float((linear - quadratic).sum()), magnitude, r.size + 4) - shift

    def upper(self, f: Array, error: Array) -> float:
        distance = np.abs(f - self.targets) * (1.0 + 2.0 * gamma(2)) + error
        return enlarged(0.5 * float(self.weights @ distance**2), f.size + 6)

    def box(self) -> tuple[Array, Array]:
        end = np.full(self.targets.shape, np.inf)
        return -end, end

    def best_scale(self, r: Array, largest: float) -> float:
        # -L*(-s r) = s y.r - s^2 |r|^2_{1/c} / 2 is a parabola in s.
        curvature = float(r @ (r / self.weights))
        if curvature <= 0.0:
            return min(1.0, largest)
        return min(max(float(self.targets @ r) / curvature, 0.0), largest)

    def best_constant(self) -> float:
        return float(self.weights @ self.targets / self.weights.sum())


@dataclass(frozen=True, eq=False)
class MarginLoss(Loss):
    """l(f, y) = m(y f) with a decreasing m whose slope lies in [-1, 0]; r_s = c_s y_s q_s, q in [0, 1]."""

    margin: ClassVar[bool] = True

    def _shares(self, r: Array) -> Array:
        """q = y r / c."""
        return self.targets * r / self.weights

    def box(self) -> tuple[Array, Array]:
        signed = self.targets * self.weights
        return np.minimum(signed, 0.0), np.maximum(signed, 0.0)

    def upper(self, f: Array, error: Array) -> float:
        # m is 1-Lipschitz; log1p and exp are taken to be accurate to 8 roundings.
        return enlarged(self.value(f) + float(self.weights @ error), f.size + 16)

    def inside(self, r: Array) -> bool:
        """Whether r lies in the dual domain; exact, because y is -1 or +1."""
        low, high = self.box()
        return bool(np.all(r >= low) and np.all(r <= high))

    def _class_weights(self) -> tuple[float, float]:
        positive = self.targets > 0
        return float(self.weights[positive].sum()), float(self.weights[~positive].sum())


def _entropy(share: Array) -> Array:
    """H(q) = -q log q - (1 - q) log(1 - q) in nats, each term to full relative accuracy."""
    return np.asarray(entr(share) - xlog1py(1.0 - share, -share), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class LogisticLoss(MarginLoss):
    """L(f) = sum_s c_s log(1 + exp(-y_s f_s)); -L*(-r) = sum_s c_s H(q_s), H the binary entropy in nats."""

    name: ClassVar[str] = "logistic"

    def value(self, f: Array) -> float:
        return float(self.weights @ np.logaddexp(0.0, -self.targets * f))

    def gradient(self, f: Array) -> Array:
        return -self.weights * self.targets * expit(-self.targets * f)

    def curvature(self, f: Array) -> Array:
        return self.weights * expit(f) * expit(-f)

    def conjugate(self, z: Array) -> float:
        if not self.inside(-z):
            return np.inf
        share = self._shares(-z)
        return -float(self.weights @ _entropy(share))

    def dual_lower(self, r: Array, radius: float = 0.0) -> float:
        if not self.inside(r):
            return -np.inf
        share = self._shares(r)
        # q is one rounding away from y r / c and H is concave with H(0) = 0, so a shift of size d
        # lowers c H(q) by at most c H(d).
        shift = np.minimum(radius / self.weights + 4e-16 * share + 1e-300, 0.5)
        lost = float(self.weights @ _entropy(shift))
        total = float(self.weights @ _entropy(share))
        return reduced(total, total, r.size + 32) - enlarged(lost, r.size + 32)

    def best_constant(self) -> float:
        positive, negative = self._class_weights()
        return float(np.log(positive / negative))


@dataclass(frozen=True, eq=False)
class HingeLoss(MarginLoss):
    """L(f) = sum_s c_s (1 - y_s f_s)_+; -L*(-r) = sum_s c_s q_s = y . r."""

    name: ClassVar[str] = "hinge"
    smooth: ClassVar[bool] = False

    def value(self, f: Array) -> float:
        return float(self.weights @ np.maximum(1.0 - self.targets * f, 0.0))

    def gradient(self, f: Array) -> Array:
        # On the kink the subdifferential is [-c y, 0]; 1/2 is its middle.
        slope = np.where(self.targets * f < 1.0, 1.0, np.where(self.targets * f > 1.0, 0.0, 0.5))
        return -self.weights * self.targets * slope

    def curvature(self, f: Array) -> Array:
        return np.zeros_like(f)

    def conjugate(self, z: Array) -> float:
        return -float(self.targets @ -z) if self.inside(-z) else np.inf

    def dual_lower(self, r: Array, radius: float = 0.0) -> float:
        if not self.inside(r):
            return -np.inf
        total = float(self.targets @ r)
        return reduced(total, total, r.size) - enlarged(radius * r.size, 4)

    def best_constant(self) -> float:
        positive, negative = self._class_weights()
        return 1.0 if positive >= negative else -1.0

    def constant_residual(self) -> Array:
        # The minority is inside the margin, q = 1; the majority on it, with any q: the one that balances.
        positive, negative = self._class_weights()
        share = np.where(self.targets > 0, min(1.0, negative / positive), min(1.0, positive / negative))
        return self.targets * self.weights * share


LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (SquaredLoss, LogisticLoss, HingeLoss)}
"""The losses of one output."""


def make_loss(name: str, targets: Array, weights: Array) -> Loss:
    """The loss of that name on the targets (n,) of one output.

    Raises
    ------
    InputError
        Labels other than -1 and +1, or one class only, for the margin losses.
    """
    kind = LOSSES[name]
    if kind.margin:
        labels = check_margin_labels(name, targets)
        if labels.size < 2:
            raise InputError(
                f"labels y of the {name} loss",
                f"one class only ({labels[0]:+g})",
                "both classes",
                "add samples of the other class, or use loss='squared'",
            )
    return kind(targets, weights)


def check_margin_labels(name: str, targets: Array) -> Array:
    """The distinct labels; raises InputError for others than -1 and +1."""
    labels = np.unique(targets)
    if not np.all(np.isin(labels, (-1.0, 1.0))):
        shown = ", ".join(f"{value:g}" for value in labels[:4])
        raise InputError(
            f"labels y of the {name} loss",
            f"the values [{shown}{', ...' if labels.size > 4 else ''}]",
            "-1 and +1",
            "encode the two classes, for example y = np.where(labels == positive, 1.0, -1.0)",
        )
    return labels
