r"""Gauges of groups as conic constraints: what Clarabel sees of them.

gauge(v_b) <= sum_l c_l t_bl                        with ||G_l v_b|| <= t_bl
gauge(v_b) <= s_b    where coordinates stand beside: with ||(sum_l c_l t_bl, G_0 v_b)|| <= s_b besides
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap.gauges import GroupGauge
from zerogap.solvers.conic_losses import Group

Array = NDArray[np.float64]


def gauge_variables(gauge: GroupGauge, blocks: int) -> dict[str, int]:
    """The numbers of variables t and s for that many blocks."""
    return {"heights": blocks * int(np.sum(gauge.costs > 0.0)), "totals": blocks if gauge.beside.size else 0}


def gauge_values(gauge: GroupGauge, blocks: int) -> dict[str, Any]:
    """The bounds of the gauges as rows of coefficients of those variables, one row for each block."""
    if gauge.beside.size:
        return {"totals": sp.eye_array(blocks)}
    return {"heights": sp.kron(sp.eye_array(blocks), gauge.costs[gauge.costs > 0.0][None])}


def gauge_groups(gauge: GroupGauge, blocks: int) -> list[Group]:
    """The constraints of t and s."""
    import clarabel

    each, q = sp.eye_array(blocks), gauge.basis.shape[1]
    costs = gauge.costs[gauge.costs > 0.0]
    counted = [rows for rows, cost in zip(gauge.groups, gauge.costs, strict=True) if cost > 0.0]
    found: list[Group] = []
    for group, rows in enumerate(counted):
        size = 1 + rows.size
        head, tail = np.zeros((size, costs.size)), np.zeros((size, q))
        head[0, group] = -1.0
        tail[1:] = -gauge.basis[rows]
        norms = {"heights": sp.kron(each, head), "blocks": sp.kron(each, tail)}
        found.append((norms, np.zeros(blocks * size), [clarabel.SecondOrderConeT(size)] * blocks))
    if gauge.beside.size:
        size = 2 + gauge.beside.size
        top, sums, tail = np.zeros((size, 1)), np.zeros((size, costs.size)), np.zeros((size, q))
        top[0, 0], sums[1], tail[2:] = -1.0, -costs, -gauge.basis[gauge.beside]
        norms = {"totals": sp.kron(each, top), "heights": sp.kron(each, sums), "blocks": sp.kron(each, tail)}
        found.append((norms, np.zeros(blocks * size), [clarabel.SecondOrderConeT(size)] * blocks))
    return found
