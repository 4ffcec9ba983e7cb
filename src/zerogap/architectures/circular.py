"""Circular convolutional networks (P0, architectures E and F)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures.base import Architecture
from zerogap.circulant import convolved
from zerogap.errors import InputError
from zerogap.features import Features
from zerogap.features.circular import CircularFeatures, LinearCircularFeatures
from zerogap.features.circular_pieces import circular_pieces
from zerogap.pieces import Choose, Pieces
from zerogap.rows import Rows
from zerogap.validation import finite_array, integer, one_of

Array = NDArray[np.float64]

NORMALISATIONS = ("composite", "filter", "frobenius", "frobenius_sqrt_d")


@dataclass(frozen=True, kw_only=True, repr=False)
class CircularCNN(Architecture):
    """Circular convolutions: f(x) = sum_j (x U_1j ... U_{L-2,j} w_j + b_j)_+ v_j, U = circ(u) with u in R^h.

    Inputs have shape (n, d). Depth L >= 3 has one ReLU; depth 2 is the linear network f(x) = sum_j x U_j w_j with
    w_j in R^d. Weight decay acts on w and v, at depth 2 on u and w. At depth L >= 3 only the direction of the filters
    counts: whatever their lengths, they stand for the multiples that `normalisation` asks for. The best networks then
    solve a convex program whose regulariser is the l1 norm of spectra. A filter of full size makes it exact; with
    shorter ones it is a lower bound. Linear networks with more layers that are all decayed, or filters that are
    normalised one by one at depth L > 3, have no convex program, and are not offered.

    Parameters
    ----------
    bias
        As in ``Architecture``.
    depth : int
        L >= 2.
    kernel_size : int, optional
        h; default d.
    normalisation : str
        At depth L >= 3, of the filters of every path: "composite", ||u_1 * ... * u_{L-2}||_2 <= 1, with * the circular
        convolution; "filter", ||u_1||_2 <= 1, at depth 3 only; "frobenius", ||U_1 ... U_{L-2}||_F <= 1; or
        "frobenius_sqrt_d", ||U_1 ... U_{L-2}||_F <= sqrt(d). All but "frobenius" give the same networks, since
        ||circ(a)||_F = sqrt(d) ||a||_2; with "frobenius" beta counts sqrt(d) times as much.

    Raises
    ------
    InputError
        If an option has an unknown value, or there are no filters to normalise.
    """

    depth: int = 3
    kernel_size: int | None = None
    normalisation: str = "composite"

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("depth", self.depth, least=2)
        if self.kernel_size is not None:
            integer("kernel_size", self.kernel_size, least=1)
        one_of("normalisation", self.normalisation, NORMALISATIONS)
        if self.depth == 2 and self.normalisation != "composite":
            raise InputError(
                "normalisation",
                f"{self.normalisation!r} with depth=2",
                "none: both layers of a linear circular network are decayed",
                "leave out normalisation, or pass depth=3",
            )
        if self.depth > 3 and self.normalisation == "filter":
            raise InputError(
                "normalisation",
                f"'filter' with depth={self.depth}",
                "'composite', 'frobenius' or 'frobenius_sqrt_d': filters that are normalised one by one have no "
                "convex program",
                "pass normalisation='composite', or depth=3",
            )

    @property
    def flat(self) -> bool:
        return True

    @property
    def slotted(self) -> bool:
        return self.depth == 2

    @property
    def linear(self) -> bool:
        return self.depth == 2

    def plain_rows(self, X: Any) -> Rows:
        array = finite_array("X", X)
        if array.ndim != 2:
            raise InputError(
                "X of a CircularCNN", f"shape {array.shape}", "shape (n, d)", "reshape with X.reshape(len(X), -1)"
            )
        if self.kernel_size is not None and self.kernel_size > array.shape[1]:
            raise InputError(
                "kernel_size",
                f"{self.kernel_size} for inputs with {array.shape[1]} entries",
                f"at most {array.shape[1]}",
                "use a smaller kernel_size, or None for filters as long as the input",
            )
        return Rows(array[:, None, :])

    def features(self, rows: Rows) -> Features:
        biased = self.bias is not False
        d = rows.dimension - biased
        size = d if self.kernel_size is None else self.kernel_size
        if self.depth == 2:
            return LinearCircularFeatures(rows, self.free, size, biased)
        return self._filtered(rows, size, d)

    def _filtered(self, rows: Rows, size: int, d: int) -> CircularFeatures:
        length = 1.0 / float(np.sqrt(d)) if self.normalisation == "frobenius" else 1.0
        return CircularFeatures(rows, self.free, self.depth - 2, size, length, self.bias is not False)

    def pieces(self, rows: Rows, choose: Choose) -> Pieces:
        if self.depth == 2:
            return super().pieces(rows, choose)
        d = rows.dimension - (self.bias is not False)
        return circular_pieces(self._filtered(rows, d if self.kernel_size is None else self.kernel_size, d), choose)

    def check_filters(self, filters: Any, width: int) -> Array | None:
        if self.depth == 2:
            return super().check_filters(filters, width)
        layers = self.depth - 2
        if not width:
            return np.zeros((0, layers, self.kernel_size or 0))
        array = None if filters is None else finite_array("filters", filters, largest=np.inf)
        size = "d" if self.kernel_size is None else self.kernel_size
        fits = array is not None and array.ndim == 3 and array.shape[:2] == (width, layers)
        if array is None or not fits or self.kernel_size not in (None, array.shape[2]):
            got = "none" if array is None else f"shape {array.shape}"
            expected = f"({width}, {layers}, {size}), the filters of every neuron"
            raise InputError("filters", got, expected, "pass one array with all of them")
        if not np.all(np.any(array != 0.0, axis=2)):
            raise InputError("filters", "a filter of zeros", "filters with a direction", "leave out its neuron")
        return array

    def kernels(self, first: Array, second: Array, filters: Array | None) -> Array:
        """What each neuron convolves the input with, u * w or a * w, (m, d); the bias is left out."""
        plain = first if self.bias is False else first[:, :-1]
        if filters is None:
            return convolved(plain, second)
        rows = Rows(np.zeros((1, 1, first.shape[1])))
        weights = np.concatenate([filters.reshape(filters.shape[0], -1), first], axis=1)
        return self._filtered(rows, filters.shape[2], plain.shape[1]).composites(weights)[0]
