"""How long the search for the global optimum takes, in units of one long run of L-BFGS on a wide network.

    OMP_NUM_THREADS=1 python benchmarks/global.py [CASE ...] [--runs 5] [--limit 120]

For each case, in one process and in turn: some runs of L-BFGS (width 1000, 2000 iterations, different starts),
then zg.train without branch and bound. Printed are the seconds of one run, and our time as a share of it until
(a) the objective is below the best of those runs, (b) search estimates a gap of 1e-3, (c) of 1e-5. An estimate is
no proof. A dash: not within the limit. Seconds are those of the processor, which in one thread are those of the
clock on an idle machine; only the limit is one of the clock. On the digits a single run of L-BFGS takes minutes.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import zerogap as zg
from zerogap.training.baselines import train_by_gradient


def synthetic(n, d, beta):
    """The reference problems: ten planted neurons and noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    U, w = rng.standard_normal((d, 10)), rng.choice([-1, 1], 10)
    y = np.maximum(X @ U, 0) @ w / np.sqrt(10 * d) + 0.1 * rng.standard_normal(n)
    return zg.MLP(bias=False), X, y, beta


def diabetes():
    data = zg.load_dataset("diabetes").standardise()[0]
    return zg.MLP(), data.X, (data.y - data.y.mean()) / data.y.std(), 10.0


def digits(kernel_size):
    data = zg.load_dataset("digits:3,8").split(0.25, 0)[0]
    return zg.CNN(kernel_size), data.X, data.y, 1.0


CASES = {
    "100,5,0.1": lambda: synthetic(100, 5, 0.1),
    "100,10,0.1": lambda: synthetic(100, 10, 0.1),
    "500,10,0.1": lambda: synthetic(500, 10, 0.1),
    "1000,20,1.0": lambda: synthetic(1000, 20, 1.0),
    "diabetes": diabetes,
    "digits2x2": lambda: digits(2),
    "digits3x3": lambda: digits(3),
}


def ours(architecture, X, y, beta, tol, limit, target):
    """Seconds until the target is passed, and until search estimates the gap `tol` (None: not in time); objective."""
    reached = []

    def watch(step):
        if not reached and step.objective <= target:
            reached.append(time.process_time() - started)

    started = time.process_time()
    result = zg.train(architecture, X, y, beta=beta, tol=tol, prove=False, max_time=limit, callback=watch)
    seconds = time.process_time() - started
    found = seconds if result.status in (zg.Status.SEARCHED, zg.Status.OPTIMAL) else None
    return (reached[0] if reached else None), found, result.certificate.objective


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--runs", type=int, default=5, help="runs of L-BFGS")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each of our runs")
    options = parser.parse_args()
    print(f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}, {options.runs} runs of L-BFGS")
    ours(*synthetic(30, 3, 0.1), 1e-3, 10.0, 0.0)  # compiles
    print(f"{'case':12} {'one run':>9} {'best run':>10} {'ours':>10} {'(a)':>7} {'(b)':>7} {'(c)':>7}", flush=True)
    for name in options.cases:
        architecture, X, y, beta = CASES[name]()
        seconds, objectives = [], []
        for seed in range(options.runs):
            started = time.process_time()
            network = train_by_gradient(architecture, X, y, beta=beta, width=1000, iterations=2000, random_state=seed)
            seconds.append(time.process_time() - started)
            objectives.append(network.objective(X, y, beta=beta))
        run, best = float(np.median(seconds)), min(objectives)
        passed, coarse, _ = ours(architecture, X, y, beta, 1e-3, options.limit, best)
        _, fine, objective = ours(architecture, X, y, beta, 1e-5, options.limit, best)
        shares = ["-" if t is None else f"{t / run:.2f}" for t in (passed, coarse, fine)]
        print(
            f"{name:12} {run:7.1f} s {best:10.6g} {objective:10.6g} " + " ".join(f"{t:>7}" for t in shares), flush=True
        )


if __name__ == "__main__":
    main()
