"""Predictions for data whose targets may be unknown, as a table on the screen or in a file.

classes       the class, and the probability of each class where the loss models any
labels        0 or 1 for each label, likewise
regression    one number, or one for each output
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from zerogap.data import RawData
from zerogap.data.labels import in_classes
from zerogap.errors import InputError
from zerogap.files import write_atomically
from zerogap.matching import several_targets
from zerogap.model import Model
from zerogap.report.console import plain
from zerogap.report.scores import Predictions, r_squared

Array = NDArray[np.float64]

MOST_ROWS, MOST_COLUMNS = 10, 8
"""More than these are not printed."""

PROBABILITY = "probability of "

SUFFIXES = (".csv", ".npy", ".npz")


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a model says about raw data.

    Parameters
    ----------
    model : Model
    raw : RawData
        n samples; labels, if there are any, as they were found.
    outputs : (n,) or (n, C) float64
    """

    model: Model
    raw: RawData
    outputs: Array

    @classmethod
    def of(cls, model: Model, raw: RawData) -> Predicted:
        """Apply the model; raises InputError for inputs of another shape."""
        return cls(model, raw, model.outputs(raw.X))

    @property
    def predictions(self) -> NDArray[Any]:
        """As ``Model.predict`` gives them."""
        return self.model.predictions_of(self.outputs)

    @property
    def probabilities(self) -> Array | None:
        """(n, C), where the loss models any."""
        return self.model.probabilities_of(self.outputs) if self.model.probabilistic else None

    def score(self) -> tuple[str, float] | None:
        """What is measured, and the figure; None without labels.

        Raises
        ------
        InputError
            Labels of another kind than the predictions.
        """
        labels = self.raw.labels
        if labels is None:
            return None
        if self.model.classes:
            judged = Predictions("given", in_classes(self.raw, self.model.names), self.outputs)
            return judged.measure, judged.score
        several = several_targets(self.model, self.raw)
        if several is not None and self.model.task == "labels":
            return "samples with all labels right", float(np.mean(np.all(several == self.predictions, axis=1)))
        if labels.dtype.kind != "f" or labels.shape != self.outputs.shape:
            got = "names of classes" if labels.dtype.kind != "f" else f"targets of shape {labels.shape}"
            expected = f"numbers of shape {self.outputs.shape}, as the outputs of this file"
            remedy = "use data like those of the training, or a model file that names classes"
            raise InputError(f"targets of {self.raw.name}", got, expected, remedy)
        return "R2", r_squared(labels, self.outputs)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of a table, each (n,), by their names."""
        found, shares = self.predictions, self.probabilities
        columns = {"prediction": found}
        if found.ndim > 1:
            columns = {f"prediction {place}": column for place, column in enumerate(found.T, start=1)}
        if shares is not None:
            names = self.model.names or tuple(str(place + 1) for place in range(shares.shape[1]))
            columns |= {f"{PROBABILITY}{name}": share for name, share in zip(names, shares.T, strict=True)}
        return columns

    def table(self) -> Table:
        """The first rows and columns, beside the targets where there is one for each sample; p(c) is a probability."""
        columns, labels = {_brief(name): column for name, column in self.columns().items()}, self.raw.labels
        if labels is not None and labels.ndim == 1:
            columns = {"target": labels, **columns}
        shown = list(columns.items())[:MOST_COLUMNS]
        table = Table("", *[_short(name) for name, _ in shown], box=None)
        for row in range(min(MOST_ROWS, len(self.outputs))):
            table.add_row(str(row + 1), *[_short(_text(column[row], "{:.6g}")) for _, column in shown])
        return table

    def hidden(self) -> str:
        """What ``table`` leaves out, as text; empty if it shows everything."""
        rows, columns = len(self.outputs) - MOST_ROWS, len(self.columns()) + 1 - MOST_COLUMNS
        left = [f"{rows} more samples"] if rows > 0 else []
        return ", ".join([*left, f"{columns} more columns"] if columns > 0 else left)

    def write(self, path: Path) -> None:
        """Write all predictions, whole or not at all.

        A ``.csv`` file has the columns of ``columns``; a ``.npy`` file is the array of predictions; a ``.npz`` file has
        the arrays ``prediction`` and, where there are any, ``probability`` and ``classes``.

        Raises
        ------
        InputError
            Another suffix.
        DataFileError
            If the file cannot be written.
        """
        write_atomically(path, {".csv": self._csv, ".npy": self._npy, ".npz": self._npz}[checked_suffix(path)]())

    def _csv(self) -> bytes:
        columns, file = self.columns(), io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([_text(value, "{!r}") for value in row])
        return file.getvalue().encode()

    def _npy(self) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, self.predictions, allow_pickle=False)
        return buffer.getvalue()

    def _npz(self) -> bytes:
        arrays = {"prediction": self.predictions}
        if self.probabilities is not None:
            arrays["probability"] = self.probabilities
        if self.model.classes:
            arrays["classes"] = np.array(self.model.classes)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()


def checked_suffix(path: Path) -> str:
    """The suffix of a file for predictions; raises InputError for those that are not written."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError("--out", repr(path.name), f"a name with {', '.join(SUFFIXES)}", "choose one of these suffixes")
    return suffix


def _brief(name: str) -> str:
    """The name of a column, short enough for a table."""
    return f"p({name.removeprefix(PROBABILITY)})" if name.startswith(PROBABILITY) else name


def _text(value: Any, number: str) -> str:
    """An entry of a column; numbers with a fraction in that format."""
    return number.format(float(value)) if isinstance(value, np.floating) else str(value)


def _short(text: str, most: int = 24) -> str:
    """Text of one line of at most that many characters, safe for a terminal."""
    line = " ".join(text.split())
    return plain(line if len(line) <= most else line[: most - 1] + "…")
