"""From labels as found in a source to targets: which task, which classes, in which order.

Names are always classes. Numbers are classes if all are whole, at least 2 differ, and the number of different ones
is at most min(20, n / 2); other numbers are targets of a regression. Whoever knows better passes `task`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.data.dataset import Dataset, Task
from zerogap.data.raw import RawData
from zerogap.errors import DataFileError, InputError
from zerogap.validation import shown

Array = NDArray[np.float64]

MOST_CLASSES = 20
"""Whole numbers with more different values than this are not taken for classes."""


def encode(raw: RawData, *, classes: tuple[str, ...] | None, task: Task | None) -> Dataset:
    """The data set with its targets encoded, restricted to the chosen classes.

    Parameters
    ----------
    raw : RawData
        n samples.
    classes : tuple of str, or None
        The classes to keep, in their order; None keeps all.
    task : Task or None
        None infers it as this module says.

    Raises
    ------
    InputError
        A task or classes that these labels cannot serve.
    DataFileError
        Inputs without labels, or classification with one class only.
    """
    task = _task(raw, task, classes is not None)
    if task == "regression":
        return Dataset(raw.name, raw.X, raw.targets)
    found = _Labels.of(raw)
    chosen = found.choose(raw.name, classes)
    lookup = {name: place for place, name in enumerate(chosen)}
    # -1 marks the classes that were not chosen.
    place = np.array([lookup.get(name, -1) for name in found.names])[found.codes]
    keep = place >= 0
    y = place[keep].astype(np.float64)
    return Dataset(raw.name, raw.X[keep], 2.0 * y - 1.0 if len(chosen) == 2 else y, chosen)


def in_classes(raw: RawData, names: tuple[str, ...]) -> Dataset:
    """The data set whose classes are these, in this order, whichever of them have samples here.

    Parameters
    ----------
    raw : RawData
        n samples.
    names : tuple of str
        Two or more, for example those that a model tells apart.

    Raises
    ------
    InputError
        A sample of another class, or numbers to fit.
    DataFileError
        Inputs without labels.
    """
    if raw.task == "regression":
        expected = f"classes among {', '.join(names[:12])}"
        raise InputError(f"targets of {raw.name}", "numbers to fit", expected, "use data of the model's kind")
    found = _Labels.of(raw)
    lookup = {name: place for place, name in enumerate(names)}
    for place in np.unique(found.codes):
        if found.names[place] not in lookup:
            raise _unknown_class(raw.name, found.names[place], names)
    y = np.array([lookup.get(name, -1) for name in found.names])[found.codes].astype(np.float64)
    return Dataset(raw.name, raw.X, 2.0 * y - 1.0 if len(names) == 2 else y, names)


def restricted(raw: RawData, classes: tuple[str, ...]) -> RawData:
    """The samples of these classes; raises InputError for one that the source does not have."""
    found = _Labels.of(raw)
    chosen = found.choose(raw.name, classes)
    keep = np.isin(np.array(found.names)[found.codes], chosen)
    return replace(raw, X=raw.X[keep], labels=raw.targets[keep], order=chosen)


def class_name(label: str | float) -> str:
    """A label as the name of its class: whole numbers without a point."""
    if isinstance(label, float):
        return str(int(label)) if math.isfinite(label) and label == round(label) else repr(label)
    return str(label)


def looks_like_classes(numbers: Array) -> bool:
    """Whether numeric labels (n,) are taken for classes when nobody says so."""
    distinct = np.unique(numbers)
    return bool(np.all(distinct == np.rint(distinct)) and 2 <= distinct.size <= min(MOST_CLASSES, numbers.size / 2))


def class_choice(classes: Any) -> tuple[str, ...] | None:
    """The argument `classes` as names; None stays None.

    Raises
    ------
    InputError
        No sequence of names, fewer than two, or one of them twice.
    """
    if classes is None:
        return None
    example = "pass for example classes=('3', '8')"
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable):
        raise InputError("classes", repr(classes), "a sequence of names", example)
    names = tuple(str(name) for name in classes)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError("classes", ", ".join(map(repr, names)) or "none", "at least two different names", example)
    return names


def _task(raw: RawData, task: Task | None, chosen: bool) -> Task:
    fixed = raw.task or ("classification" if raw.targets.dtype.kind == "U" else None)
    if fixed and task and task != fixed:
        raise InputError(
            "task", repr(task), f"{fixed!r}, which the labels of {raw.name} are for", f"pass task={fixed!r}"
        )
    task = task or fixed
    if task is None:
        task = "classification" if chosen or looks_like_classes(raw.targets) else "regression"
    if chosen and task == "regression":
        raise InputError("classes", "a choice of classes", f"none: {raw.name} is a regression", "leave classes out")
    return task


@dataclass(frozen=True)
class _Labels:
    """Names of all classes in their order, and the index of each sample's class in them, (n,)."""

    names: tuple[str, ...]
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, raw: RawData) -> _Labels:
        values, codes = np.unique(raw.targets, return_inverse=True)
        if values.dtype.kind != "U":
            return cls(tuple(class_name(float(value)) for value in values), codes)
        found = [str(value) for value in values]
        order = raw.order or tuple(sorted(found, key=_natural))
        places = {name: place for place, name in enumerate(order)}
        return cls(order, np.array([places[name] for name in found])[codes])

    def choose(self, source: str, classes: tuple[str, ...] | None) -> tuple[str, ...]:
        chosen = classes or self.names
        if len(chosen) < 2:
            raise DataFileError(
                f"classes of {source}", f"one class only ({chosen[0]!r})", "two or more", "add samples of another class"
            )
        known = set(self.names)
        for name in chosen:
            if name not in known:
                raise _unknown_class(source, name, self.names)
        return chosen


def _unknown_class(source: str, name: str, known: tuple[str, ...]) -> InputError:
    close = get_close_matches(name, known, 1)
    return InputError(
        f"classes of {source}", shown(name), f"names among {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}",
        f"did you mean {close[0]!r}?" if close else "choose among these",
    )  # fmt: skip


def _natural(name: str) -> tuple[int, str, str]:
    """Whole numbers first, by value, so that class 10 follows class 9; then the other names."""
    digits = name.lstrip("0")
    return (len(digits), digits, name) if name.isdecimal() else (sys.maxsize, name, name)
