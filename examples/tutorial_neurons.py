"""Which neurons does my data need?

    python examples/tutorial_neurons.py [--betas 3 1 0.3 0.1] [--out FOLDER]

Two sets so small that neurons can be seen. On a line a network is a piecewise linear function, and a neuron is one of
its kinks; in the plane a neuron is a line, on one side of which it is active. Along the weight decay beta, from the
critical value down, best networks gain neurons: how many, where, and how do we know that none is missing?

On a line optimality itself can be drawn. The price of a neuron is the rate at which a little of it lowers the loss, and
its cost is beta: beside an optimal network no neuron, wherever its kink, has a price above beta, and those in use have
exactly that one. `--out` draws functions with their kinks, the prices below them, and the lines in the plane.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import make_moons

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

MLP = zg.MLP(intercept=True)
TOL = 1e-8
STALLED_BETA = 0.3
SAME = 1e-2
"""Kinks that are closer than this are one."""


# -- a line ------------------------------------------------------------------------------------------


def line():
    """Noisy values of a wave, on a line; X (n, 1) rising, y (n,)."""
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(-3.0, 3.0, 40))
    return x[:, None], np.sin(2.0 * x) + 0.3 * x + 0.2 * rng.standard_normal(40)


def kinks(network):
    """Where u x + b changes its sign, rising; neurons with one kink, one looking left and one right, count once."""
    places = np.sort(-network.first[:, 1] / network.first[:, 0])
    return places[np.diff(places, prepend=-np.inf) > SAME]


def prices(network, X, y, places):
    """|r . phi| of the neurons (x - t)_+ and (t - x)_+ of length one, (2, len(places)), for the residual r = y - f."""
    residual, distance = y - network(X), X - places
    features = np.stack([np.maximum(distance, 0.0), np.maximum(-distance, 0.0)]) / np.sqrt(1.0 + places**2)
    return np.abs(np.einsum("n,snt->st", residual, features))


@dataclass(frozen=True)
class Pruning:
    """A wide network from gradient descent, before and after pruning."""

    wide: zg.Network
    pruned: zg.Network
    objectives: tuple[float, float]
    at_samples: float  # the largest change of an output at a sample
    between: float  # and anywhere on the line from -3 to 3


def pruned(X, y, beta, width=200, iterations=100):
    """The same outputs at all samples, with at most so many neurons as samples."""
    wide = train_by_gradient(MLP, X, y, beta=beta, width=width, iterations=iterations)
    few = wide.prune(X)
    grid = np.linspace(-3.0, 3.0, 2001)[:, None]
    changes = (float(np.abs(few(points) - wide(points)).max()) for points in (X, grid))
    return Pruning(wide, few, (wide.objective(X, y, beta=beta), few.objective(X, y, beta=beta)), *changes)


def stalled(X, y, beta, width=4, seed=4):
    """A small network in which gradient descent has stalled, and what it lacks."""
    network = train_by_gradient(MLP, X, y, beta=beta, width=width, random_state=seed)
    return network, zg.improve(network, X, y, beta=beta)


def worth(beta, X, y):
    """What the network without neurons lacks."""
    nothing = zg.Network(MLP, np.zeros((0, X.shape[1] + 1)), [], offset=float(np.mean(y)))
    return zg.improve(nothing, X, y, beta=beta)


# -- the plane ---------------------------------------------------------------------------------------


def plane():
    """Two moons: X (n, 2), standardised, and labels -1 and 1."""
    X, y = make_moons(60, noise=0.2, random_state=1)
    return (X - X.mean(axis=0)) / X.std(axis=0), 2.0 * y - 1.0


def lines(network):
    """The different lines of the neurons, as unit vectors (a, b, c) of a x + b y + c = 0 up to their sign."""
    rows = network.first / np.linalg.norm(network.first, axis=1, keepdims=True)
    rows *= np.where(rows[:, :1] < 0.0, -1.0, 1.0)
    kept = []
    for row in rows:
        if all(np.linalg.norm(row - other) > SAME for other in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, rows.shape[1])


# -- told and drawn ----------------------------------------------------------------------------------


def told(path, places):
    """Print one line for every beta."""
    print("| beta | objective | proved bound | gap, scope, proof | neurons | at | where |")
    print("|---|---|---|---|---|---|---|")
    for point in path:
        certificate, network = point.result.certificate, point.result.network
        found = places(network)
        where = ", ".join(f"{place:.2f}" for place in found) if found.ndim == 1 else "see the picture"
        print(
            f"| {point.beta:.4g} | {certificate.objective:.5f} | {certificate.lower_bound:.5f} "
            f"| {certificate.gap:.0e}, {certificate.scope}, {certificate.proof} | {network.width} | {len(found)} "
            f"| {where if len(found) else '-'} |"
        )
    print(flush=True)


def drawn_line(path, X, y, lacking, file):
    """Functions with their kinks, and below them prices by the place of the kink; the last one is a stalled network."""
    from matplotlib.figure import Figure

    shown = [(p.result.network, p.beta, f"beta {p.beta:g}: {p.result.network.width} neurons") for p in path]
    shown.append((lacking, STALLED_BETA, f"beta {STALLED_BETA:g}: stalled, {lacking.width} neurons"))
    grid = np.linspace(-3.2, 3.2, 1601)
    figure = Figure(figsize=(2.4 * len(shown), 4.2), layout="constrained")
    panels = figure.subplots(2, len(shown), sharex=True, sharey="row")
    for (above, below), (network, beta, title) in zip(panels.T, shown, strict=True):
        places = kinks(network)
        above.plot(X[:, 0], y, ".", color="0.6", markersize=4)
        above.plot(grid, network(grid[:, None]), color="C0", linewidth=1.4)
        above.plot(places, network(places[:, None]), "o", color="C3", markersize=4)
        above.set_title(title, fontsize=8)
        for price, side in zip(prices(network, X, y, grid), ("right", "left"), strict=True):
            below.plot(grid, price / beta, linewidth=1.0, label=f"active to the {side}")
        below.axhline(1.0, color="black", linewidth=0.8)
        below.set(xlabel="x, or place of the kink", xlim=(-3.2, 3.2), ylim=(0.0, 4.0))
    panels[0, 0].set_ylabel("output")
    panels[1, 0].set_ylabel("price / beta")
    panels[1, 0].legend(fontsize=7, loc="upper left")
    figure.savefig(file, dpi=85)


def drawn_plane(path, X, y, file):
    """Where networks give which class, and the lines of their neurons."""
    from matplotlib.figure import Figure

    shown = list(path)
    figure = Figure(figsize=(2.6 * len(shown), 2.9), layout="constrained")
    reach = 1.25 * np.abs(X).max()
    side = np.linspace(-reach, reach, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    for panel, point in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        network = point.result.network
        outputs = network(grid).reshape(201, 201)
        panel.contourf(side, side, outputs > 0.0, levels=[-0.5, 0.5, 1.5], colors=["C0", "C1"], alpha=0.2)
        for a, b, c in lines(network):
            # The point next to the origin, and both ways along the line.
            foot, along = -c * np.array([a, b]) / (a * a + b * b), np.array([-b, a]) / np.hypot(a, b)
            panel.plot(*np.stack([foot - 9.0 * along, foot + 9.0 * along], axis=1), color="0.3", linewidth=0.8)
        for label, colour in ((-1.0, "C0"), (1.0, "C1")):
            panel.plot(*X[y == label].T, ".", color=colour, markersize=4)
        panel.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        panel.set_title(f"beta {point.beta:.3g}: {network.width} neurons, {len(lines(network))} lines", fontsize=8)
    figure.savefig(file, dpi=90)


@dataclass(frozen=True)
class Seen:
    """What ``main`` returns."""

    critical: tuple[float, float]  # of the line and of the plane
    on_line: zg.Path
    in_plane: zg.Path
    pruning: Pruning
    stalled: zg.Network
    lacking: zg.Improvement


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--betas", type=float, nargs="+", default=[3.0, 1.0, 0.3, 0.1])
    parser.add_argument("--seconds", type=float, default=30.0, help="for each proof")
    parser.add_argument("--out", type=Path, help="folder for tutorial-kinks.png and tutorial-lines.png")
    options = parser.parse_args(arguments)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    settings = {"betas": options.betas, "tol": TOL, "prove": options.seconds}

    X, y = line()
    critical = zg.critical_beta(MLP, X, y)
    print(f"On a line: {len(y)} samples, squared loss. The critical beta is {critical:.6f}.")
    for factor in (1.01, 0.99):
        found = worth(factor * critical, X, y)
        says = "a neuron pays" if found.violated else "no neuron pays"
        print(f"Without neurons, at {factor:g} times that: the best price is {found.price:.6f}, so {says}.")
    on_line = zg.path(MLP, X, y, **settings)
    told(on_line, kinks)
    print(f"{on_line.points[-1].result.certificate}\n")

    beta = STALLED_BETA
    network, lacking = stalled(X, y, beta)
    before, after = network.objective(X, y, beta=beta), lacking.result.certificate
    kink, side = -lacking.direction[1] / lacking.direction[0], "right" if lacking.direction[0] > 0.0 else "left"
    print(f"Gradient descent with {network.width} neurons, beta {beta:g}: objective {before:.5f}.")
    print(
        f"It lacks a neuron with its kink at {kink:.2f}, active to the {side}, of sign {lacking.sign:+.0f}: "
        f"its price is {lacking.price / beta:.2f} times beta."
    )
    print(f"Continued from there: {after}\n")

    few = pruned(X, y, beta)
    print(f"Gradient descent with {few.wide.width} neurons, beta {beta:g}: objective {few.objectives[0]:.7f}.")
    print(f"Pruned: {few.pruned.width} neurons, {len(kinks(few.pruned))} kinks, objective {few.objectives[1]:.7f}.")
    print(f"Outputs change by {few.at_samples:.0e} at the samples, and by up to {few.between:.0e} between them.\n")

    points, labels = plane()
    flat = zg.critical_beta(MLP, points, labels, loss="logistic")
    print(f"In the plane: {len(labels)} samples, logistic loss. The critical beta is {flat:.6f}.")
    in_plane = zg.path(MLP, points, labels, loss="logistic", **settings)
    told(in_plane, lines)
    if options.out is not None:
        drawn_line(on_line, X, y, network, options.out / "tutorial-kinks.png")
        drawn_plane(in_plane, points, labels, options.out / "tutorial-lines.png")
    return Seen((critical, flat), on_line, in_plane, few, network, lacking)


if __name__ == "__main__":
    main()
