r"""Spike-free data of full row rank, and the largest price of a ReLU neuron on them (P3; P1, closed forms).

X is spike-free if clipping reaches nothing new: every (X u)_+ with ||u|| <= 1 is X v for some ||v|| <= 1. With
n <= d rows of full rank and H = (X X')^{-1}, a = X v needs ||v||^2 >= a'H a. Let z = X u and write z = z_+ - z_-.
Then ||u||^2 >= z'H z, and

    z'H z - z_+'H z_+ = z_-'H z_- - 2 z_+'H z_- .

If no entry of H off the diagonal is positive, the right side is non-negative: X is spike-free. If H_ij > 0 for some
i != j, then z = t e_i - e_j makes it negative for large t: X is not. So spike-free is decided by n^2 signs, and the
features of unit neurons are { a >= 0 : a'H a <= 1 }. Whitened rows (H = I) and orthogonal rows are special cases.

Price. A residual R is dual feasible if ||R'a|| <= beta for all these a. Let groups of rows be such that H is block
diagonal and (R R')_ij <= 0 across groups. Then, as a >= 0,

    ||R'a||^2 <= sum_k ||R_k'a_k||^2 <= max_k ||H_k^{-1/2} R_k||^2 a'H a .

Both statements stay true, with the constants computed here, for every X and every H with those signs: a positive
diagonal H needs no property of X at all. Rounding and rows that are only nearly orthogonal cost tightness, not truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from zerogap.errors import InputError
from zerogap.rounding import SUBNORMAL, enlarged, gamma
from zerogap.spectral import singular_value_above

Array = NDArray[np.float64]
Groups = list[NDArray[np.intp]]

ORTHOGONAL = 1e-9
"""Rows count as orthogonal if X X', with its diagonal scaled to one, is this close to the identity."""

SINGULAR = 1e-10
"""Smallest eigenvalue of that matrix for rows of full rank."""

REMEDY = "whiten X in float64 (X <- (X X')^{-1/2} X), or train: zg.train(zg.MLP(bias=False), X, y)"


@dataclass(frozen=True, eq=False)
class SpikeFree:
    """The metric of the features of spike-free rows, with what its rounding errors can do.

    Parameters
    ----------
    metric : (n, n) float64
        H, with no positive entry off its diagonal.
    factor : (n, n) float64
        Lower triangular L with L L' = H up to `defect`.
    defect : float
        Bound of ||L L' - H||; zero for a diagonal.
    diagonal : bool
        Whether H is.
    deviation : float
        ||D X X' D - I||, where D scales the rows to length one.
    size : float
        Upper bound of ||X||.
    stretch : float
        Upper bound of sqrt(a'L L'a) over the features a = (X u)_+ of unit neurons; close to one.
    """

    metric: Array
    factor: Array
    defect: float
    diagonal: bool
    deviation: float
    size: float
    stretch: float

    def scaled(self, rows: Array, group: NDArray[np.intp]) -> Array:
        """L_k^{-1} of these rows of one group; they are orthonormal coordinates of X'Y."""
        return np.asarray(solve_triangular(self.block(group), rows, lower=True))

    def block(self, group: NDArray[np.intp]) -> Array:
        """L_k, the factor of one group."""
        return self.factor[np.ix_(group, group)]

    def price_above(self, residual: Array, groups: Groups) -> float:
        """An upper bound of max ||R'(X u)_+|| over ||u|| <= 1.

        Parameters
        ----------
        residual : (n, C) float64
            R.
        groups : list of index arrays
            A partition of the rows for which `factor` is block diagonal. Products R_i'R_j > 0 across groups cost
            tightness only.
        """
        # A power of two, so that no square underflows.
        peak = float(np.abs(residual).max(initial=0.0))
        if peak == 0.0:
            return 0.0
        unit = math.ldexp(1.0, math.frexp(peak)[1])
        residual = residual / unit
        steepest, solving, across = 0.0, 0.0, 0.0
        for group in groups:
            rows, factor = residual[group], self.block(group)
            solution = self.scaled(rows, group)
            steepest = max(steepest, singular_value_above(solution, 0.0))
            # R_k = L_k P_k + E_k, whatever the solver did.
            magnitude = np.abs(factor) @ np.abs(solution) + np.abs(rows)
            error = np.abs(rows - factor @ solution) + 2.0 * gamma(group.size + 4) * magnitude
            solving += float(np.sum(error * error))
        if len(groups) > 1:
            crossing = residual @ residual.T
            for group in groups:
                crossing[np.ix_(group, group)] = 0.0
            rounding = 2.0 * gamma(residual.shape[1] + 4) * float(np.sum(residual * residual))
            across = float(np.linalg.norm(np.maximum(crossing, 0.0))) + rounding
        slack = enlarged(math.sqrt(solving), residual.size + 8) * self.size
        inner = enlarged(steepest * self.stretch, 4) + slack
        square = inner * inner + enlarged(across, residual.shape[0] ** 2 + 8) * self.size * self.size
        return enlarged(math.sqrt(enlarged(square, 8)), 8) * unit


def spike_free(X: Array) -> SpikeFree:
    """The metric of spike-free rows of full rank.

    Parameters
    ----------
    X : (n, d) float64

    Returns
    -------
    SpikeFree

    Raises
    ------
    InputError
        If the rows are more than the columns, not of full rank, or not spike-free.
    """
    n, d = X.shape
    if n > d:
        raise InputError("X", f"{n} rows in {d} dimensions", "rows with X X' = I, at most as many as columns", REMEDY)
    gram = X @ X.T
    lengths = np.sqrt(np.diagonal(gram))
    if lengths.min() < 1e-140:
        raise InputError("X", f"row {int(lengths.argmin())} of length {lengths.min():.3g}", "rows of full rank", REMEDY)
    cosines = gram / np.outer(lengths, lengths)
    spectrum = np.linalg.eigvalsh(cosines)
    deviation = float(np.abs(spectrum - 1.0).max())
    if deviation <= ORTHOGONAL:
        factor = np.diag(1.0 / lengths)
        return measured(X, factor * factor, factor, 0.0, deviation)
    figure = f"X X', scaled to ones on its diagonal, differs from the identity by {deviation:.2g}"
    if spectrum[0] < SINGULAR:
        raise InputError(
            "X", f"{figure} and has the eigenvalue {spectrum[0]:.2g}", "rows with X X' = I, or of full rank", REMEDY
        )
    inverse = np.linalg.inv(cosines)
    inverse = 0.5 * (inverse + inverse.T)
    scale = np.sqrt(np.diagonal(inverse))
    relative = inverse / np.outer(scale, scale) - np.eye(n)
    i, j = (int(k) for k in np.unravel_index(relative.argmax(), relative.shape))
    if relative[i, j] > ORTHOGONAL:
        got = f"{figure}, and entry ({i}, {j}) of its inverse is {relative[i, j]:.2g} > 0 (unit diagonal)"
        expected = "rows with X X' = I (whitened), or spike-free: no positive entry of the inverse off its diagonal"
        raise InputError("X", got, expected, REMEDY)
    off = np.where(relative < -1e-3 * ORTHOGONAL, inverse, 0.0)
    metric = (off + np.diag(np.diagonal(inverse))) / np.outer(lengths, lengths)
    factor = np.linalg.cholesky(metric)
    defect = enlarged(gamma(n + 2) * float(np.sum(factor * factor)), n * n + 8)
    return measured(X, metric, factor, defect, deviation)


def pooled_patches(patches: Array) -> SpikeFree:
    """The metric of averages over the patches of every sample, (n, K, d), all of them orthonormal up to a scale.

    f_s = (1/K) sum_k (m_sk . u)_+ has f_s^2 <= (1/K) sum_k (m_sk . u)^2. So sum_s H_ss f_s^2 <= ||D M u||^2 for the
    matrix M of all patches and D = diag(sqrt(H_ss / K)), which bounds the stretch of every M; for orthonormal patches
    it is one.

    Raises
    ------
    InputError
        If the patches are not orthonormal up to a scale.
    """
    n, count, d = patches.shape
    flat = patches.reshape(-1, d)
    gram = flat @ flat.T
    square = float(np.trace(gram)) / flat.shape[0]
    deviation = float(np.abs(np.linalg.eigvalsh(gram / square) - 1.0).max()) if square > 0.0 else np.inf
    if n * count > d or deviation > ORTHOGONAL:
        got = f"{n * count} patches in {d} dimensions, {deviation:.2g} from orthonormal ones"
        expected = "patches whose products are a multiple of the identity"
        remedy = "whiten all patches, or train: zg.train(zg.CNN(size, pooling='average', bias=False), X, y)"
        raise InputError("X", got, expected, remedy)
    factor = np.diag(np.full(n, math.sqrt(count / square)))
    scaled = flat * math.sqrt(1.0 / square)
    rounding = enlarged(gamma(8) * float(np.linalg.norm(scaled)), flat.size + 8)
    stretch = singular_value_above(scaled, rounding)
    size = enlarged(singular_value_above(flat, 0.0) / math.sqrt(count), 8)
    return SpikeFree(factor * factor, factor, 0.0, True, deviation, size, stretch)


def measured(X: Array, metric: Array, factor: Array, defect: float, deviation: float) -> SpikeFree:
    """A metric with its size and stretch on these rows.

    For a = z_+ and z = X u the module's identity gives a'L L'a <= z'L L'z + defect (||a||^2 + ||z_-||^2 + ||z||^2), so
    a'L L'a <= ||L'X||^2 + 2 defect ||X||^2 for unit u.

    Parameters
    ----------
    X : (n, d) float64
        Any rows.
    metric, factor : (n, n) float64
        H, with no positive entry off its diagonal, and L.
    defect : float
        Bound of ||L L' - H||; zero if and only if L is diagonal.
    deviation : float
        Only kept.
    """
    diagonal = defect == 0.0
    coordinates = factor.T @ X
    operations = 4 if diagonal else X.shape[0] + 2
    rounding = gamma(operations) * float(np.linalg.norm(np.abs(factor).T @ np.abs(X)))
    size = singular_value_above(X, 0.0)
    stretch = singular_value_above(coordinates, enlarged(rounding, X.size + 8) + SUBNORMAL)
    if not diagonal:
        stretch = enlarged(math.sqrt(enlarged(stretch * stretch + 2.0 * defect * size * size, 8)), 8)
    return SpikeFree(metric, factor, defect, diagonal, deviation, size, stretch)
