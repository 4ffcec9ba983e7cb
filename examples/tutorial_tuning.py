"""A network without tuning.

    OMP_NUM_THREADS=1 python examples/tutorial_tuning.py [--sets diabetes "breast cancer"] [--splits 10] [--out FOLDER]

A practitioner's task: a table, a network, no time to tune. Two tables of scikit-learn are split at random into training
and test samples, several times over, and on each split four ways to a network are tried:

    ConvexMLP...      as it is: nothing is chosen
    ConvexMLP...CV    the weight decay beta is chosen by cross-validation, along a path of warm starts
    MLP...            scikit-learn's network as it is, behind a StandardScaler
    MLP..., grid      the same after a grid search over step size, alpha and width

Ours are trained once; the networks that the grid search has chosen are trained with several seeds, and so are ours, to
see how much a result depends on luck. Seconds are those of the processor, in units of the second way. `--out` draws
the path and how the weight decay was chosen. Needs ``pip install 'zerogap[plots]'``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zerogap as zg

GRID = {
    "learning_rate_init": [1e-3, 1e-2],
    "alpha": [0.01, 0.1, 1.0, 10.0],
    "hidden_layer_sizes": [(10,), (100,)],
}
SEEDS = 5
TEST = 0.25
FOLDS = 5
WAYS = ("ours", "ours, CV", "MLP", "MLP, grid")


@dataclass(frozen=True)
class Task:
    """A table with what is trained on it; scores are R2 of a regression, else accuracies."""

    name: str
    regression: bool
    X: np.ndarray
    y: np.ndarray

    def split(self, number):
        """Training and test inputs, training and test targets."""
        return train_test_split(
            self.X, self.y, test_size=TEST, random_state=number, stratify=None if self.regression else self.y
        )

    def ours(self, **parameters):
        return (zg.ConvexMLPRegressor if self.regression else zg.ConvexMLPClassifier)(**parameters)

    def ours_by_cv(self, betas):
        return (zg.ConvexMLPRegressorCV if self.regression else zg.ConvexMLPClassifierCV)(betas)

    def theirs(self, **parameters):
        """Scikit-learn's network with scaled inputs, and scaled targets, without which it hardly learns."""
        if not self.regression:
            return make_pipeline(StandardScaler(), MLPClassifier(**parameters))
        network = make_pipeline(StandardScaler(), MLPRegressor(**parameters))
        return TransformedTargetRegressor(network, transformer=StandardScaler())

    def searched(self, grid):
        """The same with a grid search."""
        prefix = "regressor__mlpregressor__" if self.regression else "mlpclassifier__"
        folds = (KFold if self.regression else StratifiedKFold)(FOLDS, shuffle=True, random_state=0)
        choices = {prefix + name: values for name, values in grid.items()}
        return GridSearchCV(self.theirs(max_iter=500, random_state=0), choices, cv=folds), prefix


@dataclass(frozen=True)
class Split:
    """What one split has given."""

    scores: dict[str, float]  # on the test samples, by way
    seconds: dict[str, float]  # of the processor
    seeds: dict[str, list[float]]  # scores of the last choice, trained again with other seeds
    default: float  # beta without a choice
    chosen: zg.ConvexMLPRegressorCV | zg.ConvexMLPClassifierCV
    searched: dict[str, object]  # what the grid search has chosen


TASKS = {"diabetes": (load_diabetes, True), "breast cancer": (load_breast_cancer, False)}


def loaded(name, samples=None):
    """A task, with its first samples in a random order if it is to be small."""
    load, regression = TASKS[name]
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:samples]
    return Task(name, regression, X[order], y[order])


def tried(task, number, grid, seeds, betas):
    """All four ways on one split."""
    X, X_test, y, y_test = task.split(number)
    search, prefix = task.searched(grid)
    models = (task.ours(), task.ours_by_cv(betas), task.theirs(random_state=number), search)
    scores, seconds = {}, {}
    for way, model in zip(WAYS, models, strict=True):
        started = time.process_time()
        model.fit(X, y)
        seconds[way] = time.process_time() - started
        scores[way] = float(model.score(X_test, y_test))
    chosen, best = models[1], {name.removeprefix(prefix): value for name, value in search.best_params_.items()}
    again = {"ours, CV": [], "MLP, grid": []}
    for seed in range(seeds):
        for way, model in (
            ("ours, CV", task.ours(beta=chosen.beta_, random_state=seed)),
            ("MLP, grid", task.theirs(max_iter=500, random_state=seed, **best)),
        ):
            again[way].append(float(model.fit(X, y).score(X_test, y_test)))
    # One seed is luck: the grid search is judged by the mean over seeds.
    scores["MLP, grid"] = float(np.mean(again["MLP, grid"]))
    return Split(scores, seconds, again, models[0].beta_, chosen, best)


def told(task, splits, grid):
    """Print the table of one task."""
    share = TEST / (1.0 - TEST)
    combinations = int(np.prod([len(values) for values in grid.values()]))
    print(f"== {task.name}: {len(task.y)} samples, {task.X.shape[1]} features, {len(splits)} splits ==")
    score = "R2" if task.regression else "accuracy"
    count = len(splits[0].seeds["ours, CV"])
    print(f"| | {score} | minus ours, CV | noise | range over {count} seeds | processor |")
    print("|---|---|---|---|---|---|")
    base = np.array([split.scores["ours, CV"] for split in splits])
    unit = np.mean([split.seconds["ours, CV"] for split in splits])
    for way in WAYS:
        found = np.array([split.scores[way] for split in splits])
        difference = found - base
        # Two standard errors, corrected for training sets that overlap (Nadeau and Bengio, 2003).
        spread = difference.std(ddof=1) if len(splits) > 1 else np.nan
        noise = 2.0 * spread * np.sqrt(1.0 / len(splits) + share)
        again = [np.ptp(split.seeds[way]) for split in splits if way in split.seeds]
        seeds = f"{np.mean(again):.4f}" if again else "-"
        seconds = np.mean([split.seconds[way] for split in splits]) / unit
        compared = "- | -" if way == "ours, CV" else f"{difference.mean():+.4f} | {noise:.4f}"
        print(f"| {way} | {found.mean():.4f} | {compared} | {seeds} | {seconds:.2f} |")
    tried_betas = [len(split.chosen.betas_) for split in splits]
    trainings = (1, f"about {np.mean(tried_betas) * FOLDS + 1:.0f}", 1, combinations * FOLDS + 1)
    print(f"Trainings: {'; '.join(f'{way}: {count}' for way, count in zip(WAYS, trainings, strict=True))}.")
    betas = ", ".join(f"{split.chosen.beta_:.3g}" for split in splits)
    print(f"Chosen beta: {betas}; without a choice it is {splits[0].default:.3g}.")
    print(f"Neurons of ours, CV: {', '.join(str(split.chosen.network_.width) for split in splits)}.")
    names = list(splits[0].searched)
    picks = "; ".join(", ".join(str(split.searched[name]) for name in names) for split in splits)
    print(f"Grid search, {', '.join(names)}: {picks}.\n", flush=True)


def walked(task, betas):
    """The regularisation path on a part of the training samples of the first split, judged by the others."""
    X, _, y, _ = task.split(0)
    X, X_other, y, y_other = train_test_split(X, y, test_size=TEST, random_state=0)
    inputs, targets = StandardScaler().fit(X), StandardScaler().fit(y[:, None])
    y, y_other = (targets.transform(part[:, None])[:, 0] for part in (y, y_other))
    other = inputs.transform(X_other), y_other
    return zg.path(zg.MLP(intercept=True), inputs.transform(X), y, betas=betas, ratio=2e-3, tol=1e-2, validation=other)


def drawn(tasks, results, file):
    """How beta was chosen on the first split; and the scores of all seeds on all splits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 2.8 * len(tasks)), layout="constrained")
    for (left, right), task, splits in zip(figure.subplots(len(tasks), 2, squeeze=False), tasks, results, strict=True):
        chosen = splits[0].chosen
        losses = chosen.validation_path_
        mean, error = losses.mean(axis=1), losses.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
        left.plot(chosen.betas_, losses, color="0.8", linewidth=0.7)
        left.errorbar(chosen.betas_, mean, error, color="C0", linewidth=1.4, capsize=2)
        left.axvline(chosen.beta_, color="C3", linewidth=1.0, label=f"chosen: {chosen.beta_:.3g}")
        default = splits[0].default
        left.axvline(default, color="0.5", linestyle="--", linewidth=1.0, label=f"default: {default:.3g}")
        left.set(xscale="log", xlabel="beta", ylabel="loss on the fold left out", title=f"{task.name}, first split")
        left.legend(fontsize=7)
        for number, split in enumerate(splits):
            for shift, way, colour in ((0.15, "MLP, grid", "C1"), (-0.15, "ours, CV", "C0")):
                scores = split.seeds[way]
                label = f"{way}, {len(scores)} seeds" if number == 0 else None
                right.plot(np.full(len(scores), number + shift), scores, "_", color=colour, label=label)
        right.set_xticks(range(len(splits)))
        right.set(xlabel="split", ylabel="R2" if task.regression else "accuracy", title="test samples")
        right.legend(fontsize=7)
    figure.savefig(file, dpi=90)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--betas", type=int, default=20, help="weight decays to choose from")
    parser.add_argument("--samples", type=int, help="use only so many")
    parser.add_argument("--quick", action="store_true", help="a grid of two")
    parser.add_argument("--out", type=Path, help="folder for tutorial-tuning.png and tutorial-path.png")
    options = parser.parse_args(arguments)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    grid = {name: values[-1:] for name, values in GRID.items()} | {"alpha": [1.0, 10.0]} if options.quick else GRID
    tasks, results = [loaded(name, options.samples) for name in options.sets], []
    tasks[0].ours().fit(tasks[0].X[:20], tasks[0].y[:20])  # compiles what is to be timed
    for task in tasks:
        with warnings.catch_warnings():
            # Scikit-learn's network warns where 500 epochs were not enough.
            warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
            results.append(
                [tried(task, number, grid, options.seeds, options.betas) for number in range(options.splits)]
            )
        told(task, results[-1], grid)
    path = walked(tasks[0], options.betas)
    best = path.best
    print(
        f"{tasks[0].name}, a path of {len(path)} networks: the loss on other samples is least at beta {best.beta:.3g},"
    )
    print(f"with {best.result.network.width} neurons. {best.result.certificate}")
    if options.out is not None:
        drawn(tasks, results, options.out / "tutorial-tuning.png")
        path.plot(options.out / "tutorial-path.png")
    return tasks, results, path


if __name__ == "__main__":
    main()
