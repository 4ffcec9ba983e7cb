"""What a round of training over all neurons leaves behind, and when rounds lead nowhere any more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerogap.program import Program
from zerogap.solvers import Iterate
from zerogap.training.price_search import Dual

FIRST_GAP = 0.3
"""What is assumed of the starting neurons."""

PATIENCE = 6
"""Rounds in which nothing improves, before giving up."""


@dataclass(frozen=True, eq=False)
class Round:
    """What one round leaves behind.

    Parameters
    ----------
    program : Program, optional
        Over the cells in use; none of columns.
    iterate : Iterate
        The solver's point of least gap.
    dual : Dual
        The best dual point so far, as far as search can tell.
    estimate : float
        The relative gap if that is the largest price.
    thorough : bool
        Whether the search was the thorough one.
    """

    program: Program | None
    iterate: Iterate
    dual: Dual
    estimate: float
    thorough: bool


class Progress:
    """Whether rounds still lower the objective or the estimate of the gap.

    Maxima on walls can ask for the same few neurons for ever.
    """

    def __init__(self, tol: float) -> None:
        self._tol, self._idle, self._lowest, self._closest = tol, 0, np.inf, np.inf

    @property
    def made(self) -> bool:
        return self._idle < PATIENCE

    def see(self, primal: float, estimate: float, *, joined: bool = True, insisted: bool = False) -> None:
        """Take a round into account: whether anything new has joined after it, or had to."""
        improved = primal < self._lowest * (1.0 - 0.01 * self._tol) or estimate < 0.9 * self._closest
        self._lowest, self._closest = min(self._lowest, primal), min(self._closest, estimate)
        self._idle = 0 if insisted or (improved and joined) else self._idle + 1
