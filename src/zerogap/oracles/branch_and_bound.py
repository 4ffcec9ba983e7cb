r"""Branch and bound over directions: how large g(u) = sum_j a_j (m_j . u)_+ is on the ball, proved.

g = g_plus - g_minus, both convex and positively homogeneous. On a cone spanned by v_1 ... v_p, u = sum x_i v_i,

    g_plus(u) <= sum_i x_i g_plus(v_i),     -(m_j . u)_+ <= -theta_j m_j . u   with theta_j in {0, 1},

so g(u) <= heights . x, and the largest value of that on the unit ball is a small quadratic program. The cones
start as orthants (times an interval for a bias without norm) and are halved at their widest edge; a new
vertex is an exact sum of two old ones, so the halves cover the cone without any rounding. The tree is the proof.

With a free bias b only |b| <= sum_i B_i |w_i| has to be searched, B_i = max_j |m_ji|: beyond, all rows have
one sign, and g is linear in w or zero, because the residual sums to zero.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zerogap.oracles import kernels
from zerogap.oracles.form import Form

Array = NDArray[np.float64]

LARGEST_DIMENSION = 12
"""Beyond it the first 2^p cones alone are out of reach."""

DEPTH = 256
BUDGET = 50_000
"""Nodes between two looks at the clock."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A finished proof that g <= threshold, for both signs of the residual.

    Parameters
    ----------
    threshold : float
    nodes : int
    records : bytes
        Little-endian 16-bit records in preorder, root after root, compressed (docs/proofs.md).
    """

    threshold: float
    nodes: int
    records: bytes


@dataclass(frozen=True, eq=False)
class Search:
    """What a run of branch and bound found.

    Parameters
    ----------
    tree : Tree or None
        The proof of the least threshold that was finished.
    upper : float
        Rigorous upper bound of the price that it gives; infinite without one.
    value, direction
        The largest price met, and its direction (p,) or None.
    sign : float
        The sign of the residual it was met with.
    nodes : int
        In all.
    """

    tree: Tree | None
    upper: float
    value: float
    direction: Array | None
    sign: float
    nodes: int


def roots(reach: Array, *, free: bool) -> Iterator[Array]:
    """The first cones, (p, p) arrays with a vertex in each row.

    Orthants, first coordinate slowest, + before -; with a free bias each one times the interval
    [-sum B_i |w_i|, sum B_i |w_i|], cut into q simplicial cones in the usual staircase.
    """
    q = reach.size
    for signs in product((1.0, -1.0), repeat=q):
        corner = np.diag(signs)
        if not free:
            yield corner
            continue
        low, high = np.column_stack([corner, -reach]), np.column_stack([corner, reach])
        for step in range(q):
            yield np.concatenate([low[: step + 1], high[step:]])


def rounding_of_heights(count: int, dimension: int, mass: float) -> float:
    """Bound of the rounding in the height of a vertex v, in units of sum_i B_i |v_i|.

    Each of N products carries one rounding for every coordinate and generation (fewer than 500), and sums of
    N terms one for every term; |m . v| <= 2 sum_i B_i |v_i| also with a free bias.
    """
    return 2.0**-51 * (count + 2 * dimension + 520) * mass


class BranchAndBound:
    """Branch and bound for one form and one residual.

    Parameters
    ----------
    form : Form
    residual : (n,) float64
    mass : float, optional
        Upper bound of sum |r| over the raw rows.
    workers : int, optional
        Threads; default one for each core.
    """

    def __init__(self, form: Form, residual: Array, *, workers: int | None = None) -> None:
        self._form, self._reduced = form, form.reduced
        self._coefficients = form.coefficients(residual)
        self._mass = form.mass(residual)
        rows = self._reduced.rows
        q = rows.shape[1] - int(form.free)
        self._reach = np.abs(rows[:, :q]).max(axis=0, initial=0.0)
        self._doubt = rounding_of_heights(rows.shape[0], rows.shape[1], self._mass)
        self._workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or 1
        self.nodes = 0

    @property
    def possible(self) -> bool:
        """Whether the dimension admits a search at all."""
        return 0 < self._reach.size + int(self._form.free) <= LARGEST_DIMENSION

    def run(self, thresholds: list[float], deadline: float) -> Search:
        """Prove falling thresholds of the price, one after the other.

        Parameters
        ----------
        thresholds : list of float
            A threshold that the largest known value exceeds is skipped.
        deadline : float
            ``time.monotonic()`` at which to give up; what has been proved by then is returned.
        """
        best: Tree | None = None
        value, direction, sign = 0.0, None, 1.0
        for threshold in thresholds:
            if value > threshold:
                continue
            tree, found, where, its_sign = self._prove(threshold, deadline)
            if found > value:
                value, direction, sign = found, where, its_sign
            if tree is not None:
                best = tree
            elif time.monotonic() >= deadline or found <= threshold:
                break
        upper = np.inf if best is None else self._outer(best.threshold)
        return Search(best, upper, value, direction, sign, self.nodes)

    def inner(self, price: float) -> float:
        """The threshold in the coordinates of the frame that proves this price."""
        lost = float(np.abs(self._coefficients) @ self._reduced.lost)
        return max((price * (1.0 - 1e-12) - lost * (1.0 + 1e-12)) / self._reduced.stretch, 0.0)

    def _outer(self, threshold: float) -> float:
        return self._reduced.bound(threshold, self._coefficients)

    def _prove(self, threshold: float, deadline: float) -> tuple[Tree | None, float, Array | None, float]:
        """A finished tree, or None and the best direction met."""
        tasks = [(sign, root) for sign in (1.0, -1.0) for root in roots(self._reach, free=self._form.free)]
        stop = threading.Event()
        local = threading.local()
        found: list[tuple[float, Array | None, float]] = [(0.0, None, 1.0)]

        def work(task: tuple[float, Array]) -> tuple[bytes, int] | None:
            return None if stop.is_set() else self._root(*task, threshold, deadline, stop, local, found)

        with ThreadPoolExecutor(self._workers) as pool:
            try:
                results = list(pool.map(work, tasks))
            except BaseException:
                stop.set()
                raise
        value, direction, sign = max(found, key=lambda entry: entry[0])
        if any(result is None for result in results):
            return None, value, direction, sign
        parts = [result for result in results if result is not None]
        nodes = sum(count for _, count in parts)
        packed = zlib.compress(b"".join(zlib.decompress(data) for data, _ in parts), 6)
        return Tree(threshold, nodes, packed), value, direction, sign

    def _root(
        self,
        sign: float,
        root: Array,
        threshold: float,
        deadline: float,
        stop: threading.Event,
        local: threading.local,
        found: list[tuple[float, Array | None, float]],
    ) -> tuple[bytes, int] | None:
        rows, coefficients = self._reduced.rows, sign * self._coefficients
        count, p = rows.shape
        if not hasattr(local, "stacks"):
            local.stacks = (
                np.empty((DEPTH, p, p)),
                np.empty((DEPTH, count, p)),
                np.empty((DEPTH, count), dtype=np.int64),
                np.empty(DEPTH, dtype=np.int64),
                np.empty((DEPTH, p)),
            )
            local.records, local.point = np.empty((p + 1) * BUDGET + p + 1, dtype=np.uint16), np.empty(p)
        stacks, records, point = local.stacks, local.records, local.point
        kernels.plant(rows, coefficients, root, *stacks)
        packer, packed, nodes, top = zlib.compressobj(1), b"", 0, 0
        # Thresholds are proved with a margin for the scaling of the residual that follows.
        margin = threshold * (1.0 - 1e-10)
        while True:
            point[:] = 0.0
            status, top, done, used, value = kernels.explore(
                rows, coefficients, self._reach, self._doubt, margin, BUDGET, top, *stacks, records, point
            )
            self.nodes += done
            nodes += done
            packed += packer.compress(records[:used].astype("<u2").tobytes())
            if value > found[-1][0]:
                found.append((value, self._reduced.direction(point.copy()), sign))
            if status == kernels.DONE:
                return packed + packer.flush(), nodes
            if status != kernels.PAUSED or stop.is_set() or time.monotonic() >= deadline:
                stop.set()
                return None
