"""Targets as users pass them: numbers, several outputs, or classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.validation import finite_array

Array = NDArray[np.float64]

LARGEST = 100_000_000
"""Entries of a table of targets, at most."""


def checked_targets(y: Any, samples: int, loss: str) -> Array:
    """The targets (n,) of one output or (n, C) of several, checked against the number of samples.

    Outputs have the shape of the targets. For ``loss="cross_entropy"`` that is (n, C), one-hot; class indices 0 to
    C - 1 stand for their rows, C being the largest one plus 1. With C = 2 there are two outputs.

    Raises
    ------
    InputError
        Wrong shape, dtype or number; labels that are no class indices, or rows that are not one-hot.
    """
    remedy = "encode labels as numbers, for example -1 and +1"
    if loss == "cross_entropy":
        remedy = "encode classes as indices, for example classes, y = np.unique(labels, return_inverse=True)"
    array = finite_array("y", y, remedy)
    if array.ndim not in (1, 2):
        raise InputError("y", f"shape {array.shape}", "shape (n,), or (n, C) for C outputs", "reshape the targets")
    if array.shape[0] != samples:
        got, expected = f"{array.shape[0]} targets", f"{samples}, one for each sample of X"
        raise InputError("y", got, expected, "check that X and y belong together")
    return _one_hot(array, remedy) if loss == "cross_entropy" else array


def _one_hot(labels: Array, remedy: str) -> Array:
    if labels.ndim == 2 and labels.shape[1] > 1:
        wrong = np.flatnonzero(np.any((labels != 0.0) & (labels != 1.0), axis=1) | (labels.sum(axis=1) != 1.0))
        if wrong.size:
            got = f"the row {labels[wrong[0]].tolist()} at index {wrong[0]}"
            raise InputError("y", got, "one-hot rows: a single 1, zeros elsewhere", "pass class indices instead")
        return labels
    indices = labels.ravel()
    wrong = np.flatnonzero((indices != np.rint(indices)) | (indices < 0.0))
    if wrong.size:
        raise InputError("y", f"the label {indices[wrong[0]]:g}", "class indices 0, 1, ..., C - 1", remedy)
    count = int(indices.max()) + 1
    if count * indices.size > LARGEST:
        got = f"the label {count - 1}, for a table of {indices.size} x {count} targets"
        raise InputError("y", got, f"at most {LARGEST} entries", remedy)
    return np.asarray(np.arange(count) == indices[:, None], dtype=np.float64)
