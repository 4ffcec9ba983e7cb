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
from zerogap.descent import Descent, lbfgs
from zerogap.network import Network
from zerogap.oracles.form import Form
from zerogap.oracles.search import Maxima, random_starts, search
from zerogap.program import Program
from zerogap.question import Question
from zerogap.solvers import Iterate, make_solver

Array = NDArray[np.float64]

STARTS = 400
"""Random starts of the search in every round, besides the neurons in use."""

EFFORTS = (1, 6, 40)
"""A search that finds nothing is repeated with this many times the starts, before a gap is believed."""

AFFORDABLE = 2e7
"""Entries of the rows, over all starts of a search, that may be visited in one ascent step."""

NEW_CELLS = 150
"""At most this many cells join in one round."""

NUDGE = 1e-5
"""Maxima lie on walls; a relative random step of this size picks one of the cells that touch there."""

PATIENCE = 5
"""Rounds without a new cell before giving up."""

LIGHT = 1e-3
"""Neurons with less than this share of the largest mass name no cell, and new ones start with it."""

ROUGH = 0.02
"""Gradient rounds end when no neuron exceeds its price by more than this."""

FAINT = 1e-3
"""Cells whose blocks are smaller than this share of the largest one leave the program."""


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
        self._gap = 1.0
        self._insisted = False
        self._effort = 0
        self.program: Program | None = None

    # -- cells -------------------------------------------------------------------------------------

    def add(self, directions: Array) -> bool:
        """Let the cells of some directions (k, p) join; whether any of them is new."""
        walls = self._question.walls
        size = np.linalg.norm(directions, axis=1, keepdims=True)
        nudged = directions + NUDGE * size * self._rng.standard_normal(directions.shape) / np.sqrt(directions.shape[1])
        keep = first_of_each(walls.signs(nudged))[:NEW_CELLS]
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
            self.add(used)

    def warm_by_gradient(self, width: int, iterations: int, *, rounds: int = 12) -> None:
        """Start from the cells of L-BFGS on a wide network, to which better neurons are added until few are left.

        Gradient steps move neurons across cells, which the program cannot: the rounds that follow start where
        they get stuck, at kinks.
        """
        question, rng = self._question, self._rng
        gauge = question.architecture.gauge(self._form.dimension)
        problem = Descent(question, width)
        first, second, offset = problem.unpack(lbfgs(problem, problem.start(rng), iterations))
        before = np.inf
        for _ in range(rounds):
            mass = gauge.value(first) * np.abs(second)
            used = mass > LIGHT * mass.max(initial=0.0)
            first, second = first[used], second[used]
            outputs = Network(question.architecture, first, second, offset=offset).outputs(question.rows)
            residual = -question.loss.gradient(outputs)
            starts = np.concatenate([first, random_starts(self._form, self._starts, rng)])
            maxima = search(self._form, residual, starts)
            objective = question.loss.value(outputs) + question.beta * float(mass.sum())
            if maxima.price <= question.beta * (1.0 + ROUGH) or objective > before * (1.0 - 0.1 * ROUGH):
                break
            before = objective
            worth = maxima.values > question.beta * (1.0 + 0.1 * ROUGH)
            fresh, signs = _distinct(maxima.directions[worth], maxima.signs[worth], width // 2)
            # Balanced neurons, too light to disturb the others at first.
            size = np.sqrt(LIGHT * max(float(mass.max(initial=0.0)), 1e-12))
            first = np.concatenate([first, size * fresh])
            second = np.concatenate([second, size * signs])
            problem = Descent(question, second.size)
            flat = np.concatenate([first.ravel(), second, [offset]])
            first, second, offset = problem.unpack(lbfgs(problem, flat, iterations))
        mass = gauge.value(first) * np.abs(second)
        order = np.argsort(-mass)
        chosen = order[mass[order] > LIGHT * mass.max(initial=0.0)][: 2 * question.rows.samples + 2]
        if chosen.size:
            self.add(first[chosen])

    # -- rounds ------------------------------------------------------------------------------------

    def rounds(self) -> Iterator[Round | Iterate]:
        """Iterates of the solver, and a Round after each program; ends when the search finds nothing more."""
        question = self._question
        if self._cells is None:
            self.add(random_starts(self._form, 30, self._rng))
        stuck = 0
        while self._cells is not None and self._cells.count and stuck < PATIENCE:
            self.program = program = question.program(self._cells)
            best: Iterate | None = None
            aim = max(0.05 * self._gap, 0.2 * self._tol)
            for iterate in make_solver(self._solver, program, tol=aim, max_time=np.inf):
                best = iterate if best is None or iterate.gap < best.gap else best
                yield iterate
                if iterate.gap <= aim:
                    break
            if best is None:
                return
            maxima = self._search(best)
            # What a search has found decides how hard to try, not the clock: runs repeat.
            while self.estimate(best, maxima.price) <= self._tol and self._effort < len(EFFORTS) - 1:
                self._effort += 1
                maxima = self._search(best)
            thorough = self._effort == len(EFFORTS) - 1
            self._gap = min(self._gap, max(self.estimate(best, maxima.price), 0.1 * self._tol))
            self._drop(program, best)
            self._insisted = False
            self._effort = min(self._effort, len(EFFORTS) - 2)
            yield Round(program, best, maxima.price, thorough)
            worth = maxima.directions[maxima.values > question.beta * (1.0 + 0.05 * self._tol)]
            stuck = 0 if self.add(worth) or self._insisted else stuck + 1

    def _search(self, iterate: Iterate) -> Maxima:
        gauge = self._question.architecture.gauge(self._form.dimension)
        sizes = gauge.value(iterate.blocks)
        used = iterate.blocks[sizes > 1e-4 * sizes.max(initial=0.0)]
        most = max(self._starts, int(AFFORDABLE / max(1, self._form.rows.size)))
        fresh = random_starts(self._form, min(EFFORTS[self._effort] * self._starts, most), self._rng)
        starts = np.concatenate([used, fresh])
        return search(self._form, iterate.residual, starts)

    def estimate(self, iterate: Iterate, price: float) -> float:
        """The relative gap if no neuron had a larger price."""
        loss, beta = self._question.loss, self._question.beta
        largest = beta / price if price > 0.0 else np.inf
        dual = loss.dual_value(loss.best_scale(iterate.residual, largest) * iterate.residual)
        return (iterate.primal - dual) / max(iterate.primal, 1e-300)

    def _drop(self, program: Program, iterate: Iterate) -> None:
        """Keep the cells that carry weight."""
        sizes = program.gauge.value(iterate.blocks)
        live = (sizes > FAINT * sizes.max(initial=0.0)).any(axis=0)
        if self._cells is not None and live.any():
            self._cells = self._cells.take(live)


def _distinct(directions: Array, signs: Array, most: int) -> tuple[Array, Array]:
    """The first of all directions that point nearly the same way, at most so many."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    kept: list[int] = []
    for k in range(unit.shape[0]):
        if len(kept) == most:
            break
        if not kept or float((unit[kept] @ unit[k]).max()) < 1.0 - 1e-4:
            kept.append(k)
    return directions[kept], signs[kept]
