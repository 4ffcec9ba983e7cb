"""Every architecture of the main paper on the same images, beside Adam and SGD on the same objective.

    python examples/every_cnn.py [--limit 60] [--descent 20] [--json FILE] [--only NAME ...]

200 training images of 8 x 8 (digits 3 and 8) and of 14 x 14 pixels (Fashion-MNIST shirts and coats), squared loss,
beta 1. Markdown tables: objective, proved bound and gap, the gap that search suggests, scope and proof, width, test
accuracy and seconds; then how far Adam and SGD (100 neurons, the best of three step sizes) end above our objective.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

BETA = 1.0
ARCHITECTURES = {
    "A sum pooling": zg.CNN(3),
    "B max pooling": zg.CNN(3, pooling="max"),
    "B max over 2 x 2": zg.CNN(3, pooling="max", window=2),
    "C no pooling": zg.CNN(3, pooling="none"),
    "C average over 2 x 2": zg.CNN(3, pooling="average", window=2),
    "D linear, sum": zg.LinearCNN(3, pooling="sum"),
    "D linear, no pooling": zg.LinearCNN(3),
    "E circular, linear": zg.CircularCNN(depth=2, bias=False),
    "F circular, 3 layers": zg.CircularCNN(depth=3, bias=False),
    "F, 4 layers": zg.CircularCNN(depth=4, bias=False),
    "G untied": zg.ThreeLayerCNN(3),
    "G tied": zg.ThreeLayerCNN(3, tied=True),
    "leaky, sum": zg.CNN(3, slope=0.1),
}
DATA = ("digits:3,8", "fashion:shirt,coat")


def images(name):
    """200 training and 100 test images."""
    data = zg.load_dataset(name)
    order = np.random.default_rng(0).permutation(len(data))
    return data.X[order[:200]], data.y[order[:200]], data.X[order[200:300]], data.y[order[200:300]]


def accuracy(network, X, y):
    return float(np.mean(np.where(network(X) >= 0.0, 1.0, -1.0) == y))


def descended(architecture, X, y, method, seconds):
    """The best objective of three step sizes with a third of the seconds each."""
    best = np.inf
    for rate in (1e-2, 3e-3, 1e-3) if method == "adam" else (1e-2, 1e-3, 1e-4):
        arguments = {"beta": BETA, "width": 100, "method": method, "rate": rate}
        trial = 10 if method == "adam" else 2
        train_by_gradient(architecture, X, y, iterations=1, **arguments)
        started = time.monotonic()
        train_by_gradient(architecture, X, y, iterations=trial, **arguments)
        count = max(trial, int(trial * seconds / 3.0 / (time.monotonic() - started)))
        objective = train_by_gradient(architecture, X, y, iterations=count, **arguments).objective(X, y, beta=BETA)
        best = min(best, objective) if np.isfinite(objective) else best
    return best


def measure(name, architecture, data, limit, seconds):
    X, y, test_X, test_y = images(data)
    if architecture.flat:
        X, test_X = X.reshape(len(X), -1), test_X.reshape(len(test_X), -1)
    started = time.monotonic()
    result = zg.train(architecture, X, y, beta=BETA, tol=1e-3, max_time=limit, prove=0.5 * limit)
    spent = time.monotonic() - started
    c = result.certificate
    searched = None if c.estimate is None else max(0.0, 1.0 - c.estimate / c.objective)
    return {
        "data": data,
        "name": name,
        "objective": c.objective,
        "bound": c.lower_bound,
        "gap": c.gap,
        "searched": searched,
        "scope": c.scope,
        "proof": c.proof,
        "width": c.width,
        "accuracy": accuracy(result.network, test_X, test_y),
        "seconds": spent,
        "adam": descended(architecture, X, y, "adam", seconds),
        "sgd": descended(architecture, X, y, "sgd", seconds),
    }


def above(value, record):
    return "diverged" if not np.isfinite(value) else f"{value:.5g} ({value / record['objective'] - 1.0:+.1%})"


def row(record):
    searched = "-" if record["searched"] is None else f"{record['searched']:.0e}"
    parts = [
        record["name"],
        f"{record['objective']:.5g}",
        f"{record['bound']:.5g}",
        f"{record['gap']:.0e}",
        searched,
        f"{record['scope']}, {record['proof']}",
        str(record["width"]),
        f"{record['accuracy']:.2f}",
        f"{record['seconds']:.0f}",
        above(record["adam"], record),
        above(record["sgd"], record),
    ]
    return "| " + " | ".join(parts) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for each of our runs")
    parser.add_argument("--descent", type=float, default=20.0, help="seconds for Adam, and for SGD")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--data", nargs="*", default=list(DATA))
    options = parser.parse_args()
    records = []
    for data in options.data:
        print(f"\n{data}, 200 images\n")
        print("| | objective | bound | gap | by search | scope, proof | width | test | s | Adam | SGD |")
        print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in options.only:
            record = measure(name, ARCHITECTURES[name], data, options.limit, options.descent)
            records.append(record)
            print(row(record), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
