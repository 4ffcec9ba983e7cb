"""Patches of series and images as rows (P0, section on data layout; docs/theory.md, "Rows").

A convolution with one filter is a matrix product: sample s contributes K rows, one per filter
position, each with the entries of the input below the filter, in the order (height, width, channel).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.validation import shown

Array = NDArray[np.float64]

LARGEST = 10**9
"""Sizes above this, and arrays of more entries (8 GB), are refused: those of a stranger's network may be anything."""


@dataclass(frozen=True)
class Geometry:
    """Where a filter is placed: sizes per spatial axis, all tuples of one length (1 or 2)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def positions(self, size: Sequence[int]) -> tuple[int, ...]:
        """Number of filter positions along each spatial axis of an input of that size.

        Raises
        ------
        InputError
            If the filter does not fit into the padded input.
        """
        counts = []
        for axis, length in enumerate(size):
            reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            available = length + 2 * self.padding[axis]
            if reach > available:
                raise InputError(
                    "kernel_size",
                    f"a filter that spans {reach} entries on axis {axis + 1} of the input",
                    f"at most {available} (input {length} plus padding)",
                    "use a smaller kernel_size or dilation, or more padding",
                )
            counts.append((available - reach) // self.stride[axis] + 1)
        return tuple(counts)


def per_axis(name: str, value: int | Sequence[int], axes: int, minimum: int) -> tuple[int, ...]:
    """One integer per spatial axis out of an integer or a sequence of `axes` integers."""
    entries: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    valid = len(entries) == axes and all(
        isinstance(entry, (int, np.integer)) and not isinstance(entry, bool) and minimum <= entry <= LARGEST
        for entry in entries
    )
    if not valid:
        raise InputError(
            name,
            shown(value),
            f"an integer >= {minimum}, or {axes} of them",
            f"pass for example {name}={max(minimum, 1)}",
        )
    return tuple(int(entry) for entry in entries)


def extract_patches(inputs: Array, geometry: Geometry) -> Array:
    """All patches of all samples.

    Parameters
    ----------
    inputs : (n, length, channels) or (n, height, width, channels) float64
    geometry : Geometry
        With one or two spatial axes, matching `inputs`.

    Returns
    -------
    (n, K, h) float64
        K filter positions in row-major order, h = kernel entries times channels.

    Raises
    ------
    InputError
        If the filter does not fit, or there are more than 1e9 entries of patches or of padded inputs.
    """
    axes = len(geometry.kernel)
    counts = geometry.positions(inputs.shape[1 : 1 + axes])
    whole = [length + 2 * amount for length, amount in zip(inputs.shape[1 : 1 + axes], geometry.padding, strict=True)]
    entries = len(inputs) * inputs.shape[-1] * max(math.prod(whole), math.prod(counts) * math.prod(geometry.kernel))
    if entries > LARGEST:
        got, expected = f"{entries:.1e} entries of patches or padded inputs", f"at most {LARGEST:.0e}"
        raise InputError(
            "X", got, expected, "use fewer samples, less padding, a larger stride or a smaller kernel_size"
        )
    pad = [(0, 0), *((amount, amount) for amount in geometry.padding), (0, 0)]
    padded = np.pad(inputs, pad)
    # offsets[axis][position, entry] is the coordinate that entry of the filter touches there.
    offsets = [
        np.arange(counts[a])[:, None] * geometry.stride[a]
        + np.arange(geometry.kernel[a])[None, :] * geometry.dilation[a]
        for a in range(axes)
    ]
    if axes == 1:
        gathered = padded[:, offsets[0]]
    else:
        gathered = padded[:, offsets[0][:, None, :, None], offsets[1][None, :, None, :]]
    return np.ascontiguousarray(gathered.reshape(inputs.shape[0], int(np.prod(counts)), -1))


def tiles(grid: Sequence[int], window: Sequence[int]) -> NDArray[np.intp]:
    """The positions in each of the windows that tile a grid, row-major; positions beyond the last window are left out.

    Parameters
    ----------
    grid, window : sequences of int
        Positions along each axis, and how many of them a window spans.

    Returns
    -------
    (Q, r) int

    Raises
    ------
    InputError
        If a window is larger than the grid.
    """
    counts = [size // span for size, span in zip(grid, window, strict=True)]
    if 0 in counts:
        got, most = "x".join(map(str, window)), "x".join(map(str, grid))
        raise InputError("window", f"a window of {got} positions", f"at most {most}", "use a smaller window")
    places = np.arange(int(np.prod(grid))).reshape(tuple(grid))
    places = places[tuple(slice(0, count * span) for count, span in zip(counts, window, strict=True))]
    split = [entry for count, span in zip(counts, window, strict=True) for entry in (count, span)]
    axes = [*range(0, 2 * len(counts), 2), *range(1, 2 * len(counts), 2)]
    return places.reshape(split).transpose(axes).reshape(int(np.prod(counts)), int(np.prod(window)))
