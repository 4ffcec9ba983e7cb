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
    """

    time: float
    passes: float
    nodes: int
    objective: float
    bound: float
    width: int

    @property
    def gap(self) -> float:
        """Relative gap."""
        return (self.objective - self.bound) / self.objective if self.objective > 0.0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "gap": self.gap}
