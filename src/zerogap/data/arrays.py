"""NumPy files: `.npz` with X and y, and `.npy` with y as the last column; or inputs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.data.dataset import inputs
from zerogap.data.raw import RawData, check_lengths, reading
from zerogap.errors import DataFileError, InputError
from zerogap.validation import finite_array, targets

X_NAMES = ("X", "x", "data", "images")
Y_NAMES = ("y", "Y", "target", "labels")

COLUMNS = "two axes and two or more columns, the last one y"

MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")


def read_arrays(path: Path, *, features: int | None = None) -> RawData:
    """Read a NumPy file; pickled objects are never loaded.

    An archive holds the inputs under the first of the names X, x, data, images that it has, and the labels, if there
    are any, under the first of y, Y, target, labels. Images of dtype uint8, with 3 or 4 axes, are divided by 255. Where
    there is an array of text named classes beside numeric labels, it holds the names of all classes, also of those
    without samples, and the labels are their indices 0 to C - 1 (or -1 and +1 for two). A single array of two axes has
    y as its last column, unless it has as many columns as there are features; one of more axes is inputs alone.

    Parameters
    ----------
    path : Path
    features : int or None
        How many numbers a sample has, if the caller knows.

    Raises
    ------
    DataFileError
        A damaged file, pickled objects, missing names, or arrays that are no data set.
    """
    with reading(path, "a NumPy file", "write it again with np.savez or np.save"), path.open("rb") as file:
        start = file.read(6)
        if not start.startswith(MAGIC):
            raise DataFileError(
                f"cannot read {path}", f"a file that starts with {start!r}", "a NumPy file", "use np.savez"
            )
        file.seek(0)
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return _from_array(path, content, features)
        with content:
            return _from_archive(path, content)


def _from_archive(path: Path, archive: Any) -> RawData:
    X = _pick(path, archive, X_NAMES)
    if X is None:
        raise DataFileError(
            f"arrays in {path}", f"the names {', '.join(archive.files) or 'of none'}", f"one of {', '.join(X_NAMES)}",
            "write it by np.savez(path, X=X, y=y)",
        )  # fmt: skip
    features, y = _scaled(X), _pick(path, archive, Y_NAMES)
    if y is None:
        return RawData(path.name, features, missing=f"one of {', '.join(Y_NAMES)}")
    labels = _labels(y)
    check_lengths(path, len(features), len(labels))
    names = _class_names(archive)
    if names is None or labels.dtype.kind != "f" or labels.ndim > 1:
        return RawData(path.name, features, labels)
    return RawData(path.name, features, _named(labels, names), tuple(map(str, names)), "classification")


def _from_array(path: Path, array: NDArray[Any], features: int | None) -> RawData:
    if array.ndim in (3, 4) or (array.ndim == 2 and array.shape[1] == features):
        return RawData(path.name, _scaled(array), missing=COLUMNS)
    if array.ndim != 2 or array.shape[1] < 2:
        raise DataFileError(
            f"the array in {path}", f"shape {array.shape}", COLUMNS, "write X and y by np.savez(path, X=X, y=y)"
        )
    table = inputs("the array", array)
    return RawData(path.name, table[:, :-1], table[:, -1])


def _scaled(X: NDArray[Any]) -> NDArray[np.float64]:
    """Inputs (n, ...) in float64, images of bytes divided by 255."""
    features = inputs("X", X)
    return features / 255.0 if X.dtype == np.uint8 and X.ndim >= 3 else features


def _pick(path: Path, archive: Any, names: Sequence[str]) -> NDArray[Any] | None:
    """The array under the first of these names that the archive has."""
    for name in names:
        if name in archive.files:
            try:
                return np.asarray(archive[name])
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                raise DataFileError(
                    f"{name} in {path}", "pickled objects", "an array of numbers",
                    "save it as a plain array, for example np.asarray(value, dtype=float)",
                ) from error  # fmt: skip
    return None


def _class_names(archive: Any) -> NDArray[np.str_] | None:
    """The names of all classes, if the archive has such an array."""
    try:
        names = archive["classes"]
    except (KeyError, ValueError):  # absent, or pickled: those are never loaded
        return None
    return names if names.dtype.kind == "U" and names.ndim == 1 and names.size else None


def _named(labels: NDArray[np.float64], names: NDArray[np.str_]) -> NDArray[np.str_]:
    """The class names of numeric labels, which are indices, or -1 and +1 for two classes."""
    indices = np.where(labels == -1.0, 0.0, labels) if names.size == 2 and 0.0 not in labels else labels
    wrong = ~np.isin(indices, np.arange(names.size))
    if wrong.any():
        expected = f"the indices 0 to {names.size - 1} of the names in 'classes'"
        raise InputError("y", f"the label {labels[wrong][0]:g}", expected, "write such indices, or no array 'classes'")
    return np.asarray(names[indices.astype(np.intp)])


def _labels(y: NDArray[Any]) -> NDArray[Any]:
    """Labels (n,): text as str, truth values as the names False and True, numbers as float64, also (n, C) of them."""
    if y.dtype.kind not in "USb":
        several = y.ndim == 2 and y.shape[1] > 1
        return finite_array("y", y) if several else targets(y, len(y) if y.ndim else 1)
    column = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if column.ndim != 1 or column.size == 0:
        raise InputError("y", f"shape {y.shape}", "one label per sample, shape (n,)", "write one label for each sample")
    return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column.astype(str)
