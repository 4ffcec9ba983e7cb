"""How far proofs reach: the proved gap over time, for neurons of p weights and n samples.

    python benchmarks/proofs.py [--search 10] [--prove 10] [--weights 2 3 ...] [--picture FILE] [--json FILE]

Planted problems with ten neurons, no bias, beta = n / 1000; zg.train with tol=1e-3 and the given seconds for search
and for branch and bound. Seconds are those of the processor, all cores added, here and in the limits, so that figures
do not depend on what else a machine is doing. One line for each problem, and a picture with one panel for each p.
Records that the JSON file holds already are kept and drawn, not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import zerogap as zg

time.monotonic = time.process_time

DIMENSIONS = range(2, 10)
SAMPLES = (50, 200, 1000)


def synthetic(n, d):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    U, w = rng.standard_normal((d, 10)), rng.choice([-1, 1], 10)
    return X, np.maximum(X @ U, 0) @ w / np.sqrt(10 * d) + 0.1 * rng.standard_normal(n)


def measure(p, n, search, prove):
    X, y = synthetic(n, p)
    started = time.monotonic()
    result = zg.train(zg.MLP(bias=False), X, y, beta=n / 1000, tol=1e-3, max_time=search, prove=prove)
    certificate = result.certificate
    steps = [(step.time, step.gap) for step in result.history if step.bound > 0.0]
    steps.append((time.monotonic() - started, certificate.gap))
    nodes = max((step.nodes for step in result.history), default=0)
    return {"p": p, "n": n, "steps": steps, "gap": certificate.gap, "proof": certificate.proof, "nodes": nodes}


def draw(records, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True).ravel()
    for panel, p in zip(panels, DIMENSIONS, strict=True):
        for colour, n in enumerate(SAMPLES):
            steps = [
                tuple(step) for record in records if (record["p"], record["n"]) == (p, n) for step in record["steps"]
            ]
            if not steps:
                continue
            times, gaps = zip(*steps, strict=True)
            panel.plot(times, gaps, drawstyle="steps-post", marker=".", color=f"C{colour}", label=f"n = {n}")
        panel.axhline(1e-3, color="0.8", linewidth=0.8, zorder=0)
        panel.set(xscale="log", yscale="log", title=f"{p} weights per neuron")
    panels[0].legend(frameon=False)
    figure.supxlabel("seconds of the processor, both cores added")
    figure.supylabel("proved relative gap")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", type=float, default=10.0)
    parser.add_argument("--prove", type=float, default=10.0)
    parser.add_argument("--weights", type=int, nargs="*", default=list(DIMENSIONS), choices=DIMENSIONS)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measure(2, 50, 5.0, 5.0)  # compiles
    records = []
    if options.json is not None and options.json.exists():
        records = json.loads(options.json.read_text())
    known = {(record["p"], record["n"]) for record in records}
    for p in options.weights:
        for n in SAMPLES:
            if (p, n) in known:
                continue
            record = measure(p, n, options.search, options.prove)
            records.append(record)
            seconds = record["steps"][-1][0]
            print(
                f"p {p}  n {n:5}  gap {record['gap']:.1e}  {record['proof']}  {record['nodes']} nodes  {seconds:.1f} s",
                flush=True,
            )
            if options.json is not None:
                options.json.write_text(json.dumps(records) + "\n")
    if options.picture is not None:
        draw(records, options.picture)


if __name__ == "__main__":
    main()
