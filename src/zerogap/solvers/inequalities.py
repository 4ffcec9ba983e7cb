"""Capped inequalities of a primal-dual interior point method.

    minimise  ... + sum_j cap_j (-z_j)_+        with z affine in the unknowns

has multipliers l_j in [0, cap_j]; an infinite cap is the constraint z_j >= 0. In standard form
s = z + t, s >= 0 with multiplier l, t >= 0 with multiplier cap - l. Cone constraints, their penalised
form, and the hinge loss (z = y f - 1, cap = weight) are all of this kind.

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

NOTHING = np.empty((0, 0))


@dataclass(eq=False)
class Inequalities:
    """State: slacks `s`, multipliers `l`, and with caps violations `t` and their multipliers `u`.

    u = cap - l is carried along, because the difference cancels where l is close to its cap.

    The search direction satisfies  dl = constant - weight * dz  (``weights``, and ``aim`` for l + constant).
    """

    s: Array
    l: Array  # noqa: E741
    t: Array | None = None
    u: Array | None = None

    @classmethod
    def hard(cls, z: Array, mu: float) -> Inequalities:
        """z >= 0, started on the central path at a (signed) z that is strictly feasible."""
        return cls(z.copy(), mu / z)

    @classmethod
    def capped(cls, z: Array, cap: Array, mu: float) -> Inequalities:
        """Started on the central path at any z: l s = mu and (cap - l) t = mu with s - t = z."""
        cap = np.broadcast_to(cap, z.shape)
        # s and t are the positive roots of s l = t (cap - l) = mu with s - t = z.
        base, sign = mu / cap, np.sign(cap)
        root = sign * np.sqrt(0.25 * z * z + base * base)
        s, t = base + root + 0.5 * z, base + root - 0.5 * z
        return cls(s, mu / s, t, mu / t)

    @property
    def count(self) -> int:
        return self.s.size * (1 if self.t is None else 2)

    def complementarity(self) -> float:
        total = float(np.vdot(self.s, self.l))
        if self.t is not None and self.u is not None:
            total += float(np.vdot(self.t, self.u))
        return total

    def weights(self) -> Array:
        """The weight of ``linearise``, which depends on the state alone."""
        if self.t is None or self.u is None:
            return self.l / self.s
        return self.l / (self.s + self.l * self.t / self.u)

    def aim(self, mu: float, predicted: tuple[Array, ...] | None = None) -> Array:
        """l + constant: where the multipliers go if z stays; an empty array for nothing but zeros."""
        if self.t is None or self.u is None:
            if predicted is None:
                return np.asarray(mu / self.s) if mu else NOTHING
            goal = np.empty_like(self.s)
            kernels.aim(mu, predicted[0], self.s, self.l, goal)
            return goal
        return np.asarray(self.l + self.linearise(mu, predicted)[0])

    def linearise(self, mu: float, predicted: tuple[Array, ...] | None = None) -> tuple[Array, Array]:
        """Constant and weight of dl = constant - weight * dz, of capped inequalities, that aim at `mu`.

        `predicted` is the direction whose second-order terms ds dl and dt d(cap - l) are removed (Mehrotra).
        """
        assert self.t is not None and self.u is not None
        first, second = mu - self.s * self.l, mu - self.t * self.u
        if predicted is not None:
            first, second = first - predicted[0] * predicted[1], second + predicted[2] * predicted[1]
        denominator = self.s + self.l * self.t / self.u
        return (first - self.l * second / self.u) / denominator, self.l / denominator

    def respond(
        self, dz: Array, aim: Array, mu: float, predicted: tuple[Array, ...] | None
    ) -> tuple[tuple[Array, ...], float]:
        """The direction that belongs to dz, given ``aim(mu, predicted)``, and the largest step along it.

        With hard inequalities and nothing aimed at, the direction is dz alone: dl = -l (1 + dz / s) is not needed.
        """
        if self.t is None or self.u is None:
            if not aim.size:
                low, high = kernels.share_range(dz, self.s)
                return (dz,), 1.0 / max(-low, 1.0 + high)
            dl = np.empty_like(dz)
            shrink = max(kernels.respond(dz, self.s, self.l, aim, dl))
            return (dz, dl), 1.0 / shrink if shrink > 0.0 else np.inf
        direction = self.step(dz, aim - self.l - self.weights() * dz, mu, predicted)
        return direction, self.longest(direction)

    def step(self, dz: Array, dl: Array, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, ...]:
        """(ds, dl, dt) of capped inequalities that belong to dz and dl."""
        assert self.t is not None and self.u is not None
        second = mu - self.t * self.u
        if predicted is not None:
            second = second + predicted[2] * predicted[1]
        dt = (second + self.t * dl) / self.u
        return dz + dt, dl, dt

    def longest(self, direction: tuple[Array, ...]) -> float:
        """The largest step that keeps everything non-negative."""
        shrink = max(ratio(direction[0], self.s), ratio(direction[1], self.l))
        if self.t is not None and self.u is not None:
            shrink = max(shrink, ratio(direction[2], self.t), ratio(-direction[1], self.u))
        return 1.0 / shrink if shrink > 0.0 else np.inf

    def moved(self, direction: tuple[Array, ...], length: float) -> Inequalities:
        """The state after a step."""
        if self.t is None or self.u is None:
            return Inequalities(*kernels.stepped(self.s, direction[0], self.l, direction[1], length))
        s, l = self.s + length * direction[0], self.l + length * direction[1]  # noqa: E741
        return Inequalities(s, l, self.t + length * direction[2], self.u - length * direction[1])

    def shifted(self, change: Array) -> Inequalities:
        """Capped inequalities after z has changed: either s or t grows, so that s - t = z holds again."""
        assert self.t is not None
        return Inequalities(self.s + np.maximum(change, 0.0), self.l, self.t + np.maximum(-change, 0.0), self.u)


def ratio(change: Array, value: Array) -> float:
    """max_j -change_j / value_j, at least 0."""
    return float(kernels.shrinkage(change, value))
