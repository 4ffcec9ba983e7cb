"""A torch model with its data, and its objective in torch's own arithmetic, in the type of its weights."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from zerogap import clock
from zerogap.export.objectives import TorchObjective
from zerogap.export.reading import Reading, read
from zerogap.export.to_torch import to_torch
from zerogap.network import Network

Array = NDArray[np.float64]

BATCH = 1024
"""Samples whose outputs are computed at a time."""

STEPS = 50
"""Steps of the descent between two looks at the clock."""

PROGRESS = 1e-8
"""A descent has stalled where that many steps gain no more than this share."""

RESTARTS = 3
"""It then forgets its curvature, and ends where that has helped so many times in a row no more."""


@contextlib.contextmanager
def usual_torch() -> Iterator[None]:
    """Gradients, no autocast and the processor as default device, whatever the caller has set for a while."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False), torch.device("cpu"):
        yield


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is judged on data.

    Parameters
    ----------
    model : nn.Module
        A copy, on the processor and in evaluation mode.
    reading : Reading
        The network that it is.
    X : (n, ...) float64
        In the layout of the model.
    place : (device, bool)
        Where the given model is, and whether it is in training mode.
    """

    model: nn.Module
    reading: Reading
    X: Array
    place: tuple[torch.device, bool]

    @classmethod
    def of(cls, model: nn.Module, X: Array, *, free: bool = False) -> Subject:
        """Read a model; `free` says that the biases of its first layer are not decayed."""
        reading = read(model, X.shape[1:], free=free, samples=X)
        with contextlib.suppress(AttributeError):
            model = model._orig_mod  # what torch.compile wraps
        place = next(model.parameters()).device, model.training
        return cls(copy.deepcopy(model).to(device="cpu").eval(), reading, X, place)

    @property
    def inputs(self) -> Array:
        """X in the layout of the network."""
        return self.reading.inputs(self.X)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self._layer(self.reading.first).weight.dtype

    def replaced(self, network: Network) -> Subject:
        """Another network of the same architecture as a model of plain layers, with the same inputs and outputs."""
        plain = to_torch(network, input_shape=self.inputs.shape[1:], dtype=self.dtype)
        return Subject.of(self.reading.dressed(plain), self.X, free=network.architecture.free)

    def measured(self, objective: TorchObjective) -> float:
        """criterion(model(X)) + lambda_1/2 ||first layer||^2 + lambda_2/2 ||last layer||^2, with the decayed biases."""
        with torch.no_grad():
            return float(self._value(self.model, objective))

    def descended(self, objective: TorchObjective, seconds: float) -> Subject:
        """The model after L-BFGS on its objective in float64, as long as that descends; in the type of its weights."""
        twin, deadline = copy.deepcopy(self.model).double(), clock.now() + seconds
        parameters = list(twin.parameters())
        with torch.no_grad():
            best = float(self._value(twin, objective))
        kept = copy.deepcopy(twin.state_dict())
        options: dict[str, Any] = {"max_iter": STEPS, "history_size": 20, "line_search_fn": "strong_wolfe"}
        optimiser, idle = torch.optim.LBFGS(parameters, **options), 0

        def closure() -> Any:
            twin.zero_grad()
            value = self._value(twin, objective)
            value.backward()
            return value

        while clock.now() < deadline and idle < RESTARTS:
            optimiser.step(closure)
            with torch.no_grad():
                value = float(self._value(twin, objective))
            idle = 0 if best - value > PROGRESS * value else idle + 1
            if value < best:
                best, kept = value, copy.deepcopy(twin.state_dict())
            if idle:
                # Its memory may be of the other side of a kink.
                twin.load_state_dict(kept)
                optimiser = torch.optim.LBFGS(parameters, **options)
        twin.load_state_dict(kept)
        return Subject.of(twin.to(self.dtype), self.X, free=self.reading.network.architecture.free)

    def _value(self, model: nn.Module, objective: TorchObjective) -> Any:
        layers = [model.get_submodule(name) for name in (self.reading.first, self.reading.last)]
        dtype: Any = layers[0].weight.dtype
        pieces = range(0, len(self.X), BATCH)
        outputs = torch.cat([model(torch.from_numpy(self.X[k : k + BATCH]).to(dtype)) for k in pieces])
        total = _criterion(outputs, objective)
        for layer, decay, biased in zip(layers, objective.decays, objective.decay_biases, strict=True):
            total = total + 0.5 * decay * layer.weight.square().sum()
            if biased and layer.bias is not None:
                total = total + 0.5 * decay * layer.bias.square().sum()
        return total

    def _layer(self, name: str) -> Any:
        return self.model.get_submodule(name)


def _criterion(outputs: Any, objective: TorchObjective) -> Any:
    targets = torch.from_numpy(objective.targets)
    criterion = copy.deepcopy(objective.criterion)
    if objective.loss == "cross_entropy":
        indices = targets.argmax(dim=1)
        if criterion is None:
            return functional.cross_entropy(outputs, indices, reduction="sum")
        if objective.rows:
            return criterion.to(device="cpu", dtype=outputs.dtype)(outputs, targets.to(outputs.dtype))
        return criterion.to(device="cpu", dtype=outputs.dtype)(outputs, indices)
    targets = targets.to(outputs.dtype).reshape(outputs.shape)
    if criterion is not None:
        return criterion(outputs, 0.5 * (targets + 1.0) if isinstance(criterion, nn.BCEWithLogitsLoss) else targets)
    if objective.loss == "squared":
        return 0.5 * (outputs - targets).square().sum()
    margins = targets * outputs
    if objective.loss == "logistic":
        return functional.softplus(-margins).sum()
    return torch.clamp(1.0 - margins, min=0.0).sum()
