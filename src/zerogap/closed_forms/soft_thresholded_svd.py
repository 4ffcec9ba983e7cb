r"""Optima by soft-thresholded singular value decomposition (P1, closed forms; P4 for the one-hot case).

    minimise  1/2 ||sum_j act(X u_j) w_j' - Y||_F^2 + beta/2 sum_j ( ||u_j||^2 + ||w_j||^2 )

Bound. Let G bound ||R'act(X u)|| over ||u|| <= 1 for any matrix R, and s = min(1, beta / G). A network with outputs
F = sum_j act(X u_j) w_j' has <s R, F> <= beta sum_j ||u_j|| ||w_j||, and 1/2 ||F - Y||^2 is at least
<s R, Y - F> - s^2/2 ||R||^2. Added up, its objective is at least s <R, Y> - s^2/2 ||R||^2. This needs no property of
X or R beyond G: rounding in either, such as ||X X' - I|| = 1e-14, enters through G alone, which is computed with
a-priori error bounds.

Linear. G = ||X'R||. If X'X or X X' is c^2 I, then X'Y = A diag(sigma) B' gives the optimum

    sum_j u_j w_j' = A diag((sigma - beta)_+) B' / c^2 .

ReLU. X must be spike-free of full row rank, which fixes G, H = (X X')^{-1} and a group structure
(``zerogap.closed_forms.spike_free``). The rows fall into groups, across which X X' vanishes and no two rows of Y make
an acute angle. With H_k = L_k L_k' and L_k^{-1} Y_k = A diag(sigma) B', the residual R_k = L_k A diag(min(sigma, beta))
B' has G = beta. A network attains its bound in two cases.

1. X_k X_k' = c^2 I (whitened up to a scale), and T = A diag((sigma - beta)_+) A' (2 beta times the S* of P1) is
   completely positive: T = V V' with V >= 0. Neurons: u_j = X'v_j / c^2 and w_j = B A'v_j / c, over retained columns.
2. Y_k = t q' with t >= 0, any spike-free X_k: one neuron, with outputs f q', f the shrinkage of t in the metric H_k.

Global average pooling over K patches m_sk that are orthonormal up to a scale: f_s = (1/K) sum_k (m_sk . u)_+
reaches, with ||u|| = 1, just the non-negative features of length c / sqrt(K), as the averaged patches do as rows. So
those take the place of X; only G is that of the patches (``pooled_patches``).

For whitened X the bound is sum_k huber(sigma_k, beta), the optimum of the relaxation that drops complete positivity,
and case 1 is also necessary. Its minimiser is unique: (I + 2 S) R = Y, S (beta^2 I - R R') = 0 and the unique R give
S* = (Y - R) R' / (2 beta^2). Non-negative retained left singular vectors are the case of blocks of rank one, and
one-hot Y has the vectors y_c / ||y_c||. Whether the two numbers meet is verified in the end, never assumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.closed_forms.closed_form import EXACT, ClosedForm, activate, balanced, merged, objective_above
from zerogap.closed_forms.groups import Part, joined, partition, solved
from zerogap.closed_forms.nonnegative_descent import descend
from zerogap.closed_forms.spike_free import ORTHOGONAL, SpikeFree, pooled_patches, spike_free
from zerogap.errors import InputError
from zerogap.rounding import enlarged, gamma, reduced
from zerogap.spectral import singular_value_above
from zerogap.validation import finite_array, one_of, positive

Array = NDArray[np.float64]

MERGED = 1e-9
"""Relative rise of the objective that fewer neurons may cost."""


def soft_thresholded_svd(X: Any, Y: Any, beta: float, *, activation: str = "relu") -> ClosedForm:
    """The optimal two-layer network in closed form, where there is one; else a bound and a good network.

    Squared loss with 1/2, no bias, any width, C outputs; see the module for the formulas.

    Parameters
    ----------
    X : (n, d) or (n, K, d) array
        For "relu": spike-free rows of full rank, such as whitened (X X' = I) or orthogonal ones.
        For "linear": X'X or X X' is a multiple of the identity.
        (n, K, d) for "relu": K patches of every sample under global average pooling, all of them orthonormal up
        to a scale.
    Y : (n, C) or (n,) array
    beta : float
        Weight decay, > 0.
    activation : "relu" or "linear"

    Returns
    -------
    ClosedForm

    Raises
    ------
    InputError
        If an argument cannot be used, or X does not meet the condition; the message says by how much.

    Notes
    -----
    Sahiner, Ergen, Pauly and Pilanci (ICLR 2021), closed forms; Ergen and Pilanci (ICML 2021), whitened data.
    """
    inputs, targets = _matrices(X, Y)
    beta = positive("beta", beta)
    if one_of("activation", activation, ("relu", "linear")) == "linear":
        if inputs.ndim == 3:
            raise InputError("X", "patches for a linear network", "shape (n, d)", "pass X.mean(axis=1)")
        return _linear(inputs, targets, beta)
    return _relu(inputs, targets, beta)


def _matrices(X: Any, Y: Any) -> tuple[Array, Array]:
    inputs = finite_array("X", X)
    if inputs.ndim not in (2, 3):
        expected = "shape (n, d), or (n, K, d) for patches"
        raise InputError("X", f"shape {inputs.shape}", expected, "reshape with X.reshape(len(X), -1)")
    targets = finite_array("Y", Y, "encode labels as numbers, for example one-hot")
    if targets.ndim == 1:
        targets = targets[:, None]
    if targets.ndim != 2 or targets.shape[0] != inputs.shape[0]:
        expected = f"shape ({inputs.shape[0]}, C) or ({inputs.shape[0]},)"
        raise InputError("Y", f"shape {targets.shape}", expected, "check that X and Y belong together")
    return inputs, targets


def _dual_value(residual: Array, Y: Array, beta: float, price: float) -> float:
    """A lower bound of s <R, Y> - s^2/2 ||R||^2 with s = min(1, beta / price), and at least 0."""
    share = 1.0 if price <= beta else beta / price * (1.0 - 2.0 * gamma(4))
    shrunken = share * residual
    linear, square = shrunken * Y, 0.5 * shrunken * shrunken
    magnitude = enlarged(float(np.sum(np.abs(linear)) + np.sum(square)), Y.size + 8)
    return max(reduced(float(np.sum(linear) - np.sum(square)), magnitude, 2 * Y.size + 16), 0.0)


def _finished(
    X: Array, Y: Array, beta: float, network: tuple[Array, Array], value: float, condition: str, activation: str
) -> ClosedForm:
    """With the network's objective recomputed, and the verdict taken from it."""
    first, second = network
    objective = objective_above(X, Y, beta, first, second, activation)
    # An objective of rounding errors is none (zero targets).
    scale = max(objective, 1e-12 * 0.5 * float(np.sum(Y * Y)))
    gap = (objective - value) / scale if objective > 1e-300 else 0.0
    exact = gap <= EXACT
    if not exact:
        condition += f"; the value is a bound, and the network found is within {gap:.2g} of it"
    fitted = activate(X @ first.T, activation) @ second
    plain, patches = (X, 0) if X.ndim == 2 else (X.mean(axis=1), X.shape[1])
    singular = np.asarray(np.linalg.svd(plain.T @ Y, compute_uv=False), dtype=np.float64)
    return ClosedForm(value, exact, condition, first, second, fitted, singular, objective, gap, activation, patches)


def _linear(X: Array, Y: Array, beta: float) -> ClosedForm:
    n, d = X.shape
    side, gram = ("rows", X @ X.T) if n <= d else ("columns", X.T @ X)
    square = float(np.trace(gram)) / min(n, d)
    deviation = float(np.abs(np.linalg.eigvalsh(gram / square) - 1.0).max()) if square > 0.0 else np.inf
    product = "X X'" if side == "rows" else "X'X"
    if deviation > ORTHOGONAL:
        raise InputError(
            "X",
            f"{product} with a relative distance of {deviation:.2g} from a multiple of the identity",
            f"orthonormal {side}: {product} = I up to a scale and {ORTHOGONAL:g}",
            "whiten X, or train a linear network for any X: zg.train(zg.LinearCNN(kernel_size=d), X, y)",
        )
    left, singular, right = np.linalg.svd(X.T @ Y, full_matrices=False)
    kept = singular > beta
    heights = np.sqrt((singular[kept] - beta) / square)
    network = balanced((left[:, kept] * heights).T, right[kept] * heights[:, None])
    residual = X @ ((left * np.minimum(singular, beta)) @ right) / square
    if side == "columns":
        # The part of Y that X cannot reach, projected twice so that no rounding error is left in the range of X.
        outside = Y - X @ (X.T @ Y) / square
        residual += outside - X @ (X.T @ outside) / square
    error = 2.0 * gamma(n + 4) * float(np.linalg.norm(np.abs(X).T @ np.abs(residual)))
    price = singular_value_above(X.T @ residual, enlarged(error, d + 8))
    condition = f"{product} = {_square_text(square)} up to {deviation:.1e}: the soft-thresholded SVD of X'Y is optimal"
    return _finished(X, Y, beta, network, _dual_value(residual, Y, beta, price), condition, "linear")


def _relu(X: Array, Y: Array, beta: float) -> ClosedForm:
    geometry = spike_free(X) if X.ndim == 2 else pooled_patches(X)
    n, rows = X.shape[0], X if X.ndim == 2 else X.mean(axis=1)
    best, condition = 0.0, ""
    parts: list[Part] = []
    network = np.zeros((0, X.shape[-1])), np.zeros((0, Y.shape[1]))
    objective = objective_above(X, Y, beta, *network, "relu")
    # All rows as one group bound better where the angles between groups are obtuse and nothing is solved.
    for groups in (partition(geometry, Y), [np.arange(n)]):
        part = joined([solved(geometry, Y, group, beta) for group in groups], groups, n)
        parts.append(part)
        value = _dual_value(part.residual, Y, beta, geometry.price_above(part.residual, groups))
        if value > best or not condition:
            best, condition = value, part.reason
        if part.second is not None:
            found = _network(rows, geometry, part.activations, part.second)
            reached = objective_above(X, Y, beta, *found, "relu")
            if reached < objective:
                network, objective = found, reached
        if len(groups) == 1 or objective - best <= EXACT * objective:
            break
    start = np.hstack([part.activations for part in parts])
    if objective - best > EXACT * objective and start.shape[1]:
        found = _network(rows, geometry, *descend(start, Y, geometry.metric, beta))
        reached = objective_above(X, Y, beta, *found, "relu")
        fewer = merged(*found)
        if (fewest := objective_above(X, Y, beta, *fewer, "relu")) <= reached * (1.0 + MERGED):
            found, reached = fewer, fewest
        if reached < objective:
            network, objective = found, reached
            if objective - best <= EXACT * objective:
                condition += "; descent found a network that attains the bound"
    return _finished(X, Y, beta, network, best, f"{_rows_text(geometry)}; {condition}", "relu")


def _network(X: Array, geometry: SpikeFree, activations: Array, second: Array) -> tuple[Array, Array]:
    """The balanced network whose hidden outputs on X are these: u_j = X'H a_j is the shortest weight."""
    return balanced((geometry.metric @ activations).T @ X, second)


def _rows_text(geometry: SpikeFree) -> str:
    squares = 1.0 / np.diagonal(geometry.metric)
    if not geometry.diagonal:
        return (
            f"X is spike-free: (X X')^{{-1}} has no positive entry off its diagonal ({geometry.deviation:.1e} from I)"
        )
    if np.ptp(squares) <= ORTHOGONAL * squares.mean():
        return f"X X' = {_square_text(float(squares.mean()))} up to {geometry.deviation:.1e}"
    return (
        f"X X' is diagonal up to {geometry.deviation:.1e}, of squares from {squares.min():.4g} to {squares.max():.4g}"
    )


def _square_text(square: float) -> str:
    return "I" if abs(square - 1.0) <= ORTHOGONAL else f"{square:.6g} I"
