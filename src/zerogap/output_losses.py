r"""Losses of C outputs: every output by itself, or cross-entropy over classes.

    each output:     L(F) = sum_s c_s sum_c l(F_sc, Y_sc)
    cross-entropy:   L(F) = sum_s c_s ( log sum_c exp F_sc - Y_s . F_s ),    Y_s one-hot

F, R and gradients have the shape of the targets, (n, C).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, logsumexp, softmax

from zerogap.errors import InputError
from zerogap.losses import LOSSES, Loss, check_margin_labels, make_loss
from zerogap.rounding import enlarged, reduced
from zerogap.validation import shown

Array = NDArray[np.float64]

GRID = 44
"""Residuals of cross-entropy are whole numbers of 2**-GRID times their peak, so that their sums are exact.

With more than 256 classes the grid is coarser: a sum of C of them must fit into the 53 bits of a float.
"""

TINY = 2.0**-900
"""Residuals below this are taken for zero: their grid would underflow."""


@dataclass(frozen=True, eq=False)
class EachOutput(Loss):
    """A loss of one output for each of C outputs.

    Parameters
    ----------
    targets : (n, C) float64
    weights : (n,) float64, positive
        A sample weighs the same in all outputs.
    kind : type of Loss
    """

    kind: type[Loss]

    def __post_init__(self) -> None:
        flat = self.kind(self.targets.ravel(), np.repeat(self.weights, self.targets.shape[1]))
        own = {"flat": flat, "name": flat.name, "smooth": flat.smooth, "quadratic": flat.quadratic}
        for name, value in (own | {"margin": flat.margin}).items():
            object.__setattr__(self, name, value)

    flat: ClassVar[Loss]  # the same loss, of one output with n C samples; an attribute of the instance

    def value(self, f: Array) -> float:
        return self.flat.value(f.ravel())

    def gradient(self, f: Array) -> Array:
        return self.flat.gradient(f.ravel()).reshape(f.shape)

    def curvature(self, f: Array) -> Array:
        return self.flat.curvature(f.ravel()).reshape(f.shape)

    def conjugate(self, z: Array) -> float:
        return self.flat.conjugate(z.ravel())

    def dual_lower(self, r: Array, radius: float = 0.0) -> float:
        return self.flat.dual_lower(r.ravel(), radius)

    def upper(self, f: Array, error: Array) -> float:
        return self.flat.upper(f.ravel(), error.ravel())

    def box(self) -> tuple[Array, Array]:
        low, high = self.flat.box()
        return low.reshape(self.targets.shape), high.reshape(self.targets.shape)

    def best_scale(self, r: Array, largest: float) -> float:
        return self.flat.best_scale(r.ravel(), largest)

    def columns(self) -> list[Loss]:
        """The losses of the single outputs."""
        return [self.kind(np.ascontiguousarray(column), self.weights) for column in self.targets.T]

    def best_constant(self) -> Array:
        return np.array([loss.best_constant() for loss in self.columns()])

    def constant_residual(self) -> Array:
        return np.stack([loss.constant_residual() for loss in self.columns()], axis=1)


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss(Loss):
    """Cross-entropy of a softmax; -L*(-R) = sum_s c_s H(p_s), p_s = Y_s - R_s / c_s in the simplex, H in nats.

    Parameters
    ----------
    targets : (n, C) float64
        One-hot.
    weights : (n,) float64, positive
    """

    name: ClassVar[str] = "cross_entropy"

    @property
    def _factors(self) -> Array:
        return self.weights[:, None]

    def value(self, f: Array) -> float:
        return float(self.weights @ self._each(f))

    def _each(self, f: Array) -> Array:
        """log sum_c exp(F_sc - F_sy) of every sample, to full relative accuracy in the differences."""
        ahead = f - np.sum(self.targets * f, axis=1, keepdims=True)
        wrong = np.where(self.targets > 0.0, -np.inf, ahead)
        certain = np.log1p(np.exp(np.minimum(wrong, 0.0)).sum(axis=1))
        return np.asarray(np.where(wrong.max(axis=1) <= 0.0, certain, logsumexp(ahead, axis=1)))

    def gradient(self, f: Array) -> Array:
        return np.asarray(self._factors * (softmax(f, axis=1) - self.targets))

    def curvature(self, f: Array) -> Array:
        shares = softmax(f, axis=1)
        return np.asarray(self._factors * shares * (1.0 - shares))

    def curved(self, f: Array, direction: Array) -> Array:
        shares = softmax(f, axis=1)
        weighted = shares * direction
        return np.asarray(self._factors * (weighted - shares * weighted.sum(axis=1, keepdims=True)))

    def conjugate(self, z: Array) -> float:
        return -self._entropy(-z) if self.inside(-z) else np.inf

    def _entropy(self, r: Array) -> float:
        return float(self.weights @ entr(np.clip(self.targets - r / self._factors, 0.0, 1.0)).sum(axis=1))

    def inside(self, r: Array, radius: float = 0.0) -> bool:
        """Whether some point of the dual domain lies within the radius, or within rounding, of r."""
        low, high = self.box()
        doubt = 2.0**-50 * r.shape[1] * np.abs(r).max(axis=1, initial=0.0) + r.shape[1] * radius
        return bool(np.all((r >= low) & (r <= high)) and np.all(np.abs(r.sum(axis=1)) <= doubt))

    def dual_lower(self, r: Array, radius: float = 0.0) -> float:
        if not self.inside(r, radius):
            return -np.inf
        # |entr(p) - entr(q)| <= entr(|p - q|) for |p - q| <= 1/2; p is off by two roundings, that of the right class
        # by two roundings of one.
        size = np.where(self.targets > 0.0, 1.0, np.abs(r) / self._factors)
        shift = np.minimum(radius / self._factors + 4e-16 * size + 1e-300, 1.0 / np.e)
        lost = float(self.weights @ entr(shift).sum(axis=1))
        total = self._entropy(r)
        return reduced(total, total, r.size + 32) - enlarged(lost, r.size + 32)

    def upper(self, f: Array, error: Array) -> float:
        # Differences of outputs move by `moved`: then log(1 + S) grows by at most that, and at most by its exponential,
        # because log(1 + a S) <= a log(1 + S) for a >= 1.
        size = np.abs(f).max(axis=1) + np.log(f.shape[1])
        moved = 2.0 * error.max(axis=1) + 2.0**-50 * size
        losses = np.maximum(self._each(f), 0.0) * (1.0 + 2.0**-50 * (f.shape[1] + 16))
        above = np.minimum(losses + moved, np.where(moved < 1.0, losses * np.exp(np.minimum(moved, 1.0)), np.inf))
        above = np.where(np.isfinite(moved), above * (1.0 + 2.0**-48), np.inf)
        return enlarged(float(self.weights @ above), f.size + 16)

    def box(self) -> tuple[Array, Array]:
        return self._factors * (self.targets - 1.0), self._factors * self.targets

    def feasible(self, r: Array) -> Array:
        """Entries of the wrong classes move towards zero onto a grid; that of the right class balances them."""
        negative = np.clip(-r, 0.0, -self.box()[0])
        peak = float(negative.max(initial=0.0))
        if not peak > TINY:
            return np.zeros_like(r)
        bits = min(GRID, 52 - int(np.ceil(np.log2(r.shape[1]))))
        step = float(np.ldexp(1.0, int(np.frexp(peak)[1]) - bits))
        total = negative.sum(axis=1, keepdims=True)
        inside = np.minimum(1.0, self._factors * (1.0 - 1e-14) / np.maximum(total, 1e-300))
        snapped = step * np.trunc(negative * inside / step)
        return np.asarray(np.where(self.targets > 0.0, snapped.sum(axis=1, keepdims=True), -snapped))

    def best_constant(self) -> Array:
        """Logarithms of the class frequencies; -inf for a class without samples."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.weights @ self.targets / self.weights.sum()))


VECTOR_LOSSES = ("squared", "logistic", "cross_entropy")
"""The losses of several outputs."""

LOSS_NAMES = (*LOSSES, CrossEntropyLoss.name)


def bound_loss(name: str, targets: Array, weights: Array, *, offset: bool = False) -> Loss:
    """The loss of that name on targets (n,) or (n, C).

    Parameters
    ----------
    targets
        As ``zerogap.targets`` returns them.
    offset : bool
        Whether the network has a free constant: then a class without samples has no best one.

    Raises
    ------
    InputError
        Labels that the loss cannot take, or a loss that is not for several outputs.
    """
    if targets.ndim == 1:
        return make_loss(name, targets, weights)
    if name not in VECTOR_LOSSES:
        remedy = "pass loss='logistic', or use zg.train_separately"
        raise InputError("loss", f"{name!r} for {targets.shape[1]} outputs", f"one of {list(VECTOR_LOSSES)}", remedy)
    if name == "cross_entropy":
        counts = targets.sum(axis=0)
        if np.count_nonzero(counts) < 2:
            raise InputError("y", f"one class only ({int(counts.argmax())})", "two or more", "add other classes")
        if offset and not counts.all():
            got = f"no sample of class {int(counts.argmin())}"
            expected = "samples of every class: the best constant of its output is minus infinity"
            raise InputError("y", got, expected, "drop the class, or pass bias=True without intercept")
        return CrossEntropyLoss(targets, weights)
    if LOSSES[name].margin:
        check_margin_labels(name, targets)
        single = np.flatnonzero(np.all(targets == targets[:1], axis=0))
        if offset and single.size:
            got, expected = (
                f"one label only in column {single[0]}",
                "both labels: the best constant of its output is infinite",
            )
            raise InputError("y", got, expected, "drop the column, or pass bias=True without intercept")
    return EachOutput(targets, weights, LOSSES[name])


def check_loss_name(name: object) -> str:
    """The name of a loss; raises InputError for others."""
    if not isinstance(name, str) or name not in LOSS_NAMES:
        raise InputError("loss", shown(name), f"one of {sorted(LOSS_NAMES)}", "choose one of these names")
    return name
