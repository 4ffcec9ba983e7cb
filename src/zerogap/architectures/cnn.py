"""Two-layer convolutional networks (P0, architectures A to C)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures.base import TwoLayer
from zerogap.architectures.convolution import Convolution, check_pooling, windows
from zerogap.errors import InputError
from zerogap.features.pooled import PooledFeatures
from zerogap.rows import Rows


@dataclass(frozen=True, repr=False)
class CNN(Convolution, TwoLayer):
    """f(x) = sum_j w_j . pool act(x_k . u_j + b_j), filters at all positions k.

    Inputs are those of ``Convolution``.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of int
    pooling : "sum", "average", "max" or "none"
        Over all positions, or over each window. "none" gives every position an output weight of its own. Average
        pooling over all positions with beta equals sum pooling with K beta.
    window : int or tuple of int, optional
        Pool over windows of this size, side by side; positions that do not fill a window are left out.
    readout : "weights" or "sum"
        What follows windows: an output weight for every window, or one for their sum.

    The other parameters are those of ``TwoLayer``.
    """

    _: KW_ONLY
    pooling: str = "sum"
    window: int | tuple[int, ...] | None = None
    readout: str = "weights"

    def __post_init__(self) -> None:
        self.check_geometry()
        check_pooling(self, ("sum", "average", "max", "none"))
        super().__post_init__()
        if self.gated and self.pooling == "max":
            expected = "pooling 'sum', 'average' or 'none': a gate says which rows pass, not which one is largest"
            raise InputError("gated", "True with pooling='max'", expected, "leave out gated")

    @property
    def cellular(self) -> bool:
        return super().cellular and self.pooling in ("sum", "average") and self.window is None

    @property
    def slotted(self) -> bool:
        return self.pooling == "none" or (self.window is not None and self.readout == "weights")

    def plain_rows(self, X: Any) -> Rows:
        rows = self.patches(X)
        return replace(rows, scale=1.0 / self._windows(rows).shape[1]) if self.pooling == "average" else rows

    def features(self, rows: Rows) -> PooledFeatures:
        largest, summed = self.pooling == "max", self.readout == "sum"
        return PooledFeatures(rows, self.free, self._windows(rows), largest=largest, summed=summed, slope=self.slope)

    def _windows(self, rows: Rows) -> NDArray[np.intp]:
        return windows(rows, self.pooling, self.window)
