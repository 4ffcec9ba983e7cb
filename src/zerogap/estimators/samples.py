"""The samples of an estimator in one order, whatever order they came in.

Equal samples with equal targets become one with the sum of their weights, and samples are sorted. So a weight of 2 is
the same as a duplicate, a weight of 0 the same as an absent sample, and the order of the data does not matter: not up to
a tolerance, but bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.validation import sample_weights

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Samples:
    """Distinct samples.

    Parameters
    ----------
    X : (n, ...) float64
    targets : (n,) or (n, C) float64
    weights : (n,) float64
        Positive.
    """

    X: Array
    targets: Array
    weights: Array

    @classmethod
    def of(cls, X: Array, targets: Array, weights: Array) -> Samples:
        """Merge and sort the samples of positive weight; raises InputError if no weight is positive."""
        kept = sample_weights(weights, len(X)) > 0.0
        X, targets, weights = X[kept], targets[kept], weights[kept]
        # Adding 0 turns -0 into 0.
        table = np.column_stack([targets.reshape(len(targets), -1), X.reshape(len(X), -1)]) + 0.0
        _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
        total = np.bincount(inverse.reshape(-1), weights=weights).astype(np.float64)
        return cls(X[first], targets[first], total)

    def take(self, which: NDArray[np.intp]) -> Samples:
        """Some of the samples."""
        return Samples(self.X[which], self.targets[which], self.weights[which])
