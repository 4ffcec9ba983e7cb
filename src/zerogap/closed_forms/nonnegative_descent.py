r"""Descent over non-negative activations: the network for spike-free data whose value has no closed form.

    minimise  1/2 ||A W - Y||_F^2 + beta/2 ( tr(A'H A) + ||W||_F^2 )    over A >= 0 (n x m), W (m x C),

which is the training problem of a ReLU network on spike-free X with activations A
(``zerogap.closed_forms.spike_free``). W is eliminated by ridge regression, A moves by
L-BFGS-B. A stationary point need not be optimal; nothing is claimed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

Array = NDArray[np.float64]

STEPS = 1000
"""Iterations at most."""


def ridge(activations: Array, Y: Array, beta: float) -> Array:
    """argmin_W 1/2 ||A W - Y||^2 + beta/2 ||W||^2; shapes (n, m), (n, C), result (m, C)."""
    left, singular, right = np.linalg.svd(activations, full_matrices=False)
    return np.asarray(right.T @ ((singular / (singular * singular + beta))[:, None] * (left.T @ Y)))


def descend(activations: Array, Y: Array, metric: Array, beta: float) -> tuple[Array, Array]:
    """A stationary network, not worse than the best output weights for the given activations.

    Parameters
    ----------
    activations : (n, m) float64
        Start, non-negative; column j of a balanced network.
    Y : (n, C) float64
    metric : (n, n) float64
        H.
    beta : float

    Returns
    -------
    activations, second : (n, m), (m, C) float64
        A and W, up to the balance of each neuron.
    """
    # In units where targets and inputs are of order one.
    height = float(np.linalg.norm(Y))
    scale = np.sqrt(np.diagonal(metric))
    typical = float(scale.mean())
    relative = metric / np.outer(scale, scale)
    targets, level = Y / height, beta * typical / height
    gains = (typical / scale)[:, None]
    orthogonal = np.count_nonzero(metric) == scale.size
    shape = activations.shape

    def value(flat: Array) -> tuple[float, Array]:
        moved = flat.reshape(shape)
        outputs = gains * moved
        second = ridge(outputs, targets, level)
        residual = outputs @ second - targets
        pulled = moved if orthogonal else relative @ moved
        total = float(np.sum(residual * residual) + level * (np.sum(second * second) + np.sum(pulled * moved)))
        return 0.5 * total, (gains * (residual @ second.T) + level * pulled).ravel()

    # Now tr(A'HA) and ||W||^2 weigh the same; the caller balances neurons afterwards.
    start = activations / gains * np.sqrt(typical / height)
    found = minimize(
        value,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(0.0, np.inf),
        options={"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 20},
    )
    best = found.x if found.fun <= value(start.ravel())[0] else start.ravel()
    outputs = gains * best.reshape(shape)
    return outputs, height * ridge(outputs, targets, level)
