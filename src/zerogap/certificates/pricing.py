"""Rigorous upper bounds of the price of every cell (docs/theory.md, "Price of a cell").

    price_i(r) = max { r . T_i u : u in cone i, gauge(u) <= 1 } <= ||E (T_i' r + K_i' lam)||   for all lam >= 0.

Both products are M' a with the raw rows M and a coefficient for every row, so one a-priori error bound
serves them. An unpenalised bias coordinate has no norm to be measured with: it must vanish exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.cones import polar_multipliers
from zerogap.program import Program
from zerogap.rounding import SUBNORMAL, gamma, lengths_above

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LARGEST = 1e100
"""Larger multipliers are ignored: they would only overflow."""

CHUNK = 4_000_000
"""Largest number of coefficients held at a time."""


class Pricer:
    """Prices of the cells of one program, from its raw rows."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._rows = program.rows.flat
        self._magnitudes = np.abs(self._rows)
        self._activity = program.walls.activity(program.cells.signs)  # (P, N)
        self._lengths = lengths_above(self._rows[program.walls.representative])
        self._penalised = program.gauge.penalised
        self._reach = lengths_above(self._rows[:, self._penalised])

    def active_counts(self) -> Array:
        """The distinct non-zero vectors of active rows per sample, over the cells; (k, n)."""
        n, positions, _ = self._program.rows.matrix.shape
        counts = self._activity.reshape(-1, n, positions).sum(axis=2).astype(np.float64)
        return np.unique(counts[counts.any(axis=1)], axis=0)

    def upper(self, residual: Array, radius: float, multipliers: Array | None = None, *, refine: bool) -> float:
        """An upper bound of the largest price over cells and signs, for every r' within `radius` of `residual`.

        It also covers the rounding of a later multiplication of r by a scalar.

        Parameters
        ----------
        residual : (n,) float64
        radius : float
            In the largest-entry norm. With a free bias, r' is the point that balances it exactly.
        multipliers : (families, P, H) float64, optional
            Proposed lam per unit wall normal; negative entries count as zero.
        refine : bool
            Compute the best lam for every cell that is not yet below beta.
        """
        program = self._program
        positions = program.rows.matrix.shape[1]
        spread = np.repeat(residual * program.rows.scale, positions)
        doubt = radius * program.rows.scale
        signs = (1.0, -1.0) if program.cone_penalty > 0.0 else (1.0,)
        step = max(1, CHUNK // max(1, spread.size))
        best = 0.0
        for start in range(0, program.cells.count, step):
            cells = np.arange(start, min(start + step, program.cells.count))
            for family, sign in enumerate(signs):
                proposed = None if multipliers is None else _usable(multipliers[family, cells])
                prices = self._chunk(cells, sign * spread, doubt, proposed, refine)
                # np.maximum hands on what is not a number, max() would drop it.
                best = float(np.maximum(best, prices.max(initial=0.0)))
        return best

    def witness(self, residual: Array, proposed: Array | None) -> list[list[list[list[float]]]] | None:
        """Multipliers that bring every price down to beta, as [raw row, value] pairs for every cell and sign.

        Parameters
        ----------
        residual : (n,) float64
            A scaled dual point of a ReLU network without free coordinates.
        proposed : (families, P, H) float64, optional
            Tried where the best multipliers that are found here do not suffice.

        Returns
        -------
        list or None
            None if a price stays above beta.
        """
        program = self._program
        spread = np.repeat(residual * program.rows.scale, program.rows.matrix.shape[1])
        pairs: list[list[list[list[float]]]] = []
        for cell in range(program.cells.count):
            pairs.append([])
            active = self._activity[cell : cell + 1]
            generators = np.where(program.cells.signs[cell], 1.0, -1.0)[:, None] * program.walls.normals
            for family, sign in enumerate((1.0, -1.0)):
                coefficients = np.where(active, sign * spread, 0.0)
                candidates = [np.zeros(program.walls.count)]
                if not self._measure(coefficients, active, 0.0)[0][0] <= program.beta:
                    candidates = [polar_multipliers(generators, coefficients[0] @ self._rows)]
                    candidates += [] if proposed is None else [_usable(proposed[family, cell])]
                for candidate in candidates:
                    terms = self._wall_terms(active, candidate[None])
                    if self._measure(coefficients + terms, active, 0.0)[0][0] <= program.beta:
                        break
                else:
                    return None
                pairs[-1].append([[int(k), abs(float(terms[0, k]))] for k in np.flatnonzero(terms[0])])
        return pairs

    def _chunk(
        self, cells: NDArray[np.intp], spread: Array, doubt: float, proposed: Array | None, refine: bool
    ) -> Array:
        active = self._activity[cells]
        coefficients = np.where(active, spread, 0.0)
        lengths, left = self._measure(coefficients, active, doubt)
        if self._program.cone_penalty == 0.0 or self._program.walls.count == 0:
            # Gated blocks: the caller has balanced every gate's free bias exactly.
            return lengths
        if self._penalised.all():
            conic: Mask = np.ones(cells.size, dtype=bool)
            prices = lengths
        else:
            # In the all-active cell the free bias vanishes exactly with r, and the cell without active
            # rows has no feature at all; both hold for lam = 0 only.
            full, empty = active.all(axis=1), ~active.any(axis=1)
            conic = np.asarray(~(full | empty))
            prices = np.where(empty, 0.0, np.where(full, lengths, lengths + self._repair(left, active)))
        if proposed is not None:
            prices = self._try(prices, np.flatnonzero(conic), cells, coefficients, proposed, doubt)
        if refine:
            rest = np.flatnonzero(conic & ~(prices <= self._program.beta))
            solved = np.zeros((cells.size, self._program.walls.count))
            gradients = coefficients[rest] @ self._rows
            for gradient, k in zip(gradients, rest, strict=True):
                sign = np.where(self._program.cells.signs[cells[k]], 1.0, -1.0)
                generators = sign[:, None] * self._program.walls.normals
                solved[k] = polar_multipliers(generators, gradient, ~self._penalised)
            prices = self._try(prices, rest, cells, coefficients, solved, doubt)
        return prices

    def _try(
        self,
        prices: Array,
        which: NDArray[np.intp],
        cells: NDArray[np.intp],
        coefficients: Array,
        multipliers: Array,
        doubt: float,
    ) -> Array:
        """The prices, lowered where these multipliers (c, H) prove a smaller one."""
        if which.size == 0:
            return prices
        active = self._activity[cells[which]]
        lengths, left = self._measure(coefficients[which] + self._wall_terms(active, multipliers[which]), active, doubt)
        if not self._penalised.all():
            lengths = lengths + self._repair(left, active)
        prices = prices.copy()
        prices[which] = np.minimum(prices[which], lengths)
        return prices

    def _wall_terms(self, active: Mask, multipliers: Array) -> Array:
        """K' lam as coefficients of the raw rows, (c, N).

        Hard cones: on one row of each wall. Penalised cones: the same share, at most rho, on all of them.
        """
        walls, rho = self._program.walls, self._program.cone_penalty
        sign = np.where(active, 1.0, -1.0)
        if rho == np.inf:
            terms = np.zeros(active.shape)
            first = walls.representative
            terms[:, first] = sign[:, first] * (multipliers / self._lengths)
            return terms
        share = np.clip(multipliers / self._program.wall_caps, 0.0, 1.0)
        return np.where(walls.side == 0, 0.0, sign * share[:, walls.index] * (rho * self._program.row_weights))

    def _measure(self, coefficients: Array, active: Mask, doubt: float) -> tuple[Array, Array]:
        """Upper bounds of ||E M' a|| and of the free coordinate |(M' a)_free| (0 without one), each (c,)."""
        error = gamma(self._rows.shape[0] + 12) * (np.abs(coefficients) @ self._magnitudes) + SUBNORMAL
        if doubt > 0.0:
            error += (doubt * (1.0 + 1e-12)) * (active.astype(np.float64) @ self._magnitudes)
        sums = np.abs(coefficients @ self._rows) + error
        lengths = lengths_above(sums[:, self._penalised])
        left = np.nan_to_num(sums[:, ~self._penalised].sum(axis=1), nan=np.inf)
        return np.asarray(lengths), np.asarray(left)

    def _repair(self, left: Array, active: Mask) -> Array:
        """What it costs at most to cancel the free coordinate with one more row of the right sign, (c,).

        The rows have 1 there, active rows push it up and inactive ones down; the cost is the length of
        the penalised part of the shortest such row.
        """
        up = np.where(active, self._reach, np.inf).min(axis=1)
        down = np.where(active, np.inf, self._reach).min(axis=1)
        return left * np.maximum(up, down) * (1.0 + 1e-12) + SUBNORMAL


def _usable(multipliers: Array) -> Array:
    """Proposed multipliers with everything that is negative, undefined or absurd set to zero, a valid choice."""
    return np.where((multipliers > 0.0) & (multipliers < LARGEST), multipliers, 0.0)
