"""Generation of atoms against Frank-Wolfe with the same oracle, on the problems of P1; one thread.

    python benchmarks/vector_outputs.py [--seconds 60] [--repetitions 5] [--problem NAME ...]

Each side starts cold, lists the cells itself, and is timed up to the first iterate whose true relative distance to the
optimum is 1e-4 or below: the objective it holds, against the optimum of a run of ``zg.train`` to a proved gap of 1e-9.
Sides run in turn in one process, compiled functions are warm, and seconds are those of the processor. Times of ours
are medians of the repetitions, made again before each side. Frank-Wolfe is repeated too if it arrives, and stopped
after --seconds if it does not; then ratios are lower bounds.

    budget, search    constrained form with t = sum_j ||u_j|| ||w_j|| of the optimum, exact line search
    budget, 2/(k+2)   the same with the published steps
    penalised         without a budget: the best factors of the old and of the new neuron in each step

The slope is that of log(objective - optimum) against log(k) over the last two decades of steps (-1: like 1/k); from it,
the seconds that a stopped run would have needed, which are a guess.
"""

# ruff: noqa: E402  (numpy reads the number of threads when it is imported)
from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zerogap as zg

Array = NDArray[np.float64]

DISTANCE = 1e-4
GOAL = 50.0
ARCHITECTURE = zg.MLP(bias=False)


def random_outputs() -> tuple[Array, Array]:
    """25 Gaussian samples in the plane, five outputs of a random network with 100 neurons."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((25, 2))
    return X, np.maximum(X @ rng.standard_normal((2, 100)), 0.0) @ rng.standard_normal((100, 5))


def spiral() -> tuple[Array, Array]:
    """Three arms of 20 points, one-hot."""
    rng = np.random.default_rng(0)
    radius = np.tile(np.linspace(0.0, 1.0, 20) / 2.0, 3)
    angle = np.concatenate([np.linspace(4.0 * c, 4.0 * (c + 1), 20) for c in range(3)])
    angle += 0.15 * rng.standard_normal(60)
    return radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1), np.repeat(np.eye(3), 20, axis=0)


def golden() -> tuple[Array, Array]:
    """The problem G8 of the specification: five samples, two outputs."""
    X = np.array([[0.5, -1.2], [-0.7, 0.4], [1.3, 0.6], [-0.4, -0.8], [0.9, -0.3]])
    return X, np.array([[1.0, 0.2], [-0.5, 0.9], [0.8, -0.4], [-1.2, 0.6], [0.3, -1.0]])


PROBLEMS: dict[str, tuple[Callable[[], tuple[Array, Array]], float]] = {
    "random": (random_outputs, 1e-2),
    "spiral 0.1": (spiral, 0.1),
    "spiral 0.01": (spiral, 0.01),
    "G8": (golden, 0.1),
}
"""Data and beta."""


@dataclass(frozen=True)
class Run:
    """Seconds and iterations up to the distance, or up to the limit; objectives after each iteration."""

    seconds: float
    objectives: Array
    reached: bool


def timed(call: Callable[..., Any], target: float, limit: float = np.inf, **arguments: Any) -> Run:
    """Run until the objective is at the target, or time is up; the callback sees each iteration."""
    objectives: list[float] = []
    started = process_time()
    seconds = 0.0

    def watch(record: Any) -> bool:
        nonlocal seconds
        seconds = process_time() - started
        objectives.append(record.objective)
        return bool(record.objective <= target or seconds >= limit)

    call(callback=watch, **arguments)
    return Run(seconds, np.array(objectives), objectives[-1] <= target)


def slope(objectives: Array, optimum: float) -> float:
    """Of log(objective - optimum) over log(k), at equal distances of log(k) in the last two decades."""
    last = objectives.size
    k = np.unique(np.geomspace(max(1, last // 100), last, 200).astype(int))
    gaps = np.maximum(objectives[k - 1] - optimum, 1e-300)
    return float(np.polyfit(np.log(k), np.log(gaps), 1)[0]) if k.size > 2 else np.nan


def measure(name: str, limit: float, repetitions: int) -> list[float]:
    """One problem, all sides in turn; the ratios."""
    build, beta = PROBLEMS[name]
    X, Y = build()

    def ours(**arguments: Any) -> Any:
        return zg.train(ARCHITECTURE, X, Y, beta=beta, arrangements="enumerate", **arguments)

    def frank_wolfe(**arguments: Any) -> Any:
        return zg.train_by_frank_wolfe(ARCHITECTURE, X, Y, beta=beta, iterations=10**9, tol=1e-14, **arguments)

    exact = ours(tol=1e-9)
    exact.raise_for_status()
    optimum = exact.certificate.objective
    budget = float(np.linalg.norm(exact.network.first, axis=1) @ np.linalg.norm(exact.network.second, axis=1))
    target = optimum * (1.0 + DISTANCE)
    print(f"\n{name}: optimum {optimum:.9g} (proved gap {exact.certificate.gap:.0e}), t {budget:.6g}", flush=True)
    sides = {
        "budget, search": {"budget": budget},
        "budget, 2/(k+2)": {"budget": budget, "line_search": False},
        "penalised": {},
    }
    own: list[Run] = []
    proofs: list[float] = []
    theirs: dict[str, list[Run]] = {side: [] for side in sides}
    for side, arguments in sides.items():
        for _ in range(repetitions):
            own.append(timed(ours, target, tol=1e-9))
            started = process_time()
            ours(tol=DISTANCE).raise_for_status()
            proofs.append(process_time() - started)
        for _ in range(repetitions):
            theirs[side].append(timed(frank_wolfe, target, limit, **arguments))
            if not theirs[side][-1].reached:
                break
    seconds = float(np.median([run.seconds for run in own]))
    proved = float(np.median(proofs))
    text = f"{own[0].objectives.size:8d} rounds   distance {own[0].objectives[-1] / optimum - 1.0:.0e}"
    print(f"  {'generation':16} {seconds:9.3f} s {text}; proved to 1e-4 after {proved:.3f} s")
    ratios = []
    for side, runs in theirs.items():
        run, spent = runs[0], float(np.median([run.seconds for run in runs]))
        rate = slope(run.objectives, optimum)
        distance = run.objectives[-1] / optimum - 1.0
        ratios.append(spent / seconds)
        more = ""
        if not run.reached and rate < 0.0:
            guess = spent * (distance / DISTANCE) ** (-1.0 / rate)
            more = f"   would need about {guess:.0e} s"
        sign = "  " if run.reached else ">="
        print(
            f"  {side:16} {spent:9.3f} s {run.objectives.size:8d} steps    distance {distance:.0e}"
            f"   slope {rate:+.2f}   {sign} {ratios[-1]:.0f} times{more}",
            flush=True,
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of each run of Frank-Wolfe")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--problem", nargs="*", choices=list(PROBLEMS), default=list(PROBLEMS))
    options = parser.parse_args()
    print(f"one thread for all sides; relative distance {DISTANCE:.0e} to the optimum; goal {GOAL:.0f} times")
    X, Y = golden()
    zg.train(ARCHITECTURE, X, Y, beta=0.1, arrangements="enumerate")  # compiles, or loads what is compiled
    zg.train_by_frank_wolfe(ARCHITECTURE, X, Y, beta=0.1, iterations=2)
    ratios = {name: min(measure(name, options.seconds, options.repetitions)) for name in options.problem}
    print("\nleast ratios: " + ", ".join(f"{name} {ratio:.0f}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
