"""Attempts to prove what search suggests about the neurons of an architecture, by branch and bound.

A residual r and the largest price that search has met are given; branch and bound proves falling upper bounds of all
prices, or meets a neuron above one of them, which joins the training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.features import Features
from zerogap.oracles.convex_branches import ConvexBranches, compiled
from zerogap.training.thresholds import falling, largest_price

Array = NDArray[np.float64]

LOOSEST = 10.0
"""What the first threshold exceeds the price that search met by, in units of it: many relaxations are weaker."""

RATIO = 10.0**0.5
"""Each threshold is so much closer than the one before: a step costs little, or else would waste much of the time."""


@dataclass(eq=False)
class FeatureProver:
    """Branch and bound within a budget.

    Parameters
    ----------
    features : Features
    referee : FeatureReferee
        Hears every bound that is proved.
    beta : float
    tol : float
        Relative gap asked for.
    effort : float
        Seconds, in all.
    """

    features: Features
    referee: FeatureReferee
    beta: float
    tol: float
    effort: float
    nodes: int = 0
    spent: float = 0.0

    def attempt(
        self, residual: Array, objective: float, price: float, heard: Callable[[], bool] = lambda: False
    ) -> Array | None:
        """Try to prove a bound with a residual; the neuron (q,) that forbids it, if one was met.

        Parameters
        ----------
        residual : (n,) float64
            As ``FeatureReferee.feasible`` returned it.
        objective : float
            Of the best network.
        price : float
            The largest one that search met.
        heard : callable
            Told after every bound; a true return value ends the attempt.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, when the bounds proved so far have been heard.
        """
        if self.effort <= self.spent:
            return None
        compiled()
        started, before = clock.now(), self.nodes
        branches = ConvexBranches(self.features, residual)
        if not branches.possible:
            return None
        known = max(price * (1.0 + 1e-9), 1e-3 * self.beta)
        wanted = objective * (1.0 - 0.9 * self.tol)
        target = largest_price(lambda middle: self.referee.dual_value(residual, middle), wanted, known, self.beta)

        def proved(upper: float) -> bool:
            self.referee.hear(residual, upper, "branch and bound")
            self.nodes = before + branches.nodes
            return heard()

        found = branches.run(falling(known, target, LOOSEST, RATIO), started + self.effort - self.spent, proved)
        self.nodes = before + branches.nodes
        self.spent += clock.now() - started
        if found.interrupted:
            raise KeyboardInterrupt
        return found.direction

    def bracket(self, residual: Array, met: float) -> tuple[float, float]:
        """A price that is attained, up to rounding, at least the one that search met, and one that nothing exceeds.

        They differ by at most `tol`, relative, if the budget suffices; without a proof the second one is infinite.
        """
        compiled()
        started, upper = clock.now(), np.inf
        branches = ConvexBranches(self.features, residual)
        while branches.possible and met > 0.0 and self.spent < self.effort:
            known = met * (1.0 + 1e-9)
            found = branches.run(falling(known, met * (1.0 + self.tol), LOOSEST, RATIO), started + self.effort)
            upper, self.spent = min(upper, found.upper), clock.now() - started
            if found.interrupted:
                raise KeyboardInterrupt
            if found.direction is None:
                break
            met = found.value
        return met, upper
