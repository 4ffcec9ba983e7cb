r"""A rigorous upper bound of the price in any dimension, weaker than branch and bound.

By the inequality of Cauchy and Schwarz, for the rows with a_j > 0,

    g(u) <= sum_j a_j (m_j . u)_+ <= sqrt(sum_j a_j) sqrt(u' H u),    H = sum_j a_j m_j m_j',

and u' H u <= lambda for ||u|| <= 1 once lambda I - H is positive semidefinite, which a Cholesky factor of it
shows: if it runs to its end in floating point, the smallest eigenvalue is above minus a known multiple of the
trace (Rump, "Verification of positive definiteness", 2006). A bias b without norm only matters up to
|b| <= sum_i B_i |u_i| <= ||B||, so it counts as a coordinate of that length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.oracles.form import Form
from zerogap.rounding import SUBNORMAL, gamma

Array = NDArray[np.float64]


def relax(form: Form, coefficients: Array) -> float:
    """An upper bound of sum_j a_j (m_j . u)_+ over ||E u|| <= 1; infinite if none could be verified."""
    used = coefficients > 0.0
    rows, positive = form.rows[used], coefficients[used]
    if not used.any():
        return 0.0
    stretch = 1.0
    if form.free:
        # (w, b) = (w, ||B|| c) with |c| <= 1: together of length at most sqrt(2).
        rows = rows.copy()
        rows[:, -1] *= float(np.linalg.norm(form.reach)) * (1.0 + 1e-12)
        stretch = np.sqrt(2.0) * (1.0 + 1e-15)
    hessian = (rows * positive[:, None]).T @ rows
    count, p = rows.shape
    magnitude = float(np.abs(rows * positive[:, None]).ravel() @ np.abs(rows).ravel())
    # Every entry of H is off by at most this; so is its largest eigenvalue, up to a factor p.
    error = 2.0 * gamma(count + p + 8) * magnitude * p + SUBNORMAL
    largest = float(np.linalg.eigvalsh(hessian)[-1])
    for slack in (1e-9, 1e-6, 1e-3, 1.0):
        level = max(largest, 0.0) * (1.0 + slack) + error
        shifted = level * np.eye(p) - hessian
        try:
            np.linalg.cholesky(shifted)
        except np.linalg.LinAlgError:
            continue
        level += 2.0 * gamma(2 * p + 8) * (p * level + float(np.trace(hessian))) + error
        total = float(positive.sum()) * (1.0 + 2.0 * gamma(count + 4))
        return float(stretch * np.sqrt(total * level) * (1.0 + 1e-14))
    return np.inf
