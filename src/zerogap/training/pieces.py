"""Training over a list of pieces: solve their program, take its network, prove a bound with its multipliers.

    data -> pieces -> conic program -> blocks -> network -> certificate

The bound holds for every neuron in a listed piece. Where a piece is only a relaxation of its neurons, the bound still
holds, and the network is the best one that could be made of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.piece_pricing import best_price
from zerogap.errors import Status
from zerogap.network import Network
from zerogap.pieces import PieceProgram
from zerogap.question import Question
from zerogap.scope import chooser
from zerogap.solvers.conic import FINEST
from zerogap.solvers.conic_pieces import ATTEMPTS, PieceSolution, solve_pieces
from zerogap.training.history import Iteration
from zerogap.training.piece_recovery import recovered
from zerogap.training.recovery import empty_network

Array = NDArray[np.float64]
Callback = Callable[[Iteration], object]


def train_by_pieces(
    question: Question,
    arrangements: Any,
    *,
    tol: float,
    limit: float,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> tuple[Network, Certificate, list[Iteration], Status]:
    """Train over the pieces that `arrangements` stands for.

    Parameters
    ----------
    question : Question
        Of an architecture that has pieces.
    arrangements : "enumerate" or int
    tol : float
        Relative gap asked for.
    limit : float
        Seconds for the solver.
    rng : Generator
        For sampling cells.
    callback : callable, optional
        Called with an Iteration after every attempt of the solver; a true return value stops the run.

    Returns
    -------
    network, certificate, history, status
        After the limit or Ctrl-C: the best network so far, at worst the one without neurons.

    Raises
    ------
    InputError
        If the architecture has no pieces, or there are too many cells.
    """
    started = clock.now()
    architecture = question.architecture
    pieces = architecture.pieces(question.rows, chooser(arrangements, rng))
    run = PieceRun(question, PieceProgram(pieces, question.loss, question.beta, architecture.offset), tol, started)
    run.run(limit, callback)
    return run.network, run.verdict(), run.history, run.status


@dataclass(eq=False)
class PieceRun:
    """One run over one list of pieces.

    Parameters
    ----------
    question : Question
    program : PieceProgram
    tol : float
        Relative gap asked for.
    started : float
        When the clock of the history started.
    """

    question: Question
    program: PieceProgram
    tol: float
    started: float
    history: list[Iteration] = field(default_factory=list)
    status: Status = Status.STALLED

    def __post_init__(self) -> None:
        pieces = self.program.pieces
        self.referee = FeatureReferee(self.question, "global" if pieces.complete else "sampled")
        self._proof = "enumeration" if pieces.exact else "relaxation"
        self.network = empty_network(self.question)
        self.objective = self.referee.objective(self.network)

    def run(self, limit: float, callback: Callback | None) -> None:
        """Solve, more than once where the gap asks for it."""
        try:
            null = self.question.null_residual
            if not self.program.pieces.count or not null.any():
                self._hear(null, None, refine=True)
            else:
                self._attempts(limit, callback)
            if self.referee.ratchet.proof is None:
                self._hear(self._own_residual(), None, refine=self.status is Status.STALLED)
        except KeyboardInterrupt:
            self.status = Status.INTERRUPTED
        if self.status is Status.STALLED and self._met():
            self.status = Status.OPTIMAL
        elif self.status is Status.STALLED and clock.now() - self.started >= limit:
            self.status = Status.TIME_LIMIT

    def verdict(self) -> Certificate:
        """The certificate of the network."""
        return self.referee.verdict(self.network, self.objective, cells=self.program.pieces.count)

    def _attempts(self, limit: float, callback: Callback | None) -> None:
        for attempt in ATTEMPTS:
            left = limit - (clock.now() - self.started)
            if left <= 0.0:
                self.status = Status.TIME_LIMIT
                return
            # The predictions are off by the root of the error of the objective.
            aim = max((0.1 * self.tol) ** 2, FINEST)
            solution = solve_pieces(self.program, tol=aim, max_time=left, attempt=attempt)
            if solution is not None:
                self.status = Status.INTERRUPTED if solution.interrupted else self.status
                self._take(solution)
            passes = float(len(self.history) + 1)
            seconds = clock.now() - self.started
            bound = self.referee.ratchet.bound
            self.history.append(Iteration(seconds, passes, 0, self.objective, bound, self.network.width))
            if callback is not None and callback(self.history[-1]):
                self.status = Status.STOPPED
            if self.status is not Status.STALLED or self._met() or (solution is not None and self._solved(solution)):
                return

    def _take(self, solution: PieceSolution) -> None:
        candidates = [empty_network(self.question), self.network]
        candidates += recovered(self.question, self.program, solution.blocks, solution.offset)
        judged = [(self.referee.objective(network), network.width, k) for k, network in enumerate(candidates)]
        allowed = min(judged)[0] * (1.0 + 0.1 * self.tol)
        self.objective, _, chosen = min((j for j in judged if j[0] <= allowed), key=lambda j: (j[1], j[0]))
        self.network = candidates[chosen]
        for refine in (False, True):
            for residual in (solution.dual, solution.residual):
                if not (self._met() or self._solved(solution)):
                    self._hear(residual, solution.multipliers, refine=refine)

    def _hear(self, residual: Array, multipliers: list[list[Array]] | None, *, refine: bool) -> None:
        balanced = self.referee.feasible(residual)
        if balanced is None:
            self.referee.ratchet.withhold("the unpenalised weights could not be balanced exactly")
            return
        self.referee.hear(balanced, best_price(self.program, balanced, multipliers, refine=refine), self._proof)

    def _met(self) -> bool:
        ratchet = self.referee.ratchet
        return ratchet.proof is not None and self.verdict().gap <= self.tol

    def _solved(self, solution: PieceSolution) -> bool:
        """Whether a relaxation is solved, whatever its network costs."""
        value = self.program.primal(solution.blocks, solution.offset)
        return not self.program.pieces.exact and value - self.referee.ratchet.bound <= self.tol * value

    def _own_residual(self) -> Array:
        return -self.question.loss.gradient(self.network.outputs(self.question.rows))
