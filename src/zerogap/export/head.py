r"""A certified last part on a frozen backbone.

    model(x) = head( (g(x) - mu) / sigma ),     g the backbone in evaluation mode.

The head is trained, and its certificate holds, on the features g(x) of the data, standardised if asked for. In the
model the scaling is folded into the head's first layer, u -> u / sigma and b -> b - u . (mu / sigma).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import MLP, Architecture
from zerogap.certificates.certificate import Certificate
from zerogap.errors import InputError, Status
from zerogap.export.extras import needed_torch
from zerogap.export.objectives import objective_of
from zerogap.export.plain import check_plain, plain_layers
from zerogap.export.to_torch import sequential
from zerogap.network import Network
from zerogap.training.train import Callback, train
from zerogap.validation import finite_array, integer, one_of, shown

Array = NDArray[np.float64]

CONSTANT = 1e-6
"""A feature whose deviation is below this share of its size is not scaled: that is noise of float32."""


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """What ``train_head`` returns.

    Parameters
    ----------
    model : torch.nn.Sequential
        The backbone itself, not a copy, and the head as plain layers ("backbone", "flatten" where needed, "head").
    head : Network
        It takes `features`.
    certificate : Certificate
        Of the head on the features of the data: no other head of this architecture, of any width, on these features
        has an objective below its bound. It says nothing of other backbones.
    status : Status
    features : array
        Those of the data, standardised if asked for, channels last.
    mean, scale : (d,) or (channels,) float64
        They were (raw features - mean) / scale.
    """

    model: Any
    head: Network
    certificate: Certificate
    status: Status
    features: Array = field(repr=False)
    mean: Array = field(repr=False)
    scale: Array = field(repr=False)


def train_head(
    backbone: Any,
    X: Any,
    y: Any,
    *,
    architecture: Architecture | None = None,
    loss: Any = "squared",
    beta: float | None = None,
    weight_decay: float | tuple[float, float] | None = None,
    standardise: bool = True,
    batch_size: int = 256,
    tol: float = 1e-4,
    max_time: float | None = None,
    prove: bool | float = 30.0,
    warm_start: Network | None = None,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    callback: Callback | None = None,
) -> TrainedHead:
    """Train the last layers of a deep model to global optimality, and put them back.

    Parameters
    ----------
    backbone : torch.nn.Module
        Everything in front of the head. It is evaluated in evaluation mode, without gradients, where its parameters
        are, and then left as it was found.
    X : array or tensor
        Its inputs, the first axis being the samples; arrays of reals take the type of its parameters.
    y : (n,) or (n, C) array or tensor
        Targets as in ``zg.train``: for classes their indices, for loss "logistic" -1 and +1; or as a criterion of
        torch takes them.
    architecture : Architecture, optional
        Of the head, default ``zg.MLP(intercept=True)``. MLPs take the features as vectors; CNNs and linear CNNs take
        maps (n, channels, length) or (n, channels, height, width), with one entry of kernel_size for each spatial axis.
    standardise : bool
        Subtract the mean of every feature (every channel of a map), and divide by its standard deviation. Not for
        architectures that pad, which would have to scale the padding.
    batch_size : int
        Samples that go through the backbone at a time.
    loss, beta, weight_decay
        The loss of ``zg.train`` and its beta, by default 1; or a criterion of torch and a weight decay, of both layers
        or a pair, that leaves the output bias alone, as in ``zg.objective_of``. With a pair the layers of the model are
        those that it decays; `head` has them rescaled, with the same outputs.
    tol, max_time, prove, warm_start, sample_weight, random_state, callback
        As in ``zg.train``, for the head on the features.

    Returns
    -------
    TrainedHead

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    InputError
        If an argument cannot be used, or the features do not fit the architecture.
    """
    torch = needed_torch()
    if not isinstance(backbone, torch.nn.Module):
        raise InputError("backbone", type(backbone).__name__, "a torch.nn.Module", "pass the layers before the head")
    architecture = MLP(intercept=True) if architecture is None else architecture
    if not isinstance(architecture, Architecture):
        raise InputError("architecture", shown(architecture), "an instance such as zg.MLP()", "construct one first")
    check_plain(architecture)
    if one_of("standardise", standardise, (True, False)) and _pads(architecture):
        expected = "False for an architecture that pads: its zeros would have to be scaled"
        raise InputError("standardise", "True", expected, "pass standardise=False")
    asked: dict[str, Any] = {"loss": loss, "beta": 1.0 if beta is None else beta, "sample_weight": sample_weight}
    converted = None
    if not isinstance(loss, str) or weight_decay is not None:
        converted = objective_of(loss, y, weight_decay=weight_decay, beta=beta, decay_biases=(True, False))
        y = converted.targets
        asked = {"loss": converted.loss, "beta": converted.beta, "sample_weight": converted.sample_weight}
        if sample_weight is not None:
            expected = "None with a criterion or a decay of torch, which do not say how they count them"
            raise InputError("sample_weight", "an array", expected, "pass one of our losses, and beta")
    found, values = _features(torch, backbone, X, integer("batch_size", batch_size, least=1))
    raw = _layout(values, architecture)
    mean, scale = _moments(raw) if standardise else (np.zeros(raw.shape[-1]), np.ones(raw.shape[-1]))
    features = (raw - mean) / scale
    result = train(
        architecture,
        features,
        y,
        tol=tol,
        max_time=max_time,
        prove=prove,
        warm_start=warm_start,
        random_state=random_state,
        callback=callback,
        **asked,
    )
    network = result.network if converted is None else converted.restored(result.network)
    plain = plain_layers(network, features.shape[1:])
    if standardise:
        plain = plain.after_scaling(mean, scale)
    parts = [("backbone", backbone), ("head", sequential(plain, found.dtype).to(found.device))]
    if architecture.flat and values.ndim > 2:
        parts.insert(1, ("flatten", torch.nn.Flatten()))
    model = torch.nn.Sequential(OrderedDict(parts))
    return TrainedHead(model, result.network, result.certificate, result.status, features, mean, scale)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode for a while; every part gets back its own."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _features(torch: Any, backbone: Any, X: Any, size: int) -> tuple[Any, Array]:
    """The last features as a tensor, which tells type and device, and all of them in float64."""
    parts_of = (*backbone.parameters(), *backbone.buffers())
    place = next((part for part in parts_of if part.is_floating_point()), None)
    place = torch.empty(0) if place is None else place
    if place.is_meta or any(isinstance(part, torch.nn.UninitializedParameter) for part in backbone.parameters()):
        expected = "weights: they are on the meta device, or their shapes are not known yet"
        raise InputError("backbone", "none", expected, "load its weights, or call it on data once")
    inputs = X.detach() if isinstance(X, torch.Tensor) else torch.as_tensor(np.asarray(X))
    if inputs.ndim < 1 or not len(inputs):
        raise InputError("X", f"shape {tuple(inputs.shape)}", "at least one sample", "pass inputs of the backbone")
    if inputs.is_floating_point():
        inputs = inputs.to(place.dtype)
    parts = []
    with _evaluating(backbone), torch.no_grad():
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            try:
                output = backbone(batch.to(place.device))
            except Exception as error:  # sizes or types that do not fit, in the user's code
                got = f"{batch.dtype} of shape {tuple(batch.shape)}, which it cannot take ({error})"
                raise InputError("backbone", got, "X as it was trained on", "mend X, for example X.float()") from error
            if not isinstance(output, torch.Tensor) or not output.is_floating_point() or output.ndim < 2:
                got = f"outputs {shown(getattr(output, 'shape', type(output).__name__))}"
                raise InputError(
                    "backbone", got, "one tensor of features (n, ...)", "wrap it in a module that returns one"
                )
            parts.append(output.cpu().to(torch.float64).numpy())
    values = finite_array("features of the backbone", np.concatenate(parts))
    if len(values) != len(inputs):
        raise InputError(
            "backbone", f"{len(values)} features", f"one for each of {len(inputs)} samples", "keep samples"
        )
    return output, values


def _layout(values: Array, architecture: Any) -> Array:
    """Features as the architecture takes them: vectors, or maps with channels last."""
    if architecture.flat:
        return values.reshape(len(values), -1)
    size = architecture.kernel_size
    axes = len(size) if isinstance(size, tuple) else 2
    if values.ndim != axes + 2:
        expected = "maps (n, channels, length) or (n, channels, height, width), as many axes as kernel_size has entries"
        remedy = "use zg.MLP(intercept=True), or give kernel_size one entry for each spatial axis"
        raise InputError("features of the backbone", f"shape {values.shape} for {architecture!r}", expected, remedy)
    return np.ascontiguousarray(np.moveaxis(values, 1, -1))


def _moments(features: Array) -> tuple[Array, Array]:
    """Mean and deviation of every feature, or of every channel."""
    flat = features.reshape(-1, features.shape[-1])
    mean, deviation = flat.mean(axis=0), flat.std(axis=0)
    constant = deviation <= CONSTANT * np.abs(flat).max(axis=0)
    return mean, np.where(constant, 1.0, deviation)


def _pads(architecture: Architecture) -> bool:
    """Whether the first layer sees something else than features: zeros, or a vector that turns."""
    return bool(np.any(getattr(architecture, "padding", 0))) or (architecture.flat and architecture.linear)
