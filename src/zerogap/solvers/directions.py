"""What one iteration of the interior point method works with, and the steps that it proposes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Gauges(NamedTuple):
    """The second-order cones of one iteration, from ``second_order.scaled``."""

    primal: Array  # (1 + q, m): t, E v
    dual: Array  # (1 + q, m): beta, z
    size_primal: Array  # their determinants, (m,)
    size_dual: Array
    eta: Array  # the scaling, and its point
    w: Array
    point: Array


class Direction(NamedTuple):
    """A change of all variables."""

    dv: Array  # (p, m)
    offset: float
    df: Array  # (n,), with what absent blocks walk
    cone: Array  # (1 + q, m): dt, E dv
    dual: Array  # (1 + q, m): 0, dz
    slacks: tuple[Array, ...]
    margins: tuple[Array, ...]
    reduction: float  # the share of the residual that a full step removes
    longest: float
