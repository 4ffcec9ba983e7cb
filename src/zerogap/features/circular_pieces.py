r"""The pieces of circular networks with one ReLU (P0, architecture F).

A piece is a cell of the arrangement of the inputs, T = D (X, 1), and the gauge is that of the composite z = a * w,

    gauge(z, b) = sqrt( (||F z||_1 / kappa)^2 + b^2 ),    kappa = sqrt(d) t        (a free b costs nothing)

with t = ||a||. For |F z| = s p, ||p||_1 = 1, the filter with the moduli |F a| = t sqrt(p) is the best one: ||w||^2 =
sum_k |F z|_k^2 / (d |F a|_k^2) is then (s / kappa)^2, and no less for any other filter, by the inequality of Cauchy and
Schwarz. That filter has as many entries as the input. With fewer the gauge is only a lower bound of the cost, and the
program a relaxation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap.circulant import fourier_basis
from zerogap.errors import InputError
from zerogap.features.base import Array, bias_reach
from zerogap.features.circular import CircularFeatures
from zerogap.gauges import GroupGauge
from zerogap.pieces import Choose, Pieces
from zerogap.rounding import lengths
from zerogap.walls import find_walls

STARTS = 6
"""Random starts for the short filter of a block."""


def circular_pieces(features: CircularFeatures, choose: Choose) -> Pieces:
    """The pieces of circular networks; a relaxation if filters are shorter than the input.

    Raises
    ------
    InputError
        For short filters and a list of cells that is not complete: neurons made of its blocks may lie in other cells.
    """
    rows, exact = features.rows.flat, features.size == features.inputs
    activity, complete = choose(rows)
    if not exact and not complete:
        raise InputError(
            "arrangements",
            f"a list of cells, for filters of {features.size} of {features.inputs} entries",
            "all cells, because the program over cells is only a relaxation for filters shorter than the input",
            "pass arrangements='generate', or kernel_size=None",
        )
    walls = find_walls(rows)
    signs = np.where(activity[:, walls.representative], 1.0, -1.0)
    cones = tuple(sign[:, None] * rows[walls.representative] for sign in signs)
    maps = np.where(activity[:, :, None], rows, 0.0)

    def neurons(pieces: NDArray[np.intp], blocks: Array) -> tuple[Array, Array]:
        find = _full_filters if exact else _short_filters
        weights = find(features, blocks[:, : features.inputs])
        weights = np.concatenate([weights, blocks[:, features.inputs :]], axis=1)
        sizes = lengths(weights[:, features.penalised])
        return np.where(features.scaled, weights / sizes[:, None], weights), sizes

    return Pieces(maps, cones, circular_gauge(features), neurons, complete, exact)


def circular_gauge(features: CircularFeatures) -> GroupGauge:
    """The gauge of (z, b)."""
    d = features.inputs
    basis, groups, costs = fourier_basis(d)
    kappa = np.sqrt(d) * features.length
    # Rounded down, since a smaller gauge makes larger prices.
    costs = costs / kappa * (1.0 - 1e-15)
    if not features.biased:
        return GroupGauge(basis, groups, costs)
    both = np.eye(d + 1)
    both[:d, :d] = basis
    if features.free:
        # ||z||_2 <= ||F z||_1 <= kappa gauge.
        reach = bias_reach(features.rows.matrix) * float(kappa) * (1.0 + 1e-12)
        return GroupGauge(both, (*groups, np.array([d])), np.append(costs, 0.0), reach)
    return GroupGauge(both, groups, costs, beside=np.array([d]))


def _full_filters(features: CircularFeatures, composites: Array) -> Array:
    """(c, w) of full size with a * w = z and the least ||w||; the first filter carries all, the others are impulses."""
    m, d = composites.shape
    spectrum = np.fft.fft(composites, axis=1, norm="ortho")
    moduli = np.abs(spectrum)
    share = np.sqrt(moduli / moduli.sum(axis=1, keepdims=True))
    phase = spectrum / np.where(moduli > 0.0, moduli, 1.0)
    # F w = F z / (sqrt(d) t sqrt(p)) without the quotient of small numbers.
    outer = phase * np.sqrt(moduli * moduli.sum(axis=1, keepdims=True)) / (np.sqrt(d) * features.length)
    filters = np.zeros((m, *features.filter_shape))
    filters[:, :, 0] = 1.0
    filters[:, 0] = np.fft.ifft(share, axis=1, norm="ortho").real
    return np.concatenate([filters.reshape(m, -1), np.fft.ifft(outer, axis=1, norm="ortho").real], axis=1)


def _short_filters(features: CircularFeatures, composites: Array) -> Array:
    """(c, w) with a * w = z and a small ||w||: of several local minima the best, impulses at worst.

    With P_k = |F(c_1 * c_2 ...)|_k^2 the cost is ||w||^2 = (sum_k P_k) (sum_k |F z|_k^2 / P_k) / (d t)^2.
    """
    found = []
    rng = np.random.default_rng(0)
    starts = [np.eye(1, features.size).repeat(features.layers, axis=0)]
    starts += [rng.standard_normal(features.filter_shape) for _ in range(STARTS)]
    for composite in composites:
        power = np.abs(np.fft.fft(composite, norm="ortho")) ** 2
        runs = [minimize(_logarithm, start.ravel(), (power, features), jac=True, method="L-BFGS-B") for start in starts]
        filters = starts[0].ravel()
        for run in sorted(runs, key=lambda run: float(run.fun)):
            if run.fun < _logarithm(filters, power, features)[0]:
                filters = run.x
                break
        product = np.prod(np.fft.fft(filters.reshape(features.filter_shape), features.inputs, axis=1), axis=0)
        size = features.length / np.sqrt(np.mean(np.abs(product) ** 2))
        outer = np.fft.ifft(np.fft.fft(composite) / (size * product)).real
        found.append(np.concatenate([filters, outer]))
    return np.array(found)


def _logarithm(flat: Array, power: Array, features: CircularFeatures) -> tuple[float, Array]:
    """log(||w||^2) but for a constant, and its gradient in the filters."""
    spectra = np.fft.fft(flat.reshape(features.filter_shape), features.inputs, axis=1)
    squares = np.prod(np.abs(spectra) ** 2, axis=0) + 1e-300
    total, quotients = squares.sum(), power / squares
    slope = squares / total - quotients / quotients.sum()
    gradient = 2.0 * np.fft.fft(slope / np.where(spectra == 0.0, 1.0, spectra), axis=1).real[:, : features.size]
    return float(np.log(total) + np.log(quotients.sum())), gradient.ravel()
