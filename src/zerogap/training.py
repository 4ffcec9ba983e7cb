"""train: from data to a network with its certificate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import Architecture
from zerogap.certificate import Certificate
from zerogap.errors import InputError, Status, ToleranceError
from zerogap.global_training import GlobalRun
from zerogap.history import Iteration
from zerogap.network import Network
from zerogap.program import Program
from zerogap.question import Question
from zerogap.recovery import thinnest
from zerogap.referee import Referee
from zerogap.scope import choose_cells
from zerogap.solvers import SOLVERS, Iterate, make_solver
from zerogap.validation import generator, one_of, positive, seconds_of, shown

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
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    beta: float = 1.0,
    arrangements: int | str | Any = "generate",
    tol: float = 1e-4,
    max_time: float | None = None,
    prove: bool | float = 30.0,
    warm_start: Network | None = None,
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
    arrangements : "generate", "enumerate", int or (P, p) array
        Over all neurons, whose cells are found as needed (scope ``global``; not for gated networks); all
        cells, listed (``global``, tiny problems); that many sampled cells (``sampled``, or ``gated``); or
        the cells of given gate vectors. Among networks whose objectives differ by less than a tenth of
        `tol`, the one with the fewest neurons is returned, and of those the one of least objective.
    tol : float
        Relative duality gap asked for.
    max_time : float, optional
        Seconds for the solver; then the best network so far is returned, as after Ctrl-C.
    prove : bool or float
        With "generate": seconds for branch and bound, in all (True: no limit, False: none). They change the
        bound, never the truth of the claim. Where branch and bound is not finished, or the rows have more
        than 12 dimensions, the bound is that of a relaxation, or of the last threshold that was proved.
    warm_start : Network, optional
        With "generate": a network, trained by anyone, whose neurons name the first cells. By default
        random neurons that slide to rest name them (``zerogap.sliding``).
    sample_weight : (n,) array, optional
        Non-negative; a weight of 2 equals a duplicated sample, 0 an absent one.
    random_state : int, Generator or None
        For sampling cells and for the search.
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
    effort, rng = seconds_of("prove", prove), generator(random_state)
    if warm_start is not None:
        check_warm_start(question, warm_start, arrangements)
    if isinstance(arrangements, str) and arrangements == "generate":
        refuse_gates(architecture)
        run = GlobalRun(question, tol, limit, effort, rng, solver, callback)
        run.run(warm_start)
        network, objective = run.network()
        certificate = run.verdict(network, objective)
        return Result(network, certificate, tuple(run.history), settled(run.status, certificate, tol))
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
    return Result(network, certificate, tuple(history), settled(status, certificate, tol))


def settled(status: Status, certificate: Certificate, tol: float) -> Status:
    """The final status: success is what the certificate proves, not what a solver thinks."""
    if status not in (Status.STALLED, Status.OPTIMAL):
        return status
    if certificate.proved and certificate.gap <= tol:
        return Status.OPTIMAL
    searched = certificate.estimate is not None and certificate.estimate >= certificate.objective * (1.0 - tol)
    return Status.SEARCHED if searched else Status.STALLED


def refuse_gates(architecture: Architecture) -> None:
    """Generation is for ReLU networks: the gates of a gated network are part of the question."""
    if architecture.gated:
        raise InputError(
            "arrangements", "'generate' with gated=True", "a number or an array of gates", "pass arrangements=200"
        )


def check_warm_start(question: Question, network: Network, arrangements: Any) -> None:
    """A starting network must fit the data, and only generation uses one."""
    if not isinstance(network, Network) or network.gates is not None:
        raise InputError(
            "warm_start", type(network).__name__, "a zg.Network without gates", "build one with zg.Network"
        )
    if not (isinstance(arrangements, str) and arrangements == "generate"):
        raise InputError(
            "warm_start", f"one with arrangements={shown(arrangements)}", "none", "pass arrangements='generate'"
        )
    if network.width and network.first.shape[1] != question.rows.dimension:
        raise InputError(
            "warm_start",
            f"neurons with {network.first.shape[1]} entries",
            f"{question.rows.dimension}, as in the rows of X",
            "use a network of the same architecture and input shape",
        )


def _record(seconds: float, program: Program, best: Iterate, referee: Referee) -> Iteration:
    sizes = program.gauge.value(best.blocks)
    width = int(np.sum(sizes > 1e-6 * sizes.max(initial=0.0)))
    return Iteration(seconds, best.passes, 0, best.primal, referee.ratchet.bound, width)
