"""A warm-started path against independent fits of the same betas, to the same tolerance, in one process.

    OMP_NUM_THREADS=1 python benchmarks/path.py [--tol 1e-2] [--count 20] [--ratio 1e-2]

Seconds of the processor. Both sides end with the same estimated gap; the table also shows by how much the objectives of
the path are above those of the independent fits, in the worst case over the betas (negative: below).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

import zerogap as zg


def problems() -> dict[str, tuple[Any, Any, Any, str]]:
    """Architecture, inputs, targets and loss."""
    arch, found = zg.MLP(intercept=True), {}
    X, y = load_diabetes(return_X_y=True)
    found["diabetes"] = arch, scaled(X), scaled(y), "squared"
    X, y = load_breast_cancer(return_X_y=True)
    found["breast cancer"] = arch, scaled(X), 2.0 * y - 1.0, "logistic"
    X, y = load_wine(return_X_y=True)
    found["wine"] = arch, scaled(X), y, "cross_entropy"
    X, y = load_digits(n_class=2, return_X_y=True)
    images = X.reshape(-1, 8, 8) / 16.0
    found["digits 0, 1; GAP CNN"] = zg.CNN(3, pooling="average", intercept=True), images, 2.0 * y - 1.0, "logistic"
    return found


def scaled(a: Any) -> Any:
    """Mean 0 and standard deviation 1."""
    spread = a.std(axis=0)
    return (a - a.mean(axis=0)) / np.where(spread == 0.0, 1.0, spread)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tol", type=float, default=1e-2)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--ratio", type=float, default=1e-2)
    options = parser.parse_args()
    print(f"tolerance {options.tol:g}, {options.count} betas down to {options.ratio:g} of the critical one")
    print("| problem | path | independent | ratio | objectives |")
    print("|---|---|---|---|---|")
    for name, (arch, X, y, loss) in problems().items():
        common: dict[str, Any] = {"loss": loss, "tol": options.tol, "prove": False}
        zg.train(arch, X[::3], y[::3], beta=1.0, **common | {"tol": 0.1})  # compiles
        started = time.process_time()
        path = zg.path(arch, X, y, betas=options.count, ratio=options.ratio, **common)
        warm = time.process_time() - started
        started = time.process_time()
        alone = [zg.train(arch, X, y, beta=float(beta), **common).certificate.objective for beta in path.betas]
        cold = time.process_time() - started
        above = float(np.max(path.objectives / np.array(alone) - 1.0))
        print(f"| {name} | {warm:.1f} s | {cold:.1f} s | {cold / warm:.1f} | {above:+.1e} |", flush=True)


if __name__ == "__main__":
    main()
