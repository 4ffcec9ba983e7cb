r"""Training over listed cells or gates when output weights are vectors: (cone-constrained) nuclear norms.

    minimise  L( sum_i T_i(Z_i) + 1 b' ) + beta sum_i ||Z_i||_{*,i}
    ||Z||_{*,i} = min { sum_l ||u_l|| ||w_l|| : Z = sum_l u_l w_l',  u_l in cone i }      (P1, Theorem 3.1; P0)

A neuron has one output weight for every position or window and every output. The plain nuclear norm is smaller, so it
only bounds the optimum; it is exact for gated and for linear neurons, which have no cone. Atoms u_l are generated: a
group lasso over those in use gives their w_l and a residual, and the cells are priced by cone-constrained principal
components (``zerogap.oracles.cone_pca``), the gates by singular values; the maximisers are the next atoms, and the
bounds are the referee's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.arrangements import Cells
from zerogap.certificates.cell_prices import CellPricer
from zerogap.certificates.certificate import Certificate, Scope
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.gate_prices import GatePricer
from zerogap.certificates.objective import objective_above
from zerogap.certificates.sectors import Prices
from zerogap.errors import InputError, Status
from zerogap.features import Features
from zerogap.features.base import combined, masses, pulled
from zerogap.features.pooled import PooledFeatures
from zerogap.network import Network
from zerogap.question import Question
from zerogap.scope import choose_cells
from zerogap.solvers import Iterate
from zerogap.solvers.group_lasso import group_lasso
from zerogap.training.descent import Descent, lbfgs
from zerogap.training.history import Iteration
from zerogap.training.recovery import empty_network
from zerogap.validation import shown

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Callback = Callable[[Iteration], object]
Trained = tuple[Network, Certificate, tuple[Iteration, ...], Status]

NEW = 30
"""Atoms that join in one round, at most."""

AIM = 0.02
"""A group lasso is solved to this share of the gap before it."""

FAINT = 1e-7
"""Atoms with a smaller share of the heaviest one leave."""

POLISH = 1500
"""Steps of L-BFGS over the atoms of gates in one round, at most."""

DIGITS = 3e-7
"""Relative gap from which on the residuals of L-BFGS are not accurate enough."""

PATIENCE = 6
"""Rounds in which nothing improves before giving up."""


def train_rank_one(
    question: Question,
    arrangements: Any,
    *,
    tol: float,
    limit: float,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> Trained:
    """Train a network whose output weights are vectors, over listed cells or gates.

    Parameters
    ----------
    question : Question
        Of an MLP or a CNN whose windows are summed or averaged, or not pooled at all; gated or linear ones if they
        have several outputs.
    arrangements : "enumerate", int or array
        As in ``zg.train``; linear networks have nothing to list.
    tol : float
        Relative gap asked for.
    limit : float
        Seconds.
    rng : Generator
        For sampling cells.
    callback : callable, optional
        Called with every Iteration; a true return value stops the run.

    Returns
    -------
    network, certificate, history, status
        The proof is "enumeration" where the price of every listed cell was found, and "relaxation" where filters have
        so many entries that it was only bounded.

    Raises
    ------
    InputError
        For other architectures.
    """
    return AtomRun(question, Listed.of(question, arrangements, rng), tol, limit, callback).trained()


@dataclass(frozen=True, eq=False)
class Listed:
    """The cells or gates that a question is asked over.

    Parameters
    ----------
    pricer : CellPricer or GatePricer
    scope, proof : str
        Of a bound for which all prices were found.
    count : int
        How many are listed; 0 for linear networks, which have one piece.
    """

    pricer: CellPricer | GatePricer
    scope: Scope
    proof: str
    count: int

    @classmethod
    def of(cls, question: Question, arrangements: Any, rng: np.random.Generator) -> Listed:
        """What the argument `arrangements` of ``zg.train`` stands for.

        Raises
        ------
        InputError
            For architectures without such a program.
        """
        architecture, features = question.architecture, question.architecture.features(question.rows)
        if architecture.linear:
            return cls(GatePricer(features, None), "global", "closed form", 0)
        if not isinstance(features, PooledFeatures) or features.largest:
            expected = f"'generate' for {architecture!r}: only sums and averages have a program over cells here"
            raise InputError("arrangements", shown(arrangements), expected, "leave arrangements out")
        cells = choose_cells(question, arrangements, rng)
        if architecture.gated:
            return cls.of_gates(question, cells)
        pricer = CellPricer(features, question.walls, cells, question.outputs or 1)
        return cls(pricer, "global" if cells.complete else "sampled", "enumeration", cells.count)

    @classmethod
    def of_gates(cls, question: Question, cells: Cells) -> Listed:
        """The gates at the centres of some cells; raises InputError for free biases."""
        if question.architecture.bias == "free":
            expected = "True or False: with several outputs or windows, free biases of gates fit almost any data"
            raise InputError("bias", "'free' with gated=True", expected, "pass bias=True")
        features = question.architecture.features(question.rows)
        return cls(GatePricer(features, cells.centres), "gated", "enumeration", cells.count)


@dataclass(frozen=True, eq=False)
class Atoms:
    """Neurons of size one in their cells: weights (m, p) and the cells (m,)."""

    weights: Array
    cells: Indices

    def take(self, which: Any) -> Atoms:
        return Atoms(self.weights[which], self.cells[which])

    def and_also(self, prices: Prices, most: int) -> Atoms:
        """With the directions that pricing found, at most so many."""
        fresh, cells = prices.directions[:most], prices.cells[:most]
        return Atoms(np.concatenate([self.weights, fresh]), np.concatenate([self.cells, cells]))


class AtomRun:
    """One run.

    Parameters
    ----------
    question : Question
    listed : Listed
    tol, limit, callback
        As in ``train_rank_one``.
    """

    def __init__(self, question: Question, listed: Listed, tol: float, limit: float, callback: Callback | None) -> None:
        self._started = clock.now()
        self._question, self._listed, self._pricer = question, listed, listed.pricer
        self._features = question.architecture.features(question.rows)
        self._gates = listed.pricer if isinstance(listed.pricer, GatePricer) else None
        self._tol, self._limit, self._callback = tol, limit, callback
        self.referee = FeatureReferee(question, listed.scope)
        self._history: list[Iteration] = []
        self._status = Status.STALLED
        self._atoms = Atoms(np.zeros((0, self._features.dimension)), np.zeros(0, dtype=np.intp))
        self._second: Array | None = None
        self._best = question.loss.value(question.nothing + question.constant), empty_network(question)
        self._passes = 0.0

    def judge(self, residual: Array) -> None:
        """Let the referee hear a residual, and the best neurons for it become atoms."""
        self._price(residual)

    def trained(self) -> Trained:
        """The whole run."""
        question = self._question
        try:
            residual: Array | None = question.null_residual
            closest, lowest, idle = np.inf, np.inf, 0
            while residual is not None and idle < PATIENCE:
                grown = self._price(residual)
                self._record()
                gap, objective = self._gap(), self._best[0]
                if self._stopped() or gap <= 0.5 * self._tol or not self._atoms.cells.size:
                    break
                better = gap < 0.99 * closest or objective < lowest * (1.0 - 0.01 * min(gap, 0.1))
                idle = 0 if grown and better else idle + 1
                closest, lowest = min(closest, gap), min(lowest, objective)
                residual = self._reweighted(max(AIM * min(gap, 1.0), 0.02 * self._tol))
        except KeyboardInterrupt:
            self._status = Status.INTERRUPTED
        network = self._thinnest()
        certificate = self.referee.verdict(network, self.referee.objective(network), cells=self._listed.count)
        if self._status is Status.STALLED and certificate.proved and certificate.gap <= self._tol:
            self._status = Status.OPTIMAL
        return network, certificate, tuple(self._history), self._status

    # -- rounds --------------------------------------------------------------------------------------

    def _price(self, residual: Array) -> bool:
        """Let the referee hear a residual, and the best neurons for it join; whether there were any."""
        feasible = self.referee.feasible(residual)
        if feasible is None:
            self.referee.ratchet.withhold("the unpenalised weights could not be balanced exactly")
            return False
        known = 0.0
        if self._atoms.cells.size:
            values = self._feature_map(self._atoms).forward(self._atoms.weights)[0]
            known = float(masses(pulled(feasible, values)).max()) * (1.0 - 1e-12)
        worth = self._question.beta * (1.0 + 1e-12)
        prices = self._pricer.prices(feasible, known=known, worth=worth, most=NEW)
        self._passes += max(self._listed.count, 1)
        self.referee.hear(feasible, prices.upper, self._listed.proof if prices.exact else "relaxation")
        before = self._atoms.cells.size
        self._atoms = self._atoms.and_also(prices, NEW)
        return self._atoms.cells.size > before

    def _reweighted(self, aim: float) -> Array | None:
        """The best output weights of the atoms; the faint ones leave. The residual."""
        question, offset = self._question, self._question.architecture.offset
        values = self._feature_map(self._atoms).forward(self._atoms.weights)[0]
        start = self._padded(values)
        last: Iterate | None = None
        for iterate in group_lasso(values, question.loss, question.beta, offset=offset, tol=aim, start=start):
            last = iterate
            if self._late():
                break
        if last is None:
            return None
        atoms, second = self._atoms, last.blocks[0]
        self._keep(atoms, second, last.offset)
        mass = masses(second)
        kept = mass > FAINT * mass.max(initial=0.0)
        self._atoms, self._second = atoms.take(kept), second[kept]
        if self._gates is None:
            return last.residual
        polished = self._polished(last.offset)
        # Of the last digits of a residual, the group lasso finds more.
        return polished if self._gap() > DIGITS else last.residual

    def _polished(self, offset: Any) -> Array:
        """Atoms of gates and their output weights together: without kinks L-BFGS finds the last digits.

        Before and after it the atoms of a gate become the singular vectors of their sum.
        """
        gates, question = self._gates, self._question
        assert gates is not None
        assert self._second is not None
        weights, cells, second = gates.merged(self._atoms.weights, self._atoms.cells, self._second)
        problem = Descent(question, cells.size, gates=gates.gates_of(cells))
        root = np.sqrt(masses(second))
        start = problem.pack(root[:, None] * weights, (second.T / root).T, offset)
        weights, second, offset = problem.unpack(lbfgs(problem, start, POLISH))
        weights, cells, second = gates.merged(weights, cells, second)
        self._atoms, self._second = Atoms(weights, cells), second
        self._keep(self._atoms, second, offset)
        outputs = combined(self._feature_map(self._atoms).forward(weights)[0], second) + offset
        return -question.loss.gradient(outputs)

    def _padded(self, values: Array) -> Array | None:
        """The output weights of the round before, and zeros for the atoms that have joined."""
        if self._second is None or self._question.outputs is None:
            return None
        start = np.zeros((values.shape[2], values.shape[1], self._question.outputs))
        start[: self._second.shape[0]] = self._second
        return start

    def _feature_map(self, atoms: Atoms) -> Features:
        """The features of atoms, with their gates."""
        gates = None if self._gates is None else self._gates.gates_of(atoms.cells)
        return self._features if gates is None else self._features.gated(gates)

    # -- bookkeeping ---------------------------------------------------------------------------------

    def _keep(self, atoms: Atoms, second: Array, offset: Any) -> None:
        mass = masses(second)
        outputs = combined(self._feature_map(atoms).forward(atoms.weights)[0], second) + offset
        primal = self._question.loss.value(outputs) + self._question.beta * float(mass.sum())
        if primal < self._best[0]:
            root, used = np.sqrt(np.maximum(mass, 1e-300)), mass > 0.0
            first = (root[:, None] * atoms.weights)[used]
            self._best = primal, self._network(first, (second.T / root).T[used], atoms.cells[used], offset)

    def _network(self, first: Array, readout: Array, cells: Indices, offset: Any) -> Network:
        gates = None if self._gates is None else self._gates.gates_of(cells)
        return Network.from_weights(self._question.architecture, self._features, first, readout, offset, gates)

    def _record(self) -> None:
        seconds = clock.now() - self._started
        bound, (objective, network) = self.referee.ratchet.bound, self._best
        record = Iteration(seconds, self._passes, 0, objective, bound, network.width)
        self._history.append(record)
        if self._callback is not None and self._callback(record) and self._status is Status.STALLED:
            self._status = Status.STOPPED

    def _gap(self) -> float:
        if self.referee.ratchet.proof is None:
            return np.inf
        return (self._best[0] - self.referee.ratchet.bound) / max(self._best[0], 1e-300)

    def _late(self) -> bool:
        if self._status is Status.STALLED and clock.now() - self._started >= self._limit:
            self._status = Status.TIME_LIMIT
        return self._status is Status.TIME_LIMIT

    def _stopped(self) -> bool:
        return self._late() or self._status is not Status.STALLED

    def _thinnest(self) -> Network:
        """The thinnest network whose objective is within a tenth of the tolerance of the best one."""
        rows, best = self._question.rows, self._best[1]
        networks = [empty_network(self._question), best]
        mass = masses(best.readout)
        for threshold in 10.0 ** -np.arange(2.0, 10.0):
            thinned = best.neurons_where(mass > threshold * mass.max(initial=0.0))
            networks += [thinned, thinned.pruned(rows)]
        judged = [(objective_above(self._question, network), network.width, k) for k, network in enumerate(networks)]
        allowed = min(judged)[0] * (1.0 + 0.1 * self._tol)
        return networks[min((j for j in judged if j[0] <= allowed), key=lambda j: (j[1], j[0]))[2]]
