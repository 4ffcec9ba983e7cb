"""Single layers and operations of torch as layers of a chain (``zerogap.export.chain``)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional

from zerogap.export.chain import (
    HEAD,
    Activation,
    Dense,
    Filters,
    Layer,
    Pooling,
    Reshaping,
    Shape,
    Turning,
    unsupported,
)
from zerogap.export.plain import Pool
from zerogap.patches import Geometry

Array = NDArray[np.float64]

NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
"""Layers that do nothing in evaluation."""

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
SHAPES = (nn.Flatten, nn.Unflatten)
REDUCTIONS = {"mean": "average", "sum": "sum", "amax": "max"}
RESHAPES = ("flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "unflatten")
FUNCTIONS: dict[Any, tuple[Any, tuple[str, ...]]] = {
    functional.relu: (nn.ReLU, ("inplace",)),
    torch.relu: (nn.ReLU, ()),
    functional.leaky_relu: (nn.LeakyReLU, ("negative_slope", "inplace")),
    functional.dropout: (nn.Dropout, ("p", "training", "inplace")),
    functional.adaptive_avg_pool1d: (nn.AdaptiveAvgPool1d, ("output_size",)),
    functional.adaptive_avg_pool2d: (nn.AdaptiveAvgPool2d, ("output_size",)),
    functional.adaptive_max_pool1d: (nn.AdaptiveMaxPool1d, ("output_size", "return_indices")),
    functional.adaptive_max_pool2d: (nn.AdaptiveMaxPool2d, ("output_size", "return_indices")),
    functional.lp_pool1d: (nn.LPPool1d, ("norm_type", "kernel_size", "stride", "ceil_mode")),
    functional.lp_pool2d: (nn.LPPool2d, ("norm_type", "kernel_size", "stride", "ceil_mode")),
}
"""Functions of a forward pass with the modules that they are, and the names of their arguments behind the first."""
_AVERAGES = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_MAXIMA = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
for _axes in (1, 2):
    _names = _AVERAGES + (("divisor_override",) if _axes == 2 else ())
    FUNCTIONS[getattr(functional, f"avg_pool{_axes}d")] = (getattr(nn, f"AvgPool{_axes}d"), _names)
    FUNCTIONS[getattr(functional, f"max_pool{_axes}d")] = (getattr(nn, f"MaxPool{_axes}d"), _MAXIMA)
    FUNCTIONS[getattr(torch, f"max_pool{_axes}d")] = (getattr(nn, f"MaxPool{_axes}d"), _MAXIMA)


def is_known(module: nn.Module) -> bool:
    """Whether a layer of this type may have a counterpart."""
    known = (*NOTHING, *WEIGHTED, *SHAPES, nn.ReLU, nn.LeakyReLU, nn.CircularPad1d)
    return type(module) in known or "Pool" in type(module).__name__


def layer_of(
    model: nn.Module, node: fx.Node, args: Any, kwargs: Any, name: str, before: Shape, after: Shape
) -> Layer | None:
    """The layer that a node is, None if it does nothing in evaluation; raises InputError.

    Parameters
    ----------
    model : nn.Module
    node : fx.Node
        A call of one of its modules, of a function or of a method.
    args, kwargs
        What it is called with; the first is the tensor.
    name : str
        For messages.
    before, after : tuple of int
        Shapes of one sample.
    """
    if node.op == "call_module":
        return _of_module(model.get_submodule(str(node.target)), name, before, after)
    if node.op == "call_function" and node.target in FUNCTIONS:
        kind, names = FUNCTIONS[node.target]
        options = dict(zip(names, args[1:], strict=False)) | kwargs
        if options.pop("training", False):
            raise unsupported(name, "a dropout that is active in evaluation", "use nn.Dropout")
        given = {key: value for key, value in options.items() if value is not None}
        return _of_module(kind(**given), name, before, after)
    called = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    if called in ("relu", "relu_"):
        return Activation(name, before, after, 0.0)
    if called in RESHAPES or (called == "getitem" and prod(before) == prod(after)):
        return Reshaping(name, before, after)
    if called in REDUCTIONS:
        return _reduction(str(called), args, kwargs, name, before, after)
    raise unsupported(name, "an operation without a counterpart")


def _of_module(module: nn.Module, name: str, before: Shape, after: Shape) -> Layer | None:
    kind = type(module)
    if torch.nn.utils.parametrize.is_parametrized(module):
        _check_own_weights(module, name)
    if kind in NOTHING:
        return None
    if kind in WEIGHTED:
        _check_own_weights(module, name)
        weight: Array = module.weight.detach().numpy().copy()
        bias: Array | None = None if module.bias is None else module.bias.detach().numpy().copy()
        if kind is nn.Linear:
            return Dense(name, before, after, weight, bias)
        return Filters(name, before, after, weight, bias, _placement(module, name))
    if kind is nn.ReLU:
        return Activation(name, before, after, 0.0)
    if kind is nn.LeakyReLU:
        if not 0.0 <= module.negative_slope < 1.0:
            raise unsupported(name, f"negative_slope {module.negative_slope}", "use a slope from 0 to below 1")
        return Activation(name, before, after, float(module.negative_slope))
    if kind in SHAPES:
        return Reshaping(name, before, after)
    if kind is nn.CircularPad1d:
        if module.padding[0] or len(before) != 2 or before[0] != 1:
            why = f"padding {tuple(module.padding)} of an input of shape {before}"
            raise unsupported(name, why, "pad a series of one channel at its end, by (0, kernel_size - 1)")
        return Turning(name, before, after, int(module.padding[1]))
    pooled = _pooled(module, name, before, after)
    if pooled is None:
        raise unsupported(name, "a layer without a counterpart", _remedy(kind.__name__))
    return pooled


def _check_own_weights(module: nn.Module, name: str) -> None:
    """Raise InputError where decay acts on something else than weight and bias."""
    extra = sorted({key for key, _ in module.named_parameters()} - {"weight", "bias"})
    if extra:
        remedy = "remove the parametrisation, for example by torch.nn.utils.parametrize.remove_parametrizations"
        raise unsupported(name, f"weights computed from {extra}", remedy)


def _remedy(kind: str) -> str:
    if "Norm" in kind:
        return f"fold it into the layer in front of it, or {HEAD}"
    if "Softmax" in kind or kind in ("Sigmoid", "LogSigmoid"):
        return "at the end of a model leave it out: CrossEntropyLoss and BCEWithLogitsLoss contain it"
    return HEAD


def _placement(module: Any, name: str) -> Geometry:
    if module.groups != 1 or module.padding_mode != "zeros":
        got = f"groups={module.groups}, padding_mode={module.padding_mode!r}"
        raise unsupported(name, got, "use groups=1 and padding with zeros")
    padding = module.padding
    if isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if padding == "same" and any(total % 2 for total in reach):
            raise unsupported(name, "padding='same' that differs on both sides", "use an odd kernel_size")
        padding = tuple(total // 2 if padding == "same" else 0 for total in reach)
    return Geometry(tuple(module.kernel_size), tuple(module.stride), tuple(padding), tuple(module.dilation))


def _pooled(module: Any, name: str, before: Shape, after: Shape) -> Pooling | None:
    """A pooling over windows side by side; None for modules that are no pooling."""
    kind, grid = type(module).__name__, before[1:]
    if not grid or "Pool" not in kind or kind[-2:] not in ("1d", "2d") or "Fractional" in kind or "Unpool" in kind:
        return None
    if kind.startswith("Adaptive"):
        if any(size % count for size, count in zip(grid, after[1:], strict=True)):
            raise unsupported(name, f"windows that overlap: {grid} positions to {after[1:]}", "use windows of one size")
        window: Shape = tuple(size // count for size, count in zip(grid, after[1:], strict=True))
        # An output of size 1 covers all positions of inputs of any size.
        if set(after[1:]) == {1}:
            return Pooling(name, before, after, Pool("max" if "Max" in kind else "average", None))
        return Pooling(name, before, after, Pool("max" if "Max" in kind else "average", window), adaptive=True)
    window = _tuple(module.kernel_size, len(grid))
    stride = window if module.stride is None else _tuple(module.stride, len(grid))
    padding = _tuple(getattr(module, "padding", 0), len(grid))
    spread = _tuple(getattr(module, "dilation", 1), len(grid))
    fits = after[1:] == tuple(size // span for size, span in zip(grid, window, strict=True))
    # On another grid than this one, which may be guessed, rounding up would add windows.
    ceil = bool(getattr(module, "ceil_mode", False)) and window != grid
    if any(padding) or set(spread) != {1} or not fits or ceil or (stride != window and window != grid):
        got = f"kernel_size {window}, stride {stride}, padding {padding}, dilation {spread} on {grid} positions"
        got += ", ceil_mode=True" if ceil else ""
        raise unsupported(name, got, "use windows side by side: stride = kernel_size, no padding, ceil_mode=False")
    if kind.startswith("LP"):
        if module.norm_type != 1:
            raise unsupported(name, f"norm_type {module.norm_type}", "use norm_type 1, which is a sum")
        return Pooling(name, before, after, Pool("sum", window))
    if kind.startswith("Max"):
        return Pooling(name, before, after, Pool("max", window))
    divisor = getattr(module, "divisor_override", None) or prod(window)
    if divisor not in (1, prod(window)):
        raise unsupported(name, f"divisor_override {divisor}", "use 1, which is a sum, or None")
    return Pooling(name, before, after, Pool("sum" if divisor == 1 else "average", window))


def _reduction(called: str, args: Any, kwargs: Any, name: str, before: Shape, after: Shape) -> Pooling:
    """x.mean((2, 3)) and its like: all positions."""
    axes = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    everything = {axis % (len(before) + 1) for axis in _tuple(axes, 1)} if axes is not None else set()
    if len(before) < 2 or everything != set(range(2, len(before) + 1)):
        raise unsupported(name, f"a reduction over the axes {axes} of {len(before) + 1}", "reduce all spatial axes")
    return Pooling(name, before, after, Pool(REDUCTIONS[called], None))


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
