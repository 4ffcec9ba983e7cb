r"""Training over all neurons of any architecture: price, insert, re-solve, slide, drop, until the gap is met.

    minimise  L( sum_j Phi(theta_j) w_j + b 1 ) + beta sum_j ||E theta_j|| ||w_j||

Architectures whose neurons share walls have cells to work on (``zerogap.training.generation``). Here neurons are
points: a group lasso finds their best output weights and a residual r, search finds neurons with ||Phi(theta)' r|| >
beta, and all of them slide together by L-BFGS on the network's own objective (sliding conditional gradients). The
bound comes from ``Features.price_above``, a closed form or a relaxation, and where search finds nothing more, from
branch and bound (``zerogap.training.feature_proofs``); without either proof the gap is an estimate by search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.objective import objective_above
from zerogap.errors import Status
from zerogap.features.base import combined, masses, pulled
from zerogap.network import Network
from zerogap.oracles.feature_search import climb, distinct, prices
from zerogap.question import Question
from zerogap.solvers.group_lasso import group_lasso
from zerogap.training.descent import Descent
from zerogap.training.feature_proofs import FeatureProver
from zerogap.training.history import Iteration
from zerogap.training.price_search import TIGHT

Array = NDArray[np.float64]

WIDEST = 200
"""Neurons of a cold start, at most; half as many as samples."""

NARROW, WEIGHED = 50, 2e7
"""On large problems they are fewer, but no fewer than this: so many that they have this many pre-activations."""

START = 100
"""Steps of L-BFGS at each level of a cold start."""

ROUNDED = (0.1, 0.03, 0.01, 0.003, 0.0)
"""Levels of a cold start: widths over which the kinks of features are rounded."""

SAMPLED, FEWEST, ON_SOME = 1e7, 300, 3
"""On large problems the first levels look at some samples only: at most so many pre-activations, at least so many
samples, in so many levels."""

SLIDE = 60
"""Steps of L-BFGS in each round."""

STARTS = (100, 400, 2000)
"""Random starts of the search, at three efforts: the next one is made when search finds nothing."""

WORK = 1e7
"""Pre-activations that all starts of one search may have; it limits the starts on large problems."""

KINK = 0.3
"""Width, in units of the relative gap, over which sliding rounds the kink of the hinge loss."""

INSERTED = 60
"""Neurons that join in one round, at most."""

FEW = 8_000
"""Output weights that the group lasso takes; of more, only their sizes are free, and sliding turns them."""

DROPPED = 1e-3
"""Share of the mass of all neurons that the faintest ones may take with them when they leave."""

ACCURATE = 1e-4
"""Relative accuracy of every group lasso, at least: a looser one can lose more than new neurons win."""

LARGE = 2_500
"""Neurons times slots for which the best output weights of several outputs are found; of more, sliding finds them."""

GRACE = 0.1, 0.5
"""After the time is up an estimate is looked for in this share of it and so many seconds."""

PATIENCE = 8
"""Rounds without progress before giving up."""

Callback = Callable[[Iteration], object]


def train_features(
    question: Question,
    *,
    tol: float,
    limit: float,
    rng: np.random.Generator,
    callback: Callback | None = None,
    effort: float = 0.0,
    warm_start: Network | None = None,
    proved: Certificate | None = None,
) -> tuple[Network, Certificate, list[Iteration], Status]:
    """Train over all neurons of any architecture: network, certificate, history, status.

    Parameters are those of ``FeatureRun``, a network of the same shapes to start from, and a certificate of the same
    question and of global scope, whose bound counts.
    """
    run = FeatureRun(question, tol, limit, rng, callback, effort)
    if proved is not None and proved.proof is not None:
        run.referee.ratchet.lift(proved.lower_bound, proved.proof)
    run.run(warm_start)
    network, objective = run.network()
    return network, run.verdict(network, objective, 0 if proved is None else proved.cells), run.history, run.status


def feature_price_bounds(
    question: Question, rng: np.random.Generator, tol: float, effort: float
) -> tuple[float, float]:
    """The largest price of the residual without neurons: one that search met, and one that nothing exceeds.

    They differ by at most `tol`, relative, where branch and bound finishes within `effort` seconds.
    """
    run = FeatureRun(question, tol, np.inf, rng, effort=effort)
    residual = run.referee.feasible(question.null_residual)
    if residual is None:
        return 0.0, np.inf
    if not residual.any() or not run.features.rows.flat.any():
        return 0.0, 0.0
    _, values = climb(run.features, residual, run.features.random(STARTS[1], rng))
    met = float(values.max(initial=0.0))
    value, upper = run.prover.bracket(residual, met)
    upper = min(upper, run.features.joint_price_above(residual)[0])
    # Values of search carry rounding of their own.
    return min(max(value, met) * (1.0 - 1e-12), upper), upper


@dataclass(frozen=True, eq=False)
class Weighted:
    """Neurons of size one with their output weights.

    Parameters
    ----------
    weights : (m, q) float64
    second : (m, a) float64, or (m, a, C) for C outputs
    offset : float, or (C,)
    """

    weights: Array
    second: Array
    offset: Any

    def take(self, which: Any) -> Weighted:
        return Weighted(self.weights[which], self.second[which], self.offset)

    def joined_by(self, found: Array) -> Weighted:
        """With more neurons (k, q) that have no output weight yet."""
        nothing = np.zeros((found.shape[0], *self.second.shape[1:]))
        return Weighted(np.concatenate([self.weights, found]), np.concatenate([self.second, nothing]), self.offset)


@dataclass(eq=False)
class FeatureRun:
    """One run.

    Parameters
    ----------
    question : Question
    tol : float
        Relative gap asked for.
    limit : float
        Seconds, without those of `effort`.
    rng : Generator
    callback : callable, optional
        Called with every Iteration; a true return value stops the run.
    effort : float
        Seconds for branch and bound.
    """

    question: Question
    tol: float
    limit: float
    rng: np.random.Generator
    callback: Callback | None = None
    effort: float = 0.0
    history: list[Iteration] = field(default_factory=list)
    status: Status = Status.STALLED

    def __post_init__(self) -> None:
        self.started = clock.now()
        self.features = self.question.architecture.features(self.question.rows)
        self.referee = FeatureReferee(self.question)
        self.prover = FeatureProver(self.features, self.referee, self.question.beta, self.tol, self.effort)
        self.estimate: float | None = None
        self._suggested: float | None = None
        self._slots = self.features.outputs, *self.question.loss.targets.shape[1:]
        nothing = np.zeros((0, self.features.dimension)), np.zeros((0, *self._slots))
        self.best = Weighted(*nothing, self.question.constant)
        self.lowest = np.inf
        self._passes = 0.0

    # -- the run -----------------------------------------------------------------------------------

    def run(self, warm_start: Network | None = None) -> None:
        """Rounds until the gap is met, nothing improves, or time is up."""
        try:
            null = self.question.null_residual
            self._keep(self.best)
            self._bound(null)
            if not null.any() or not self.features.rows.flat.any():
                self.status = Status.OPTIMAL
                return
            self._rounds(self._start(warm_start))
            if self.status is Status.TIME_LIMIT and self.best.weights.shape[0]:
                self.estimate = self._thorough(0)
        except KeyboardInterrupt:
            self.status = Status.INTERRUPTED

    def judge(self, network: Network) -> None:
        """Bound the optimum by the network's own residual."""
        self._bound(-self.question.loss.gradient(network.outputs(self.question.rows)))

    def best_neuron(self, network: Network) -> tuple[Array, float, float]:
        """The neuron of largest price for the residual of a network that search meets, its sign and its price.

        The sign is that of its output weight, +1 if there are several of them.
        """
        residual = self.referee.feasible(-self.question.loss.gradient(network.outputs(self.question.rows)))
        nothing = np.zeros(self.features.dimension), 1.0, 0.0
        if residual is None or not self.features.rows.flat.any():
            return nothing
        fresh = self.features.random(STARTS[-1], self.rng)
        own = self.features.unit(network.weights) if network.width else fresh[:0]
        points, values = climb(self.features, residual, np.concatenate([own, fresh]))
        pull = pulled(residual, self.features.forward(points[:1])[0])
        return points[0], float(np.sign(pull.item())) if pull.size == 1 else 1.0, float(values[0])

    def _start(self, warm_start: Network | None) -> Weighted:
        if warm_start is not None and warm_start.width:
            given = warm_start.balanced()
            return self._keep(Weighted(given.weights, given.readout, given.offset))
        width = int(np.clip(self.question.rows.samples // 2, 20, WIDEST))
        width = min(width, max(NARROW, int(WEIGHED / self.features.rows.flat.shape[0])))
        neurons, samples = self._scattered(width), self.question.rows.samples
        few = max(FEWEST, int(SAMPLED / (width * self.features.rows.matrix.shape[1])))
        batch = None if few >= samples else np.sort(self.rng.choice(samples, few, replace=False))
        for k, rounded in enumerate(ROUNDED):
            neurons = self._slide(neurons, START, rounded=rounded, batch=batch if k < ON_SOME else None)
            if self._stopped():
                break
        return neurons

    def _scattered(self, width: int) -> Weighted:
        """Random neurons whose outputs are of the size of the targets."""
        weights = self.features.random(width, self.rng)
        second = self.rng.standard_normal((weights.shape[0], *self._slots))
        spread = float(np.sqrt(np.mean(combined(self.features.forward(weights)[0], second) ** 2)))
        wanted = float(np.sqrt(np.mean((self.question.loss.targets - self.question.constant) ** 2)))
        second *= wanted / max(spread, 1e-300)
        size = np.sqrt(masses(second))
        scaled = np.where(self.features.scaled, size[:, None] * weights, weights)
        return Weighted(scaled, _times(second, 1.0 / np.maximum(size, 1e-300)), self.question.constant)

    def _rounds(self, neurons: Weighted) -> None:
        effort, idle, gap = 0, 0, 1.0
        while idle < PATIENCE and not self._stopped():
            before = self.lowest
            neurons, residual = self._reweighted(neurons, max(min(0.02 * gap, ACCURATE), 0.1 * self.tol))
            if self._stopped():
                return
            found, price = self._search(residual, neurons, effort)
            self._bound(residual)
            gap = self._estimated(residual, price)
            most = len(STARTS) - (1 if self.tol <= TIGHT else 2)
            while gap <= self.tol and effort < most and not self._proved():
                effort += 1
                found, price = self._search(residual, neurons, effort)
                gap = self._estimated(residual, price)
            self._suggested = self.lowest * (1.0 - gap) if np.isfinite(gap) else None
            if self._proved() or gap <= self.tol:
                better = self._prove(residual, price)
                if better is None:
                    self.estimate = self._estimate(residual, price)
                    self.status = Status.OPTIMAL
                    return
                found = np.concatenate([found, better[None]])
            neurons = self._slide(self._live(neurons), SLIDE, KINK * min(gap, 1.0)).joined_by(found)
            idle = 0 if self.lowest < before * (1.0 - 0.02 * self.tol) else idle + 1
            effort = min(effort + (idle > 2), len(STARTS) - 1)
        if self.best.weights.shape[0] and self.status is Status.STALLED:
            self.estimate = self._thorough(len(STARTS) - 1)

    def _thorough(self, effort: int) -> float | None:
        """What a last search suggests for the best network."""
        best, residual = self._reweighted(self.best, 0.1 * self.tol)
        self._bound(residual)
        if self._late() and self._spent() > self._grace:
            return None
        price = self._search(residual, best, effort)[1]
        better = self._prove(residual, price)
        return self._estimate(residual, price) if better is None else None

    # -- steps -------------------------------------------------------------------------------------

    def _reweighted(self, neurons: Weighted, aim: float) -> tuple[Weighted, Array]:
        """The best output weights of the neurons and the residual that belongs to them."""
        afterwards = self.status is Status.TIME_LIMIT
        question, neurons = self.question, self._settled(neurons)
        if not neurons.weights.shape[0]:
            return neurons, self._residual(neurons)
        size = self.features.sizes(neurons.weights)
        unit = np.where(self.features.scaled, neurons.weights / np.maximum(size, 1e-300)[:, None], neurons.weights)
        second = _times(neurons.second, size)
        values = self.features.forward(unit)[0]
        directions: Array | None = None
        if question.outputs is not None and values.shape[1] * values.shape[2] > LARGE:
            return self._keep(Weighted(unit, second, neurons.offset)), self._residual(neurons)
        if question.outputs is None and second.size > FEW:
            directions = second / np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-300)
            values = np.einsum("nam,ma->nm", values, directions)[:, None]
        self._passes += 2.0
        offset, residual = neurons.offset, self._residual(neurons)
        free = question.architecture.offset
        for iterate in group_lasso(values, question.loss, question.beta, offset=free, tol=aim, start=second):
            second, offset, residual = iterate.blocks[0], iterate.offset, iterate.residual
            if self._late() and (not afterwards or self._spent() > self._grace):
                break
        second = second if directions is None else second * directions
        return self._keep(Weighted(unit, second, offset)), residual

    def _settled(self, neurons: Weighted) -> Weighted:
        """The same outputs, with the constants that large free biases add moved to the offset."""
        settled = self.features.settled(neurons.weights)
        if settled is neurons.weights or np.array_equal(settled, neurons.weights):
            return neurons
        moved = self.features.forward(neurons.weights)[0] - self.features.forward(settled)[0]
        used = self.features.sizes(settled) > 0.0
        offset = neurons.offset + combined(moved, neurons.second).mean(axis=0)
        return Weighted(settled[used], neurons.second[used], offset)

    def _search(self, residual: Array, neurons: Weighted, effort: int) -> tuple[Array, float]:
        """New neurons (k, q) whose price is above beta, and the largest price met."""
        balanced = self.referee.feasible(residual)
        if balanced is None:
            return neurons.weights[:0], np.inf
        most = max(20, int(WORK / self.features.rows.flat.shape[0]))
        fresh = self.features.random(min(STARTS[effort], most), self.rng)
        own = self.features.unit(neurons.weights)
        own = own[np.argsort(-prices(self.features, balanced, own), kind="stable")[: fresh.shape[0]]]
        points, values = climb(self.features, balanced, np.concatenate([own, fresh]), min(1.0, TIGHT / self.tol))
        self._passes += 60.0
        worth = points[values > self.question.beta * (1.0 + 0.05 * self.tol)]
        return worth[distinct(self.features, worth, INSERTED)], float(values.max(initial=0.0))

    def _live(self, neurons: Weighted) -> Weighted:
        """The neurons that carry weight, but for what the group lasso left of others."""
        mass = masses(neurons.second) * self.features.sizes(neurons.weights)
        order = np.argsort(mass)
        return neurons.take(np.sort(order[np.cumsum(mass[order]) > DROPPED * mass.sum()]))

    def _balanced(self, neurons: Weighted) -> Weighted:
        """The same function with ||E theta|| = ||w||."""
        inner, outer = self.features.sizes(neurons.weights), masses(neurons.second)
        ratio = np.sqrt(outer / np.maximum(inner, 1e-300))
        scaled = np.where(self.features.scaled, ratio[:, None] * neurons.weights, neurons.weights)
        return Weighted(scaled, _times(neurons.second, 1.0 / np.maximum(ratio, 1e-300)), neurons.offset)

    def _slide(
        self,
        neurons: Weighted,
        steps: int,
        kink: float = KINK,
        rounded: float = 0.0,
        batch: NDArray[np.intp] | None = None,
    ) -> Weighted:
        """All weights together, by L-BFGS; with those from before, where a rounded kink of the loss has misled it.

        `rounded` is the width of the kinks of the features, `kink` that of the loss, `batch` the samples to look at.
        """
        if not neurons.weights.shape[0]:
            return neurons
        problem = Descent(self.question, neurons.weights.shape[0], batch, kink)
        neurons = self._balanced(neurons)
        start = problem.pack(neurons.weights, neurons.second, neurons.offset)

        current = start

        def watch(intermediate_result: Any) -> None:
            nonlocal current
            current = intermediate_result.x.copy()
            self._passes += 2.0
            if self._late():
                raise StopIteration

        options: Any = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 1e-12, "gtol": 1e-10, "maxcor": 20}
        try:
            found = minimize(
                problem, start, args=(rounded,), jac=True, method="L-BFGS-B", callback=watch, options=options
            )
            current = found.x
        finally:
            # Ctrl-C loses nothing.
            self._keep(Weighted(*problem.unpack(np.asarray(current))))
        moved = Weighted(*problem.unpack(np.asarray(current)))
        if self.question.loss.smooth or rounded or self._objective(moved) < self._objective(neurons):
            return moved
        weights, second = np.concatenate([moved.weights, neurons.weights]), [0.0 * moved.second, neurons.second]
        return Weighted(weights, np.concatenate(second), neurons.offset)

    # -- bookkeeping -------------------------------------------------------------------------------

    def _residual(self, neurons: Weighted) -> Array:
        outputs = combined(self.features.forward(neurons.weights)[0], neurons.second) + neurons.offset
        return -self.question.loss.gradient(outputs)

    def _objective(self, neurons: Weighted) -> float:
        """With the cost of balanced neurons."""
        outputs = combined(self.features.forward(neurons.weights)[0], neurons.second) + neurons.offset
        mass = self.features.sizes(neurons.weights) * masses(neurons.second)
        return self.question.loss.value(outputs) + self.question.beta * float(mass.sum())

    def _keep(self, neurons: Weighted) -> Weighted:
        """Remember the best neurons, and write the history."""
        objective = self._objective(neurons)
        if objective < self.lowest:
            self.best, self.lowest = neurons, objective
        self._record()
        return neurons

    def _record(self) -> None:
        mass = self.features.sizes(self.best.weights) * masses(self.best.second)
        width = int(np.sum(mass > 1e-6 * mass.max(initial=0.0)))
        seconds = clock.now() - self.started
        bound, nodes = self.referee.ratchet.bound, self.prover.nodes
        record = Iteration(seconds, self._passes, nodes, self.lowest, bound, width, self._suggested)
        self.history.append(record)
        if self.callback is not None and self.callback(record) and self.status is Status.STALLED:
            self.status = Status.STOPPED

    def _spent(self) -> float:
        """Seconds for the network so far."""
        return clock.now() - self.started - self.prover.spent

    @property
    def _grace(self) -> float:
        """Seconds until what may follow the limit, the search for an estimate, is given up too."""
        return (1.0 + GRACE[0]) * self.limit + GRACE[1]

    def _late(self) -> bool:
        if self.status is Status.STALLED and self._spent() >= self.limit:
            self.status = Status.TIME_LIMIT
        return self.status is Status.TIME_LIMIT

    def _stopped(self) -> bool:
        return self._late() or self.status is not Status.STALLED

    def _bound(self, residual: Array) -> None:
        """What the architecture can prove about the price of a residual."""
        balanced = self.referee.feasible(residual)
        if balanced is None:
            self.referee.ratchet.withhold("the unpenalised weights could not be balanced exactly")
            return
        price, proof = self.features.joint_price_above(balanced)
        self.referee.hear(balanced, price, proof)

    def _prove(self, residual: Array, price: float) -> Array | None:
        """Try to prove the gap by branch and bound; a neuron above the price that search met, if there is one."""
        balanced = None if self._proved() else self.referee.feasible(residual)
        if balanced is None:
            return None

        def heard() -> bool:
            self._record()
            return self.status is Status.STOPPED

        return self.prover.attempt(balanced, self.lowest, price, heard)

    def _proved(self) -> bool:
        gap = self.lowest - self.referee.ratchet.bound
        return self.referee.ratchet.proof is not None and gap <= 0.5 * self.tol * self.lowest

    def _estimate(self, residual: Array, price: float) -> float | None:
        balanced = self.referee.feasible(residual)
        return None if balanced is None else self.referee.dual_value(balanced, price)

    def _estimated(self, residual: Array, price: float) -> float:
        """The relative gap if no neuron had a larger price."""
        bound = self._estimate(residual, price)
        return np.inf if bound is None else (self.lowest - bound) / max(self.lowest, 1e-300)

    # -- results -----------------------------------------------------------------------------------

    def network(self) -> tuple[Network, float]:
        """The best network, with at most as many neurons as there are samples, and its objective."""
        architecture, question = self.question.architecture, self.question
        plain = Network.from_weights(
            architecture, self.features, self.best.weights, self.best.second, self.best.offset
        ).balanced()
        candidates = [plain, plain.pruned(question.rows), plain.without_faint(1e-6).pruned(question.rows)]
        judged = [(objective_above(question, network), network.width, k) for k, network in enumerate(candidates)]
        allowed = min(judged)[0] * (1.0 + 0.1 * self.tol)
        _, _, chosen = min((j for j in judged if j[0] <= allowed), key=lambda j: (j[1], j[0]))
        return candidates[chosen], self.referee.objective(candidates[chosen])

    def verdict(self, network: Network, objective: float, cells: int = 0) -> Certificate:
        """The certificate of a network over all neurons."""
        # The search can miss neurons: what it suggests may then lie above what is attained.
        estimate = None if self.estimate is None else min(self.estimate, objective)
        return self.referee.verdict(network, objective, cells=cells, estimate=estimate)


def _times(second: Array, factors: Array) -> Array:
    """Output weights times one factor for each neuron."""
    return np.asarray((second.T * factors).T)
