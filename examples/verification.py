"""Convex optimum against the best of many network runs, for every architecture of the main paper on new data.

    python examples/verification.py [--seeds 3] [--runs 30]

Gaussian inputs and targets, squared loss, beta 0.1. The networks (10 neurons) are trained by L-BFGS from random starts,
with kinks of the ReLU rounded over falling widths, since plain L-BFGS stops on kinks (those of the maximum stay). Tied
three-layer networks are compared with what branch and bound proves.
"""

from __future__ import annotations

import argparse

import numpy as np

import zerogap as zg
from zerogap.question import Question
from zerogap.training.descent import Descent, lbfgs

BETA, WIDTH = 0.1, 10
SMOOTHING = (0.1, 0.03, 0.01, 0.003, 0.001, 3e-4, 1e-4, 0.0)

CASES = {
    "A sum pooling": (zg.CNN(2, bias=False), (5, 4), "enumerate"),
    "B max pooling": (zg.CNN(2, pooling="max", bias=False), (5, 4), "enumerate"),
    "C no pooling": (zg.CNN(2, pooling="none", bias=False), (5, 4), "enumerate"),
    "D linear": (zg.LinearCNN(2, bias=False), (5, 4), "generate"),
    "E circular, linear": (zg.CircularCNN(depth=2, bias=False), (4, 4), "generate"),
    "F circular": (zg.CircularCNN(bias=False), (4, 4), "enumerate"),
    "G untied": (zg.ThreeLayerCNN(2, bias=False), (3, 3), "enumerate"),
    "G tied": (zg.ThreeLayerCNN(2, tied=True, bias=False), (3, 3), "generate"),
}


def best_network(architecture, X, y, runs):
    """The least objective of many runs."""
    question = Question.of(architecture, X, y, loss="squared", beta=BETA)
    problem, best = Descent(question, WIDTH), np.inf
    for seed in range(runs):
        point = problem.start(np.random.default_rng(seed))
        for smoothing in SMOOTHING:
            point = lbfgs(lambda flat, width=smoothing: problem(flat, width), point, 300)
        features = problem.features
        best = min(best, zg.Network.from_weights(architecture, features, *problem.unpack(point)).objective_of(question))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    print("| | proof | lower bound | objective | best of the runs | above the bound |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, (architecture, shape, arrangements) in CASES.items():
        for seed in range(100, 100 + options.seeds):
            rng = np.random.default_rng(seed)
            X, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
            certificate = zg.train(architecture, X, y, beta=BETA, arrangements=arrangements, tol=1e-6).certificate
            best = best_network(architecture, X, y, options.runs)
            above = best / certificate.lower_bound - 1.0
            print(
                f"| {name} | {certificate.proof} | {certificate.lower_bound:.7f} | {certificate.objective:.7f} "
                f"| {best:.7f} | {above:.0e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
