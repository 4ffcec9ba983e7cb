"""The referee: turns any network and any residual into an objective and a lower bound that hold.

Weak duality (docs/theory.md, "Certificate"): for every r in the dual domain,

    optimum >= -L*(-s r),    s = min(1, beta / G),    G >= max_i,+- max { +-r . T_i u : u in cone i, gauge(u) <= 1 },

and for every lam >= 0 (at most rho for penalised cones) the inner maximum is at most
||E (+-T_i' r + K_i' lam)||. The referee looks at the raw rows only and trusts no solver: proposals for r
and lam may come from anywhere, and a bad proposal gives a weak bound, never a wrong one. Rounding is
bounded a priori and inflated outward (``zerogap.rounding``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from zerogap.certificates.annihilation import annihilated
from zerogap.certificates.certificate import Certificate, Scope
from zerogap.certificates.evidence import Evidence
from zerogap.certificates.objective import objective_above
from zerogap.certificates.pricing import Pricer
from zerogap.certificates.proofs import cell_evidence
from zerogap.certificates.ratchet import Ratchet
from zerogap.network import Network
from zerogap.program import Program
from zerogap.question import Question
from zerogap.rounding import SMALLEST_SCALE, enlarged

Array = NDArray[np.float64]


class Referee:
    """Judge of one question over one list of cells.

    Parameters
    ----------
    question : Question
        Raw data; nothing scaled.
    program : Program
        For its cells. With ``cells.complete`` the scope of ReLU networks is global.
    """

    def __init__(self, question: Question, program: Program) -> None:
        self._question, self._program = question, program
        self._rows, self._loss = question.rows, question.loss
        self._pricer = Pricer(program)
        self.ratchet = Ratchet()
        self._witness: tuple[Array, Array | None] | None = None

    @property
    def scope(self) -> Scope:
        if self._question.architecture.gated:
            return "gated"
        return "global" if self._program.cells.complete else "sampled"

    # -- objectives --------------------------------------------------------------------------------

    def objective(self, network: Network) -> float:
        """An upper bound of the exact objective of the float64 weights, tight to rounding."""
        return objective_above(self._question, network)

    def hear_network(self, network: Network, *, refine: bool = True) -> float:
        """Judge a network of the scope; its residuals become dual proposals. Returns its objective."""
        objective = self.objective(network)
        self.ratchet.lower(objective)
        for residual in self._residuals(network):
            self.hear_residual(residual, refine=refine)
        return objective

    def _residuals(self, network: Network) -> Iterator[Array]:
        """Residuals that the network itself proposes: -grad L, and for the hinge loss fits on its kinks."""
        outputs = network.outputs(self._rows)
        yield -self._loss.gradient(outputs)
        if self._loss.smooth:
            return
        # Stationarity asks r . phi(u) = beta sign(w) for unit neurons; samples at the margin are free.
        balanced = network.balanced()
        if not balanced.width:
            return
        sizes = self._program.gauge.value(balanced.first)
        values, _ = balanced.on(self._rows).forward(balanced.weights)
        features = values[:, 0] / np.where(sizes > 0.0, sizes, 1.0)
        wanted = np.where(sizes > 0.0, self._question.beta, 0.0) * np.sign(balanced.second)
        if self._program.offset:
            features = np.column_stack([features, np.ones(features.shape[0])])
            wanted = np.append(wanted, 0.0)
        # Neurons that hardly contribute say little about r.
        mass = self._program.gauge.value(balanced.first) * np.abs(balanced.second)
        mass = np.append(mass, mass.max(initial=1.0))[: wanted.size] / max(mass.max(initial=0.0), 1e-300)
        features, wanted = features * mass, wanted * mass
        signed = self._loss.targets * self._loss.weights
        margin = 1.0 - self._loss.targets * outputs
        for tolerance in (1e-3, 1e-5, 1e-7):
            free = np.abs(margin) <= tolerance
            share = np.where(margin > 0.0, 1.0, 0.0)
            if free.any():
                fixed = features[~free].T @ (signed * share)[~free]
                matrix = features[free].T * signed[free]
                fit = lsq_linear(matrix, wanted - fixed, bounds=(0.0, 1.0), tol=1e-14)
                share[free] = np.clip(fit.x, 0.0, 1.0)
            yield signed * share

    # -- bounds ------------------------------------------------------------------------------------

    def hear_residual(self, residual: Array, multipliers: Array | None = None, *, refine: bool = False) -> None:
        """Judge a dual proposal.

        Parameters
        ----------
        residual : (n,) float64
        multipliers : (families, P, H) float64, optional
            Proposed cone multipliers per unit wall normal; negative entries are ignored.
        refine : bool
            Compute the best multipliers (one non-negative least squares problem for every cell and sign
            that the proposed ones do not bring down to beta).
        """
        if not np.all(np.isfinite(residual)):
            self.ratchet.withhold("the residual was not finite")
            return
        prepared = self._feasible(np.clip(residual, *self._loss.box()))
        if prepared is None:
            self.ratchet.withhold("the unpenalised weights could not be balanced exactly")
            return
        r, radius = prepared
        beta = self._question.beta
        try:
            price = self._pricer.upper(r, radius, multipliers, refine=refine)
        except (ArithmeticError, np.linalg.LinAlgError, MemoryError) as error:
            self.ratchet.withhold(f"pricing failed: {error}")
            return
        if not np.isfinite(price):
            self.ratchet.withhold("a price was not finite")
            return
        # The margin lets the evidence, with multipliers of its own, meet beta in spite of rounding.
        largest = beta / price * (1.0 - 1e-11) if price > 0.0 else np.inf
        largest = largest if largest > SMALLEST_SCALE else 0.0
        if 0.0 < self._program.cone_penalty < np.inf:
            # The multipliers scale with r and must stay below the penalty.
            largest = min(1.0, largest)
        scale = self._loss.best_scale(r, largest)
        if not np.isfinite(scale):
            scale = 1.0
        scaled = scale * r
        # Rounding of s r is covered by the extra operations of the pricer; a box is kept since s <= 1 then.
        bound = self._loss.dual_lower(scaled, enlarged(radius * scale, 4))
        # A negative value proves less than the sign of the losses does.
        if bound > self.ratchet.bound or self._witness is None:
            self._witness = scaled, None if multipliers is None else scale * multipliers
        self.ratchet.lift(max(bound, 0.0) if bound == bound else bound, "enumeration")

    def _feasible(self, residual: Array) -> tuple[Array, float] | None:
        """r and the radius around it in which an exactly feasible point lies (0 without free weights)."""
        free = [np.ones((1, residual.size))] if self._program.offset else []
        if self._question.architecture.gated and not self._program.gauge.penalised.all():
            free.append(self._pricer.active_counts())
        constraints = np.concatenate([np.zeros((0, residual.size)), *free])
        return annihilated(residual, constraints, *self._loss.box()) if constraints.shape[0] else (residual, 0.0)

    # -- verdict -----------------------------------------------------------------------------------

    def verdict(self, network: Network, objective: float) -> Certificate:
        """The certificate of a network that has been heard."""
        ratchet, question = self.ratchet, self._question
        evidence = None
        if self._witness is not None and ratchet.proof is not None:
            evidence = Evidence(partial(cell_evidence, question, network, *self._witness, self._program, self._pricer))
        return Certificate(
            objective=objective,
            lower_bound=ratchet.bound,
            scope=self.scope,
            proof=ratchet.proof,
            architecture=question.architecture.config(),
            loss=self._loss.name,
            beta=question.beta,
            samples=self._rows.samples,
            cells=self._program.cells.count,
            width=network.width,
            zero_loss=self._loss.value(self._question.nothing),
            withheld=ratchet.withheld,
            evidence=evidence,
        )
