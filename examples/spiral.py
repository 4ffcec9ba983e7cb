"""Three arms of a spiral (P1): 60 points in the plane, three classes.

    python examples/spiral.py [--picture FILE] [--limit 120]

One-hot targets, squared loss, beta 0.1 and 0.01, networks without bias as in the paper: their classes are cones, and no
such network can follow the arms. Four ways to the same optimum are compared: atoms over all cells, atoms over all
neurons, the doubly nonnegative relaxation and Frank-Wolfe, run until it is 1e-4 above the optimum; then five runs of
SGD with 10 and with 50 neurons. At last a network with bias, by cross-entropy, whose neurons can follow them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

ARCHITECTURE = zg.MLP(bias=False)
BETAS = (0.1, 0.01)
WIDTHS = (10, 50)
SEEDS, EPOCHS, RATE = 5, 3000, 3e-3
ENTROPY_BETA = 0.01
CLOSE = 1e-4


def data():
    """Points and classes."""
    rng = np.random.default_rng(0)
    radius = np.tile(np.linspace(0.0, 1.0, 20) / 2.0, 3)
    angle = np.concatenate([np.linspace(4.0 * c, 4.0 * (c + 1), 20) for c in range(3)])
    angle += 0.15 * rng.standard_normal(60)
    return radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1), np.repeat(np.arange(3), 20)


def accuracy(network, X, classes):
    return float(np.mean(np.argmax(network(X), axis=1) == classes))


def regions(panel, network, X, classes, title):
    """Where a network gives which class its largest output."""
    side = np.linspace(-0.6, 0.6, 301)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    shown = np.argmax(network(grid), axis=1).reshape(301, 301)
    colours = ["C0", "C1", "C2"]
    panel.contourf(side, side, shown, levels=[-0.5, 0.5, 1.5, 2.5], colors=colours, alpha=0.3)
    for number, colour in enumerate(colours):
        panel.plot(*X[classes == number].T, ".", color=colour, markersize=5)
    panel.set(aspect="equal", xticks=[], yticks=[])
    panel.set_title(f"{title}\naccuracy {accuracy(network, X, classes):.2f}", fontsize=8)


def frank_wolfe(X, Y, beta, exact, limit):
    """With the budget of the optimum and steps 2 / (k + 2), until the objective is close to the optimum."""
    optimum = exact.certificate.objective
    budget = float(np.linalg.norm(exact.network.first, axis=1) @ np.linalg.norm(exact.network.second, axis=1))
    return zg.train_by_frank_wolfe(
        ARCHITECTURE, X, Y, beta=beta, budget=budget, line_search=False, iterations=10**9, tol=1e-9, max_time=limit,
        callback=lambda step: step.objective <= (1.0 + CLOSE) * optimum,
    )  # fmt: skip


def compared(X, classes, beta, limit):
    """Print one table; the exact network and the best of SGD with few neurons."""
    Y = np.eye(3)[classes]
    exact = zg.train(ARCHITECTURE, X, Y, beta=beta, arrangements="enumerate", tol=1e-9)
    optimum = exact.certificate.objective
    print(f"\nbeta {beta:g}: {exact.certificate}; width {exact.network.width}")
    print("\n| | value | relative to the optimum | s | accuracy |\n|---|---|---|---|---|")

    def row(name, values, seconds, network):
        shown = [f"{value:.7g}" for value in values]
        above = [f"{value / optimum - 1.0:+.1e}" for value in values]
        score = f"{accuracy(network, X, classes):.2f}"
        print(f"| {name} | {' to '.join(shown)} | {' to '.join(above)} | {seconds:.2f} | {score} |", flush=True)

    for arrangements in ("enumerate", "generate"):
        started = time.perf_counter()
        result = zg.train(ARCHITECTURE, X, Y, beta=beta, arrangements=arrangements, tol=1e-4)
        name = f'zg.train, "{arrangements}", proof {result.certificate.proof}, gap {result.certificate.gap:.0e}'
        row(name, [result.certificate.objective], time.perf_counter() - started, result.network)
    for cone in ("doubly_nonnegative", "psd"):
        started = time.perf_counter()
        result = zg.train_copositive(ARCHITECTURE, X, Y, beta=beta, cone=cone)
        row(f"program, {cone}", [result.value], time.perf_counter() - started, result.network)
    started = time.perf_counter()
    result = frank_wolfe(X, Y, beta, exact, limit)
    spent = time.perf_counter() - started
    row(f"Frank-Wolfe, {len(result.history)} steps", [result.history[-1].objective], spent, result.network)
    best = {}
    for width in WIDTHS:
        networks, started = [], time.perf_counter()
        for seed in range(SEEDS):
            arguments = {"width": width, "method": "sgd", "iterations": EPOCHS, "rate": RATE, "random_state": seed}
            networks.append(train_by_gradient(ARCHITECTURE, X, Y, beta=beta, **arguments))
        spent = (time.perf_counter() - started) / SEEDS
        found = [network.objective(X, Y, beta=beta) for network in networks]
        best[width] = networks[int(np.argmin(found))]
        row(f"SGD, {width} neurons, best and worst of {SEEDS}", [min(found), max(found)], spent, best[width])
    return exact.network, best[WIDTHS[0]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for Frank-Wolfe")
    options = parser.parse_args()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    X, classes = data()
    for beta in BETAS:
        exact, descended = compared(X, classes, beta, options.limit)
    regions(panels[0], exact, X, classes, f"optimum, no bias, squared loss, beta {beta:g}")
    regions(panels[1], descended, X, classes, f"SGD, {WIDTHS[0]} neurons, the same objective")
    result = zg.train(zg.MLP(), X, classes, loss="cross_entropy", beta=ENTROPY_BETA, tol=1e-4, max_time=options.limit)
    score = accuracy(result.network, X, classes)
    print(f"\ncross-entropy, with bias, beta {ENTROPY_BETA:g}: {result.certificate}")
    print(f"width {result.network.width}, accuracy {score:.3f}, {result.history[-1].time:.1f} s")
    regions(panels[2], result.network, X, classes, f"optimum, with bias, cross-entropy, beta {ENTROPY_BETA:g}")
    if options.picture is not None:
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
