"""Three-layer convolutional networks with two ReLUs (P0, architecture G)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures.base import Architecture
from zerogap.architectures.convolution import Convolution
from zerogap.errors import InputError
from zerogap.features.three_layer import ThreeLayerFeatures
from zerogap.features.three_layer_pieces import list_pieces
from zerogap.pieces import Choose, Pieces
from zerogap.rows import Rows
from zerogap.validation import finite_array, one_of

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class ThreeLayerCNN(Convolution, Architecture):
    """f(x) = sum_j ( sum_k (x_k . u_jk)_+ w1_jk )_+ w2_j with filters ||u_jk|| <= 1 and decay on w1 and w2.

    Inputs are those of ``Convolution``. The network's ``filters`` are the u_jk in any scale (they are normalised
    inside), ``first`` is w1 and ``second`` w2.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of int
    tied : bool
        True shares the filter of a neuron among all positions, as in a convolution; its programs over cells are
        relaxations, whose optimum is a lower bound. False gives every position its own (locally connected).
    bias : True, False or "free"
        The bias of a filter counts in ||u|| <= 1 (True), is absent, or is free. Free biases bring a free constant
        inside the second ReLU, the last entry of ``first``, and one at the output: networks reach both only in the
        limit of large biases.

    Raises
    ------
    InputError
        If an option has an unknown value.
    """

    _: KW_ONLY
    tied: bool = False

    def __post_init__(self) -> None:
        one_of("tied", self.tied, (True, False))
        self.check_geometry()
        super().__post_init__()

    def plain_rows(self, X: Any) -> Rows:
        return self.patches(X)

    def features(self, rows: Rows) -> ThreeLayerFeatures:
        return ThreeLayerFeatures(rows, self.free, tied=self.tied)

    def pieces(self, rows: Rows, choose: Choose) -> Pieces:
        return list_pieces(self.features(rows), choose)

    def check_filters(self, filters: Any, width: int) -> Array:
        axes, shape = (2, "(m, h)") if self.tied else (3, "(m, K, h)")
        if filters is None:
            if width == 0:
                return np.zeros((0,) * axes)
            expected = f"an array {shape}, one filter for each neuron" + ("" if self.tied else " and position")
            raise InputError("filters", "None", expected, "pass filters=")
        array = np.asarray(filters)
        if array.size == 0 and array.ndim == axes and array.shape[0] == width:
            return np.zeros(array.shape)
        array = finite_array("filters", filters, "pass filters as an array of numbers", largest=np.inf)
        if array.ndim != axes or array.shape[0] != width:
            expected = f"{shape} with m = {width} and tied={self.tied}"
            raise InputError("filters", f"shape {array.shape}", expected, "pass one entry per row of first")
        return array
