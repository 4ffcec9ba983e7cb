"""The cells that a question is asked over: what the argument ``arrangements`` stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import Cells, cells_of_gates, count_bound, enumerate_cells, sample_cells
from zerogap.errors import InputError
from zerogap.network import Network
from zerogap.question import Question
from zerogap.validation import finite_array, shown
from zerogap.walls import find_walls

Array = NDArray[np.float64]

SMALL = 5_000
"""A network is judged over all cells, unasked, when there can be no more of them than this."""


def choose_cells(question: Question, arrangements: Any, rng: np.random.Generator) -> Cells:
    """The cells that the argument `arrangements` of ``zg.train`` stands for."""
    walls, gated = question.walls, question.architecture.gated
    if isinstance(arrangements, str):
        if arrangements != "enumerate":
            raise InputError(
                "arrangements", repr(arrangements), "'enumerate', a positive integer or an array", "choose one of these"
            )
        return enumerate_cells(walls, question.rows.flat)
    if isinstance(arrangements, (int, np.integer)) and not isinstance(arrangements, bool):
        if arrangements < 1:
            raise InputError("arrangements", repr(arrangements), "a positive number of cells", "pass for example 200")
        return sample_cells(walls, int(arrangements), rng, centred=not gated)
    if isinstance(arrangements, (bool, float)) or arrangements is None:
        raise InputError(
            "arrangements", repr(arrangements), "'enumerate', a positive integer or an array", "choose one of these"
        )
    gates = finite_array("arrangements", arrangements, "pass gate vectors as an array (P, p)")
    if gates.ndim != 2:
        raise InputError("arrangements", f"shape {gates.shape}", "gate vectors (P, p)", "pass one gate per row")
    return cells_of_gates(walls, gates, centred=not gated)


@dataclass(frozen=True, eq=False)
class Chooser:
    """See ``zerogap.pieces.Choose``."""

    number: int | None
    rng: np.random.Generator

    def __call__(self, rows: Array) -> tuple[NDArray[np.bool_], bool]:
        walls = find_walls(rows)
        cells = enumerate_cells(walls, rows) if self.number is None else sample_cells(walls, self.number, self.rng)
        return walls.activity(cells.signs), cells.complete


def chooser(arrangements: Any, rng: np.random.Generator) -> Chooser:
    """The cells of any rows that the argument `arrangements` of ``zg.train`` stands for ("enumerate", or a number)."""
    if isinstance(arrangements, str) and arrangements == "enumerate":
        return Chooser(None, rng)
    if isinstance(arrangements, (int, np.integer)) and not isinstance(arrangements, bool) and arrangements > 0:
        return Chooser(int(arrangements), rng)
    expected = "'generate', 'enumerate' or a positive number of cells"
    raise InputError("arrangements", shown(arrangements), expected, "choose one of these")


def few_cells(question: Question) -> bool:
    """Whether there are so few cells that all of them are listed unasked."""
    walls = question.walls
    return count_bound(walls.count, min(walls.count, walls.dimension)) <= SMALL


def cells_around(question: Question, network: Network, arrangements: Any, rng: np.random.Generator) -> Cells:
    """The chosen cells together with those of the network's own neurons, so that it belongs to its scope.

    With `arrangements` of None: all cells if they are few, else none but the network's own.
    """
    walls = question.walls
    if arrangements is None and not question.architecture.gated:
        arrangements = "enumerate" if few_cells(question) else None
    cells = None if arrangements is None else choose_cells(question, arrangements, rng)
    gated = network.gates is not None
    if network.width and (gated or not (cells is not None and cells.complete)):
        own = network.first if network.gates is None else network.gates
        around = cells_of_gates(walls, own, centred=not gated)
        cells = around if cells is None else cells.union(around)
    return cells if cells is not None and cells.count else choose_cells(question, 1, rng)
