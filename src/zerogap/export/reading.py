"""What a torch model computes, as a chain of layers: traced with torch.fx, run once on random inputs, never altered.

The forward pass of a copy in float64 is recorded node by node. Every tensor in it must come from the one before;
nodes that compute sizes are left out, and reshapes are known by the shapes that they connect. At the end the network
is compared with the copy on the same inputs.
"""

from __future__ import annotations

import contextlib
import copy
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from zerogap.errors import InputError
from zerogap.export.chain import SUPPORTED, Dense, Draft, Filters, Layer, Shape, unsupported
from zerogap.export.torch_layers import is_known, layer_of
from zerogap.network import Network
from zerogap.validation import shown

Array = NDArray[np.float64]

SAMPLES = 7
"""Random inputs of a run; a number that is unlikely to be a size of the model."""

COMPARED = 1024
"""Of the samples that are given, so many are compared."""

TOLERANCE = 1e-9
"""Largest difference between the outputs of the model and of the network, relative to the largest output."""

SIZES = {"Conv1d": 1024, "Conv2d": 256}
"""Largest length, or height and width, that is tried where the user names no shape."""

OBLONG = range(1, 33)
"""Heights and widths that are tried after all squares."""

MORE = 6
"""Sizes beyond the smallest that are tried."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A torch model as a network.

    Parameters
    ----------
    network : Network
    first, last : str
        Dotted names of the layers with weights.
    shape : tuple of int
        That of one input of the model.
    inner : tuple of int
        That in which the first layer gets it.
    squeezed : bool
        Whether outputs are (n,) in the place of (n, 1).
    layers : str
        The types of the layers, for print.
    """

    network: Network
    first: str
    last: str
    shape: Shape
    inner: Shape
    squeezed: bool
    layers: str
    entry: Dense | Filters

    def inputs(self, X: Array) -> Array:
        """Inputs of the network, of those of the model."""
        if self.network.architecture.flat:
            return X.reshape(len(X), -1)
        return self.entry.inputs(X.reshape(len(X), *self.inner))

    def dressed(self, sequential: nn.Sequential) -> nn.Sequential:
        """The plain layers of a network of this architecture, with the inputs and outputs of the model."""
        front: list[Any] = []
        if self.network.architecture.flat and len(self.shape) > 1:
            front = [nn.Flatten()]
        elif not self.network.architecture.flat and self.inner != self.shape:
            front = [nn.Flatten(), nn.Unflatten(1, self.inner)]
        return nn.Sequential(*front, *sequential, *([nn.Flatten(0)] if self.squeezed else []))


def read(model: Any, input_shape: Any = None, *, free: bool = False, samples: Array | None = None) -> Reading:
    """A torch model as a network; see ``zerogap.export.from_torch.from_torch``.

    Parameters
    ----------
    model : nn.Module
    input_shape : tuple of int, optional
        Of one input, channels first.
    free : bool
        Whether the biases of the first layer are not decayed.
    samples : (n, ...) array, optional
        Inputs on which the network is compared with the model too.
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", type(model).__name__, "a torch.nn.Module", "pass the model itself")
    with contextlib.suppress(AttributeError):
        model = model._orig_mod  # what torch.compile wraps
    _check_parts(model)
    twin = double(model)
    # A layer by itself would be traced into its inside.
    twin = nn.Sequential(twin) if fx.Tracer().is_leaf_module(twin, "") else twin
    graph, targets = _trace(twin)
    shape = _given(input_shape) if input_shape is not None else _guessed(twin, graph)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((SAMPLES, *shape))
    draft, layers = Draft(sized=input_shape is not None), []
    for layer in _run(twin, graph, inputs):
        layer.extend(draft)
        layers.append(layer)
    network = draft.network(free=free)
    first, last = draft.first, draft.last
    assert first is not None
    assert last is not None
    reading = Reading(
        network,
        targets[first.name],
        targets[last.name],
        shape,
        first.before,
        draft.squeezed,
        ", ".join(layer.name.rpartition("(")[2].rstrip(")") for layer in layers),
        first,
    )
    for compared in (inputs, *([] if samples is None else [samples[:COMPARED]])):
        _compare(reading, twin, compared)
    return reading


def _check_parts(model: nn.Module) -> None:
    """Raise InputError for parts that compute something else than their type says, or whose weights are no numbers."""
    for name, part in model.named_modules():
        label = f"layer {name!r} ({type(part).__name__})" if name else f"model ({type(part).__name__})"
        for key, weight in part.named_parameters(recurse=False):
            if isinstance(weight, nn.UninitializedParameter):
                raise unsupported(label, "weights whose shapes are not known yet", "call the model on data once")
            if weight.is_complex():
                raise unsupported(label, f"complex numbers in {key}", "use real weights")
            if not weight.numel():
                raise unsupported(label, f"an empty {key} of shape {tuple(weight.shape)}", "give it units")
        if part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part):
            remedy = "remove its hooks (handle.remove(), or remove_weight_norm and prune.remove), or write a layer"
            raise unsupported(label, "hooks or a replaced forward, which may change its outputs", remedy)


def double(model: nn.Module) -> nn.Module:
    """A copy of a model for evaluation, in float64 on the processor."""
    try:
        return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
    except (RuntimeError, TypeError, ValueError) as error:
        got = f"{type(model).__name__}, which cannot be copied to float64 ({_brief(error)})"
        raise InputError("model", got, f"a model of the form {SUPPORTED}", "build a fresh one") from error


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, str]]:
    """The graph of the forward pass, and the dotted name of every module by its name in messages."""
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # a forward pass is the user's code
        got = f"{type(model).__name__}, whose forward pass torch.fx cannot follow ({_brief(error)})"
        remedy = "write it as nn.Sequential, or pass it as backbone to zg.train_head"
        raise InputError("model", got, f"a model of the form {SUPPORTED}", remedy) from error
    names = {_name(model, node): str(node.target) for node in graph.nodes if node.op == "call_module"}
    return graph, names


def _name(model: nn.Module, node: fx.Node) -> str:
    if node.op == "call_module":
        return f"layer {str(node.target)!r} ({type(model.get_submodule(str(node.target))).__name__})"
    if node.op == "get_attr":
        return f"attribute {str(node.target)!r}"
    return f"operation {node.name!r} ({getattr(node.target, '__name__', node.target)})"


def _run(model: nn.Module, graph: fx.Graph, inputs: Array) -> Iterator[Layer]:
    """The layers one after the other, without those that do nothing in evaluation."""
    known: dict[fx.Node, Any] = {}
    head: fx.Node | None = None
    used: set[int] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            if head is None:
                known[node], head = torch.tensor(inputs, device="cpu"), node
            elif node.users:
                raise unsupported(f"input {node.target!r}", "a second input of the model", "pass one tensor")
            continue
        args, kwargs = (fx.node.map_arg(part, known.__getitem__) for part in (node.args, node.kwargs))
        if node.op == "output":
            if node.args[0] is not head:
                raise unsupported("output of the model", shown(node.args[0]), "return the outputs of the last layer")
            return
        value = _called(model, node, args, kwargs)
        known[node], name = value, _name(model, node)
        if not isinstance(value, torch.Tensor):
            if node.op == "call_module":
                raise unsupported(name, f"outputs of type {type(value).__name__}, not a tensor")
            continue
        parents = [other for other in node.all_input_nodes if isinstance(known[other], torch.Tensor)]
        if parents != [head] or head is None:
            raise unsupported(name, "a tensor that is not the output of the layer before alone")
        if node.op == "call_module":
            own = {id(parameter) for parameter in model.get_submodule(str(node.target)).parameters()}
            if own & used:
                raise unsupported(name, "weights that an earlier layer uses too", "give every layer weights of its own")
            used |= own
        shapes = tuple(known[head].shape[1:]), tuple(value.shape[1:])
        if value.shape[:1] != inputs.shape[:1]:
            raise unsupported(name, f"a tensor of shape {tuple(value.shape)} for {len(inputs)} samples", "keep samples")
        layer = layer_of(model, node, args, kwargs, name, *shapes)
        if layer is not None:
            yield layer
        head = node


def _called(model: nn.Module, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """What a node returns."""
    try:
        with torch.no_grad():
            if node.op == "call_module":
                return model.get_submodule(str(node.target))(*args, **kwargs)
            if node.op == "call_function":
                return node.target(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            return operator.attrgetter(str(node.target))(model)
    except Exception as error:  # sizes that do not fit, in the user's code
        if node.op == "call_module" and not is_known(model.get_submodule(str(node.target))):
            raise unsupported(_name(model, node), "a layer without a counterpart") from error
        got = f"inputs that it cannot take ({_brief(error)})"
        raise InputError(_name(model, node), got, "inputs of the model's shape", "pass input_shape") from error


def _given(input_shape: Any) -> Shape:
    try:
        shape = tuple(operator.index(size) for size in input_shape)
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InputError("input_shape", shown(input_shape), "the shape of one input", "pass tuple(X.shape[1:])")
    return shape


def _guessed(model: nn.Module, graph: fx.Graph) -> Shape:
    """A shape of inputs that the model takes: the weights tell it, or a few sizes are tried without data."""
    candidates: Iterator[Shape] = iter(())
    for node in graph.nodes:
        module: Any = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Unflatten):
            candidates = iter([(prod(module.unflattened_size),)])
        elif isinstance(module, nn.Linear):
            candidates = iter([(module.in_features,)])
        elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
            axes = len(module.kernel_size)
            sizes = range(1, SIZES[f"Conv{axes}d"])
            candidates = ((module.in_channels, *(size,) * axes) for size in sizes)
            if axes == 2:
                candidates = chain(candidates, ((module.in_channels, *pair) for pair in product(OBLONG, OBLONG)))
        else:
            continue
        break
    model = copy.deepcopy(model).to("meta")
    found: Shape | None = None
    left = MORE
    for shape in candidates:
        if _takes(model, shape):
            found = shape
        left -= found is not None
        if not left:
            break
    if found is None:
        expected = "the shape of one input: the layers of the model do not tell it"
        raise InputError("input_shape", "None", expected, "pass input_shape=tuple(X.shape[1:]), channels first")
    return found


def _takes(model: nn.Module, shape: Shape) -> bool:
    try:
        with torch.no_grad():
            model(torch.empty((SAMPLES, *shape), dtype=torch.float64, device="meta"))
    except Exception:  # whatever the user's code makes of a wrong size
        return False
    return True


def _compare(reading: Reading, model: nn.Module, inputs: Array) -> None:
    """Raise InputError if the network does not compute what the model does."""
    with torch.no_grad():
        theirs = model(torch.tensor(inputs, device="cpu")).numpy()
    ours = reading.network(reading.inputs(inputs)).reshape(theirs.shape)
    scale = max(float(np.abs(theirs).max()), 1e-300)
    off = float(np.abs(ours - theirs).max()) / scale
    if not off <= TOLERANCE:
        got = f"outputs that differ by {off:.1e} from those of its layers"
        expected = "a model that computes what its layers say (no hooks, no changed functions)"
        raise InputError("model", got, expected, "write it as nn.Sequential")


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
