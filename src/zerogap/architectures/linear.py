"""Linear convolutional networks (P0, architecture D)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from zerogap.architectures.base import Architecture
from zerogap.architectures.convolution import Convolution, check_pooling, windows
from zerogap.errors import InputError
from zerogap.features.linear import LinearFeatures
from zerogap.pieces import Choose, Pieces
from zerogap.rows import Rows


@dataclass(frozen=True, repr=False)
class LinearCNN(Convolution, Architecture):
    """f(x) = sum_j w_j . pool (x_k . u_j + b_j), filters at all positions k and no activation.

    Inputs are those of ``Convolution``. Training is a convex program over the matrix Z = sum_j u_j w_j', penalised by
    the sum of its singular values (P0, linear convolutions); with one output weight per filter that is ||z||.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of int
    pooling : "none", "sum" or "average"
        Over all positions, or over each window. "none" gives every position an output weight of its own.
    window : int or tuple of int, optional
        Pool over windows of this size, side by side; positions that do not fill a window are left out.
    readout : "weights" or "sum"
        What follows windows: an output weight for every window, or one for their sum.
    bias : True, False or "free"
        As in ``Architecture``. A free bias only moves the output by a constant, which becomes the network's offset.

    Raises
    ------
    InputError
        If an option has an unknown value, or contradicts another one.
    """

    _: KW_ONLY
    pooling: str = "none"
    window: int | tuple[int, ...] | None = None
    readout: str = "weights"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_geometry()
        check_pooling(self, ("none", "sum", "average"))

    @property
    def linear(self) -> bool:
        return True

    @property
    def slotted(self) -> bool:
        return self.pooling == "none" or (self.window is not None and self.readout == "weights")

    def plain_rows(self, X: Any) -> Rows:
        rows = self.patches(X)
        if self.pooling != "average":
            return rows
        return replace(rows, scale=1.0 / windows(rows, self.pooling, self.window).shape[1])

    def features(self, rows: Rows) -> LinearFeatures:
        places = windows(rows, self.pooling, self.window)
        return LinearFeatures(rows, self.free, places, summed=self.readout == "sum")

    def pieces(self, rows: Rows, choose: Choose) -> Pieces:
        expected = "'generate': a linear network has no cells, its program is one matrix"
        raise InputError("arrangements", "a list of cells", expected, "leave arrangements out")
