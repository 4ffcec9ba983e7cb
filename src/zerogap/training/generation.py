r"""Training over all neurons: price, add cells, re-solve, drop cells, until no neuron is worth its price.

The program over the cells in use gives a network and a residual r. A neuron u with |r . phi(u)| > beta ||u||
would lower the objective (spec of the papers, cutting planes): its cell joins the program. Search finds such
neurons; that it finds none proves nothing (docs/theory.md, "Search is not proof"), but a branch and bound
that finds none does, and the neuron that it finds instead joins the program like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells, cells_of_gates
from zerogap.arrangements.cells import first_of_each
from zerogap.oracles.search import Maxima, random_starts
from zerogap.program import Program
from zerogap.solvers import Iterate, make_solver
from zerogap.training.price_search import Dual, PriceSearch
from zerogap.training.rounds import FIRST_GAP, Progress, Round

Array = NDArray[np.float64]

INWARD = 0.5
"""Prices are also asked for so far on the way from the last residual to the best one so far."""

REMEMBERED = 200
"""Maxima of a search that are starts of the next one, at most."""

NEW_CELLS = 150
"""At most this many cells join in one round."""

NUDGE = 1e-5
"""Maxima lie on walls; a relative random step of this size picks one of the cells that touch there."""

AIM = 0.05
"""A program is solved to this share of the gap that was estimated before."""

FAINT = 1.0, 0.15
"""The lightest cells leave the program, as long as their share of the penalty is below so many relative gaps: of the
program, or the least one estimated so far."""


class Generation:
    """Rounds of generation for one question.

    Parameters
    ----------
    search : PriceSearch
        Of the question.
    directions : (k, p) float64
        Neurons whose cells are those to start from; if there are none, random ones.
    dual : Dual, optional
        A dual point that is known.
    gap : float
        The gap estimated so far.
    solver : str
        Of the programs.
    """

    def __init__(
        self,
        search: PriceSearch,
        directions: Array,
        *,
        dual: Dual | None = None,
        gap: float = FIRST_GAP,
        solver: str = "interior_point",
    ) -> None:
        self._search, self._question, self._tol = search, search.question, search.tol
        self._solver, self._dual, self._gap = solver, dual, gap
        self._cells: Cells | None = None
        self._insisted = False
        self._known = np.zeros((0, search.form.dimension))
        self.program: Program | None = None
        directions = directions if directions.shape[0] else random_starts(search.form, 30, search.rng)
        self.add(directions, directions.shape[0])

    # -- cells -------------------------------------------------------------------------------------

    def add(self, directions: Array, most: int | None = None) -> bool:
        """Let the cells of some directions (k, p) join; whether any of them is new."""
        walls = self._question.walls
        size = np.linalg.norm(directions, axis=1, keepdims=True)
        nudged = directions + NUDGE * size * self._search.rng.standard_normal(directions.shape) / np.sqrt(
            directions.shape[1]
        )
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

    # -- rounds ------------------------------------------------------------------------------------

    def rounds(self) -> Iterator[Round | Iterate]:
        """Iterates of the solver, and a Round after each program; ends when the search finds nothing more."""
        question, progress = self._question, Progress(self._tol)
        while self._cells is not None and self._cells.count and progress.made:
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
            estimate = self._search.gap(best.primal, self._dual)
            self._gap = min(self._gap, max(estimate, 0.1 * self._tol))
            self._drop(program, best)
            self._insisted = False
            yield Round(program, best, self._dual, estimate, thorough)
            worth = maxima.directions[maxima.values > question.beta * (1.0 + 0.05 * self._tol)]
            progress.see(best.primal, estimate, joined=self.add(worth), insisted=self._insisted)

    def _price(self, iterate: Iterate) -> tuple[Maxima, Dual, bool]:
        """Maxima of the price that forbid the residuals in use, the best of these, and whether search was thorough.

        What has been found decides how long to go on, not the clock: runs repeat.
        """
        sizes = self._search.gauge.value(iterate.blocks)
        used = iterate.blocks[sizes > 1e-4 * sizes.max(initial=0.0)]
        maxima = self._met(iterate.residual, used)
        dual = Dual(iterate.residual, maxima.price)
        if self._dual is not None:
            between = INWARD * self._dual.residual + (1.0 - INWARD) * iterate.residual
            inner = self._met(between, used)
            dual = max(dual, self._dual, Dual(between, inner.price), key=self._search.bound)
            maxima = maxima.union(inner)
        more, dual, thorough = self._search.doubted(iterate.primal, dual, used)
        maxima = maxima.union(more)
        self._known = maxima.directions[first_of_each(self._question.walls.signs(maxima.directions))[:REMEMBERED]]
        return maxima, dual, thorough

    def _met(self, residual: Array, used: Array) -> Maxima:
        """Maxima of the price met from the neurons in use, from the maxima of the last round, and around them."""
        known = np.concatenate([used, self._known])
        return self._search.revisit(residual, known).union(self._search.around(residual, used))

    def _drop(self, program: Program, iterate: Iterate) -> None:
        """Keep the cells that carry weight: what the last gap leaves to vanishing blocks is noise."""
        sizes = program.gauge.value(iterate.blocks).sum(axis=0)
        order = np.argsort(sizes)
        faint = max(FAINT[0] * iterate.gap, FAINT[1] * self._gap)
        live = order[np.cumsum(sizes[order]) > faint * sizes.sum()]
        if self._cells is not None and live.size:
            self._cells = self._cells.take(np.sort(live))
