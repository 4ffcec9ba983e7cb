"""Cones that are constraints: barriers for the near walls of every block, and an eye on all others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zerogap.solvers import wall_kernels
from zerogap.solvers.cone_terms import NOTHING
from zerogap.solvers.near_walls import NearWalls

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

CROSSED = 0.005
"""The share of a slack that counts as nothing left: steps leave 0.01 of the near ones."""

CLOSE = 0.98
"""How much of the way to a wall that is not near a step may go."""


MODEST = 0.1
"""The multiplier of a wall that joins, at most, in units of the largest one of its block."""


@dataclass(frozen=True, eq=False)
class AllWalls:
    """What cones need to know of the H walls and C cells: normals (H, p), and signs (C, H)."""

    normals: Array
    signs: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HardCones:
    """Slacks and multipliers of m blocks; the direction is (ds, dl), or (ds,) where nothing is aimed at.

    Parameters
    ----------
    walls : AllWalls
    near : NearWalls
        k walls of each of C cells.
    cell : (m,) intp
        The cell of each block.
    s, l : (m, k) float64
        Positive.
    polar : (p, m) float64
        K' l.
    products : float
        The sum of s l.
    """

    walls: AllWalls
    near: NearWalls
    cell: Indices
    s: Array
    l: Array  # noqa: E741
    polar: Array
    products: float

    @classmethod
    def start(cls, walls: AllWalls, near: NearWalls, cell: Indices, v: Array, mu: float) -> HardCones:
        """On the central path at blocks v (p, m) inside their cells."""
        s = wall_kernels.slacks(near.normals, cell, v)
        l = mu / s  # noqa: E741
        return cls(walls, near, cell, s, l, wall_kernels.push(near.normals, cell, l), mu * s.size)

    @property
    def count(self) -> int:
        return self.s.size

    def complementarity(self) -> float:
        return self.products

    def violation(self, v: Array) -> float:
        return 0.0

    def hessians(self) -> Array:
        return np.asarray(wall_kernels.hessians(self.near.normals, self.cell, self.l, self.s))

    def aim(self, mu: float, predicted: tuple[Array, ...] | None) -> tuple[Array, Array]:
        if predicted is None and not mu:
            return NOTHING, NOTHING
        change = NOTHING if predicted is None else predicted[0]
        aim, pushed = wall_kernels.aimed(self.near.normals, self.cell, mu, change, self.s, self.l)
        return aim, pushed

    def respond(
        self, dv: Array, aim: Array, mu: float, predicted: tuple[Array, ...] | None
    ) -> tuple[tuple[Array, ...], float]:
        normals, cell = self.near.normals, self.cell
        if not aim.size:
            ds, low, high = wall_kernels.foreseen(normals, cell, dv, self.s)
            return (ds,), 1.0 / max(-low, 1.0 + high)
        ds, dl, shrink = wall_kernels.answered(normals, cell, dv, self.s, self.l, aim)
        return (ds, dl), 1.0 / shrink if shrink > 0.0 else np.inf

    def moved(self, direction: tuple[Array, ...], length: float) -> HardCones:
        """The state after a step."""
        s, l, polar, products = wall_kernels.stepped(  # noqa: E741
            self.near.normals, self.cell, self.s, direction[0], self.l, direction[1], length
        )
        return HardCones(self.walls, self.near, self.cell, s, l, polar, products)

    def crosses(self, before: Array, after: Array) -> bool:
        """Whether a step of the blocks, both (p, m), crosses walls that are not near, or nearly."""
        normals = self.walls.normals
        return self.near.which.shape[1] < normals.shape[0] and bool(
            wall_kernels.crossed(before, after, normals, CROSSED)
        )

    def crossing(self, before: Array, after: Array) -> tuple[float, Indices]:
        """The share of that step that does not cross them, and for each cell the wall that comes closest."""
        normals = self.walls.normals.T
        fall, entering = wall_kernels.deepest(before.T @ normals, after.T @ normals, self.cell, self.near.which)
        return min(1.0, CLOSE / fall), entering

    def joined(self, near: NearWalls, mu: float, v: Array) -> HardCones:
        """With the last of the walls of `near` as a further one, at blocks v (p, m).

        It starts on the central path of mu, unless that takes a multiplier far above the others: then prices jump.
        """
        last = NearWalls(near.which[:, -1:], np.ascontiguousarray(near.normals[:, :, -1:]))
        s = np.concatenate([self.s, wall_kernels.slacks(last.normals, self.cell, v)], axis=1)
        largest = MODEST * self.l.max(axis=1, keepdims=True)
        l = np.concatenate([self.l, np.minimum(mu / s[:, -1:], largest)], axis=1)  # noqa: E741
        polar = self.polar + wall_kernels.push(last.normals, self.cell, l[:, -1:])
        return HardCones(self.walls, near, self.cell, s, l, polar, float(np.vdot(s, l)))

    def take(self, blocks: Indices) -> HardCones:
        """Those of some blocks."""
        s, l = self.s[blocks], self.l[blocks]  # noqa: E741
        polar = np.take(self.polar, blocks, axis=1)
        return replace(self, cell=self.cell[blocks], s=s, l=l, polar=polar, products=float(np.vdot(s, l)))

    def multipliers(self) -> Array:
        return scattered(self.l, self.near.which[self.cell], self.walls.normals.shape[0])


def scattered(multipliers: Array, index: Indices, walls: int) -> Array:
    """Multipliers (m, k) of given walls (m, k) among all, (m, H)."""
    result = np.zeros((multipliers.shape[0], walls))
    np.put_along_axis(result, index, multipliers, axis=1)
    return result
