"""Random data of P1: 25 Gaussian samples in the plane, five outputs of a random network with 100 neurons, beta 0.01.

    python examples/random_outputs.py [--picture FILE] [--limit 20] [--beta 0.01]

The exact optimum, by atoms over all cells and over all neurons; the copositive program and its relaxations (in the
plane the doubly nonnegative one is exact); Frank-Wolfe in three forms; five runs each of SGD and of Adam with 10 and
with 50 neurons. All networks are without bias, as in the paper.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

ARCHITECTURE = zg.MLP(bias=False)
METHODS = {"sgd": (1e-4, (30, 100, 300, 1000, 3000)), "adam": (0.1, (100, 300, 1000, 3000, 10000))}
"""Step size, the best of several, and numbers of epochs or steps."""
WIDTHS = (10, 50)
SEEDS = 5


def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((25, 2))
    return X, np.maximum(X @ rng.standard_normal((2, 100)), 0.0) @ rng.standard_normal((100, 5))


def descended(X, y, beta, method, width, seed):
    """Seconds and objectives of longer and longer runs."""
    rate, counts = METHODS[method]
    seconds, objectives = [], []
    for count in counts:
        started = time.perf_counter()
        network = train_by_gradient(
            ARCHITECTURE, X, y, beta=beta, width=width, method=method, iterations=count, rate=rate, random_state=seed
        )
        seconds.append(time.perf_counter() - started)
        objectives.append(network.objective(X, y, beta=beta))
    return seconds, objectives


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for each run of Frank-Wolfe")
    parser.add_argument("--beta", type=float, default=1e-2)
    options = parser.parse_args()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.5), layout="constrained")
    panel = figure.subplots()
    X, Y = data()
    beta = options.beta
    exact = zg.train(ARCHITECTURE, X, Y, beta=beta, arrangements="enumerate", tol=1e-9)
    optimum = exact.certificate.objective
    print(f"exact: {exact.certificate}; width {exact.network.width}\n")
    print("| | value | relative to the optimum | s |\n|---|---|---|---|")

    def row(name, values, seconds):
        shown = [f"{value:.7g}" for value in values]
        above = [f"{value / optimum - 1.0:+.1e}" for value in values]
        print(f"| {name} | {' to '.join(shown)} | {' to '.join(above)} | {seconds:.2f} |", flush=True)

    def curve(steps, colour, style, label):
        times, objectives = zip(*steps, strict=True)
        panel.plot(times, objectives, color=colour, linestyle=style, linewidth=1.2, label=label)

    for arrangements, style in (("enumerate", "-"), ("generate", ":")):
        started = time.perf_counter()
        result = zg.train(ARCHITECTURE, X, Y, beta=beta, arrangements=arrangements, tol=1e-4)
        name = f'zg.train, "{arrangements}", tol 1e-4'
        row(name, [result.certificate.objective], time.perf_counter() - started)
        curve([(step.time, step.objective) for step in result.history], "C3", style, name)
    for cone in ("completely_positive", "doubly_nonnegative", "psd"):
        started = time.perf_counter()
        result = zg.train_copositive(ARCHITECTURE, X, Y, beta=beta, cone=cone)
        row(f"program, {cone}", [result.value], time.perf_counter() - started)
        if cone == "psd":
            panel.axhline(result.value, color="grey", linestyle="--", linewidth=1.0, label="psd relaxation")
    budget = float(np.linalg.norm(exact.network.first, axis=1) @ np.linalg.norm(exact.network.second, axis=1))
    forms = {
        f"t = {budget:.4g}, line search": ({"budget": budget}, "-"),
        f"t = {budget:.4g}, 2/(k+2)": ({"budget": budget, "line_search": False}, "--"),
        "penalised": ({}, ":"),
    }
    for name, (arguments, style) in forms.items():
        started = time.perf_counter()
        result = zg.train_by_frank_wolfe(
            ARCHITECTURE, X, Y, beta=beta, iterations=10**9, tol=1e-4, max_time=options.limit, **arguments
        )
        spent = time.perf_counter() - started
        row(f"Frank-Wolfe, {name}, {len(result.history)} steps", [result.history[-1].objective], spent)
        kept = np.unique(np.geomspace(1, len(result.history), 300).astype(int)) - 1
        steps = [(result.history[k].time, result.history[k].objective) for k in kept]
        curve(steps, "C2", style, f"Frank-Wolfe, {name}")
    for method, named in (("sgd", "SGD"), ("adam", "Adam")):
        for width in WIDTHS:
            runs = [descended(X, Y, beta, method, width, seed) for seed in range(SEEDS)]
            last = [objectives[-1] for _, objectives in runs]
            row(f"{named}, {width} neurons, best and worst of {SEEDS}", [min(last), max(last)], runs[0][0][-1])
            for seed, (seconds, objectives) in enumerate(runs):
                colour, style = "C0" if method == "sgd" else "C1", "-" if width == WIDTHS[0] else "--"
                label = f"{named}, {width} neurons" if seed == 0 else None
                panel.plot(seconds, objectives, color=colour, linestyle=style, linewidth=0.7, label=label)
    panel.axhline(optimum, color="black", linewidth=1.0, label="optimum")
    panel.set(xscale="log", yscale="log", xlabel="seconds", ylabel="objective")
    panel.set(xlim=(0.01, None), ylim=(0.7 * optimum, 1e3 * optimum))
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    if options.picture is not None:
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
