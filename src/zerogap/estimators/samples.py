"""The samples of an estimator in one order, whatever order they came in.

Equal samples with equal targets become one with the sum of their weights, and samples are sorted. So a weight of 2 is
the same as a duplicate, a weight of 0 the same as an absent sample, and the order of the data does not matter, not even
in the last digit.
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
    owner : (N,) int
        For every sample that was given the distinct one that stands for it; -1 for those of weight zero.
    given : (N,) float64
        The weights that were given.
    """

    X: Array
    targets: Array
    weights: Array
    owner: NDArray[np.intp]
    given: Array

    @classmethod
    def of(cls, X: Array, targets: Array, weights: Array) -> Samples:
        """Merge and sort the samples of positive weight; raises InputError if no weight is positive."""
        given = sample_weights(weights, len(X))
        kept, owner = given > 0.0, np.full(len(X), -1, dtype=np.intp)
        X, targets = X[kept], targets[kept]
        # Adding 0 turns -0 into 0.
        table = np.column_stack([targets.reshape(len(targets), -1), X.reshape(len(X), -1)]) + 0.0
        _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
        owner[kept] = inverse.reshape(-1)
        # Sums in the order of the weights, not of the data: the last digit must not depend on that.
        order = np.lexsort((given[kept], owner[kept]))
        total = np.bincount(owner[kept][order], weights=given[kept][order]).astype(np.float64)
        return cls(X[first], targets[first], total, owner, given)

    def take(self, which: NDArray[np.intp]) -> Samples:
        """Some of the distinct samples, with their weights."""
        return Samples.of(self.X[which], self.targets[which], self.weights[which])

    def rows(self, which: NDArray[np.intp]) -> Samples:
        """The distinct ones among some of the samples that were given."""
        which = np.asarray(which)
        which = which[self.owner[which] >= 0]
        return Samples.of(self.X[self.owner[which]], self.targets[self.owner[which]], self.given[which])
