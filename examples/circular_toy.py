"""The circular toy of the main paper: three layers, one ReLU, six Gaussian samples of twenty features.

    python examples/circular_toy.py [--picture FILE] [--limit 60]

Five runs of stochastic gradient descent with few and with many neurons, beside the optimum of the convex program and
the network rebuilt from it. With filters of full size the program is exact, and its line is the network's. With three
entries it is a lower bound, and no network may reach it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import zerogap as zg
from zerogap.question import Question
from zerogap.training.descent import Descent, stochastic

BETA = 0.1
WIDTHS = (5, 20)
RATE = 1e-3
EPOCHS = (10, 30, 100, 300, 1000)


def data():
    X = np.random.default_rng(0).standard_normal((6, 20))
    return X, np.array([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])


def runs(architecture, X, y, width, seeds=5):
    """Best objectives of gradient descent after more and more epochs, (seeds, len(EPOCHS)), and the seconds."""
    question = Question.of(architecture, X, y, loss="squared", beta=BETA)
    problem, found, spent = Descent(question, width), [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        point, total, seconds = problem.start(rng), 0, 0.0
        row, times = [], []
        for epochs in EPOCHS:
            started = time.monotonic()
            with np.errstate(all="ignore"):  # some runs diverge
                point = stochastic(question, width, point, epochs - total, RATE, rng)
            seconds, total = seconds + time.monotonic() - started, epochs
            row.append(problem(point)[0])
            times.append(seconds)
        found.append(row)
        spent.append(times)
    return np.array(found), np.array(spent)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for the search of the best network")
    options = parser.parse_args()
    X, y = data()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, kernel in zip(panels, (None, 3), strict=True):
        architecture = zg.CircularCNN(depth=3, kernel_size=kernel, bias=False)
        started = time.monotonic()
        exact = zg.train(architecture, X, y, beta=BETA, arrangements="enumerate", tol=1e-6)
        seconds = time.monotonic() - started
        best = zg.train(architecture, X, y, beta=BETA, tol=1e-4, max_time=options.limit)
        print(f"{architecture!r}")
        print(f"  convex program: {exact.certificate}; {seconds:.1f} s")
        print(f"  best network: objective {best.certificate.objective:.6f}, width {best.network.width}")
        for colour, width in enumerate(WIDTHS):
            objectives, times = runs(architecture, X, y, width)
            last = ", ".join(f"{value:.4f}" for value in np.sort(objectives[:, -1]))
            print(f"  SGD with {width} neurons after {EPOCHS[-1]} epochs: {last}")
            for k, (row, clock) in enumerate(zip(objectives, times, strict=True)):
                label = f"SGD, {width} neurons" if k == 0 else None
                panel.plot(clock, row, color=f"C{colour}", linewidth=1.0, label=label)
        bound = exact.certificate.lower_bound
        panel.axhline(bound, color="black", linewidth=1.0, label="convex program")
        panel.axhline(best.certificate.objective, color="C3", linestyle="--", linewidth=1.0, label="network of zerogap")
        panel.plot([seconds], [bound], "k^", markersize=5)
        panel.set(xscale="log", yscale="log", xlabel="seconds", title=f"filters of {kernel or 20} entries")
    panels[0].set_ylabel("objective")
    panels[1].legend(fontsize=8, loc="upper right")
    if options.picture is not None:
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
