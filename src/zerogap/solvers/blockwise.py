"""Steps in which no block waits for another.

A common step ends where the first of thousands of walls is in its way: at half of what nearly all blocks could go. Here
each block goes as far as it can, a share a_b of its direction. The predictions that this loses, e = A (1 - a) dv, are
made up for by everybody, with the factors of the same Newton matrix:

    B dv' + A' q' = 0,     q' = w (A dv' - e),

so that residual and stationarity are where the full step would have brought them, but for the blocks that were cut.
Without this repair predictions are lost that others had meant to cancel, and prices rise a thousandfold. Multipliers
do not cut a step at all: where one would become negative, it stops at a small share of itself, and z_b stops before its
ball. So stationarity does not improve exactly as foreseen, and a step is only taken if complementarity and prices fall
together at least as far as the common step would bring them.
"""

from __future__ import annotations

import numpy as np

from zerogap.solvers import second_order, wall_kernels
from zerogap.solvers.directions import Array, Direction, Gauges
from zerogap.solvers.hard_cones import HardCones
from zerogap.solvers.kkt import NewtonSystem, SignedMaps

CRAMPED = 0.95
"""Common steps below this length are tried in this way; 0.85 and 0.7 take 6 percent more iterations."""

REACH = 0.99
"""How much of the way to its boundary a block goes."""

SLIGHT = 0.9
"""Where no block is cut further than this, only multipliers are in the way, and all take the same step."""

LEAST = 0.05
"""The share of itself to which a multiplier may fall; 0.1 takes 5 percent more iterations, 0.02 as many."""

PRODUCT = 0.01
"""The share of mu to which a product of slack and multiplier may fall by such a stop."""

DEAR = 3.0
"""How prices above beta count next to complementarity when a step is judged; 1 and 10 take 3 and 5 percent more
iterations."""


def loosened(
    step: Direction, gauges: Gauges, cones: HardCones, operator: SignedMaps, system: NewtonSystem, kept: np.ndarray
) -> tuple[Direction, float]:
    """The direction in which every block goes as far as it can, and the step that primal variables permit.

    Parameters
    ----------
    step : Direction
        Newton's, of m blocks without free coordinates, for a loss of constant curvature.
    """
    shrink = second_order.shrinkages(gauges.primal, gauges.size_primal, step.cone)
    shrink = np.maximum(shrink, wall_kernels.rooms(cones.s, step.slacks[0]))
    share = np.minimum(1.0, REACH / np.maximum(shrink, 1e-300))
    if share.min() >= SLIGHT:
        return step, float(share.min())
    lost = operator.forward((1.0 - share) * step.dv)
    dv, offset, df, _ = system.solve(np.zeros_like(step.dv), 0.0, -lost, refine=False)
    nothing = np.zeros_like(gauges.dual[1:])
    cone, dual, _ = second_order.directions(*gauges[:6], nothing, np.zeros_like(gauges.eta), dv, kept)
    cone += share * step.cone
    ds, dl, worst = wall_kernels.adapted(
        cones.near.normals, cones.cell, share, dv, cones.s, step.slacks[0], cones.l, step.slacks[1]
    )
    worst = max(worst, float(second_order.shrinkages(gauges.primal, gauges.size_primal, cone).max()))
    longest = 1.0 / worst if worst > 0.0 else np.inf
    loose = step._replace(
        dv=share * step.dv + dv,
        offset=step.offset + offset,
        df=step.df + df,
        cone=cone,
        dual=step.dual + dual,
        slacks=(ds, dl),
    )
    return loose, min(1.0, REACH * longest)


def stopped(dual: Array, gauges: Gauges, length: float) -> Array:
    """The direction of z_b, cut for every block so that a step of that length stays in its ball."""
    shrink = length * second_order.shrinkages(gauges.dual, gauges.size_dual, dual)
    return np.asarray(dual * np.minimum(1.0, REACH / np.maximum(shrink, 1e-300)))
