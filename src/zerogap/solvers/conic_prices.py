r"""The price of one piece as a conic program, for its multipliers.

    maximise  g . v   subject to   K v >= 0,  gauge(v) <= 1      (free coordinates within ``reach``)

Clarabel solves it; what it returns is a proposal that ``zerogap.certificates.piece_pricing`` turns into a bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap.gauges import GroupGauge
from zerogap.solvers.conic_gauge import gauge_groups, gauge_values, gauge_variables
from zerogap.solvers.conic_losses import Group, assembled, slices

Array = NDArray[np.float64]


def conic_multipliers(gauge: GroupGauge, cone: Array, gradient: Array) -> Array:
    """lam >= 0 that nearly minimises polar(g + K' lam).

    Parameters
    ----------
    gauge : GroupGauge
    cone : (H, q) float64
        K.
    gradient : (q,) float64
        g.

    Returns
    -------
    (H,) float64
        Zeros if the solver fails.
    """
    import clarabel

    peak = float(np.abs(gradient).max(initial=0.0))
    if peak == 0.0 or not np.isfinite(peak):
        return np.zeros(cone.shape[0])
    columns = slices({"blocks": gradient.size, **gauge_variables(gauge, 1)})
    groups: list[Group] = [({"blocks": -cone}, np.zeros(cone.shape[0]), [clarabel.NonnegativeConeT(cone.shape[0])])]
    groups += gauge_groups(gauge, 1)
    groups += [(gauge_values(gauge, 1), np.ones(1), [clarabel.NonnegativeConeT(1)])]
    groups += _bounded(gauge)
    matrix, right, cones = assembled(iter(groups), columns)
    cost = np.zeros(matrix.shape[1])
    cost[columns["blocks"]] = -gradient / peak
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = 1e-12
    nothing: Any = sp.csc_array((cost.size, cost.size))
    found = np.array(clarabel.DefaultSolver(nothing, cost, matrix, right, cones, settings).solve().z)[: cone.shape[0]]
    return np.where(np.isfinite(found) & (found > 0.0), found * peak, 0.0)


def _bounded(gauge: GroupGauge) -> list[Group]:
    """|G_l v| <= reach for the free coordinates, entry by entry."""
    import clarabel

    free = [rows for rows, cost in zip(gauge.groups, gauge.costs, strict=True) if cost == 0.0]
    if not free or not np.isfinite(gauge.reach):
        return []
    rows = gauge.basis[np.concatenate(free)]
    both = np.concatenate([rows, -rows])
    return [({"blocks": both}, np.full(both.shape[0], gauge.reach), [clarabel.NonnegativeConeT(both.shape[0])])]
