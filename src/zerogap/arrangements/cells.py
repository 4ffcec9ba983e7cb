"""Cells of an arrangement: sign vectors with a strictly interior centre each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cells:
    """A list of distinct cells.

    Parameters
    ----------
    signs : (P, H) bool
        Side of each wall.
    centres : (P, p) float64
        A point inside each cell (for gated networks: the gate vector).
    complete : bool
        Whether the list has been proved to hold every full-dimensional cell of the arrangement.
    """

    signs: NDArray[np.bool_]
    centres: Array
    complete: bool = False

    @property
    def count(self) -> int:
        return int(self.signs.shape[0])

    def keys(self) -> list[bytes]:
        """One hashable key per cell."""
        return [row.tobytes() for row in np.packbits(self.signs, axis=1)]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Cells:
        """Some of the cells; the result no longer counts as complete."""
        return Cells(self.signs[which], self.centres[which])

    def union(self, other: Cells) -> Cells:
        """These cells, followed by those of `other` that are new."""
        known = set(self.keys())
        new = np.array([key not in known for key in other.keys()], dtype=bool)  # noqa: SIM118
        if not new.any():
            return self
        return Cells(np.concatenate([self.signs, other.signs[new]]), np.concatenate([self.centres, other.centres[new]]))


def first_of_each(signs: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the first occurrence of every distinct sign vector, in order; signs (P, H)."""
    if signs.shape[1] == 0:
        return np.arange(min(1, signs.shape[0]))
    _, first = np.unique(np.packbits(signs, axis=1), axis=0, return_index=True)
    return np.sort(first)
