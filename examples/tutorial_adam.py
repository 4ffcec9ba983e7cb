"""Is my Adam-trained network optimal?

    python examples/tutorial_adam.py [--components 2 3 30] [--epochs 1000] [--out FOLDER]

A network with 200 neurons is trained in PyTorch, by Adam with weight decay, to tell malignant from benign tumours
(breast cancer of scikit-learn). Then it is audited: how far is its training objective from the best one that any
network of this form has? And is there a better network to take away?

The inputs are the first principal components, 2 or 3 of them, where the answer is proved within seconds, and then all
30, where only a weak bound is proved and an estimate is left. Where proofs succeed, the same is done without an output
bias, whose decay is the one thing that torch and zerogap count differently. `--out` draws Adam's objective over its
epochs, with the proved bound and the better network as horizontal lines. Needs ``pip install 'zerogap[torch,plots]'``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import zerogap as zg

WIDTH = 200
RATE = 1e-2
OTHER_RATES = (1e-3, 1e-1)
WEIGHT_DECAY = 1e-3
CRITERION = nn.BCEWithLogitsLoss()


# -- the training that is on trial: plain torch, nothing of zerogap -----------------------------------


def data(components):
    """Principal components of standard deviation 1 and labels 0 and 1; training set, test set."""
    X, y = load_breast_cancer(return_X_y=True)
    parts = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    scale = make_pipeline(StandardScaler(), PCA(components), StandardScaler())
    inputs = [torch.from_numpy(part) for part in (scale.fit_transform(parts[0]), scale.transform(parts[1]))]
    targets = [torch.from_numpy(part.astype(np.float64)) for part in parts[2:]]
    return (inputs[0], targets[0]), (inputs[1], targets[1])


def objective(model, X, y):
    """What Adam minimises: the mean loss, and weight_decay / 2 times the sum of the squares of all parameters."""
    squares = sum(parameter.square().sum() for parameter in model.parameters())
    return float(CRITERION(model(X)[:, 0], y) + 0.5 * WEIGHT_DECAY * squares)


def trained_by_adam(X, y, epochs, rate=RATE, output_bias=True):
    """The model, and its objective after every epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(X.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1, bias=output_bias)).double()
    adam = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    curve = []
    for _ in range(epochs):
        adam.zero_grad()
        CRITERION(model(X)[:, 0], y).backward()
        adam.step()
        with torch.no_grad():
            curve.append(objective(model, X, y))
    return model, curve


def accuracy(model, X, y):
    with torch.no_grad():
        return float(((model(X)[:, 0] > 0) == (y > 0.5)).double().mean())


# -- the audit ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """Adam's model on so many components, what is proved about it, and the better one."""

    components: int
    output_bias: bool
    curves: dict[float, list[float]]  # of all step sizes; the model of RATE is on trial
    audit: zg.Audit
    better: zg.BetterModel
    test: tuple[float, float]  # accuracies of Adam's model and of the better one on the test set


def tried(components, epochs, seconds, output_bias=True):
    """Train by Adam, audit, improve."""
    (X, y), test = data(components)
    model, curve = trained_by_adam(X, y, epochs, output_bias=output_bias)
    audit = zg.certify(model, X, y, loss=CRITERION, weight_decay=WEIGHT_DECAY, prove=seconds)
    better = audit.better(max_time=seconds, prove=seconds)
    curves = {rate: trained_by_adam(X, y, epochs, rate, output_bias)[1] for rate in OTHER_RATES} | {RATE: curve}
    accuracies = accuracy(model, *test), accuracy(better.model, *test)
    return Trial(components, output_bias, curves, audit, better, accuracies)


def told(trial):
    """Print one trial."""
    print(f"== {trial.components} components{'' if trial.output_bias else ', no output bias'} ==")
    print(trial.audit)
    print("\nThe better network:")
    print(trial.better)
    bound, scope = trial.audit.torch_bound, trial.audit.scope
    print(f"\nOther step sizes, against the same bound {bound:.7f}:")
    for rate, curve in sorted(trial.curves.items()):
        gap = f"gap {1.0 - bound / curve[-1]:.1e} (scope {scope})"
        print(f"  {rate:<6g} objective {curve[-1]:.7f} after {len(curve)} epochs, {gap}")
    print(flush=True)


def table(trials):
    """Print all of them."""
    print("| inputs | Adam | proved bound | gap | proof | better, width | by search | test: Adam | test: better |")
    print("|---|---|---|---|---|---|---|---|---|")
    for trial in trials:
        audit, better = trial.audit, trial.better
        # An estimate is no bound: it has a column of its own.
        search = "-" if better.torch_estimate is None else f"{better.torch_estimate:.7f}"
        inputs = f"{trial.components}{'' if trial.output_bias else ', no output bias'}"
        print(
            f"| {inputs} | {better.measured_before:.7f} | {audit.torch_bound:.7f} | {audit.gap:.1e} "
            f"| {audit.proof}, scope {audit.scope} | {better.measured:.7f}, {better.network.width} | {search} "
            f"| {trial.test[0]:.3f} | {trial.test[1]:.3f} |"
        )


def drawn(trials, file):
    """Adam's objectives over epochs; a gap of less than a tenth is only to be seen from close by."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(trials), 3.2), layout="constrained")
    for panel, trial in zip(figure.subplots(1, len(trials), squeeze=False)[0], trials, strict=True):
        bound, better = trial.audit.torch_bound, trial.better.measured
        for rate, curve in sorted(trial.curves.items()):
            width = 1.6 if rate == RATE else 0.7
            panel.plot(np.arange(1, len(curve) + 1), curve, linewidth=width, label=f"Adam, step {rate:g}")
        panel.axhline(better, color="C3", linestyle="--", linewidth=1.0, label="better network")
        panel.axhline(bound, color="black", linewidth=1.0, label=f"bound ({trial.audit.proof})")
        close = trial.audit.gap < 0.1
        panel.set_yscale("linear" if close else "log")
        panel.set_ylim(*(0.996 * bound, 1.04 * bound) if close else (0.6 * bound, None))
        panel.set(xscale="log", xlabel="epochs", title=f"{trial.components} components")
        panel.set_xlim(max(1.0, len(trial.curves[RATE]) / 30.0) if close else 1.0, None)
        panel.legend(fontsize=7, loc="upper right")
    figure.savefig(file, dpi=90)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", type=int, nargs="+", default=[2, 3, 30])
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each proof, and for each better network")
    parser.add_argument("--out", type=Path, help="folder for tutorial-adam.png")
    options = parser.parse_args(arguments)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    trials = []
    for components in options.components:
        for output_bias in (True, False):
            trials.append(tried(components, options.epochs, options.seconds, output_bias))
            told(trials[-1])
            if trials[-1].audit.proof == "relaxation":
                break  # the output bias is the least that is unknown there
    table(trials)
    if options.out is not None:
        drawn([trial for trial in trials if trial.output_bias], options.out / "tutorial-adam.png")
    return trials


if __name__ == "__main__":
    main()
