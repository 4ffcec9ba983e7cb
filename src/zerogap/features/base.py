r"""What a neuron contributes: the map from its weights to features, with its derivative (docs/theory.md, "Features").

A neuron has inner weights theta in R^q and output weights w in R^a, and adds Phi(theta) w to the n outputs,

    f = sum_j Phi(theta_j) w_j + b 1,        cost of a neuron  (||E theta||^2 + ||w||^2) / 2.

theta = (c, u): some architectures have filters c that are normalised inside Phi and cost nothing. Multiplying u by
t > 0 multiplies Phi by t. E drops c, and the last entry of u if that is an unpenalised bias. So training is

    minimise  L(f) + beta sum_j ||E theta_j|| ||w_j||,

and a residual r prices a neuron at ||Phi(theta)' r|| / ||E theta||.

With C outputs, F = sum_j Phi(theta_j) W_j + 1 b' is (n, C), output weights W_j are (a, C) and residuals R (n, C); then
all norms of output weights and of Phi(theta)' R are those of all their entries. ``combined``, ``pulled`` and ``spread``
serve both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.features.maxima import Maxima
from zerogap.rounding import enlarged, lengths
from zerogap.rows import Rows

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Back = Callable[[Array], Array]
"""From a cotangent (n, a, m) of the features to the gradient (m, q) in the inner weights."""


@dataclass(frozen=True, eq=False)
class Features(ABC):
    """Phi on one data set.

    Parameters
    ----------
    rows : Rows
        Pre-activation rows (n, K, p).
    free : bool
        Whether the last entry of a row belongs to an unpenalised bias.
    """

    rows: Rows
    free: bool = False

    @property
    def samples(self) -> int:
        return self.rows.samples

    @property
    @abstractmethod
    def outputs(self) -> int:
        """a, the number of output weights of a neuron."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """q, the number of inner weights of a neuron."""

    @property
    @abstractmethod
    def roundings(self) -> int:
        """Roundings on the way to a feature: it is off by at most gamma(roundings) times ``magnitude``."""

    @property
    def filter_shape(self) -> tuple[int, ...]:
        """The shape of c; () without filters."""
        return ()

    @property
    def filters(self) -> int:
        """The number of entries of c."""
        return int(np.prod(self.filter_shape)) if self.filter_shape else 0

    @cached_property
    def scaled(self) -> Mask:
        """The coordinates of u, in which Phi is homogeneous, (q,)."""
        return np.arange(self.dimension) >= self.filters

    @cached_property
    def penalised(self) -> Mask:
        """The coordinates of theta that cost, (q,)."""
        kept = self.scaled.copy()
        if self.free:
            kept[-1] = False
        return kept

    @abstractmethod
    def forward(self, weights: Array, width: float = 0.0) -> tuple[Array, Back]:
        """Phi of m neurons, and its derivative.

        Parameters
        ----------
        weights : (m, q) float64
        width : float
            Kinks of the activation are rounded over this share of the largest pre-activations (0: the true features).
            Only search asks for more than 0.

        Returns
        -------
        values : (n, a, m) float64
        back : callable
        """

    @abstractmethod
    def magnitude(self, weights: Array) -> Array:
        """``forward`` with absolute values of all rows and weights and no activation, (n, a, m)."""

    @abstractmethod
    def price_above(self, residual: Array) -> tuple[float, str]:
        """A rigorous upper bound of max ||Phi(theta)' r|| over ||E theta|| <= 1, in any dimension, and what proves it.

        Parameters
        ----------
        residual : (n,) float64

        Returns
        -------
        bound : float
        proof : str
            "closed form" if the bound is the maximum up to rounding, else "relaxation".
        """

    def joint_price_above(self, residual: Array) -> tuple[float, str]:
        """``price_above`` for residuals (n,) of one output or (n, C) of several.

        Neurons that maximise the prices of single outputs differ, so that the length of these prices is a relaxation.
        """
        if residual.ndim == 1:
            return self.price_above(residual)
        prices = np.array([self.price_above(np.ascontiguousarray(column))[0] for column in residual.T])
        return enlarged(float(lengths(prices)), prices.size + 4), "relaxation"

    @property
    def maxima(self) -> Maxima | None:
        """The features as sums of maxima of linear functions of u, where they are such and there are no filters."""
        return None

    def gated(self, gates: Array) -> Features:
        """The features of gated neurons, gates (m, p); raises InputError for architectures without gates."""
        raise InputError("gates", "an array", "none: these features have no gates", "leave them out")

    def sizes(self, weights: Array) -> Array:
        """||E theta_j||; weights (m, q), result (m,)."""
        return lengths(weights[:, self.penalised])

    def unit(self, weights: Array) -> Array:
        """The neurons scaled to ||E theta|| = 1, without those of size zero."""
        size = self.sizes(weights)
        weights = weights[size > 0.0]
        return np.where(self.scaled, weights / size[size > 0.0, None], weights)

    def settled(self, weights: Array) -> Array:
        """Neurons (m, q) whose features differ by constants from those given, with free biases within reach.

        A free bias beyond ``bias_reach`` ||u|| only adds to the constant of the output; without this, neurons with a
        tiny u and a large bias could not be scaled to size one.
        """
        return weights

    def random(self, count: int, rng: np.random.Generator) -> Array:
        """Random neurons of size one whose law does not depend on the units of the columns of the rows."""
        spread = np.sqrt(np.mean(self.rows.flat**2, axis=0))
        spread = np.resize(np.where(spread > 0.0, spread, 1.0), self.dimension)
        weights = rng.standard_normal((count, self.dimension)) / spread
        if self.free:
            # A kink at a random row.
            chosen = self.rows.flat[rng.integers(self.rows.flat.shape[0], size=count), :-1]
            weights[:, -1] = -np.sum(chosen * weights[:, :-1], axis=1)
        return self.unit(weights)


def bounded_bias(matrix: Array, *, free: bool) -> tuple[Array, float]:
    """Rows in which an unpenalised bias counts like a penalised coordinate, and what that may stretch a neuron by.

    Beyond |b| <= sum_i B_i |u_i| <= ||B||, B_i = max |m_i|, all pre-activations have one sign; a feature then grows by
    the same constant for all samples, which a residual that sums to zero does not see. So (u, b) = (u, ||B|| c) with
    |c| <= 1.

    Parameters
    ----------
    matrix : (n, K, p) float64
        With the column of ones last, if `free`.
    """
    if not free:
        return matrix, 1.0
    scaled = matrix.copy()
    scaled[..., -1] *= bias_reach(matrix)
    return scaled, float(np.sqrt(2.0)) * (1.0 + 1e-15)


def bias_reach(matrix: Array) -> float:
    """||B|| of ``bounded_bias``, rounded up; matrix (n, K, p) with the column of ones last."""
    reach = np.abs(matrix[..., :-1]).max(axis=(0, 1), initial=0.0)
    return float(np.linalg.norm(reach)) * (1.0 + 1e-12)


def combined(values: Array, second: Array) -> Array:
    """sum_j Phi_j w_j: (n,) or (n, C), of features (n, a, m) and output weights (m, a) or (m, a, C)."""
    return np.asarray(np.tensordot(values, second, axes=([1, 2], [1, 0])))


def pulled(residual: Array, values: Array) -> Array:
    """Phi_j' r of m neurons, (m, a) or (m, a, C)."""
    return np.asarray(np.tensordot(residual.T, values, axes=1).T)


def spread(residual: Array, directions: Array) -> Array:
    """The cotangent (n, a, m) of sum_j <Phi_j' r, d_j>, directions d (m, a) or (m, a, C)."""
    if residual.ndim == 1:
        return np.asarray(residual[:, None, None] * directions.T[None])
    return np.asarray(np.tensordot(residual, directions, axes=([1], [2])).transpose(0, 2, 1))


def masses(second: Array) -> Array:
    """||w_j|| of output weights (m, a) or (m, a, C), (m,)."""
    return lengths(second.reshape(second.shape[0], int(np.prod(second.shape[1:]))))
