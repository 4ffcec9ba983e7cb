r"""Blocks that vanish at the solution, and leave the Newton system before.

On the central path the price of a block b is ||z_b|| = beta (1 - slack_b), and slack_b times its height is about mu.
A block that stays has a height that tends to a constant, so its slack falls with mu; one that vanishes has a slack
that tends to a constant instead. A slack that no longer follows mu therefore tells the two apart (an indicator in
the sense of Tapia) long before heights do: when most blocks can go, all of them still have a similar length.

A block that leaves walks straight to zero, v <- (1 - share) v with every step, so that predictions change no faster
than by any other Newton direction, and it stays inside its cell. Its multipliers no longer move by themselves.
Where r raises its price ||T' r + K' l|| above beta, they are lowered by affine scaling (Dikin's method),

    minimise || g + K' l ||  over l > 0:     dl = -diag(l)^2 K u,   ( K' diag(l)^2 K ) u = g + K' l,

and where a few steps do not suffice, the problem is solved exactly. So every report still has multipliers and a price
for every block. If a price cannot be brought down, its block was taken for vanishing wrongly: the method goes back
to where everyone was present, and nobody leaves again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerogap.cones import polar_multipliers
from zerogap.solvers import kernels, wall_kernels
from zerogap.solvers.near_walls import NearWalls

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

IDENTIFIED = 0.6
"""The relative gap below which blocks may leave: slacks mean little far away from the central path."""

CLEAR = 0.01
"""The least slack of a block that leaves."""

NOTABLE = 0.8
"""The ratio of mu to its value one step earlier above which slacks are not compared."""

CONSTANT = 0.1
"""A slack counts as constant if it falls by no more than this power of mu."""

EXCESS = 0.02
"""By how much prices of absent blocks may exceed those of present ones, in units of about the relative gap."""

SWEEPS = 8
"""Steps of affine scaling per iteration; one nearly always suffices, but multipliers near zero grow slowly."""

OVERDUE = 2
"""Iterations in a row with too high a price after which everyone returns."""

WORTHWHILE = 5e6
"""Multiplications that a departure has to save in every later iteration; it costs about 0.3 ms once."""

SHARE = 0.05
"""The least share of the present blocks that leaves at a time: the maps of all others are copied."""


def vanishing(price: Array, before: Array, ratio: float) -> NDArray[np.bool_]:
    """Which blocks vanish, judging by ||z_b|| / beta after and before a step that scaled mu by `ratio`; all (m,)."""
    slack = 1.0 - price
    return np.asarray((slack > CLEAR) & (slack >= ratio**CONSTANT * (1.0 - before)))


class Absent(NamedTuple):
    """The blocks that have left; L of M.

    Parameters
    ----------
    members : (L,) intp
        Which of the M blocks.
    v : (p, L) float64
        What they still have to walk.
    image : (n,) float64
        The predictions of that.
    multipliers : (L, k) float64
        Of the near walls of their cells; k = 0 without cones.
    polar : (p, L) float64
        K' l.
    price : float
        The largest ||T' r + K' l||.
    overdue : int
        For how many iterations in a row that has been too high.
    """

    members: Indices
    v: Array
    image: Array
    multipliers: Array
    polar: Array
    price: float = 0.0
    overdue: int = 0

    @classmethod
    def nobody(cls, p: int, samples: int) -> Absent:
        """Everyone is present."""
        none = np.zeros(0, dtype=np.intp)
        return cls(none, np.zeros((p, 0)), np.zeros(samples), np.zeros((0, 0)), np.zeros((p, 0)))

    def joined(self, other: Absent) -> Absent:
        """Both."""
        if not self.members.size:
            return other
        return Absent(
            np.concatenate([self.members, other.members]),
            np.concatenate([self.v, other.v], axis=1),
            self.image + other.image,
            np.concatenate([self.multipliers, other.multipliers]),
            np.concatenate([self.polar, other.polar], axis=1),
            max(self.price, other.price),
            self.overdue,
        )

    def walked(self, share: float) -> Absent:
        """After a step towards zero."""
        return self._replace(v=(1.0 - share) * self.v, image=(1.0 - share) * self.image)

    def widened(self) -> Absent:
        """With a further wall near every cell, whose multipliers are 0."""
        return self._replace(multipliers=np.pad(self.multipliers, ((0, 0), (0, 1))))

    def priced(self, gradient: Array, limit: float, near: NearWalls | None, cell: Indices) -> Absent:
        """With prices lowered where they exceed `limit`.

        Parameters
        ----------
        gradient : (p, L) float64
            T' r of the blocks, with their signs.
        limit : float
        near : NearWalls or None
            None without cones.
        cell : (L,) intp
            The cell of each block.
        """
        p = gradient.shape[0]
        everything = np.arange(p)
        multipliers, polar = self.multipliers, self.polar
        prices = kernels.norms(gradient + polar, everything)
        high = np.flatnonzero(prices > limit)
        for sweep in range(SWEEPS + 1):
            if not high.size or near is None:
                break
            if sweep == 0:
                multipliers, polar = multipliers.copy(), polar.copy()
            before, where = multipliers[high], cell[high]
            if sweep < SWEEPS:
                after = _scaled(before, np.take(gradient + polar, high, axis=1), near.normals, where)
            else:
                normals = near.normals[where].transpose(0, 2, 1)
                after = np.array([_best(*x, limit) for x in zip(before, gradient.T[high], normals, strict=True)])
            multipliers[high] = after
            polar[:, high] = wall_kernels.push(near.normals, where, after)
            prices = kernels.norms(gradient + polar, everything)
            high = np.flatnonzero(prices > limit)
        overdue = self.overdue + 1 if high.size else 0
        return self._replace(multipliers=multipliers, polar=polar, price=float(prices.max()), overdue=overdue)


def _scaled(multipliers: Array, pull: Array, normals: Array, cell: Indices) -> Array:
    """One step of affine scaling; multipliers (k, n), pull (p, k) = g + K' l, normals (C, p, n), cell (k,)."""
    squares = multipliers * multipliers
    hessians = wall_kernels.hessians(normals, cell, squares, np.ones_like(squares))
    roots, positive = kernels.inverse_roots(hessians, pull.shape[0])
    if not positive:
        return multipliers
    fall = multipliers * wall_kernels.slacks(normals, cell, kernels.solve_blocks(roots, pull))
    length = np.minimum(1.0, 0.9 / np.maximum(fall.max(axis=1, keepdims=True), 1e-300))
    return np.asarray(multipliers * (1.0 - length * fall))


def _best(multipliers: Array, gradient: Array, normals: Array, limit: float) -> Array:
    """The least price's multipliers, but as close to the given ones (n,) as `limit` permits, to stay positive."""
    least = polar_multipliers(normals, gradient)
    low, high = (float(np.linalg.norm(gradient + l @ normals)) for l in (least, multipliers))  # noqa: E741
    share = min(max(0.5 * (limit - low) / max(high - low, 1e-300), 0.01), 0.5)
    return np.asarray(share * multipliers + (1.0 - share) * least)
