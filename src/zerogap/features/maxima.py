r"""Features as sums of maxima of linear functions, with what repeats merged.

    g_q(u) = scale * sum over units j of output q  a_j max { l . u : l in unit j },      price ||(g_q(u))_q||.

Rectified sums have one unit for every row m, {m, 0}; maxima over windows one for every window, {m_1, ..., m_r, 0}; with
a slope, a unit holds m and slope m. Equal units of one output are merged: their coefficients a_j, the residuals of the
samples that they belong to, add up, and often cancel. Rows that span a subspace are written in a frame of it, as in
``zerogap.oracles.form``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.oracles.form import Form
from zerogap.rows import Rows

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Maxima:
    """The units of one data set, to be priced with any residual.

    Parameters
    ----------
    form : Form
        The distinct rows, and their frame.
    pieces : (M, r) float64
        The linear functions but zero, in the coordinates of the frame, unit after unit.
    starts : (U + 1,) int
        Those of unit j are starts[j] to starts[j + 1] - 1.
    floors : (U,) bool
        Whether a unit holds zero besides.
    outputs : (U,) int
        The output that a unit belongs to, not falling.
    lost : (U,) float64
        How far a unit moves per unit of ||u|| when its rows are written in the frame.
    owner, samples : (raw units,) int
        The unit, -1 if it is zero, and the sample of every window or row.
    scale : float
    """

    form: Form
    pieces: Array
    starts: Indices
    floors: NDArray[np.bool_]
    outputs: Indices
    lost: Array
    owner: Indices
    samples: Indices
    scale: float

    @classmethod
    def of(cls, rows: Rows, windows: Indices, *, free: bool, largest: bool, summed: bool, slope: float) -> Maxima:
        """The units of pooled features; parameters as in ``zerogap.features.pooled``."""
        form = Form.of(rows, free=free)
        n, positions, _ = rows.matrix.shape
        members = form.owner.reshape(n, positions)[:, windows]  # (n, Q, r)
        if not largest:
            members = members[..., None]
        count, size = windows.shape[0], members.shape[-1]
        shape = members.shape[:-1]
        output = np.zeros(shape, dtype=np.intp)
        if not summed:
            output += np.arange(count).reshape(-1, *[1] * (len(shape) - 2))
        samples = np.broadcast_to(np.arange(n).reshape(-1, *[1] * (len(shape) - 1)), shape).ravel()
        keys = np.concatenate([output.reshape(-1, 1), np.sort(members.reshape(-1, size), axis=1)], axis=1)
        zero = np.all(keys[:, 1:] < 0, axis=1)
        table, inverse = np.unique(keys[~zero], axis=0, return_inverse=True)
        owner = np.full(keys.shape[0], -1, dtype=np.intp)
        owner[~zero] = inverse.reshape(-1)
        members = table[:, 1:]
        fresh = members >= 0
        fresh[:, 1:] &= members[:, 1:] != members[:, :-1]
        used, counts = members[fresh], fresh.sum(axis=1)
        pieces = form.reduced.rows[used]
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        lost = np.maximum.reduceat(form.reduced.lost[used], first[:-1]) if used.size else np.zeros(0)
        floors = np.ones(table.shape[0], dtype=np.bool_)
        if slope > 0.0:
            floors = np.any(members < 0, axis=1)
            pieces = np.stack([pieces, slope * pieces], axis=1).reshape(-1, pieces.shape[1])
            first = 2 * first
        scale = 1.0 if largest else rows.scale
        return cls(form, np.ascontiguousarray(pieces), first, floors, table[:, 0], lost, owner, samples, scale)

    @property
    def count(self) -> int:
        """U."""
        return int(self.floors.size)

    @property
    def longest(self) -> int:
        """The most linear functions in a unit, zero included."""
        return int(np.diff(self.starts).max(initial=0)) + 1

    def coefficients(self, residual: Array) -> Array:
        """a of a residual (n,), (U,)."""
        used = self.owner >= 0
        raw = residual[self.samples[used]]
        return np.bincount(self.owner[used], weights=raw, minlength=self.count).astype(np.float64)
