"""What search makes of a residual: the largest price it meets, the bound that this would give, and when to believe it.

A price that search meets is a lower bound of the true one (docs/theory.md, "Search is not proof"), so a gap is doubted
by further searches before it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.oracles.form import Form
from zerogap.oracles.search import Maxima, random_starts, refine, search
from zerogap.question import Question

Array = NDArray[np.float64]

STARTS = 400
"""Random starts of a search, besides neurons that are known."""

BATCHES = 40
"""A search that finds nothing is repeated so often with other starts, before a gap is believed."""

REFUTING = 10
"""What has refuted a gap is seldom alone: so many searches are finished before the next program."""

AFFORDABLE = 2e7
"""Entries of the rows, over all starts of a search, that may be visited in one ascent step."""

TIGHT = 1e-3
"""Above this tolerance the search before a gap is believed is shorter: in all, in proportion; each part by its root;
and the better half of its starts is followed to the end, not all."""

NEAR = 0.3
"""Distance of the starts around neurons in use."""


@dataclass(frozen=True, eq=False)
class Dual:
    """A residual (n,) and its largest price that search met, a lower bound of the true one."""

    residual: Array
    price: float


class PriceSearch:
    """Searches for one question.

    Parameters
    ----------
    question : Question
        ReLU networks.
    form : Form
        Its rows, merged.
    tol : float
        Relative gap asked for.
    rng : Generator
    """

    def __init__(self, question: Question, form: Form, tol: float, rng: np.random.Generator) -> None:
        self.question, self.form, self.tol, self.rng = question, form, tol, rng
        self.gauge = question.architecture.gauge(form.dimension)
        ease = min(1.0, TIGHT / tol)
        self._starts = max(1, int(STARTS * ease**0.5))
        self._least = self._starts if tol <= TIGHT else (self._starts + 1) // 2
        self._batches = max(1, min(BATCHES, int(AFFORDABLE * ease / max(1, self._starts * form.rows.size))))

    def around(self, residual: Array, used: Array) -> Maxima:
        """Maxima of the price met from random directions, half of them around the neurons in use (k, p).

        Rare peaks are most often near those.
        """
        fresh = random_starts(self.form, self._starts, self.rng)
        if used.shape[0]:
            near = fresh[: self._starts // 2]
            centres = used[self.rng.integers(used.shape[0], size=near.shape[0])]
            near *= NEAR / self.gauge.value(near)[:, None]
            near += centres / self.gauge.value(centres)[:, None]
        return search(self.form, residual, fresh, self._least)

    def revisit(self, residual: Array, known: Array) -> Maxima:
        """Maxima of the price met from known directions (k, p), for both signs."""
        return search(self.form, residual, known, self._least)

    def refine(self, residual: Array, known: Array, signs: Array) -> Maxima:
        """Maxima of the price next to known ones, (k, p) and (k,)."""
        return refine(self.form, residual, known, signs)

    def doubted(self, primal: float, dual: Dual, used: Array) -> tuple[Maxima, Dual, bool]:
        """Further searches before a small gap is believed: their maxima, the dual point after them, and if it held."""
        tried, maxima = 0, Maxima(np.zeros(0), used[:0], np.zeros(0))
        doubtful = self.gap(primal, dual) <= self.tol
        while doubtful and tried < self._batches and (tried % REFUTING or self.gap(primal, dual) <= self.tol):
            found = self.around(dual.residual, used)
            dual, maxima = Dual(dual.residual, max(dual.price, found.price)), maxima.union(found)
            tried += 1
        return maxima, dual, tried == self._batches and self.gap(primal, dual) <= self.tol

    def bound(self, dual: Dual) -> float:
        """The bound that a dual point would give if no neuron had a larger price."""
        loss = self.question.loss
        largest = self.question.beta / dual.price if dual.price > 0.0 else np.inf
        return loss.dual_value(loss.best_scale(dual.residual, largest) * dual.residual)

    def gap(self, primal: float, dual: Dual) -> float:
        """The relative gap if no neuron had a larger price."""
        return (primal - self.bound(dual)) / max(primal, 1e-300)
