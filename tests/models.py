"""One small model of every kind, with raw inputs for it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zerogap as zg
from zerogap.scaling import Scaling

Array = NDArray[np.float64]

TABLE = np.random.default_rng(0).standard_normal((9, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
IMAGES = np.random.default_rng(1).random((7, 4, 4))
COLOURS = np.random.default_rng(2).random((5, 4, 3, 2))
SERIES = np.random.default_rng(3).standard_normal((6, 5))


def weights(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def network(architecture: Any, p: int, second: tuple[int, ...] = (), m: int = 4, **parts: Any) -> zg.Network:
    """A network of m random neurons with p inner weights, and output weights of this shape."""
    return zg.Network(architecture, weights(m, m, p), weights(m + 1, m, *second), **parts)


def certified() -> zg.Model:
    """Two classes, with the certificate of the network for the scaled inputs."""
    inputs, y = Scaling.of(TABLE), np.where(TABLE[:, 0] > 0.0, 1.0, -1.0)
    result = zg.train(zg.MLP(), inputs(TABLE), y, loss="logistic", beta=0.3, tol=1e-2)
    about = {"loss": "logistic", "beta": 0.3, "certificate": result.certificate, "inputs": inputs}
    return zg.Model(result.network, task="classes", classes=("no", "yes"), **about)


def tabular(second: tuple[int, ...] = (), **about: Any) -> zg.Model:
    return zg.Model(network(zg.MLP(), 4, second), inputs=Scaling.of(TABLE), **about)


def classes(names: tuple[Any, ...], loss: str | None, second: tuple[int, ...] = ()) -> zg.Model:
    return tabular(second, task="classes", classes=names, loss=loss, beta=2.5)


def several() -> Scaling:
    return Scaling(np.array([1.0, -2.0]), np.array([3.0, 1e-3]))


BUILDERS: dict[str, tuple[Any, Array]] = {
    "a network alone": (lambda: zg.Model(network(zg.MLP(bias=False), 3)), TABLE),
    "numbers": (lambda: tabular(targets=Scaling(np.array(7.5), np.array(0.3)), loss="squared", beta=1e-3), TABLE),
    "several numbers": (lambda: tabular((2,), targets=several(), loss="squared", beta=1.0), TABLE),
    "one column": (lambda: tabular((1,), targets=Scaling(np.array([1.0]), np.array([2.0]))), TABLE),
    "a certificate": (certified, TABLE),
    "two classes by name": (lambda: classes(("b", "a"), "logistic"), TABLE),
    "two classes by truth": (lambda: classes((False, True), "hinge"), TABLE),
    "two classes, two outputs": (lambda: classes((1.5, 2.0), "cross_entropy", (2,)), TABLE),
    "classes by number": (lambda: classes((-3, 0, 10**15), "cross_entropy", (3,)), TABLE),
    "classes with odd names": (lambda: classes(("$x$", "[b]ü\n", ""), "squared", (3,)), TABLE),
    "one against the rest": (lambda: classes((0.1, 1e300, -0.0), "logistic", (3,)), TABLE),
    "classes without a loss": (lambda: classes(("a", "b"), None), TABLE),
    "labels": (lambda: tabular((3,), task="labels", loss="logistic"), TABLE),
    "flat images": (lambda: zg.Model(network(zg.MLP(), 17), shape=(4, 4)), IMAGES),
    "flattened images": (lambda: zg.Model(network(zg.CNN(2), 5), shape=(4, 4)), IMAGES.reshape(7, 16)),
    "images": (
        lambda: zg.Model(
            network(zg.CNN(2, bias="free"), 9, offset=0.7), inputs=Scaling.of(COLOURS, together=True), shape=(4, 3, 2)
        ),
        COLOURS,
    ),
    "pixels by themselves": (lambda: zg.Model(network(zg.CNN(2), 5), inputs=Scaling.of(IMAGES)), IMAGES),
    "windows": (lambda: zg.Model(network(zg.CNN(2, pooling="max", window=3), 5, (1, 2))), IMAGES),
    "linear": (lambda: zg.Model(network(zg.LinearCNN(2, intercept=True), 5, (9,), offset=-1.0)), IMAGES),
    "series": (lambda: zg.Model(network(zg.CNN(kernel_size=(3,), stride=2), 4), shape=(5,)), SERIES),
    "gated": (lambda: zg.Model(network(zg.MLP(gated=True, cone_penalty=0.5), 4, gates=weights(9, 4, 4))), TABLE),
    "circular": (lambda: zg.Model(network(zg.CircularCNN(depth=4), 6, filters=weights(8, 4, 2, 5))), SERIES),
    "linear circular": (lambda: zg.Model(network(zg.CircularCNN(depth=2, kernel_size=2), 3, (5,))), SERIES),
    "three layers": (lambda: zg.Model(network(zg.ThreeLayerCNN(2), 9, filters=weights(8, 4, 9, 5))), IMAGES),
    "tied layers": (lambda: zg.Model(network(zg.ThreeLayerCNN(2, tied=True), 9, filters=weights(8, 4, 5))), IMAGES),
    "no neurons": (lambda: zg.Model(network(zg.MLP(bias="free"), 4, (2,), m=0, offset=[1.0, 2.0])), TABLE),
    "an estimator": (lambda: tabular(estimator={"name": "Any", "parameters": {"beta": 1.0, "list": [1, None]}}), TABLE),
    "weights in columns": (
        lambda: zg.Model(zg.Network(zg.MLP(), np.asfortranarray(weights(1, 37, 4)), weights(2, 3, 37).T)),
        TABLE,
    ),
}


@cache
def model(name: str) -> zg.Model:
    """The model of that name."""
    return BUILDERS[name][0]()


def inputs(name: str) -> Array:
    """Raw inputs for the model of that name."""
    return BUILDERS[name][1]
