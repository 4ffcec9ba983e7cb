"""Search: the largest prices that local ascent meets. A value found is a lower bound of the price, never a proof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.oracles import kernels
from zerogap.oracles.form import Form

Array = NDArray[np.float64]

COARSE, FINE = (np.array([0.1, 0.03]), np.array([0.03]), np.array([0.01])), np.array([0.01, 0.003, 0.001, 0.0003])
"""Widths of the smoothed kinks, in units of ||row|| ||u||: for every start, and then for the most promising ones.

Starts take turns: wide kinks lead to more maxima above beta, but narrow peaks vanish under them.
"""

STEPS = 15
"""Ascent steps at each width."""

PROMISING = 0.25
"""Share of the starts that is followed to the end."""

LEAST = 200
"""At least so many are followed to the end, if there are."""


@dataclass(frozen=True, eq=False)
class Maxima:
    """Directions met, best first.

    Parameters
    ----------
    values : (k,) float64
        Prices |r . phi(u)|.
    directions : (k, p) float64
        With ||E u|| = 1.
    signs : (k,) float64
        Of r . phi(u).
    """

    values: Array
    directions: Array
    signs: Array

    @property
    def price(self) -> float:
        """The largest price met; 0 if there was no start."""
        return float(self.values.max(initial=0.0))

    def union(self, other: Maxima) -> Maxima:
        """These and others, best first."""
        values = np.concatenate([self.values, other.values])
        order = np.argsort(-values, kind="stable")
        directions = np.concatenate([self.directions, other.directions])[order]
        return Maxima(values[order], directions, np.concatenate([self.signs, other.signs])[order])


def search(form: Form, residual: Array, starts: Array, least: int = LEAST) -> Maxima:
    """Local ascent of the price from each start, for both signs of the residual.

    Parameters
    ----------
    form : Form
    residual : (n,) float64
    starts : (k, p) float64
        Directions, not zero in the coordinates with a norm.
    least : int
        So many are followed to the end, at least, if there are.

    Returns
    -------
    Maxima
        At most 2 k directions.
    """
    q = form.dimension - int(form.free)
    size = np.linalg.norm(starts[:, :q], axis=1, keepdims=True)
    starts = starts[size[:, 0] > 0.0] / size[size[:, 0] > 0.0]
    columns, coefficients = _scaled(form, residual)
    # Half the precision, twice the speed: where the coarse ascent leads is only a start for the fine one.
    rough, parts = columns.astype(np.float32), []
    for sign in (1.0, -1.0):
        points, reached, slopes = starts.copy(), np.empty(starts.shape[0]), sign * coefficients
        for k, widths in enumerate(COARSE):
            turn = points[k :: len(COARSE)].copy()
            reached[k :: len(COARSE)] = kernels.ascend(rough, slopes.astype(np.float32), turn, q, widths, STEPS)
            points[k :: len(COARSE)] = turn
        best = np.argsort(-reached, kind="stable")[: max(least, int(PROMISING * reached.size))]
        # Of length one in full precision again.
        points = points[best] / np.linalg.norm(points[best, :q], axis=1, keepdims=True)
        values = kernels.ascend(columns, slopes, points, q, FINE, STEPS)
        parts.append(Maxima(values, points, np.full(values.size, sign)))
    return parts[0].union(parts[1])


def refine(form: Form, residual: Array, directions: Array, signs: Array) -> Maxima:
    """Local ascent of sign * r . phi(u) from directions (k, p) that are near maxima, with signs (k,)."""
    q = form.dimension - int(form.free)
    columns, coefficients = _scaled(form, residual)
    points, values = directions / np.linalg.norm(directions[:, :q], axis=1, keepdims=True), np.empty(signs.size)
    for sign in (1.0, -1.0):
        ours = signs == sign
        turn = np.ascontiguousarray(points[ours])
        values[ours] = kernels.ascend(columns, sign * coefficients, turn, q, FINE, STEPS)
        points[ours] = turn
    order = np.argsort(-values, kind="stable")
    return Maxima(values[order], points[order], signs[order])


def _scaled(form: Form, residual: Array) -> tuple[Array, Array]:
    """The transposed rows (p, N), of length one, and the coefficients that belong to them."""
    lengths = np.linalg.norm(form.rows, axis=1)
    return np.ascontiguousarray((form.rows / lengths[:, None]).T), form.coefficients(residual) * lengths


def random_starts(form: Form, count: int, rng: np.random.Generator) -> Array:
    """Directions that do not depend on the units of the columns; a free bias lands among the kinks."""
    q = form.dimension - int(form.free)
    spread = np.sqrt(np.mean(form.rows**2, axis=0)) if form.rows.shape[0] else np.ones(form.dimension)
    starts = rng.standard_normal((count, form.dimension)) / np.where(spread > 0.0, spread, 1.0)
    if form.free and form.rows.shape[0]:
        row = form.rows[rng.integers(form.rows.shape[0], size=count), :q]
        starts[:, q] = -np.sum(row * starts[:, :q], axis=1)
    return starts
