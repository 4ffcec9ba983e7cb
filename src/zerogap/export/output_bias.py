r"""The output bias, which torch decays and ours does not.

Ours has a free constant at the output or none. Torch decays the bias c of the last layer by lambda_2/2 ||c||^2.

As a neuron. Where the first layer has decayed biases, a neuron with weights 0, bias 1 and output weights c is always c;
it costs lambda_1/2 + lambda_2/2 ||c||^2. So with every model there is one of the same outputs without output bias and
with one neuron more, whose objective is larger by at most lambda_1/2 (pooled over several positions, or with a feature
for each, the neuron may have smaller output weights). For a lower bound B of ours over all networks without a constant,
of any width,

    torch objective  >=  kappa B - lambda_1/2.

As a free constant. Ours leaves c free, and as its decay is not negative, torch objective >= kappa B. How much that
loses is not known beforehand: lambda_2/2 ||c||^2 at the best free constant, at most.

Both are tried where both hold, and the higher bound stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap.architectures import Architecture
from zerogap.export.objectives import ROUNDINGS, TorchObjective
from zerogap.network import Network
from zerogap.question import Question
from zerogap.rows import Rows

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OutputBias:
    """A way to count the output bias of the models of one architecture.

    Parameters
    ----------
    objective : TorchObjective
    architecture : Architecture
        Of the models, read with a free constant where they have an output bias.
    is_neuron : bool
        Whether it counts as a neuron.
    """

    objective: TorchObjective
    architecture: Architecture
    is_neuron: bool = False

    @classmethod
    def ways(cls, objective: TorchObjective, architecture: Architecture) -> tuple[OutputBias, ...]:
        """All ways that hold; the first is the one to train by."""
        free = cls(objective, architecture)
        return (replace(free, is_neuron=True), free) if free.decayed and architecture.bias is True else (free,)

    @property
    def decayed(self) -> bool:
        """Whether there is one that torch decays."""
        return self.architecture.offset and self.objective.decay_biases[1]

    @property
    def judged(self) -> Architecture:
        """The architecture whose networks are bounded."""
        return replace(self.architecture, intercept=False) if self.is_neuron else self.architecture

    def below(self, bound: float) -> float:
        """A lower bound of torch's objective, of one of ours over all networks of the judged architecture."""
        below = self.objective.below(bound)
        return max(below - 0.5 * self.objective.decays[0] * (1.0 + ROUNDINGS), 0.0) if self.is_neuron else below

    def suggested(self, estimate: float | None) -> float | None:
        """What ``below`` makes of an estimate, which is no bound."""
        return None if estimate is None else self.below(estimate)

    def counted(self, network: Network, rows: Rows) -> Network:
        """A network as one of the judged architecture, with the same outputs on these rows."""
        if not self.is_neuron:
            return network
        constant = np.atleast_1d(network.offset)
        features = self.judged.features(rows.keep(slice(0, 1)))
        always = np.zeros((1, features.dimension))
        always[0, -1] = 1.0
        values = features.forward(always)[0][0, :, 0]  # (a,)
        size, length = float(np.linalg.norm(constant)), float(np.linalg.norm(values))
        first, second = network.first, network.second
        if size > 0.0:
            balance = float(np.sqrt(size / length))
            outer = np.outer(values, constant) / (length**2 * balance)  # (a, C)
            first = np.concatenate([first, always * balance])
            second = np.concatenate([second, outer.reshape(1, *second.shape[1:])])
        return Network(self.judged, first, second)

    def restored(self, network: Network, question: Question) -> Network:
        """A network of the judged architecture as one of the models', with the best constant c under torch's decay.

        c minimises L(f + c) + lambda_2/2 ||c||^2 / kappa for the neurons as they are.
        """
        if not self.decayed:
            return network
        network = Network(self.architecture, network.first, network.second, offset=network.offset)
        decay = self.objective.decays[1] / self.objective.factor
        several = network.targets is not None
        outputs, start = network.outputs(question.rows) - network.offset, np.atleast_1d(network.offset)

        def value(constant: Array) -> tuple[float, Array]:
            f = outputs + (constant if several else constant[0])
            slope = np.atleast_1d(question.loss.gradient(f).sum(axis=0)) + decay * constant
            return question.loss.value(f) + 0.5 * decay * float(constant @ constant), slope

        best = minimize(value, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-10}).x
        constant = best if value(best)[0] <= value(start)[0] else start
        offset = constant if several else float(constant[0])
        return Network(self.architecture, network.first, network.second, offset=offset)

    def __str__(self) -> str:
        first, last = self.objective.decays
        if not self.architecture.offset:
            return "none in the model, none in ours"
        if not self.decayed:
            return "free in torch as in ours"
        if self.is_neuron:
            return (
                "counts as a neuron that is always 1, which costs lambda_1 / 2 = "
                f"{0.5 * first:.7g} more in torch at most; that is taken off the bound"
            )
        return f"free in ours; its decay, {last:.7g} / 2 c^2, is in the objective of torch and not in the bound"
