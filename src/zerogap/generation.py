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
from zerogap.oracles.search import Maxima, random_starts, search
from zerogap.program import Program
from zerogap.question import Question
from zerogap.sliding import Sliding
from zerogap.solvers import Iterate, make_solver

Array = NDArray[np.float64]

STARTS = 400
"""Random starts of a search, besides the neurons in use and the maxima of the last search."""

BATCHES = 40
"""A search that finds nothing is repeated so often with other starts, before a gap is believed."""

AFFORDABLE = 2e7
"""Entries of the rows, over all starts of a search, that may be visited in one ascent step."""

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

FAINT = 1.0
"""The lightest cells leave the program, as long as their share of the penalty is below so many relative gaps."""


@dataclass(frozen=True, eq=False)
class Round:
    """What one round leaves behind.

    Parameters
    ----------
    program : Program
        Over the cells in use.
    iterate : Iterate
        The solver's point of least gap.
    price : float
        The largest price that the search met; a lower bound of the true one.
    thorough : bool
        Whether the search was the thorough one.
    """

    program: Program
    iterate: Iterate
    price: float
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
        self._question, self._form, self._tol, self._rng, self._starts = question, form, tol, rng, starts
        self._solver = solver
        self._cells: Cells | None = None
        self._gap = FIRST_GAP
        self._insisted = False
        self._known = np.zeros((0, form.dimension))
        self.program: Program | None = None

    # -- cells -------------------------------------------------------------------------------------

    def add(self, directions: Array, most: int = NEW_CELLS) -> bool:
        """Let the cells of some directions (k, p) join; whether any of them is new."""
        walls = self._question.walls
        size = np.linalg.norm(directions, axis=1, keepdims=True)
        nudged = directions + NUDGE * size * self._rng.standard_normal(directions.shape) / np.sqrt(directions.shape[1])
        keep = first_of_each(walls.signs(nudged))[:most]
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

    def warm(self, network: Network) -> None:
        """Start from the cells of a network's neurons."""
        used = network.balanced().first
        if used.shape[0]:
            self.add(used, used.shape[0])

    def warm_by_sliding(self, width: int) -> Iterator[Sliding | None]:
        """Start from the cells in which so many random neurons come to rest; yields after every step, with the
        neurons whenever a level of smoothing is done.
        """
        directions = random_starts(self._form, width, self._rng)
        sliding = Sliding.scattered(self._question, directions, self._rng)
        for done in sliding.run():
            yield sliding if done else None
        if sliding.signs.size:
            self.add(sliding.blocks, sliding.signs.size)

    # -- rounds ------------------------------------------------------------------------------------

    def rounds(self) -> Iterator[Round | Iterate]:
        """Iterates of the solver, and a Round after each program; ends when the search finds nothing more."""
        question = self._question
        if self._cells is None:
            self.add(random_starts(self._form, 30, self._rng))
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
            maxima, thorough = self._search(best)
            estimate = self.estimate(best, maxima.price)
            self._gap = min(self._gap, max(estimate, 0.1 * self._tol))
            # Maxima on walls can ask for the same few cells for ever.
            improved = best.primal < lowest * (1.0 - 0.01 * self._tol) or estimate < 0.9 * closest
            lowest, closest = min(lowest, best.primal), min(closest, estimate)
            self._drop(program, best)
            self._insisted = False
            yield Round(program, best, maxima.price, thorough)
            worth = maxima.directions[maxima.values > question.beta * (1.0 + 0.05 * self._tol)]
            stuck = 0 if (self.add(worth) and improved) or self._insisted else stuck + 1

    def _search(self, iterate: Iterate) -> tuple[Maxima, bool]:
        """Maxima of the price, and whether the search was thorough.

        What has been found decides how long to go on, not the clock: runs repeat.
        """
        gauge = self._question.architecture.gauge(self._form.dimension)
        sizes = gauge.value(iterate.blocks)
        used = iterate.blocks[sizes > 1e-4 * sizes.max(initial=0.0)]
        maxima = search(self._form, iterate.residual, np.concatenate([used, self._known]))
        batches = max(1, min(BATCHES, int(AFFORDABLE / max(1, self._starts * self._form.rows.size))))
        thorough = True
        for _ in range(batches):
            fresh = random_starts(self._form, self._starts, self._rng)
            maxima = maxima.union(search(self._form, iterate.residual, fresh))
            if self.estimate(iterate, maxima.price) > self._tol:
                thorough = False
                break
        distinct = first_of_each(self._question.walls.signs(maxima.directions))[:REMEMBERED]
        self._known = maxima.directions[distinct]
        return maxima, thorough

    def estimate(self, iterate: Iterate, price: float) -> float:
        """The relative gap if no neuron had a larger price."""
        loss, beta = self._question.loss, self._question.beta
        largest = beta / price if price > 0.0 else np.inf
        dual = loss.dual_value(loss.best_scale(iterate.residual, largest) * iterate.residual)
        return (iterate.primal - dual) / max(iterate.primal, 1e-300)

    def _drop(self, program: Program, iterate: Iterate) -> None:
        """Keep the cells that carry weight: what the last gap leaves to vanishing blocks is noise."""
        sizes = program.gauge.value(iterate.blocks).sum(axis=0)
        order = np.argsort(sizes)
        live = order[np.cumsum(sizes[order]) > FAINT * max(iterate.gap, 0.0) * sizes.sum()]
        if self._cells is not None and live.size:
            self._cells = self._cells.take(np.sort(live))
