r"""A network as the layers that every deep-learning library has, in arrays with channels first.

    f(x) = second . flat( pools( act( first * x + bias ) ) ) + constant,

where first * x is a matrix product or a convolution. A filter u of ours is a flat patch (kernel axes, then channels),
an output weight w_jqc belongs to neuron j, position or window q and output c. Here filters are (m, channels, kernel
axes), and ``flat`` puts the neuron before the position, so that second is (C, m a) with column j a + q. No weight is
scaled or merged: decay costs the same on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import CNN, MLP, Architecture, CircularCNN, LinearCNN, ThreeLayerCNN
from zerogap.errors import InputError
from zerogap.network import Network
from zerogap.patches import Geometry, per_axis
from zerogap.rows import Rows
from zerogap.validation import shown

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Sums, averages or maxima over windows side by side.

    Parameters
    ----------
    kind : "sum", "average" or "max"
    window : tuple of int, or None
        Positions along each axis; None is all that there are.
    """

    kind: str
    window: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Plain:
    """See the module docstring.

    Parameters
    ----------
    first : (m, d), or (m, channels, kernel axes) float64
    bias : (m,) float64 or None
    placement : Geometry or None
        Of a convolution.
    turns : bool
        Whether the convolution is circular: its input, a vector, goes on with its own first entries.
    slope : float or None
        Of the activation max(t, slope t); None for no activation.
    pools : tuple of Pool
        One after the other; a second one is a sum of all windows.
    second : (C, m a) float64
    constant : (C,) float64 or None
    grid : tuple of int
        Filter positions along each axis; empty where no shape of the inputs was given.
    """

    first: Array
    bias: Array | None
    second: Array
    constant: Array | None
    slope: float | None
    placement: Geometry | None = None
    turns: bool = False
    pools: tuple[Pool, ...] = ()
    grid: tuple[int, ...] = ()

    @property
    def axes(self) -> int:
        """Spatial axes of the inputs."""
        return 0 if self.placement is None else len(self.placement.kernel)

    def after_scaling(self, mean: Array, scale: Array) -> Plain:
        """The layers for raw inputs x, where these are for (x - mean) / scale; both (d,), or (channels,).

        Exact but for rounding; zeros that a padding adds would be scaled too, so there must be none.
        """
        each = (1, -1, *[1] * (self.first.ndim - 2))
        first = self.first / scale.reshape(each)
        shift = (first * mean.reshape(each)).reshape(len(first), -1).sum(axis=1)
        return replace(self, first=first, bias=-shift if self.bias is None else self.bias - shift)

    def spans(self) -> tuple[tuple[Pool, tuple[int, ...]], ...]:
        """The pools, each with the positions that it finds; raises InputError if no shape of the inputs is known."""
        if not self.grid:
            raise InputError(
                "input_shape", "None", "the shape of one input: a sum over all positions has to count them",
                "pass input_shape=X.shape[1:]",
            )  # fmt: skip
        found, grid = [], self.grid
        for pool in self.pools:
            found.append((pool, grid))
            window = pool.window or grid
            grid = tuple(size // span for size, span in zip(grid, window, strict=True))
        return tuple(found)


def plain_layers(network: Network, input_shape: Any = None) -> Plain:
    """The plain layers of a network.

    Parameters
    ----------
    network : Network
    input_shape : tuple of int, optional
        X.shape[1:] for inputs X of the network.

    Raises
    ------
    InputError
        If no plain layers compute its outputs, or the shape is not one of its inputs.
    """
    if not isinstance(network, Network):
        raise InputError("network", type(network).__name__, "a zg.Network", "convert torch models with zg.from_torch")
    check_plain(network.architecture)
    grid = None if input_shape is None else _grid(network, input_shape)
    return _plain(network.architecture, awake(network, input_shape), grid)


def check_plain(architecture: Architecture) -> None:
    """Raise InputError for an architecture whose outputs no plain layers compute."""
    reason = None
    if architecture.gated:
        reason = "fixed gates decide what passes, and no plain layer multiplies by the pattern of another one"
    elif isinstance(architecture, ThreeLayerCNN):
        reason = "every neuron has filters of its own in front of two ReLUs, which is no chain of plain layers"
    if reason is not None:
        raise InputError(
            "architecture", f"{architecture!r}", f"a two-layer ReLU or linear network: here {reason}",
            "save it with Network.save, or train zg.MLP(), zg.CNN(...), zg.LinearCNN(...) or zg.CircularCNN(...)",
        )  # fmt: skip


def awake(network: Network, input_shape: Any = None) -> Network:
    """The network, or one neuron of zeros in the place of none: libraries have no layers without units."""
    if network.width:
        return network
    architecture, biased = network.architecture, network.architecture.bias is not False
    entries, slots, filters = network.first.shape[1], network.readout.shape[1], None
    told = entries > 0 and (network.second.ndim > 1 or not architecture.slotted)
    if input_shape is None and architecture.flat and told:
        input_shape = (slots if architecture.slotted else entries - biased,)
    if input_shape is not None:
        features = architecture.features(input_rows(network, input_shape))
        told, entries, slots = True, features.dimension - features.filters, features.outputs
        filters = np.ones((1, *features.filter_shape)) if features.filters else None
    if not told:
        expected = "the shape of one input: a network without neurons does not tell it"
        raise InputError("input_shape", "None", expected, "pass input_shape=X.shape[1:]")
    shape = [1, *([slots] if architecture.slotted else []), *([] if network.targets is None else [network.targets])]
    return Network(architecture, np.zeros((1, entries)), np.zeros(shape), filters=filters, offset=network.offset)


def input_rows(network: Network, input_shape: Any) -> Rows:
    """The rows of one input of that shape, all zeros; raises InputError."""
    try:
        shape = tuple(int(size) for size in input_shape)
        inputs = np.zeros((1, *shape))
    except (TypeError, ValueError) as error:
        raise InputError("input_shape", shown(input_shape), "a tuple of integers", "pass X.shape[1:]") from error
    return network.architecture.rows(inputs)


def _grid(network: Network, input_shape: Any) -> tuple[int, ...]:
    """The filter positions in inputs of that shape, which must fit the network."""
    rows = input_rows(network, input_shape)
    network.on(rows)
    return tuple(rows.grid)


@singledispatch
def _plain(architecture: Architecture, network: Network, grid: tuple[int, ...] | None) -> Plain:
    raise InputError("architecture", repr(architecture), "one with plain layers", "save it with Network.save")


@_plain.register
def _(architecture: MLP, network: Network, grid: tuple[int, ...] | None) -> Plain:
    first, bias = _without_bias(network)
    return Plain(first, bias, _second(network), _constant(network), architecture.slope)


@_plain.register(CNN)
@_plain.register(LinearCNN)
def _(architecture: Any, network: Network, grid: tuple[int, ...] | None) -> Plain:
    flat, bias = _without_bias(network)
    axes = _axes(architecture, flat.shape[1]) if grid is None else len(grid)
    placement = architecture.geometry(axes)
    filters = np.moveaxis(flat.reshape(len(flat), *placement.kernel, -1), -1, 1)
    window = None if architecture.window is None else per_axis("window", architecture.window, axes, 1)
    pools = [] if architecture.pooling == "none" else [Pool(architecture.pooling, window)]
    if architecture.readout == "sum":
        pools.append(Pool("sum", None))
    slope = None if architecture.linear else architecture.slope
    return Plain(
        np.ascontiguousarray(filters),
        bias,
        _second(network),
        _constant(network),
        slope,
        placement,
        pools=tuple(pools),
        grid=grid or (),
    )


@_plain.register
def _(architecture: CircularCNN, network: Network, grid: tuple[int, ...] | None) -> Plain:
    flat, bias = _without_bias(network)
    if architecture.depth > 2:
        # All linear layers before the ReLU multiply to one matrix.
        composite = architecture.kernels(network.first, network.second, network.filters)
        return Plain(composite, bias, _second(network), _constant(network), 0.0)
    placement = Geometry((flat.shape[1],), (1,), (0,), (1,))
    return Plain(flat[:, None], bias, _second(network), _constant(network), None, placement, turns=True)


def _without_bias(network: Network) -> tuple[Array, Array | None]:
    """First-layer weights and biases."""
    if network.architecture.bias is False:
        return network.first, None
    return np.ascontiguousarray(network.first[:, :-1]), np.ascontiguousarray(network.first[:, -1])


def _second(network: Network) -> Array:
    """(C, m a): neuron before position."""
    readout = network.readout if network.targets is not None else network.readout[..., None]
    return np.ascontiguousarray(readout.transpose(2, 0, 1).reshape(readout.shape[2], -1))


def _constant(network: Network) -> Array | None:
    return np.atleast_1d(np.asarray(network.offset, dtype=np.float64)) if network.architecture.offset else None


def _axes(architecture: Any, entries: int) -> int:
    """Spatial axes of the inputs, as the sizes of the filters tell them; raises InputError where they do not."""
    sizes = (architecture.kernel_size, architecture.stride, architecture.padding, architecture.dilation)
    told = {len(size) for size in (*sizes, architecture.window) if isinstance(size, tuple)}
    if told:
        return max(told)
    kernel = architecture.kernel_size
    if kernel == 1 and entries == 1:
        expected = "the shape of one input: filters of one entry fit series and images"
        raise InputError("input_shape", "None", expected, "pass input_shape=X.shape[1:]")
    # A series has one channel here, an image kernel^2 entries or a multiple.
    return 1 if entries == kernel else 2
