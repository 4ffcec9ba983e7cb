"""Pre-activation rows: everything the rest of the package knows about an architecture's data.

A neuron u in R^p sees sample s through K rows m_{s,k}, and contributes

    phi(u)_s = scale * sum_k (m_{s,k} . u)_+                                    (docs/theory.md, "Rows")

An MLP has K = 1; a CNN has one row per filter position and scale 1 (sum) or 1/K (average pooling).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows and readout of one data set.

    Parameters
    ----------
    matrix : (n, K, p) float64
        The rows, with a last column of ones where the architecture has a bias.
    scale : float
        Readout weight of every row.
    grid : tuple of int
        Filter positions along each spatial axis, with product K; empty where rows have no positions.
    """

    matrix: Array
    scale: float = 1.0
    grid: tuple[int, ...] = ()

    @property
    def samples(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def dimension(self) -> int:
        return int(self.matrix.shape[2])

    @property
    def flat(self) -> Array:
        """All rows, (n K, p), sample by sample."""
        return self.matrix.reshape(-1, self.matrix.shape[2])

    def keep(self, samples: NDArray[np.bool_] | slice) -> Rows:
        """The rows of some of the samples, a mask (n,) or a slice."""
        return replace(self, matrix=self.matrix[samples])

    def preactivations(self, weights: Array) -> Array:
        """m . u for all rows and all neurons; weights (m, p), result (n, K, m)."""
        return np.asarray(self.matrix @ weights.T)

    def blocks(self, activity: NDArray[np.bool_]) -> Array:
        """The maps T_i of cells with known activity.

        Parameters
        ----------
        activity : (P, n, K) bool
            Which rows cell i lets through.

        Returns
        -------
        (n, P, p) float64
            ``T_i u = blocks[:, i] @ u`` is phi(u) for every u of cell i.
        """
        xp = array_namespace(self.matrix)
        mask = xp.astype(xp.permute_dims(activity, (1, 0, 2)), self.matrix.dtype)
        return xp.matmul(mask, self.matrix) * self.scale
