r"""Prices of gates, and of linear neurons: their features are linear, so that a price is a singular value.

    price_i(R) = sigma_max(G_i),   G_i = scale * [ sum_s R_s sum_{k in window q} D_sk m_sk ]_q

with D_sk what gate i lets through of row m_sk (P1, gated networks; P0, linear convolutions).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.sectors import Prices
from zerogap.features import Features
from zerogap.features.base import masses, pulled
from zerogap.rounding import enlarged, gamma, lengths

Array = NDArray[np.float64]
NEAR = 0.95
"""Singular vectors count as worth it from this share on: those that will be needed are near."""


class GatePricer:
    """Prices of a list of gates, or of linear features, which count as one gate.

    Parameters
    ----------
    features : Features
        Linear in u once they are gated.
    gates : (P, p) float64 or None
    """

    def __init__(self, features: Features, gates: Array | None) -> None:
        self._features, self._gates = features, gates
        self._basis = np.eye(features.dimension)[features.penalised]

    @property
    def count(self) -> int:
        return 1 if self._gates is None else int(self._gates.shape[0])

    def gates_of(self, which: NDArray[np.intp]) -> Array | None:
        """The gates of some neurons, (m, p); None for linear ones."""
        return None if self._gates is None else self._gates[which]

    def of(self, gate: int, number: int) -> Features:
        """The features of so many neurons of one gate."""
        if self._gates is None:
            return self._features
        return self._features.gated(np.repeat(self._gates[gate : gate + 1], number, axis=0))

    def prices(self, residual: Array, *, known: float, worth: float, most: int) -> Prices:
        """As ``CellPricer.prices``; the directions are all singular vectors nearly worth it, the best first.

        If nothing is worth it, as with an infinite `worth`, the best one.
        """
        found, best = list[tuple[float, Array, int]](), (0.0, self._basis[0], 0)
        largest = np.zeros(self.count)
        for gate in range(self.count):
            gradient = pulled(residual, self.of(gate, self._basis.shape[0]).forward(self._basis)[0])
            left, values, _ = np.linalg.svd(gradient.reshape(self._basis.shape[0], -1), full_matrices=False)
            largest[gate] = values[0]
            if values[0] > best[0]:
                best = float(values[0]), left[:, 0] @ self._basis, gate
            for k in np.flatnonzero(values > NEAR * worth):
                found.append((float(values[k]), left[:, k] @ self._basis, gate))
        upper, error = 0.0, self._error(residual)
        for gate in np.argsort(-largest, kind="stable"):
            # Rounding of G, and of its decomposition.
            if upper > 0.0 and largest[gate] * (1.0 + 1e-12) + error <= upper:
                continue
            upper = max(upper, self.of(int(gate), 1).joint_price_above(residual)[0])
        found.sort(key=lambda each: -each[0])
        found = found[:most] or ([best] if not np.isfinite(worth) and best[0] > 0.0 else [])
        directions = np.array([direction for _, direction, _ in found]).reshape(len(found), self._features.dimension)
        return Prices(upper, known, directions, np.array([gate for *_, gate in found], dtype=np.intp), True)

    def _error(self, residual: Array) -> float:
        """A bound of what rounding in G does to any price."""
        magnitude = pulled(np.abs(residual), self._features.magnitude(self._basis))
        operations = residual.shape[0] + self._features.roundings + 8
        return enlarged(gamma(operations) * float(lengths(magnitude.ravel())), magnitude.size + operations)

    def merged(self, atoms: Array, gates: NDArray[np.intp], second: Array) -> tuple[Array, NDArray[np.intp], Array]:
        """Atoms of one gate as the singular vectors of the sum of their products u w', which costs no more."""
        if not gates.size:
            return atoms, gates, second
        parts: list[tuple[Array, NDArray[np.intp], Array]] = []
        kept = self._features.penalised
        for gate in np.unique(gates):
            own = gates == gate
            flat = second[own].reshape(int(own.sum()), -1)
            left, values, right = np.linalg.svd(atoms[own][:, kept].T @ flat, full_matrices=False)
            used = values > 1e-14 * values.max(initial=0.0)
            readout = (values[used, None] * right[used]).reshape(-1, *second.shape[1:])
            parts.append((left[:, used].T @ self._basis, np.full(int(used.sum()), gate, dtype=np.intp), readout))
        atoms, gates, second = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.argsort(-masses(second), kind="stable")
        return atoms[order], gates[order], second[order]
