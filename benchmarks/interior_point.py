"""The structured interior point method against Clarabel: same program, same gap, one thread.

    python benchmarks/interior_point.py [--case NAME ...] [--rounds N] [--skip-cvxpy] [--json FILE]

Every side is stopped at the first accuracy at which the relative gap is 1e-6 or below, and the gap is
evaluated in the same way for all: primal value of the blocks moved into their cones, and dual value of a
residual with the best cone multipliers. The residual is the gradient at the predictions or, where a
solver has multipliers of the predictions and they prove more, those. The times are

    ours      construction and iterations, the median of some repetitions
    Clarabel  the solver alone, called directly, with the faster of its factorisations; building its
              matrices is reported but not counted
    CVXPY     problem.solve: compilation and Clarabel

Ours and Clarabel called directly take turns, since machines change their speed from minute to minute: every round gives
a ratio, and the median of these ratios counts. Where a run of Clarabel takes longer than ten seconds, there is one
round.
"""

# ruff: noqa: E402  (numpy reads the number of threads when it is imported)
from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import cProfile
import json
import platform
import pstats
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import sample_cells
from zerogap.gauges import EuclideanGauge
from zerogap.losses import make_loss
from zerogap.patches import Geometry, extract_patches
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.solvers.conic import conic_form, inside, recover
from zerogap.solvers.interior_point import InteriorPoint
from zerogap.solvers.iterate import Iterate
from zerogap.walls import find_walls

Array = NDArray[np.float64]

GAP = 1e-6
LONG = 10.0
"""Seconds of a run of Clarabel above which it is not repeated."""
TOLERANCES = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
GROUPS = {
    "construction": ("interior_point.py", "__init__"),
    "hessians": ("interior_point.py", "_hessians"),
    "factorisation": ("kkt.py", "__init__"),
    "solves": ("kkt.py", "solve"),
    "report": ("interior_point.py", "_report"),
}
"""Where our time goes: disjoint functions, with everything that they call."""


@dataclass(frozen=True)
class Case:
    """A program to build, and the ratio Clarabel / ours to reach."""

    name: str
    build: Callable[[], Program]
    goal: float


@dataclass(frozen=True)
class Timing:
    """Seconds, and the gap that they bought."""

    seconds: float
    gap: float
    iterations: int
    tolerance: float
    method: str = ""


def assemble(matrix: Array, targets: Array, cells: int, beta: float) -> Program:
    """The program of rows (n, K, p) with that many sampled cells."""
    rows = Rows(np.ascontiguousarray(matrix))
    walls = find_walls(rows.flat)
    sampled = sample_cells(walls, cells, np.random.default_rng(1))
    gauge = EuclideanGauge(np.ones(rows.dimension, dtype=bool))
    return Program(rows, walls, sampled, gauge, make_loss("squared", targets, np.ones(targets.size)), beta)


def gaussian(n: int, d: int, cells: int) -> Program:
    """Labels of a teacher network of 10 neurons plus noise; no bias."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    U = rng.standard_normal((d, 10))
    w = rng.choice([-1, 1], 10)
    y = np.maximum(X @ U, 0) @ w / np.sqrt(10 * d) + 0.1 * rng.standard_normal(n)
    return assemble(X[:, None, :], y, cells, 0.1)


def digits() -> Program:
    """The digits 3 and 8, with 3 x 3 patches, sum pooling and a bias column."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = np.flatnonzero(np.isin(data.target, (3, 8)))[:300]
    patches = extract_patches(data.images[chosen, :, :, None] / 16.0, Geometry((3, 3), (1, 1), (0, 0), (1, 1)))
    matrix = np.concatenate([patches, np.ones((*patches.shape[:2], 1))], axis=2)
    return assemble(matrix, np.where(data.target[chosen] == 8, 1.0, -1.0), 50, 1.0)


CASES = (
    Case("100x5x50", lambda: gaussian(100, 5, 50), 20.0),
    Case("100x10x150", lambda: gaussian(100, 10, 150), 40.0),
    Case("500x10x150", lambda: gaussian(500, 10, 150), 10.0),
    Case("digits", digits, 10.0),
)


def judged(program: Program, blocks: Array, residuals: Sequence[Array]) -> float:
    """The relative gap of blocks inside their cones and of the best of some residuals."""
    primal = program.primal(blocks)
    dual = max(program.dual(residual) for residual in residuals)
    return (primal - dual) / primal


def run_ours(program: Program) -> list[Iterate]:
    """The iterates until the solver's own gap is small enough."""
    iterates = []
    for iterate in InteriorPoint(program):
        iterates.append(iterate)
        if iterate.gap <= GAP:
            break
    return iterates


def time_ours(program: Program, repetitions: int) -> Timing:
    """The median of some runs."""
    seconds = []
    for _ in range(repetitions):
        fresh = replace(program)  # without the cached activity
        start = perf_counter()
        iterates = run_ours(fresh)
        seconds.append(perf_counter() - start)
    gap = judged(program, iterates[-1].blocks, [iterates[-1].residual])
    return Timing(float(np.median(seconds)), gap, len(iterates) - 1, GAP)


def find_settings(program: Program, form: tuple[Any, ...]) -> Timing:
    """Clarabel's run of the loosest sufficient tolerance.

    At that tolerance both factorisations are timed, and the faster one counts: the automatic choice takes
    twice as long as the other one on the largest Gaussian program.
    """
    for tolerance in TOLERANCES:
        timing = solve_clarabel(program, form, tolerance, "qdldl")
        if timing.gap <= GAP:
            break
    other = solve_clarabel(program, form, tolerance, "auto")
    return other if other.gap <= GAP and other.seconds < timing.seconds else timing


def take_turns(program: Program, rounds: int, repetitions: int) -> tuple[list[Timing], list[Timing], float]:
    """Timings of ours and of Clarabel round by round, and the seconds for Clarabel's matrices."""
    start = perf_counter()
    form = conic_form(replace(program))
    building = perf_counter() - start
    first = find_settings(program, form)
    if first.seconds > LONG:
        return [time_ours(program, repetitions)], [first], building
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(time_ours(program, repetitions))
        theirs.append(solve_clarabel(program, form, first.tolerance, first.method))
    return ours, theirs, building


def solve_clarabel(program: Program, form: tuple[Any, ...], tolerance: float, method: str) -> Timing:
    """Clarabel alone."""
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads, settings.direct_solve_method = False, 1, method
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = tolerance
    start = perf_counter()
    solution = clarabel.DefaultSolver(*form, settings).solve()
    seconds = perf_counter() - start
    z = np.array(solution.z)
    iterate = recover(program, np.array(solution.x), z, solution.iterations)
    gap = np.inf
    if iterate is not None:
        gap = judged(program, iterate.blocks, [iterate.residual, z[: program.rows.samples]])
    return Timing(seconds, gap, solution.iterations, tolerance, method)


def time_cvxpy(program: Program, loosest: float) -> Timing:
    """The run of the loosest sufficient tolerance from that of Clarabel on."""
    for tolerance in (value for value in TOLERANCES if value <= loosest):
        timing = solve_cvxpy(program, tolerance)
        if timing.gap <= GAP:
            break
    return timing


def solve_cvxpy(program: Program, tolerance: float) -> Timing:
    """The same program, written with one matrix variable for all blocks."""
    cp = import_module("cvxpy")
    families, cells, p = program.shape
    blocks = np.asarray(program.operator.blocks()).reshape(program.rows.samples, cells * p)
    signs = np.tile(np.where(program.cells.signs, 1.0, -1.0), (families, 1))
    V = cp.Variable((families * cells, p))
    f = cp.Variable(program.rows.samples)
    outputs = f == np.hstack([blocks, -blocks]) @ cp.vec(V, order="C")
    cones = cp.multiply(signs.T, program.walls.normals @ V.T) >= 0
    objective = 0.5 * cp.sum_squares(f - program.loss.targets) + program.beta * cp.sum(cp.norm(V, 2, axis=1))
    problem = cp.Problem(cp.Minimize(objective), [outputs, cones])
    tolerances = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), tolerance)
    start = perf_counter()
    problem.solve(solver="CLARABEL", max_threads=1, **tolerances)
    seconds = perf_counter() - start
    moved = inside(program, V.value.reshape(program.shape))
    multipliers = np.asarray(outputs.dual_value)
    residuals = [-program.loss.gradient(program.matmul(moved)), multipliers, -multipliers]
    return Timing(seconds, judged(program, moved, residuals), int(problem.solver_stats.num_iters), tolerance)


def breakdown(program: Program) -> dict[str, float]:
    """Shares of our time, from one profiled run (functions that do not exist count as nothing)."""
    fresh, profile = replace(program), cProfile.Profile()
    profile.enable()
    run_ours(fresh)
    profile.disable()
    spent = dict.fromkeys(GROUPS, 0.0)
    entries = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in entries.values())
    for (file, _, function), (_, _, _, cumulative, _) in entries.items():
        for group, (module, name) in GROUPS.items():
            if Path(file).name == module and function == name:
                spent[group] += cumulative
    shares = {group: seconds / total for group, seconds in spent.items()}
    return {**shares, "rest": 1.0 - sum(shares.values())}


def middle(timings: Sequence[Timing]) -> Timing:
    """The one of median time."""
    return sorted(timings, key=lambda timing: timing.seconds)[(len(timings) - 1) // 2]


def measure(case: Case, rounds: int, repetitions: int, skip_cvxpy: bool) -> dict[str, object]:
    """All sides of one case, in turn."""
    program = case.build()
    families, cells, p = program.shape
    size = {"n": program.rows.samples, "blocks": families * cells, "p": p, "walls": program.walls.count}
    print(f"{case.name}: {size}", flush=True)
    everything, theirs, building = take_turns(program, rounds, repetitions)
    ours, direct = middle(everything), middle(theirs)
    ratios = [second.seconds / first.seconds for first, second in zip(everything, theirs, strict=True)]
    shares = breakdown(program)
    print(f"  ours      {ours.seconds:9.3f} s  gap {ours.gap:.1e}  {ours.iterations} iterations", flush=True)
    print("            " + ", ".join(f"{group} {share:.0%}" for group, share in shares.items()), flush=True)
    print(
        f"  Clarabel  {direct.seconds:9.3f} s  gap {direct.gap:.1e}  {direct.iterations} iterations"
        f"  ({direct.method}, tolerance {direct.tolerance:.0e}; matrices {building:.2f} s)",
        flush=True,
    )
    print("  ratios    " + ", ".join(f"{ratio:.1f}" for ratio in ratios), flush=True)
    record: dict[str, object] = {
        "case": case.name,
        "size": size,
        "goal": case.goal,
        "ours": asdict(ours),
        "rounds": [[asdict(timing) for timing in pair] for pair in zip(everything, theirs, strict=True)],
        "shares": shares,
        "clarabel": asdict(direct),
        "building": building,
        "ratio": float(np.median(ratios)),
    }
    if not skip_cvxpy:
        modelled = time_cvxpy(program, direct.tolerance)
        print(f"  CVXPY     {modelled.seconds:9.3f} s  gap {modelled.gap:.1e}", flush=True)
        record |= {"cvxpy": asdict(modelled), "cvxpy_ratio": modelled.seconds / ours.seconds}
    return record


def table(records: Sequence[dict[str, object]]) -> str:
    """One line per case."""
    lines = [
        f"{'case':12} {'ours s':>9} {'Clarabel s':>11} {'CVXPY s':>9} {'Clarabel/ours':>14} {'goal':>5}"
        f" {'CVXPY/ours':>11}   gaps (ours, Clarabel, CVXPY)"
    ]
    for record in records:
        sides = [record.get(name) for name in ("ours", "clarabel", "cvxpy")]
        seconds = [f"{side['seconds']:.3f}" if isinstance(side, dict) else "-" for side in sides]
        gaps = [f"{side['gap']:.0e}" if isinstance(side, dict) else "-" for side in sides]
        ratios = [record.get(name) for name in ("ratio", "goal", "cvxpy_ratio")]
        shown = [f"{ratio:.1f}" if isinstance(ratio, float) else "-" for ratio in ratios]
        lines.append(
            f"{record['case']!s:12} {seconds[0]:>9} {seconds[1]:>11} {seconds[2]:>9} {shown[0]:>14} {shown[1]:>5}"
            f" {shown[2]:>11}   {', '.join(gaps)}"
        )
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the seconds were measured on."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    versions = {name: version(name) for name in ("numpy", "scipy", "clarabel", "cvxpy")}
    processor = platform.processor() or platform.machine()
    return {"commit": commit, "processor": processor, "python": platform.python_version(), "threads": "1", **versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [case.name for case in CASES]
    parser.add_argument("--case", action="append", choices=names, help="only this case; may be repeated")
    parser.add_argument("--skip-cvxpy", action="store_true")
    parser.add_argument("--rounds", type=int, default=5, help="turns of ours and Clarabel")
    parser.add_argument("--repetitions", type=int, default=5, help="runs of ours per round, of which the median counts")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    print("one thread for all sides (set before numpy was imported); gap 1e-6")
    chosen = [case for case in CASES if case.name in (arguments.case or names)]
    records = [measure(case, arguments.rounds, arguments.repetitions, arguments.skip_cvxpy) for case in chosen]
    print("\n" + table(records))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"machine": machine(), "gap": GAP, "results": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
