"""certify and critical_beta: what can be proved about networks that are already there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from zerogap import clock
from zerogap.architectures import Architecture
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.referee import Referee
from zerogap.errors import InputError
from zerogap.network import Network
from zerogap.program import Program
from zerogap.question import Question
from zerogap.scope import cells_around, choose_cells, few_cells
from zerogap.solvers import Iterate, make_solver
from zerogap.training.all_neurons import GlobalRun, price_bounds
from zerogap.training.features import FeatureRun, feature_price_bounds
from zerogap.training.rank_one import AtomRun, Listed
from zerogap.training.routes import Request, answered
from zerogap.validation import generator, positive, seconds_of, shown

if TYPE_CHECKING:
    from zerogap.export.audit import Audit


@overload
def certify(
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str = ...,
    beta: float | None = ...,
    arrangements: int | str | Any | None = ...,
    prove: bool | float = ...,
    tol: float = ...,
    sample_weight: Any = ...,
    random_state: int | np.random.Generator | None = ...,
) -> Certificate: ...


@overload
def certify(
    network: Any,
    X: Any,
    y: Any,
    *,
    loss: Any = ...,
    beta: float | None = ...,
    arrangements: int | str | Any | None = ...,
    prove: bool | float = ...,
    tol: float = ...,
    random_state: int | np.random.Generator | None = ...,
    weight_decay: Any = ...,
    decay_biases: bool | tuple[bool, bool] | None = ...,
) -> Audit: ...


@np.errstate(all="ignore")
def certify(
    network: Any,
    X: Any,
    y: Any,
    *,
    loss: Any = None,
    beta: float | None = None,
    arrangements: int | str | Any | None = None,
    prove: bool | float = 30.0,
    tol: float = 1e-4,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    weight_decay: Any = None,
    decay_biases: bool | tuple[bool, bool] | None = None,
) -> Certificate | Audit:
    """How far a network, trained by anyone, is from the optimum of its scope.

    Parameters
    ----------
    network : Network or torch.nn.Module
        Ours, or built from raw arrays with ``zg.Network(architecture, first, second)``; or a torch model that
        ``zg.from_torch`` takes, with X and y, arrays or tensors, in the layout of torch (channels first).
    X, y, loss, beta, sample_weight
        As in ``train``; beta is the weight decay that the network was trained with, in the convention
        of ``train``; "squared" and 1 by default. A torch model needs its loss, and beta or `weight_decay`.
    arrangements : optional
        As in ``train``. By default all cells if there are at most 5000 of them, else "generate" (both of
        scope ``global``), and for gated networks their own gates. To cells that are listed, those of the
        network's own neurons are added, so that the network belongs to the scope it is judged in. Networks
        other than MLPs and sum or average pooling with one output know "generate", their default, and
        "enumerate" only, unless they are gated.
    prove : bool or float
        Seconds for the convex program, and with "generate" as many again for branch and bound; True is no
        limit, False uses the residual of the network alone. Only the gap depends on it, never the truth of
        the claim.
    tol : float
        With "generate": relative gap of its own solution at which the work ends.
    random_state : int, Generator or None
        For sampling cells.
    weight_decay, decay_biases
        For torch models, in the place of beta: lambda of torch, and whether it acts on biases, as in
        ``zg.objective_of``; or, for both, the optimiser that has trained the model, unless its decay is decoupled.
        `loss` may be a criterion of torch.

    Returns
    -------
    Certificate, or zg.Audit for a torch model
        Its objective is the network's; its bound is the better one of those that the network's own
        residual and (with `prove`) the solved program give.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    if (torch := sys.modules.get("torch")) is not None and isinstance(network, torch.nn.Module):
        from zerogap.export.audit import audit
        from zerogap.export.measuring import usual_torch

        asked: dict[str, Any] = {"loss": loss, "beta": beta, "weight_decay": weight_decay, "decay_biases": decay_biases}
        effort: dict[str, Any] = {
            "arrangements": arrangements,
            "prove": prove,
            "tol": tol,
            "random_state": random_state,
        }
        with usual_torch():
            return audit(network, X, y, sample_weight=sample_weight, **asked, **effort)
    check_network(network)
    loss = "squared" if loss is None else loss
    if weight_decay is not None or decay_biases is not None:
        raise InputError("weight_decay", "one for a zg.Network", "None", "pass beta (zg.objective_of converts)")
    seconds = seconds_of("prove", prove)
    beta = 1.0 if beta is None else beta
    question = Question.of(network.architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    network.on(network.checked(question).rows)
    tol = positive("tol", tol)
    if not question.cellular:
        return _certify_features(question, network, arrangements, seconds, tol, generator(random_state))
    generate = isinstance(arrangements, str) and arrangements == "generate"
    if generate and network.gates is not None:
        raise InputError("arrangements", "'generate' for a gated network", "None, a number or gates", "leave it out")
    if generate or (arrangements is None and network.gates is None and not few_cells(question)):
        return _certify_globally(question, network, seconds, tol, generator(random_state))
    cells = cells_around(question, network, arrangements, generator(random_state))
    program = question.program(cells)
    referee = Referee(question, program)
    objective = referee.hear_network(network)
    if seconds > 0.0 and referee.verdict(network, objective).gap > 1e-9:
        _solve_dual(program, referee, seconds)
    return referee.verdict(network, objective)


def _certify_features(
    question: Question, network: Network, arrangements: Any, seconds: float, tol: float, rng: np.random.Generator
) -> Certificate:
    """Of a network without shared walls: the bounds of its own residual and of training from it on."""
    if network.gates is not None:
        return _certify_gates(question, network, arrangements, seconds, tol, rng)
    if arrangements is not None and not (isinstance(arrangements, str) and arrangements in ("generate", "enumerate")):
        expected = "None, 'generate' or 'enumerate': sampled cells need not hold this network's neurons"
        raise InputError("arrangements", shown(arrangements), expected, "leave arrangements out")
    run = FeatureRun(question, tol, seconds, rng, effort=seconds)
    objective = run.referee.objective(network)
    run.judge(network)
    if seconds > 0.0 and run.referee.verdict(network, objective).gap > 1e-9:
        request = Request(arrangements or "generate", tol, seconds, seconds, rng)
        if question.architecture.linear or arrangements == "enumerate":
            proved = answered(question, request)[1]
            # An enumeration cut short bounds only the cells it listed: no bound on all networks.
            if proved.proof is not None and proved.scope == "global":
                run.referee.ratchet.lift(proved.lower_bound, proved.proof)
        else:
            run.run(network)
    return run.verdict(network, objective)


def _certify_gates(
    question: Question, network: Network, arrangements: Any, seconds: float, tol: float, rng: np.random.Generator
) -> Certificate:
    """Of a gated network whose output weights are vectors: over its own gates and, if asked for, others besides."""
    cells = cells_around(question, network, arrangements, rng)
    listed = Listed.of_gates(question, cells)
    run = AtomRun(question, listed, min(tol, 1e-6), seconds, None)
    objective = run.referee.objective(network)
    run.judge(-question.loss.gradient(network.outputs(question.rows)))
    if seconds > 0.0 and run.referee.verdict(network, objective).gap > 1e-9:
        run.trained()
    return run.referee.verdict(network, objective, cells=listed.count)


def check_network(network: Network) -> Network:
    """Raise InputError for anything but a Network."""
    if not isinstance(network, Network):
        remedy = "build one with zg.Network(...), or with zg.from_torch(model), an instance of torch.nn.Module"
        raise InputError("network", type(network).__name__, "a zg.Network", remedy)
    return network


@np.errstate(all="ignore")
def critical_beta(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    arrangements: int | str | Any = "enumerate",
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
) -> float:
    """The beta from which on the network without neurons is optimal over the chosen cells.

    Exact up to rounding for smooth losses, or without an output offset; an upper bound for the hinge
    loss with ``bias="free"``, for gated networks with a finite cone penalty, and where the price of a cell could only
    be bounded. Parameters are those of ``train``.

    Raises
    ------
    InputError
        If an argument cannot be used, or the architecture has no program over cells.
    """
    question = Question.of(architecture, X, y, loss=loss, beta=1.0, sample_weight=sample_weight)
    rng = generator(random_state)
    if question.cellular:
        return question.program(choose_cells(question, arrangements, rng)).critical_beta()
    if question.architecture.linear and arrangements != "enumerate":
        expected = "'enumerate': a linear network has one piece"
        raise InputError("arrangements", shown(arrangements), expected, "leave arrangements out")
    listed = Listed.of(question, arrangements, rng)
    residual = FeatureReferee(question, listed.scope).feasible(question.null_residual)
    if residual is None:
        return np.inf
    return listed.pricer.prices(residual, known=0.0, worth=np.inf, most=listed.count + 1).upper


def _certify_globally(
    question: Question, network: Network, seconds: float, tol: float, rng: np.random.Generator
) -> Certificate:
    """Over all neurons: the bound that training from this network on finds and proves."""
    run = GlobalRun(question, tol, seconds, seconds, rng)
    objective = run.referee.objective(network)
    if seconds > 0.0:
        run.run(network)
    else:
        run.judge(network)
    return run.verdict(network, objective)


@np.errstate(all="ignore")
def critical_beta_bounds(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    tol: float = 1e-3,
    prove: bool | float = 30.0,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
) -> tuple[float, float]:
    """The critical beta over all neurons, from both sides.

    Parameters are those of ``train``; ReLU architectures only.

    Returns
    -------
    lower, upper : float
        Below `lower` some neuron lowers the objective of the network without neurons (one that search has
        met). From `upper` on none does (branch and bound, or a relaxation where it did not finish); it is an
        upper bound only, also for the hinge loss with a free bias. They differ by at most `tol`, relative,
        where branch and bound finished.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    question = Question.of(architecture, X, y, loss=loss, beta=1.0, sample_weight=sample_weight)
    if question.architecture.gated:
        raise InputError("architecture", "a gated one", "a ReLU architecture", "use zg.critical_beta with its gates")
    tol, seconds = positive("tol", tol), seconds_of("prove", prove)
    if not question.cellular:
        return feature_price_bounds(question, generator(random_state), tol, seconds)
    return price_bounds(question, tol, seconds, generator(random_state))


def _solve_dual(program: Program, referee: Referee, seconds: float) -> None:
    """Let the solver propose residuals until its own gap is closed or the time is up."""
    started = clock.now()
    last: Iterate | None = None
    try:
        for last in make_solver("interior_point", program, tol=1e-10, max_time=seconds):
            if last.gap <= 1e-10 or clock.now() - started >= seconds:
                break
    except KeyboardInterrupt:
        pass
    if last is not None:
        referee.hear_residual(last.residual, last.multipliers, refine=True)
