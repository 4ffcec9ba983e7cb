r"""Training over all neurons: price, add cells, re-solve, drop cells, until no neuron is worth its price.

The program over the cells in use gives a network and a residual r. A neuron u with |r . phi(u)| > beta ||u||
would lower the objective (spec of the papers, cutting planes): its cell joins the program. Search finds such
neurons; that it finds none proves nothing (docs/theory.md, "Search is not proof"), but a branch and bound
that finds none does, and the neuron that it finds instead joins the program like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells, cells_of_gates
from zerogap.arrangements.cells import first_of_each
from zerogap.network import Network
from zerogap.oracles.form import Form
from zerogap.oracles.search import LEAST, Maxima, random_starts, search
from zerogap.program import Program
from zerogap.question import Question
from zerogap.solvers import Iterate, make_solver
from zerogap.training.sliding import WIDTHS, Sliding

Array = NDArray[np.float64]

STARTS = 400
"""Random starts of a search, besides the neurons in use and the maxima of the last search."""

BATCHES = 40
"""A search that finds nothing is repeated so often with other starts, before a gap is believed."""

AFFORDABLE = 2e7
"""Entries of the rows, over all starts of a search, that may be visited in one ascent step."""

TIGHT = 1e-3
"""Above this tolerance the search before a gap is believed is shorter: in all, in proportion; each part by its root."""

INWARD = 0.5
"""Prices are also asked for so far on the way from the last residual to the best one so far."""

NEAR = 0.3
"""Distance of the starts around neurons in use."""

SKIPPED = 2, 4
"""So many of the widest levels are left out where sliding starts from a network: with random neurons, or known ones."""

REMEMBERED = 200
"""Maxima of a search that are starts of the next one, at most."""

NEW_CELLS = 150
"""At most this many cells join in one round."""

NUDGE = 1e-5
"""Maxima lie on walls; a relative random step of this size picks one of the cells that touch there."""

PATIENCE = 6
"""Rounds without a new cell, or in which nothing improves, before giving up."""

FIRST_GAP = 0.3
"""What is assumed of the starting neurons."""

AIM = 0.05
"""A program is solved to this share of the gap that was estimated before."""

FAINT = 1.0, 0.15
"""The lightest cells leave the program, as long as their share of the penalty is below so many relative gaps: of the
program, or the least one estimated so far."""


@dataclass(frozen=True, eq=False)
class Dual:
    """A residual (n,) and its largest price that the search met, a lower bound of the true one."""

    residual: Array
    price: float


@dataclass(frozen=True, eq=False)
class Round:
    """What one round leaves behind.

    Parameters
    ----------
    program : Program
        Over the cells in use.
    iterate : Iterate
        The solver's point of least gap.
    dual : Dual
        The best dual point so far, as far as search can tell.
    estimate : float
        The relative gap if that is the largest price.
    thorough : bool
        Whether the search was the thorough one.
    """

    program: Program
    iterate: Iterate
    dual: Dual
    estimate: float
    thorough: bool


class Generation:
    """Rounds of generation for one question.

    Parameters
    ----------
    question : Question
        ReLU networks.
    form : Form
        Its rows, merged.
    tol : float
        Relative gap asked for; the rounds solve their programs a little further than the round before.
    rng : Generator
    starts : int
        Random starts of each search.
    solver : str
        Of the programs.
    """

    def __init__(
        self,
        question: Question,
        form: Form,
        tol: float,
        rng: np.random.Generator,
        *,
        starts: int = STARTS,
        solver: str = "interior_point",
    ) -> None:
        self._question, self.form, self._tol, self._rng = question, form, tol, rng
        ease = min(1.0, TIGHT / tol)
        self._starts, self._least = max(1, int(starts * ease**0.5)), max(1, int(LEAST * ease**0.5))
        self._affordable = AFFORDABLE * ease
        self._solver = solver
        self._cells: Cells | None = None
        self._gap = FIRST_GAP
        self._insisted = False
        self._known = np.zeros((0, form.dimension))
        self._dual: Dual | None = None
        self.program: Program | None = None

    # -- cells -------------------------------------------------------------------------------------

    def add(self, directions: Array, most: int | None = None) -> bool:
        """Let the cells of some directions (k, p) join; whether any of them is new."""
        walls = self._question.walls
        size = np.linalg.norm(directions, axis=1, keepdims=True)
        nudged = directions + NUDGE * size * self._rng.standard_normal(directions.shape) / np.sqrt(directions.shape[1])
        keep = first_of_each(walls.signs(nudged))[: NEW_CELLS if most is None else most]
        if not keep.size:
            return False
        fresh = cells_of_gates(walls, nudged[np.sort(keep)])
        before = 0 if self._cells is None else self._cells.count
        self._cells = fresh if self._cells is None else self._cells.union(fresh)
        return self._cells.count > before

    def insist(self, direction: Array) -> None:
        """Let the cells around a direction join that a proof has found, whatever the search thinks."""
        around = np.repeat(direction[None], 8, axis=0)
        self._insisted = self.add(around)
        # The dual point that the proof refused, and what search believed its price to be.
        self._dual, self._known = None, np.concatenate([direction[None], self._known])

    def warm_by_sliding(
        self, width: int, network: Network | None = None, directions: Array | None = None
    ) -> Iterator[Sliding | None]:
        """Start from the cells in which neurons come to rest; yields after every step, with the neurons whenever a
        level of smoothing is done.

        Parameters
        ----------
        width : int
            Random neurons.
        network : Network, optional
            Its neurons slide along.
        directions : (k, p) float64, optional
            Known to be worth more than they cost: they take the place of the random neurons.
        """
        known = directions is not None
        directions = random_starts(self.form, width, self._rng) if directions is None else directions
        if network is None or not network.width:
            sliding, widths = Sliding.scattered(self._question, directions, self._rng), WIDTHS
        else:
            sliding = Sliding.continued(self._question, network, directions, self._rng)
            widths = WIDTHS[SKIPPED[known] :]
        for done in sliding.run(widths):
            yield sliding if done else None
        if sliding.signs.size:
            self.add(sliding.blocks, sliding.signs.size)

    # -- rounds ------------------------------------------------------------------------------------

    def rounds(self) -> Iterator[Round | Iterate]:
        """Iterates of the solver, and a Round after each program; ends when the search finds nothing more."""
        question = self._question
        if self._cells is None:
            self.add(random_starts(self.form, 30, self._rng))
        stuck, lowest, closest = 0, np.inf, np.inf
        while self._cells is not None and self._cells.count and stuck < PATIENCE:
            self.program = program = question.program(self._cells)
            best: Iterate | None = None
            aim = max(AIM * self._gap, 0.2 * self._tol)
            for iterate in make_solver(self._solver, program, tol=aim, max_time=np.inf):
                best = iterate if best is None or iterate.gap < best.gap else best
                yield iterate
                if iterate.gap <= aim:
                    break
            if best is None:
                return
            maxima, self._dual, thorough = self._price(best)
            estimate = self._gap_of(best.primal, self._dual)
            self._gap = min(self._gap, max(estimate, 0.1 * self._tol))
            # Maxima on walls can ask for the same few cells for ever.
            improved = best.primal < lowest * (1.0 - 0.01 * self._tol) or estimate < 0.9 * closest
            lowest, closest = min(lowest, best.primal), min(closest, estimate)
            self._drop(program, best)
            self._insisted = False
            yield Round(program, best, self._dual, estimate, thorough)
            worth = maxima.directions[maxima.values > question.beta * (1.0 + 0.05 * self._tol)]
            stuck = 0 if (self.add(worth) and improved) or self._insisted else stuck + 1

    def _price(self, iterate: Iterate) -> tuple[Maxima, Dual, bool]:
        """Maxima of the price that forbid the residuals in use, the best of these, and whether search was thorough.

        What has been found decides how long to go on, not the clock: runs repeat.
        """
        sizes = self._question.architecture.gauge(self.form.dimension).value(iterate.blocks)
        used = iterate.blocks[sizes > 1e-4 * sizes.max(initial=0.0)]
        maxima = self._revisit(iterate.residual, used).union(self._search(iterate.residual, used))
        dual = Dual(iterate.residual, maxima.price)
        if self._dual is not None:
            between = INWARD * self._dual.residual + (1.0 - INWARD) * iterate.residual
            inner = self._revisit(between, used).union(self._search(between, used))
            dual = max(dual, self._dual, Dual(between, inner.price), key=self._bound)
            maxima = maxima.union(inner)
        more, dual, thorough = self._doubted(iterate.primal, dual, used)
        maxima = maxima.union(more)
        self._known = maxima.directions[first_of_each(self._question.walls.signs(maxima.directions))[:REMEMBERED]]
        return maxima, dual, thorough

    def suggested(self, network: Network, objective: float) -> tuple[Dual, float, Array]:
        """The dual point of a network's own residual, the relative gap if no neuron has a larger price, and neurons
        that are worth more than they cost.
        """
        used = network.balanced().first
        residual = -self._question.loss.gradient(network.outputs(self._question.rows))
        maxima = self._revisit(residual, used)
        more, dual, _ = self._doubted(objective, Dual(residual, maxima.price), used)
        maxima = maxima.union(more) if more.values.size else maxima.union(self._search(residual, used))
        worth = maxima.directions[maxima.values > self._question.beta * (1.0 + 0.05 * self._tol)]
        fresh = first_of_each(self._question.walls.signs(worth))[:NEW_CELLS]
        return dual, self._gap_of(objective, dual), worth[np.sort(fresh)]

    def _doubted(self, primal: float, dual: Dual, used: Array) -> tuple[Maxima, Dual, bool]:
        """Further searches before a small gap is believed: their maxima, the dual point after them, and if it held."""
        batches = max(1, min(BATCHES, int(self._affordable / max(1, self._starts * self.form.rows.size))))
        tried, maxima = 0, Maxima(np.zeros(0), used[:0], np.zeros(0))
        while self._gap_of(primal, dual) <= self._tol and tried < batches:
            found = self._search(dual.residual, used)
            found = found if tried else found.union(self._revisit(dual.residual, used))
            dual, maxima = Dual(dual.residual, max(dual.price, found.price)), maxima.union(found)
            tried += 1
        return maxima, dual, tried == batches

    def _search(self, residual: Array, used: Array) -> Maxima:
        """Maxima of the price met from random directions, half of them around the neurons in use.

        Rare peaks are most often near those.
        """
        fresh = random_starts(self.form, self._starts, self._rng)
        if used.shape[0]:
            gauge = self._question.architecture.gauge(self.form.dimension)
            near = fresh[: self._starts // 2]
            centres = used[self._rng.integers(used.shape[0], size=near.shape[0])]
            near *= NEAR / gauge.value(near)[:, None]
            near += centres / gauge.value(centres)[:, None]
        return search(self.form, residual, fresh, self._least)

    def _revisit(self, residual: Array, used: Array) -> Maxima:
        """Maxima of the price met from the neurons in use, and from the maxima of the last round."""
        return search(self.form, residual, np.concatenate([used, self._known]), self._least)

    def _bound(self, dual: Dual) -> float:
        """The bound that a dual point would give if no neuron had a larger price."""
        loss = self._question.loss
        largest = self._question.beta / dual.price if dual.price > 0.0 else np.inf
        return loss.dual_value(loss.best_scale(dual.residual, largest) * dual.residual)

    def _gap_of(self, primal: float, dual: Dual) -> float:
        """The relative gap if no neuron had a larger price."""
        return (primal - self._bound(dual)) / max(primal, 1e-300)

    def _drop(self, program: Program, iterate: Iterate) -> None:
        """Keep the cells that carry weight: what the last gap leaves to vanishing blocks is noise."""
        sizes = program.gauge.value(iterate.blocks).sum(axis=0)
        order = np.argsort(sizes)
        faint = max(FAINT[0] * iterate.gap, FAINT[1] * self._gap)
        live = order[np.cumsum(sizes[order]) > faint * sizes.sum()]
        if self._cells is not None and live.size:
            self._cells = self._cells.take(np.sort(live))
