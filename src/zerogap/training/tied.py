r"""Training of tied three-layer networks: neurons one by one, and a proof about all of them (P0, architecture G).

    minimise over a   L( sum_j a_j Phi(theta_j) ) + beta sum_j |a_j|        for the neurons theta_j found so far

gives a network and a residual r. ``search_tied`` looks for neurons of a price above beta, which join. When it finds
none worth the gap, ``bound_price`` proves how large the price of any neuron is, and with it a lower bound of the
optimum; a neuron that it meets instead joins like any other. The program over pieces adds the bound of its relaxation.
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
from zerogap.errors import InputError, Status
from zerogap.features.three_layer import ThreeLayerFeatures
from zerogap.gauges import GroupGauge
from zerogap.network import Network
from zerogap.oracles.bilinear import bound_price
from zerogap.oracles.tied_search import search_tied
from zerogap.pieces import PieceProgram, Pieces
from zerogap.question import Question
from zerogap.scope import chooser
from zerogap.solvers.conic import FINEST
from zerogap.solvers.conic_pieces import solve_pieces
from zerogap.training.history import Iteration
from zerogap.training.pieces import PieceRun
from zerogap.training.recovery import empty_network
from zerogap.validation import shown

Array = NDArray[np.float64]
Callback = Callable[[Iteration], object]

STARTS = 200
"""Random starts of the search in every round, besides the neurons in use."""

THOROUGH = 5
"""A search that finds nothing is repeated with so many times the starts."""

ROUNDS = 100

LARGEST = 10
"""Branch and bound starts from 2^(h + K) cones, and its nodes grow like that."""


@np.errstate(all="ignore")
def train_tied(
    question: Question,
    arrangements: Any,
    *,
    tol: float,
    limit: float,
    rng: np.random.Generator,
    callback: Callback | None = None,
    warm_start: Network | None = None,
) -> tuple[Network, Certificate, list[Iteration], Status]:
    """Train a tied three-layer network over all neurons.

    Parameters
    ----------
    question : Question
        Of a tied ``ThreeLayerCNN``.
    arrangements : "enumerate" or "generate"
        Whether the relaxation over all pieces is solved as well. Its bound is the weaker one wherever branch and bound
        finishes: without a free bias or intercept, for filters and positions that are few (h + K <= 10).
    tol : float
        Relative gap asked for.
    limit : float
        Seconds.
    rng : Generator
    callback : callable, optional
        Called with an Iteration after every round; a true return value stops the run.
    warm_start : Network, optional
        Of the same shapes; its neurons are among the first.

    Returns
    -------
    network, certificate, history, status
        The bound is proved by branch and bound, or by a relaxation; ``estimate`` is the bound if no neuron had a larger
        price than search has met.

    Raises
    ------
    InputError
        For other `arrangements`; if there are too many pieces to list.
    """
    if not isinstance(arrangements, str) or arrangements not in ("enumerate", "generate"):
        expected = "'enumerate' or 'generate': pieces of tied filters are relaxations, and some of them bound nothing"
        raise InputError("arrangements", shown(arrangements), expected, "pass arrangements='generate'")
    run = TiedRun(question, tol, limit, rng, callback)
    run.run(arrangements == "enumerate", warm_start)
    return run.network, run.verdict(), run.history, run.status


def provable(question: Question) -> bool:
    """Whether branch and bound over pairs of directions is within reach."""
    matrix = question.rows.matrix
    return not question.architecture.offset and matrix.shape[1] + matrix.shape[2] <= LARGEST


@dataclass(eq=False)
class TiedRun:
    """One run; parameters are those of ``train_tied``."""

    question: Question
    tol: float
    limit: float
    rng: np.random.Generator
    callback: Callback | None = None
    history: list[Iteration] = field(default_factory=list)
    status: Status = Status.STALLED

    def __post_init__(self) -> None:
        features = self.question.architecture.features(self.question.rows)
        if not isinstance(features, ThreeLayerFeatures) or not features.tied:
            got, expected = repr(self.question.architecture), "a tied three-layer network"
            raise InputError("architecture", got, expected, "pass zg.ThreeLayerCNN(..., tied=True)")
        self._features = features
        self._started = clock.now()
        self.referee = FeatureReferee(self.question)
        self.network = empty_network(self.question)
        self.objective = self.referee.objective(self.network)
        self.estimate: float | None = None
        self.pieces = self.nodes = 0
        self._neurons = np.zeros((0, features.dimension))

    def run(self, listed: bool, warm_start: Network | None = None) -> None:
        """The relaxation if `listed`, then rounds of search and proof."""
        try:
            null = self.question.null_residual
            if not null.any():
                self._prove(null, 0.0)
            else:
                if listed:
                    self._relax()
                self._join(self._search(null, THOROUGH)[0])
                if warm_start is not None and warm_start.width:
                    self._join(self._features.unit(warm_start.weights))
                self._rounds()
        except KeyboardInterrupt:
            self.status = Status.INTERRUPTED
        if self.status is Status.STALLED:
            self.status = self._settled()

    def verdict(self) -> Certificate:
        """The certificate of the network."""
        return self.referee.verdict(self.network, self.objective, cells=self.pieces, estimate=self.estimate)

    def _rounds(self) -> None:
        for _ in range(ROUNDS):
            residual = self._solve()
            if residual is None:
                return
            neurons, price = self._search(residual, 1)
            if self._gap(residual, price) <= 0.5 * self.tol:
                neurons, price = self._search(residual, THOROUGH)
            self.estimate = self.referee.dual_value(residual, price)
            new = neurons
            if self._gap(residual, price) <= 0.5 * self.tol:
                new = self._prove(residual, price)
            self._record()
            if self.status is not Status.STALLED or self._met() or not self._join(new):
                return

    # -- the parts of a round --------------------------------------------------------------------------

    def _solve(self) -> Array | None:
        """The best network of the neurons so far, and its residual inside the domain of the dual."""
        question, features = self.question, self._features
        if not self._neurons.shape[0]:
            return self.referee.feasible(question.null_residual)
        values = features.forward(self._neurons)[0][:, 0].T
        gauge = GroupGauge.euclidean(np.ones(1, dtype=bool))
        cones = (np.ones((1, 1)),) * len(values)
        pieces = Pieces(values[:, :, None], cones, gauge, lambda which, blocks: (blocks, blocks[:, 0]), True)
        program = PieceProgram(pieces, question.loss, question.beta, question.architecture.offset)
        solution = solve_pieces(program, tol=max((0.1 * self.tol) ** 2, FINEST))
        if solution is None:
            return None
        readout = np.maximum(solution.blocks[0], 0.0) - np.maximum(solution.blocks[1], 0.0)
        used = np.abs(readout[:, 0]) > 1e-9 * np.abs(readout).max(initial=0.0)
        network = Network.from_weights(
            question.architecture, features, self._neurons[used], readout[used], solution.offset
        )
        for candidate in (network.balanced(), network.pruned(question.rows)):
            objective = self.referee.objective(candidate)
            if objective < self.objective * (1.0 + 0.01 * self.tol):
                self.network, self.objective = candidate, objective
        # Neurons out of use make room.
        if self._neurons.shape[0] > 20 * question.rows.samples + 100:
            self._neurons = self._neurons[used]
        residuals = [self.referee.feasible(r) for r in (solution.dual, solution.residual)]
        # The multipliers are more accurate than the gradient, which depends on the root of the error of the objective.
        return next((r for r in residuals if r is not None), None)

    def _search(self, residual: Array, effort: int) -> tuple[Array, float]:
        """Neurons of a price above beta, best first, and the largest price met."""
        fresh = self._features.random(effort * STARTS, self.rng)
        # Around the neurons in use the price is beta: their neighbours are where it exceeds that.
        near = np.concatenate([self._neurons, self.network.weights]) if self.network.width else self._neurons
        shaken = self._features.unit(near + 1e-2 * self.rng.standard_normal(near.shape))
        neurons, prices = search_tied(self._features, residual, np.concatenate([fresh, near, shaken]))
        worth = prices > self.question.beta * (1.0 + 1e-3 * self.tol)
        return neurons[worth], float(prices.max(initial=0.0))

    def _join(self, neurons: Array) -> bool:
        """Let neurons join; whether there are any."""
        self._neurons = np.concatenate([self._neurons, neurons])
        return neurons.shape[0] > 0

    def _prove(self, residual: Array, price: float) -> Array:
        """Bound the price of all neurons; a neuron that forbids the bound, if one was met, (0 or 1, q)."""
        none = self._neurons[:0]
        self.referee.hear(residual, *self._features.price_above(residual))
        left = self.limit - (clock.now() - self._started)
        if not provable(self.question) or self._met() or left <= 0.0:
            return none
        target = self._target(residual, max(price * (1.0 + 1e-9), 1e-3 * self.question.beta))
        found = bound_price(self.question.rows.matrix, residual, target, seconds=left)
        self.nodes += found.nodes
        self.referee.hear(residual, found.upper, "branch and bound")
        if found.value <= target:
            return none
        met = np.concatenate([found.filter, found.inner])[None]
        return np.concatenate([met, search_tied(self._features, residual, met)[0]])

    def _target(self, residual: Array, least: float) -> float:
        """The largest price that proves nine tenths of the gap asked for, at least the one that was met."""
        wanted = self.objective * (1.0 - 0.9 * self.tol)
        low, high = least, 2.0 * max(least, self.question.beta)
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.referee.dual_value(residual, middle) >= wanted else (low, middle)
        return low

    def _relax(self) -> None:
        """The bound of the program over all pieces, and its network if that is better."""
        architecture, question = self.question.architecture, self.question
        pieces = architecture.pieces(question.rows, chooser("enumerate", self.rng))
        program = PieceProgram(pieces, question.loss, question.beta, architecture.offset)
        relaxed = PieceRun(question, program, self.tol, self._started)
        relaxed.run(self.limit, None)
        self.pieces = pieces.count
        ratchet = relaxed.referee.ratchet
        if ratchet.proof is not None and pieces.complete:
            self.referee.ratchet.lift(ratchet.bound, ratchet.proof)
        if relaxed.objective < self.objective:
            self.network, self.objective = relaxed.network, relaxed.objective
            self.referee.ratchet.lower(self.objective)
        if relaxed.network.width:
            self._join(self._features.unit(relaxed.network.weights))

    # -- where the run stands --------------------------------------------------------------------------

    def _gap(self, residual: Array, price: float) -> float:
        """The relative gap if no neuron had a larger price."""
        return (self.objective - self.referee.dual_value(residual, price)) / max(self.objective, 1e-300)

    def _met(self) -> bool:
        return self.referee.ratchet.proof is not None and self.verdict().gap <= self.tol

    def _record(self) -> None:
        seconds = clock.now() - self._started
        bound = self.referee.ratchet.bound
        rounds = float(len(self.history) + 1)
        self.history.append(Iteration(seconds, rounds, self.nodes, self.objective, bound, self.network.width))
        if self.callback is not None and self.callback(self.history[-1]):
            self.status = Status.STOPPED
        elif seconds >= self.limit and not self._met():
            self.status = Status.TIME_LIMIT

    def _settled(self) -> Status:
        if self._met():
            return Status.OPTIMAL
        searched = self.estimate is not None and self.estimate >= self.objective * (1.0 - self.tol)
        return Status.SEARCHED if searched else Status.STALLED
