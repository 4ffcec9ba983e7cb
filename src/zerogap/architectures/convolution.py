"""What all convolutional architectures share: where their filters are placed (P0, data layout)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.patches import Geometry, extract_patches, per_axis, tiles
from zerogap.rows import Rows
from zerogap.validation import finite_array, one_of

Size = int | tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Convolution:
    """Filter geometry, per spatial axis, as in any convolution; padding is with zeros.

    Inputs are images (n, height, width), images with channels (n, height, width, channels), or series
    (n, length). Series with channels (n, length, channels) need a kernel size of one entry, ``(5,)``.
    """

    kernel_size: Size = 3
    _: KW_ONLY
    stride: Size = 1
    padding: Size = 0
    dilation: Size = 1

    def check_geometry(self) -> None:
        """Raise InputError for sizes that no input could have."""
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            self.check_size(name, least)

    def check_size(self, name: str, least: int) -> None:
        """Check one size; lists, as read back from JSON, become tuples so that the architecture stays hashable."""
        value = getattr(self, name)
        if isinstance(value, list):
            object.__setattr__(self, name, tuple(value))
        axes = len(value) if isinstance(value, (list, tuple)) else 1
        if axes not in (1, 2):
            raise InputError(name, repr(value), "an integer or one or two integers", f"pass for example {name}=3")
        per_axis(name, value, axes, least)

    def geometry(self, axes: int) -> Geometry:
        """Sizes per spatial axis for inputs with that many."""
        return Geometry(
            per_axis("kernel_size", self.kernel_size, axes, 1),
            per_axis("stride", self.stride, axes, 1),
            per_axis("padding", self.padding, axes, 0),
            per_axis("dilation", self.dilation, axes, 1),
        )

    def patches(self, X: Any) -> Rows:
        """The patches of all inputs, with the grid of their positions."""
        array = finite_array("X", X)
        one_axis = isinstance(self.kernel_size, tuple) and len(self.kernel_size) == 1
        two_axes = isinstance(self.kernel_size, tuple) and len(self.kernel_size) == 2
        if array.ndim == 2 and not two_axes:
            axes, array = 1, array[:, :, None]
        elif array.ndim == 3 and one_axis:
            axes = 1
        elif array.ndim == 3:
            axes, array = 2, array[:, :, :, None]
        elif array.ndim == 4 and not one_axis:
            axes = 2
        else:
            raise InputError(
                f"X of a {type(self).__name__} with kernel_size={self.kernel_size}",
                f"shape {array.shape}",
                "images (n, h, w) or (n, h, w, channels), or series (n, length)",
                "reshape X, for example X.reshape(-1, 8, 8), or give kernel_size one entry per spatial axis",
            )
        geometry = self.geometry(axes)
        return Rows(extract_patches(array, geometry), grid=geometry.positions(array.shape[1 : 1 + axes]))


def windows(rows: Rows, pooling: str, window: Size | None) -> NDArray[np.intp]:
    """The positions of every window that is pooled, (Q, r): of that size, each position alone, or all together."""
    positions = np.arange(rows.matrix.shape[1])
    if window is not None:
        return tiles(rows.grid, per_axis("window", window, len(rows.grid), 1))
    return positions[:, None] if pooling == "none" else positions[None]


def check_pooling(architecture: Any, poolings: tuple[str, ...]) -> None:
    """Raise InputError for a pooling, window or readout that is unknown, or that contradicts the others."""
    one_of("pooling", architecture.pooling, poolings)
    one_of("readout", architecture.readout, ("weights", "sum"))
    window = architecture.window
    if window is not None:
        architecture.check_size("window", 1)
        if architecture.pooling == "none":
            raise InputError("window", f"{window} with pooling='none'", "None", "pass pooling='sum', for example")
    elif architecture.readout == "sum":
        raise InputError("readout", "'sum' without a window", "'weights'", "pass a window, for example window=2")
