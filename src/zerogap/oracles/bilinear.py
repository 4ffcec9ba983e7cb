r"""Branch and bound over pairs of directions: the price of a tied three-layer neuron, proved (P0, architecture G).

    g(u, w) = sum_s r_s (y_s)_+,      y_s = sum_k (m_sk . u)_+ w_k,      over ||u|| <= 1, ||w|| <= 1.

A node is a pair of simplicial cones, u = sum_i a_i p_i and w = sum_j b_j q_j with a, b >= 0. On it, for every kappa and
lambda in [0, 1],

    kappa_sk sum_i a_i m_sk . p_i  <=  (m_sk . u)_+  <=  sum_i a_i (m_sk . p_i)_+ ,
    r_s (y_s)_+ <= r_s sum_ij a_i b_j (Y_sij)_+   if r_s > 0,      <= lambda_s r_s sum_ij a_i b_j Y_sij   if r_s < 0,

with Y_s from the upper bounds of y_s in the first case and from the lower ones in the second. So g is at most
sum_ij a_i b_j H_ij, and with the middle (c, d) of the node, ||c|| = ||d|| = 1,

    g(u, w) <= t (c . u)(d . w) <= t ||u|| ||w||,       t = max_ij H_ij / ((c . p_i)(d . q_j)) or 0.

On a node inside one linear piece that is off by the square of its width only.

The cones start as orthants. A new vertex is rounded, so that a point may fall between the computed children; at every
level it is within a few units of rounding of one of them, and g is Lipschitz: ``_Tree.upper`` pays for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.rounding import SUBNORMAL, UNIT_ROUNDOFF, gamma

Array = NDArray[np.float64]

BATCH = 2048
"""Nodes that are split at a time: those of the largest bounds."""

DEEPEST = 200
"""Nodes are not split any further."""

FEW = 4
"""A node is cut along the walls of rows once so few cross it; until then its widest edge is halved."""

PASSES = 3
"""Sweeps over the multipliers lambda."""


@dataclass(frozen=True, eq=False)
class PriceBound:
    """What a run proves.

    Parameters
    ----------
    upper : float
        |g(u, w)| <= upper ||u|| ||w|| for all u and w.
    value : float
        The largest |g| met on unit vectors.
    filter, inner : (h,) and (K,) float64
        Where.
    nodes : int
    finished : bool
        Whether `upper` is the target, up to rounding.
    """

    upper: float
    value: float
    filter: Array
    inner: Array
    nodes: int
    finished: bool


def bound_price(
    rows: Array,
    residual: Array,
    target: float,
    *,
    seconds: float = np.inf,
    nodes: int = 10_000_000,
) -> PriceBound:
    """Bound the price of all tied neurons from above, down to a target or as far as the budget goes.

    It ends as well when a neuron is met whose price is above the target.

    Parameters
    ----------
    rows : (n, K, h) float64
    residual : (n,) float64
    target : float
        Nodes below it are closed.
    seconds, nodes
        Budget.
    """
    deadline = clock.now() + seconds
    trees = [_Tree(rows, sign * residual, target) for sign in (1.0, -1.0)]
    while True:
        # The tree of the larger bound decides the price.
        tree = max(trees, key=lambda candidate: candidate.upper)
        visited = sum(each.nodes for each in trees)
        met = max(each.value for each in trees)
        if not tree.open or met > target or visited >= nodes or clock.now() >= deadline:
            break
        tree.step()
    best = max(trees, key=lambda candidate: candidate.value)
    upper = max(each.upper for each in trees)
    finished = not any(each.open or each.stuck > target for each in trees)
    return PriceBound(upper, best.value, best.filter, best.inner, sum(each.nodes for each in trees), finished)


class _Tree:
    """The nodes for one sign of the residual that are not below the target."""

    def __init__(self, rows: Array, residual: Array, target: float) -> None:
        used = residual != 0.0
        self._rows, self._residual, self._target = rows[used], residual[used], target
        _, K, h = rows.shape
        roots = list(product(_orthants(h), _orthants(K)))
        self._first, self._second = np.array([u for u, _ in roots]), np.array([w for _, w in roots])
        self._depth = np.zeros(len(roots), dtype=np.intp)
        self.stuck, self.nodes = 0.0, 0
        self.value, self.filter, self.inner = -np.inf, np.zeros(h), np.zeros(K)
        # |g(u, w) - g(u', w')| <= steep (||u - u'|| + ||w - w'||) in the unit balls.
        self._steep = float(np.abs(self._residual) @ np.sqrt(np.sum(self._rows**2, axis=(1, 2)))) * (1.0 + 1e-12)
        self._bounds = self._bound(self._first, self._second)
        self._close()

    @property
    def open(self) -> bool:
        return self._bounds.size > 0

    @property
    def upper(self) -> float:
        """A bound of g for this sign."""
        worst = max(self._target, self.stuck, float(self._bounds.max(initial=0.0)))
        # In an orthant a unit vector is sum a_i p_i with 0 <= a_i <= 1, and a new vertex is off by fewer roundings.
        moved = DEEPEST * 16.0 * UNIT_ROUNDOFF * float(np.sqrt(max(self.filter.size, self.inner.size)))
        return (worst * (1.0 + 4.0 * moved) + 4.0 * moved * self._steep) * (1.0 + 1e-14)

    def step(self) -> None:
        """Split the nodes of the largest bounds, and bound their children."""
        count = min(BATCH, self._bounds.size)
        chosen = np.argpartition(-self._bounds, count - 1)[:count]
        rest = np.ones(self._bounds.size, dtype=bool)
        rest[chosen] = False
        parent = np.tile(self._bounds[chosen], 2)
        first, second = _split(self._rows, self._residual, self._first[chosen], self._second[chosen])
        bounds = np.minimum(self._bound(first, second), parent)
        depth = np.tile(self._depth[chosen] + 1, 2)
        self._first = np.concatenate([self._first[rest], first])
        self._second = np.concatenate([self._second[rest], second])
        self._depth = np.concatenate([self._depth[rest], depth])
        self._bounds = np.concatenate([self._bounds[rest], bounds])
        self._close()

    def _close(self) -> None:
        """Drop the nodes below the target, and put aside those that are too deep."""
        deep = self._depth >= DEEPEST
        self.stuck = max(self.stuck, float(self._bounds[deep].max(initial=0.0)))
        keep = (self._bounds > self._target) & ~deep
        self._first, self._second = self._first[keep], self._second[keep]
        self._depth, self._bounds = self._depth[keep], self._bounds[keep]

    def _bound(self, first: Array, second: Array) -> Array:
        """Upper bounds of g on nodes whose vertices are the rows of (N, h, h) and (N, K, K); result (N,)."""
        rows, residual = self._rows, self._residual
        self.nodes += first.shape[0]
        up, down = residual > 0.0, residual < 0.0
        c, d = _unit(first.sum(axis=1)), _unit(second.sum(axis=1))
        inner = np.einsum("skh,nh->nsk", rows, c)
        outputs = np.einsum("nsk,nk->ns", np.maximum(inner, 0.0), d)
        self._hear(c, d, outputs)
        heights = np.einsum("skh,nih->nski", rows, first)
        high = np.maximum(heights, 0.0)
        # kappa is 1 for the rows that are active in the middle: rows of one sign on the node are exact.
        low = np.where((inner > 0.0)[..., None], heights, 0.0)
        positive, negative = np.maximum(second, 0.0), np.minimum(second, 0.0)
        upper = _outer(high[:, up], positive) + _outer(low[:, up], negative)
        lower = _outer(low[:, down], positive) + _outer(high[:, down], negative)
        fixed = np.einsum("s,nsij->nij", residual[up], np.maximum(upper, 0.0))
        shares = residual[down][:, None, None] * lower
        scale = np.einsum("nih,nh->ni", first, c)[:, :, None] * np.einsum("njk,nk->nj", second, d)[:, None, :]
        # Every H_ij is a sum of products whose absolute values add up to no more than this.
        sizes = np.einsum(
            "s,skh,nih,njk->nij", np.abs(residual), np.abs(rows), np.abs(first), np.abs(second), optimize=True
        )
        doubt = 4.0 * gamma(rows.size + 16) * sizes + SUBNORMAL
        best = np.full(first.shape[0], np.inf)
        for multipliers in _multipliers(fixed, shares, scale, outputs[:, down]):
            total = fixed + np.einsum("ns,nsij->nij", multipliers, shares) + doubt
            # Not minimum: a bound that is not a number is none.
            best = np.fmin(best, np.maximum(np.max(total / scale, axis=(1, 2)), 0.0))
        # The rounding of the scale, and of ||c|| = ||d|| = 1.
        best *= 1.0 + 4.0 * gamma(2 * (first.shape[1] + second.shape[1]) + 16)
        # (c . p_i)(d . q_j) > 0 is what makes t c d' a bound.
        return np.where(scale.min(axis=(1, 2)) > 1e-3, best, np.inf)

    def _hear(self, c: Array, d: Array, outputs: Array) -> None:
        values = np.maximum(outputs, 0.0) @ self._residual
        top = int(values.argmax())
        if values[top] > self.value:
            self.value, self.filter, self.inner = float(values[top]), c[top], d[top]


def _orthants(dimension: int) -> Iterator[Array]:
    for signs in product((1.0, -1.0), repeat=dimension):
        yield np.diag(signs)


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _outer(signals: Array, weights: Array) -> Array:
    """sum_k signals_ski weights_jk, (N, n, i, j)."""
    return np.asarray(np.matmul(signals.transpose(0, 1, 3, 2), weights.transpose(0, 2, 1)[:, None]))


def _multipliers(fixed: Array, shares: Array, scale: Array, outputs: Array) -> Iterator[Array]:
    """Values of lambda, (N, n): whether the sample is active in the middle; those that level out H over the vertices.

    The second kind matters at a maximum on a wall y_s = 0, from both sides of which g falls.
    """
    active = np.where(outputs > 0.0, 1.0, 0.0)
    yield active
    nodes, n, h, K = shares.shape
    slopes = (shares / scale[:, None]).reshape(nodes, n, h * K)
    slopes = slopes - slopes.mean(axis=2, keepdims=True)
    level = (fixed / scale).reshape(nodes, h * K)
    level = level - level.mean(axis=1, keepdims=True) + np.einsum("ns,nsi->ni", active, slopes)
    lambdas = active.copy()
    squares = np.maximum(np.sum(slopes**2, axis=2), 1e-300)
    # Samples of one sign on the node are exact as they are.
    mixed = (shares.min(axis=(2, 3)) < 0.0) & (shares.max(axis=(2, 3)) > 0.0)
    for s in [s for _ in range(PASSES) for s in np.flatnonzero(mixed.any(axis=0))]:
        step = -np.sum(level * slopes[:, s], axis=1) / squares[:, s]
        new = np.where(mixed[:, s], np.clip(lambdas[:, s] + step, 0.0, 1.0), lambdas[:, s])
        level += (new - lambdas[:, s])[:, None] * slopes[:, s]
        lambdas[:, s] = new
    yield lambdas


def _split(rows: Array, residual: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Both children of every node, (2 N, ...): cut where a wall meets an edge of the filters, or at the widest edge."""
    heights = np.einsum("skh,nih->nski", rows, first)
    crossed = np.minimum(heights.max(axis=3), -heights.min(axis=3))
    # Cutting along a wall leaves heights of the size of rounding.
    crossed = np.where(crossed > 1e-9 * np.linalg.norm(rows, axis=2), crossed, 0.0) * np.abs(residual)[:, None]
    crossed = crossed.reshape(first.shape[0], -1)
    number, worst = np.sum(crossed > 0.0, axis=1), crossed.argmax(axis=1)
    each = np.arange(first.shape[0])
    values = heights.reshape(first.shape[0], crossed.shape[1], -1)[each, worst]
    low, high = values.argmin(axis=1), values.argmax(axis=1)
    edges, widths = zip(*[_widest(vertices) for vertices in (first, second)], strict=True)
    along = (number > 0) & (number <= FEW)
    of_filters = along | (widths[0] >= widths[1])
    a, b = np.where(along, low, edges[0][:, 0]), np.where(along, high, edges[0][:, 1])
    share = np.where(along, values[each, high] / np.maximum(values[each, high] - values[each, low], 1e-300), 0.5)
    middle = _unit(share[:, None] * first[each, a] + (1.0 - share)[:, None] * first[each, b])
    half = _unit(second[each, edges[1][:, 0]] + second[each, edges[1][:, 1]])
    children: list[tuple[Array, Array]] = []
    for end, place in ((a, edges[1][:, 0]), (b, edges[1][:, 1])):
        u, w = first.copy(), second.copy()
        u[each[of_filters], end[of_filters]] = middle[of_filters]
        w[each[~of_filters], place[~of_filters]] = half[~of_filters]
        children.append((u, w))
    return np.concatenate([u for u, _ in children]), np.concatenate([w for _, w in children])


def _widest(vertices: Array) -> tuple[NDArray[np.intp], Array]:
    """The edge (N, 2) of largest chord of every cone of unit vertices (N, k, k), and that chord, zero without edges."""
    pairs = np.array([(i, j) for j in range(vertices.shape[1]) for i in range(j)], dtype=np.intp).reshape(-1, 2)
    if not pairs.size:
        return np.zeros((vertices.shape[0], 2), dtype=np.intp), np.zeros(vertices.shape[0])
    chords = np.linalg.norm(vertices[:, pairs[:, 0]] - vertices[:, pairs[:, 1]], axis=2)
    return pairs[chords.argmax(axis=1)], chords.max(axis=1)
