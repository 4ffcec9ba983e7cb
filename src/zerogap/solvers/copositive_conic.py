r"""The dual of the copositive program, for Clarabel: it has fewer variables, and its multipliers are the solution.

    minimise over R and N_l >= 0    1/2 ||R||^2 - <R, Y> / beta
    subject to    [[T_l' T_l - K_l' N_l K_l, -T_l' M_l], [-M_l' T_l, I]]  positive semidefinite

with M_lq = sum_s A_lsq r_s', for cones {K_l x >= 0} in the coordinates u = T_l x that cover the cells, and symmetric
N_l with zero diagonals. At the optimum beta R = Y - F, and the multiplier of the constraint is the matrix
[[X, B], [B', W]] / (2 beta) with T_l X T_l' = U and T_l B = Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap import clock
from zerogap.rounding import lengths

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

ATTEMPTS = (False, True)
"""Whether Clarabel equilibrates: of 372 small programs 368 met 1e-8 at once, and two at the second attempt.

With equilibration first, or beta moved to the quadratic term, a tenth to a quarter stalled before.
"""


@dataclass(frozen=True, eq=False)
class Part:
    """A cone inside a cell.

    Parameters
    ----------
    cell : int
    rows : (F, p) float64
        K.
    basis : (p, p) float64
        T.
    """

    cell: int
    rows: Array
    basis: Array


@dataclass(frozen=True, eq=False)
class ConicSolution:
    """What Clarabel returned: the multipliers ``blocks`` of the parts, (L, p + a C, p + a C), in coordinates x."""

    value: float
    blocks: Array
    residual: Array
    status: str
    iterations: int


def solved(maps: Array, parts: list[Part], targets: Array, beta: float, tol: float, max_time: float) -> ConicSolution:
    """The first solution that meets the tolerance, or the one with the smallest error.

    Parameters
    ----------
    maps : (P, n, a, p) float64
        Of length one at most.
    parts : list of Part
    targets : (n, C) float64
        Of length one.
    beta, tol : float
    max_time : float
        Seconds.
    """
    import clarabel

    order = maps.shape[3] + maps.shape[2] * targets.shape[1]
    form = conic_form(maps, parts, targets, beta)
    stop = clock.now() + max_time
    tried: list[tuple[float, int, Any]] = []
    for equilibrate in ATTEMPTS:
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = tol
        settings.equilibrate_enable = equilibrate
        settings.time_limit = max(stop - clock.now(), 0.0)
        try:
            found = clarabel.DefaultSolver(*form, settings).solve()
        except BaseException as error:
            # A panic, which is no Exception: an eigenvalue decomposition failed (seen once in two thousand programs).
            if type(error).__name__ != "PanicException":
                raise
            continue
        if np.isfinite(found.x).all() and np.isfinite(found.z).all():
            tried.append((_error(found), len(tried), found))
        if str(found.status) == "Solved" or clock.now() >= stop:
            break
    if not tried:
        nothing = np.zeros((len(parts), order, order))
        return ConicSolution(-np.inf, nothing, np.zeros(targets.shape), "Failed", 0)
    _, _, best = min(tried)
    triangles = np.array(best.z)[: len(parts) * order * (order + 1) // 2]
    return ConicSolution(
        value=-float(best.obj_val) * beta**2,
        blocks=_symmetric(triangles, order) * (2.0 * beta),
        residual=np.array(best.x)[: targets.size].reshape(targets.shape) * beta,
        status=str(best.status),
        iterations=sum(int(found.iterations) for _, _, found in tried),
    )


def _error(found: Any) -> float:
    """Nothing if the tolerance was met, else the relative gap or residual, whichever is larger."""
    gap = abs(found.obj_val - found.obj_val_dual) / max(abs(found.obj_val), 1e-300)
    error = max(gap, found.r_prim, found.r_dual)
    return 0.0 if str(found.status) == "Solved" else float(error) if np.isfinite(error) else np.inf


def conic_form(maps: Array, parts: list[Part], targets: Array, beta: float) -> tuple[Any, Array, Any, Array, list[Any]]:
    """P, q, A, b and cones of the program  min 1/2 x' P x + q' x,  b - A x in the cones; see ``Conic``.

    The variables are R, then all N above the diagonal; the constraints are the semidefinite ones, then N >= 0.
    """
    import clarabel

    n, a, p = maps.shape[1:]
    outputs, count = targets.shape[1], len(parts)
    place, double = _triangle(p + a * outputs)
    each = double.size
    j, q, s, k = (axis.ravel() for axis in np.indices((p, a, n, outputs)))
    own = np.array([maps[part.cell] @ part.basis for part in parts]).reshape(count, n, a, p)
    # -T' M: entry (j, q k) of part l sees R_sk through (A_l T_l)_sqj.
    crossed = place[j, p + q * outputs + k]
    rows = [(np.arange(count)[:, None] * each + crossed).ravel()]
    columns = [np.tile(s * outputs + k, count)]
    data = [np.sqrt(2.0) * own[:, s, q, j].ravel()]
    upper, lower = np.triu_indices(p)
    corner = place[upper, lower]
    bound = np.zeros((count, each))
    bound[:, place.diagonal()[p:]] = 1.0
    variables = targets.size
    for index, part in enumerate(parts):
        bound[index, corner] = double[corner] * (part.basis.T @ part.basis)[upper, lower]
        walls = part.rows @ part.basis
        walls = walls / lengths(walls)[:, None]
        first, second = np.triu_indices(walls.shape[0], 1)
        products = walls[first][:, upper] * walls[second][:, lower] + walls[second][:, upper] * walls[first][:, lower]
        rows.append(np.tile(index * each + corner, first.size))
        columns.append(np.repeat(variables + np.arange(first.size), corner.size))
        data.append((0.5 * double[corner] * products).ravel())
        variables += first.size
    signs = variables - targets.size
    rows.append(count * each + np.arange(signs))
    columns.append(targets.size + np.arange(signs))
    data.append(np.full(signs, -1.0))
    places = (np.concatenate(rows), np.concatenate(columns))
    matrix = sp.csc_array((np.concatenate(data), places), shape=(count * each + signs, variables))
    matrix.eliminate_zeros()
    curvature = sp.csc_array(sp.diags_array(np.repeat([1.0, 0.0], [targets.size, signs])))
    curvature.eliminate_zeros()
    cost = np.concatenate([-targets.ravel() / beta, np.zeros(signs)])
    cones = [clarabel.PSDTriangleConeT(p + a * outputs)] * count + [clarabel.NonnegativeConeT(signs)]
    return curvature, cost, matrix, np.append(bound, np.zeros(signs)), cones


def _triangle(order: int) -> tuple[Indices, Array]:
    """Places of the entries of a symmetric matrix in its upper triangle by columns, and the weights of these."""
    place = np.zeros((order, order), dtype=np.intp)
    columns, rows = np.tril_indices(order)
    place[rows, columns] = place[columns, rows] = np.arange(rows.size)
    return place, np.where(rows == columns, 1.0, np.sqrt(2.0))


def _symmetric(triangles: Array, order: int) -> Array:
    """The symmetric matrices of consecutive triangles, (L, order, order)."""
    place, double = _triangle(order)
    return np.asarray((triangles.reshape(-1, double.size) / double)[:, place])
