r"""Circular convolution and its Fourier basis (P0, circular architectures).

    circ(u)_ab = u_{(a - b) mod d},    circ(u) w = u * w,    F (u * w) = sqrt(d) (F u) . (F w),

with the unitary DFT F and filters u of h <= d entries, padded with zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]


def convolved(filters: Array, signals: Array) -> Array:
    """u * w for each pair of rows; (m, h) and (m, d), result (m, d)."""
    h, d = filters.shape[1], signals.shape[1]
    return np.einsum("mj,mjt->mt", filters, shifted(signals)[:, d : d - h : -1])


def correlated(filters: Array, signals: Array) -> Array:
    """circ(u)' v, the adjoint of ``convolved`` in w; (m, h) and (m, d), result (m, d)."""
    return np.einsum("mj,mjt->mt", filters, shifted(signals)[:, : filters.shape[1]])


def filter_gradient(cotangents: Array, signals: Array, size: int) -> Array:
    """The adjoint of ``convolved`` in u; (m, d) and (m, d), result (m, size)."""
    d = signals.shape[1]
    return np.einsum("mt,mjt->mj", cotangents, shifted(signals)[:, d : d - size : -1])


def shifted(signals: Array) -> Array:
    """A view of all shifts: entry (m, j, t) is signal m at (j + t) mod d; (m, d), result (m, d + 1, d)."""
    return sliding_window_view(np.concatenate([signals, signals], axis=1), signals.shape[1], axis=1)


def fourier_basis(d: int) -> tuple[Array, tuple[NDArray[np.intp], ...], Array]:
    """The real form of the DFT: ||F z||_1 = sum_l c_l ||G_l z||.

    Returns
    -------
    basis : (d, d) float64
        Cosines and sines with rows of length one, accurate to 2e-15 sqrt(2 / d).
    groups : tuple of index arrays
        The one or two rows of each frequency from 0 to d / 2.
    costs : (number of groups,) float64
        1 for a frequency that is its own conjugate, else sqrt(2): two entries of modulus ||G_l z|| / sqrt(2) each.
    """
    rows: list[Array] = []
    groups: list[NDArray[np.intp]] = []
    costs: list[float] = []
    for frequency in range(d // 2 + 1):
        # Reduced to [-pi, pi] in integers, where the cosine of a rounded angle is accurate.
        turns = np.arange(d) * frequency % d
        angle = (2.0 * np.pi / d) * np.where(2 * turns > d, turns - d, turns)
        real = 2 * frequency % d == 0
        pair = [np.cos(angle)] if real else [np.cos(angle), np.sin(angle)]
        groups.append(np.arange(len(rows), len(rows) + len(pair)))
        rows += [np.sqrt((1.0 if real else 2.0) / d) * wave for wave in pair]
        costs.append(1.0 if real else float(np.sqrt(2.0)))
    return np.array(rows), tuple(groups), np.array(costs)
