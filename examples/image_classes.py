"""Ten classes of images: GAP CNNs and an MLP with cross-entropy, beside Adam on the same objective, and scikit-learn.

    python examples/image_classes.py [--seconds 120] [--only NAME ...] [--json FILE] [--quick]

GAP CNN: 3 x 3 filters with bias, rectified, averaged over all positions, ten output weights for each. The digits have
8 x 8 pixels, of Fashion-MNIST there are 2000 training images of 14 x 14. Beta is the one of a short list with the best
accuracy on images of the training set that were held out: one fifth of them, or three folds for the MLP.

Adam (all samples in each step, half-cosine step sizes, the best point met) gets as many seconds as our run took, with
each of five step sizes, of which the least objective counts. Its width is the better of two, in a trial of a quarter
of that time. scikit-learn's MLPClassifier is tuned by a grid search with three folds of the same training set. Seconds
are those of the processor, so that other programs disturb them less; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

BETAS = (0.3, 1.0, 3.0, 10.0)
RATES = (0.1, 0.03, 0.01, 0.003, 0.001)
TRIAL = 0.03
WIDTHS = (50, 200)
CASES = {
    "digits, GAP CNN": ("digits", zg.CNN(kernel_size=3, pooling="average"), 0.25, (5, 1)),
    "Fashion-MNIST, GAP CNN": ("fashion", zg.CNN(kernel_size=3, pooling="average"), 1 / 3, (5, 1)),
    "digits, MLP": ("digits", zg.MLP(), 0.25, (3, 3)),
}
"""Data, architecture, share of the test set, and how many of how many folds choose beta."""
GRID = {
    "hidden_layer_sizes": [(50,), (100,), (200,), (100, 100)],
    "alpha": [1e-4, 1e-2, 0.1, 1.0],
    "learning_rate_init": [1e-3, 1e-2],
}
PASSES = 500
"""Over the data, of each fit of scikit-learn, at most."""
HEADER = (
    "| | beta | objective | by search | bound, proof | width | train | test | s "
    "| Adam | neurons, step size | train | test | s |"
)


def parts(name):
    """Inputs and classes of the training and the test set."""
    data, architecture, share, _ = CASES[name]
    shaped = (lambda X: X.reshape(len(X), -1)) if architecture.flat else (lambda X: X)
    return [(shaped(part.X), part.y) for part in zg.load_dataset(data).split(share, 0)]


def accuracy(network, X, y):
    return float(np.mean(np.argmax(network(X), axis=1) == y))


def ours(architecture, X, y, beta, seconds, tol):
    """No branch and bound: it is out of reach at these sizes."""
    return zg.train(
        architecture, X, y, loss="cross_entropy", beta=beta, tol=tol, max_time=seconds, prove=False, random_state=0
    )


def chosen(name, X, y, betas, seconds):
    """The beta of the best accuracy on held-out images, and that of all of them."""
    _, architecture, _, (folds, used) = CASES[name]
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y))[:used]
    scores = {}
    for beta in betas:
        networks = [ours(architecture, X[kept], y[kept], beta, seconds, 1e-2).network for kept, _ in splits]
        held = [accuracy(network, X[out], y[out]) for network, (_, out) in zip(networks, splits, strict=True)]
        scores[beta] = float(np.mean(held))
    return max(scores, key=scores.get), scores


def adam(architecture, X, y, beta, width, rate, seconds):
    """Adam with as many steps as fit into the seconds: network, objective, seconds taken.

    The number of steps, which its step sizes depend on, comes from two shorter runs.
    """
    arguments = {"loss": "cross_entropy", "beta": beta, "width": width, "method": "adam", "rate": rate}
    count, spent = 3, 0.0
    for aim in (0.0, 0.05 * seconds, seconds):
        count = max(3, int(count * aim / spent)) if spent else count
        started = time.process_time()
        network = train_by_gradient(architecture, X, y, iterations=count, **arguments)
        spent = time.process_time() - started
    return network, network.objective(X, y, loss="cross_entropy", beta=beta), spent


def measure(name, options):
    (X, y), test = parts(name)
    if options.quick:
        X, y, test = X[:100], y[:100], (test[0][:50], test[1][:50])
    architecture = CASES[name][1]
    beta, scores = chosen(name, X, y, BETAS, 0.5 * options.seconds)
    print("held-out accuracy: " + ", ".join(f"beta {key:g} {value:.3f}" for key, value in scores.items()), flush=True)
    started = time.process_time()
    result = ours(architecture, X, y, beta, options.seconds, 1e-3)
    spent = time.process_time() - started
    certificate = result.certificate
    searched = None if certificate.estimate is None else 1.0 - certificate.estimate / certificate.objective
    print(f"ours: {certificate}; {spent:.0f} s", flush=True)
    trials = {width: adam(architecture, X, y, beta, width, TRIAL, 0.25 * spent)[1] for width in WIDTHS}
    width = min(trials, key=trials.get)
    runs = {rate: adam(architecture, X, y, beta, width, rate, spent) for rate in RATES}
    text = ", ".join(f"{rate:g} {run[1]:.5g} ({run[2]:.0f} s)" for rate, run in runs.items())
    print(f"Adam, {width} neurons: {text}; trials {trials}", flush=True)
    rate = min(runs, key=lambda key: runs[key][1])
    return {
        "name": name,
        "samples": len(y),
        "beta": beta,
        "held_out": scores,
        "objective": certificate.objective,
        "searched": searched,
        "bound": certificate.lower_bound,
        "proof": certificate.proof,
        "width": certificate.width,
        "accuracy": (accuracy(result.network, X, y), accuracy(result.network, *test)),
        "seconds": spent,
        "adam": runs[rate][1],
        "adam_width": width,
        "adam_rate": rate,
        "adam_accuracy": (accuracy(runs[rate][0], X, y), accuracy(runs[rate][0], *test)),
        "adam_seconds": runs[rate][2],
    }


def row(record):
    searched = "-" if record["searched"] is None else f"{max(record['searched'], 0.0):.1e}"
    above = record["adam"] / record["objective"] - 1.0
    cells = [
        record["name"],
        f"{record['beta']:g}",
        f"{record['objective']:.6g}",
        searched,
        f"{record['bound']:.4g}, {record['proof']}",
        str(record["width"]),
        *(f"{value:.3f}" for value in record["accuracy"]),
        f"{record['seconds']:.0f}",
        f"{record['adam']:.6g} ({above:+.2%})",
        f"{record['adam_width']}, {record['adam_rate']:g}",
        *(f"{value:.3f}" for value in record["adam_accuracy"]),
        f"{record['adam_seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def classified(grid, quick):
    """scikit-learn's MLP on the digits: the grid search, its test accuracy and the seconds for everything."""
    (X, y), (test_X, test_y) = parts("digits, MLP")
    if quick:
        X, y = X[:100], y[:100]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(MLPClassifier(max_iter=PASSES, random_state=0), grid, cv=folds, n_jobs=1)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X, y)
    return search, float(search.score(test_X, test_y)), time.process_time() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="for each of our runs; half to choose beta")
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="100 training images")
    options = parser.parse_args()
    records = []
    for name in options.only:
        print(f"\n{name}", flush=True)
        records.append(measure(name, options))
        if options.json is not None:
            options.json.write_text(json.dumps(records, indent=1) + "\n")
    print(f"\n{HEADER}\n|{'---|' * (HEADER.count('|') - 1)}")
    print("\n".join(row(record) for record in records), flush=True)
    if "digits, MLP" in options.only:
        own = next(record for record in records if record["name"] == "digits, MLP")
        search, score, seconds = classified(GRID, options.quick)
        print("\n| digits | chosen by three folds | accuracy of the folds | test | s, all |\n|---|---|---|---|---|")
        print(f"| zerogap | beta {own['beta']:g} | {max(own['held_out'].values()):.3f} | {own['accuracy'][1]:.3f} | |")
        best = ", ".join(f"{key} {value}" for key, value in search.best_params_.items())
        print(f"| MLPClassifier | {best} | {search.best_score_:.3f} | {score:.3f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
