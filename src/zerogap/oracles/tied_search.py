r"""Search for tied three-layer neurons of a large price (P0, architecture G).

    maximise  |sum_s r_s ( sum_k (m_sk . u)_+ w_k )_+|      over ||u|| = ||w|| = 1

by ascent with kinks that sharpen, from many starts at once, and then on the piece in which the best ones end,

    maximise  sum_s r_s E_s y_s,    y = sum_k D_k X_k u w_k,   with the signs of D and E as constraints,

to the accuracy of a solver: maxima lie on walls. Nothing here proves anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap.features.three_layer import ThreeLayerFeatures

Array = NDArray[np.float64]

WIDTHS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
STEPS = 15
"""Ascent steps at each width."""

POLISHED = 8
"""Maxima of each sign that are followed on their piece."""

SAME = 1e-6
"""Relative distance between the features of maxima that count as one."""


def search_tied(features: ThreeLayerFeatures, residual: Array, starts: Array) -> tuple[Array, Array]:
    """Local maxima of the price, best first.

    Parameters
    ----------
    features : ThreeLayerFeatures
        Tied.
    residual : (n,) float64
    starts : (m, q) float64
        Neurons.

    Returns
    -------
    neurons : (k, q) float64
        Of size one.
    prices : (k,) float64
    """
    found = []
    for sign in (1.0, -1.0):
        weights = ascend(features, sign * residual, features.unit(starts))
        for index in _distinct(features, sign * residual, weights):
            weights[index] = polish(features, sign * residual, weights[index])
            found.append(weights[index])
    neurons = features.unit(np.array(found).reshape(-1, features.dimension))
    prices = np.abs(residual @ features.forward(neurons)[0][:, 0])
    order = np.argsort(-prices, kind="stable")
    return neurons[order], prices[order]


def ascend(features: ThreeLayerFeatures, residual: Array, weights: Array) -> Array:
    """Gradient ascent of r' Phi / ||E theta|| from each start (m, q), with a step size of its own."""
    for width in WIDTHS:
        step = np.full(weights.shape[0], width)
        values, slopes = _climbed(features, residual, weights, width)
        for _ in range(STEPS):
            size = np.linalg.norm(slopes, axis=1)
            moved = _level(features, weights + (step / np.maximum(size, 1e-300))[:, None] * slopes)
            new_values, new_slopes = _climbed(features, residual, moved, width)
            better = new_values > values
            step = np.where(better, 1.5 * step, 0.4 * step)
            weights = np.where(better[:, None], moved, weights)
            slopes = np.where(better[:, None], new_slopes, slopes)
            values = np.where(better, new_values, values)
    return weights


def _climbed(features: ThreeLayerFeatures, residual: Array, weights: Array, width: float) -> tuple[Array, Array]:
    """r' Phi, and its gradient along the spheres."""
    values, back = features.forward(weights, width)
    slopes = back(np.broadcast_to(residual[:, None, None], values.shape))
    prices = residual @ values[:, 0]
    # Phi is homogeneous in E theta: the part of the gradient along it is the price.
    return prices, slopes - np.where(features.penalised, prices[:, None] * weights, 0.0)


def _level(features: ThreeLayerFeatures, weights: Array) -> Array:
    """The neurons with unit filters and unit inner layers."""
    filters, inner, constant = features.parts(weights)
    size = np.maximum(features.sizes(weights), 1e-300)[:, None]
    parts = [filters[:, 0], inner / size, constant[:, None] / size]
    return np.concatenate(parts if features.free else parts[:2], axis=1)


def _distinct(features: ThreeLayerFeatures, residual: Array, weights: Array) -> list[int]:
    """The best few of the neurons whose features differ."""
    values = features.forward(weights)[0][:, 0].T
    kept: list[int] = []
    for index in np.argsort(-(values @ residual), kind="stable"):
        size = SAME * np.linalg.norm(values[index])
        if all(np.linalg.norm(values[index] - values[other]) > size for other in kept):
            kept.append(int(index))
        if len(kept) == POLISHED:
            break
    return kept


def polish(features: ThreeLayerFeatures, residual: Array, theta: Array) -> Array:
    """The best neuron (q,) that a solver finds on the piece of one, or that one."""
    matrix, h = features.rows.matrix, features.rows.dimension
    K = features.positions
    filters, inner, constant = features.parts(theta[None])
    pre = features.preactivations(filters)[..., 0]
    sides = np.where(pre > 0.0, 1.0, -1.0)
    active = matrix * (pre > 0.0)[..., None]
    outer = np.maximum(pre, 0.0) @ inner[0] + constant[0]
    signs = np.where(outer > 0.0, 1.0, -1.0)
    pull = residual * (outer > 0.0)
    free, bias = int(features.free), slice(0, h - int(features.free))
    walls = (matrix * sides[..., None]).reshape(-1, h)

    def signal(x: Array) -> tuple[Array, Array]:
        """y (n,) and its derivative (n, h + K + free)."""
        inside = active @ x[:h]
        parts = [np.einsum("skh,k->sh", active, x[h : h + K]), inside, np.ones((matrix.shape[0], free))]
        return inside @ x[h : h + K] + (x[-1] if free else 0.0), np.concatenate(parts, axis=1)

    def value(x: Array) -> tuple[float, Array]:
        y, slope = signal(x)
        return -float(pull @ y), -(pull @ slope)

    def limits(x: Array) -> Array:
        return np.array([1.0 - x[bias] @ x[bias], 1.0 - x[h : h + K] @ x[h : h + K]])

    def limits_slope(x: Array) -> Array:
        slope = np.zeros((2, x.size))
        slope[0, bias], slope[1, h : h + K] = -2.0 * x[bias], -2.0 * x[h : h + K]
        return slope

    flat = np.concatenate([walls, np.zeros((walls.shape[0], K + free))], axis=1)
    constraints: list[Any] = [
        {"type": "ineq", "fun": limits, "jac": limits_slope},
        {"type": "ineq", "fun": lambda x: flat @ x, "jac": lambda x: flat},
        {"type": "ineq", "fun": lambda x: signs * signal(x)[0], "jac": lambda x: signs[:, None] * signal(x)[1]},
    ]
    start = np.concatenate([filters[0, 0], theta[features.filters :]])
    options: Any = {"maxiter": 60, "ftol": 1e-15}
    with np.errstate(all="ignore"):
        found = minimize(value, start, jac=True, method="SLSQP", constraints=constraints, options=options).x
    candidates = _level(features, np.stack([theta, found if np.all(np.isfinite(found)) else theta]))
    return np.asarray(candidates[int((residual @ features.forward(candidates)[0][:, 0]).argmax())])
