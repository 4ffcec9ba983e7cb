"""The Newton system of the interior point method.

    [ B + A' w A    A' w 1 ] [ dv ]   [ g ]        B = blockdiag(B_1 ... B_m),  A = [+-T_1 ... +-T_P]
    [ 1' w A        1' w 1 ] [ db ] = [ h ]        (last row and column only with an offset)

It is solved in sample space, (I + W^{1/2} S W^{1/2}) with S = sum_i T_i (B_i+^{-1} + B_i-^{-1}) T_i', or
by a Cholesky factor of the primal matrix when there are fewer unknowns than samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

from zerogap.solvers import kernels

Array = NDArray[np.float64]


ACCURATE = 1e-8
"""Relative residuals of the Newton system up to which refinement would be wasted."""


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
        self._hessians, self.curvature, self._offset = hessians, curvature, offset
        self._root = np.sqrt(curvature)
        self._primal = smooth and families * cells * p < n
        if self._primal:
            stacked = np.concatenate([sign * maps for sign in signs]).reshape(-1, n) * self._root
            normal = stacked @ stacked.T
            for block in range(hessians.shape[0]):
                part = slice(block * p, (block + 1) * p)
                normal[part, part] += hessians[block]
            self._factor = _factor(normal.T)
        else:
            self._whitening = np.empty_like(hessians)
            half = np.empty((cells * p, n))
            if not kernels.inverse_roots(hessians, self._whitening) or not kernels.half_gram(
                self._whitening, maps, self._root, half
            ):
                raise np.linalg.LinAlgError("a block is not positive definite")
            gram = dsyrk(1.0, half.T, lower=1)
            gram[np.arange(n), np.arange(n)] += 1.0
            self._factor = _factor(gram)
        if offset:
            # The response to a unit offset; 1' q of it is the Schur complement.
            zero = np.zeros((families * cells, p))
            self._response = self._solve_blocks(zero, np.ones(n))
            self._corner = float(self._response[1].sum())
            if not self._corner > 0.0:
                raise np.linalg.LinAlgError("offset is not determined")

    def solve(
        self, right: Array, right_offset: float = 0.0, *, refine: bool = True
    ) -> tuple[Array, float, Array, Array]:
        """The solution, its prediction, and the image q = w (A dv + b 1) of that.

        q is returned because recomputing it from dv loses as many digits as w is large.

        Parameters
        ----------
        right : (m, p) float64
        right_offset : float
        refine : bool
            One step of iterative refinement, if rounding calls for it.

        Returns
        -------
        dv : (m, p), db : float, df : (n,), q : (n,)
        """
        zero = np.zeros(self.curvature.size)
        dv, db, q = self._once(right, right_offset, zero)
        df = self._operator.forward(dv) + db
        if not refine:
            return dv, db, df, q
        # On the augmented system B dv + A'q = g, q / w = A dv + db.
        residual = right - kernels.apply_blocks(self._hessians, dv) - self._operator.adjoint(q)
        mismatch = df - q / np.maximum(self.curvature, 1e-300)
        good = np.abs(residual).max() <= ACCURATE * np.abs(right).max()
        if good and np.abs(mismatch).max() <= ACCURATE * np.abs(df).max():
            return dv, db, df, q
        more = self._once(residual, right_offset - float(q.sum()), mismatch)
        dv, db, q = dv + more[0], db + more[1], q + more[2]
        return dv, db, self._operator.forward(dv) + db, q

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
            reduced = right - self._operator.adjoint(self.curvature * shift)
            dv = dpotrs(self._factor, reduced.reshape(-1), lower=1)[0].reshape(right.shape)
            return dv, self.curvature * (self._operator.forward(dv) + shift)
        image = self._operator.forward(kernels.solve_blocks(self._whitening, right)) + shift
        q = self._root * dpotrs(self._factor, self._root * image, lower=1)[0]
        return kernels.solve_blocks(self._whitening, right - self._operator.adjoint(q)), q


def _factor(matrix: Array) -> Array:
    """Lower Cholesky factor of a symmetric matrix in column-major order, which it overwrites."""
    factor, info = dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("the Newton matrix is not positive definite")
    return np.asarray(factor)


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
