r"""Features of one filter at all positions, pooled over windows (P0, architectures A to C).

    Phi(u)_{s,q} = scale * sum_{k in window q} act(m_{s,k} . u)      or      max_{k in window q} act(m_{s,k} . u),

with act(t) = max(t, slope t). Windows do not overlap; one window over everything is global pooling, windows of one
position are none. With ``summed`` the windows are added up, so that a neuron has a single output weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zerogap.features.base import Array, Back, Features, bounded_bias
from zerogap.rounding import enlarged, gamma
from zerogap.spectral import eigenvalue_above, singular_value_above, weighted_gram


@dataclass(frozen=True, eq=False)
class PooledFeatures(Features):
    """See the module docstring.

    Parameters
    ----------
    windows : (Q, r) int
        The positions k of every window.
    largest : bool
        Pool by the maximum instead of the sum.
    summed : bool
        Add the windows up.
    slope : float
        Of the activation for negative pre-activations, in [0, 1).
    gates : (m, p) float64, optional
        Of m gated neurons: [m_{s,k} . g >= 0] (m_{s,k} . u) takes the place of act(m_{s,k} . u).
    """

    windows: NDArray[np.intp] | None = None
    largest: bool = False
    summed: bool = False
    slope: float = 0.0
    gates: Array | None = None

    @cached_property
    def _windows(self) -> NDArray[np.intp]:
        return np.arange(self.rows.matrix.shape[1])[None] if self.windows is None else self.windows

    @property
    def outputs(self) -> int:
        return 1 if self.summed else int(self._windows.shape[0])

    @property
    def dimension(self) -> int:
        return self.rows.dimension

    @property
    def roundings(self) -> int:
        return self.dimension + int(self._windows.size) + 4

    @property
    def _scale(self) -> float:
        return 1.0 if self.largest else self.rows.scale

    def gated(self, gates: Array) -> PooledFeatures:
        return replace(self, gates=gates)

    def forward(self, weights: Array, width: float = 0.0) -> tuple[Array, Back]:
        inner = self.rows.preactivations(weights)  # (n, K, m)
        active, slopes = self._activate(inner, width)
        pooled = self._gather(active)  # (n, Q, r, m)
        if self.largest:
            chosen = pooled.argmax(axis=2)
            values = np.take_along_axis(pooled, chosen[:, :, None], axis=2)[:, :, 0]
        else:
            values = pooled.sum(axis=2) * self._scale
        if self.summed:
            values = values.sum(axis=1, keepdims=True)

        def back(cotangent: Array) -> Array:
            n, positions, m = inner.shape
            each = np.broadcast_to(cotangent * self._scale, (n, self._windows.shape[0], m))
            spread = np.zeros_like(inner)
            if self.largest:
                places = self._windows[np.arange(self._windows.shape[0])[None, :, None], chosen]  # (n, Q, m)
                np.put_along_axis(spread, places, each, axis=1)
            else:
                spread[:, self._windows.ravel()] = np.repeat(each, self._windows.shape[1], axis=1)
            spread *= slopes
            return np.asarray(spread.reshape(n * positions, m).T @ self.rows.flat)

        return values, back

    def _gather(self, values: Array) -> Array:
        """Values (n, K, m) by windows, (n, Q, r, m)."""
        count, size = self._windows.shape
        if np.array_equal(self._windows.ravel(), np.arange(values.shape[1])):
            return values.reshape(values.shape[0], count, size, -1)
        return values[:, self._windows]

    def pooled(self, values: Array) -> Array:
        """The scaled sums over windows of values at all positions; (c, K, p) to (c, a, p)."""
        sums = self._gather(values).sum(axis=2) * self._scale
        return np.asarray(sums.sum(axis=1, keepdims=True) if self.summed else sums)

    def _activate(self, inner: Array, width: float) -> tuple[Array, Array]:
        """act and its derivative; with a width, a parabola around the kink."""
        if self.gates is not None:
            slopes = (self.rows.preactivations(self.gates) >= 0.0).astype(np.float64)
            return inner * slopes, slopes
        if width == 0.0:
            slopes = np.where(inner > 0.0, 1.0, self.slope)
            return inner * slopes, slopes
        reach = width * np.abs(inner).max(axis=(0, 1)) + 1e-300
        share = np.clip(0.5 + 0.5 * inner / reach, 0.0, 1.0)
        smooth = np.where(share < 1.0, share * share * reach, inner)
        return self.slope * inner + (1.0 - self.slope) * smooth, self.slope + (1.0 - self.slope) * share

    def magnitude(self, weights: Array) -> Array:
        inner = np.abs(self.rows.matrix) @ np.abs(weights).T
        # The sum over a window is above its maximum.
        values = self._gather(inner).sum(axis=2) * self._scale
        return np.asarray(values.sum(axis=1, keepdims=True) if self.summed else values)

    def price_above(self, residual: Array) -> tuple[float, str]:
        """By Cauchy and Schwarz (docs/theory.md, "Relaxation of a feature"); weak, because it ignores all cancellation.

        With r_s > 0 on the samples of one sign, of sum R, the feature phi_q of a window of c positions obeys
        (sum_s r_s phi_sq)^2 <= R sum_s r_s phi_sq^2 and phi_sq^2 <= c scale^2 sum_k (m_sk . u)^2 (maximum: c = 1).
        A negative slope mixes the signs; then |r_s| takes the place of r_s.

        The features of gated neurons are linear: their prices are exact, one for each gate.
        """
        if self.gates is not None:
            active = self.rows.preactivations(self.gates) >= 0.0  # (n, K, m)
            prices = [
                self.linear_price(self.rows.matrix * part[..., None], residual) for part in active.transpose(2, 0, 1)
            ]
            return max(prices, default=0.0), "enumeration"
        count = 1 if self.largest else int(self._windows.shape[1])
        count *= int(self._windows.shape[0]) if self.summed else 1
        matrix, stretch = bounded_bias(self.rows.matrix[:, np.unique(self._windows)], free=self.free)
        parts = []
        for weights in [np.abs(residual)] if self.slope else [np.maximum(residual, 0.0), np.maximum(-residual, 0.0)]:
            gram, error = weighted_gram(matrix, weights)
            factor = float(weights.sum()) * count * self._scale**2 * (1.0 + 1e-12)
            parts.append((factor * gram, factor * error))
        if self.outputs > 1:
            # The larger of the squares of both signs is at most their sum, window by window.
            parts = [(np.sum([gram for gram, _ in parts], axis=0), sum(error for _, error in parts))]
        largest = max(eigenvalue_above(gram, error) for gram, error in parts)
        return stretch * float(np.sqrt(largest)) * (1.0 + 1e-12), "relaxation"

    def linear_price(self, matrix: Array, residual: Array) -> float:
        """An upper bound of max ||G' u|| over ||E u|| <= 1: the largest singular value of E G, up to rounding.

        G = scale * [ sum_s r_s sum_{k in window q} m_sk ]_q is the price of features that are linear in u. A free bias
        without gates adds a row with entries scale * |window| * sum_s r_s: zero, for a residual that sums to zero.

        Parameters
        ----------
        matrix : (n, K, p) float64
            The rows m, zero where a gate is closed.
        residual : (n,) float64
        """
        kept = matrix[:, :, self.penalised]
        positions = [np.tensordot(residual, kept, axes=1), np.tensordot(np.abs(residual), np.abs(kept), axes=1)]
        gradient, magnitude = [self.pooled(part[None])[0] for part in positions]
        operations = residual.size + int(self._windows.size) + 8
        error = enlarged(gamma(operations) * float(np.linalg.norm(magnitude)), magnitude.size + 8)
        return singular_value_above(gradient, error)
