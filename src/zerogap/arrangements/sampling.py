"""Sampled cells: those that random directions fall into, and those of given gate vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements.cells import Cells, first_of_each
from zerogap.arrangements.centres import analytic_centres, interior_point, unit
from zerogap.cones import margins
from zerogap.errors import InputError
from zerogap.walls import Walls

Array = NDArray[np.float64]


def sample_cells(walls: Walls, count: int, rng: np.random.Generator, *, centred: bool = True) -> Cells:
    """That many distinct cells hit by Gaussian directions, in the order of being hit.

    The directions are scaled by the inverse root mean square of each column of the walls, so that the
    law does not depend on the units of the features. Fewer cells are returned if 20 draws in a row of
    `count` directions bring nothing new: the arrangement is then nearly exhausted.
    """
    spread = np.sqrt(np.mean(walls.normals**2, axis=0)) if walls.count else np.ones(walls.dimension)
    spread = np.where(spread > 0.0, spread, 1.0)
    directions = np.empty((0, walls.dimension))
    signs = np.empty((0, walls.count), dtype=bool)
    idle = 0
    while signs.shape[0] < count and idle < 20:
        fresh = rng.standard_normal((count, walls.dimension)) / spread
        all_directions = np.concatenate([directions, fresh])
        all_signs = np.concatenate([signs, walls.signs(fresh)])
        keep = first_of_each(all_signs)[:count]
        idle = idle + 1 if keep.size == signs.shape[0] else 0
        directions, signs = all_directions[keep], all_signs[keep]
    if not centred:
        clear = ~_ties(walls, directions)
        return Cells(signs[clear], directions[clear])
    return _centred(walls, signs, directions)


def cells_of_gates(walls: Walls, gates: Array, *, centred: bool = True) -> Cells:
    """The distinct cells that hold the given vectors.

    Parameters
    ----------
    walls : Walls
    gates : (P, p) float64
        For ReLU networks a gate on a wall counts as being on its positive side; where that sign vector
        has no interior, the gate is moved off the wall by a fixed tiny rotation.
    centred : bool
        True replaces the gates by centres of their cells (ReLU), False keeps them (gated networks).

    Raises
    ------
    InputError
        Gates of a wrong length; kept gates that lie on a wall.
    """
    if gates.shape[1] != walls.dimension:
        raise InputError(
            "arrangements",
            f"gate vectors with {gates.shape[1]} entries",
            f"{walls.dimension} entries (filter entries, then one for the bias if there is one)",
            "pass an array of shape (P, that number)",
        )
    signs = walls.signs(gates)
    first = first_of_each(signs)
    if not centred:
        _refuse_ties(walls, gates)
        return Cells(signs[first], gates[first])
    return _centred(walls, signs[first], gates[first])


def _ties(walls: Walls, gates: Array) -> NDArray[np.bool_]:
    """Whether a gate is so close to a wall that rounding decides its side, (P,)."""
    size = np.abs(gates) @ np.abs(walls.normals).T
    return np.any(np.abs(gates @ walls.normals.T) <= 1e-14 * (walls.dimension + 2) * size, axis=1)


def _refuse_ties(walls: Walls, gates: Array) -> None:
    """Gated networks need gates with a definite sign on every row.

    On a wall the sign of a row and of its opposite cannot both be read off the wall, and near it two
    ways of computing the product disagree: a bound for one pattern would be claimed for another.
    """
    tied = np.flatnonzero(_ties(walls, gates))
    if tied.size:
        raise InputError(
            "gates",
            f"gate vector {int(tied[0])} orthogonal to a row of the data up to rounding",
            "gates with a definite sign on every row that is not zero",
            "move the gate a little, for example by adding 1e-6 times a random vector",
        )


def _centred(walls: Walls, signs: NDArray[np.bool_], points: Array) -> Cells:
    units = walls.units()
    normals, points = unit(walls.normals * units), unit(points / units)
    on_wall = margins(normals, signs, points).min(axis=1, initial=np.inf) <= 1e-12
    for cell in np.flatnonzero(on_wall):
        inside = interior_point(normals, signs[cell])
        if inside is None:
            # A generic nearby direction: lower-dimensional cells lie in the closure of its cell.
            nudge = np.random.default_rng(cell).standard_normal(walls.dimension)
            signs[cell] = normals @ (points[cell] + 1e-7 * nudge) >= 0.0
            inside = interior_point(normals, signs[cell])
        if inside is not None:
            points[cell] = inside
    keep = first_of_each(signs)
    signs, points = signs[keep], points[keep]
    centres = unit(analytic_centres(normals, signs, points) * units)
    strict = margins(walls.normals, signs, centres).min(axis=1, initial=np.inf) > 0.0
    return Cells(signs[strict], centres[strict])
