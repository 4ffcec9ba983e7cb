"""Search: the largest prices that local ascent meets. A value found is a lower bound of the price, never a proof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.oracles import kernels
from zerogap.oracles.form import Form

Array = NDArray[np.float64]

SHORT, STEPS = 12, 80
"""Ascent steps from every start, and then from the most promising ones; most stop earlier."""

PROMISING = 0.15
"""Share of the starts that is followed to the end."""


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


def search(form: Form, residual: Array, starts: Array) -> Maxima:
    """Local ascent of the price from each start, for both signs of the residual.

    Parameters
    ----------
    form : Form
    residual : (n,) float64
    starts : (k, p) float64
        Directions, not zero in the coordinates with a norm.

    Returns
    -------
    Maxima
        At most 2 k directions.
    """
    coefficients = form.coefficients(residual)
    q = form.dimension - int(form.free)
    size = np.linalg.norm(starts[:, :q], axis=1, keepdims=True)
    starts = starts[size[:, 0] > 0.0] / size[size[:, 0] > 0.0]
    found, values, signs = [], [], []
    for sign in (1.0, -1.0):
        points = starts.copy()
        reached = kernels.ascend(form.rows, sign * coefficients, points, q, SHORT)
        best = np.argsort(-reached, kind="stable")[: max(200, int(PROMISING * reached.size))]
        points = points[best]
        values.append(kernels.ascend(form.rows, sign * coefficients, points, q, STEPS))
        found.append(points)
        signs.append(np.full(points.shape[0], sign))
    directions, prices = np.concatenate(found), np.concatenate(values)
    order = np.argsort(-prices, kind="stable")
    return Maxima(prices[order], directions[order], np.concatenate(signs)[order])


def random_starts(form: Form, count: int, rng: np.random.Generator) -> Array:
    """Directions that do not depend on the units of the columns; a free bias lands among the kinks."""
    q = form.dimension - int(form.free)
    spread = np.sqrt(np.mean(form.rows**2, axis=0)) if form.rows.shape[0] else np.ones(form.dimension)
    starts = rng.standard_normal((count, form.dimension)) / np.where(spread > 0.0, spread, 1.0)
    if form.free and form.rows.shape[0]:
        row = form.rows[rng.integers(form.rows.shape[0], size=count), :q]
        starts[:, q] = -np.sum(row * starts[:, :q], axis=1)
    return starts
