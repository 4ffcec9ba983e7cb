"""The one way in: a name, a file or a folder becomes a `Dataset`, or inputs for a model that is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from zerogap.data.dataset import Dataset, Task
from zerogap.data.labels import class_choice, encode, restricted
from zerogap.data.named import NAMED_SETS, is_named, read_named
from zerogap.data.raw import RawData
from zerogap.data.readers import SUFFIXES, read_path
from zerogap.errors import InputError
from zerogap.validation import one_of


def load_dataset(
    source: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    target: str | None = None,
    task: Task | None = None,
) -> Dataset:
    """Load a named set, a file, or a folder of images.

    Parameters
    ----------
    source : str or path
        A name out of `NAMED_SETS`, with its choice after a colon ("digits:3,8"); a ``.npz``, ``.npy``, ``.csv`` or
        ``.tsv`` file; or a folder with one sub-folder of images for each class. A name goes before a file of the
        same name, which is reached by "./digits".
    classes : sequence of str, or None
        The classes to keep, in this order: the first of two becomes -1, the second +1. None keeps all, sorted.
    target : str or None
        Target column of a table; None: the last one.
    task : "regression", "classification" or None
        What the labels are. None: names are classes; numbers are classes if all are whole, at least 2 differ, and
        at most min(20, n / 2) do; other numbers are a regression.

    Returns
    -------
    Dataset
        Unscaled, but for 8-bit images (divided by 255) and the digits (divided by 16).

    Raises
    ------
    InputError
        An unknown name, class, column or task.
    DataFileError
        A file that cannot be read, or that holds no data set.
    """
    chosen = class_choice(classes)
    task = one_of("task", task, (None, "regression", "classification"))
    raw, own = _read(source, target=target, task=task or ("classification" if chosen else None), features=None)
    if chosen and own:
        raise InputError("classes", f"a choice beside that of {source!r}", "one choice", "leave one of them out")
    chosen = chosen or own
    data = encode(raw, classes=chosen, task=task)
    named = isinstance(source, str) and is_named(source)
    return replace(data, name=f"{raw.name}:{','.join(chosen)}") if chosen and named else data


def load_inputs(
    source: str | os.PathLike[str],
    *,
    features: int | None = None,
    target: str | None = None,
    task: Task | None = None,
) -> RawData:
    """Load inputs for a model, with their labels as they were found where the source has any.

    Parameters
    ----------
    source : str or path
        As in ``load_dataset``. Labels may be missing: a ``.npz`` file without y, a ``.npy`` file of images, a folder of
        images without sub-folders, or a table (``.csv``, ``.tsv``, ``.npy``) of as many columns as there are features.
    features : int or None
        How many numbers a sample has. None, or a table of more columns: its target column is left out.
    target : str or None
        Target column of a table, where it is not the last one; such a table is never inputs alone.
    task : "regression", "classification" or None
        What a target column is for: with "classification" it may hold numbers beside names.

    Returns
    -------
    RawData
        Its ``X`` scaled as in ``load_dataset``, its ``labels`` None, (n,) or (n, C).

    Raises
    ------
    InputError
        An unknown name, class or column.
    DataFileError
        A file that cannot be read, or that holds no inputs.
    """
    raw, own = _read(source, target=target, task=task, features=features)
    return raw if own is None else restricted(raw, own)


def _read(
    source: str | os.PathLike[str], *, target: str | None, task: Task | None, features: int | None
) -> tuple[RawData, tuple[str, ...] | None]:
    """What the source holds, and the classes that its name chooses."""
    if not isinstance(source, (str, os.PathLike)):
        raise InputError("data source", repr(source)[:60], "a name or a path", "pass for example 'digits'")
    if isinstance(source, str) and is_named(source):
        if target is not None:
            raise InputError("target", repr(target), f"None: {source} is not a .csv file", "leave target out")
        return read_named(source)
    if isinstance(source, str) and not _is_path(source):
        raise _unknown(source)
    return read_path(Path(source), target=target, task=task, features=features), None


def _is_path(source: str) -> bool:
    """Whether a text that is no name was meant as a path."""
    separators = [mark for mark in (os.sep, os.altsep) if mark]
    suffix = Path(source).suffix.lower()
    meant = any(mark in source for mark in separators) or suffix in SUFFIXES or (suffix and ":" not in source)
    return bool(meant) or os.path.exists(source)


def _unknown(source: str) -> InputError:
    close = get_close_matches(source.partition(":")[0], NAMED_SETS, 1)
    return InputError(
        "data source", repr(source), f"a file, a folder, or one of {', '.join(NAMED_SETS)}",
        f"did you mean {close[0]!r}?" if close else "choose a name or check the path",
    )  # fmt: skip
