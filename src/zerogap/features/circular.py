r"""Features of circular convolutional networks (P0, architectures E and F).

Linear, two layers:         Phi(u, b) = X circ(u) + b 1 1'  in R^{n x d},     f = sum_j Phi(u_j, b_j) w_j
One ReLU, depth L >= 3:     Phi(c, w, b) = (X circ(a) w + b 1)_+,             f = sum_j Phi(c_j, w_j, b_j) v_j

where a = t c_1 * ... * c_{L-2} / ||c_1 * ... * c_{L-2}|| is the composite of the filters of the path, of length t. Only
w, b and v are decayed. With z = a * w the cost of a path is ||w|| >= ||F z||_1 / (sqrt(d) t), with equality for the
best filters of full size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zerogap.circulant import convolved, correlated, filter_gradient, shifted
from zerogap.features.base import Array, Back, Features
from zerogap.features.pooled import PooledFeatures
from zerogap.rounding import gamma, lengths
from zerogap.spectral import singular_value_above


@dataclass(frozen=True, eq=False)
class LinearCircularFeatures(Features):
    """Two layers without activation.

    Parameters
    ----------
    size : int
        h, the entries of a filter.
    biased : bool
        Whether rows end with the 1 of a bias.
    """

    size: int = 1
    biased: bool = False

    @property
    def outputs(self) -> int:
        return self.rows.dimension - self.biased

    @property
    def dimension(self) -> int:
        return self.size + self.biased

    @property
    def roundings(self) -> int:
        return self.dimension + 4

    @cached_property
    def _shifts(self) -> Array:
        """The rows of Phi, which is linear: (n, d, h), with the 1 of a bias behind."""
        views = shifted(self.rows.matrix[:, 0, : self.outputs])[:, : self.size].transpose(0, 2, 1)
        ones = np.ones((*views.shape[:2], int(self.biased)))
        return np.concatenate([views, ones], axis=2)

    def forward(self, weights: Array, width: float = 0.0) -> tuple[Array, Back]:
        def back(cotangent: Array) -> Array:
            return np.tensordot(cotangent, self._shifts, axes=([0, 1], [0, 1]))

        return self._shifts @ weights.T, back

    def magnitude(self, weights: Array) -> Array:
        return np.asarray(np.abs(self._shifts) @ np.abs(weights).T)

    def random(self, count: int, rng: np.random.Generator) -> Array:
        return self.unit(rng.standard_normal((count, self.dimension)))

    def price_above(self, residual: Array) -> tuple[float, str]:
        """The largest singular value of sum_s r_s Phi_s; without bias and for h = d it is sqrt(d) max |F X' r|.

        A free bias adds the same constant to all outputs, which a residual that sums to zero does not see.
        """
        shifts = self._shifts[..., : self.size] if self.free else self._shifts
        pairs = [(residual, shifts), (np.abs(residual), np.abs(shifts))]
        products = [np.tensordot(np.atleast_2d(part.T), rows, axes=1) for part, rows in pairs]  # (C, d, h)
        matrix, magnitude = [each.reshape(-1, shifts.shape[2]) for each in products]
        error = gamma(residual.shape[0] + 8) * float(lengths(magnitude.ravel()))
        return singular_value_above(matrix, error * (1.0 + 1e-12)), "closed form"

    def joint_price_above(self, residual: Array) -> tuple[float, str]:
        return self.price_above(residual)


@dataclass(frozen=True, eq=False)
class CircularFeatures(Features):
    """Depth L >= 3 with one ReLU.

    Parameters
    ----------
    layers : int
        L - 2 filters.
    size : int
        h, the entries of each.
    length : float
        t, the length of the composite filter.
    biased : bool
        Whether rows end with the 1 of a bias.
    """

    layers: int = 1
    size: int = 1
    length: float = 1.0
    biased: bool = False

    @property
    def outputs(self) -> int:
        return 1

    @property
    def dimension(self) -> int:
        return self.filters + self.rows.dimension

    @property
    def filter_shape(self) -> tuple[int, ...]:
        return self.layers, self.size

    @property
    def inputs(self) -> int:
        """d."""
        return self.rows.dimension - self.biased

    @property
    def roundings(self) -> int:
        return 2 * self.layers * (self.size + 2) + 2 * self.inputs + self._neurons.roundings + 12

    @cached_property
    def _neurons(self) -> PooledFeatures:
        """The features of (z, b)."""
        return PooledFeatures(self.rows, self.free)

    def composites(self, weights: Array) -> tuple[Array, Array, list[Array], list[Array]]:
        """z (m, d), and of what it is made: the lengths of c_1 * c_2 ..., its partial products, and those with w."""
        filters = weights[:, : self.filters].reshape(weights.shape[0], *self.filter_shape)
        signal = weights[:, self.filters : self.filters + self.inputs]
        impulse = np.zeros_like(signal)
        impulse[:, 0] = 1.0
        products, signals = [impulse], [signal]
        for layer in range(self.layers):
            products.append(convolved(filters[:, layer], products[-1]))
            signals.append(convolved(filters[:, layer], signals[-1]))
        lengths = np.linalg.norm(products[-1], axis=1)
        scale = self.length / np.where(lengths > 0.0, lengths, np.inf)
        return scale[:, None] * signals[-1], lengths, products, signals

    def forward(self, weights: Array, width: float = 0.0) -> tuple[Array, Back]:
        composites, lengths, products, signals = self.composites(weights)
        filters = weights[:, : self.filters].reshape(weights.shape[0], *self.filter_shape)
        values, inner = self._neurons.forward(self._with_bias(composites, weights), width)

        def back(cotangent: Array) -> Array:
            gradient = inner(cotangent)
            down = gradient[:, : self.inputs]
            scale = 1.0 / np.where(lengths > 0.0, lengths, np.inf)[:, None]
            along = np.sum(down * composites, axis=1, keepdims=True)
            to_product, to_signal = -along * scale**2 * products[-1], self.length * scale * down
            found = np.zeros((weights.shape[0], *self.filter_shape))
            for layer in reversed(range(self.layers)):
                found[:, layer] = filter_gradient(to_signal, signals[layer], self.size)
                found[:, layer] += filter_gradient(to_product, products[layer], self.size)
                to_signal = correlated(filters[:, layer], to_signal)
                to_product = correlated(filters[:, layer], to_product)
            return np.concatenate([found.reshape(-1, self.filters), to_signal, gradient[:, self.inputs :]], axis=1)

        return values, back

    def magnitude(self, weights: Array) -> Array:
        """Cancellation in the composite filter multiplies the error of its length by ||abs|| / || ||."""
        composites, _, products, _ = replace(self, length=1.0).composites(np.abs(weights))
        _, lengths, _, _ = self.composites(weights)
        absolute = np.linalg.norm(products[-1], axis=1)
        loss = absolute / np.where(lengths > 0.0, lengths, np.nan)
        loss = np.where(loss * gamma(self.roundings) < 0.1, loss, np.inf)
        size = self.length * loss * (1.0 + 2.0 * loss)
        with np.errstate(invalid="ignore"):
            scaled = np.where(composites > 0.0, composites * size[:, None], 0.0)
        return self._neurons.magnitude(self._with_bias(scaled, np.abs(weights)))

    def random(self, count: int, rng: np.random.Generator) -> Array:
        weights = rng.standard_normal((count, self.dimension))
        if self.free:
            # A kink at a random row.
            rows = self.rows.flat[rng.integers(self.samples, size=count), : self.inputs]
            weights[:, -1] = -np.sum(rows * self.composites(weights)[0], axis=1)
        return self.unit(weights)

    def price_above(self, residual: Array) -> tuple[float, str]:
        """That of all z with ||z||_2 <= ||F z||_1 <= kappa, kappa = sqrt(d) t, by the relaxation of a plain neuron."""
        kappa = float(np.sqrt(self.inputs)) * self.length * (1.0 + 1e-15)
        rows = self.rows.matrix
        if self.biased and not self.free:
            # X z + b = kappa (X z' + b / kappa) with z = kappa z' and ||(z', b)|| <= 1.
            rows = rows.copy()
            rows[..., -1] = (1.0 + 1e-15) / kappa * (1.0 + 4e-15)
        bound, proof = PooledFeatures(replace(self.rows, matrix=rows), self.free).price_above(residual)
        return kappa * bound * (1.0 + 1e-15), proof

    def _with_bias(self, composites: Array, weights: Array) -> Array:
        return np.concatenate([composites, weights[:, self.filters + self.inputs :]], axis=1)
