r"""Completely positive matrices: T = V V' with V >= 0 (P1, closed forms).

T must be positive semidefinite and non-negative. That suffices in the cases below, each with an explicit V; beyond
them the question is left open here (it is NP-hard in general).

- T splits into the blocks of its graph, and rows that are multiples of each other count as one.
- Rank two: the rows of any factor span at most a right angle, and a rotation makes them non-negative.
- Order three: some Schur complement is non-negative. Otherwise t_ii t_jk < t_ij t_ik for every i, and the product of
  two of these reads t_ii t_jj < t_ij^2.
- Order four with t_pq = 0: eliminating p and q leaves rank-one terms aa', bb' and a 2 x 2 matrix S. The shares
  theta S and (1 - theta) S with theta = a_r a_s / (a_r a_s + b_r b_s) give two non-negative matrices of order three.
- Order four, all positive: with y = T 1 > 0 subtract t yy' for the largest t that keeps T positive semidefinite and
  non-negative. Either the rank drops or an entry vanishes; two drops end at rank two.
- Comparison matrix (signs off the diagonal flipped) positive semidefinite: its lowest eigenvector x > 0 makes T
  diagonally dominant, and each pair i < j is one column with two entries.

References: Maxfield and Minc (1962), order four; Drew, Johnson and Loewy (1994), comparison matrices;
Berman and Shaked-Monderer, "Completely Positive Matrices" (2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.float64]

RANK = 1e-12
"""Eigenvalues below this share of the largest one count as zero."""


@dataclass(frozen=True, eq=False)
class Factorisation:
    """A non-negative factor, or why there is none.

    Parameters
    ----------
    factor : (n, m) float64 or None
        V >= 0 with V V' = T up to rounding.
    reason : str
        What decided, with figures.
    """

    factor: Array | None
    reason: str


def nonnegative_factor(matrix: Array, names: NDArray[np.intp]) -> Factorisation:
    """A factor V >= 0 with V V' = T, if one of the cases above applies.

    Parameters
    ----------
    matrix : (n, n) float64
        T, symmetric positive semidefinite up to rounding.
    names : (n,) int
        What the reason calls its rows.

    Returns
    -------
    Factorisation
    """
    diagonal = np.diagonal(matrix)
    scale = float(diagonal.max(initial=0.0))
    kept = np.flatnonzero(diagonal > 1e-28 * scale)
    if scale <= 0.0 or kept.size == 0:
        return Factorisation(np.zeros((matrix.shape[0], 0)), "it is zero")
    small = matrix[np.ix_(kept, kept)]
    roots = np.sqrt(np.diagonal(small))
    products = np.outer(roots, roots)
    slack = 1e-10 * products + 1e-14 * scale
    cosines = small / products
    i, j = (int(k) for k in np.unravel_index(np.where(small < -slack, cosines, 0.0).argmin(), small.shape))
    if small[i, j] < -slack[i, j]:
        where = f"({names[kept[i]]}, {names[kept[j]]})"
        return Factorisation(None, f"its entry {where} is {cosines[i, j]:.3g} of the root of its diagonal entries")
    edges = small > slack
    count, labels = connected_components(edges, directed=False)
    small = np.where(edges, small, 0.0)
    columns: list[Array] = []
    reasons: list[str] = []
    for label in range(count):
        block = np.flatnonzero(labels == label)
        leaders, copies = _distinct(cosines[np.ix_(block, block)], roots[block])
        reduced = small[np.ix_(block[leaders], block[leaders])]
        found, reason = _block_factor(reduced)
        if found is None:
            return Factorisation(None, reason)
        reasons.append(reason)
        spread = np.zeros((matrix.shape[0], found.shape[1]))
        spread[kept[block]] = copies @ found
        columns.append(spread)
    factor = np.hstack(columns)
    counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))
    return Factorisation(factor[:, factor.any(axis=0)], f"blocks: {counts}")


def _distinct(cosines: Array, lengths: Array) -> tuple[NDArray[np.intp], Array]:
    """Rows that are multiples of no earlier one, and the (k, leaders) matrix that writes all rows with them."""
    leaders: list[int] = []
    home = np.empty(lengths.size, dtype=np.intp)
    for row in np.argsort(-lengths, kind="stable"):
        matches = [k for k, leader in enumerate(leaders) if cosines[row, leader] >= 1.0 - RANK]
        home[row] = matches[0] if matches else len(leaders)
        if not matches:
            leaders.append(int(row))
    chosen = np.array(leaders, dtype=np.intp)
    copies = np.zeros((lengths.size, chosen.size))
    copies[np.arange(lengths.size), home] = lengths / lengths[chosen[home]]
    return chosen, copies


def _block_factor(block: Array) -> tuple[Array | None, str]:
    """A factor of one connected block, and the case that gave it."""
    order, rank = block.shape[0], _rank(block)
    if rank <= 2:
        return _planar(block), f"of rank {'one' if rank <= 1 else 'two'}"
    if order <= 4:
        return (_three if order == 3 else _four)(block), f"of order {'three' if order == 3 else 'four'}"
    comparison = 2.0 * np.diag(np.diagonal(block)) - block
    levels, vectors = np.linalg.eigh(comparison)
    lowest = np.abs(vectors[:, 0])
    if levels[0] >= -RANK * levels[-1] and lowest.min() > 0.0:
        return _dominant(block, lowest), "diagonally dominant after scaling"
    return None, f"one of its blocks has order {order} and rank {rank}, which is not decided in closed form"


def _rank(block: Array) -> int:
    levels = np.linalg.eigvalsh(block)
    return int(np.sum(levels > RANK * max(float(levels[-1]), 0.0)))


def _planar(block: Array) -> Array:
    """Rank at most two: polar coordinates around the sum of the rows, turned to the middle of the quadrant."""
    levels, vectors = np.linalg.eigh(block)
    if _rank(block) <= 1:
        # The second coordinate would be the root of a rounding error.
        return np.asarray(np.abs(vectors[:, -1:]) * np.sqrt(max(float(levels[-1]), 0.0)))
    rows = np.zeros((block.shape[0], 2))
    for axis in range(2):
        rows[:, axis] = vectors[:, -1 - axis] * np.sqrt(max(float(levels[-1 - axis]), 0.0))
    middle = rows.sum(axis=0)
    along, beside = rows @ middle, rows @ np.array([-middle[1], middle[0]])
    angles = np.arctan2(beside, along)
    turned = angles - 0.5 * (angles.min() + angles.max()) + 0.25 * np.pi
    lengths = np.linalg.norm(rows, axis=1)[:, None]
    return np.maximum(lengths * np.column_stack([np.cos(turned), np.sin(turned)]), 0.0)


def _three(block: Array) -> Array:
    """Order three: eliminate the row whose Schur complement is the most positive off its diagonal."""
    best: tuple[float, int] = (-np.inf, 0)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        if block[i, i] > 0.0:
            best = max(best, (float(block[j, k] - block[i, j] * block[i, k] / block[i, i]), i))
    i = best[1]
    if block[i, i] <= 0.0:
        return np.zeros((3, 0))
    first = block[:, i] / np.sqrt(block[i, i])
    rest = [(i + 1) % 3, (i + 2) % 3]
    remainder = block - np.outer(first, first)
    columns = np.zeros((3, 3))
    columns[:, 0] = first
    columns[rest, 1:] = _pair(remainder[np.ix_(rest, rest)])
    return columns


def _pair(block: Array) -> Array:
    """Order two: eliminate the larger entry of the diagonal."""
    big = int(block[1, 1] > block[0, 0])
    columns = np.zeros((2, 2))
    if block[big, big] > 0.0:
        columns[big, 0] = np.sqrt(block[big, big])
        columns[1 - big, 0] = max(float(block[0, 1]), 0.0) / columns[big, 0]
        columns[1 - big, 1] = np.sqrt(max(float(block[1 - big, 1 - big]) - columns[1 - big, 0] ** 2, 0.0))
    return columns


def _four(block: Array) -> Array | None:
    """Order four: rank-one steps along T 1 until the rank is two or an entry vanishes."""
    columns: list[Array] = []
    outside = ~np.eye(4, dtype=bool)
    floor = 1e-13 * float(np.trace(block))
    for _ in range(4):
        if _rank(block) <= 2:
            return np.hstack([*columns, _planar(block)])
        p, q = (int(k) for k in np.unravel_index(np.where(outside, block, np.inf).argmin(), (4, 4)))
        if block[p, q] <= floor:
            return np.hstack([*columns, _without_pair(block, p, q)])
        rows = block.sum(axis=1)
        # 1 / (1'T 1) is where the rank drops: T - T11'T / (1'T 1) has 1 in its kernel.
        step = min(1.0 / float(block.sum()), float((block / np.outer(rows, rows))[outside].min()))
        columns.append(np.sqrt(step) * rows[:, None])
        block = block - step * np.outer(rows, rows)
        block[outside] = np.maximum(block[outside], 0.0)
    return None


def _without_pair(block: Array, p: int, q: int) -> Array:
    """Order four with t_pq = 0: two matrices of order three."""
    rest = [k for k in range(4) if k not in (p, q)]
    spokes = [block[rest, k] / np.sqrt(block[k, k]) if block[k, k] > 0.0 else np.zeros(2) for k in (p, q)]
    remainder = block[np.ix_(rest, rest)] - sum(np.outer(spoke, spoke) for spoke in spokes)
    weights = [float(spoke[0] * spoke[1]) for spoke in spokes]
    total = sum(weights)
    shares = [weight / total for weight in weights] if total > 0.0 else [0.5, 0.5]
    columns: list[Array] = []
    for corner, spoke, share in zip((p, q), spokes, shares, strict=True):
        triangle = np.zeros((3, 3))
        triangle[0, 0] = max(float(block[corner, corner]), 0.0)
        triangle[0, 1:] = triangle[1:, 0] = block[corner, rest]
        triangle[1:, 1:] = np.outer(spoke, spoke) + share * remainder
        spread = np.zeros((4, 3))
        found = _three(triangle)
        spread[[corner, *rest], : found.shape[1]] = found
        columns.append(spread)
    return np.hstack(columns)


def _dominant(block: Array, scaling: Array) -> Array:
    """Diagonal dominance of D T D with D = diag(x): one column for each pair, one for each surplus."""
    order = block.shape[0]
    columns: list[Array] = []
    surplus = np.diagonal(block).copy()
    for i, j in zip(*np.triu_indices(order, 1), strict=True):
        if block[i, j] > 0.0:
            column = np.zeros(order)
            column[i] = np.sqrt(block[i, j] * scaling[j] / scaling[i])
            column[j] = np.sqrt(block[i, j] * scaling[i] / scaling[j])
            surplus -= column * column
            columns.append(column)
    return np.column_stack([*columns, np.diag(np.sqrt(np.maximum(surplus, 0.0)))])
