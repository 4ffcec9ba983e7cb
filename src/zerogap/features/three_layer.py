r"""Features of three layers with two ReLUs (P0, architecture G).

    Phi(c, w)_s = ( sum_k (m_{s,k} . u_k)_+ w_k + a )_+ ,        u_k = c_k / ||E c_k||   (0 if E c_k = 0),

with one filter for each position (untied) or the same for all (tied), and w (K,) the decayed inner layer. With a
free bias E drops the last entry of a filter, and a is a free constant: the limit of positions with large biases and
small weights, whose decay vanishes (docs/theory.md, "Three layers"). Otherwise there is no a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.features.base import Array, Back, Features
from zerogap.rounding import gamma, lengths, lengths_above
from zerogap.spectral import eigenvalue_above, singular_value_above, weighted_gram

SAFE = 1.0 + 1e-12
"""Covers the few roundings of scalars between rigorous bounds."""


@dataclass(frozen=True, eq=False)
class ThreeLayerFeatures(Features):
    """See the module docstring.

    Parameters
    ----------
    tied : bool
        One filter for all positions.
    """

    tied: bool = False

    @property
    def positions(self) -> int:
        """K."""
        return int(self.rows.matrix.shape[1])

    @property
    def outputs(self) -> int:
        return 1

    @property
    def filter_shape(self) -> tuple[int, ...]:
        return (self.rows.dimension,) if self.tied else (self.positions, self.rows.dimension)

    @property
    def dimension(self) -> int:
        return self.filters + self.positions + int(self.free)

    @property
    def roundings(self) -> int:
        return 2 * self.rows.dimension + self.positions + 16

    def parts(self, weights: Array) -> tuple[Array, Array, Array]:
        """The unit filters u, w, and a.

        Returns
        -------
        filters : (m, 1 or K, p) float64
        inner : (m, K) float64
        constant : (m,) float64
        """
        filters, _ = self._normalised(weights)
        last = weights[:, -1] if self.free else np.zeros(weights.shape[0])
        return filters, weights[:, self.filters : self.filters + self.positions], last

    def _normalised(self, weights: Array) -> tuple[Array, Array]:
        """The unit filters, and ||E c|| of each, (m, 1 or K); infinite where it is zero."""
        shape = (weights.shape[0], 1 if self.tied else self.positions, self.rows.dimension)
        filters = weights[:, : self.filters].reshape(shape)
        size = lengths(filters[..., : filters.shape[2] - int(self.free)])
        size = np.where(size > 0.0, size, np.inf)
        return np.where(np.isfinite(size)[..., None], filters, 0.0) / size[..., None], size

    def forward(self, weights: Array, width: float = 0.0) -> tuple[Array, Back]:
        unit, size = self._normalised(weights)
        _, inner, constant = self.parts(weights)
        signals, inner_slopes = rounded_ramp(self.preactivations(unit), width)
        values, outer_slopes = rounded_ramp(np.einsum("nkm,mk->nm", signals, inner) + constant, width)

        def back(cotangent: Array) -> Array:
            outer = cotangent[:, 0] * outer_slopes
            spread = outer[:, None, :] * inner.T[None] * inner_slopes
            toward = np.einsum("nkm,nkp->mkp", spread, self.rows.matrix)
            if self.tied:
                toward = toward.sum(axis=1, keepdims=True)
            # The derivative of c / ||E c|| in E c takes out the part along E u.
            kept = unit.copy()
            if self.free:
                kept[..., -1] = 0.0
            filters = (toward - kept * np.sum(toward * unit, axis=2, keepdims=True)) / size[..., None]
            parts = [filters.reshape(weights.shape[0], self.filters), np.einsum("nm,nkm->mk", outer, signals)]
            return np.concatenate([*parts, outer.sum(axis=0)[:, None]] if self.free else parts, axis=1)

        return values[:, None, :], back

    def preactivations(self, unit: Array) -> Array:
        """m_{s,k} . u_k, (n, K, m); unit filters (m, 1 or K, p)."""
        return self._products(self.rows.matrix, unit)

    def _products(self, matrix: Array, unit: Array) -> Array:
        if self.tied:
            return np.asarray(matrix @ unit[:, 0].T)
        return np.asarray(np.matmul(matrix.transpose(1, 0, 2), unit.transpose(1, 2, 0)).transpose(1, 0, 2))

    def magnitude(self, weights: Array) -> Array:
        unit, inner, constant = (np.abs(part) for part in self.parts(weights))
        signals = self._products(np.abs(self.rows.matrix), unit)
        return np.asarray(np.einsum("nkm,mk->nm", signals, inner) + constant)[:, None, :]

    def random(self, count: int, rng: np.random.Generator) -> Array:
        """Random neurons; free biases put a kink on a random row, free constants one on a random sample."""
        n, K, p = self.rows.matrix.shape
        spread = np.sqrt(np.mean(self.rows.flat**2, axis=0))
        filters = rng.standard_normal((count, 1 if self.tied else K, p)) / np.where(spread > 0.0, spread, 1.0)
        inner = rng.standard_normal((count, K))
        if self.free:
            chosen = rng.integers(n, size=filters.shape[:2])
            rows = self.rows.matrix[chosen, rng.integers(K, size=chosen.shape) if self.tied else np.arange(K)]
            filters[..., -1] = -np.sum(rows[..., :-1] * filters[..., :-1], axis=2)
        weights = np.concatenate([filters.reshape(count, -1), inner], axis=1)
        if self.free:
            weights = np.concatenate([weights, np.zeros((count, 1))], axis=1)
            unit, inner, _ = self.parts(weights)
            signals = np.maximum(self.preactivations(unit), 0.0)
            outer = np.einsum("nkm,mk->nm", signals, inner)
            weights[:, -1] = -outer[rng.integers(n, size=count), np.arange(count)] * rng.integers(2, size=count)
        return self.unit(weights)

    def price_above(self, residual: Array) -> tuple[float, str]:
        """By Cauchy and Schwarz (docs/theory.md, "Three layers").

        For one sign of r, ||w|| = 1 and p_k(u) = sum_{r_s > 0} r_s (m_sk . u)_+, the negative r_s being dropped,

            r' Phi <= sum_k (w_k)_+ p_k(u_k),
            p_k(u) = ( g_k . u + sum r_s |m_sk . u| ) / 2 <= ( g_k . u + sqrt(R_k u' H_k u) ) / 2,

        g_k = sum r_s m_sk, R_k = sum r_s ||m_sk||, H_k = sum r_s m_sk m_sk' / ||m_sk||. With a free bias r sums to
        zero, so that constants can be taken out of both ReLUs: with any centre m_k and b = the bias plus m_k . v_k,

            |r' Phi| <= sum_s |r_s| |sum_k w_k (z_sk - b_+)|,    |z_sk - b_+| <= |(m_sk - m_k) . v_k|.
        """
        if self.free:
            weights, matrix = np.abs(residual), self.rows.matrix[..., :-1]
            centre = np.einsum("n,nkp->kp", weights, matrix) / max(float(weights.sum()), 1e-300)
            _, spread = self._spread(matrix - centre, weights)
            return spread * SAFE, "relaxation"
        bounds = []
        for sign in (1.0, -1.0):
            pull, spread = self._spread(self.rows.matrix, np.maximum(sign * residual, 0.0))
            bounds.append(0.5 * (pull + spread) * SAFE)
        return max(bounds), "relaxation"

    def _spread(self, matrix: Array, weights: Array) -> tuple[float, float]:
        """The largest ||(g_k . u_k)_k|| and ||(sqrt(R_k u_k' H_k u_k))_k|| over unit filters."""
        size = np.linalg.norm(matrix, axis=2)
        size = np.where(size > 0.0, size, 1.0)
        pulls = np.einsum("n,nkp->kp", weights, matrix)
        doubts = 2.0 * gamma(matrix.shape[0] + 4) * np.einsum("n,nkp->kp", weights, np.abs(matrix))
        grams, errors = [], []
        for k in range(matrix.shape[1]):
            # Rounded lengths cancel in R_k H_k up to SAFE; the last term is for rows with a rounding of their own.
            factor = float(weights @ size[:, k]) * SAFE
            gram, error = weighted_gram(matrix[:, k : k + 1], weights / size[:, k])
            grams.append(factor * gram)
            errors.append(factor * (error + 8.0 * gamma(1) * float(weights @ size[:, k])))
        if self.tied:
            total = np.sum(grams, axis=0)
            sizes = float(np.sum([np.abs(gram).sum() for gram in grams]))
            rounding = 2.0 * gamma(len(grams) + 2) * sizes + sum(errors) * SAFE
            pull = singular_value_above(pulls, float(np.linalg.norm(doubts)) * SAFE)
            return pull, float(np.sqrt(eigenvalue_above(total, rounding)))
        largest = [eigenvalue_above(gram, error) for gram, error in zip(grams, errors, strict=True)]
        pull = float(lengths_above(np.append(lengths_above(np.abs(pulls) + doubts), 0.0)[None])[0])
        return pull, float(lengths_above(np.sqrt(np.append(largest, 0.0))[None])[0])


def rounded_ramp(values: Array, width: float) -> tuple[Array, Array]:
    """(t)_+ and its slope, (..., m); with a width, a parabola over that share of the largest |t| of each neuron."""
    if width == 0.0:
        return np.maximum(values, 0.0), (values > 0.0).astype(np.float64)
    reach = width * np.abs(values).max(axis=tuple(range(values.ndim - 1))) + 1e-300
    share: NDArray[np.float64] = np.clip(0.5 + 0.5 * values / reach, 0.0, 1.0)
    return np.where(share < 1.0, share * share * reach, np.maximum(values, 0.0)), share
