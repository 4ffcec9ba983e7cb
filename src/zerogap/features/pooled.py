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

from zerogap.features.base import Array, Back, Features, bias_reach, bounded_bias
from zerogap.features.maxima import Maxima
from zerogap.rounding import enlarged, gamma, lengths
from zerogap.spectral import eigenvalue_above, singular_value_above, weighted_gram

FEW = 64
"""Entries of a row up to which products are formed within the compiled loops."""


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
    def windows_of_rows(self) -> NDArray[np.intp]:
        """The positions of every window, (Q, r)."""
        return np.arange(self.rows.matrix.shape[1])[None] if self.windows is None else self.windows

    @cached_property
    def _window(self) -> NDArray[np.intp]:
        """The window of every position, -1 for those in none; (K,)."""
        window = np.full(self.rows.matrix.shape[1], -1, dtype=np.intp)
        window[self.windows_of_rows] = np.arange(self.windows_of_rows.shape[0])[:, None]
        return window

    @property
    def outputs(self) -> int:
        return 1 if self.summed else int(self.windows_of_rows.shape[0])

    @property
    def dimension(self) -> int:
        return self.rows.dimension

    @property
    def roundings(self) -> int:
        return self.dimension + int(self.windows_of_rows.size) + 4

    @property
    def _scale(self) -> float:
        return 1.0 if self.largest else self.rows.scale

    def settled(self, weights: Array) -> Array:
        if not self.free or self.gates is not None:
            return weights
        reach = bias_reach(self.rows.matrix) * self.sizes(weights)
        return np.concatenate([weights[:, :-1], np.clip(weights[:, -1], -reach, reach)[:, None]], axis=1)

    def gated(self, gates: Array) -> PooledFeatures:
        return replace(self, gates=gates)

    @cached_property
    def maxima(self) -> Maxima | None:
        """None for linear features."""
        if self.gates is not None or self.slope == 1.0:
            return None
        return Maxima.of(
            self.rows,
            self.windows_of_rows,
            free=self.free,
            largest=self.largest,
            summed=self.summed,
            slope=self.slope,
        )

    def forward(self, weights: Array, width: float = 0.0) -> tuple[Array, Back]:
        from zerogap.features import kernels

        if self.gates is None and not self.largest and self.rows.matrix.shape[1] > 1 and self.dimension <= FEW:
            return self._fused(np.ascontiguousarray(weights.T), width)
        inner = self.rows.preactivations(weights)  # (n, K, m)
        flat, window, count = self.rows.flat, self._window, int(self.windows_of_rows.shape[0])
        reach = width * np.abs(inner).max(axis=(0, 1), initial=0.0)
        if self.gates is not None:
            passed = self.rows.preactivations(self.gates) >= 0.0
            inner = inner * passed
            values = kernels.pool_sum(inner, window, count, 1.0, reach, self._scale)
        elif self.largest:
            values, chosen, slopes = kernels.pool_max(inner, window, count, self.slope, reach)
        else:
            values = kernels.pool_sum(inner, window, count, self.slope, reach, self._scale)

        def back(cotangent: Array) -> Array:
            each = np.ascontiguousarray(np.broadcast_to(cotangent, (cotangent.shape[0], count, cotangent.shape[2])))
            if self.gates is not None:
                spread = kernels.spread_sum(inner, window, 1.0, reach, self._scale, each) * passed
            elif self.largest:
                spread = kernels.spread_max(inner.shape[1], chosen, slopes, each)
            else:
                spread = kernels.spread_sum(inner, window, self.slope, reach, self._scale, each)
            return np.asarray(spread.reshape(flat.shape[0], -1).T @ flat)

        return (values.sum(axis=1, keepdims=True) if self.summed else values), back

    def _fused(self, weights: Array, width: float) -> tuple[Array, Back]:
        """``forward`` without the products of all rows in memory; weights (p, m)."""
        from zerogap.features import kernels

        matrix, window, count = self.rows.matrix, self._window, int(self.windows_of_rows.shape[0])
        reach = width * kernels.largest(matrix, weights) if width else np.zeros(weights.shape[1])
        values = kernels.rows_sum(matrix, weights, window, count, self.slope, reach, self._scale)

        def back(cotangent: Array) -> Array:
            each = np.ascontiguousarray(np.broadcast_to(cotangent, (cotangent.shape[0], count, cotangent.shape[2])))
            gradient = kernels.rows_back(matrix, weights, window, self.slope, reach, self._scale, each)
            return np.asarray(gradient.T)

        return (values.sum(axis=1, keepdims=True) if self.summed else values), back

    def pooled(self, values: Array) -> Array:
        """The scaled sums over windows of values at all positions; (c, K, p) to (c, a, p)."""
        sums = values[:, self.windows_of_rows].sum(axis=2) * self._scale
        return np.asarray(sums.sum(axis=1, keepdims=True) if self.summed else sums)

    def magnitude(self, weights: Array) -> Array:
        inner = np.abs(self.rows.matrix) @ np.abs(weights).T
        # The sum over a window is above its maximum.
        values = inner[:, self.windows_of_rows].sum(axis=2) * self._scale
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
        count = 1 if self.largest else int(self.windows_of_rows.shape[1])
        count *= int(self.windows_of_rows.shape[0]) if self.summed else 1
        matrix, stretch = bounded_bias(self.rows.matrix[:, np.unique(self.windows_of_rows)], free=self.free)
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

    def joint_price_above(self, residual: Array) -> tuple[float, str]:
        """The better one of two relaxations; gated neurons have exact prices.

        One is that of all features, the other ||R' phi|| <= sigma_max(R) ||phi||, where ||phi||^2 is at most
        c scale^2 sum_s sum_k (m_sk . u)^2 as in ``price_above``.
        """
        if residual.ndim == 1 or self.gates is not None:
            return self.price_above(residual)
        separate, proof = super().joint_price_above(residual)
        count = 1 if self.largest else int(self.windows_of_rows.shape[1])
        count *= int(self.windows_of_rows.shape[0]) if self.summed else 1
        matrix, stretch = bounded_bias(self.rows.matrix[:, np.unique(self.windows_of_rows)], free=self.free)
        gram, error = weighted_gram(matrix, np.ones(residual.shape[0]))
        factor = count * self._scale**2 * (1.0 + 1e-12)
        largest = eigenvalue_above(factor * gram, factor * error)
        together = singular_value_above(residual, 0.0) * stretch * float(np.sqrt(largest)) * (1.0 + 1e-12)
        return min(separate, together), proof

    def linear_price(self, matrix: Array, residual: Array) -> float:
        """An upper bound of max ||G' u|| over ||E u|| <= 1: the largest singular value of E G, up to rounding.

        G = scale * [ sum_s r_s sum_{k in window q} m_sk ]_q is the price of features that are linear in u. A free bias
        without gates adds a row with entries scale * |window| * sum_s r_s: zero, for a residual that sums to zero.

        Parameters
        ----------
        matrix : (n, K, p) float64
            The rows m, zero where a gate is closed.
        residual : (n,) or (n, C) float64
        """
        kept = matrix[:, :, self.penalised]
        pairs = [(residual, kept), (np.abs(residual), np.abs(kept))]
        positions = [np.tensordot(np.atleast_2d(part.T), rows, axes=1) for part, rows in pairs]  # (C, K, p)
        gradient, magnitude = [self.pooled(part).reshape(-1, kept.shape[2]) for part in positions]
        operations = residual.shape[0] + int(self.windows_of_rows.size) + 8
        error = enlarged(gamma(operations) * float(lengths(magnitude.ravel())), magnitude.size + 8)
        return singular_value_above(gradient, error)
