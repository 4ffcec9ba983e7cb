r"""Frank-Wolfe with the exact oracle of cone-constrained principal components (P1, exact algorithm).

    minimise  L( sum_i T_i(V_i) )   subject to   sum_i ||V_i||_{*,i} <= t              (a budget t)
    V <- (1 - g) V + g t u w',      (u, w) the neuron of size one with the largest price, g = 2 / (k + 2) or the best

Without a budget the penalised objective itself is minimised, V <- a V + b u w' with the best a, b >= 0. Both approach
the optimum like 1/k. Every step solves the oracle that training by atoms solves (``zerogap.training.rank_one``), which
chooses all output weights anew instead of one step length and needs far fewer of them; this is for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from zerogap import clock
from zerogap.architectures import Architecture
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.gate_prices import GatePricer
from zerogap.certificates.objective import objective_above
from zerogap.errors import InputError, Status
from zerogap.features.base import combined, masses, pulled
from zerogap.network import Network
from zerogap.question import Question
from zerogap.training.history import Iteration
from zerogap.training.rank_one import Listed
from zerogap.training.recovery import empty_network
from zerogap.training.train import Result, settled
from zerogap.validation import generator, integer, one_of, positive

Array = NDArray[np.float64]
Callback = Callable[[Iteration], object]

TINY = 1e-100
"""Factor below which the output weights are scaled anew."""


@np.errstate(all="ignore")
def train_by_frank_wolfe(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    beta: float = 1.0,
    budget: float | None = None,
    line_search: bool = True,
    iterations: int = 1000,
    arrangements: int | str | Any = "enumerate",
    tol: float = 1e-4,
    max_time: float | None = None,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    callback: Callback | None = None,
) -> Result:
    """Train a network with several outputs by the conditional gradient method of P1.

    Parameters
    ----------
    architecture, X, y, loss, beta, sample_weight, random_state
        As in ``zg.train``; y of shape (n, C), or classes for the cross-entropy.
    budget : float, optional
        t, for the constrained form: the sum of ||u_j|| ||w_j|| of the regularised optimum makes both forms agree.
        By default the penalised form.
    line_search : bool
        Steps 2 / (k + 2) without, which need a budget.
    iterations : int
        At most.
    arrangements : "enumerate", int or (P, p) array
        Cells, or gates for gated networks.
    tol : float
        Relative gap, of the penalised objective, that ends the run.
    max_time : float, optional
        Seconds.
    callback : callable, optional
        Called with every ``Iteration``; a true return value stops the run.

    Returns
    -------
    Result
        The certificate bounds the penalised objective, from the prices of the oracle.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    Sahiner, Ergen, Pauly and Pilanci (ICLR 2021), exact algorithm.
    """
    question = Question.of(architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    if question.outputs is None:
        raise InputError("y", "one output, of shape (n,)", "targets (n, C) or classes", "pass y[:, None], or zg.train")
    if architecture.offset:
        expected = "an architecture without free bias or intercept: the method has no step for free constants"
        raise InputError("architecture", repr(architecture), expected, "pass bias=True, or use zg.train")
    budget = None if budget is None else positive("budget", budget)
    one_of("line_search", line_search, (True, False))
    if budget is None and not line_search:
        raise InputError("line_search", "False without a budget", "True", "pass budget, or leave line_search out")
    run = _Run(question, Listed.of(question, arrangements, generator(random_state)), budget, line_search)
    run.callback, run.tol = callback, positive("tol", tol)
    run.limit = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    return run.trained(integer("iterations", iterations, least=1))


class _Run:
    """One run: atoms of size one (k, p) with output weights (k, a, C), and their outputs."""

    callback: Callback | None
    tol: float
    limit: float

    def __init__(self, question: Question, listed: Listed, budget: float | None, searched: bool) -> None:
        self._started, self._status = clock.now(), Status.STALLED
        self._question, self._listed, self._budget, self._searched = question, listed, budget, searched
        self._features = question.architecture.features(question.rows)
        self._gates = listed.pricer if isinstance(listed.pricer, GatePricer) else None
        self._referee = FeatureReferee(question, listed.scope)
        # Output weights in units of a factor that shrinks with every step, so that old ones need not be touched.
        self._atoms = list[tuple[Array, int, Array]]()
        self._factor = 1.0
        self._outputs, self._mass = question.nothing, 0.0
        self._history: list[Iteration] = []

    def trained(self, iterations: int) -> Result:
        """The whole run."""
        residual = self._question.null_residual
        try:
            for step in range(iterations):
                if not self._stepped(step, residual):
                    break
                residual = -self._question.loss.gradient(self._outputs)
                if self._ended():
                    break
        except KeyboardInterrupt:
            self._status = Status.INTERRUPTED
        network = self._network()
        certificate = self._verdict(network)
        return Result(network, certificate, tuple(self._history), settled(self._status, certificate, self.tol))

    def _stepped(self, step: int, residual: Array) -> bool:
        """One step; False if no neuron lowers the loss."""
        feasible = self._referee.feasible(residual)
        if feasible is None:
            return False
        prices = self._listed.pricer.prices(feasible, known=0.0, worth=np.inf, most=self._listed.count + 1)
        self._referee.hear(feasible, prices.upper, self._listed.proof if prices.exact else "relaxation")
        if not prices.directions.shape[0]:
            return False
        weights, cell = prices.directions[:1], prices.cells[:1]
        gates = None if self._gates is None else self._gates.gates_of(cell)
        features = self._features if gates is None else self._features.gated(gates)
        values = features.forward(weights)[0]
        second = pulled(residual, values)
        second /= max(float(masses(second)[0]), 1e-300)
        old, new = self._lengths(step, combined(values, second))
        self._outputs = old * self._outputs + new * combined(values, second)
        self._mass = old * self._mass + new
        if not old > 0.0:
            self._atoms, self._factor, old = [], 1.0, 1.0
        self._factor *= old
        if self._factor < TINY:
            self._atoms = [(atom, where, self._factor * each) for atom, where, each in self._atoms]
            self._factor = 1.0
        self._atoms.append((weights[0], int(cell[0]), new / self._factor * second[0]))
        return True

    def _lengths(self, step: int, image: Array) -> tuple[float, float]:
        """The factors of what there is and of the new neuron, whose outputs are `image`."""
        loss, before, t = self._question.loss, self._outputs, self._budget
        if t is not None and not self._searched:
            length = 2.0 / (step + 2.0)
            return 1.0 - length, length * t
        if t is not None:
            line = t * image - before
            if loss.quadratic:
                slope = float(np.sum(loss.gradient(before) * line))
                best = -slope / max(float(np.sum(loss.curvature(before) * line**2)), 1e-300)
            else:
                found: Any = minimize_scalar(
                    lambda g: loss.value(before + g * line), bounds=(0.0, 1.0), options={"xatol": 1e-12}
                )
                best = float(found.x)
            length = min(max(best, 0.0), 1.0)
            return 1.0 - length, length * t

        beta = self._question.beta

        def penalised(lengths: Array) -> tuple[float, Array]:
            outputs = lengths[0] * before + lengths[1] * image
            slope = loss.gradient(outputs)
            value = loss.value(outputs) + beta * (lengths[0] * self._mass + lengths[1])
            gradient = [float(np.sum(slope * before)) + beta * self._mass, float(np.sum(slope * image)) + beta]
            return value, np.array(gradient)

        options: Any = {"ftol": 1e-16, "gtol": 1e-12 * beta, "maxiter": 200}
        both: Any = minimize(
            penalised, np.array([1.0, 0.0]), jac=True, bounds=[(0.0, None)] * 2, method="L-BFGS-B", options=options
        )
        return float(both.x[0]), float(both.x[1])

    def _ended(self) -> bool:
        """Write the history; whether the gap is met, time is up or the callback stops the run."""
        objective = self._question.loss.value(self._outputs) + self._question.beta * self._mass
        seconds, bound = clock.now() - self._started, self._referee.ratchet.bound
        record = Iteration(seconds, float(len(self._history) + 1), 0, objective, bound, len(self._atoms))
        self._history.append(record)
        if self.callback is not None and self.callback(record):
            self._status = Status.STOPPED
        elif seconds >= self.limit:
            self._status = Status.TIME_LIMIT
        return self._status is not Status.STALLED or objective - bound <= self.tol * objective

    def _network(self) -> Network:
        """The network of all atoms, pruned; no neurons, if that is better."""
        question, slots = self._question, (self._features.outputs, self._question.loss.targets.shape[1])
        weights = np.array([atom for atom, _, _ in self._atoms]).reshape(-1, self._features.dimension)
        cells = np.array([cell for _, cell, _ in self._atoms], dtype=np.intp)
        second = self._factor * np.array([each for _, _, each in self._atoms]).reshape(-1, *slots)
        used = masses(second) > 0.0
        root = np.sqrt(masses(second[used]))
        gates = None if self._gates is None else self._gates.gates_of(cells[used])
        first, second = root[:, None] * weights[used], (second[used].T / root).T
        full = Network.from_weights(question.architecture, self._features, first, second, question.constant, gates)
        candidates = [full.pruned(question.rows), full, empty_network(question)]
        return min(candidates, key=lambda network: objective_above(question, network))

    def _verdict(self, network: Network) -> Certificate:
        return self._referee.verdict(network, self._referee.objective(network), cells=self._listed.count)
