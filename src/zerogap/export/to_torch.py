"""to_torch: a network as a plain nn.Sequential."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.export.extras import needed_torch
from zerogap.export.plain import Plain, Pool, plain_layers
from zerogap.network import Network
from zerogap.validation import shown

Array = NDArray[np.float64]


def to_torch(network: Network, *, input_shape: Any = None, dtype: Any = None) -> Any:
    """A network as an ``nn.Sequential`` of plain layers: Linear, Conv, ReLU or LeakyReLU, pooling, Flatten, Linear.

    Parameters
    ----------
    network : Network
        An MLP, a CNN or LinearCNN of any pooling, or a CircularCNN; not gated, nor of three layers.
    input_shape : tuple of int, optional
        X.shape[1:] for inputs X of the network, channels last. Needed only where a sum over all positions has to
        count them, where a kernel_size of 1 leaves open whether inputs are series or images, and for networks
        of convolutions without neurons; else it is checked.
    dtype : torch.dtype, optional
        Default torch.float32.

    Returns
    -------
    torch.nn.Sequential
        Its inputs have the layout of torch: (n, d) for MLPs and circular networks, else channels first, (n, channels,
        length) or (n, channels, height, width), also for a single channel. Its outputs are (n, C), with C = 1 for a
        network of one output. Up to rounding they are those of the network. The weights are those of the
        network one by one, so that weight decay has the same value; a CircularCNN of three or more layers becomes
        Linear, ReLU, Linear, with the product of its linear layers. A network without neurons gets one of zeros.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    InputError
        If there are no such layers, the shape does not fit, or a weight is too large for the type.
    """
    torch = needed_torch()
    return sequential(plain_layers(network, input_shape), torch.float32 if dtype is None else dtype)


def sequential(plain: Plain, dtype: Any) -> Any:
    """Plain layers as an ``nn.Sequential``; raises InputError if the type cannot hold a weight."""
    torch = needed_torch()
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError("dtype", shown(dtype), "a floating-point type of torch", "pass dtype=torch.float64")
    nn = torch.nn
    linear, filters = _Filled(torch, dtype, nn.Linear), _Filled(torch, dtype, getattr(nn, f"Conv{plain.axes or 1}d"))
    layers = []
    if plain.turns:
        layers += [nn.Unflatten(1, (1, plain.second.shape[1] // len(plain.first)))]
        layers += [nn.CircularPad1d((0, plain.first.shape[2] - 1))]
    if plain.placement is None:
        layers.append(linear(plain.first, plain.bias))
    else:
        sizes = {name: getattr(plain.placement, name) for name in ("stride", "padding", "dilation")}
        layers.append(filters(plain.first, plain.bias, kernel_size=plain.placement.kernel, **sizes))
    if plain.slope is not None:
        layers.append(nn.LeakyReLU(plain.slope) if plain.slope else nn.ReLU())
    layers += _pools(nn, plain)
    if plain.placement is not None:
        layers.append(nn.Flatten())
    return nn.Sequential(*layers, linear(plain.second, plain.constant))


class _Filled:
    """Layers of one kind, made without random numbers: those of the user's generator stay where they are."""

    def __init__(self, torch: Any, dtype: Any, kind: Any) -> None:
        self._torch, self._dtype, self._kind = torch, dtype, kind

    def __call__(self, weight: Array, bias: Array | None, **options: Any) -> Any:
        torch, sizes = self._torch, (weight.shape[1], weight.shape[0])
        options |= {"bias": bias is not None, "dtype": self._dtype}
        layer = torch.nn.utils.skip_init(self._kind, *sizes, **options)
        with torch.no_grad():
            for name, values in (("weight", weight), ("bias", bias)):
                if values is None:
                    continue
                parameter = getattr(layer, name)
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))
                if not torch.isfinite(parameter).all():
                    got = f"a weight of magnitude {np.abs(values).max():.3g}"
                    raise InputError("dtype", got, f"weights that {self._dtype} holds", "pass dtype=torch.float64")
        return layer


def _pools(nn: Any, plain: Plain) -> list[Any]:
    """Sums are averages with the divisor 1; in one dimension, norms of exponent 1, which torch forms without |.|."""
    axes = plain.axes
    if any(pool.kind == "sum" and pool.window is None for pool in plain.pools):
        return [_summed(nn, axes, pool, grid) for pool, grid in plain.spans()]
    return [_summed(nn, axes, pool, ()) for pool in plain.pools]


def _summed(nn: Any, axes: int, pool: Pool, grid: tuple[int, ...]) -> Any:
    if pool.kind == "sum":
        window = pool.window or grid
        return nn.LPPool1d(1, window[0]) if axes == 1 else nn.AvgPool2d(window, divisor_override=1)
    name = {"average": "Avg", "max": "Max"}[pool.kind]
    if pool.window is None:
        return getattr(nn, f"Adaptive{name}Pool{axes}d")(1)
    return getattr(nn, f"{name}Pool{axes}d")(pool.window)
