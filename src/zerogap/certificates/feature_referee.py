"""The referee of features: from a bound of the price of all neurons in scope to a lower bound of the optimum.

    optimum >= -L*(-s r),    s = beta / G,    G >= ||Phi(theta)' r|| / ||E theta||  for every theta in scope.

Whoever calls ``hear`` answers for G; everything after that is done here. With a free constant r, or every column
of it, must sum to zero exactly, and the point s r, of real numbers, then does so for every s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.annihilation import annihilated, balanced_columns, balanced_on_grid, scaled_columns
from zerogap.certificates.certificate import Certificate, Scope
from zerogap.certificates.objective import objective_above
from zerogap.certificates.ratchet import Ratchet
from zerogap.network import Network
from zerogap.output_losses import CrossEntropyLoss
from zerogap.question import Question
from zerogap.rounding import SMALLEST_SCALE, SUBNORMAL, UNIT_ROUNDOFF

Array = NDArray[np.float64]


class FeatureReferee:
    """Judge of one question.

    Parameters
    ----------
    question : Question
        Raw data; nothing scaled.
    scope : str
        Which neurons the prices that it hears are about.
    """

    def __init__(self, question: Question, scope: Scope = "global") -> None:
        self._question, self._loss = question, question.loss
        self.scope: Scope = scope
        self.ratchet = Ratchet()

    def feasible(self, residual: Array) -> Array | None:
        """The residual inside the domain of the dual, with sum zero exactly for a free constant; None if that fails."""
        if not np.all(np.isfinite(residual)):
            return None
        inside = self._loss.feasible(residual)
        if not self._question.architecture.offset:
            return inside
        if inside.ndim == 1:
            return _balanced(inside, *self._loss.box())
        if isinstance(self._loss, CrossEntropyLoss):
            targets, weights = self._loss.targets, self._loss.weights
            nearly = self._loss.feasible(scaled_columns(inside, targets, weights))
            return balanced_columns(nearly, targets, weights)
        ends = zip(inside.T, *(end.T for end in self._loss.box()), strict=True)
        columns = [_balanced(*column) for column in ends]
        return None if any(column is None for column in columns) else np.stack(columns, axis=1)  # type: ignore[arg-type]

    def dual_value(self, residual: Array, price: float) -> float:
        """The lower bound that a price of a feasible residual gives; rigorous if the price is an upper bound."""
        # Rounded down, so that s times the price is at most beta.
        largest = self._question.beta / price * (1.0 - 4.0 * UNIT_ROUNDOFF) if price > 0.0 else np.inf
        largest = largest if largest > SMALLEST_SCALE else 0.0
        scale = self._loss.best_scale(residual, largest)
        if not np.isfinite(scale):
            scale = 1.0
        point = scale * residual
        # The bound is that of the real numbers s r, which are this close to the point.
        radius = 2.0 * UNIT_ROUNDOFF * float(np.abs(point).max(initial=0.0)) + SUBNORMAL
        return max(self._loss.dual_lower(point, radius), 0.0)

    def hear(self, residual: Array, price: float, proof: str) -> None:
        """Record what a price proves.

        Parameters
        ----------
        residual : (n,) or (n, C) float64
            As ``feasible`` returned it.
        price : float
            An upper bound of the price of every neuron in scope for this very residual. With a free bias: of the
            neurons whose bias is bounded (``zerogap.features.base.bounded_bias``).
        proof : str
            A key of ``zerogap.certificates.certificate.PROOFS``.
        """
        if not np.isfinite(price):
            self.ratchet.withhold("the price of the neurons could not be bounded")
            return
        self.ratchet.lift(self.dual_value(residual, price), proof)

    def objective(self, network: Network) -> float:
        """An upper bound of the objective of a network in scope, recorded."""
        objective = objective_above(network.checked(self._question), network)
        self.ratchet.lower(objective)
        return objective

    def verdict(
        self, network: Network, objective: float, *, cells: int = 0, estimate: float | None = None
    ) -> Certificate:
        """The certificate of a network that has been judged."""
        ratchet, question = self.ratchet, self._question
        return Certificate(
            objective=objective,
            lower_bound=ratchet.bound,
            scope=self.scope,
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
            outputs=question.outputs,
        )


def _balanced(residual: Array, low: Array, high: Array) -> Array | None:
    """A residual (n,) near the given one with sum zero exactly."""
    found = annihilated(residual, np.ones((1, residual.size)), low, high)
    return None if found is None else balanced_on_grid(found[0])
