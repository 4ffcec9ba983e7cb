"""The Newton system of the interior point method.

    [ B + A' w A    A' w 1 ] [ dv ]   [ g ]        B = blockdiag(B_1 ... B_m),  A = [+-T_1 ... +-T_P]
    [ 1' w A        1' w 1 ] [ db ] = [ h ]        (last row and column only with an offset)

It is solved in sample space, (I + W^{1/2} S W^{1/2}) with S = sum_i T_i (B_i+^{-1} + B_i-^{-1}) T_i', or
by a Cholesky factor of the primal matrix when there are fewer unknowns than samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

Array = NDArray[np.float64]


class NewtonSystem:
    """Factor once, solve for several right-hand sides.

    Parameters
    ----------
    maps : (P, p, n) float64
        The transposed T_i.
    signs : (F,) float64
        Output signs of the families, (1,) or (1, -1); m = F P.
    hessians : (m, p, p) float64
        B, positive definite.
    curvature : (n,) float64
        w >= 0.
    offset : bool
    smooth : bool
        Whether w stays bounded; if not, only the sample-space form keeps its digits.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a factorisation breaks down.
    """

    def __init__(
        self, maps: Array, signs: Array, hessians: Array, curvature: Array, *, offset: bool, smooth: bool = True
    ) -> None:
        cells, p, n = maps.shape
        families = signs.size
        self._operator = SignedMaps(maps, families)
        self._hessians, self._curvature, self._offset = hessians, curvature, offset
        self._root = np.sqrt(curvature)
        self._primal = smooth and families * cells * p < n
        if self._primal:
            stacked = np.concatenate([sign * maps for sign in signs]).reshape(-1, n) * self._root
            normal = stacked @ stacked.T
            for block in range(hessians.shape[0]):
                part = slice(block * p, (block + 1) * p)
                normal[part, part] += hessians[block]
            self._factor = cho_factor(normal, lower=True, check_finite=False)
        else:
            self._whitening = inverse_roots(hessians)
            inverses = np.matmul(self._whitening.transpose(0, 2, 1), self._whitening)
            merged = inverses.reshape(families, cells, p, p).sum(axis=0)
            # The directions that this jitter drowns are those that hardly enter S.
            merged[:, np.arange(p), np.arange(p)] += 1e-15 * np.trace(merged, axis1=1, axis2=2)[:, None]
            half = np.matmul(np.linalg.cholesky(merged).transpose(0, 2, 1), maps).reshape(cells * p, n)
            half *= self._root
            gram = dsyrk(1.0, half.T, lower=1)
            gram[np.arange(n), np.arange(n)] += 1.0
            self._factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        if offset:
            # The response to a unit offset; 1' q of it is the Schur complement.
            zero = np.zeros((families * cells, p))
            self._response = self._solve_blocks(zero, np.ones(n))
            self._corner = float(self._response[1].sum())
            if not self._corner > 0.0:
                raise np.linalg.LinAlgError("offset is not determined")

    def solve(self, right: Array, right_offset: float = 0.0, *, refine: bool = True) -> tuple[Array, float, Array]:
        """The solution with its image q.

        q = w (A dv + b 1) is returned because recomputing it from dv loses as many digits as w is large.

        Parameters
        ----------
        right : (m, p) float64
        right_offset : float
        refine : bool
            One step of iterative refinement.

        Returns
        -------
        dv : (m, p), db : float, q : (n,)
        """
        zero = np.zeros(self._curvature.size)
        dv, db, q = self._once(right, right_offset, zero)
        if not refine:
            return dv, db, q
        # On the augmented system B dv + A'q = g, q / w = A dv + db.
        residual = right - np.einsum("mij,mj->mi", self._hessians, dv) - self._operator.adjoint(q)
        mismatch = self._operator.forward(dv) + db - q / np.maximum(self._curvature, 1e-300)
        more = self._once(residual, right_offset - float(q.sum()), mismatch)
        return dv + more[0], db + more[1], q + more[2]

    def _once(self, right: Array, right_offset: float, shift: Array) -> tuple[Array, float, Array]:
        """B dv + A' q = right,  q = w (A dv + db + shift),  1' q = right_offset."""
        dv, q = self._solve_blocks(right, shift)
        if not self._offset:
            return dv, 0.0, q
        db = (right_offset - float(q.sum())) / self._corner
        return dv + db * self._response[0], db, q + db * self._response[1]

    def _solve_blocks(self, right: Array, shift: Array) -> tuple[Array, Array]:
        """The same without the offset: dv and q."""
        if self._primal:
            reduced = right - self._operator.adjoint(self._curvature * shift)
            flat = cho_solve(self._factor, reduced.reshape(-1), check_finite=False)
            dv = flat.reshape(right.shape)
            return dv, self._curvature * (self._operator.forward(dv) + shift)
        image = self._operator.forward(self._solve_hessians(right)) + shift
        q = self._root * cho_solve(self._factor, self._root * image, check_finite=False)
        return self._solve_hessians(right - self._operator.adjoint(q)), q

    def _solve_hessians(self, right: Array) -> Array:
        """B^{-1} right."""
        white = np.einsum("mij,mj->mi", self._whitening, right)
        return np.einsum("mji,mj->mi", self._whitening, white)


class SignedMaps:
    """A = [+T_1 ... +T_P -T_1 ... -T_P] (or the first half only), applied without being formed.

    Parameters
    ----------
    maps : (P, p, n) float64
        The transposed T_i, contiguous.
    families : int
        1 or 2.
    """

    def __init__(self, maps: Array, families: int) -> None:
        self._matrix = maps.reshape(-1, maps.shape[2])
        self._cells, self._double = maps.shape[0], families == 2

    def forward(self, v: Array) -> Array:
        """A v; v (m, p), result (n,)."""
        merged = v[: self._cells] - v[self._cells :] if self._double else v
        return np.asarray(merged.reshape(-1) @ self._matrix)

    def adjoint(self, r: Array) -> Array:
        """A' r; r (n,), result (m, p)."""
        each = (self._matrix @ r).reshape(self._cells, -1)
        return np.concatenate([each, -each]) if self._double else each


def inverse_roots(matrices: Array) -> Array:
    """Lower triangular R with R' R = B^{-1} for a batch of positive definite matrices (m, p, p).

    Cholesky, not LU: near a solution a block adds walls with multipliers that differ by 16 digits, and
    only the triangular factor keeps the small eigenvalues of such graded matrices accurate.
    """
    p = matrices.shape[1]
    index = np.arange(p)
    scale = 1.0 / np.sqrt(matrices[:, index, index])
    scaled = scale[:, :, None] * matrices * scale[:, None, :]
    lower = _cholesky(scaled)
    inverse = np.zeros_like(lower)
    for row in range(p):
        inverse[:, row, row] = 1.0
        if row:
            inverse[:, row : row + 1, :row] = -np.matmul(lower[:, row : row + 1, :row], inverse[:, :row, :row])
        inverse[:, row] /= lower[:, row, row, None]
    return np.asarray(inverse * scale[:, None, :])


def _cholesky(scaled: Array) -> Array:
    """Cholesky factors of matrices with unit diagonal, with the smallest jitter that lets them exist."""
    index = np.arange(scaled.shape[1])
    for jitter in (0.0, 1e-14, 1e-12, 1e-10):
        scaled[:, index, index] += jitter
        try:
            return np.asarray(np.linalg.cholesky(scaled), dtype=np.float64)
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("a block is not positive definite")
