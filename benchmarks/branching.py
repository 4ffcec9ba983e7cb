"""What a node of branch and bound costs, how many are needed, and what each idea in it buys.

    python benchmarks/branching.py [--tol 1e-3] [--sizes 5:1 6:8 7:64]

For each d: n = 100 planted samples, beta = 0.1, no bias. A network is trained by search, and the price that its
residual needs for the gap asked for is proved on every k-th root cone (d:k) by one thread. Each variant compiles the
node loop anew, in a process of its own:

    widest       halves the widest edge, minorants chosen at the middle of the cone
    loss         halves the edge where the rows lose most
    cuts         and chooses minorants by cuts: what the package does
    all rows     the same, but decided rows stay in the lists

Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from numba import njit
from proofs import synthetic

import zerogap as zg
from zerogap.oracles import branch_and_bound, nodes
from zerogap.question import Question
from zerogap.training.all_neurons import GlobalRun

ROOTS = branch_and_bound.roots
VARIANTS = ("widest", "loss", "cuts", "all rows")


@njit
def widest_edge(vertices, convex, concave, gram, weights, reach):
    most, first, second = -1.0, 1, 0
    for i in range(vertices.shape[0]):
        for j in range(i):
            spread = nodes._spread(vertices, gram, i, j, reach)
            if spread > most:
                most, first, second = spread, i, j
    return first, second


@njit
def keep_all(
    rows, coefficients, side, factor_first, factor_second, first, second, top, values, undecided, counts, decided
):
    count, p = rows.shape
    origin, step = (0, 1) if side == 0 else (count - 1, -1)
    for row in range(counts[top, side]):
        place = origin + step * row
        new = factor_first * values[top, first, place] + factor_second * values[top, second, place]
        for i in range(p):
            values[top + 1, i, place] = values[top, i, place]
        values[top + 1, first, place] = values[top, second, place] = new
        undecided[top + 1, place] = undecided[top, place]
    counts[top + 1, side] = counts[top, side]


def measure(variant, d, share, tol):
    X, y = synthetic(100, d)
    question = Question.of(zg.MLP(bias=False), X, y, loss="squared", beta=0.1)
    run = GlobalRun(question, 0.1 * tol, 600.0, 0.0, np.random.default_rng(0))
    run.run(None)
    run.tol = tol
    residual = run.referee.feasible(run.last.iterate.residual)
    price = run._price_for(residual, run.last.iterate.primal, run.last.price)
    branches = branch_and_bound.BranchAndBound(run.referee.form, residual, workers=1)
    branch_and_bound.roots = ROOTS
    branches.run([100.0 * price], time.monotonic() + 300.0)  # compiles
    branch_and_bound.roots = lambda reach, *, free: list(ROOTS(reach, free=free))[share // 2 :: share]
    before, started = branches.nodes, time.process_time()
    found = branches.run([price], time.monotonic() + 600.0)
    seconds, count = time.process_time() - started, branches.nodes - before
    outcome = "proved" if found.tree is not None else "NOT proved"
    print(
        f"d {d}  {variant:10}  {share * count:12,} nodes  {count / seconds / 1e3:7.0f} thousand/s  "
        f"{share * seconds:8.1f} s in all  ({outcome} on 1/{share} of the cones)",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--sizes", nargs="*", default=["5:1", "6:8", "7:64"], metavar="D:K")
    parser.add_argument("--variant", choices=VARIANTS, help="only this one, in this process")
    options = parser.parse_args()
    if options.variant is None:
        for variant in VARIANTS:
            with tempfile.TemporaryDirectory() as cache:
                command = [sys.executable, __file__, "--tol", str(options.tol), "--variant", variant, "--sizes"]
                environment = os.environ | {"NUMBA_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
                subprocess.run([*command, *options.sizes], env=environment, check=True)
        return
    if options.variant in ("widest", "loss"):
        nodes.CUTS = 1
    if options.variant == "widest":
        nodes._edge = widest_edge
    if options.variant == "all rows":
        nodes._share = keep_all
    for size in options.sizes:
        d, share = map(int, size.split(":"))
        measure(options.variant, d, share, options.tol)


if __name__ == "__main__":
    main()
