r"""Training over all neurons by columns: price, add neurons, weigh them anew, drop some, until none is worth its price.

A column is the feature phi(u) of a neuron of fixed direction u. Of given columns the best weights are those of a lasso,
which is cheap (``zerogap.solvers.group_lasso``). Its residual r is priced: directions with |r . phi(u)| > beta join as
they are, and so do the directions to which the maxima of the columns in use have moved. Nothing moves inside a program;
hundreds of directions side by side stand for those that would. The program over cells
(``zerogap.training.generation``), which can turn its neurons, is exact, and dearer the more samples there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import Neurons
from zerogap.network import Network
from zerogap.oracles.search import Maxima
from zerogap.question import Question
from zerogap.solvers import Iterate
from zerogap.solvers.group_lasso import group_lasso
from zerogap.training.price_search import Dual, PriceSearch
from zerogap.training.rounds import FIRST_GAP, Progress, Round

Array = NDArray[np.float64]

AIM = 0.05
"""A program is solved to this share of the gap that was estimated before."""

LOOSE = 0.5
"""The residual on the way where this share was reached is priced too: it is farther inside, often the better one."""

INWARD = 0.5
"""Prices are also asked for so far on the way from the best residual so far to that one."""

COARSE = 5e-4
"""Where a smaller gap is asked for, rounds end at this one: cells have fewer digits to go from there."""

CLIMBED, VISITED = 600, 2e8
"""Columns of the largest prices that are climbed from, at most; fewer, where they visit so many entries of the rows."""

JOINING = 100, 1000
"""As many columns as samples may join in one round, but at least and at most so many."""

WORTH = 0.1
"""Maxima join whose price is no further below beta than this share of the gap."""

REPRICED = 1000
"""As many maxima that refute a dual point are priced for the others."""

APART = 1e-2
"""Distance of directions that join, in units of their length; less where the gap is smaller."""

FAINT = 0.3
"""The lightest columns leave the program, as long as their share of the penalty is below so many relative gaps, and if
their price is further below beta than one gap, for the last residual and for the best one."""

ENTRIES = 4_000_000
"""Pre-activations held at a time."""


@dataclass(frozen=True, eq=False)
class Weighed:
    """Directions (k, p) of gauge one and an iterate of the program of their weights; blocks are (1, k, 1)."""

    directions: Array
    iterate: Iterate

    def network(self, question: Question) -> Network:
        weights = self.iterate.blocks.reshape(-1)
        used = weights != 0.0
        root = np.sqrt(np.abs(weights[used]))
        first, second = root[:, None] * self.directions[used], np.sign(weights[used]) * root
        return Network.of(question.architecture, Neurons(first, second, offset=self.iterate.offset))


class Columns:
    """Rounds over the columns in use.

    Parameters
    ----------
    search : PriceSearch
        Of the question.
    directions : (k, p) float64
        To start from, of any length.
    """

    def __init__(self, search: PriceSearch, directions: Array) -> None:
        self._search, self._question = search, search.question
        flat = self._question.rows.flat
        spread = np.sqrt(np.mean(flat**2, axis=0))
        self._units, self._dead = np.where(spread > 0.0, spread, 1.0), spread == 0.0
        self._climbed = int(np.clip(VISITED / max(1, flat.size), JOINING[0], CLIMBED))
        self._joining = int(np.clip(flat.shape[0] // self._question.rows.matrix.shape[1], *JOINING))
        self.directions = self._unit(directions)
        self.dual: Dual | None = None
        """The best dual point so far, as far as search can tell."""
        self.carrying = self.directions
        """Those that carried weight in the last program."""
        self.gap, self._insisted = FIRST_GAP, False

    def insist(self, direction: Array) -> None:
        """Let a neuron (p,) join that a proof has found, whatever the search thinks."""
        self.directions = np.concatenate([self.directions, self._unit(direction[None])])
        self.dual, self._insisted = None, True

    def rounds(self) -> Iterator[Round | Weighed]:
        """Iterates of the programs, and a Round after each; ends when the gap is met or nothing improves.

        Between a Round and the next iterate, the caller may ``insist``.
        """
        search, progress = self._search, Progress(self._search.tol)
        while progress.made:
            values = self._features(self.directions)
            tight: Iterate | None = None
            loose: Iterate | None = None
            for iterate in self._weigh(values, max(AIM * self.gap, 0.2 * search.tol)):
                tight = iterate if tight is None or iterate.gap < tight.gap else tight
                loose = iterate if loose is None and iterate.gap <= LOOSE * self.gap else loose
                yield Weighed(self.directions, iterate)
            if tight is None:
                return
            maxima, self.dual, thorough = self._price(values, tight, loose or tight)
            estimate = search.gap(tight.primal, self.dual)
            self.gap = min(self.gap, max(estimate, 0.1 * search.tol))
            self._renew(values, tight, maxima)
            self._insisted = False
            yield Round(None, tight, self.dual, estimate, thorough)
            progress.see(tight.primal, estimate, insisted=self._insisted)
            if search.tol < estimate <= COARSE:
                return

    def _unit(self, directions: Array) -> Array:
        """Those that cost something, of gauge one, without weights on columns of zeros, which only cost."""
        used = np.where(self._dead, 0.0, directions)
        sizes = self._search.gauge.value(used)
        return used[sizes > 0.0] / sizes[sizes > 0.0, None]

    # -- programs ----------------------------------------------------------------------------------

    def _features(self, directions: Array) -> Array:
        """phi of directions (k, p), (n, k)."""
        rows, count = self._question.rows, directions.shape[0]
        values = np.empty((rows.samples, count))
        step = max(1, ENTRIES // max(1, rows.flat.shape[0]))
        for start in range(0, count, step):
            active = np.maximum(directions[start : start + step] @ rows.flat.T, 0.0)
            sums = active.reshape(active.shape[0], rows.samples, -1).sum(axis=2)
            values[:, start : start + step] = rows.scale * sums.T
        return values

    def _weigh(self, values: Array, aim: float) -> Iterator[Iterate]:
        question, free = self._question, self._question.architecture.offset
        if values.shape[1]:
            yield from group_lasso(values[:, None, :], question.loss, question.beta, offset=free, tol=aim)
            return
        residual, primal = question.null_residual, question.loss.value(question.nothing + question.constant)
        yield Iterate(np.zeros((1, 0, 1)), question.constant, residual, None, primal, -np.inf, 0.0)

    # -- prices ------------------------------------------------------------------------------------

    def _price(self, values: Array, tight: Iterate, loose: Iterate) -> tuple[Maxima, Dual, bool]:
        """Maxima of the price, the best dual point, and whether it has stood a thorough search."""
        search = self._search
        residuals = [tight.residual] if loose is tight else [tight.residual, loose.residual]
        if self.dual is not None:
            residuals.append((1.0 - INWARD) * self.dual.residual + INWARD * loose.residual)
        weights = np.abs(tight.blocks.reshape(-1))
        used = self.directions[weights > 1e-3 * weights.max(initial=0.0)]
        maxima, best = Maxima(np.zeros(0), used[:0], np.zeros(0)), self.dual
        met = [] if best is None else [best]
        for residual in residuals:
            found = self._climb(values, residual)
            dual = Dual(residual, found.price)
            # What seems to meet the tolerance is doubted below, what is worse than another needs no search.
            promising = best is None or search.bound(dual) > search.bound(best)
            if promising and search.gap(tight.primal, dual) > search.tol:
                found = found.union(search.around(residual, used))
                dual = Dual(residual, found.price)
            maxima = maxima.union(found)
            if best is None or search.bound(dual) > search.bound(best):
                best = dual
                met.append(dual)
            if search.gap(tight.primal, best) <= search.tol:
                break
        assert best is not None
        more, doubted, thorough = search.doubted(tight.primal, best, used)
        if not thorough and more.values.size:
            # Refuted, it may be worse than another one, for which the same neurons are too much perhaps.
            refuting = self._features(self._unit(more.directions[:REPRICED]))
            met = [Dual(d.residual, max(d.price, np.abs(d.residual @ refuting).max(initial=0.0))) for d in met]
            doubted = max([doubted, *(d for d in met if d.residual is not doubted.residual)], key=search.bound)
        return maxima.union(more), doubted, thorough

    def _climb(self, values: Array, residual: Array) -> Maxima:
        """Where the maxima next to the columns of the largest prices have moved."""
        prices = residual @ values
        best = np.argsort(-np.abs(prices), kind="stable")[: self._climbed]
        return self._search.refine(residual, self.directions[best], np.where(prices[best] < 0.0, -1.0, 1.0))

    # -- joining and leaving -----------------------------------------------------------------------

    def _renew(self, values: Array, solved: Iterate, maxima: Maxima) -> None:
        """Drop columns that neither carry weight nor are near their price, and add maxima."""
        beta = self._question.beta
        weights = np.abs(solved.blocks.reshape(-1))
        self.carrying = self.directions[weights > 1e-6 * weights.max(initial=0.0)]
        order, keep = np.argsort(weights, kind="stable"), np.ones(weights.size, dtype=bool)
        keep[order[np.cumsum(weights[order]) < FAINT * self.gap * weights.sum()]] = False
        for residual in (solved.residual, solved.residual if self.dual is None else self.dual.residual):
            keep |= np.abs(residual @ values) > beta * (1.0 - self.gap)
        worth = self._unit(maxima.directions[maxima.values > beta * (1.0 - WORTH * self.gap)])
        self.directions = np.concatenate([self.directions[keep], worth[self._apart(worth)]])

    def _apart(self, directions: Array) -> NDArray[np.intp]:
        """Of directions (k, p), best first, those that are not next to an earlier one."""
        scaled = directions * self._units
        scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
        least = min(APART, self.gap) ** 2
        kept, chosen = np.empty((self._joining, directions.shape[1])), list[int]()
        for k, direction in enumerate(scaled):
            if len(chosen) == self._joining:
                break
            if not np.any(np.sum((kept[: len(chosen)] - direction) ** 2, axis=1) < least):
                kept[len(chosen)] = direction
                chosen.append(k)
        return np.array(chosen, dtype=np.intp)
