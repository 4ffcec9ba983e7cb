r"""The pieces of pooled features with one output weight (P0, architectures A and B).

Sum and average: a piece is a cell of the arrangement of the rows, and T = scale sum_k (D_k + slope (I - D_k)) X_k.

Maximum: a piece is a selection, which says for every sample and window q the position that is largest and on which
side of the kink its value lies, or that no value is positive (ReLU). With k the position selected,

    T_s = sum_q g_sq m_{s,k(s,q)},   (m_{s,k} - m_{s,l}) . v >= 0 for all l in q,   +-m_{s,k} . v >= 0,

g = 1 or the slope; where nothing is selected, g = 0 and -m_{s,l} . v >= 0 for all l. Selections come from the cells of
the rows and of their differences within windows, many of which select the same. To ask for one activation pattern of
all positions besides forbids positive values that are not the largest, and is a different, worse program.

Differences of floating-point rows are rounded, so that rows which depend on each other would become nearly dependent,
and bound sliver cells that no float64 search finds. Rows are therefore put on a grid first, where differences are
exact. Every v lies in a listed piece of the grid; its selected positions are the largest ones up to the distance from
the grid, which ``Pieces.errors`` covers. So the bound holds for the rows as they are.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from zerogap.features.base import Array, bias_reach
from zerogap.features.pooled import PooledFeatures
from zerogap.gauges import GroupGauge
from zerogap.pieces import Choose, Pieces
from zerogap.rounding import gamma
from zerogap.walls import Walls, find_walls

Activity = NDArray[np.bool_]

GRIDS = (12, 10, 9)
"""Decimal digits of the grid: the next one is taken where one leaves slivers. Decimals are kept as they are."""


def pooled_pieces(features: PooledFeatures, choose: Choose) -> Pieces:
    """The pieces of features with one output weight per neuron.

    Parameters
    ----------
    features : PooledFeatures
        Without gates.
    choose : callable
    """
    # With room for rows on a grid.
    reach = bias_reach(features.rows.matrix) * (1.0 + 1e-6) if features.free else np.inf
    gauge = GroupGauge.euclidean(features.penalised, reach)

    def neurons(pieces: NDArray[np.intp], blocks: Array) -> tuple[Array, Array]:
        sizes = gauge.value(blocks)
        return blocks / sizes[:, None], sizes

    build = _selections if features.largest else _cells
    maps, cones, complete, errors = build(features, choose)
    return Pieces(maps, cones, gauge, neurons, complete, roundings=4, errors=errors)


def _cells(features: PooledFeatures, choose: Choose) -> tuple[Array, tuple[Array, ...], bool, Array]:
    """T, K, completeness and errors of sum pooling."""
    matrix = features.rows.matrix[:, features.windows_of_rows.ravel()]
    n, positions, p = matrix.shape
    rows = matrix.reshape(-1, p)
    activity, complete = choose(rows)
    walls, slope, scale = find_walls(rows), features.slope, features.rows.scale
    gains = np.where(activity.reshape(-1, n, positions), 1.0, slope).transpose(1, 0, 2)
    maps = (gains @ matrix).transpose(1, 0, 2) * scale
    representatives = _scaled(rows[walls.representative])
    signs = np.where(activity[:, walls.representative], 1.0, -1.0)
    cones = tuple(sign[:, None] * representatives for sign in signs)
    return maps, cones, complete, gamma(positions + 8) * np.abs(matrix).sum(axis=1) * scale


def _selections(features: PooledFeatures, choose: Choose) -> tuple[Array, tuple[Array, ...], bool, Array]:
    """T, K, completeness and errors of max pooling."""
    windows = features.windows_of_rows
    matrix = features.rows.matrix[:, windows]  # (n, Q, r, p)
    n, count, size, p = matrix.shape
    first, second = np.triu_indices(size, 1)

    def chosen(digits: int) -> tuple[Array, Array, Array, Array, Activity, bool]:
        grid, units, distance = _on_grid(matrix, digits)
        differences = grid[:, :, first] - grid[:, :, second]
        rows = np.concatenate([grid.reshape(-1, p), differences.reshape(-1, p)])
        return rows, differences, units, distance, *choose(rows)

    for digits in GRIDS:
        with warnings.catch_warnings():
            # Enumeration warns of slivers that it could not find; the last grid may hand the warning on.
            warnings.simplefilter("error" if digits != GRIDS[-1] else "default", RuntimeWarning)
            try:
                rows, differences, units, distance, activity, complete = chosen(digits)
                break
            except RuntimeWarning:
                continue
    active = activity[:, : n * count * size].reshape(-1, n, count, size)
    ahead = activity[:, n * count * size :].reshape(active.shape[0], n, count, first.size)
    tied = ~np.any(differences != 0.0, axis=3)
    beats = np.ones((*active.shape, size), dtype=bool)
    beats[..., first, second], beats[..., second, first] = ahead | tied, ~ahead | tied
    wins = np.all(beats, axis=4)
    winner, valid = np.argmax(wins, axis=3), np.any(wins, axis=3)
    above = np.take_along_axis(active, winner[..., None], axis=3)[..., 0]
    if features.slope == 0.0:
        nothing = ~np.any(active, axis=3)
        winner, valid = np.where(nothing, -1, winner), nothing | (valid & above)
    consistent = np.all(valid, axis=(1, 2))
    keys = np.stack([winner, above], axis=-1)[consistent].reshape(int(consistent.sum()), -1)
    _, kept = np.unique(keys, axis=0, return_index=True)
    kept = np.flatnonzero(consistent)[np.sort(kept)]
    winner, above = winner[kept], above[kept]
    gains = np.where(winner < 0, 0.0, np.where(above, 1.0, features.slope))
    sample, window = np.arange(n)[:, None], np.arange(count)[None]
    selected = matrix[sample, window, winner]  # (P, n, Q, p)
    maps = np.einsum("isq,isqp->isp", gains, selected)
    walls, scaled = find_walls(rows), _scaled(rows / units)
    cones = tuple(
        _cone(walls, scaled, *_constraints(each, side, size)) for each, side in zip(winner, above, strict=True)
    )
    # The largest value is off by twice the distance from the grid, its side of the kink by once.
    errors = 3.0 * distance.max(axis=2).sum(axis=1) + gamma(count + 8) * np.abs(matrix).max(axis=2).sum(axis=1)
    return maps, cones, complete and bool(consistent.all()), errors


def _constraints(winner: NDArray[np.intp], above: Activity, size: int) -> tuple[NDArray[np.intp], Array]:
    """The rows, with signs, that are not negative in a selection; all rows come first, then all differences.

    One for every position l of every window: its own row if it or nothing is selected, else its difference.
    """
    n, count = winner.shape
    first, second = np.triu_indices(size, 1)
    places = np.zeros((size, size), dtype=np.intp)
    places[first, second] = places[second, first] = np.arange(first.size)
    each, chosen = np.arange(n * count).reshape(n, count, 1), winner[..., None]
    other = np.arange(size)
    own = (chosen < 0) | (other == chosen)
    row = np.where(own, each * size + other, n * count * size + each * first.size + places[chosen, other])
    positive = np.where(own, above[..., None] & (chosen >= 0), chosen < other)
    return row.ravel(), np.where(positive, 1.0, -1.0).ravel()


def _cone(walls: Walls, rows: Array, which: NDArray[np.intp], signs: Array) -> Array:
    """K from rows with signs, one row for each wall."""
    used = walls.side[which] != 0
    which, signs = which[used], signs[used]
    _, kept = np.unique(walls.index[which], return_index=True)
    return np.asarray(signs[kept, None] * rows[which[kept]])


def _scaled(rows: Array) -> Array:
    """Rows times powers of two, without rounding, so that their largest entries are near one."""
    exponents = np.frexp(np.abs(rows).max(axis=1, initial=0.0))[1]
    return np.ldexp(rows, -exponents[:, None])


def _on_grid(matrix: Array, digits: int) -> tuple[Array, Array, Array]:
    """Integers near the rows times units, the units of every column, and how far the rows are from the grid.

    Parameters
    ----------
    matrix : (..., p) float64
    digits : int
        Decimal digits of the largest integers, at most 15.

    Returns
    -------
    integers : (..., p), units : (p,), distance : (..., p) float64
        |matrix - integers / units| <= distance.
    """
    peak = np.abs(matrix).max(axis=tuple(range(matrix.ndim - 1)), initial=0.0)
    power = np.floor(digits + 0.3 - np.log10(np.where(peak > 0.0, peak, 1.0)))
    units = 10.0 ** np.clip(power, -300, 300)
    scaled = matrix * units
    integers = np.rint(scaled)
    return integers, units, (np.abs(scaled - integers) + gamma(2) * np.abs(scaled)) / units * (1.0 + 1e-12)
