"""A-priori rounding error bounds of float64 arithmetic.

A sum of k products computed in float64, in any order and with or without fused operations, differs
from its exact value by at most ``gamma(k) * sum |a_i b_i|`` (Higham 2002, section 3.1). Everything a
certificate prints is inflated outward by such bounds; ``SUBNORMAL`` covers underflow.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import numpy as np
from numpy.typing import NDArray

UNIT_ROUNDOFF = 2.0**-53
SUBNORMAL = 2.0**-1022
"""Larger than all the absolute errors that underflow can add to sums of up to 2**50 terms."""

SMALLEST_SCALE = 2.0**-960
"""Factors below this count as zero where a bound relies on their relative error, which subnormal numbers lack."""


def gamma(operations: int) -> float:
    """Relative error bound k u / (1 - k u) of k rounded operations, itself rounded up."""
    error = operations * UNIT_ROUNDOFF
    return error / (1.0 - 2.0 * error) * (1.0 + 8.0 * UNIT_ROUNDOFF)


def enlarged(value: float, operations: int) -> float:
    """An upper bound of a non-negative number computed with that many roundings."""
    return value * (1.0 + 2.0 * gamma(operations + 2)) + SUBNORMAL


def reduced(value: float, magnitude: float, operations: int) -> float:
    """A lower bound of a sum whose terms have absolute values adding up to `magnitude`."""
    return value - 2.0 * gamma(operations + 2) * magnitude - SUBNORMAL


def lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean lengths along the last axis, even where squares under- or overflow."""
    plain = np.linalg.norm(vectors, axis=-1)
    if plain.size and plain.min() > 1e-140 and plain.max() < 1e140:
        return np.asarray(plain)
    peak = np.abs(vectors).max(axis=-1, initial=0.0)
    scale = np.where((peak > 0.0) & np.isfinite(peak), peak, 1.0)
    return np.asarray(scale * np.linalg.norm(vectors / scale[..., None], axis=-1))


def lengths_above(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper bounds of the Euclidean lengths of the rows of (m, p); infinite where an entry is not a number."""
    nonzero = np.any(vectors != 0.0, axis=1)
    above = lengths(vectors) * (1.0 + 2.0 * gamma(vectors.shape[1] + 6)) + np.where(nonzero, 2.0**-1074, 0.0)
    return np.where(np.isnan(above), np.inf, above)


def text_above(value: float, digits: int = 7) -> str:
    """A short decimal not below the value: how objectives are printed."""
    return f"{Context(prec=digits, rounding=ROUND_CEILING).create_decimal(value):g}"


def text_below(value: float, digits: int = 7) -> str:
    """A short decimal not above the value: how bounds are printed."""
    return f"{Context(prec=digits, rounding=ROUND_FLOOR).create_decimal(value):g}"
