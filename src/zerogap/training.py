"""train: from data to a network with its certificate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import TwoLayer
from zerogap.certificate import Certificate
from zerogap.errors import InputError, Status, ToleranceError
from zerogap.history import Iteration
from zerogap.network import Network
from zerogap.program import Program
from zerogap.question import Question
from zerogap.recovery import thinnest
from zerogap.referee import Referee
from zerogap.scope import choose_cells
from zerogap.solvers import SOLVERS, Iterate, make_solver
from zerogap.validation import generator, one_of, positive

Array = NDArray[np.float64]
Callback = Callable[[Iteration], object]


@dataclass(frozen=True, eq=False)
class Result:
    """What ``train`` returns.

    Parameters
    ----------
    network : Network
    certificate : Certificate
    history : tuple of Iteration
    status : Status
        Its value is the message.
    """

    network: Network
    certificate: Certificate
    history: tuple[Iteration, ...]
    status: Status

    def raise_for_status(self) -> None:
        """Raise ToleranceError unless the gap asked for was met."""
        if not self.status.success:
            raise ToleranceError(f"gap {self.certificate.gap:.3g}: {self.status.value}")


@np.errstate(all="ignore")
def train(
    architecture: TwoLayer,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    beta: float = 1.0,
    arrangements: int | str | Any = 200,
    tol: float = 1e-6,
    max_time: float | None = None,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    callback: Callback | None = None,
    solver: str = "interior_point",
) -> Result:
    """Train a network to global optimality over a set of cells, with a certificate.

    The objective is the sum of the losses (squared loss with 1/2) plus beta/2 times the sum of all
    squared weights.

    Parameters
    ----------
    architecture : MLP or CNN
    X : array
        Inputs in the shape that the architecture takes, any real dtype.
    y : (n,) array
        Targets; -1 and +1 for the margin losses.
    loss : "squared", "logistic" or "hinge"
    beta : float
        Weight decay, > 0.
    arrangements : int, "enumerate" or (P, p) array
        That many sampled cells (scope ``sampled``, or ``gated``); all cells (scope ``global``, tiny
        problems); or the cells of given gate vectors.
    tol : float
        Relative duality gap asked for.
    max_time : float, optional
        Seconds for the solver; then the best network so far is returned, as after Ctrl-C.
    sample_weight : (n,) array, optional
        Non-negative; a weight of 2 equals a duplicated sample, 0 an absent one.
    random_state : int, Generator or None
        For sampling cells.
    callback : callable, optional
        Called with every ``Iteration``; a true return value stops the run.
    solver : "interior_point" or "clarabel"
        The structured solver, or the conic reference.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If an argument cannot be used; the message says what, got, expected and remedy.

    Notes
    -----
    Pilanci and Ergen (ICML 2020), Theorem 1; Ergen and Pilanci (ICLR 2021) for convolutions; derived in
    docs/theory.md.
    """
    started = time.monotonic()
    question = Question.of(architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    tol = positive("tol", tol)
    limit = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    one_of("solver", solver, SOLVERS)
    if callback is not None and not callable(callback):
        raise InputError("callback", repr(callback), "a callable or None", "pass a function of one Iteration")
    cells = choose_cells(question, arrangements, generator(random_state))
    program = question.program(cells)
    referee = Referee(question, program)
    history: list[Iteration] = []
    best: Iterate | None = None  # least objective
    closest: Iterate | None = None  # least gap by the solver's own account
    status = Status.STALLED
    iterates: Iterable[Iterate] = ()
    if np.all(program.null_residual() == 0.0) or not cells.count:
        status = Status.OPTIMAL
    else:
        iterates = make_solver(solver, program, tol=0.1 * tol, max_time=limit)
    try:
        for iterate in iterates:
            best = iterate if best is None or iterate.primal <= best.primal else best
            closest = iterate if closest is None or abs(iterate.gap) <= abs(closest.gap) else closest
            referee.hear_residual(iterate.residual, iterate.multipliers)
            record = _record(time.monotonic() - started, program, best, referee)
            history.append(record)
            if record.gap <= 0.5 * tol:
                status = Status.OPTIMAL
                break
            if callback is not None and callback(record):
                status = Status.STOPPED
                break
            if record.time >= limit:
                status = Status.TIME_LIMIT
                break
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    if status is Status.STALLED and time.monotonic() - started >= limit:
        status = Status.TIME_LIMIT
    network, objective = thinnest(question, program, best, tol)
    try:
        referee.ratchet.lower(objective)
        patient = status in (Status.STALLED, Status.OPTIMAL)
        if closest is not None and patient and referee.verdict(network, objective).gap > tol:
            referee.hear_residual(closest.residual, closest.multipliers, refine=True)
        if referee.ratchet.proof is None or referee.verdict(network, objective).gap > tol:
            referee.hear_network(network, refine=patient)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    certificate = referee.verdict(network, objective)
    if status in (Status.STALLED, Status.OPTIMAL):
        status = Status.OPTIMAL if certificate.proved and certificate.gap <= tol else Status.STALLED
    return Result(network, certificate, tuple(history), status)


def _record(seconds: float, program: Program, best: Iterate, referee: Referee) -> Iteration:
    sizes = program.gauge.value(best.blocks)
    width = int(np.sum(sizes > 1e-6 * sizes.max(initial=0.0)))
    return Iteration(seconds, best.passes, 0, best.primal, referee.ratchet.bound, width)
