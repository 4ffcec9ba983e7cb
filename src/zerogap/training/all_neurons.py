"""Training over all neurons, with proofs: generation proposes, oracles dispose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.global_referee import GlobalReferee
from zerogap.errors import Status
from zerogap.network import Network
from zerogap.oracles.branch_and_bound import BranchAndBound, Tree, compiled
from zerogap.oracles.form import Form
from zerogap.oracles.relaxation import relax
from zerogap.oracles.search import random_starts, search
from zerogap.question import Question
from zerogap.solvers import Iterate
from zerogap.training.columns import Columns, Weighed
from zerogap.training.generation import Generation
from zerogap.training.history import Iteration
from zerogap.training.negligible import without_negligible
from zerogap.training.price_search import Dual, PriceSearch
from zerogap.training.recovery import FAINTEST, consolidated, thinnest
from zerogap.training.rounds import FIRST_GAP, Round
from zerogap.training.routes import Request, Trained
from zerogap.training.sliding import Sliding, slide
from zerogap.training.thresholds import falling, largest_price

Array = NDArray[np.float64]

WORK = 6e9
"""Products and sums that the curvature of a cold start may take, about."""

FRESH = 4
"""Of the neurons of a cold start, one in so many joins those of a warm start."""

ENTRIES = 3e6
"""Pre-activations of a cold start, at most."""

SLACK = 0.3
"""Where a proof is wanted, search has to estimate this share of the gap: the rest makes branch and bound shorter."""

GRACE = 0.1
"""After the time is up the network is still made thinner, for so long in units of the limit."""

CRITICAL_STARTS, FEWEST, VISITED = 2000, 200, 3e7
"""Starts of the search for the critical beta; on large problems fewer, so that a step visits so many entries."""


@dataclass(eq=False)
class GlobalRun:
    """One run over all neurons.

    Parameters
    ----------
    question : Question
        ReLU networks.
    tol : float
        Relative gap asked for.
    limit : float
        Seconds for the search of the network.
    effort : float
        Seconds for branch and bound, in all.
    solver : str
        Solver of the programs over the cells in use.
    callback : callable, optional
        Called with every Iteration; a true return value stops the run.
    """

    question: Question
    tol: float
    limit: float
    effort: float
    rng: np.random.Generator
    solver: str = "interior_point"
    callback: Callable[[Iteration], object] | None = None
    history: list[Iteration] = field(default_factory=list)
    status: Status = Status.STALLED

    def __post_init__(self) -> None:
        self.started = clock.now()
        self.referee = GlobalReferee(self.question)
        searched = without_negligible(self.question, self.tol)
        form = self.referee.form
        if searched is not self.question:
            form = Form.of(searched.rows, free=form.free)
        self.search = PriceSearch(searched, form, self.tol * (SLACK if self.effort > 0.0 else 1.0), self.rng)
        self.generation: Generation | None = None
        self.last: Round | None = None
        self.dual: Dual | None = None
        """What a thorough search has left; the estimate comes from it."""
        self.nodes = 0
        self._proving = 0.0
        self._attempted: Round | None = None
        self._best: Iterate | None = None
        self._lowest = np.inf
        self._given: Network | None = None
        self._found: Network | None = None
        """Of neurons that slid, or of columns, as long as cells are no better."""

    def run(self, warm_start: Network | None) -> None:
        """Alternate rounds of generation with attempts at a proof, until the gap is proved or time is up."""
        try:
            null = self.question.null_residual
            if not self.search.form.rows.size or not null.any():
                self._attempt(null, thinnest(self.question, None, None, self.tol)[1], 0.0)
                return
            if warm_start is not None and warm_start.architecture == self.question.architecture:
                self._given = warm_start
            directions = np.zeros((0, self.search.form.dimension))
            # Near the critical beta there is nothing to slide: a network without neurons is asked what it lacks.
            if warm_start is None or warm_start.width:
                fresh = random_starts(self.search.form, self._width(warm_start), self.rng)
                for sliding, done in slide(self.search.question, warm_start, fresh, self.rng):
                    if self._take_sliding(sliding, done):
                        return
                    directions = sliding.blocks
            self._rounds(directions)
            if self.last is not None and self._attempted is not self.last:
                self._attempt_round(self.last)
        except KeyboardInterrupt:
            self.status = Status.INTERRUPTED

    def judge(self, network: Network) -> None:
        """Bound the price of the network's own residual, by a relaxation."""
        outputs = network.outputs(self.question.rows)
        self._attempt(-self.question.loss.gradient(outputs), np.inf, 0.0)

    def _width(self, network: Network | None) -> int:
        """Random neurons of a cold start, or of one from a network."""
        n, (rows, p) = self.question.rows.samples, self.question.rows.flat.shape
        width = int(np.clip(2 * n, 50, 400))
        while width > 1 and (n * min(n, width * p) * width * p > WORK or width * rows > ENTRIES):
            width = int(0.8 * width)
        return width if network is None else max(1, min(width // FRESH, width - network.width))

    def _rounds(self, directions: Array) -> None:
        """Rounds over columns as long as these make progress, then over cells."""
        dual, gap = None, FIRST_GAP
        # A conic solver that is asked for is a reference for the programs over cells.
        if self.solver == "interior_point":
            columns = Columns(self.search, directions)
            if self._take_all(columns):
                return
            directions, dual, gap = columns.carrying, columns.dual, columns.gap
        self.generation = Generation(self.search, directions, dual=dual, gap=gap, solver=self.solver)
        self._take_all(self.generation)

    def _take_all(self, rounds: Columns | Generation) -> bool:
        """Run rounds to their end; whether there is nothing left to do before."""
        for item in rounds.rounds():
            if self._take_round(item, rounds) if isinstance(item, Round) else self._take_iterate(item):
                return True
        return False

    def _take_sliding(self, sliding: Sliding, done: bool) -> bool:
        """Keep the neurons that a level of smoothing has left; whether to stop."""
        if done:
            objective = sliding.objective()
            if objective < self._lowest:
                self._lowest, self._found = objective, sliding.network()
            self._record(0.0, sliding.signs.size)
        return self._overdue()

    def _take_iterate(self, item: Weighed | Iterate) -> bool:
        if isinstance(item, Weighed):
            # The first iterates of a program are worse than the best network, and their width is not its.
            width = self.history[-1].width if self.history else 0
            if item.iterate.primal < self._lowest:
                self._lowest, self._found = item.iterate.primal, item.network(self.question)
                width = self._carrying(item.iterate)
            self._record(item.iterate.passes, width)
            return self._overdue()
        self._best = item if self._best is None or item.primal < self._best.primal else self._best
        if item.primal < self._lowest:
            self._lowest, self._found = item.primal, None
        self._record(item.passes, self._carrying(item))
        return self._overdue()

    def _overdue(self) -> bool:
        """Whether the run has to stop, because of the callback or the clock."""
        if self.status is Status.STALLED and clock.now() - self.started - self._proving >= self.limit:
            self.status = Status.TIME_LIMIT
        return self.status is not Status.STALLED

    def _carrying(self, iterate: Iterate) -> int:
        """Neurons that carry weight; blocks of columns, whose directions have gauge one, are weights only."""
        blocks = iterate.blocks
        sizes = np.abs(blocks) if blocks.shape[2] == 1 else self.search.gauge.value(blocks)
        return int(np.sum(sizes > 1e-6 * sizes.max(initial=0.0)))

    def _record(self, passes: float, width: int) -> None:
        """Add to the history, and let the callback see it."""
        seconds = clock.now() - self.started
        bound = self.referee.ratchet.bound
        suggested = None if self.last is None else self.last.iterate.primal * (1.0 - self.last.estimate)
        if self.dual is not None and (residual := self.referee.feasible(self.dual.residual)) is not None:
            suggested = self.referee.dual_value(residual, self.dual.price)
        record = Iteration(seconds, passes, self.nodes, self._lowest, bound, width, suggested)
        self.history.append(record)
        if self.callback is not None and self.callback(record):
            self.status = Status.STOPPED

    def _take_round(self, round_: Round, rounds: Columns | Generation) -> bool:
        self.last, self.dual = round_, round_.dual if round_.thorough else None
        self._record(round_.iterate.passes, self._carrying(round_.iterate))
        if self._overdue():
            return True
        if not (round_.thorough and round_.estimate <= self.tol):
            return False
        if self.effort <= self._proving:
            self.status = Status.OPTIMAL
            return True
        direction = self._attempt_round(round_)
        if self.status is Status.STALLED and (direction is None or self._proved_gap(round_.iterate) <= self.tol):
            self.status = Status.OPTIMAL
        if self.status is not Status.STALLED or direction is None:
            return True
        rounds.insist(direction)
        return False

    def _attempt_round(self, round_: Round) -> Array | None:
        self._attempted = round_
        return self._attempt(round_.dual.residual, round_.iterate.primal, round_.dual.price)

    def _proved_gap(self, iterate: Iterate) -> float:
        return (iterate.primal - self.referee.ratchet.bound) / max(iterate.primal, 1e-300)

    def _attempt(self, residual: Array, objective: float, price: float) -> Array | None:
        """Try to prove a bound with a residual; the direction that forbids it, if one was found."""
        balanced = self.referee.feasible(residual)
        if balanced is None:
            return None
        compiled()
        form, beta, started = self.referee.form, self.question.beta, clock.now()
        branches = BranchAndBound(form, balanced)
        direction = None
        if branches.possible and self.effort > self._proving:
            known = max(price * (1.0 + 1e-9), 1e-3 * beta)
            wanted = objective * (1.0 - 0.9 * self.tol)
            target = largest_price(lambda middle: self.referee.dual_value(balanced, middle), wanted, known, beta)
            before = self.nodes

            def heard(upper: float, tree: Tree) -> bool:
                self.referee.hear(balanced, upper, "branch and bound", tree)
                self.nodes = before + branches.nodes
                if self.last is not None:
                    self._record(self.last.iterate.passes, self._carrying(self.last.iterate))
                return self.status is not Status.STALLED

            found = branches.run(falling(known, target), started + self.effort - self._proving, heard)
            self.nodes = before + found.nodes
            direction = found.direction
            if found.interrupted:
                raise KeyboardInterrupt
        if direction is None and self.referee.ratchet.proof is None:
            self._relax(balanced)
        self._proving += clock.now() - started
        return direction

    def _relax(self, residual: Array) -> None:
        """The weak bound that needs no search."""
        balanced, form = self.referee.feasible(residual), self.referee.form
        if balanced is not None:
            coefficients = form.coefficients(balanced)
            self.referee.hear(balanced, max(relax(form, sign * coefficients) for sign in (1.0, -1.0)), "relaxation")

    def network(self) -> tuple[Network, float]:
        """The thinnest network found, or the one that was given or slid if that is better; and its objective."""
        program, iterate = None if self.generation is None else self.generation.program, self._best
        if self.last is not None and self.last.program is not None:
            program, iterate = self.last.program, self.last.iterate
        network, objective = thinnest(self.question, program, iterate, self.tol)
        others = []
        if self._given is not None:
            others.append(self._given.without_faint(FAINTEST).pruned(self.question.rows))
        if self._found is not None:
            deadline = max(clock.now(), self.started + self._proving + self.limit) + GRACE * self.limit
            others.append(consolidated(self.question, self._found, self.tol, deadline))
        for other in others:
            if self.referee.objective(other) < objective:
                network, objective = other, self.referee.objective(other)
        return network, self.referee.objective(network)

    def verdict(self, network: Network, objective: float) -> Certificate:
        """The certificate of a network over all neurons; only an exhausted search gives an estimate."""
        if self.referee.ratchet.proof is None:
            # Stopped before the first proof was finished: the residuals at hand still give bounds.
            self._relax(self.question.null_residual)
            self._relax(-self.question.loss.gradient(network.outputs(self.question.rows)))
            if self._best is not None:
                self._relax(self._best.residual)
        estimate = None
        if self.dual is not None:
            residual = self.referee.feasible(self.dual.residual)
            estimate = None if residual is None else self.referee.dual_value(residual, self.dual.price)
        program = None if self.generation is None else self.generation.program
        cells = 0 if program is None else program.cells.count
        return self.referee.verdict(network, objective, cells=cells, estimate=estimate)


def train_globally(question: Question, request: Request) -> Trained:
    """Train over all neurons of a cellular architecture: network, certificate, history, status."""
    run = GlobalRun(question, request.tol, request.limit, request.effort, request.rng, request.solver, request.callback)
    run.run(request.warm_start)
    network, objective = run.network()
    return network, run.verdict(network, objective), run.history, run.status


def price_bounds(question: Question, tol: float, seconds: float, rng: np.random.Generator) -> tuple[float, float]:
    """The largest price of the residual without neurons: one that is attained, and one that nothing exceeds."""
    referee = GlobalReferee(question)
    residual = referee.feasible(question.null_residual)
    if residual is None:
        return 0.0, np.inf
    if not referee.form.rows.size or not residual.any():
        return 0.0, 0.0
    compiled()
    deadline = clock.now() + seconds
    starts = int(np.clip(VISITED / referee.form.rows.size, FEWEST, CRITICAL_STARTS))
    maxima = search(referee.form, residual, random_starts(referee.form, starts, rng))
    lower, upper = maxima.price, np.inf
    branches = BranchAndBound(referee.form, residual)
    while branches.possible and seconds > 0.0:
        loose = [lower * (1.0 + 10.0**-k) for k in range(8) if 10.0**-k > 2.0 * tol]
        found = branches.run([*loose, lower * (1.0 + 0.5 * tol)], deadline)
        upper = min(upper, found.upper)
        lower = max(lower, found.value)
        if found.direction is None or found.interrupted:
            break
    coefficients = referee.form.coefficients(residual)
    upper = min(upper, max(relax(referee.form, sign * coefficients) for sign in (1.0, -1.0)))
    # Values of search carry rounding of their own.
    return lower * (1.0 - 1e-12), upper
