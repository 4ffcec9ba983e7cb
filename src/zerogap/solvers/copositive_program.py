r"""The copositive program of vector outputs and its relaxations, over a list of cells, by Clarabel.

    minimise over Z_i    1/2 sum_s c_s || sum_iq Z_iq' A_isq - y_s ||^2 + beta sum_i ||Z_i||_i

    ||Z||_i = min { (tr U + tr W) / 2 : [[U, Z], [Z', W]] positive semidefinite, U in C_i }

With C_i the convex hull of the u u' with K_i u >= 0, the completely positive matrices over the cell, this is the gauge
of conv{u w' : K_i u >= 0, ||u|| <= 1, ||w|| <= 1}: if U = V V' with columns of V in the cone, then Z = V B' with
B = Z' U^+ V, and W >= B B'. So the program is that of the ReLU network (P1, copositive form). Without W and Z it is the
published one, for S_i = U_i / (2 beta) and c = 1:

    minimise over S_i in C_i    1/2 sum_k y_k' (I + 2 sum_iq A_iq S_i A_iq')^{-1} y_k + beta^2 sum_i tr S_i

Larger sets of U give lower bounds (P1, relaxations):

    "doubly_nonnegative"   U positive semidefinite and K_i U K_i' >= 0, entry by entry
    "psd"                  U positive semidefinite: the nuclear norm, the program of the gated network

Products of facets imply those of all rows. Doubly nonnegative matrices of order four are completely positive (Maxfield
and Minc 1962). So K U K' = V V' with V >= 0 if the cell has four facets or fewer, and as V lies in the range of K, U is
completely positive over the cell, which may contain lines. The gauge of a union of cones is the infimal convolution of
theirs. So cells with more facets are cut into simplicial cones, which have at most four facets if K has rank four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import analytic_centres, interior_point
from zerogap.errors import InputError
from zerogap.rounding import lengths
from zerogap.solvers.copositive_conic import Part, solved
from zerogap.triangulation import CLOSE, facets, lines, nearest, rays, triangulated

Array = NDArray[np.float64]

CONES = ("completely_positive", "doubly_nonnegative", "psd")

FOUR = 4
"""Doubly nonnegative matrices of this order are completely positive; larger ones need not be."""

NEGLIGIBLE = 1e-6
"""Eigenvectors are left out below this share of the largest eigenvalue of all U, and projections of this length."""


@dataclass(frozen=True, eq=False)
class CopositiveSolution:
    """What Clarabel returned.

    Parameters
    ----------
    value : float
        Its dual value: a lower bound, up to its tolerance.
    matrices : (P, p, p) float64
        U_i.
    blocks : (P, p, a, C) float64
        Z_i, by entry of the neuron, output weight and output.
    residual : (n, C) float64
        c (Y - F).
    status : str
        Clarabel's own: "Solved" if the tolerance was met, "AlmostSolved" if it was missed by little; "Failed" without
        any numbers, which leaves value -inf and zero arrays.
    iterations : int
    """

    value: float
    matrices: Array
    blocks: Array
    residual: Array
    status: str
    iterations: int


def solve_copositive(
    maps: Array,
    cones: Sequence[Array],
    targets: Array,
    beta: float,
    *,
    weights: Array | None = None,
    cone: str = "doubly_nonnegative",
    tol: float = 1e-8,
    max_time: float = np.inf,
) -> CopositiveSolution:
    """Solve the program of the module docstring.

    Parameters
    ----------
    maps : (P, n, a, p) float64
        A: what sample s sees of a neuron of cell i through output weight q.
    cones : P arrays (H_i, p) float64
        K_i.
    targets : (n, C) float64
    beta : float
        Positive.
    weights : (n,) float64, optional
        c, non-negative; default ones.
    cone : str
        "completely_positive", "doubly_nonnegative" or "psd".
    tol : float
        Of the relative gap and the constraints.
    max_time : float
        Seconds for Clarabel, not counting the construction of the conic program.

    Raises
    ------
    InputError
        If `cone` is none of these, or is "completely_positive" and a cell has more than four facets of rank above four.
    """
    if cone not in CONES:
        raise InputError("cone", repr(cone), f"one of {list(CONES)}", "choose one of these names")
    count, n, a, p = maps.shape
    outputs = targets.shape[1]
    root = np.sqrt(np.ones(n) if weights is None else weights)[:, None]
    maps, targets = maps * root[:, :, None], targets * root
    # Units in which the targets and the largest map have length one.
    size = float(np.linalg.norm(targets)) or 1.0
    reach = float(lengths(maps.reshape(count, n * a * p)).max(initial=0.0)) or 1.0
    parts = [Part(cell, rows, _coordinates(rows)) for cell, walls in enumerate(cones) for rows in covering(walls, cone)]
    level = beta / (size * reach)
    found = solved(maps / reach, parts, targets / size, level, tol, max_time)
    sums, frame = np.zeros((count, p + a * outputs, p + a * outputs)), np.eye(p + a * outputs)
    for part, block in zip(parts, found.blocks, strict=True):
        frame[:p, :p] = part.basis
        sums[part.cell] += frame @ block @ frame.T * (size / reach)
    return CopositiveSolution(
        value=found.value * size**2,
        matrices=sums[:, :p, :p],
        blocks=sums[:, :p, p:].reshape(count, p, a, outputs),
        residual=found.residual * root * size,
        status=found.status,
        iterations=found.iterations,
    )


def covering(rows: Array, cone: str) -> list[Array]:
    """Facets of cones that cover a cell, whose products are to be constrained; (F, p) each.

    Parameters
    ----------
    rows : (H, p) float64
    cone : str

    Raises
    ------
    InputError
        As ``solve_copositive``.
    """
    if cone == "psd":
        return [rows[:0]]
    rows = facets(rows)
    if cone == "doubly_nonnegative" or rows.shape[0] <= FOUR:
        return [rows]
    rank = lines(rows)[1].shape[1]
    if rank > FOUR:
        raise InputError(
            "cone='completely_positive'",
            f"a cell with {rows.shape[0]} facets of rank {rank}",
            f"cells with at most {FOUR} facets, or of rank {FOUR}",
            "no exact conic program is known beyond: zg.train(arrangements='enumerate') is exact, and "
            "cone='doubly_nonnegative' a lower bound",
        )
    # Coordinates with respect to the rays are the facets of a simplicial cone.
    inverses: list[Array] = [np.linalg.pinv(simplex).astype(np.float64) for simplex in triangulated(rows)]
    return [inverse / lengths(inverse)[:, None] for inverse in inverses]


def _coordinates(rows: Array) -> Array:
    """T, of norm one, such that the cone {K T x >= 0} is neither thin nor flat; (F, p), result (p, p).

    T^{-2} is the Hessian, at the analytic centre, of ||u||^2 / 2 and the barrier of the walls. For a spiral of 60
    points and beta = 1e-3 Clarabel reaches six digits in the coordinates x, and two in u.
    """
    p = rows.shape[1]
    inside = np.ones((1, rows.shape[0]), dtype=bool)
    start = interior_point(rows, inside[0]) if rows.shape[0] else None
    if start is None:
        return np.eye(p)
    scaled = rows / (rows @ analytic_centres(rows, inside, start[None])[0])[:, None]
    values, vectors = np.linalg.eigh(np.eye(p) + scaled.T @ scaled)
    return np.asarray((vectors * np.sqrt(values[0] / values)) @ vectors.T)


def rounded(
    solution: CopositiveSolution, cones: Sequence[Array], *, rank: int | None = None
) -> list[tuple[int, Array]]:
    """Neurons that a solution suggests, as cells and directions of unit length inside them.

    If U = sum_l u_l u_l' over the cell, U k = sum_l (k . u_l) u_l lies in the cell for every row k of K, and is the one
    u_l off the wall if there is but one. So these, the eigenvectors of U and of what is left of U after U k, and, up to
    rank four, the rays are projected on the cell. Networks of such neurons were as good as the solution to 1e-7 for
    random data, and to 1e-5 for single cells with matrices U of full rank, wherever U was completely positive; with the
    eigenvectors alone they were up to ten percent worse.

    Parameters
    ----------
    solution : CopositiveSolution
    cones : P arrays (H_i, p) float64
        K_i.
    rank : int, optional
        Eigenvectors of each matrix, at most; default all that count.

    Returns
    -------
    list of (int, (p,) float64)
        Without repetitions within a cell.
    """
    largest = np.linalg.eigvalsh(solution.matrices).max(axis=1, initial=0.0)
    floor = NEGLIGIBLE * float(largest.max(initial=0.0))
    found: list[tuple[int, Array]] = []
    for cell in np.flatnonzero(largest > floor).tolist():
        rows, matrix = facets(cones[cell]), solution.matrices[cell]
        directions = [*_leading(matrix, floor, rank), *(rows @ matrix)]
        for row in rows[np.einsum("hi,ij,hj->h", rows, matrix, rows) > floor]:
            image = matrix @ row
            left = matrix - np.outer(image, image) / (row @ image)
            directions += [*_leading(left, floor, rank), *(rows @ left)]
        if lines(rows)[1].shape[1] <= FOUR:
            directions += [*rays(rows)[0].T]
        suggested = [direction for direction in directions if np.linalg.norm(direction) > floor]
        found += [(cell, direction) for direction in _inside(rows, suggested)]
    return found


def _inside(rows: Array, directions: list[Array]) -> Array:
    """Projections on the cone, of unit length and without repetitions; those on the apex are left out."""
    kept = np.zeros((0, rows.shape[1]))
    for direction in directions:
        inside = nearest(rows, direction / np.linalg.norm(direction))
        if inside is None or np.linalg.norm(inside) <= NEGLIGIBLE:
            continue
        inside = inside / np.linalg.norm(inside)
        if (rows @ inside).min(initial=0.0) >= -CLOSE and np.all(kept @ inside < 1.0 - 1e-12):
            kept = np.concatenate([kept, inside[None]])
    return kept


def _leading(matrix: Array, floor: float, rank: int | None) -> Array:
    """Eigenvectors of large eigenvalues, with both signs, as rows."""
    values, vectors = np.linalg.eigh(matrix)
    vectors = vectors[:, ::-1][:, values[::-1] > floor][:, :rank].T
    return np.concatenate([vectors, -vectors])
