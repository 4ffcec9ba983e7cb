r"""Training with an output weight for every position or window: cone-constrained nuclear norms (P0, no pooling).

    minimise  L( sum_i T_i(Z_i) + b 1 ) + beta sum_i ||Z_i||_{*,i}
    ||Z||_{*,i} = min { sum_l ||u_l|| ||w_l|| : Z = sum_l u_l w_l',  u_l in cone i }

over listed cells. The plain nuclear norm is smaller, so it only bounds the optimum. Here atoms u_l are generated: a
group lasso over those in use gives their w_l and a residual, and the cells are priced by cone-constrained principal
components (``zerogap.oracles.cone_pca``), whose maximisers are the next atoms and whose bounds are the referee's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.cell_prices import CellPricer
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.objective import objective_above
from zerogap.errors import InputError, Status
from zerogap.features.pooled import PooledFeatures
from zerogap.network import Network
from zerogap.question import Question
from zerogap.scope import choose_cells
from zerogap.solvers import Iterate
from zerogap.solvers.group_lasso import group_lasso
from zerogap.training.all_neurons import null_residual
from zerogap.training.history import Iteration
from zerogap.training.recovery import empty_network
from zerogap.validation import shown

Array = NDArray[np.float64]
Callback = Callable[[Iteration], object]
Trained = tuple[Network, Certificate, tuple[Iteration, ...], Status]

NEW = 30
"""Atoms that join in one round, at most."""

AIM = 0.02
"""A group lasso is solved to this share of the gap before it."""

FAINT = 1e-7
"""Atoms with a smaller share of the heaviest one leave."""

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
    """Train a network with several output weights for each neuron, over listed cells.

    Parameters
    ----------
    question : Question
        Of a CNN without gates whose windows are summed or averaged, or not pooled at all.
    arrangements : "enumerate", int or array
        As in ``zg.train``.
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
    features = question.architecture.features(question.rows)
    if not isinstance(features, PooledFeatures) or features.largest or question.architecture.gated:
        expected = f"'generate' for {question.architecture!r}: only sums and averages have a program over cells here"
        raise InputError("arrangements", shown(arrangements), expected, "leave arrangements out")
    run = _Run(question, features, arrangements, tol, limit, rng, callback)
    return run.trained()


class _Run:
    """One run."""

    def __init__(
        self,
        question: Question,
        features: PooledFeatures,
        arrangements: Any,
        tol: float,
        limit: float,
        rng: np.random.Generator,
        callback: Callback | None,
    ) -> None:
        self._started = time.monotonic()
        self._question, self._features = question, features
        self._tol, self._limit, self._callback = tol, limit, callback
        self._cells = choose_cells(question, arrangements, rng)
        self._pricer = CellPricer(features, question.walls, self._cells)
        self._referee = FeatureReferee(question, "global" if self._cells.complete else "sampled")
        self._history: list[Iteration] = []
        self._status = Status.STALLED
        self._atoms = np.zeros((0, features.dimension))
        self._best = question.loss.value(np.full(question.rows.samples, question.constant)), empty_network(question)
        self._passes = 0.0

    def trained(self) -> Trained:
        """The whole run."""
        question = self._question
        try:
            residual: Array | None = null_residual(question)
            closest, lowest, idle = np.inf, np.inf, 0
            while residual is not None and idle < PATIENCE:
                grown = self._price(residual)
                self._record()
                gap, objective = self._gap(), self._best[0]
                if self._stopped() or gap <= 0.5 * self._tol or not self._atoms.shape[0]:
                    break
                better = gap < 0.99 * closest or objective < lowest * (1.0 - 0.01 * min(gap, 0.1))
                idle = 0 if grown and better else idle + 1
                closest, lowest = min(closest, gap), min(lowest, objective)
                residual = self._reweighted(max(AIM * min(gap, 1.0), 0.02 * self._tol))
        except KeyboardInterrupt:
            self._status = Status.INTERRUPTED
        network = self._thinnest()
        certificate = self._referee.verdict(network, self._referee.objective(network), cells=self._cells.count)
        if self._status is Status.STALLED and certificate.proved and certificate.gap <= self._tol:
            self._status = Status.OPTIMAL
        return network, certificate, tuple(self._history), self._status

    # -- rounds --------------------------------------------------------------------------------------

    def _price(self, residual: Array) -> bool:
        """Let the referee hear a residual, and the best neurons for it join; whether there were any."""
        feasible = self._referee.feasible(residual)
        if feasible is None:
            self._referee.ratchet.withhold("the unpenalised bias could not be balanced exactly")
            return False
        known = 0.0
        if self._atoms.shape[0]:
            values = np.tensordot(feasible, self._features.forward(self._atoms)[0], axes=1)  # (a, m)
            known = float(np.linalg.norm(values, axis=0).max()) * (1.0 - 1e-12)
        worth = self._question.beta * (1.0 + 1e-12)
        prices = self._pricer.prices(feasible, known=known, worth=worth, most=NEW)
        self._passes += self._cells.count
        self._referee.hear(feasible, prices.upper, "enumeration" if prices.exact else "relaxation")
        fresh = prices.directions[:NEW]
        self._atoms = np.concatenate([self._atoms, fresh])
        return bool(fresh.shape[0])

    def _reweighted(self, aim: float) -> Array | None:
        """The best output weights of the atoms; the faint ones leave. The residual."""
        question, offset = self._question, self._question.architecture.offset
        values = self._features.forward(self._atoms)[0]
        last: Iterate | None = None
        for iterate in group_lasso(values, question.loss, question.beta, offset=offset, tol=aim):
            last = iterate
            if self._late():
                break
        if last is None:
            return None
        second = last.blocks[0]
        self._keep(self._atoms, second, last.offset, last.primal)
        mass = np.linalg.norm(second, axis=1)
        self._atoms = self._atoms[mass > FAINT * mass.max(initial=0.0)]
        return last.residual

    # -- bookkeeping ---------------------------------------------------------------------------------

    def _keep(self, atoms: Array, second: Array, offset: float, primal: float) -> None:
        if primal < self._best[0]:
            mass = np.linalg.norm(second, axis=1, keepdims=True)
            root = np.sqrt(np.maximum(mass, 1e-300))
            used = mass[:, 0] > 0.0
            self._best = primal, self._network((root * atoms)[used], (second / root)[used], offset)

    def _network(self, first: Array, second: Array, offset: float) -> Network:
        architecture = self._question.architecture
        second = second[:, 0] if self._features.outputs == 1 else second
        return Network(architecture, first, second, offset=offset if architecture.offset else 0.0)

    def _record(self) -> None:
        seconds = time.monotonic() - self._started
        bound, (objective, network) = self._referee.ratchet.bound, self._best
        record = Iteration(seconds, self._passes, 0, objective, bound, network.width)
        self._history.append(record)
        if self._callback is not None and self._callback(record) and self._status is Status.STALLED:
            self._status = Status.STOPPED

    def _gap(self) -> float:
        if self._referee.ratchet.proof is None:
            return np.inf
        return (self._best[0] - self._referee.ratchet.bound) / max(self._best[0], 1e-300)

    def _late(self) -> bool:
        if self._status is Status.STALLED and time.monotonic() - self._started >= self._limit:
            self._status = Status.TIME_LIMIT
        return self._status is Status.TIME_LIMIT

    def _stopped(self) -> bool:
        return self._late() or self._status is not Status.STALLED

    def _thinnest(self) -> Network:
        """The thinnest network whose objective is within a tenth of the tolerance of the best one."""
        rows, best = self._question.rows, self._best[1]
        networks = [empty_network(self._question), best]
        mass = np.linalg.norm(best.readout, axis=1)
        for threshold in 10.0 ** -np.arange(2.0, 10.0):
            keep = mass > threshold * mass.max(initial=0.0)
            thinned = self._network(best.first[keep], best.readout[keep], best.offset)
            networks += [thinned, thinned.pruned(rows)]
        judged = [(objective_above(self._question, network), network.width, k) for k, network in enumerate(networks)]
        allowed = min(judged)[0] * (1.0 + 0.1 * self._tol)
        return networks[min((j for j in judged if j[0] <= allowed), key=lambda j: (j[1], j[0]))[2]]
