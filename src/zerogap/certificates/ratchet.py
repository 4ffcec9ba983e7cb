"""The ratchet: the only writer of a lower bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Ratchet:
    """A lower bound that starts trivial, only rises, and never passes an objective."""

    bound: float = 0.0
    objective: float = np.inf
    proof: str | None = None
    withheld: str | None = "no dual point has been offered"
    contradicted: bool = False

    def lower(self, objective: float) -> None:
        """Record the objective of a network in scope."""
        self.objective = min(self.objective, objective)
        self._check()

    def lift(self, bound: float, proof: str) -> None:
        """Record a proved bound."""
        if self.contradicted:
            return
        if np.isnan(bound):
            self.withhold("a bound was not a number")
        elif bound >= self.bound:
            self.bound, self.proof, self.withheld = bound, proof, None
            self._check()

    def withhold(self, reason: str) -> None:
        """Fall back to the trivial bound if nothing has been proved yet."""
        if self.proof is None and not self.contradicted:
            self.withheld = reason

    def _check(self) -> None:
        if not self.bound <= self.objective:
            reason = (
                f"contradiction: bound {self.bound!r} above objective {self.objective!r}; "
                "please report this with the data"
            )
            self.bound, self.proof, self.withheld, self.contradicted = 0.0, None, reason, True
