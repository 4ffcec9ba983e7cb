"""Two-layer convolutional networks with global pooling (P0, architecture A)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from zerogap.architectures.base import Array, TwoLayer
from zerogap.errors import InputError
from zerogap.patches import Geometry, extract_patches, per_axis
from zerogap.validation import finite_array, one_of


@dataclass(frozen=True, repr=False)
class CNN(TwoLayer):
    """f(x) = sum_j w_j pool_k (x_k . u_j + b_j)_+ over all filter positions k.

    Inputs are images (n, height, width), images with channels (n, height, width, channels), or series
    (n, length). Series with channels (n, length, channels) need a kernel size of one entry, ``(5,)``.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of int
        As in any convolution, per spatial axis; padding is with zeros.
    pooling : "sum" or "average"
        Over all positions. Average pooling with beta equals sum pooling with K beta.

    The other parameters are those of ``TwoLayer``.
    """

    kernel_size: int | tuple[int, ...] = 3
    _: KW_ONLY
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    pooling: str = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("pooling", self.pooling, ("sum", "average"))
        # Lists, as read back from JSON, become tuples so that the architecture stays hashable.
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
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

    def raw_rows(self, X: Any) -> tuple[Array, float]:
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
                f"X of a CNN with kernel_size={self.kernel_size}",
                f"shape {array.shape}",
                "images (n, h, w) or (n, h, w, channels), or series (n, length)",
                "reshape X, for example X.reshape(-1, 8, 8), or give kernel_size one entry per spatial axis",
            )
        patches = extract_patches(array, self.geometry(axes))
        return patches, 1.0 if self.pooling == "sum" else 1.0 / patches.shape[1]
