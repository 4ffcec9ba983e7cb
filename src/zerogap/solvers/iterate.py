"""What a solver hands out after every iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Iterate:
    """A feasible point of the program and a proposal for its dual.

    Parameters
    ----------
    blocks : (families, P, p) float64
        Block weights inside their cones.
    offset : float, or (C,) for C outputs, whose residual is (n, C)
    residual : (n,) float64
        Dual proposal r; only the referee decides what it proves.
    compute_multipliers : callable or None
        Computes ``multipliers``, which not every caller wants.
    primal, dual : float
        Objective of the blocks and the solver's own unproved dual value.
    passes : float
        Products with the full operator so far, forward and adjoint counted as one each.
    """

    blocks: Array
    offset: Any
    residual: Array
    compute_multipliers: Callable[[], Array] | None
    primal: float
    dual: float
    passes: float

    @property
    def multipliers(self) -> Array | None:
        """Cone multipliers per unit wall normal, (families, P, H)."""
        return None if self.compute_multipliers is None else self.compute_multipliers()

    @property
    def gap(self) -> float:
        """The solver's own relative gap."""
        return (self.primal - self.dual) / max(abs(self.primal), 1e-300)
