r"""Branch and bound over directions: how large g(u) = sum_j a_j (m_j . u)_+ is on the ball, proved.

g = g_plus - g_minus, both convex and positively homogeneous. On a cone spanned by v_1 ... v_p, u = sum x_i v_i,

    g_plus(u) <= sum_i x_i g_plus(v_i),     -(m_j . u)_+ <= -theta_j m_j . u   with theta_j in [0, 1],

so g(u) <= heights . x, and the largest value of that on the unit ball is a small quadratic program. The cones
start as orthants (times an interval for a bias without norm) and are halved at the edge where the rows lose most; a
new vertex is an exact sum of two old ones, so the halves cover the cone without any rounding. The tree is the proof.

With a free bias b only |b| <= sum_i B_i |w_i| has to be searched, B_i >= max_j |m_ji|: beyond, all rows have
one sign, and g is linear in w or zero, because the residual sums to zero.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.oracles import kernels, nodes, simplicial
from zerogap.oracles.form import Form

Array = NDArray[np.float64]
plant: Any = nodes.plant
explore: Any = nodes.explore

LARGEST_DIMENSION = 12
"""Beyond it the first 2^p cones alone are out of reach."""

CLIMBS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Distances at which ascent starts around a cone that cannot be split any more."""

STEPS = 60
"""Ascent steps at each width, from a tenth of the distance down."""

STARTS = 100
"""Starts at each distance."""

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
        A price above a threshold that was asked for, and its direction (p,); 0 and None if there was none.
    nodes : int
        In all.
    interrupted : bool
        By Ctrl-C.
    """

    tree: Tree | None
    upper: float
    value: float
    direction: Array | None
    nodes: int
    interrupted: bool


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
    return 2.0**-51 * (count + 2 * dimension + 600) * mass


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def compiled() -> None:
    """Have the loops compiled, so that the first proof on a machine does not spend its seconds on that."""
    rows, coefficients, reach = np.eye(2), np.ones(2), np.ones(2)
    stacks, records, point = _Run(np.inf, 0.0).memory(2, 2)
    plant(rows, coefficients, 2, np.eye(2), *stacks)
    explore(rows, coefficients, reach, 0.0, np.inf, 1, 0, *stacks, records, point)


class BranchAndBound:
    """Branch and bound for one form and one residual.

    Parameters
    ----------
    form : Form
    residual : (n,) float64
    workers : int, optional
        Threads; default one for each core.
    """

    def __init__(self, form: Form, residual: Array, *, workers: int | None = None) -> None:
        self._form, self._reduced = form, form.reduced
        self._coefficients = form.coefficients(residual)
        self._mass = form.mass(residual)
        rows = self._reduced.rows
        q = rows.shape[1] - int(form.free)
        # Powers of two, so that sums of vertices stay exact.
        largest = np.abs(rows[:, :q]).max(axis=0, initial=0.0)
        exponent = np.frexp(largest)[1] - (np.frexp(largest)[0] == 0.5)
        self._reach = np.where(largest > 0.0, np.ldexp(1.0, exponent), 0.0)
        self._doubt = rounding_of_heights(rows.shape[0], rows.shape[1], self._mass)
        self._workers = workers or available_cores()
        self.nodes = 0

    @property
    def possible(self) -> bool:
        """Whether the dimension admits a search at all."""
        return 0 < self._reach.size + int(self._form.free) <= LARGEST_DIMENSION

    def run(
        self, prices: list[float], deadline: float, proved: Callable[[float, Tree], object] | None = None
    ) -> Search:
        """Prove falling upper bounds of the price, one after the other.

        Parameters
        ----------
        prices : list of float
            One that the largest known value exceeds is skipped.
        deadline : float
            ``clock.now()`` at which to give up; what has been proved by then is returned, as after Ctrl-C.
        proved : callable, optional
            Called with every upper bound and its tree; a true return value ends the run.
        """
        best: Tree | None = None
        upper, value, direction, interrupted = np.inf, 0.0, None, False
        try:
            for price in prices:
                threshold = self._inner(price)
                if value > price or threshold <= 0.0:
                    continue
                tree, found, where = self._prove(threshold, deadline)
                if found > value:
                    value, direction = found, where
                if tree is not None:
                    best, upper = tree, self._reduced.bound(threshold, self._coefficients)
                    if proved is not None and proved(upper, best):
                        break
                elif found <= threshold:
                    break
        except KeyboardInterrupt:
            interrupted = True
        return Search(best, upper, value, direction, self.nodes, interrupted)

    def _inner(self, price: float) -> float:
        """The threshold in the coordinates of the frame that proves this price."""
        lost = float(np.abs(self._coefficients) @ self._reduced.lost)
        return (price * (1.0 - 1e-12) - lost * (1.0 + 1e-12)) / self._reduced.stretch

    def _prove(self, threshold: float, deadline: float) -> tuple[Tree | None, float, Array | None]:
        """A finished tree, or None with the value and the direction that exceed the threshold, if any."""
        cones = list(roots(self._reach, free=self._form.free))
        tasks = [(k, *task) for k, task in enumerate(product((1.0, -1.0), cones))]
        run = _Run(threshold, deadline)
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                parts = list(pool.map(lambda task: self._root(task[0], task[1], task[2], run), tasks))
            except BaseException:
                run.stop(-1)
                raise
        if run.better:
            value, direction = run.better[min(run.better)]
            return None, value, self._reduced.direction(direction)
        if any(part is None for part in parts):
            return None, 0.0, None
        packed = zlib.compress(b"".join(zlib.decompress(part) for part in parts if part is not None), 6)
        return Tree(threshold, run.nodes, packed), 0.0, None

    def _root(self, index: int, sign: float, root: Array, run: _Run) -> bytes | None:
        """The compressed records below one root, or None if it was not finished."""
        if run.stopped(index):
            return None
        rows, coefficients = self._reduced.rows, sign * self._coefficients
        stacks, records, point = run.memory(rows.shape[0], rows.shape[1])
        plant(rows, coefficients, self._reach.size, root, *stacks)
        packer, packed, top = zlib.compressobj(1), b"", 0
        while True:
            status, top, count, used, value = explore(
                rows, coefficients, self._reach, self._doubt, run.margin, BUDGET, top, *stacks, records, point
            )
            self.nodes += count
            run.nodes += count
            packed += packer.compress(records[:used].astype("<u2").tobytes())
            if status == simplicial.DONE:
                return packed + packer.flush()
            if status == simplicial.BETTER:
                run.better[index] = value, point.copy()
            if status == simplicial.EXHAUSTED:
                climbed, where = self._climb(coefficients, stacks[0][top])
                if climbed > run.margin:
                    run.better[index] = climbed, where
            if status != simplicial.PAUSED:
                run.stop(index)
            if run.stopped(index):
                return None

    def _climb(self, coefficients: Array, cone: Array) -> tuple[float, Array]:
        """The best value near a cone that cannot be split any more, and where.

        Depth first, the search can follow a level set g = threshold into ever smaller cones, none of which
        exceeds it, while their siblings, not yet visited, do.
        """
        q, rows = self._reach.size, self._reduced.rows
        lengths = np.linalg.norm(rows, axis=1)
        columns = np.ascontiguousarray((rows / lengths[:, None]).T)
        unit = cone[0] / np.linalg.norm(cone[0, :q])
        rng, best, where = np.random.default_rng(0), 0.0, unit
        for distance in CLIMBS:
            starts = unit + distance * rng.standard_normal((STARTS, rows.shape[1]))
            starts /= np.linalg.norm(starts[:, :q], axis=1, keepdims=True)
            widths = distance * np.array([0.1, 0.01, 0.001])
            values = kernels.ascend(columns, coefficients * lengths, starts, q, widths, STEPS)
            if values.max() > best:
                best, where = float(values.max()), starts[int(np.argmax(values))]
        return best, where


class _Run:
    """What the threads of one threshold share.

    A root that fails stops those after it only: the first failure in the order of the roots is the answer,
    whichever thread is faster.
    """

    def __init__(self, threshold: float, deadline: float) -> None:
        # Proved with a margin for the scaling of the residual that follows.
        self.margin, self._deadline = threshold * (1.0 - 1e-10), deadline
        self._first = np.inf
        self._lock, self._local = threading.Lock(), threading.local()
        self.better: dict[int, tuple[float, Array]] = {}
        self.nodes = 0

    def stop(self, index: int) -> None:
        with self._lock:
            self._first = min(self._first, index)

    def stopped(self, index: int) -> bool:
        return index >= self._first or clock.now() >= self._deadline

    def memory(self, count: int, p: int) -> tuple[tuple[NDArray[Any], ...], NDArray[np.uint16], Array]:
        """Stacks, records and point of the calling thread."""
        if not hasattr(self._local, "memory"):
            stacks = (
                np.empty((DEPTH, p, p)),
                np.empty((DEPTH, p, count)),
                np.empty((DEPTH, count), dtype=np.int64),
                np.empty((DEPTH, 2), dtype=np.int64),
                np.empty((DEPTH, p)),
            )
            longest = 1 + nodes.CUTS * (p + 1) + p
            self._local.memory = stacks, np.empty(longest * (BUDGET + 1), dtype=np.uint16), np.empty(p)
        found: tuple[tuple[NDArray[Any], ...], NDArray[np.uint16], Array] = self._local.memory
        return found
