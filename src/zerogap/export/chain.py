r"""A chain of layers as a network: the inverse of ``zerogap.export.plain``.

The layers of a model are applied, one after the other, to a draft of the network that they are:

    vector or image -> Dense or Filters -> Activation, Pooling -> (flattened) -> Dense -> outputs,

where maxima may also come before the activation, since both are increasing. No weight is scaled or merged, so that
weight decay has the same value on both sides; whatever else a chain holds is refused by the name of the layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import CNN, MLP, CircularCNN, LinearCNN
from zerogap.architectures.base import Architecture, Bias
from zerogap.errors import InputError
from zerogap.export.plain import Pool
from zerogap.network import Network
from zerogap.patches import Geometry

Array = NDArray[np.float64]
Shape = tuple[int, ...]

SUPPORTED = (
    "Linear, ReLU or LeakyReLU, Linear; or Conv1d or Conv2d, then such an activation or none, then at most one "
    "pooling (max, average or sum), Flatten, Linear"
)
HEAD = "cut the model before it, and train what follows with zg.train_head(backbone, X, y, ...)"


def unsupported(name: str, why: str, remedy: str = HEAD) -> InputError:
    """The error for a layer that no network of ours has at its place."""
    return InputError(name, why, f"a model of the form {SUPPORTED}", remedy)


@dataclass(eq=False)
class Draft:
    """The network so far.

    Parameters
    ----------
    sized : bool
        Whether the user said how large inputs are; then a window that covers all positions is no window.
    """

    sized: bool
    first: Dense | Filters | None = None
    turn: int | None = None
    slope: float | None = None
    pools: list[Pool] = field(default_factory=list)
    last: Dense | None = None
    squeezed: bool = False

    def network(self, *, free: bool) -> Network:
        """The finished network; `free` says that the biases of its first layer are not decayed."""
        if self.first is None or self.last is None:
            found = "no Linear or Conv layer" if self.first is None else "no Linear layer after the first one"
            raise unsupported("model", found, "add a last Linear layer (training one layer alone is convex)")
        return self.first.network(self, self.last, free=free)

    def bias(self, *, free: bool) -> Bias:
        """The option of that name."""
        if self.first is None or self.first.bias is None:
            return False
        return "free" if free else True


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """A layer of a chain.

    Parameters
    ----------
    name : str
        Where it stands in the model, and its type.
    before, after : tuple of int
        Shapes of one sample in front of and behind it, channels first.
    """

    name: str
    before: Shape
    after: Shape

    @abstractmethod
    def extend(self, draft: Draft) -> None:
        """Add the layer to the draft; raises InputError if its place is not one of ours."""


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """x -> weight x + bias, (out, in) and (out,)."""

    weight: Array
    bias: Array | None

    def extend(self, draft: Draft) -> None:
        if len(self.before) != 1:
            raise unsupported(self.name, f"inputs of shape {self.before}", "put a Flatten in front of it")
        if draft.turn is not None and draft.first is None:
            raise unsupported(self.name, "a Linear layer behind a circular padding", "leave the padding out")
        if draft.first is None:
            draft.first = self
            return
        if draft.last is not None:
            raise unsupported(self.name, "a third layer with weights")
        if draft.slope is None and not draft.first.spatial:
            raise unsupported(self.name, "no activation between two Linear layers", "put a ReLU between them")
        draft.last = self

    @property
    def spatial(self) -> bool:
        """Whether its outputs have positions."""
        return False

    def network(self, draft: Draft, last: Dense, *, free: bool) -> Network:
        """The MLP that begins with this layer."""
        bias = draft.bias(free=free)
        architecture = MLP(bias=bias, intercept=last.bias is not None and bias != "free", slope=draft.slope or 0.0)
        return last.closed(architecture, self.weight, self.bias)

    def closed(self, architecture: Architecture, flat: Array, bias: Array | None) -> Network:
        """The network that ends with this layer; flat (m, p) and bias (m,) are those of its first one."""
        width, outputs = len(flat), len(self.weight)
        second = self.weight.reshape(outputs, width, -1).transpose(1, 2, 0)  # (m, a, C)
        second = second if architecture.slotted else second[:, 0]
        constant = np.zeros(outputs) if self.bias is None else self.bias
        return Network(
            architecture,
            flat if bias is None else np.column_stack([flat, bias]),
            second[..., 0] if outputs == 1 else second,
            offset=float(constant[0]) if outputs == 1 else constant,
        )

    def inputs(self, X: Array) -> Array:
        """Inputs of our network, of those of this layer."""
        return X


@dataclass(frozen=True, eq=False)
class Filters(Layer):
    """A convolution: weight (m, channels, kernel axes), bias (m,)."""

    weight: Array
    bias: Array | None
    placement: Geometry

    @property
    def spatial(self) -> bool:
        return True

    def extend(self, draft: Draft) -> None:
        if draft.first is not None:
            raise unsupported(self.name, "a convolution after another layer with weights")
        if draft.turn is not None and not self._turns(draft.turn):
            why = f"{self.weight.shape[1]} channels and kernel {self.placement.kernel} behind a circular padding"
            raise unsupported(self.name, why, "pad by (0, kernel_size - 1) for one channel, stride and dilation 1")
        draft.first = self

    def _turns(self, amount: int) -> bool:
        length = (self.before[1] - amount,)
        plain = Geometry((amount + 1,), (1,), (0,), (1,))
        return self.weight.shape[1] == 1 and self.placement == plain and length == self.after[1:]

    def network(self, draft: Draft, last: Dense, *, free: bool) -> Network:
        """The network of convolutions that begins with this layer."""
        architecture = self._architecture(draft, intercept=last.bias is not None, bias=draft.bias(free=free))
        # Patches have their channels last.
        return last.closed(architecture, np.moveaxis(self.weight, 1, -1).reshape(len(self.weight), -1), self.bias)

    def _architecture(self, draft: Draft, *, intercept: bool, bias: Bias) -> Architecture:
        intercept = intercept and bias != "free"
        if draft.turn is not None:
            if draft.slope is not None or draft.pools:
                raise unsupported(self.name, "an activation or pooling after a circular convolution", "leave it out")
            entries = None if draft.turn + 1 == self.after[1] else draft.turn + 1
            return CircularCNN(depth=2, kernel_size=entries, bias=bias, intercept=intercept)
        sizes = {name: _shortest(getattr(self.placement, name)) for name in ("stride", "padding", "dilation")}
        kernel = self.placement.kernel
        # One entry in a tuple takes series with and without an axis of channels.
        size = kernel if len(kernel) == 1 else _shortest(kernel)
        pooling = "sum" if prod(self.after[1:]) == 1 else "none"
        window, readout = None, "weights"
        if draft.pools:
            pooling, window = draft.pools[0].kind, draft.pools[0].window
            readout = "sum" if len(draft.pools) == 2 else "weights"
        options: dict[str, Any] = {
            "pooling": pooling,
            "window": None if window is None else _shortest(window),
            "readout": readout,
        }
        options |= {"bias": bias, "intercept": intercept, **sizes}
        if draft.slope is not None:
            return CNN(size, slope=draft.slope, **options)
        if pooling == "max":
            raise unsupported(self.name, "a maximum without an activation", "put a ReLU behind the convolution")
        return LinearCNN(size, **options)

    def inputs(self, X: Array) -> Array:
        """Inputs of our network, of those of this layer: channels last."""
        return np.ascontiguousarray(np.moveaxis(X, 1, -1))


@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """max(t, slope t)."""

    slope: float

    def extend(self, draft: Draft) -> None:
        if draft.first is None or draft.last is not None:
            if draft.first is None:
                raise unsupported(self.name, "an activation of the inputs", "apply it to the data")
            remedy = f"at the end of a model leave it out, since the loss contains it; in a deeper one {HEAD}"
            raise unsupported(self.name, "an activation after the second layer with weights", remedy)
        if draft.slope is not None:
            raise unsupported(self.name, "a second activation after the same layer", "leave one of them out")
        if any(pool.kind != "max" for pool in draft.pools):
            raise unsupported(self.name, "an activation after a sum or average", "put it before the pooling")
        draft.slope = self.slope


@dataclass(frozen=True, eq=False)
class Pooling(Layer):
    """Windows side by side, or all positions; `adaptive` says that their size follows that of the inputs."""

    pool: Pool
    adaptive: bool = False

    def extend(self, draft: Draft) -> None:
        if draft.first is None or draft.last is not None or not draft.first.spatial:
            raise unsupported(self.name, "a pooling that does not follow the convolution", "leave it out")
        window = self.pool.window
        if self.adaptive and window is not None and not draft.sized:
            expected = "the shape of one input: the size of these windows follows from it"
            raise InputError("input_shape", f"None, for {self.name}", expected, "pass input_shape=tuple(X.shape[1:])")
        if window is not None and all(span == 1 for span in window):
            return
        if draft.sized and window == self.before[1:]:
            window = None
        first = draft.pools[0] if draft.pools else None
        if first is None:
            draft.pools.append(Pool(self.pool.kind, window))
            return
        everything = window is None or window == self.before[1:]
        if len(draft.pools) == 2 or first.window is None or self.pool.kind != "sum" or not everything:
            remedy = "keep one pooling; if it is a sum of all windows, pass input_shape"
            raise unsupported(self.name, "a second pooling, other than a sum of all windows", remedy)
        draft.pools.append(Pool("sum", None))


@dataclass(frozen=True, eq=False)
class Reshaping(Layer):
    """The same entries in the same order."""

    def extend(self, draft: Draft) -> None:
        if prod(self.before) != prod(self.after):
            raise unsupported(self.name, f"samples of shape {self.before} that become {self.after}", "use nn.Flatten()")
        if draft.last is not None:
            if self.before == (1,) and self.after == ():
                draft.squeezed = True
            elif self.before != self.after:
                raise unsupported(self.name, f"outputs of shape {self.before} that become {self.after}", "leave it out")
        elif draft.first is not None and self.after not in ((prod(self.before),), self.before):
            raise unsupported(
                self.name, f"features of shape {self.before} that become {self.after}", "use nn.Flatten()"
            )


@dataclass(frozen=True, eq=False)
class Turning(Layer):
    """Circular padding behind the end of a series."""

    amount: int

    def extend(self, draft: Draft) -> None:
        if draft.first is not None or draft.turn is not None:
            raise unsupported(self.name, "a circular padding that is not in front of the first layer", "leave it out")
        draft.turn = self.amount


def _shortest(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(set(sizes)) == 1 else sizes
