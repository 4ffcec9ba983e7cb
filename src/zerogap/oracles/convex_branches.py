r"""Branch and bound over directions for sums of maxima: the price of pooled features, proved.

    g_q(u) = sum over units j of output q  a_j max { l . u : l in unit j },      G = max ||(g_q(u))_q||,  ||E u|| <= 1.

With C outputs every unit has C coefficients, and q runs over pairs of slots and outputs.

On a cone u = sum x_i v_i, x >= 0, a maximum is convex and homogeneous, so

    l_j . u  <=  max { l . u : l in unit j }  <=  sum_i x_i max { l . v_i : l in unit j },     l_j any of its functions.

With the right side for one sign of a_j and the left one for the other, below_q . x <= g_q(u) <= above_q . x. The norm
is convex, so ||g(u)|| <= heights . x with heights_i = ||(max(above_qi, -below_qi))_q||, and the rest is as in
``zerogap.oracles.branch_and_bound``: the same cones, cut where interpolation costs most (every sixth
generation at the widest edge), the same bound of heights . x on the
ball, the same prism for a free bias (beyond it all maxima grow by the same constant, which a residual of sum zero does
not see). Both signs of the residual share one tree, and no record of it is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.features import Features
from zerogap.features.base import masses, pulled
from zerogap.features.pooled import PooledFeatures
from zerogap.oracles import convex_kernels, simplicial
from zerogap.oracles.branch_and_bound import CLIMBS, DEPTH, STARTS, available_cores, roots
from zerogap.oracles.feature_search import climb
from zerogap.rounding import enlarged, gamma
from zerogap.rows import Rows

Array = NDArray[np.float64]
plant: Any = convex_kernels.plant
explore: Any = convex_kernels.explore

LARGEST_DIMENSION = 8
"""Beyond it no useful bound was ever finished."""

LARGEST_SIZE = 1_000_000
"""Entries of the linear functions of all units; the stacks have up to ``DEPTH`` times as many."""

REPEATS = 16
"""How often rows may repeat on average for their merging to be worth a try."""

BUDGET = 1_000
"""Nodes between two looks at the clock."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a run of branch and bound found.

    Parameters
    ----------
    upper : float
        Rigorous upper bound of the price, from the least threshold that was finished; infinite without one.
    value : float
    direction : (p,) float64 or None
        A price above a threshold that was asked for, and its direction; 0 and None if there was none.
    nodes : int
        In all.
    interrupted : bool
        By Ctrl-C.
    """

    upper: float
    value: float
    direction: Array | None
    nodes: int
    interrupted: bool


@cache
def compiled() -> None:
    """Have the loops compiled, so that the first proof on a machine does not spend its seconds on that."""
    rows = np.random.default_rng(0).standard_normal((2, 2, 2))
    features = PooledFeatures(Rows(rows))
    ConvexBranches(features, np.array([1.0, -1.0]), workers=1).run([1e9], np.inf)


class ConvexBranches:
    """Branch and bound for one residual.

    Parameters
    ----------
    features : Features
        With ``maxima``.
    residual : (n,) float64, or (n, C) for C outputs
        Of sum zero, exactly, if the bias is free.
    workers : int, optional
        Threads; default one for each core.
    """

    def __init__(self, features: Features, residual: Array, *, workers: int | None = None) -> None:
        self._features, self._residual = features, residual
        self._workers = workers or available_cores()
        self.nodes = 0
        self.possible = False
        maxima = features.maxima if features.rows.flat.size <= REPEATS * LARGEST_SIZE else None
        if maxima is None or not maxima.count:
            return
        columns = residual.reshape(residual.shape[0], -1)
        coefficients = np.stack([maxima.coefficients(np.ascontiguousarray(column)) for column in columns.T], axis=1)
        self._maxima, self._reduced = maxima, maxima.form.reduced
        self._q = maxima.pieces.shape[1] - int(features.free)
        # Powers of two bring rows and coefficients to the order of one, without rounding; a free bias is measured in
        # the same unit, so that its entries stay as they are.
        sizes = [np.frexp(np.abs(part).max(initial=0.0))[1] for part in (coefficients, maxima.pieces[:, : self._q])]
        self._coefficients, self._pieces = np.ldexp(coefficients, -sizes[0]), maxima.pieces.copy()
        self._pieces[:, : self._q] = np.ldexp(maxima.pieces[:, : self._q], -sizes[1])
        self._unit, self._bias = float(np.ldexp(maxima.scale, sizes[0] + sizes[1])), int(sizes[1])
        largest = np.abs(self._pieces[:, : self._q]).max(axis=0, initial=0.0)
        exponent = np.frexp(largest)[1] - (np.frexp(largest)[0] == 0.5)
        self._reach = np.ldexp(1.0, exponent)
        self._outputs = (int(maxima.outputs.max()) + 1) * columns.shape[1]
        mass = float(np.abs(np.ldexp(columns, -sizes[0]))[maxima.samples].sum())
        lost = np.ldexp(maxima.lost, -sizes[1])
        rounded = gamma(residual.size + 4) * mass * float(lost.max())
        moved = float(np.sum(lost @ np.abs(self._coefficients)))
        self._lost = enlarged(moved + rounded, maxima.count + self._outputs + 8)
        self._doubt = rounding_of_heights(
            residual.size + maxima.count + self._outputs, self._pieces.shape[1], maxima.longest, mass
        )
        self.possible = bool(
            self._q > 0
            and self._pieces.shape[1] <= LARGEST_DIMENSION
            and self._pieces.size <= LARGEST_SIZE
            and largest.min() > 2.0**-500
            and np.isfinite(self._unit * self._doubt)
            and self._unit > 0.0
            and self._coefficients.any()
        )

    def run(self, prices: list[float], deadline: float, proved: Callable[[float], object] | None = None) -> Found:
        """Prove falling upper bounds of the price, one after the other.

        Parameters
        ----------
        prices : list of float
            One that the largest known value exceeds is skipped.
        deadline : float
            ``clock.now()`` at which to give up; what has been proved by then is returned, as after Ctrl-C.
        proved : callable, optional
            Called with every upper bound; a true return value ends the run.
        """
        upper, value, direction, interrupted = np.inf, 0.0, None, False
        try:
            for price in prices:
                threshold = self._inner(price)
                if value > price or threshold <= 0.0:
                    continue
                finished, found, where = self._prove(threshold, deadline)
                if found > value:
                    value, direction = found, where
                if finished:
                    upper = price
                    if proved is not None and proved(upper):
                        break
                elif found <= price:
                    break
        except KeyboardInterrupt:
            interrupted = True
        return Found(upper, value, direction, self.nodes, interrupted)

    def _inner(self, price: float) -> float:
        """The threshold in the coordinates of the frame that proves this price."""
        return float((price / self._unit * (1.0 - 1e-12) - self._lost * (1.0 + 1e-12)) / self._reduced.stretch)

    def _prove(self, threshold: float, deadline: float) -> tuple[bool, float, Array | None]:
        """Whether the tree was finished; if not, the price and the direction that exceed the threshold, if any."""
        run = _Run(threshold, deadline)
        tasks = list(enumerate(roots(self._reach, free=self._features.free)))

        def finished(task: tuple[int, Array]) -> bool:
            return self._root(*task, run)

        with ThreadPoolExecutor(self._workers) as pool:
            try:
                done = list(pool.map(finished, tasks))
            except BaseException:
                run.stop(-1)
                raise
        if run.better:
            direction = run.better[min(run.better)]
            pull = pulled(self._residual, self._features.forward(direction[None])[0])
            return False, float(masses(pull)[0]), direction
        return all(done), 0.0, None

    def _root(self, index: int, root: Array, run: _Run) -> bool:
        """Whether the tree below one root was finished."""
        if run.stopped(index):
            return False
        maxima, p = self._maxima, self._pieces.shape[1]
        stacks, point = run.memory(self._pieces.shape[0], p, maxima.count, self._outputs)
        plant(self._pieces, maxima.starts, maxima.floors, self._coefficients, maxima.outputs, self._q, root, *stacks)
        top = 0
        while True:
            status, top, nodes, _ = explore(
                self._pieces,
                self._coefficients,
                maxima.outputs,
                self._reach,
                self._doubt,
                run.threshold,
                BUDGET,
                top,
                *stacks,
                point,
            )
            self.nodes += nodes
            if status == simplicial.DONE:
                return True
            if status == simplicial.BETTER:
                run.better[index] = self._direction(point)
            if status == simplicial.EXHAUSTED:
                value, where = self._climb(stacks[0][top])
                if value > run.threshold * self._unit * (1.0 + 1e-12):
                    run.better[index] = where
            if status != simplicial.PAUSED:
                run.stop(index)
            if run.stopped(index):
                return False

    def _direction(self, point: Array) -> Array:
        """The neuron (p,) of a point of the search."""
        point = point.copy()
        point[self._q :] = np.ldexp(point[self._q :], self._bias)
        return self._reduced.direction(point)

    def _climb(self, cone: Array) -> tuple[float, Array]:
        """The best price near a cone that cannot be split any more, and where (as in ``BranchAndBound``)."""
        unit = self._features.unit(self._direction(cone[0])[None])
        rng = np.random.default_rng(0)
        starts = [unit + distance * rng.standard_normal((STARTS, unit.shape[1])) for distance in CLIMBS]
        points, values = climb(self._features, self._residual, self._features.unit(np.concatenate([unit, *starts])))
        return float(values[0]), points[0]


def rounding_of_heights(count: int, dimension: int, longest: int, mass: float) -> float:
    """Bound of the rounding in the height of a vertex v, in units of sum_i B_i |v_i|.

    Every product l . v, of size 2 sum_i B_i |v_i| at most (free bias included), carries one rounding for each
    coordinate and the slope; a unit may pass from one function to another that is below it by two such errors, once
    for each of them; sums over units and samples carry one for each term. sum_i B_i |v_i| is linear on an orthant, so
    that errors at the vertices of a cone bound those within.
    """
    return 2.0 * mass * gamma(4 * (count + 4 * (dimension + 2) * (longest + 1) + 16)) * (1.0 + 1e-6)


class _Run:
    """What the threads of one threshold share.

    A root that fails stops those after it only: the first failure in the order of the roots is the answer,
    whichever thread is faster.
    """

    def __init__(self, threshold: float, deadline: float) -> None:
        self.threshold, self._deadline = threshold, deadline
        self._first = np.inf
        self._lock, self._local = threading.Lock(), threading.local()
        self.better: dict[int, Array] = {}

    def stop(self, index: int) -> None:
        with self._lock:
            self._first = min(self._first, index)

    def stopped(self, index: int) -> bool:
        return index >= self._first or clock.now() >= self._deadline

    def memory(self, count: int, p: int, units: int, outputs: int) -> tuple[tuple[NDArray[Any], ...], Array]:
        """Stacks and point of the calling thread; untouched pages of the stacks cost nothing."""
        if not hasattr(self._local, "memory"):
            stacks = (
                np.empty((DEPTH, p, p)),
                np.empty(DEPTH, dtype=np.int64),
                np.empty((DEPTH, count, p)),
                np.empty((DEPTH, count), dtype=np.int64),
                np.empty((DEPTH, units, 3), dtype=np.int64),
                np.empty(DEPTH, dtype=np.int64),
                np.empty((DEPTH, outputs, p)),
            )
            self._local.memory = stacks, np.empty(p)
        found: tuple[tuple[NDArray[Any], ...], Array] = self._local.memory
        return found
