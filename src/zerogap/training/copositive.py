r"""Training by the copositive program of vector outputs or one of its relaxations (P1, copositive form).

``zerogap.solvers.copositive_program`` solves the program over listed cells. Its residual is priced cell by cell, which
makes its value a bound that rests on no solver:

    "completely_positive"   the price of a cell is that of its neurons, found by cone-constrained components: exact
    "doubly_nonnegative"    a semidefinite bound of that price: a relaxation
    "psd"                   the price without the cone, a singular value: exact for gated networks, else a relaxation

Rounding: eigenvectors of the matrices U_i, projected on their cells, become neurons; a group lasso gives them output
weights, and descent polishes the network (P1, rounding).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.architectures import Architecture
from zerogap.arrangements import Cells
from zerogap.certificates.cell_prices import CellPricer
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.gate_prices import GatePricer
from zerogap.certificates.objective import objective_above
from zerogap.errors import InputError, Status
from zerogap.features.base import masses
from zerogap.features.pooled import PooledFeatures
from zerogap.network import Network
from zerogap.oracles.copositive import doubly_nonnegative_bound
from zerogap.question import Question
from zerogap.rounding import enlarged
from zerogap.scope import choose_cells
from zerogap.solvers.copositive_program import CONES, CopositiveSolution, rounded, solve_copositive
from zerogap.solvers.group_lasso import group_lasso
from zerogap.training.descent import Descent, lbfgs
from zerogap.training.recovery import empty_network
from zerogap.training.train import settled
from zerogap.validation import generator, one_of, positive

Array = NDArray[np.float64]

POLISH = 500
"""Steps of L-BFGS from the rounded network."""


@dataclass(frozen=True, eq=False)
class CopositiveResult:
    """What ``train_copositive`` returns.

    Parameters
    ----------
    network : Network
        Rounded from the program's solution.
    certificate : Certificate
        Of that network; its bound is recomputed from the program's residual.
    value : float
        Of the program, as the solver found it: the optimum over the cells if `cone` is "completely_positive", and a
        lower bound of it otherwise; up to the solver's tolerance.
    matrices : (P, p, p) float64
        U_i; the published form has U_i / (2 beta).
    cells : Cells
    status : Status
        Whether rounding attains the value, up to `tol`.
    """

    network: Network
    certificate: Certificate
    value: float
    matrices: Array
    cells: Cells
    status: Status


@np.errstate(all="ignore")
def train_copositive(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    beta: float = 1.0,
    cone: str = "completely_positive",
    arrangements: int | str | Any = "enumerate",
    tol: float = 1e-4,
    max_time: float | None = None,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
) -> CopositiveResult:
    """Solve the copositive program of a network with squared loss, or a relaxation, and round it to a network.

    Parameters
    ----------
    architecture : MLP or CNN
        Without free bias or intercept; sums, averages or no pooling; gated ones with ``cone="psd"``.
    X, beta, sample_weight, random_state
        As in ``zg.train``.
    y : (n, C) or (n,) array
    cone : "completely_positive", "doubly_nonnegative" or "psd"
        The set of U_i, from the smallest to the largest. The first one is exact; it needs cells with at most four
        facets, or rows that span at most four dimensions.
    arrangements : "enumerate", int or (P, p) array
        Cells or gates.
    tol : float
        Relative gap of the network that counts as success.
    max_time : float, optional
        Seconds for the program.

    Returns
    -------
    CopositiveResult

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    Sahiner, Ergen, Pauly and Pilanci (ICLR 2021), copositive form and relaxations.
    """
    question = Question.of(architecture, X, y, loss="squared", beta=beta, sample_weight=sample_weight)
    one_of("cone", cone, CONES)
    features = architecture.features(question.rows)
    plain = isinstance(features, PooledFeatures) and not (features.largest or features.slope or architecture.linear)
    if not plain or architecture.offset or 0.0 < architecture.cone < np.inf:
        expected = "an MLP or CNN of rectified sums, without free bias, intercept, slope or cone penalty"
        raise InputError("architecture", repr(architecture), expected, "use zg.train")
    if architecture.gated and cone != "psd":
        raise InputError("cone", repr(cone), "'psd' for gated networks, which obey no cones", "pass cone='psd'")
    limit = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    tol, rng = positive("tol", tol), generator(random_state)
    cells = choose_cells(question, arrangements, rng)
    return _Program(question, features, cells, cone).trained(tol, limit)


class _Program:
    """The program of one question over some cells."""

    def __init__(self, question: Question, features: Any, cells: Cells, cone: str) -> None:
        self._question, self._features, self._cells, self._cone = question, features, cells, cone
        self._gated = question.architecture.gated
        scope: Any = "gated" if self._gated else ("global" if cells.complete else "sampled")
        self._referee = FeatureReferee(question, scope)
        signs = np.where(cells.signs, 1.0, -1.0)
        self._walls = [sign[:, None] * question.walls.normals for sign in signs]

    def trained(self, tol: float, limit: float) -> CopositiveResult:
        question, started = self._question, clock.now()
        targets = question.loss.targets.reshape(question.rows.samples, -1)
        solution = solve_copositive(
            self._maps(),
            self._walls,
            targets,
            question.beta,
            weights=question.loss.weights,
            cone=self._cone,
            max_time=limit,
        )
        residual = self._referee.feasible(solution.residual.reshape(question.loss.targets.shape))
        if residual is not None and np.isfinite(solution.value):
            self._referee.hear(residual, *self._price(residual))
        else:
            self._referee.ratchet.withhold(f"the solver ended with {solution.status!r}")
        network = self._network(solution)
        certificate = self._referee.verdict(network, self._referee.objective(network), cells=self._cells.count)
        late = clock.now() - started >= limit and solution.status == "MaxTime"
        status = settled(Status.TIME_LIMIT if late else Status.STALLED, certificate, tol)
        return CopositiveResult(network, certificate, solution.value, solution.matrices, self._cells, status)

    def _maps(self) -> Array:
        """A_i, (P, n, a, p)."""
        basis = np.eye(self._features.dimension)
        gates = [np.repeat(centre[None], basis.shape[0], axis=0) for centre in self._cells.centres]
        return np.stack([self._features.gated(gate).forward(basis)[0] for gate in gates])

    def _price(self, residual: Array) -> tuple[float, str]:
        """An upper bound of the prices of all cells, and what proves it."""
        question, cells = self._question, self._cells
        gates = GatePricer(self._features, cells.centres)
        if self._cone == "completely_positive":
            pricer = CellPricer(self._features, question.walls, cells, question.outputs or 1)
            prices = pricer.prices(residual, known=0.0, worth=np.inf, most=cells.count + 1)
            return prices.upper, "enumeration" if prices.exact else "relaxation"
        if self._cone == "psd":
            upper = gates.prices(residual, known=0.0, worth=np.inf, most=1).upper
            return upper, "enumeration" if self._gated else "relaxation"
        pricer = CellPricer(self._features, question.walls, cells, question.outputs or 1)
        gradients, error = pricer.gradients(residual), pricer.error(residual)
        uppers = [
            doubly_nonnegative_bound(_square(gradient), walls)[0]
            for gradient, walls in zip(gradients, self._walls, strict=True)
        ]
        return enlarged(max(uppers) + error, 8), "relaxation"

    def _network(self, solution: CopositiveSolution) -> Network:
        """Rounding: candidates for neurons, their best output weights, and descent."""
        question, empty = self._question, empty_network(self._question)
        if not np.isfinite(solution.value):
            return empty
        found = self._directions(solution)
        if not found:
            return empty
        atoms, which = np.array([unit for _, unit in found]), np.array([cell for cell, _ in found])
        gates = self._cells.centres[which] if self._gated else None
        features = self._features if gates is None else self._features.gated(gates)
        values = features.forward(atoms)[0]
        *_, last = group_lasso(values, question.loss, question.beta, offset=False, tol=1e-9)
        second = last.blocks[0]
        if self._gated:
            atoms, which, second = GatePricer(self._features, self._cells.centres).merged(atoms, which, second)
            gates = self._cells.centres[which]
        plain = Network.from_weights(question.architecture, self._features, atoms, second, 0.0, gates).balanced()
        plain = plain.neurons_where(masses(plain.readout) > 1e-7 * masses(plain.readout).max(initial=0.0))
        candidates = [empty, plain, plain.pruned(question.rows)]
        # Descent may leave the listed cells.
        if self._cells.complete and not self._gated and plain.width:
            problem = Descent(question, plain.width)
            start = problem.pack(plain.weights, plain.readout, plain.offset)
            moved = problem.unpack(lbfgs(problem, start, POLISH))
            polished = Network.from_weights(question.architecture, self._features, *moved).balanced()
            candidates += [polished, polished.pruned(question.rows)]
        return min(candidates, key=lambda network: objective_above(question, network))

    def _directions(self, solution: CopositiveSolution) -> list[tuple[int, Array]]:
        if not self._gated:
            return rounded(solution, self._walls)
        found = []
        for gate, block in enumerate(solution.blocks.reshape(*solution.blocks.shape[:2], -1)):
            left, sizes, _ = np.linalg.svd(block, full_matrices=False)
            found += [(gate, left[:, k]) for k in np.flatnonzero(sizes > 1e-9 * max(float(sizes[0]), 1e-300))]
        return found


def _square(gradient: Array) -> Array:
    """L (p, min(p, a C)) with L L' = G G'."""
    return np.linalg.qr(gradient.T)[1].T if gradient.shape[1] > gradient.shape[0] else gradient
