r"""What a closed form returns, and the objective that its network attains.

    1/2 ||sum_j act(X u_j) w_j' - Y||_F^2 + beta/2 sum_j ( ||u_j||^2 + ||w_j||^2 )

The objective is rounded up and the value rounded down, so objective >= value holds for the exact numbers too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import CNN, MLP, LinearCNN
from zerogap.network import Network
from zerogap.rounding import SUBNORMAL, enlarged, gamma

Array = NDArray[np.float64]

EXACT = 1e-8
"""A closed form is called exact if its network attains the value up to this relative gap."""

FAINT = 1e-9
"""Neurons shorter than this share of the longest one are left out."""


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """A value that no network can beat, a network, and whether the two meet.

    Parameters
    ----------
    value : float
        The closed-form optimum if `exact`, else a lower bound of it. From weak duality on the raw data, rounded
        down: no two-layer network of this activation, of any width, has a smaller objective.
    exact : bool
        Whether the network attains the value, up to the relative gap 1e-8. It is verified with the weights below.
    condition : str
        The condition that holds or failed, with figures.
    first : (m, d) float64
        First-layer weights u_j; m = 0 if the zero network is best.
    second : (m, C) float64
        Output weights w_j, balanced: ||u_j|| = ||w_j||.
    fitted : (n, C) float64
        Outputs of that network on X.
    singular_values : (min(d, C),) float64
        Those of X'Y, largest first; for whitened X the nonzero ones are those of Y. The nuclear norm
        shrinks them by beta.
    objective : float
        Of that network, recomputed in float64 from the weights and the raw data, rounded up.
    gap : float
        (objective - value) / max(objective, 1e-12 ||Y||^2 / 2), as in certificates, and 0 for the objective 0.
    activation : "relu" or "linear"
    patches : int
        K, for data with global average pooling over K patches, (n, K, d); else 0.
    """

    value: float
    exact: bool
    condition: str
    first: Array
    second: Array
    fitted: Array
    singular_values: Array
    objective: float
    gap: float
    activation: str = "relu"
    patches: int = 0

    @property
    def network(self) -> Network:
        """An MLP without bias; a CNN on series (n, K d) of patches side by side; a LinearCNN for linear networks."""
        if self.patches:
            size = self.first.shape[1]
            return Network(CNN((size,), stride=size, pooling="average", bias=False), self.first, self.second)
        if self.activation == "relu":
            return Network(MLP(bias=False), self.first, self.second)
        return Network(LinearCNN((self.first.shape[1],), bias=False), self.first, self.second[:, None])


def activate(preactivations: Array, activation: str) -> Array:
    """(z)_+ for "relu", z itself for "linear"; averaged over patches, (n, K, m) to (n, m)."""
    active = np.maximum(preactivations, 0.0) if activation == "relu" else preactivations
    return np.asarray(active.mean(axis=1) if active.ndim == 3 else active)


def balanced(first: Array, second: Array) -> tuple[Array, Array]:
    """The same network with ||u_j|| = ||w_j||, without its silent neurons; shapes (m, d) and (m, C)."""
    u, w = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    heard = (u > 0.0) & (w > 0.0)
    scale = (np.sqrt(w[heard]) / np.sqrt(u[heard]))[:, None]
    return first[heard] * scale, second[heard] / scale


def merged(first: Array, second: Array) -> tuple[Array, Array]:
    """A balanced network with parallel neurons added up and faint ones left out; shapes (m, d) and (m, C).

    Adding up ||u|| w over neurons with one direction u / ||u|| keeps the outputs, and the sum is not longer than its
    terms are together. Directions here agree to about 1e-4 only, so compare the objectives.
    """
    lengths = np.linalg.norm(first, axis=1)
    directions = first / np.maximum(lengths, 1e-300)[:, None]
    leaders: list[int] = []
    sums: list[Array] = []
    for j in np.argsort(-lengths, kind="stable"):
        if lengths[j] <= FAINT * lengths.max():
            break
        matches = [k for k, leader in enumerate(leaders) if float(directions[j] @ directions[leader]) >= 1.0 - 1e-8]
        if matches:
            sums[matches[0]] = sums[matches[0]] + lengths[j] * second[j]
        else:
            leaders.append(int(j))
            sums.append(lengths[j] * second[j])
    return balanced(directions[leaders], np.array(sums).reshape(-1, second.shape[1]))


def objective_above(X: Array, Y: Array, beta: float, first: Array, second: Array, activation: str) -> float:
    """An upper bound of the exact objective of these float64 weights, tight to rounding.

    Parameters
    ----------
    X, Y : (n, d) or (n, K, d), (n, C) float64
    beta : float
    first, second : (m, d), (m, C) float64
    activation : "relu" or "linear"
    """
    outputs = activate(X @ first.T, activation) @ second
    # Both activations move by no more than their inputs do.
    magnitude = activate(np.abs(X) @ np.abs(first).T, "linear") @ np.abs(second) + np.abs(Y)
    error = 2.0 * gamma(sum(first.shape) + X.size // Y.shape[0] + 8) * magnitude + SUBNORMAL
    loss = enlarged(0.5 * float(np.sum((np.abs(outputs - Y) + error) ** 2)), Y.size + 8)
    if not first.any() and not second.any():
        return loss
    decay = enlarged(0.5 * float(np.sum(first * first) + np.sum(second * second)), first.size + second.size + 8)
    return enlarged(loss + enlarged(beta * decay, 4), 4)
