r"""A barrier method on the dual of programs with nuclear norms.

    minimise  L( sum_i A_i(Z_i) + b 1 ) + beta sum_i ||Z_i||_*        A_i(Z)_s = <M_is, Z>,   Z_i in R^{p x a}
    maximise  -L*(-r)   subject to   G_i = sum_s r_s M_is,  ||G_i|| <= beta,   1' r = 0 with an offset

With one row (p = 1) that is the group lasso. For mu -> 0 the points

    r(mu) = argmin  L*(-r) - mu sum_i log det(beta^2 I - G_i G_i')   (- mu sum_s log q_s (1 - q_s) for margin losses)

are dual feasible, and Z_i = 2 mu (beta^2 I - G_i G_i')^{-1} G_i fits them: f = A(Z) + b 1 in the optimality conditions.
Newton's method in the n entries of r; in the bases of singular vectors G = U diag(g) V' the Hessian of the barrier is

    sum_ij 2 h_i h_j d_ij^2 + 2 q_i q_j d_ij d_ji,    h = beta / (beta^2 - g^2),  q = g / (beta^2 - g^2),  d = U' M_s V.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from zerogap.losses import Loss

Array = NDArray[np.float64]

REDUCTION, LEAST_REDUCTION = 0.1, 0.7
"""mu falls by the first factor from one central point to the next, and by no less than the second."""

CENTRED, NEARLY = 1e-2, 1.0
"""Squared Newton decrement, in units of mu, at which a point counts as central, and with which it is made do."""

INSIDE = 0.9
"""Share of the way to the boundary that a step may go."""

FALL = 0.5
"""Beta falls by this factor on the way to the first central point."""

FIRST_STEPS, STEPS = 60, 12
"""Newton steps for each beta on that way, and for each mu after it."""

CURVED, QUADRATIC = 0.3, 0.1
"""What a line search leaves of the slope; below this squared decrement, in units of mu, a full step needs no search."""

TRIALS = 40
"""Step lengths that a line search tries, at most."""

PATIENCE = 3
"""Central points that do not raise the dual objective before giving up; rounding ends all progress somewhere."""


@dataclass(frozen=True, eq=False)
class SpectralIterate:
    """A central point.

    Parameters
    ----------
    blocks : (P, p, a) float64
        Z_i.
    offset : float
    residual : (n,) float64
        r; only a referee decides what it proves.
    primal, dual : float
        Objectives, without care for rounding.
    missing : float
        How far the dual objective is from the optimum, if the point is central: mu times the number of barriers.
    passes : float
        Products with all maps so far.
    """

    blocks: Array
    offset: float
    residual: Array
    primal: float
    dual: float
    missing: float
    passes: float

    @property
    def gap(self) -> float:
        """Relative."""
        return (self.primal - self.dual) / max(abs(self.primal), 1e-300)


@dataclass(frozen=True, eq=False)
class _Point:
    """A strictly feasible r with the singular values of its G_i."""

    r: Array
    left: Array  # (P, p, p)
    values: Array  # (P, p)
    right: Array  # (P, p, a)

    def blocks(self, beta: float, mu: float) -> Array:
        shares = 2.0 * mu * self.values / ((beta - self.values) * (beta + self.values))
        return np.asarray(self.left @ (shares[:, :, None] * self.right))


class SpectralBarrier:
    """Iterates of the module docstring's program.

    Parameters
    ----------
    maps : (P, n, p, a) float64
        M_is.
    loss : Loss
    beta : float
    offset : bool
    null : (n,) float64
        A residual in the closed dual domain, with sum zero if there is an offset; where r starts, scaled down.
    """

    def __init__(self, maps: Array, loss: Loss, beta: float, *, offset: bool, null: Array) -> None:
        self._turned = maps.shape[2] > maps.shape[3]
        self._maps = np.ascontiguousarray(maps.transpose(0, 1, 3, 2) if self._turned else maps)
        self._loss, self._beta, self._offset, self._null = loss, beta, offset, null
        self._flat = self._maps.transpose(1, 0, 2, 3).reshape(maps.shape[1], -1)
        self._conjugate = _Conjugate(loss)
        n, short = maps.shape[1], min(maps.shape[2:])
        self._count = 2 * maps.shape[0] * short + (2 * n if loss.margin else 0)
        self._passes = 0.0

    def __iter__(self) -> Iterator[SpectralIterate]:
        mu = max(self._loss.value(np.zeros(self._null.size)), 1e-300) / self._count
        centred = self._start(mu)
        highest, idle, share = -np.inf, 0, REDUCTION
        while centred is not None and idle < PATIENCE:
            point, offset = centred
            report = self._report(point, offset, mu)
            yield report
            idle = 0 if report.dual > highest else idle + 1
            highest = max(highest, report.dual)
            centred = self._centre(point, share * mu, STEPS)
            # Shorter ways from one central point to the next where long ones get lost.
            while centred is None and share < LEAST_REDUCTION:
                share = float(np.sqrt(share))
                centred = self._centre(point, share * mu, STEPS)
            mu *= share

    def _start(self, mu: float) -> tuple[_Point, float] | None:
        """The first central point: half the null residual is near the centre for a large beta, which then falls.

        A small multiple of it would be feasible at once, but far from the centre of the box of a margin loss.
        """
        beta, point = self._beta, self._at(0.5 * self._null)
        if point is None:
            return None
        self._beta = max(beta, 2.0 * float(point.values.max(initial=0.0)))
        centred = self._centre(point, mu, FIRST_STEPS)
        while centred is not None and self._beta > beta:
            share = max(FALL, beta / self._beta)
            self._beta *= share
            scaled = self._at(share * centred[0].r)
            centred = None if scaled is None else self._centre(scaled, mu, FIRST_STEPS)
        self._beta = beta
        return centred

    def _at(self, r: Array) -> _Point | None:
        count, _, p, a = self._maps.shape
        self._passes += 1.0
        gradients = (r @ self._flat).reshape(count, p, a)
        if not np.isfinite(gradients).all():
            return None
        left, values, right = np.linalg.svd(gradients, full_matrices=False)
        return _Point(r, left, values, right)

    def _report(self, point: _Point, offset: float, mu: float) -> SpectralIterate:
        blocks = point.blocks(self._beta, mu)
        outputs = self._flat @ blocks.reshape(-1) + offset
        sizes = 2.0 * mu * point.values / ((self._beta - point.values) * (self._beta + point.values))
        primal = self._loss.value(outputs) + self._beta * float(sizes.sum())
        dual = self._loss.dual_value(point.r)
        shaped = blocks.transpose(0, 2, 1) if self._turned else blocks
        return SpectralIterate(shaped, offset, point.r, primal, dual, self._count * mu, self._passes)

    # -- Newton's method -----------------------------------------------------------------------------

    def _centre(self, point: _Point, mu: float, steps: int) -> tuple[_Point, float] | None:
        """r(mu) and the offset, from a feasible point near by; None if that takes more than so many steps."""
        offset, decrement = 0.0, np.inf
        for _ in range(steps):
            self._passes += 2.0
            first, second = self._conjugate.derivatives(point.r, mu)
            gradient = first + self._flat @ point.blocks(self._beta, mu).reshape(-1)
            try:
                step, offset = self._step(gradient, second, np.sqrt(mu) * self._factor(point), point.r)
            except np.linalg.LinAlgError:
                break
            decrement = -float((gradient + offset) @ step)
            moved = self._search(point, step, mu, decrement) if np.isfinite(decrement) else None
            if moved is None:
                break
            point = moved
            if decrement <= CENTRED * mu:
                break
        # At the end rounding keeps points from the centre.
        return (point, offset) if decrement <= NEARLY * mu else None

    def _search(self, point: _Point, step: Array, mu: float, decrement: float) -> _Point | None:
        """A point on the ray where the slope has fallen by CURVED, or the one after a full step close to the centre.

        Steps that only descend creep along the boundary for ever, or come so close to it that Newton's method, which
        doubles the distance at best, needs many steps to get away.
        """
        low, high = 0.0, INSIDE * self._conjugate.longest(point.r, step)
        length, best = min(1.0, high), None
        for _ in range(TRIALS):
            moved = self._at(point.r + length * step)
            slope = np.inf
            if moved is not None and float(moved.values.max(initial=0.0)) < self._beta:
                first, _ = self._conjugate.derivatives(moved.r, mu)
                slope = float((first + self._flat @ moved.blocks(self._beta, mu).reshape(-1)) @ step)
                if abs(slope) <= CURVED * decrement or (length == 1.0 and decrement <= QUADRATIC * mu):
                    return moved
            if slope > 0.0:
                high = length
            else:
                low, best = length, moved
            length = 2.0 * low if 0.0 < 2.0 * low < high else 0.5 * (low + high)
        return best

    def _factor(self, point: _Point) -> Array:
        """B with B B' the Hessian of the barrier for mu = 1, (n, columns)."""
        count, n, p, a = self._maps.shape
        squares = (self._beta - point.values) * (self._beta + point.values)
        h, q = self._beta / squares, point.values / squares
        upper, strict = np.triu_indices(p), np.triu_indices(p, 1)
        parts = []
        for i in range(count):
            rotated = point.left[i].T @ self._maps[i]  # (n, p, a)
            inner = rotated @ point.right[i].T  # (n, p, p)
            turned = inner.transpose(0, 2, 1)
            product, mixed = np.outer(h[i], h[i]), np.outer(q[i], q[i])
            # A symmetric pair counts twice; h_i h_j - q_i q_j without cancellation.
            weight = np.sqrt(np.where(np.eye(p, dtype=bool), 2.0, 4.0) * (product + mixed))
            other = (self._beta**2 - np.outer(point.values[i], point.values[i])) / np.outer(squares[i], squares[i])
            parts.append(0.5 * (inner + turned)[:, upper[0], upper[1]] * weight[upper])
            parts.append(0.5 * (inner - turned)[:, strict[0], strict[1]] * np.sqrt(4.0 * other[strict]))
            if a > p:
                rest = (rotated - inner @ point.right[i]) * np.sqrt(2.0 * h[i] / self._beta)[:, None]
                parts.append(rest.reshape(n, -1))
        return np.concatenate(parts, axis=1)

    def _step(self, gradient: Array, second: Array, factor: Array, r: Array) -> tuple[Array, float]:
        """The Newton step of r, and the offset as multiplier of 1' r = 0."""
        if factor.shape[1] < r.size:
            # (D + B B')^{-1} by Woodbury: fewer columns than samples.
            scaled = factor / second[:, None]
            small = cho_factor(np.eye(factor.shape[1]) + factor.T @ scaled)

            def solve(right: Array) -> Array:
                return np.asarray(right / second - scaled @ cho_solve(small, scaled.T @ right))
        else:
            matrix = factor @ factor.T
            matrix[np.diag_indices(r.size)] += second
            whole = cho_factor(matrix, overwrite_a=True)

            def solve(right: Array) -> Array:
                return np.asarray(cho_solve(whole, right))

        step = -solve(gradient)
        if not self._offset:
            return step, 0.0
        response = solve(np.ones(r.size))
        offset = float((step.sum() + r.sum()) / response.sum())
        return step - offset * response, offset


class _Conjugate:
    """L*(-r), plus mu times the barrier of the box of margin losses; q = y r / c for those."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def derivatives(self, r: Array, mu: float) -> tuple[Array, Array]:
        """The gradient, which is -f without the barrier, and the diagonal of the Hessian."""
        loss = self._loss
        if not loss.margin:
            return r / loss.weights - loss.targets, 1.0 / loss.weights
        q = loss.targets * r / loss.weights
        slope = loss.targets * (1.0 / (1.0 - q) - 1.0 / q) / loss.weights
        curvature = (1.0 / q**2 + 1.0 / (1.0 - q) ** 2) / loss.weights**2
        if loss.smooth:
            entropy = loss.targets * (np.log(q) - np.log1p(-q)), 1.0 / (loss.weights * q * (1.0 - q))
            return entropy[0] + mu * slope, entropy[1] + mu * curvature
        return mu * slope - loss.targets, mu * curvature

    def longest(self, r: Array, step: Array) -> float:
        """The step length at which r meets the end of its box."""
        low, high = self._loss.box()
        room = np.where(step > 0.0, high - r, np.where(step < 0.0, low - r, np.inf))
        return float(np.min(np.where(step != 0.0, room / np.where(step != 0.0, step, 1.0), np.inf)))
