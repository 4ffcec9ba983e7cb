"""Centring and scaling, x -> (x - centre) / scale, as a thing that can be kept with a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.validation import finite_array

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaling:
    """The map x -> (x - centre) / scale.

    Parameters
    ----------
    centre, scale : float64 arrays of one shape
        One number for every entry of a sample, or arrays without axes: one number for all entries.

    Raises
    ------
    InputError
        Numbers that are not finite, scales that are not positive, or shapes that differ.
    """

    centre: Array
    scale: Array

    def __post_init__(self) -> None:
        for name in ("centre", "scale"):
            object.__setattr__(self, name, finite_array(name, getattr(self, name), largest=np.inf))
        if self.centre.shape != self.scale.shape:
            raise InputError(
                "scale", f"shape {self.scale.shape}", f"{self.centre.shape}, as centre", "mend the scaling"
            )
        if not np.all(self.scale > 0.0):
            raise InputError("scale", f"{self.scale.min():g}", "positive numbers", "use 1 for constant entries")

    @classmethod
    def of(cls, X: Array, weights: Array | None = None, *, together: bool = False) -> Scaling:
        """The one that gives samples mean 0 and standard deviation 1; what is constant is centred and keeps its scale.

        Parameters
        ----------
        X : (n, ...) float64
        weights : (n,) float64, optional
            Non-negative, not all zero; samples of weight zero are as if they were absent.
        together : bool
            One number for all entries of a sample, as for the pixels of images.
        """
        weights = np.ones(len(X)) if weights is None else weights
        X, weights = X[weights > 0.0], weights[weights > 0.0]
        table = X.reshape(len(X), -1)
        share = (weights / weights.sum())[:, None]
        axes = None if together else 0
        low, high = table.min(axis=axes), table.max(axis=axes)
        # A power of two near the peak is divided out, exactly: squares of columns near 1e-200 would underflow.
        unit = np.ldexp(1.0, np.frexp(np.maximum(np.abs(low), np.abs(high)))[1])
        scaled, count = table / unit, table.shape[1] if together else 1
        # min == max, and not spread == 0: the mean of equal numbers may be off by a rounding.
        constant = low == high
        mean = (share * scaled).sum(axis=axes) / count
        spread = np.sqrt((share * (scaled - mean) ** 2).sum(axis=axes) / count)
        # What differs by no more than the rounding of a mean does not vary: dividing by it would blow up noise.
        constant |= spread <= len(table) * np.finfo(np.float64).eps
        spread = spread * unit
        centre = np.where(constant, low, mean * unit)
        spread = np.where(constant | (spread == 0.0), 1.0, spread)
        shape = () if together else X.shape[1:]
        return cls(centre.reshape(shape), spread.reshape(shape))

    def __call__(self, X: Array) -> Array:
        """The scaled samples (n, ...)."""
        if self.centre.ndim and X.shape[1:] != self.centre.shape:
            got, expected = f"samples of shape {X.shape[1:]}", f"shape {self.centre.shape}, as they were scaled"
            raise InputError("X", got, expected, "use inputs of the shape that the network was trained on")
        return np.asarray((X - self.centre) / self.scale)

    def undone(self, X: Array) -> Array:
        """The samples that scaled ones come from."""
        return np.asarray(X * self.scale + self.centre)
