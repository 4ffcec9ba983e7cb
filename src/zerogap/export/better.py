"""A torch model that is better than a given one, with its certificate."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.objective import objective_above
from zerogap.errors import Status
from zerogap.export.audit import Audit, figures, relative_gap
from zerogap.export.objectives import TorchObjective
from zerogap.export.output_bias import OutputBias
from zerogap.export.sliding_bias import settled
from zerogap.network import Network
from zerogap.question import Question
from zerogap.training.train import Callback, train
from zerogap.validation import generator, positive

Array = NDArray[np.float64]

DESCENT = 0.2
"""Share of the time for the descent of torch's own objective, where it is not a multiple of ours."""

SLIDING = 0.5
"""Share of that time for the descent over rounded kinks."""

FAINT = 1e-2
"""Size of the neurons of the given model that join the trained ones before the descent, in units of their own."""

GONE, SAME = 1e-6, 1e-8
"""After it neurons leave that have less than this share of the largest one's mass, if the objective stays the same."""


@dataclass(frozen=True, eq=False)
class BetterModel:
    """What ``Audit.better`` returns.

    Parameters
    ----------
    model : torch.nn.Module
        An ``nn.Sequential`` of plain layers in the type of the given model's weights, on its device and in its mode,
        with the same inputs and outputs, mostly of another width. Where `improved` is False, a copy of the given one.
    network : Network
        The same, from its rounded weights, counted as in ``Audit.network``.
    certificate : Certificate
        Of the network, in the objective of ours. It holds no evidence for ``zerogap check``.
    objective, output_bias
        As in ``Audit``.
    torch_objective, torch_bound : float
        As in ``Audit``, in float64.
    torch_estimate : float or None
        The bound that search alone suggests, in the units of torch; not proved.
    measured, measured_before : float
        The objectives of this model and of the given one in torch's own arithmetic; the first is never the larger one.
    status : Status
        How training ended.
    """

    model: Any
    network: Network
    certificate: Certificate
    objective: TorchObjective
    output_bias: OutputBias
    torch_objective: float
    torch_bound: float
    torch_estimate: float | None
    measured: float
    measured_before: float
    status: Status

    @property
    def improved(self) -> bool:
        """Whether torch finds the objective lower than that of the given model."""
        return self.measured < self.measured_before

    @property
    def gap(self) -> float:
        """(torch_objective - torch_bound) / torch_objective."""
        return relative_gap(self.torch_objective, self.torch_bound)

    def __str__(self) -> str:
        change = f"{self.measured_before:.7g} before, {self.measured:.7g} now, in the arithmetic of torch"
        if not self.improved:
            change = f"{self.measured_before:.7g} as before: no better model was found, this is a copy of the given one"
        ended = self.status.value
        if self.output_bias.decayed:
            ended += " (of the objective of ours; torch's own was descended afterwards)"
        lines = [
            ("model", f"{self.network.architecture!r} of width {self.network.width}"),
            ("measured", change),
            ("output bias", str(self.output_bias)),
            ("in torch", figures(self)),
            ("in ours", str(self.certificate)),
            ("training", ended),
        ]
        return "\n".join(f"{name:<13}{text}" for name, text in lines)


def better_model(
    audit: Audit,
    *,
    max_time: float | None,
    prove: bool | float,
    tol: float,
    random_state: int | np.random.Generator | None,
    callback: Callback | None,
) -> BetterModel:
    """See ``Audit.better``."""
    given, objective = audit._subject, audit.objective
    started = clock.now()
    seconds = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    way = OutputBias.ways(objective, given.reading.network.architecture)[0]
    question = _question(way, given.inputs)
    start = objective.rescaled(given.reading.network)
    result = train(
        way.judged,
        given.inputs,
        objective.targets,
        loss=objective.loss,
        beta=objective.beta,
        sample_weight=objective.sample_weight,
        tol=tol,
        max_time=(1.0 - DESCENT) * seconds if way.decayed else seconds,
        prove=prove,
        # The program of a linear network needs no start.
        warm_start=None if way.judged.linear else way.counted(start, question.rows),
        random_state=random_state,
        callback=callback,
    )
    before = given.measured(objective)
    chosen, measured = given, before
    candidates = [given.replaced(objective.restored(way.restored(result.network, question)))]
    if way.decayed:
        # Training has left few neurons, which cannot split: faint ones let the descent do that.
        joined = objective.rescaled(candidates[0].reading.network).balanced().joined(start.balanced(), FAINT)
        # With the loss of the judged question: a decayed constant needs no best free one, which may be infinite.
        free = replace(question, architecture=way.architecture)
        decay = objective.decays[1] / objective.factor
        left = max(seconds - (clock.now() - started), 0.1 * seconds)
        moved = settled(free, joined, decay, SLIDING * left, generator(random_state))
        candidates = [given.replaced(objective.restored(moved)), given]
    for k, candidate in enumerate(candidates):
        new = candidate
        if way.decayed:
            left = max(seconds - (clock.now() - started), 0.1 * seconds)
            new = _slimmed(candidate.descended(objective, left / (len(candidates) - k)), objective)
        value = new.measured(objective)
        if value < measured:
            chosen, measured = new, value
    suggested = [
        found for found in (audit.torch_estimate, way.suggested(result.certificate.estimate)) if found is not None
    ]
    certificate = result.certificate
    if audit.scope == "global" and audit.torch_bound >= way.below(certificate.lower_bound):
        way, certificate = audit.output_bias, audit.certificate
        question = _question(way, given.inputs)
    network = objective.rescaled(chosen.reading.network)
    counted = way.counted(network, question.rows)
    own = objective_above(question, counted)
    return BetterModel(
        model=copy.deepcopy(chosen.model).to(device=given.place[0]).train(given.place[1]),
        network=counted,
        certificate=replace(certificate, objective=own, width=counted.width, evidence=None),
        objective=objective,
        output_bias=way,
        torch_objective=objective.above(objective_above(question, network), network),
        torch_bound=way.below(certificate.lower_bound),
        torch_estimate=max(suggested, default=None),
        measured=measured,
        measured_before=before,
        status=result.status,
    )


def _slimmed(subject: Any, objective: TorchObjective) -> Any:
    """Without the neurons that a descent has left without weight, where torch sees no loss."""
    slim = subject.replaced(subject.reading.network.without_faint(GONE))
    return slim if slim.measured(objective) <= subject.measured(objective) * (1.0 + SAME) else subject


def _question(way: OutputBias, inputs: Array) -> Question:
    objective = way.objective
    return Question.of(
        way.judged,
        inputs,
        objective.targets,
        loss=objective.loss,
        beta=objective.beta,
        sample_weight=objective.sample_weight,
    )
