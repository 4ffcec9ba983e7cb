"""The training problem behind ``fit``: distinct samples, how they are scaled, and what targets stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from zerogap.architectures import Architecture
from zerogap.errors import InputError
from zerogap.estimators.samples import Samples
from zerogap.losses import Loss
from zerogap.model import Model, Task
from zerogap.output_losses import bound_loss
from zerogap.scaling import Scaling
from zerogap.training.train import Result, train
from zerogap.validation import positive, shown

Array = NDArray[np.float64]

SCALE = 0.2
"""beta="scale" is so many times the square root of the number of samples (docs/estimators.md, "Default beta")."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples to train on.

    Parameters
    ----------
    samples : Samples
        In their own units.
    task : "regression", "classes" or "labels"
    loss : str
    inputs, targets : Scaling or None
        Applied before training; targets of regressions only.
    """

    samples: Samples
    task: Task
    loss: str
    inputs: Scaling | None = None
    targets: Scaling | None = None

    def standardised(self, *, together: bool) -> Problem:
        """With inputs, and targets of a regression, of mean 0 and standard deviation 1."""
        samples = self.samples
        inputs = Scaling.of(samples.X, samples.weights, together=together)
        targets = Scaling.of(samples.targets, samples.weights) if self.task == "regression" else None
        return Problem(samples, self.task, self.loss, inputs, targets)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.samples.X.shape[1:]

    def beta(self, value: Any) -> float:
        """The weight decay that a parameter stands for; raises InputError."""
        if not isinstance(value, str):
            return positive("beta", value)
        if value != "scale":
            raise InputError("beta", shown(value), "a number > 0 or 'scale'", "pass for example beta=1.0")
        spread = 1.0
        if self.task == "regression" and self.targets is None:
            scale = Scaling.of(self.samples.targets, self.samples.weights).scale
            spread = float(np.sqrt(np.mean(scale**2)))
        return SCALE * float(np.sqrt(self.samples.weights.sum())) * spread

    def train(self, architecture: Architecture, beta: float, **options: Any) -> Result:
        """``zg.train`` with these options."""
        X, targets = self.scaled(self.samples, flat=architecture.flat)
        weights = self.samples.weights
        if not self._varied:
            # Its best constant would be infinite: there is none then.
            architecture = replace(architecture, intercept=False)
        # Products of small matrices lose more to waiting threads than they gain, and change their last digits.
        with threadpool_limits(1, user_api="blas"):
            return train(architecture, X, targets, loss=self.loss, beta=beta, sample_weight=weights, **options)

    @property
    def _varied(self) -> bool:
        """Whether samples of every class, or with and without every label, are there."""
        return self.task == "regression" or bool(np.all(np.ptp(self.samples.targets, axis=0) > 0.0))

    def scaled(self, samples: Samples, *, flat: bool) -> tuple[Array, Array]:
        """Inputs and targets of some samples, these or others, as a network takes them."""
        X = samples.X if self.inputs is None else self.inputs(samples.X)
        targets = samples.targets if self.targets is None else self.targets(samples.targets)
        return X.reshape(len(X), -1) if flat else X, targets

    def loss_on(self, outputs: Array, targets: Array, weights: Array) -> float:
        """The mean loss of outputs for scaled targets."""
        own: Loss = bound_loss(self.loss, self.samples.targets, self.samples.weights, offset=False)
        # Samples to judge by may be of one class, on which no loss may be trained.
        loss = replace(own, targets=targets, weights=weights)
        return loss.value(outputs) / float(weights.sum())

    def model(self, result: Result, beta: float, classes: tuple[Any, ...], estimator: dict[str, Any]) -> Model:
        """The trained network with its surroundings."""
        return Model(
            result.network,
            task=self.task,
            loss=self.loss,
            beta=beta,
            certificate=result.certificate,
            inputs=self.inputs,
            targets=self.targets,
            classes=classes,
            shape=self.shape,
            estimator=estimator,
        )
