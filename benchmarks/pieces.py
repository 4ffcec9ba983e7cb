"""How far training over listed pieces closes the gap, on random small problems of all its architectures.

    python benchmarks/pieces.py [--problems 400] [--seed 1]

Inputs have magnitudes from 1e-3 to 1e3, a third of them one decimal; beta is drawn over three orders of magnitude. The
table says, by architecture and loss, how many gaps are above 1e-8, the largest, and how often the solver was called.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np

import zerogap as zg
from zerogap.question import Question
from zerogap.training.pieces import train_by_pieces


def problem(rng: np.random.Generator) -> tuple[str, Any, np.ndarray, np.ndarray, str, float, Any]:
    """A kind, an architecture, X, y, a loss, beta and arrangements."""
    kind = str(rng.choice(["max", "windows", "leaky", "mlp", "circular"]))
    bias: Any = [True, False, "free"][rng.integers(3)]
    loss = ["squared", "logistic", "hinge"][rng.integers(3)]
    slope, n = float(rng.choice([0.0, 0.1, 0.5])), int(rng.integers(3, 6))
    if kind == "circular":
        normalisation = str(rng.choice(["composite", "frobenius"]))
        architecture: Any = zg.CircularCNN(bias=bias, depth=int(rng.integers(3, 6)), normalisation=normalisation)
        shape = (n, int(rng.integers(2, 5)))
    elif kind == "mlp":
        architecture, shape = zg.MLP(bias=bias, slope=slope), (n, int(rng.integers(1, 4)))
    elif kind == "windows":
        size = 2 if bias is False else 1
        architecture = zg.CNN(size, bias=bias, pooling="max", slope=slope, window=2, readout="sum")
        shape = (n, 5)
    else:
        pooling = "max" if kind == "max" else str(rng.choice(["sum", "average"]))
        architecture, shape = zg.CNN(2, bias=bias, pooling=pooling, slope=slope), (n, 4 if bias is False else 3)
    X = rng.standard_normal(shape)
    if rng.random() < 1.0 / 3.0:
        X = np.round(X, 1)
    X = X * 10.0 ** rng.uniform(-3.0, 3.0)
    beta = 10.0 ** rng.uniform(-3.0, 0.5) * (float(np.abs(X).max()) if rng.random() < 0.7 else 1.0)
    y = rng.standard_normal(n) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], n))
    arrangements: Any = "enumerate" if rng.random() < 0.7 else int(rng.integers(1, 20))
    return kind, architecture, X, y, loss, beta, arrangements


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, started = np.random.default_rng(arguments.seed), time.perf_counter()
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    warnings.simplefilter("ignore", RuntimeWarning)
    for index in range(arguments.problems):
        kind, architecture, X, y, loss, beta, arrangements = problem(rng)
        question = Question.of(architecture, X, y, loss=loss, beta=beta)
        _, certificate, history, _ = train_by_pieces(
            question, arrangements, tol=1e-8, limit=60.0, rng=np.random.default_rng(index)
        )
        found.setdefault((kind, loss), []).append((certificate.gap, len(history)))
    print(f"{'architecture':14s}{'loss':10s}{'problems':>9s}{'above 1e-8':>12s}{'largest gap':>13s}{'calls':>7s}")
    for (kind, loss), results in sorted(found.items()):
        gaps = np.array([gap for gap, _ in results])
        calls = np.mean([count for _, count in results])
        print(f"{kind:14s}{loss:10s}{len(results):9d}{np.sum(gaps > 1e-8):12d}{gaps.max():13.1e}{calls:7.2f}")
    everything = np.array([gap for results in found.values() for gap, _ in results])
    print(
        f"all: {np.sum(everything > 1e-8)} of {everything.size} above 1e-8, the largest {everything.max():.1e}, ",
        end="",
    )
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
