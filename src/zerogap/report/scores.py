"""How well a network predicts: accuracy for classes, R2 for numbers."""

from __future__ import annotations

import numpy as np

from zerogap.data import Dataset
from zerogap.network import Network


def score_name(data: Dataset) -> str:
    """What ``score`` measures on this data."""
    return "accuracy" if data.task == "classification" else "R2"


def score(network: Network, data: Dataset, X: object = None) -> float:
    """Share of right signs, or 1 - residual sum of squares / total sum of squares.

    Parameters
    ----------
    network : Network
    data : Dataset
        Two classes coded -1 and +1, or numbers.
    X : array, optional
        Inputs in the shape that the network takes; default ``data.X``.
    """
    outputs = network(data.X if X is None else X)
    if data.task == "classification":
        return float(np.mean(np.where(outputs >= 0.0, 1.0, -1.0) == data.y))
    spread = float(np.sum((data.y - data.y.mean()) ** 2))
    left = float(np.sum((data.y - outputs) ** 2))
    return 1.0 - left / spread if spread > 0.0 else float(left == 0.0)
