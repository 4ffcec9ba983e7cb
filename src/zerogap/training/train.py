"""train: from data to a network with its certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerogap.architectures import Architecture
from zerogap.certificates.certificate import Certificate
from zerogap.errors import InputError, Status, ToleranceError
from zerogap.network import Network
from zerogap.question import Question
from zerogap.solvers import SOLVERS
from zerogap.training.history import Iteration
from zerogap.training.routes import Request, answered
from zerogap.validation import generator, one_of, positive, seconds_of, shown

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
    architecture : MLP, CNN, LinearCNN, CircularCNN or ThreeLayerCNN
    X : array
        Inputs in the shape that the architecture takes, any real dtype.
    y : (n,) or (n, C) array
        Targets, and outputs have their shape: (n, C) trains C outputs jointly, under the decay of all weights. Numbers
        for the squared loss; -1 and +1 for the logistic loss (several labels, if C of them) and the hinge loss, which
        has one output. For the cross-entropy classes: indices 0 to C - 1, or one-hot rows (n, C).
    loss : "squared", "logistic", "hinge" or "cross_entropy"
    beta : float
        Weight decay, > 0.
    arrangements : "generate", "enumerate", int or (P, p) array
        Over all neurons, found as needed (scope ``global``; not for gated networks); all
        cells, listed (``global``, tiny problems); that many sampled cells (``sampled``, or ``gated``); or
        the cells of given gate vectors (MLPs and CNNs of sums or averages, and gated networks).
        Linear networks know "generate" only. Among networks whose objectives differ by less than a tenth of
        `tol`, the one with the fewest neurons is returned, and of those the one of least objective.
    tol : float
        Relative duality gap asked for.
    max_time : float, optional
        Seconds for the solver, without those that compiling takes the first time on a machine; then the best network
        so far is returned, as after Ctrl-C.
    prove : bool or float
        With "generate": seconds for branch and bound, in all (True: no limit, False: none). They change the
        bound, never the truth of the claim. Where branch and bound is not finished, or the rows have more
        than 12 dimensions (8 for several outputs and other poolings), the bound is that of a relaxation, or of
        the last threshold that was proved. Linear networks have a closed form instead, and other depths a
        relaxation; these take no time.
    warm_start : Network, optional
        With "generate": a network, trained by anyone, whose neurons slide to rest together with
        random ones (``zerogap.training.sliding``) before the rounds begin. By default random ones alone.
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
    Pilanci and Ergen (ICML 2020), Theorem 1; Ergen and Pilanci (ICLR 2021) for convolutions; Sahiner, Ergen, Pauly and
    Pilanci (ICLR 2021) for several outputs; derived in docs/theory.md.
    """
    question = Question.of(architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    tol = positive("tol", tol)
    limit = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    one_of("solver", solver, SOLVERS)
    if callback is not None and not callable(callback):
        raise InputError("callback", repr(callback), "a callable or None", "pass a function of one Iteration")
    effort, rng = seconds_of("prove", prove), generator(random_state)
    if warm_start is not None:
        check_warm_start(question, warm_start, arrangements)
    request = Request(arrangements, tol, limit, effort, rng, callback, solver, warm_start)
    network, certificate, history, status = answered(question, request)
    return Result(network, certificate, tuple(history), settled(status, certificate, tol))


def settled(status: Status, certificate: Certificate, tol: float) -> Status:
    """The final status: success is what the certificate proves, not what a solver thinks."""
    if status not in (Status.STALLED, Status.OPTIMAL, Status.TIME_LIMIT):
        return status
    if certificate.proved and certificate.gap <= tol:
        return Status.OPTIMAL
    # The search that follows a time limit may find that there was nothing left to do.
    if certificate.estimate is not None and certificate.estimate >= certificate.objective * (1.0 - tol):
        return Status.SEARCHED
    return Status.STALLED if status is Status.OPTIMAL else status


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
    if question.architecture.linear:
        raise InputError("warm_start", "one for a linear network", "None: its program needs none", "leave it out")
    features = question.architecture.features(question.rows)
    shape = (features.dimension, features.outputs)
    network.checked(question)
    if network.width and (network.weights.shape[1], network.readout.shape[1]) != shape:
        raise InputError(
            "warm_start",
            f"neurons with {network.weights.shape[1]} entries and {network.readout.shape[1]} output weights",
            f"{shape[0]} and {shape[1]}, as for X",
            "use a network of the same architecture and input shape",
        )
