"""What happened in a training run, one record per iteration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Iteration:
    """One iteration.

    Parameters
    ----------
    time : float
        Seconds since the start of ``train``.
    passes : float
        Products with the full operator so far, forward and adjoint counted as one each.
    nodes : int
        Nodes of branch and bound so far.
    objective : float
        Of the current network.
    bound : float
        The rigorous lower bound so far.
    width : int
        Neurons that carry weight.
    estimate : float or None
        The bound that search suggests at present, as in ``Certificate``: never proved.
    """

    time: float
    passes: float
    nodes: int
    objective: float
    bound: float
    width: int
    estimate: float | None = None

    @property
    def gap(self) -> float:
        """Relative gap."""
        return self._relative(self.bound)

    @property
    def estimated_gap(self) -> float:
        """What the relative gap is if no neuron is better than those that search has met; never proved."""
        return self.gap if self.estimate is None else min(self.gap, max(self._relative(self.estimate), 0.0))

    def _relative(self, bound: float) -> float:
        return (self.objective - bound) / self.objective if self.objective > 0.0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "gap": self.gap}
