"""How the cones of the blocks enter the Newton system: by slacks s = K v and multipliers l of their walls.

Hard cones are in ``hard_cones``. Here are those that may be left at a price, rho times the violation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zerogap.solvers.inequalities import Capped

Array = NDArray[np.float64]

NOTHING = np.empty((0, 0))


class ConeTerm(Protocol):
    """The cones of m blocks at their current slacks and multipliers."""

    @property
    def count(self) -> int:
        """Number of complementarity pairs."""

    @property
    def polar(self) -> Array:
        """K' l, (p, m)."""

    def complementarity(self) -> float: ...

    def violation(self, v: Array) -> float:
        """What the blocks pay for being outside; v (p, m)."""

    def hessians(self) -> Array:
        """K' diag(weights) K of every block, packed, with dl = aim - l - weights ds; (p (p + 1) / 2, m)."""

    def aim(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        """Where the multipliers go if slacks stay, and K' of that, (p, m); both without entries for 0.

        `predicted` is the direction whose second-order terms are removed from complementarity (Mehrotra).
        """

    def respond(
        self, dv: Array, aim: Array, mu: float, predicted: tuple[Array, ...] | None
    ) -> tuple[tuple[Array, ...], float]:
        """The direction that belongs to dv, given ``aim(mu, predicted)``, and the largest step along it."""

    def moved(self, direction: tuple[Array, ...], length: float) -> ConeTerm:
        """The state after a step."""

    def multipliers(self) -> Array:
        """l >= 0 of all walls, (m, H)."""


@dataclass(frozen=True, eq=False)
class PenalisedCones:
    """Cones with violations at the price of ``caps``.

    Parameters
    ----------
    normals : (H, p) float64
    signs : (m, H) float64
        The cell of each block. Slacks and multipliers carry these signs, so that K is one matrix for all.
    caps : (H,) float64
        The largest multipliers.
    outer : (H, p (p + 1) / 2) float64
        The packed outer products of the normals.
    state : Capped
        Of shape (m, H).
    """

    normals: Array
    signs: Array
    caps: Array
    outer: Array
    state: Capped

    @classmethod
    def start(cls, normals: Array, signs: Array, caps: Array, v: Array, mu: float) -> PenalisedCones:
        """On the central path at blocks v (p, m)."""
        lower = np.tril_indices(normals.shape[1])
        outer = normals[:, lower[0]] * normals[:, lower[1]]
        return cls(normals, signs, caps, outer, Capped.start(v.T @ normals.T, signs * caps, mu))

    @property
    def count(self) -> int:
        return self.state.count

    @cached_property
    def polar(self) -> Array:
        return np.asarray(np.dot(self.normals.T, self.state.l.T))

    def complementarity(self) -> float:
        return self.state.complementarity()

    def violation(self, v: Array) -> float:
        below = np.maximum(0.0, -self.signs * (v.T @ self.normals.T))
        return float(np.sum(below @ self.caps))

    def hessians(self) -> Array:
        return np.asarray(np.dot(self.outer.T, self.state.weights().T))

    def aim(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        aim = self.state.aim(mu, predicted)
        return aim, np.asarray(np.dot(self.normals.T, aim.T))

    def respond(
        self, dv: Array, aim: Array, mu: float, predicted: tuple[Array, ...] | None
    ) -> tuple[tuple[Array, ...], float]:
        return self.state.respond(np.dot(dv.T, self.normals.T), aim, mu, predicted)

    def moved(self, direction: tuple[Array, ...], length: float) -> PenalisedCones:
        return PenalisedCones(self.normals, self.signs, self.caps, self.outer, self.state.moved(direction, length))

    def multipliers(self) -> Array:
        return np.abs(self.state.l)
