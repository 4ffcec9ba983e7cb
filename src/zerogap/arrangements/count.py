"""How many cells an arrangement has, exactly.

Inserting wall i into the arrangement of walls 0..i-1 splits exactly those cells that it crosses, and
these are in bijection with the cells of the arrangement that the earlier walls cut out of wall i:

    cells(A) = 1 + sum_i cells(A restricted to wall i by the walls before i)

(deletion and restriction; Zaslavsky 1975). The restrictions are computed in integers, since a float64
is an integer times a power of two, so the count is exact for any input, in general position or not. A
list of as many distinct, verified cells is therefore complete (docs/theory.md, "Enumeration").
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb, gcd

import numpy as np
from numpy.typing import NDArray

Wall = tuple[int, ...]


def count_bound(walls: int, rank: int) -> int:
    """The number of cells of that many walls in general position: 2 sum_{k < rank} C(walls - 1, k)."""
    if walls == 0:
        return 1
    return 2 * sum(comb(walls - 1, k) for k in range(rank))


def count_cells(rows: NDArray[np.float64]) -> int:
    """The exact number of full-dimensional cells of {u : m . u = 0} for the rows m of an (N, p) array.

    The work is about that number times p integer operations. Zero, duplicate and parallel rows are
    recognised exactly.
    """
    return _count(_distinct(_integers(row) for row in rows.tolist()), rows.shape[1])


def _integers(row: Iterable[float]) -> Wall:
    fractions = [float(entry).as_integer_ratio() for entry in row]
    # Denominators of floats are powers of two: the largest one is their common multiple.
    denominator = max((bottom for _, bottom in fractions), default=1)
    return tuple(top * (denominator // bottom) for top, bottom in fractions)


def _distinct(rows: Iterable[Wall]) -> list[Wall]:
    """Canonical representatives (coprime, first non-zero entry positive) of the non-zero rows, without repeats."""
    seen: dict[Wall, None] = {}
    for row in rows:
        divisor = gcd(*row)
        if divisor:
            leading = next(entry for entry in row if entry)
            if leading < 0:
                divisor = -divisor
            seen[tuple(entry // divisor for entry in row)] = None
    return list(seen)


def _restrict(row: Wall, wall: Wall, pivot: int) -> Wall:
    """The trace of `row` on `wall`, in the coordinates other than `pivot`."""
    a, b = wall[pivot], row[pivot]
    return tuple(a * row[k] - b * wall[k] for k in range(len(row)) if k != pivot)


def _count(walls: list[Wall], dimension: int) -> int:
    if not walls:
        return 1
    if dimension == 1:
        return 2
    if dimension == 2:
        return 2 * len(walls)
    total = 1
    for i, wall in enumerate(walls):
        # The smallest pivot keeps the integers short.
        pivot = min((k for k in range(dimension) if wall[k]), key=lambda k: abs(wall[k]))
        total += _count(_distinct(_restrict(row, wall, pivot) for row in walls[:i]), dimension - 1)
    return total
