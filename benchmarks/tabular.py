"""Default settings against scikit-learn's default MLP: 5 x 5 cross-validation, paired, on eight tables.

    OMP_NUM_THREADS=1 python benchmarks/tabular.py --mlbench FOLDER [--cv] [--json FILE]

Five tables come with scikit-learn. Three are those of the R package mlbench (files PimaIndiansDiabetes.rda, Sonar.rda
and BostonHousing.rda in FOLDER; reading them needs ``pip install rdata``). The peer gets standardised inputs, and for
regressions also standardised targets in a second row, because without them it hardly learns.

A difference counts as noise within two standard errors, corrected for overlapping training sets (Nadeau and Bengio,
2003): sd * sqrt(1/25 + 1/4).
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zerogap as zg

SHIPPED = {
    "breast cancer": (load_breast_cancer, False),
    "diabetes": (load_diabetes, True),
    "iris": (load_iris, False),
    "linnerud": (load_linnerud, True),
    "wine": (load_wine, False),
}
MLBENCH = {
    "Pima diabetes": ("PimaIndiansDiabetes", "diabetes", False),
    "sonar": ("Sonar", "Class", False),
    "Boston housing": ("BostonHousing", "medv", True),
}


def tables(folder: Path | None) -> Iterator[tuple[str, Any, Any, bool]]:
    """Name, X, y, and whether it is a regression."""
    for name, (load, regression) in SHIPPED.items():
        yield name, *load(return_X_y=True), regression
    if folder is None:
        return
    import rdata

    for name, (file, target, regression) in MLBENCH.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = rdata.read_rda(folder / f"{file}.rda")[file]
        columns = [np.asarray(frame[column].astype(str), dtype=np.float64) for column in frame if column != target]
        y = np.asarray(frame[target], dtype=np.float64) if regression else np.asarray(frame[target].astype(str))
        yield name, np.column_stack(columns), y, regression


def peers(regression: bool, seed: int) -> dict[str, Any]:
    """Scikit-learn's default network."""
    if not regression:
        return {"MLPClassifier": make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))}
    plain = make_pipeline(StandardScaler(), MLPRegressor(random_state=seed))
    return {"MLPRegressor": plain, "and scaled y": TransformedTargetRegressor(plain, transformer=StandardScaler())}


def ours(regression: bool, cv: bool) -> dict[str, Any]:
    """Default settings, and beta by cross-validation."""
    plain = zg.ConvexMLPRegressor if regression else zg.ConvexMLPClassifier
    chosen = zg.ConvexMLPRegressorCV if regression else zg.ConvexMLPClassifierCV
    return {"default": plain()} | ({"CV": chosen()} if cv else {})


def scored(model: Any, X: Any, y: Any, training: Any, testing: Any) -> tuple[float, float]:
    """Accuracy or R2 on the samples left out, and seconds of the processor."""
    started = time.process_time()
    model.fit(X[training], y[training])
    return float(model.score(X[testing], y[testing])), time.process_time() - started


def compared(X: Any, y: Any, regression: bool, cv: bool) -> dict[str, tuple[Any, float]]:
    """Scores of all models on the same 25 splits, and mean seconds."""
    splitter: Any = RepeatedKFold if regression else RepeatedStratifiedKFold
    scores: dict[str, list[tuple[float, float]]] = {}
    splits = splitter(n_splits=5, n_repeats=5, random_state=0).split(X, None if regression else y)
    for k, (training, testing) in enumerate(splits):
        for name, model in (ours(regression, cv) | peers(regression, k)).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                scores.setdefault(name, []).append(scored(model, X, y, training, testing))
    return {
        name: (np.array([s for s, _ in pairs]), float(np.mean([t for _, t in pairs]))) for name, pairs in scores.items()
    }


def main(report: Callable[[str], None] = print) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlbench", type=Path)
    parser.add_argument("--cv", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    report("| table | n x d | model | score | difference of the default | noise | seconds |")
    report("|---|---|---|---|---|---|---|")
    for name, X, y, regression in tables(arguments.mlbench):
        if arguments.only and arguments.only != name:
            continue
        found = compared(X, y, regression, arguments.cv)
        base = found["default"][0]
        for model, (scores, seconds) in found.items():
            difference = base - scores
            noise = 2.0 * difference.std(ddof=1) * np.sqrt(1.0 / len(base) + 0.25)
            row = {"table": name, "n": len(X), "d": X.shape[1], "model": model, "score": float(scores.mean())}
            rows.append(row | {"difference": float(difference.mean()), "noise": float(noise), "seconds": seconds})
            worse = " **worse**" if difference.mean() < -noise else ""
            report(
                f"| {name} | {len(X)} x {X.shape[1]} | {model} | {scores.mean():.3f} | {difference.mean():+.3f}{worse} "
                f"| {noise:.3f} | {seconds:.2f} |"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
