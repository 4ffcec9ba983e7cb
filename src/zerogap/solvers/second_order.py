"""Many second-order cones at once, with Nesterov-Todd scaling.

The gauge term beta * ||v|| of a block is beta * t with (t, v) in the second-order cone Q; its dual
variable is z = (beta, z1), ||z1|| <= beta. Notation and formulas follow the symmetric-cone literature
(Vandenberghe, "The CVXOPT linear and quadratic cone program solvers", 2010): W is the scaling with
W z = W^{-1} s = lambda, J = diag(1, -1, ..., -1). Every array has one row per cone, entry 0 first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def central_heights(lengths: Array, beta: float, mu: float) -> Array:
    """t with (t, v) o (beta, z1) = mu e for some z1, given ||v||: beta (t^2 - ||v||^2) = mu t."""
    return np.asarray((mu + np.sqrt(mu * mu + (2.0 * beta * lengths) ** 2)) / (2.0 * beta))


def product(a: Array, b: Array) -> Array:
    """The Jordan product (a . b, a0 b1 + b0 a1)."""
    return np.concatenate([np.sum(a * b, axis=1, keepdims=True), a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:]], axis=1)


def divide(a: Array, b: Array) -> Array:
    """The x with product(a, x) = b."""
    determinant = _determinant(a)[:, None]
    inner = np.sum(a[:, 1:] * b[:, 1:], axis=1, keepdims=True)
    head = (a[:, :1] * b[:, :1] - inner) / determinant
    tail = (b[:, 1:] - head * a[:, 1:]) / a[:, :1]
    return np.concatenate([head, tail], axis=1)


def longest(x: Array, direction: Array) -> float:
    """The largest step from interior points x that keeps all of them in their cones."""
    a = _determinant(direction)
    b = x[:, 0] * direction[:, 0] - np.sum(x[:, 1:] * direction[:, 1:], axis=1)
    c = np.maximum(_determinant(x), 1e-300)
    # The first positive root of a q^2 + 2 b q + c, in the form that does not cancel.
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    denominator = root - b
    hits = (denominator > 0.0) & ((b * b - a * c >= 0.0) & ((a < 0.0) | (b < 0.0)))
    steps = np.where(hits, c / np.where(hits, denominator, 1.0), np.inf)
    falling = np.where(direction[:, 0] < 0.0, -x[:, 0] / np.minimum(direction[:, 0], -1e-300), np.inf)
    return float(min(np.min(steps, initial=np.inf), np.min(falling, initial=np.inf)))


def _determinant(x: Array) -> Array:
    """x0^2 - ||x1||^2, factored so that it keeps its sign near the boundary."""
    length = np.linalg.norm(x[:, 1:], axis=1)
    return (x[:, 0] - length) * (x[:, 0] + length)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Nesterov-Todd scalings W = eta (2 v v' - J) of a batch of cones, and lambda = W z."""

    eta: Array
    w: Array
    point: Array

    @classmethod
    def of(cls, s: Array, z: Array) -> Scaling:
        size_s = np.sqrt(np.maximum(_determinant(s), 1e-300))
        size_z = np.sqrt(np.maximum(_determinant(z), 1e-300))
        unit_s, unit_z = s / size_s[:, None], z / size_z[:, None]
        half = np.sqrt(0.5 * (1.0 + np.sum(unit_s * unit_z, axis=1)))[:, None]
        reflected = np.concatenate([unit_z[:, :1], -unit_z[:, 1:]], axis=1)
        w = (unit_s + reflected) / (2.0 * half)
        # Restore the determinant 1 that the formulas below rely on.
        w[:, 0] = np.sqrt(1.0 + np.sum(w[:, 1:] ** 2, axis=1))
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
        head, tail = self.w[:, :1], sign * self.w[:, 1:]
        inner = np.sum(tail * x[:, 1:], axis=1, keepdims=True)
        return np.concatenate([head * x[:, :1] + inner, x[:, 1:] + (x[:, :1] + inner / (1.0 + head)) * tail], axis=1)

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
        inverse, tail, _ = self.hessian()
        corner = inverse * (2.0 * self.w[:, 0] ** 2 - 1.0)
        side = -2.0 * (inverse * self.w[:, 0])[:, None] * tail
        return target[:, 1:] - side * (target[:, :1] / corner[:, None]), target[:, 0] / corner

    def height(self, head: Array, dv: Array) -> Array:
        """dt that belongs to dv."""
        w0 = self.w[:, 0]
        return head + 2.0 * w0 / (2.0 * w0**2 - 1.0) * np.sum(self.w[:, 1:] * dv, axis=1)
