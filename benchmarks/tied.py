"""Branch and bound over pairs of directions (``zerogap.oracles.bilinear``), with its parts switched off.

    python benchmarks/tied.py

For each size four random residuals; the target is the best price that search has met, plus a share of it.
"""

from __future__ import annotations

import json
import time

import numpy as np

import zerogap as zg
from zerogap.oracles import bilinear
from zerogap.oracles.tied_search import search_tied

SIZES = ((6, 2, 2), (10, 3, 2), (10, 3, 3))
"""Samples, positions, entries of a filter."""

VARIANTS: dict[str, dict[str, int]] = {
    "as it is": {},
    "lambda 0 or 1 only": {"PASSES": 0},
    "no cuts along walls": {"FEW": 0},
    "always cut": {"FEW": 10**9},
}
DEFAULTS = {"PASSES": bilinear.PASSES, "FEW": bilinear.FEW}
NODES = 300_000
SHARE = 1e-6


def instance(n: int, positions: int, entries: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows, a residual, and the best price that search meets."""
    rng = np.random.default_rng(seed)
    X, residual = rng.standard_normal((n, positions + entries - 1)), rng.standard_normal(n)
    architecture = zg.ThreeLayerCNN(entries, tied=True, bias=False)
    rows = architecture.rows(X)
    features = architecture.features(rows)
    _, prices = search_tied(features, residual, features.random(300, rng))
    return rows.matrix, residual, float(prices[0])


def main() -> None:
    """Print one line of JSON for each size and variant; variants take turns on the same instance."""
    for size in SIZES:
        totals = {name: {"nodes": 0, "seconds": 0.0, "unfinished": 0} for name in VARIANTS}
        for seed in range(4):
            rows, residual, price = instance(*size, seed)
            for name, changes in VARIANTS.items():
                for constant, value in {**DEFAULTS, **changes}.items():
                    setattr(bilinear, constant, value)
                started = time.perf_counter()
                found = bilinear.bound_price(rows, residual, price * (1.0 + SHARE), nodes=NODES)
                totals[name]["seconds"] += time.perf_counter() - started
                totals[name]["nodes"] += found.nodes
                totals[name]["unfinished"] += not found.finished
        for name, total in totals.items():
            print(json.dumps({"size": size, "variant": name, **total}), flush=True)


if __name__ == "__main__":
    main()
