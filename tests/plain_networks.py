"""One table of networks that plain layers compute: architectures x poolings x windows x outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import zerogap as zg

Array = NDArray[np.float64]

CASES: dict[str, tuple[zg.architectures.Architecture, tuple[int, ...], int | None]] = {
    "mlp": (zg.MLP(), (5,), None),
    "mlp without bias": (zg.MLP(bias=False), (5,), 3),
    "mlp with intercept": (zg.MLP(bias=False, intercept=True), (5,), None),
    "mlp with free bias": (zg.MLP(bias="free"), (5,), 2),
    "leaky mlp": (zg.MLP(slope=0.2, intercept=True), (4,), 3),
    "sum of images": (zg.CNN(3), (6, 5), None),
    "average of images": (zg.CNN((2, 3), pooling="average", intercept=True), (6, 5, 2), 3),
    "maximum of images": (zg.CNN(3, stride=2, padding=1, pooling="max", slope=0.3), (7, 6, 2), None),
    "no pooling": (zg.CNN((3, 2), dilation=(2, 1), pooling="none", bias=False), (7, 4, 2), 2),
    "windows of maxima": (zg.CNN(2, pooling="max", window=2), (6, 7), None),
    "windows of sums": (zg.CNN(2, pooling="sum", window=(2, 1), bias="free"), (5, 4, 2), 2),
    "windows of averages": (zg.CNN(2, padding=(0, 1), pooling="average", window=2), (5, 5), None),
    "sum of windows of maxima": (zg.CNN(2, pooling="max", window=2, readout="sum"), (6, 5), 2),
    "sum of windows of averages": (zg.CNN(2, pooling="average", window=(2, 3), readout="sum"), (6, 5), None),
    "sum of series": (zg.CNN(3), (9,), None),
    "average of signals": (zg.CNN((3,), dilation=2, pooling="average", window=2), (9, 2), 2),
    "maximum of signals": (zg.CNN((3,), stride=2, padding=1, pooling="max", intercept=True), (9, 2), None),
    "no pooling of series": (zg.CNN(2, pooling="none"), (6,), None),
    "sum of windows of signals": (zg.CNN((2,), pooling="sum", window=2, readout="sum"), (7, 2), 2),
    "linear": (zg.LinearCNN(3), (5, 6), None),
    "linear sums": (zg.LinearCNN((3,), pooling="sum", window=2, readout="sum", bias="free"), (9, 2), 2),
    "linear averages": (zg.LinearCNN(2, pooling="average", intercept=True), (5, 4), None),
    "circular": (zg.CircularCNN(depth=2, kernel_size=3), (6,), None),
    "circular of full size": (zg.CircularCNN(depth=2, intercept=True), (5,), 2),
    "circular, one ReLU": (zg.CircularCNN(depth=3, kernel_size=3), (6,), 2),
    "circular, four layers": (zg.CircularCNN(depth=4, normalisation="frobenius"), (4,), None),
}
"""Architecture, shape of one input, and number of outputs (None for a number)."""

COMPOSITE = ("circular, one ReLU", "circular, four layers")
"""Cases whose linear layers become one, so that their weights are not those of the network."""


def network_of(case: str, width: int = 6, seed: int = 0) -> tuple[zg.Network, Array]:
    """A random network of a case, and nine inputs."""
    architecture, shape, outputs = CASES[case]
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((9, *shape))
    features = architecture.features(architecture.rows(X))
    slots = [features.outputs] if architecture.slotted else []
    second = rng.standard_normal((width, *slots, *([] if outputs is None else [outputs])))
    filters = rng.standard_normal((width, *features.filter_shape)) if features.filters else None
    offset = rng.standard_normal(() if outputs is None else outputs) if architecture.offset else 0.0
    first = rng.standard_normal((width, features.dimension - features.filters))
    return zg.Network(architecture, first, second, filters=filters, offset=offset), X


def channels_first(architecture: Any, X: Array) -> Array:
    """Inputs in the layout of torch."""
    if architecture.flat:
        return X
    axes = len(architecture.rows(X).grid)
    return np.ascontiguousarray(np.moveaxis(X if X.ndim == axes + 2 else X[..., None], -1, 1))


def difference(ours: Array, theirs: Array) -> float:
    """The largest difference relative to the largest output."""
    return float(np.abs(ours.reshape(theirs.shape) - theirs).max() / np.abs(ours).max())
