"""Capped inequalities of a primal-dual interior point method.

    minimise  ... + sum_j cap_j (-z_j)_+        with z affine in the unknowns

has multipliers l_j in [0, cap_j]. In standard form s = z + t, s >= 0 with multiplier l, t >= 0 with multiplier
cap - l. Penalised cones and the hinge loss (z = y f - 1, cap = weight) are of this kind.

Every inequality may be written with a sign of its own: z, s, t, l and the cap are then all multiplied by it.
Products and quotients of two of them do not change, and these are all that the method uses. So the walls of
all cells share their normals, and K v is one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.solvers import kernels

Array = NDArray[np.float64]


@dataclass(eq=False)
class Capped:
    """State: slacks `s`, multipliers `l`, violations `t` and their multipliers `u`; the direction is (ds, dl, dt).

    The direction satisfies dl = aim - l - weights * dz. u = cap - l is carried along, because the difference
    cancels where l is close to its cap.
    """

    s: Array
    l: Array  # noqa: E741
    t: Array
    u: Array

    @classmethod
    def start(cls, z: Array, cap: Array, mu: float) -> Capped:
        """On the central path at any z: l s = mu and (cap - l) t = mu with s - t = z."""
        cap = np.broadcast_to(cap, z.shape)
        # s and t are the positive roots of s l = t (cap - l) = mu with s - t = z.
        base, sign = mu / cap, np.sign(cap)
        root = sign * np.sqrt(0.25 * z * z + base * base)
        s, t = base + root + 0.5 * z, base + root - 0.5 * z
        return cls(s, mu / s, t, mu / t)

    @property
    def count(self) -> int:
        return 2 * self.s.size

    def complementarity(self) -> float:
        return float(np.vdot(self.s, self.l)) + float(np.vdot(self.t, self.u))

    def weights(self) -> Array:
        return self.l / (self.s + self.l * self.t / self.u)

    def aim(self, mu: float, predicted: tuple[Array, ...] | None) -> Array:
        """Where the multipliers go if z stays.

        `predicted` is the direction whose second-order terms are removed from complementarity (Mehrotra).
        """
        return np.asarray(self.l + self.constant(mu, predicted))

    def constant(self, mu: float, predicted: tuple[Array, ...] | None) -> Array:
        """``aim`` less l, without cancellation."""
        first, second = mu - self.s * self.l, mu - self.t * self.u
        if predicted is not None:
            first, second = first - predicted[0] * predicted[1], second + predicted[2] * predicted[1]
        return np.asarray((first - self.l * second / self.u) / (self.s + self.l * self.t / self.u))

    def respond(
        self, dz: Array, aim: Array, mu: float, predicted: tuple[Array, ...] | None
    ) -> tuple[tuple[Array, ...], float]:
        """The direction that belongs to dz, given ``aim(mu, predicted)``, and the largest step along it."""
        direction = self.step(dz, aim - self.l - self.weights() * dz, mu, predicted)
        return direction, self.longest(direction)

    def step(self, dz: Array, dl: Array, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, ...]:
        """(ds, dl, dt) that belong to dz and dl."""
        second = mu - self.t * self.u
        if predicted is not None:
            second = second + predicted[2] * predicted[1]
        dt = (second + self.t * dl) / self.u
        return dz + dt, dl, dt

    def longest(self, direction: tuple[Array, ...]) -> float:
        """The largest step that keeps everything non-negative."""
        shrink = max(ratio(direction[0], self.s), ratio(direction[1], self.l))
        shrink = max(shrink, ratio(direction[2], self.t), ratio(-direction[1], self.u))
        return 1.0 / shrink if shrink > 0.0 else np.inf

    def moved(self, direction: tuple[Array, ...], length: float) -> Capped:
        return Capped(
            self.s + length * direction[0],
            self.l + length * direction[1],
            self.t + length * direction[2],
            self.u - length * direction[1],
        )


def ratio(change: Array, value: Array) -> float:
    """max_j -change_j / value_j, at least 0."""
    return float(kernels.shrinkage(change, value))
