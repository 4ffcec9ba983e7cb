"""Three-layer circular CNNs on two classes of images: 99 samples of 50 principal components.

    python examples/circular_images.py [--picture FILE] [--limit 60]

The objective and the test accuracy over time, for zerogap and for five runs of Adam with 20 neurons, with filters of
three entries and of full size.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

BETA = 0.1
STEPS = (30, 100, 300, 1000, 3000)


def reduced(name):
    """99 training and 200 test samples of 50 principal components of the training part, of unit variance in all."""
    data = zg.load_dataset(name)
    order = np.random.default_rng(0).permutation(len(data))
    X, y = data.X.reshape(len(data), -1)[order], data.y[order]
    mean = X[:99].mean(axis=0)
    _, _, right = np.linalg.svd(X[:99] - mean, full_matrices=False)
    Z = (X - mean) @ right[:50].T
    Z /= np.sqrt(np.mean(Z[:99] ** 2))
    return Z[:99], y[:99], Z[99:299], y[99:299]


def accuracy(network, X, y):
    return float(np.mean(np.sign(network(X)) == y))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for each of our runs")
    options = parser.parse_args()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 2, squeeze=False)
    for row, name in enumerate(("digits:3,8", "fashion:shirt,coat")):
        X, y, test_X, test_y = reduced(name)
        for kernel in (3, None):
            architecture = zg.CircularCNN(depth=3, kernel_size=kernel, bias=False)
            style = "-" if kernel is None else ":"
            label = "full size" if kernel is None else f"{kernel} entries"
            result = zg.train(architecture, X, y, beta=BETA, tol=1e-3, max_time=options.limit)
            certificate = result.certificate
            shown = accuracy(result.network, test_X, test_y)
            print(f"{name}, filters of {label}: {certificate}; test accuracy {shown:.3f}, width {result.network.width}")
            steps = [(step.time, step.objective) for step in result.history if step.time > 0.1]
            panels[row, 0].plot(*zip(*steps, strict=True), color="C3", linestyle=style, label=f"zerogap, {label}")
            panels[row, 1].plot([steps[-1][0]], [shown], "C3^", label=f"zerogap, {label}")
            final = []
            for seed in range(5):
                times, objectives, scores, seconds = [], [], [], 0.0
                for count in STEPS:
                    started = time.monotonic()
                    network = train_by_gradient(
                        architecture, X, y, beta=BETA, width=20, method="adam", iterations=count, random_state=seed
                    )
                    seconds = time.monotonic() - started
                    times.append(seconds)
                    objectives.append(network.objective(X, y, beta=BETA))
                    scores.append(accuracy(network, test_X, test_y))
                final.append((objectives[-1], scores[-1]))
                text = f"Adam, 20 neurons, {label}" if seed == 0 else None
                panels[row, 0].plot(times, objectives, color="C0", linestyle=style, linewidth=0.8, label=text)
                panels[row, 1].plot(times, scores, color="C0", linestyle=style, linewidth=0.8, label=text)
            print("  Adam: " + ", ".join(f"{objective:.4f} ({score:.3f})" for objective, score in sorted(final)))
        panels[row, 0].set(xscale="log", yscale="log", xlabel="seconds", ylabel="objective", title=name)
        panels[row, 1].set(xscale="log", xlabel="seconds", ylabel="test accuracy", title=name)
        panels[row, 0].legend(frameon=False, fontsize=7)
    if options.picture is not None:
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
