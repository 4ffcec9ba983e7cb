r"""Training of networks whose features are linear: nuclear norms (P0, linear convolutions; gated networks).

    minimise  L( sum_i sum_q A_iq z_iq + b 1 ) + beta sum_i ||Z_i||_*,    Z_i = [z_i1 ... z_ia] = sum_j u_j w_j'

There is one Z without gates, and one for every gate of a gated network. A barrier method on the dual proposes a
residual and the singular vectors of Z; the group lasso over those vectors gives the weights to all digits. The referee
prices the residual by singular values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.objective import objective_above
from zerogap.errors import InputError, Status
from zerogap.features import Features
from zerogap.network import Network
from zerogap.question import Question
from zerogap.scope import choose_cells
from zerogap.solvers import Iterate
from zerogap.solvers.group_lasso import group_lasso
from zerogap.solvers.spectral_barrier import SpectralBarrier, SpectralIterate
from zerogap.training.history import Iteration
from zerogap.training.recovery import empty_network

Array = NDArray[np.float64]
Callback = Callable[[Iteration], object]
Trained = tuple[Network, Certificate, tuple[Iteration, ...], Status]

FAINT = 1e-7
"""Singular vectors with a smaller share of the largest singular value do not enter the group lasso."""

NEAR = 0.99
"""Singular vectors of the gradient of a residual do, if their price is above this share of beta."""

POLISHES = 40
"""Group lassos, each over the singular vectors of the one before, at most."""

PROGRESS = 0.9
"""They end when one leaves more than this share of the gap."""

GATES = 12
"""Gates in the first program, and how many of those that it prices too high join in one round."""


def train_spectral(
    question: Question, *, tol: float, limit: float, rng: np.random.Generator, callback: Callback | None = None
) -> Trained:
    """Train a network whose features are linear in its inner weights, over all neurons.

    Parameters
    ----------
    question : Question
        Of an architecture whose prices have a closed form.
    tol : float
        Relative gap asked for.
    limit : float
        Seconds.
    rng : Generator
        Unused: nothing is drawn.
    callback : callable, optional
        Called with every Iteration; a true return value stops the run.

    Returns
    -------
    network, certificate, history, status
    """
    run = _Run(question, question.architecture.features(question.rows), None, tol, limit, callback)
    return run.trained(FeatureReferee(question), cells=0)


def train_gated(
    question: Question,
    arrangements: Any,
    *,
    tol: float,
    limit: float,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> Trained:
    """Train a gated network with an output weight for every position or window.

    Parameters are those of ``train_spectral``, and `arrangements` as in ``zg.train``: "enumerate", a number, or gates.

    Raises
    ------
    InputError
        For ``bias="free"``: then every gate and window has a free constant for its active samples.
    """
    if question.architecture.bias == "free":
        expected = "True or False: with an output weight for every window, free biases fit almost any data"
        raise InputError("bias", "'free' with gated=True", expected, "pass bias=True")
    cells = choose_cells(question, arrangements, rng)
    features = question.architecture.features(question.rows)
    run = _Run(question, features.gated(cells.centres), cells.centres, tol, limit, callback)
    return run.trained(FeatureReferee(question, "gated"), cells=cells.count)


class _Run:
    """One run; `gates` (P, p) or None."""

    def __init__(
        self,
        question: Question,
        features: Features,
        gates: Array | None,
        tol: float,
        limit: float,
        callback: Callback | None,
    ) -> None:
        self._question, self._features, self._gates = question, features, gates
        self._tol, self._limit, self._callback = tol, limit, callback
        self._started = clock.now()
        self._history: list[Iteration] = []
        self._status = Status.STALLED
        self._passes = 0.0
        self._best: tuple[float, Array, NDArray[np.intp], float] | None = None

    def trained(self, referee: FeatureReferee, *, cells: int) -> Trained:
        """The whole run."""
        self._referee = referee
        try:
            null = referee.feasible(self._question.null_residual)
            if null is not None:
                self._hear(null)
            if null is not None and null.any():
                self._generate(null)
        except KeyboardInterrupt:
            self._status = Status.INTERRUPTED
        network = self._network()
        certificate = referee.verdict(network, referee.objective(network), cells=cells)
        if self._status is Status.STALLED and certificate.proved and certificate.gap <= self._tol:
            self._status = Status.OPTIMAL
        return network, certificate, tuple(self._history), self._status

    # -- programs ------------------------------------------------------------------------------------

    def _generate(self, null: Array) -> None:
        """The program over all gates, by way of programs over those gates that matter."""
        if self._gates is None:
            self._solve(np.zeros(1, dtype=np.intp), null)
            return
        used = np.sort(np.argsort(-self._prices(null), kind="stable")[:GATES])
        while used.size:
            residual = self._solve(used, null)
            if self._stopped() or residual is None or self._gap() <= self._tol:
                return
            prices = self._prices(residual)
            prices[used] = 0.0
            fresh = np.argsort(-prices, kind="stable")[:GATES]
            fresh = fresh[prices[fresh] > self._question.beta * (1.0 + 1e-12)]
            if not fresh.size:
                return
            used = np.sort(np.concatenate([used, fresh]))

    def _solve(self, used: NDArray[np.intp], null: Array) -> Array | None:
        """The program over some of the gates; its last residual."""
        question = self._question
        maps, offset = self._maps(used), question.architecture.offset
        barrier = SpectralBarrier(maps, question.loss, question.beta, offset=offset, null=null)
        last: SpectralIterate | None = None
        closest: SpectralIterate | None = None
        for iterate in barrier:
            last = iterate
            closest = iterate if closest is None or iterate.primal < closest.primal else closest
            self._passes = iterate.passes
            self._keep(iterate.primal, iterate.blocks, used, iterate.offset)
            self._hear(iterate.residual)
            if self._stopped() or self._gap() <= 0.3 * self._tol or iterate.missing <= 0.1 * self._tol * iterate.dual:
                break
        if last is None or closest is None:
            return None
        # The last blocks may have lost the digits that the last residual has won.
        residual, blocks, gap = last.residual, closest.blocks, np.inf
        for _ in range(POLISHES):
            if self._stopped() or self._gap() <= 0.3 * self._tol or self._gap() > PROGRESS * gap:
                break
            gap = self._gap()
            polished = self._polished(maps, blocks, residual, used)
            if polished is None:
                break
            blocks, residual = polished
        return residual

    def _polished(
        self, maps: Array, blocks: Array, residual: Array, used: NDArray[np.intp]
    ) -> tuple[Array, Array] | None:
        """The best blocks with given short singular vectors, and their residual.

        They are those of the blocks, and those that the residual prices near beta.
        """
        question = self._question
        # On the shorter side: fewer groups, and so many singular vectors span everything.
        turned = blocks.shape[1] > blocks.shape[2]
        if turned:
            maps, blocks = maps.transpose(0, 1, 3, 2), blocks.transpose(0, 2, 1)
        left, sizes, _ = np.linalg.svd(blocks, full_matrices=False)
        dual, prices, _ = np.linalg.svd(np.tensordot(maps, residual, axes=([1], [0])), full_matrices=False)
        gate, which = np.nonzero(sizes > FAINT * sizes.max(initial=0.0))
        near, price = np.nonzero(prices > NEAR * question.beta)
        vectors = np.concatenate([left[gate, :, which], dual[near, :, price]])  # (m, short)
        gate = np.concatenate([gate, near])
        if not gate.size:
            return None
        each = [np.tensordot(maps[i], vector, axes=([1], [0])) for i, vector in zip(gate, vectors, strict=True)]
        values = np.stack(each, axis=2)  # (n, long, m)
        last: Iterate | None = None
        offset = question.architecture.offset
        for iterate in group_lasso(values, question.loss, question.beta, offset=offset, tol=0.01 * self._tol):
            last = iterate
            if self._late():
                break
        if last is None:
            return None
        result = np.zeros_like(blocks)
        np.add.at(result, gate, vectors[:, :, None] * last.blocks[0][:, None, :])
        outputs = np.einsum("insa,isa->n", maps, result) + last.offset
        sizes = np.linalg.svd(result, compute_uv=False)
        result = result.transpose(0, 2, 1) if turned else result
        self._keep(question.loss.value(outputs) + question.beta * float(sizes.sum()), result, used, last.offset)
        self._hear(last.residual)
        return result, last.residual

    def _maps(self, used: NDArray[np.intp]) -> Array:
        """A_i of some gates in the penalised coordinates, (P, n, p, a)."""
        basis = np.eye(self._features.dimension)[self._features.penalised]
        if self._gates is None:
            return np.ascontiguousarray(self._features.forward(basis)[0].transpose(0, 2, 1))[None]
        each = [self._features.gated(np.repeat(gate[None], basis.shape[0], axis=0)) for gate in self._gates[used]]
        return np.stack([features.forward(basis)[0].transpose(0, 2, 1) for features in each])

    def _prices(self, residual: Array) -> Array:
        """The price of every gate."""
        gates = self._gates if self._gates is not None else np.zeros((0, self._features.dimension))
        return np.array([self._features.gated(gate[None]).price_above(residual)[0] for gate in gates])

    # -- bookkeeping ---------------------------------------------------------------------------------

    def _hear(self, residual: Array) -> None:
        feasible = self._referee.feasible(residual)
        if feasible is None:
            self._referee.ratchet.withhold("the unpenalised weights could not be balanced exactly")
            return
        self._referee.hear(feasible, *self._features.price_above(feasible))

    def _keep(self, primal: float, blocks: Array, used: NDArray[np.intp], offset: float) -> None:
        if self._best is None or primal < self._best[0]:
            self._best = primal, blocks, used, offset
        sizes = np.linalg.svd(self._best[1], compute_uv=False)
        width = int(np.sum(sizes > 1e-6 * sizes.max(initial=0.0)))
        seconds = clock.now() - self._started
        record = Iteration(seconds, self._passes, 0, self._best[0], self._referee.ratchet.bound, width)
        self._history.append(record)
        if self._callback is not None and self._callback(record) and self._status is Status.STALLED:
            self._status = Status.STOPPED

    def _gap(self) -> float:
        if self._best is None or self._referee.ratchet.proof is None:
            return np.inf
        return (self._best[0] - self._referee.ratchet.bound) / max(self._best[0], 1e-300)

    def _late(self) -> bool:
        if self._status is Status.STALLED and clock.now() - self._started >= self._limit:
            self._status = Status.TIME_LIMIT
        return self._status is Status.TIME_LIMIT

    def _stopped(self) -> bool:
        return self._late() or self._status is not Status.STALLED

    # -- recovery ------------------------------------------------------------------------------------

    def _network(self) -> Network:
        """The thinnest network whose objective is within a tenth of the tolerance of the best one."""
        networks = list(self._networks())
        judged = [(objective_above(self._question, network), network.width, k) for k, network in enumerate(networks)]
        allowed = min(judged)[0] * (1.0 + 0.1 * self._tol)
        return networks[min((j for j in judged if j[0] <= allowed), key=lambda j: (j[1], j[0]))[2]]

    def _networks(self) -> Iterator[Network]:
        """No neurons, and the largest singular values and vectors of the best blocks: Z = sum_j s_j a_j b_j'."""
        yield empty_network(self._question)
        if self._best is None:
            return
        _, blocks, used, offset = self._best
        left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
        gate, which = np.nonzero(sizes > 0.0)
        order = np.argsort(-sizes[gate, which], kind="stable")
        gate, which = gate[order], which[order]
        masses = sizes[gate, which]
        for threshold in 10.0 ** -np.arange(2.0, 13.0):
            count = int(np.sum(masses > threshold * masses.max(initial=0.0)))
            root = np.sqrt(masses[:count, None])
            first = np.zeros((count, self._features.dimension))
            first[:, self._features.penalised] = root * left[gate[:count], :, which[:count]]
            second = root * right[gate[:count], which[:count]]
            architecture = self._question.architecture
            network = Network(
                architecture,
                first,
                second[:, 0] if self._features.outputs == 1 else second,
                gates=None if self._gates is None else self._gates[used[gate[:count]]],
                offset=offset if architecture.offset else 0.0,
            )
            yield network
            yield network.pruned(self._question.rows)
