"""Which reader reads which file."""

from __future__ import annotations

import os
from pathlib import Path

from zerogap.data.arrays import read_arrays
from zerogap.data.dataset import Task
from zerogap.data.images import read_image_folder
from zerogap.data.raw import RawData, reading
from zerogap.data.tables import read_table
from zerogap.errors import DataFileError, InputError

ARRAYS = (".npz", ".npy")
TABLES = (".csv", ".tsv")
SUFFIXES = (*ARRAYS, *TABLES)


def read_path(
    path: Path, *, target: str | None = None, task: Task | None = None, features: int | None = None
) -> RawData:
    """Read a file by its suffix, or a folder of images.

    Parameters
    ----------
    path : Path
        ``.npz``, ``.npy``, ``.csv``, ``.tsv`` or a folder.
    target : str or None
        Target column; only tables have one.
    task : Task or None
        What the target column is for, if the caller knows.
    features : int or None
        How many numbers a sample has, if the caller knows: then tables and arrays may be inputs alone.

    Raises
    ------
    DataFileError
        A file that is missing, empty, of another type, or not readable.
    InputError
        `target` where it has no meaning.
    """
    if not os.path.exists(path):
        raise DataFileError(f"data file {path}", "no such file", "an existing file or folder", "check the path")
    suffix = "" if path.is_dir() else path.suffix.lower()
    if target is not None and suffix not in TABLES:
        raise InputError("target", repr(target), f"None: {path.name} is not a .csv file", "leave target out")
    if path.is_dir():
        return read_image_folder(path)
    if suffix not in SUFFIXES:
        raise DataFileError(
            f"data file {path}", f"the suffix {path.suffix!r}", f"{', '.join(SUFFIXES)} or a folder of images",
            "convert it, for example by np.savez(path, X=X, y=y)",
        )  # fmt: skip
    with reading(path, "a readable file", "check the file"):
        empty = path.is_file() and path.stat().st_size == 0
    if empty:
        raise DataFileError(f"data file {path}", "an empty file", "at least one sample", "write it again")
    if suffix in TABLES:
        return read_table(path, target=target, task=task, features=features)
    return read_arrays(path, features=features)
