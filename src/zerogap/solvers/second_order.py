"""Many second-order cones at once, with Nesterov-Todd scaling.

The gauge term beta * ||v|| of a block is beta * t with (t, v) in the second-order cone Q; its dual
variable is z = (beta, z1), ||z1|| <= beta. Notation and formulas follow the symmetric-cone literature
(Vandenberghe, "The CVXOPT linear and quadratic cone program solvers", 2010): W is the scaling with
W z = W^{-1} s = lambda, J = diag(1, -1, ..., -1). Every array has one row per cone, entry 0 first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def central_heights(lengths: Array, beta: float, mu: float) -> Array:
    """t with (t, v) o (beta, z1) = mu e for some z1, given ||v||: beta (t^2 - ||v||^2) = mu t."""
    return np.asarray((mu + np.sqrt(mu * mu + (2.0 * beta * lengths) ** 2)) / (2.0 * beta))


def product(a: Array, b: Array) -> Array:
    """The Jordan product (a . b, a0 b1 + b0 a1)."""
    result = a[:, :1] * b
    result += b[:, :1] * a
    result[:, 0] = inner(a, b)
    return np.asarray(result)


def divide(a: Array, b: Array) -> Array:
    """The x with product(a, x) = b."""
    head = (a[:, 0] * b[:, 0] - inner(a[:, 1:], b[:, 1:])) / determinant(a)
    result = (b - head[:, None] * a) / a[:, :1]
    result[:, 0] = head
    return np.asarray(result)


def longest(x: Array, size: Array, direction: Array) -> float:
    """The largest step from interior points x, of determinants `size`, that keeps all of them in their cones."""
    a = determinant(direction)
    b = x[:, 0] * direction[:, 0] - inner(x[:, 1:], direction[:, 1:])
    c = np.maximum(size, 1e-300)
    # The first positive root of a q^2 + 2 b q + c, in the form that does not cancel.
    square = b * b - a * c
    denominator = np.sqrt(np.maximum(square, 0.0)) - b
    hits = (denominator > 0.0) & (square >= 0.0) & ((a < 0.0) | (b < 0.0))
    # The largest 1 / step, so that nothing is divided by zero.
    shrink = np.max(np.where(hits, denominator / c, 0.0), initial=0.0)
    shrink = max(float(shrink), float(np.max(-direction[:, 0] / x[:, 0], initial=0.0)))
    return 1.0 / shrink if shrink > 0.0 else np.inf


def inner(a: Array, b: Array) -> Array:
    """Row-wise inner products."""
    return np.asarray(np.einsum("ij,ij->i", a, b))


def determinant(x: Array) -> Array:
    """x0^2 - ||x1||^2, factored so that it keeps its sign near the boundary."""
    length = np.sqrt(inner(x[:, 1:], x[:, 1:]))
    return (x[:, 0] - length) * (x[:, 0] + length)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Nesterov-Todd scalings W = eta (2 v v' - J) of a batch of cones, and lambda = W z."""

    eta: Array
    w: Array
    point: Array

    @classmethod
    def of(cls, s: Array, z: Array, sizes: tuple[Array, Array]) -> Scaling:
        """The scaling of points s, z with these determinants."""
        size_s, size_z = (np.sqrt(np.maximum(size, 1e-300)) for size in sizes)
        unit_s, unit_z = s / size_s[:, None], z / size_z[:, None]
        half = np.sqrt(0.5 * (1.0 + inner(unit_s, unit_z)))[:, None]
        w = (unit_s - unit_z) / (2.0 * half)
        # The first entry of unit_s + J unit_z, in the form that makes the determinant 1 exactly.
        w[:, 0] = np.sqrt(1.0 + inner(w[:, 1:], w[:, 1:]))
        eta = np.sqrt(size_s / size_z)
        scaling = cls(eta, w, z)
        return cls(eta, w, scaling.times(z))

    def times(self, x: Array) -> Array:
        """W x."""
        return self.eta[:, None] * self._reflect(x, 1.0)

    def solve(self, x: Array) -> Array:
        """W^{-1} x."""
        return self._reflect(x, -1.0) / self.eta[:, None]

    def _reflect(self, x: Array, sign: float) -> Array:
        head = self.w[:, 0]
        along = sign * inner(self.w[:, 1:], x[:, 1:])
        result = x + (sign * (x[:, 0] + along / (1.0 + head)))[:, None] * self.w
        result[:, 0] = head * x[:, 0] + along
        return np.asarray(result)

    @cached_property
    def hessian(self) -> tuple[Array, Array, Array]:
        """W^{-2} with t eliminated, in pieces.

        Returns
        -------
        diagonal : (m,), tail : (m, q), factor : (m,)
            The (q, q) matrix is ``diagonal I - factor tail tail'``.
        """
        inverse = 1.0 / self.eta**2
        tail = self.w[:, 1:]
        return inverse, tail, 2.0 * inverse / (2.0 * self.w[:, 0] ** 2 - 1.0)

    def eliminate(self, target: Array) -> tuple[Array, Array]:
        """Constants of the two eliminations for dz = target - W^{-2} (dt, dv) with dz_0 = 0.

        Returns
        -------
        constant : (m, q)
            dz1 = constant - hessian dv.
        head : (m,)
            dt = head + ratio . dv with ``ratio`` of ``height``.
        """
        inverse, tail, _ = self.hessian
        corner = inverse * (2.0 * self.w[:, 0] ** 2 - 1.0)
        side = -2.0 * (inverse * self.w[:, 0])[:, None] * tail
        return target[:, 1:] - side * (target[:, :1] / corner[:, None]), target[:, 0] / corner

    def height(self, head: Array, dv: Array) -> Array:
        """dt that belongs to dv."""
        w0 = self.w[:, 0]
        return head + 2.0 * w0 / (2.0 * w0**2 - 1.0) * inner(self.w[:, 1:], dv)
