"""The referee of all neurons: lower bounds from proofs about every direction, not about listed cells.

    optimum over any width >= -L*(-s r),    s = beta / G,    G >= max_u |r . phi(u)| / ||E u||.

G comes from a finished oracle; the dual point s r is written into the certificate, where a stranger can
repeat the proof. With a free constant s r lies on a grid of powers of two and sums to zero exactly.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.annihilation import annihilated, balanced_on_grid
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.evidence import Evidence
from zerogap.certificates.objective import objective_above
from zerogap.certificates.proofs import tree_evidence
from zerogap.certificates.ratchet import Ratchet
from zerogap.network import Network
from zerogap.oracles.branch_and_bound import Tree
from zerogap.oracles.form import Form
from zerogap.question import Question
from zerogap.rounding import SMALLEST_SCALE

Array = NDArray[np.float64]

MARGIN = 1e-11
"""Share of beta left for the rounding of the scaled residual."""


class GlobalReferee:
    """Judge of one question over all neurons.

    Parameters
    ----------
    question : Question
        ReLU networks; nothing scaled.
    """

    def __init__(self, question: Question) -> None:
        self._question, self._loss = question, question.loss
        self.form = Form.of(question.rows, free=question.architecture.free)
        self.ratchet = Ratchet()
        self._evidence: tuple[Array, Tree] | None = None

    def feasible(self, residual: Array) -> Array | None:
        """The residual inside the domain of the dual, balanced (nearly) for a free constant; None if that fails."""
        if not np.all(np.isfinite(residual)):
            return None
        clipped = np.clip(residual, *self._loss.box())
        if not self._question.architecture.offset:
            return clipped
        found = annihilated(clipped, np.ones((1, clipped.size)), *self._loss.box())
        return None if found is None else found[0]

    def scaled(self, residual: Array, price: float) -> Array:
        """s r for a price that is an upper bound, exactly balanced for a free constant."""
        price = price * (1.0 + MARGIN) + 1e-300
        scale = self._loss.best_scale(residual, self._question.beta / price)
        scale = scale if scale > SMALLEST_SCALE else 0.0
        if not self._question.architecture.offset:
            return scale * residual
        on_grid = balanced_on_grid(scale * residual)
        if scale <= 0.0:
            return on_grid
        # The price of the point on the grid exceeds that of s r by at most this.
        moved = float(np.abs(on_grid / scale - residual).max()) * (1.0 + 1e-12) + 1e-300
        reach = 3.0 * float(np.linalg.norm(self.form.reach)) * self.form.samples.size * self.form.scale
        return balanced_on_grid(min(scale, self._question.beta / (price + 2.0 * moved * reach)) * residual)

    def dual_value(self, residual: Array, price: float) -> float:
        """The lower bound that a price of the residual gives; rigorous if the price is an upper bound."""
        return max(self._loss.dual_lower(self.scaled(residual, price)), 0.0)

    def hear(self, residual: Array, price: float, proof: str, tree: Tree | None = None) -> None:
        """Record what a finished oracle proves about a residual that ``feasible`` has returned."""
        if not np.isfinite(price):
            self.ratchet.withhold("no oracle has bounded the price of all neurons")
            return
        point = self.scaled(residual, price)
        bound = max(self._loss.dual_lower(point), 0.0)
        if not bound > self.ratchet.bound and self.ratchet.proof is not None:
            return
        self.ratchet.lift(bound, proof)
        self._evidence = None if tree is None else (point, tree)

    def objective(self, network: Network) -> float:
        """An upper bound of the objective, recorded."""
        objective = objective_above(self._question, network)
        self.ratchet.lower(objective)
        return objective

    def verdict(self, network: Network, objective: float, *, cells: int, estimate: float | None) -> Certificate:
        """The certificate of a network that has been judged."""
        ratchet, question = self.ratchet, self._question
        evidence = None
        if self._evidence is not None and ratchet.proof is not None:
            evidence = Evidence(partial(tree_evidence, question, network, *self._evidence, self.form))
        return Certificate(
            objective=objective,
            lower_bound=ratchet.bound,
            scope="global",
            proof=ratchet.proof,
            architecture=question.architecture.config(),
            loss=question.loss.name,
            beta=question.beta,
            samples=question.rows.samples,
            cells=cells,
            width=network.width,
            zero_loss=question.loss.value(question.nothing),
            withheld=ratchet.withheld,
            estimate=estimate,
            evidence=evidence,
        )
