"""The Newton system of the interior point method.

    [ B + A' w A    A' w 1 ] [ dv ]   [ g ]        B = blockdiag(B_1 ... B_m),  A = [+-T_1 ... +-T_P]
    [ 1' w A        1' w 1 ] [ db ] = [ h ]        (last row and column only with an offset)

It is solved in sample space, (I + W^{1/2} S W^{1/2}) with S = sum_i T_i (B_i+^{-1} + B_i-^{-1}) T_i', or
by a Cholesky factor of the primal matrix when there are fewer unknowns than samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from zerogap.solvers import kernels
from zerogap.solvers.maps import SignedMaps

Array = NDArray[np.float64]


class NewtonSystem:
    """Factor once, solve for several right-hand sides.

    Parameters
    ----------
    operator : SignedMaps
        A, of m blocks.
    hessians : (p (p + 1) / 2, m) float64
        B, positive definite and packed as in ``kernels``.
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
        self, operator: SignedMaps, hessians: Array, curvature: Array, *, offset: bool, smooth: bool = True
    ) -> None:
        cells, p, n = operator.maps.shape
        m = hessians.shape[1]
        self._operator = operator
        self._hessians, self.curvature, self._offset = hessians, curvature, offset
        self._root = np.sqrt(curvature)
        self._primal = smooth and m * p < n
        if self._primal:
            stacked = operator.stacked().reshape(-1, n) * self._root
            normal = stacked @ stacked.T
            blocks, (row, column) = normal.reshape(p, m, p, m), np.tril_indices(p)
            block = np.arange(m)
            blocks[row[:, None], block, column[:, None], block] += hessians
            self._factor = _factor(normal.T)
        else:
            self._whitening, positive = kernels.inverse_roots(hessians, p)
            if positive:
                factors, positive = kernels.merged_factors(self._whitening, operator.cell, cells, p)
            if not positive:
                raise np.linalg.LinAlgError("a block is not positive definite")
            self._factor = _factor(kernels.weighted(operator.maps.gram(factors), self._root).T)
        if offset:
            # The response to a unit offset; 1' q of it is the Schur complement.
            zero = np.zeros((p, m))
            dv, q, pull = self._solve_blocks(zero, np.ones(n))
            self._response = dv, q, pull
            self._corner = float(q.sum())
            if not self._corner > 0.0:
                raise np.linalg.LinAlgError("offset is not determined")

    def solve(
        self, right: Array, right_offset: float, shift: Array, *, refine: bool = True
    ) -> tuple[Array, float, Array, Array]:
        """The solution, its prediction, and the image q = w (A dv + b 1 + shift) of that.

        q is returned because recomputing it from dv loses as many digits as w is large.

        Parameters
        ----------
        right : (p, m) float64
        right_offset : float
        shift : (n,) float64
            A change of the predictions that does not depend on the unknowns.
        refine : bool
            One step of iterative refinement, if rounding calls for it.

        Returns
        -------
        dv : (p, m), db : float, df : (n,) with the shift, q : (n,)
        """
        dv, db, q, pull = self._once(right, right_offset, shift)
        if not refine and not self._primal:
            return dv, db, q / self.curvature, q
        operator = self._operator
        if not refine:
            return dv, db, operator.forward(dv) + (db + shift), q
        # On the augmented system B dv + A'q = g, q / w = A dv + db + shift.
        df, residual, mismatch, good = kernels.checked(
            self._hessians, right, dv, pull, q, self.curvature, db + shift, *operator.arrays
        )
        if good:
            return dv, db, df, q
        more = self._once(residual, right_offset - float(q.sum()), mismatch)
        dv, db, q = dv + more[0], db + more[1], q + more[2]
        return dv, db, operator.forward(dv) + (db + shift), q

    def _once(self, right: Array, right_offset: float, shift: Array) -> tuple[Array, float, Array, Array]:
        """B dv + A' q = right,  q = w (A dv + db + shift),  1' q = right_offset; and A' q."""
        dv, q, pull = self._solve_blocks(right, shift)
        if not self._offset:
            return dv, 0.0, q, pull
        db = (right_offset - float(q.sum())) / self._corner
        response = self._response
        return dv + db * response[0], db, q + db * response[1], pull + db * response[2]

    def _solve_blocks(self, right: Array, shift: Array) -> tuple[Array, Array, Array]:
        """The same without the offset: dv, q and A' q."""
        if self._primal:
            reduced = right - self._operator.adjoint(self.curvature * shift)
            dv = dpotrs(self._factor, reduced.reshape(-1), lower=0)[0].reshape(right.shape)
            q = self.curvature * (self._operator.forward(dv) + shift)
            return dv, q, self._operator.adjoint(q)
        dv, q, pull = kernels.solved(self._whitening, right, shift, self._root, self._factor.T, *self._operator.arrays)
        return dv, q, pull


def _factor(matrix: Array) -> Array:
    """Cholesky factor U'U of the upper triangle of a symmetric matrix in column-major order, which it overwrites."""
    factor, info = dpotrf(matrix, lower=0, clean=0, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("the Newton matrix is not positive definite")
    return np.asarray(factor)
