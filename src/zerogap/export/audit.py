"""How far a torch model is from the best one of its form, in its own objective."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zerogap.certificates.certificate import Certificate
from zerogap.certificates.objective import objective_above
from zerogap.certification import certify
from zerogap.errors import InputError
from zerogap.export.objectives import TorchObjective, objective_of
from zerogap.export.optimisers import decays_of, is_optimiser
from zerogap.export.output_bias import OutputBias
from zerogap.network import Network
from zerogap.question import Question
from zerogap.rounding import text_above, text_below
from zerogap.training.train import Callback
from zerogap.validation import finite_array, seconds_of, shown

if TYPE_CHECKING:
    from zerogap.export.better import BetterModel


@dataclass(frozen=True, eq=False)
class Audit:
    """What ``zg.certify`` returns for a torch model.

    All gaps rest on one bound, which no network in the scope is below in the objective of ours, and on the conversion
    that `objective` and `output_bias` print.

    Parameters
    ----------
    network : Network
        The model, with its layers rescaled where they are decayed by different numbers, and mostly with a neuron in the
        place of an output bias that torch decays (`output_bias`). Its outputs are those of the model.
    certificate : Certificate
        Of the network, in the objective of ours.
    objective : TorchObjective
        What torch minimises, and what ours is of it.
    output_bias : OutputBias
        How ours counts the output bias; prints as one sentence.
    torch_objective : float
        Of the model in the units of torch, from float64 and rounded up; with the decay of the output bias if torch
        decays it.
    torch_bound : float
        In the units of torch: with scope "global", no model of this form, of any width, has an objective below.
    torch_estimate : float or None
        The bound that search alone suggests, in the units of torch; not proved.
    """

    network: Network
    certificate: Certificate
    objective: TorchObjective
    output_bias: OutputBias
    torch_objective: float
    torch_bound: float
    torch_estimate: float | None
    _subject: Any = field(repr=False)

    @property
    def gap(self) -> float:
        """(torch_objective - torch_bound) / torch_objective."""
        return relative_gap(self.torch_objective, self.torch_bound)

    @property
    def lower_bound(self) -> float:
        """In the objective of ours."""
        return self.certificate.lower_bound

    @property
    def scope(self) -> str:
        """Which networks the bound speaks of."""
        return self.certificate.scope

    @property
    def proof(self) -> str | None:
        """How the bound was proved; None if nothing beyond 0 was."""
        return self.certificate.proof

    @property
    def proved(self) -> bool:
        """Whether the bound rests on a completed proof for its scope."""
        return self.certificate.proved

    @property
    def estimate(self) -> float | None:
        """The bound that search alone suggests, in the objective of ours; not proved."""
        return self.certificate.estimate

    def __str__(self) -> str:
        lines = [
            ("model", f"{self._subject.reading.layers}: {self.network.architecture!r} of width {self.network.width}"),
            ("objective", str(self.objective)),
            ("output bias", str(self.output_bias)),
            ("in torch", figures(self)),
            ("in ours", str(self.certificate)),
        ]
        return "\n".join(f"{name:<13}{text}" for name, text in lines)

    def better(
        self,
        *,
        max_time: float | None = 30.0,
        prove: bool | float = 10.0,
        tol: float = 1e-4,
        random_state: int | np.random.Generator | None = 0,
        callback: Callback | None = None,
    ) -> BetterModel:
        """A torch model of the same form, of any width, whose objective is not above that of the one given.

        Training goes on from the network of the audit. Where torch decays an output bias, which ours does not, its own
        objective is then descended by L-BFGS, from the result and from the given model. Both models are measured by
        torch, in the type of the model's weights; if the new one is not lower, a copy of the given one is returned, and
        `improved` is False.

        Parameters
        ----------
        max_time, prove, tol, random_state, callback
            As in ``zg.train``; where there is a descent, at least a fifth of `max_time` is for it. With ``prove=False``
            the bound is mostly that of a relaxation.

        Returns
        -------
        BetterModel
        """
        from zerogap.export.better import better_model
        from zerogap.export.measuring import usual_torch

        effort: dict[str, Any] = {"max_time": max_time, "prove": prove, "tol": tol}
        with usual_torch():
            return better_model(self, **effort, random_state=random_state, callback=callback)


def audit(
    model: Any,
    X: Any,
    y: Any,
    *,
    loss: Any,
    beta: float | None,
    weight_decay: Any,
    decay_biases: bool | tuple[bool, bool] | None,
    arrangements: Any,
    prove: bool | float,
    tol: float,
    sample_weight: Any,
    random_state: Any,
) -> Audit:
    """``zg.certify`` of a torch model; its arguments are described there.

    Raises
    ------
    InputError
        If an argument cannot be used, or the model is none of ours; the message names the layer.
    """
    from zerogap.export.measuring import Subject

    if sample_weight is not None:
        expected = "None: a criterion of torch does not say how it counts them"
        remedy = "give CrossEntropyLoss class weights, or certify zg.from_torch(model)"
        raise InputError("sample_weight", "an array", expected, remedy)
    inputs = finite_array("X", X)
    if inputs.ndim < 2:
        raise InputError("X", f"shape {inputs.shape}", "one input for each sample", "pass X.reshape(-1, 1)")
    if loss is None:
        expected = "the criterion that the model was trained with, or the name of a loss of ours"
        raise InputError("loss", "nothing", expected, "pass for example loss=torch.nn.MSELoss()")
    subject = Subject.of(model, inputs)
    if is_optimiser(weight_decay):
        weight_decay, decay_biases = _read_decays(weight_decay, decay_biases, model, subject)
    outputs = subject.reading.network.targets or 1
    objective = objective_of(loss, y, outputs=outputs, weight_decay=weight_decay, beta=beta, decay_biases=decay_biases)
    _check_classes(objective, subject)
    if not objective.decay_biases[0]:
        subject = Subject.of(model, inputs, free=True)
    network = objective.rescaled(subject.reading.network)
    effort: dict[str, Any] = {"arrangements": arrangements, "prove": prove, "tol": tol, "random_state": random_state}
    ways = OutputBias.ways(objective, network.architecture)
    if len(ways) > 1 and not isinstance(prove, (bool, np.bool_)):
        effort["prove"] = 0.5 * seconds_of("prove", prove)
    audits = [_audited(ways[0], network, subject, effort)]
    # Some targets, such as those that lack a class, have no best free constant.
    for way in ways[1:]:
        with contextlib.suppress(InputError):
            audits.append(_audited(way, network, subject, effort))
    best = max(audits, key=lambda found: found.torch_bound)
    suggested = [found.torch_estimate for found in audits if found.torch_estimate is not None]
    return replace(best, torch_estimate=max(suggested, default=None))


def _read_decays(optimiser: Any, decay_biases: Any, model: Any, subject: Any) -> tuple[Any, Any]:
    """The decays of the groups of an optimiser."""
    if decay_biases is not None:
        expected = "None: the groups of the optimiser tell which biases it decays"
        raise InputError("decay_biases", shown(decay_biases), expected, "leave it out")
    model = getattr(model, "_orig_mod", model)
    names = subject.reading.first, subject.reading.last
    first, last = ((name, model.get_submodule(name)) for name in names)
    return decays_of(optimiser, (first, last))


def _check_classes(objective: TorchObjective, subject: Any) -> None:
    """Raise InputError for a class without samples whose output bias only counts as a free constant."""
    way = OutputBias.ways(objective, subject.reading.network.architecture)[0]
    if objective.loss != "cross_entropy" or not way.judged.offset:
        return
    absent = np.flatnonzero(~objective.targets.any(axis=0))
    if absent.size:
        expected = "samples of every class: its output bias counts as a free constant, and the best is minus infinity"
        remedy = "leave out the output of that class, or decay the biases of the first layer too"
        raise InputError("y", f"no sample of class {absent[0]}", expected, remedy)


def _audited(way: OutputBias, network: Network, subject: Any, effort: dict[str, Any]) -> Audit:
    """The audit of one way to count the output bias."""
    objective = way.objective
    asked: dict[str, Any] = {"loss": objective.loss, "beta": objective.beta, "sample_weight": objective.sample_weight}
    question = Question.of(way.judged, subject.inputs, objective.targets, **asked)
    counted = way.counted(network, question.rows)
    certificate = certify(counted, subject.inputs, objective.targets, **asked, **effort)
    return Audit(
        network=counted,
        certificate=certificate,
        objective=objective,
        output_bias=way,
        torch_objective=objective.above(objective_above(question, network), network),
        torch_bound=way.below(certificate.lower_bound),
        torch_estimate=way.suggested(certificate.estimate),
        _subject=subject,
    )


def relative_gap(objective: float, bound: float) -> float:
    """(objective - bound) / objective."""
    return 0.0 if objective <= 1e-300 else float((objective - bound) / objective)


def figures(judged: Audit | BetterModel) -> str:
    """An objective and a bound in the units of torch, never without the scope."""
    shown, scope = f"objective {text_above(judged.torch_objective)}", judged.certificate.scope
    text = f"{shown}; nothing proved beyond the bound 0 (scope {scope})"
    if judged.certificate.proved:
        proof = f"(scope {scope}, proof {judged.certificate.proof})"
        text = f"{shown}, bound {text_below(judged.torch_bound)}, gap {judged.gap:.1e} {proof}"
    if judged.torch_estimate is None:
        return text
    return f"{text}; search, which proves nothing, suggests {text_below(judged.torch_estimate)}"
