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

Array = NDArray[np.float64]


class NewtonSystem:
    """Factor once, solve for several right-hand sides, each with one step of iterative refinement.

    Parameters
    ----------
    blocks : (n, P, p) float64
        T_i.
    families : (F,) float64
        Output signs; m = F P.
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
        self, blocks: Array, families: Array, hessians: Array, curvature: Array, offset: bool, smooth: bool = True
    ) -> None:
        n, cells, p = blocks.shape
        self._matrix = blocks.reshape(n, cells * p)
        self._families, self._hessians, self._curvature, self._offset = families, hessians, curvature, offset
        self._shape = (families.size, cells, p)
        self._primal = smooth and families.size * cells * p < n
        if self._primal:
            full = np.concatenate([sign * self._matrix for sign in families], axis=1)
            root = np.sqrt(curvature)[:, None] * full
            normal = root.T @ root
            for block in range(hessians.shape[0]):
                part = slice(block * p, (block + 1) * p)
                normal[part, part] += hessians[block]
            self._factor = cho_factor(normal, lower=True, check_finite=False)
        else:
            self._whitening = inverse_roots(hessians)
            inverses = np.matmul(self._whitening.transpose(0, 2, 1), self._whitening)
            merged = inverses.reshape(families.size, cells, p, p).sum(axis=0)
            # The directions that this jitter drowns are those that hardly enter S.
            merged[:, np.arange(p), np.arange(p)] += 1e-15 * np.trace(merged, axis1=1, axis2=2)[:, None]
            roots = np.linalg.cholesky(merged)
            half = np.matmul(blocks.transpose(1, 0, 2), roots).transpose(1, 0, 2).reshape(n, cells * p)
            self._root = np.sqrt(curvature)
            half = self._root[:, None] * half
            gram = half @ half.T
            gram[np.arange(n), np.arange(n)] += 1.0
            self._factor = cho_factor(gram, lower=True, check_finite=False)
        if offset:
            # The response to a unit offset; 1' q of it is the Schur complement.
            zero = np.zeros((families.size * cells, p))
            self._response = self._solve_blocks(zero, np.ones(n))
            self._corner = float(self._response[1].sum())
            if not self._corner > 0.0:
                raise np.linalg.LinAlgError("offset is not determined")

    def solve(self, right: Array, right_offset: float = 0.0) -> tuple[Array, float, Array]:
        """The solution with its image q.

        q = w (A dv + b 1) is returned because recomputing it from dv loses as many digits as w is large.

        Parameters
        ----------
        right : (m, p) float64
        right_offset : float

        Returns
        -------
        dv : (m, p), db : float, q : (n,)
        """
        zero = np.zeros(self._matrix.shape[0])
        dv, db, q = self._once(right, right_offset, zero)
        # One refinement step, on the augmented system B dv + A'q = g, q / w = A dv + db.
        residual = right - np.einsum("mij,mj->mi", self._hessians, dv) - self._adjoint(q)
        mismatch = self._forward(dv) + db - q / np.maximum(self._curvature, 1e-300)
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
            reduced = right - self._adjoint(self._curvature * shift)
            flat = cho_solve(self._factor, reduced.reshape(-1), check_finite=False)
            dv = flat.reshape(right.shape)
            return dv, self._curvature * (self._forward(dv) + shift)
        image = self._forward(self._solve_hessians(right)) + shift
        q = self._root * cho_solve(self._factor, self._root * image, check_finite=False)
        return self._solve_hessians(right - self._adjoint(q)), q

    def _solve_hessians(self, right: Array) -> Array:
        """B^{-1} right."""
        white = np.einsum("mij,mj->mi", self._whitening, right)
        return np.einsum("mji,mj->mi", self._whitening, white)

    def _forward(self, dv: Array) -> Array:
        merged = np.tensordot(self._families, dv.reshape(self._shape), axes=1)
        return np.asarray(self._matrix @ merged.reshape(-1))

    def _adjoint(self, values: Array) -> Array:
        each = (values @ self._matrix).reshape(1, *self._shape[1:])
        return (self._families[:, None, None] * each).reshape(-1, self._shape[2])


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
