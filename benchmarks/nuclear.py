"""Nuclear norms against a conic solver, and how tight and how fast bounds of cell prices are; one thread.

    python benchmarks/nuclear.py [--repeats 3] [--skip-cvxpy]

First linear CNNs, ours to a certified gap of 1e-6 and CVXPY with Clarabel (nuclear norm as a semidefinite block) at
tolerance 1e-7, in turn; medians. Then cone-constrained principal components of random cones, with the bound of faces
in few dimensions and that of the semidefinite program beyond.
"""

# ruff: noqa: E402  (numpy reads the number of threads when it is imported)
from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

import zerogap as zg
from zerogap.oracles.cone_pca import cone_maximum
from zerogap.question import Question
from zerogap.training.spectral import train_spectral

SIZES = ((50, 6), (100, 8), (200, 8), (200, 14))
"""Samples, and pixels along a side."""

CONES = ((2, 400), (3, 400), (4, 400), (5, 400), (6, 400), (9, 400), (10, 2000))
"""Dimensions, and rows."""


def images(samples: int, side: int) -> tuple[Any, Any]:
    """Correlated noise with noisy labels."""
    rng = np.random.default_rng(samples + side)
    X = rng.standard_normal((samples, side, side)).cumsum(axis=1).cumsum(axis=2) / side
    return X, np.sign(X[:, 1:4, 2:5].sum(axis=(1, 2)) + rng.standard_normal(samples))


def reference(question: Question) -> float:
    """The optimum by CVXPY."""
    cp = import_module("cvxpy")
    features = question.architecture.features(question.rows)
    maps = features.forward(np.eye(features.dimension))[0]  # (n, a, p)
    Z, y, loss = cp.Variable(maps.shape[1:]), question.loss.targets, question.loss.name
    f = maps.reshape(maps.shape[0], -1) @ cp.vec(Z, order="C")
    terms = {
        "squared": lambda: 0.5 * cp.sum_squares(f - y),
        "logistic": lambda: cp.sum(cp.logistic(cp.multiply(-y, f))),
        "hinge": lambda: cp.sum(cp.pos(1.0 - cp.multiply(y, f))),
    }
    problem = cp.Problem(cp.Minimize(terms[loss]() + question.beta * cp.normNuc(Z)))
    options = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), 1e-7)
    return float(problem.solve(solver="CLARABEL", **options))


def linear_networks(repeats: int, *, skip: bool) -> None:
    for samples, side in SIZES:
        X, y = images(samples, side)
        for loss in ("squared", "logistic", "hinge"):
            question = Question.of(zg.LinearCNN(3), X, y, loss=loss, beta=1.0)
            ours, theirs, value = [], [], np.nan
            for _ in range(repeats):
                started = perf_counter()
                with np.errstate(all="ignore"):
                    rng = np.random.default_rng(0)
                    _, certificate, _, _ = train_spectral(question, tol=1e-6, limit=np.inf, rng=rng)
                ours.append(perf_counter() - started)
                if not skip and samples * side <= 1600:
                    started = perf_counter()
                    value = reference(question)
                    theirs.append(perf_counter() - started)
            other = f"{np.median(theirs):8.2f} s {value:.7f}" if theirs else "        -"
            line = f"{samples:4d} images {side:2d} x {side:<2d} {loss:9s} ours {np.median(ours):6.2f} s "
            print(f"{line}{certificate.objective:.7f} gap {certificate.gap:.0e}   CVXPY {other}", flush=True)


def cones(repeats: int) -> None:
    rng = np.random.default_rng(0)
    for p, rows in CONES:
        seconds, gaps = [], []
        for _ in range(10 * repeats):
            centre = rng.standard_normal(p)
            K = rng.standard_normal((rows, p))
            K *= np.where(K @ centre >= 0.0, 1.0, -1.0)[:, None] / np.linalg.norm(K, axis=1, keepdims=True)
            G = rng.standard_normal((p, 40))
            started = perf_counter()
            maximum = cone_maximum(G, K, centre)
            seconds.append(perf_counter() - started)
            gaps.append(maximum.upper / maximum.value - 1.0)
        tight = int(np.sum(np.array(gaps) <= 1e-7))
        line = f"{p:3d} dimensions {rows:5d} rows: {1e3 * float(np.median(seconds)):6.1f} ms"
        print(f"{line}, solved {tight} of {len(gaps)}, largest gap {max(gaps):.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-cvxpy", action="store_true")
    options = parser.parse_args()
    linear_networks(options.repeats, skip=options.skip_cvxpy)
    cones(options.repeats)


if __name__ == "__main__":
    main()
