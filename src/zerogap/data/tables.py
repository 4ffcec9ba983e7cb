"""Text tables: one sample a line, at most one column the target, cells parted by tab, semicolon or comma."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.data.dataset import Task
from zerogap.data.raw import RawData, reading
from zerogap.errors import DataFileError, InputError
from zerogap.validation import finite_array

DELIMITERS = "\t;,"
"""The first of these that parts the first line is taken: a comma beside semicolons is a decimal comma."""


@dataclass(frozen=True)
class _Table:
    """Cells as text.

    Parameters
    ----------
    path : Path
        For messages.
    names : tuple of str
        Of the columns; their numbers from 1 where the file has no header.
    rows : list of list of str
        n lists of len(names) cells.
    lines : list of int
        Line of the file on which each row ends.
    """

    path: Path
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def wrong(self, row: int, column: int, got: str, expected: str, remedy: str) -> DataFileError:
        where = f"line {self.lines[row]}, column {column + 1}"
        named = "" if self.names[column] == str(column + 1) else f" ({self.names[column]!r})"
        return DataFileError(f"{self.path}, {where}{named}", got, expected, remedy)


def read_table(path: Path, *, target: str | None, task: Task | None, features: int | None = None) -> RawData:
    """Read a text table.

    The first line is a header if none of its cells is a number. Blank lines are skipped. Labels are numbers if
    every cell of the target column is one, else names of classes. A target column of empty cells is none.

    Parameters
    ----------
    path : Path
        UTF-8 text.
    target : str or None
        Name of the target column, or its number from 1 if the file has no header; None: the last one.
    task : Task or None
        A regression has only numbers in the target column; with "classification" they may be mixed with names.
    features : int or None
        How many numbers a sample has, if the caller knows: a table of as many columns has no target, unless `target`
        names one.

    Raises
    ------
    DataFileError
        Says the line and the column.
    InputError
        No such target column.
    """
    with reading(path, "UTF-8 text with one sample a line", "save the table as CSV in UTF-8"):
        table = _parse(path, least=1 if features == 1 and target is None else 2)
    alone = target is None and len(table.names) == features
    column = None if alone else _target_column(table, target)
    labels = None if column is None else _labels(table, column, task)
    others = [other for other in range(len(table.names)) if other != column]
    numbers = np.empty((len(table.rows), len(others)))
    for row, cells in enumerate(table.rows):
        for place, other in enumerate(others):
            number = _number(cells[other])
            if number is None or not math.isfinite(number):
                remedy = "use a decimal point" if "," in cells[other] else "fill, encode or delete it"
                raise table.wrong(row, other, repr(cells[other]), "a finite number", remedy)
            numbers[row, place] = number
    with reading(path, "numbers", "rescale the data"):
        missing = "a target column with a cell in each line"
        return RawData(path.name, finite_array("X", numbers), labels, missing=missing)


def _parse(path: Path, least: int) -> _Table:
    """The cells of a table of at least so many columns."""
    rows, lines = [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        file.seek(0)
        delimiter = next((mark for mark in DELIMITERS if len(next(csv.reader([first], delimiter=mark), [])) > 1), ",")
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append([cell.strip() for cell in cells])
                lines.append(reader.line_num)
    if not rows:
        raise DataFileError(f"table {path}", "no samples", "at least one", "check that this is the right file")
    numbered = tuple(str(place + 1) for place in range(len(rows[0])))
    if len(numbered) < least:
        raise DataFileError(
            f"table {path}", f"one column ({first.strip()[:40]!r})", "one or more features and the target",
            "part the columns by commas, semicolons or tabs",
        )  # fmt: skip
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) != len(numbered):
            raise DataFileError(
                f"{path}, line {line}",
                f"{len(cells)} cells",
                f"{len(numbered)} as in line {lines[0]}",
                "mend this line",
            )
    if any(number is not None and math.isfinite(number) for number in map(_number, rows[0])):
        return _Table(path, numbered, rows, lines)
    table = _Table(path, tuple(rows[0]), rows[1:], lines[1:])
    if not table.rows:
        raise DataFileError(
            f"table {path}", "a header only", "at least one sample", "check that this is the right file"
        )
    if "" in table.names:
        # An unnamed column is mostly the row number that a data frame wrote along: not a feature.
        raise DataFileError(
            f"{path}, line {lines[0]}, column {table.names.index('') + 1}", "an empty name", "a name for each column",
            "name it, or delete the column if it only numbers the rows",
        )  # fmt: skip
    return table


def _target_column(table: _Table, target: str | None) -> int:
    if target is None:
        return len(table.names) - 1
    found = table.names.count(target) if isinstance(target, str) else 0
    if found != 1:
        got = f"{target!r}{f' {found} times' if found else ''}"
        raise InputError(
            "target", got, f"one of the columns {', '.join(table.names)} of {table.path}", "choose one of them"
        )
    return table.names.index(target)


def _labels(table: _Table, column: int, task: Task | None) -> NDArray[Any] | None:
    """The target column (n,), as float64 or as str; None if all its cells are empty."""
    cells = [cells[column] for cells in table.rows]
    if not any(cells):
        return None
    if "" in cells:
        raise table.wrong(cells.index(""), column, "an empty cell", "a target", "fill it or delete this line")
    numbers = [_number(cell) for cell in cells]
    text = [place for place, number in enumerate(numbers) if number is None]
    if not text:
        for place, number in enumerate(numbers):
            if number is not None and not math.isfinite(number):
                raise table.wrong(place, column, repr(cells[place]), "a finite number", "fill it or delete this line")
        with reading(table.path, "numbers", "rescale the targets"):
            return finite_array("y", np.array(numbers, dtype=np.float64))
    if task == "regression" or (task is None and len(text) < len(cells)):
        # One "NA" among numbers would otherwise turn a regression into hundreds of classes.
        remedy = "mend this cell, or pass task='classification' if these are names of classes"
        raise table.wrong(text[0], column, repr(cells[text[0]]), "a number as in the other lines", remedy)
    return np.array(cells)


def _number(cell: str) -> float | None:
    """The number that a cell holds; Python's digit groups such as 1_000 are not numbers in a table."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
