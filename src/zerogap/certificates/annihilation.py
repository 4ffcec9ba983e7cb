"""Dual points that vanish exactly on the unpenalised directions.

An unpenalised bias is a direction in which the primal is unbounded, so a dual point r proves something
only if C r = 0 exactly, for an integer matrix C: one row of ones for the output offset, or the number of
active rows of every sample and gate for gated networks. Floating point gives C r = tiny. The functions
here move r close to the null space and bound how far the nearest exact solution lies; the caller then
inflates everything by that radius (docs/theory.md, "Free bias").
"""

from __future__ import annotations

from fractions import Fraction
from math import fsum

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import brentq

from zerogap.rounding import enlarged, gamma

Array = NDArray[np.float64]

SCALINGS = 200
"""Scalings of the columns of a residual, at most."""

SNAP = (1e-12, 1e-9, 1e-6, 1e-4)
"""Coordinates closer than this to an end of the dual box are put on that end, in units of ``_width``."""


def annihilated(residual: Array, constraints: Array, low: Array, high: Array) -> tuple[Array, float] | None:
    """A dual point near `residual` and a radius within which some r' has C r' = 0 exactly.

    Parameters
    ----------
    residual : (n,) float64
    constraints : (k, n) float64
        C, integer-valued.
    low, high : (n,) float64
        Ends of the dual domain; the exact r' lies inside as well.

    Returns
    -------
    (point, radius) or None
        None if no radius could be proved.
    """
    if np.all(constraints == constraints[:1]) and np.all(constraints[0] == constraints[0, 0]):
        residual = _shifted(residual, low, high)
        constraints = constraints[:1]
    for snap in SNAP:
        found = _corrected(residual, constraints, low, high, snap)
        if found is not None:
            return found
    return None


def balanced_on_grid(residual: Array) -> Array:
    """A residual near the given one, on a grid of a power of two, whose entries sum to zero exactly.

    Entries only move towards zero, so they stay inside any box that contains zero; no entry moves by more
    than the sum of `residual` and n steps of the grid.
    """
    peak = float(np.abs(residual).max(initial=0.0))
    if peak == 0.0:
        return np.zeros_like(residual)
    # 2^44 steps for the largest entry: sums of them are exact in float64 and in integers.
    step = float(np.ldexp(1.0, int(np.frexp(peak)[1]) - 44))
    counts = [int(value) for value in np.trunc(residual / step)]
    excess = sum(counts)
    for k in sorted(range(len(counts)), key=lambda k: -abs(counts[k])):
        if excess == 0:
            break
        if (counts[k] > 0) == (excess > 0):
            taken = min(abs(excess), abs(counts[k])) * (1 if excess > 0 else -1)
            counts[k] -= taken
            excess -= taken
    return step * np.array(counts, dtype=np.float64)


def scaled_columns(residual: Array, targets: Array, weights: Array) -> Array:
    """A residual of cross-entropy (n, C) whose columns nearly sum to zero, as its rows do.

    The shares c p = c Y - R are positive with given sums of rows and, when R is balanced, of columns: scaling both in
    turn (Sinkhorn) leads there, as far as it goes.
    """
    share = np.maximum(weights[:, None] * targets - residual, 0.0)
    wanted = weights @ targets
    for _ in range(SCALINGS):
        sums = share.sum(axis=0)
        if np.all(np.abs(sums - wanted) <= 1e-14 * weights.sum()):
            break
        share *= wanted / np.maximum(sums, 1e-300)
        share *= (weights / np.maximum(share.sum(axis=1), 1e-300))[:, None]
    return np.asarray(weights[:, None] * targets - share)


def balanced_columns(residual: Array, targets: Array, weights: Array) -> Array | None:
    """A residual of cross-entropy (n, C) near the given one whose columns sum to zero exactly, as its rows do.

    What a column has too much moves to another one within a sample whose shares of both classes are large, so that
    the point stays inside the dual domain; None if there is no such sample.

    Parameters
    ----------
    residual : (n, C) float64
        On a grid, rows of sum zero, inside the domain (``CrossEntropyLoss.feasible``).
    targets : (n, C) float64
        One-hot.
    weights : (n,) float64
    """
    peak = float(np.abs(residual).max(initial=0.0))
    if peak == 0.0:
        return np.zeros_like(residual)
    # Entries are whole numbers of this step, whatever the grid is, and fewer than 2**61.
    step = float(np.ldexp(1.0, int(np.frexp(peak)[1]) - 60))
    counts = np.rint(residual / step).astype(np.int64)
    if not np.array_equal(counts * step, residual):
        return None
    share = weights[:, None] * targets - residual  # c p
    for _ in range(4 * residual.shape[1]):
        excess = [sum(column) for column in counts.T.tolist()]
        most, least = int(np.argmax(excess)), int(np.argmin(excess))
        if excess[most] == 0 and excess[least] == 0:
            return np.asarray(counts * step, dtype=np.float64)
        moved = min(excess[most], -excess[least])
        # r falls in column `most`, where c p grows, and grows in column `least`, where c p falls.
        room = np.minimum(share[:, least], weights - share[:, most])
        sample = int(room.argmax())
        if not 0 < moved < 2**60 or not moved * step < 0.5 * room[sample]:
            return None
        counts[sample, most] -= moved
        counts[sample, least] += moved
        share[sample, most] += moved * step
        share[sample, least] -= moved * step
    return None


def _corrected(residual: Array, constraints: Array, low: Array, high: Array, snap: float) -> tuple[Array, float] | None:
    """The correction that leaves the coordinates near the ends of the box on those ends."""
    bounded = np.isfinite(high - low)
    width = np.where(bounded, _width(residual, low, high), 0.0)
    at_low = bounded & (residual <= low + snap * width)
    at_high = bounded & (residual >= high - snap * width)
    movable = ~(at_low | at_high)
    moved = np.where(at_low, low, np.where(at_high, high, residual))
    chosen = _independent(constraints, movable, moved)
    if chosen is None:
        return None
    basis, inverse, defect = chosen
    for _ in range(3):
        moved[movable] -= inverse @ (basis @ moved)
    # fsum rounds once, and so does every product with a small integer.
    errors = np.array(
        [abs(fsum((row * moved).tolist())) + gamma(2) * fsum(np.abs(row * moved).tolist()) for row in basis]
    )
    # The sum of the errors, not their length: squares of tiny errors underflow.
    radius = enlarged(float(np.linalg.norm(inverse)) * float(errors.sum()) / (1.0 - defect), moved.size + 8)
    inside = np.all((moved[movable] - radius >= low[movable]) & (moved[movable] + radius <= high[movable]))
    return (moved, radius) if inside and np.isfinite(radius) else None


def _width(residual: Array, low: Array, high: Array) -> Array:
    """The width of the box, or the largest entry of the residual if that is less: with tiny beta all of r is tiny."""
    return np.minimum(high - low, np.abs(residual).max(initial=0.0))


def _shifted(residual: Array, low: Array, high: Array) -> Array:
    """The clipped shift of `residual` that sums to zero, strictly inside the box."""
    if not np.all(np.isfinite(low)):
        return np.asarray(residual - residual.mean())
    margin = 2.0 * SNAP[0] * _width(residual, low, high)

    def total(shift: float) -> float:
        return float(np.clip(residual - float(shift), low + margin, high - margin).sum())

    reach = float(np.max(high - low)) + float(np.abs(residual).max())
    if total(-reach) <= 0.0 or total(reach) >= 0.0:
        return residual
    shift, _ = brentq(total, -reach, reach, xtol=1e-300, rtol=1e-15, maxiter=1000, full_output=True, disp=False)
    return np.clip(residual - float(shift), low + margin, high - margin)


def _independent(constraints: Array, movable: NDArray[np.bool_], values: Array) -> tuple[Array, Array, float] | None:
    """Rows of C that imply the others given the fixed values, their right inverse on the movable part, its defect."""
    part = constraints[:, movable]
    rank = 0
    order: NDArray[np.intp] = np.arange(constraints.shape[0])
    if part.size:
        _, triangle, pivots = qr(part.T, mode="economic", pivoting=True)
        order = np.asarray(pivots)
        diagonal = np.abs(np.diag(triangle))
        rank = int(np.sum(diagonal > 1e-9 * diagonal[0])) if diagonal[0] > 0.0 else 0
    basis = constraints[order[:rank]]
    inverse: Array = np.asarray(np.linalg.pinv(basis[:, movable]), dtype=np.float64)
    product = basis[:, movable] @ inverse
    rounding = gamma(int(movable.sum()) + 2) * (np.abs(basis[:, movable]) @ np.abs(inverse))
    defect = float(np.linalg.norm(np.abs(product - np.eye(rank)) + rounding)) * (1.0 + 1e-10)
    implied = all(_is_implied(row, basis, movable, values) for row in constraints[order[rank:]])
    return (basis, inverse, defect) if implied and defect < 0.5 else None


def _is_implied(row: Array, basis: Array, movable: NDArray[np.bool_], values: Array) -> bool:
    """Whether basis . r = 0 implies row . r = 0 for all r with these fixed values; decided in exact arithmetic.

    Looks for small rational coefficients that cancel the row on the movable coordinates, and then sums
    what is left on the fixed ones exactly.
    """
    coefficients = np.linalg.lstsq(basis[:, movable].T, row[movable], rcond=None)[0] if basis.size else np.zeros(0)
    for denominator in range(1, 25):
        numerators = np.rint(coefficients * denominator)
        if np.abs(numerators).max(initial=0.0) >= 2.0**20:
            continue
        rest = denominator * row - numerators @ basis
        if not rest[movable].any():
            fixed = zip(rest[~movable].tolist(), values[~movable].tolist(), strict=True)
            return sum(Fraction(factor) * Fraction(value) for factor, value in fixed) == 0
    return False
