r"""Ascent over the faces of cells: the last digits of a search, where kinks jam gradient steps.

In a cell the price of a neuron is ||G' u||, and a maximiser in it is the leading singular vector of G on the face that
it lies in (P1, cone-constrained principal components). Which face that is, is guessed: for k = 0, 1, ... the k rows
nearest to the neuron are taken for zero. Every candidate is judged by its true price, whatever cell it lies in, so
that a wrong guess costs nothing but time.

Maxima are many and sharp, and the best ones are often near good ones: the best neurons then hop, over ever shorter
distances, and climb again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.features.base import Features, masses, pulled
from zerogap.features.pooled import PooledFeatures

Array = NDArray[np.float64]

ROUNDS = 6
"""Times that every neuron moves on, at most."""

GAIN = 1e-9
"""Relative gain below which a neuron has come to rest."""

DEPENDENT = 1e-7
"""Rows that are this close to the span of nearer ones add no new face."""

HOPS = (0.3, 0.1, 0.03, 0.01)
"""Distances of hops."""

WORK = 4e8
"""Multiplications of one call, at most, about."""


def face_ascent(
    features: Features, residual: Array, points: Array, rng: np.random.Generator, share: float = 1.0
) -> tuple[Array, Array] | None:
    """Neurons near the given ones, with larger prices.

    Parameters
    ----------
    features : Features
    residual : (n,) or (n, C) float64
    points : (k, q) float64
        Of size one, the most promising first; the first ones climb, as many as the work allows.
    rng : Generator
        For the hops.
    share : float
        Of the work that a call may take at most.

    Returns
    -------
    points : (l, q) float64
        Of size one, the best first.
    values : (l,) float64
        Their prices.

    None for features other than rectified sums without gates.
    """
    plain = isinstance(features, PooledFeatures) and features.gates is None and not features.largest
    if not plain or not points.shape[0] or features.slope >= 1.0:  # type: ignore[attr-defined]
        return None
    climber = _Climber(features, residual)  # type: ignore[arg-type]
    most = int(share * climber.affordable(1 + len(HOPS)))
    if not most:
        return None
    found = [climber.climbed(points[:most])]
    for distance in HOPS:
        every = np.concatenate([each for each, _ in found])
        values = np.concatenate([each for _, each in found])
        chosen = every[np.argsort(-values, kind="stable")[:most]]
        sizes = np.linalg.norm(chosen, axis=1, keepdims=True) / np.sqrt(chosen.shape[1])
        hopped = features.unit(chosen + distance * sizes * rng.standard_normal(chosen.shape))
        if hopped.shape[0]:
            found.append(climber.climbed(hopped))
    every = np.concatenate([each for each, _ in found])
    # Prices as everyone else computes them.
    values = masses(pulled(residual, features.forward(every)[0]))
    order = np.argsort(-values, kind="stable")
    return every[order], values[order]


class _Climber:
    """The rows of some features, as the compiled loops take them."""

    def __init__(self, features: PooledFeatures, residual: Array) -> None:
        self._features = features
        positions = np.full(features.rows.matrix.shape[1], -1, dtype=np.int64)
        slots = np.arange(features.windows_of_rows.shape[0])
        positions[features.windows_of_rows] = 0 if features.summed else slots[:, None]
        slot = np.tile(positions, features.samples)
        sample = np.repeat(np.arange(features.samples), features.rows.matrix.shape[1])
        flat = features.rows.flat
        used = (slot >= 0) & np.any(flat != 0.0, axis=1)
        self._rows, self._slots, self._samples = np.ascontiguousarray(flat[used]), slot[used], sample[used]
        self._lengths = np.linalg.norm(self._rows, axis=1)
        self._residual = np.ascontiguousarray(residual.reshape(residual.shape[0], -1) * features.rows.scale)
        self._levels = _levels(features.dimension - int(features.free))

    def affordable(self, calls: int) -> int:
        """How many neurons may climb in each of so many calls."""
        size, p = self._rows.shape
        one = size * (p * (self._levels.size + 1.0) + (p + self._levels.size) * self._residual.shape[1])
        return int(WORK / (0.5 * ROUNDS * calls * max(one, 1.0))) if size else 0

    def climbed(self, points: Array) -> tuple[Array, Array]:
        """Where neurons come to rest, and their prices."""
        from zerogap.oracles import face_kernels

        points, features = np.ascontiguousarray(points), self._features
        points = points.copy()
        values = np.zeros(points.shape[0])
        face_kernels.climb_faces(
            self._rows,
            self._lengths,
            self._samples,
            self._slots,
            features.outputs,
            self._residual,
            features.slope,
            features.free,
            self._levels,
            ROUNDS,
            GAIN,
            DEPENDENT,
            points,
            values,
        )
        return features.unit(points), values


def _levels(dimension: int) -> NDArray[np.int64]:
    """Numbers of rows that are taken for zero: all of them in few dimensions, ever sparser ones beyond."""
    if dimension <= 12:
        return np.arange(dimension, dtype=np.int64)
    return np.unique(np.minimum(np.geomspace(1, dimension, 12).astype(np.int64) - 1, dimension - 1))
