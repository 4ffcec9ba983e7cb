"""Training of cellular architectures over a list of cells: solve their program, judge every iterate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.referee import Referee
from zerogap.errors import Status
from zerogap.network import Network
from zerogap.program import Program
from zerogap.question import Question
from zerogap.scope import choose_cells
from zerogap.solvers import Iterate, make_solver
from zerogap.training.history import Iteration
from zerogap.training.recovery import thinnest


def train_over_cells(
    question: Question,
    arrangements: Any,
    *,
    tol: float,
    limit: float,
    rng: np.random.Generator,
    callback: Callable[[Iteration], object] | None = None,
    solver: str = "interior_point",
) -> tuple[Network, Certificate, list[Iteration], Status]:
    """Train over the cells that `arrangements` stands for.

    Parameters
    ----------
    question : Question
        Of a cellular architecture.
    arrangements : "enumerate", int or (P, p) array
    tol : float
        Relative gap asked for.
    limit : float
        Seconds for the solver.
    rng : Generator
        For sampling cells.
    callback : callable, optional
        Called with every Iteration; a true return value stops the run.
    solver : str

    Returns
    -------
    network, certificate, history, status
        After the limit or Ctrl-C: the best network so far.
    """
    started = clock.now()
    cells = choose_cells(question, arrangements, rng)
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
            record = _record(clock.now() - started, program, best, referee)
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
    if status is Status.STALLED and clock.now() - started >= limit:
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
    return network, referee.verdict(network, objective), history, status


def _record(seconds: float, program: Program, best: Iterate, referee: Referee) -> Iteration:
    sizes = program.gauge.value(best.blocks)
    width = int(np.sum(sizes > 1e-6 * sizes.max(initial=0.0)))
    return Iteration(seconds, best.passes, 0, best.primal, referee.ratchet.bound, width)
