"""One table of small random training problems: architectures x losses x bias x gates x sample weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zerogap as zg

Array = NDArray[np.float64]

LOSSES = ("squared", "logistic", "hinge")
BIASES = (True, False, "free")

SHAPES: dict[str, tuple[type, dict[str, Any], tuple[int, ...]]] = {
    "mlp": (zg.MLP, {}, (6, 2)),
    "series": (zg.CNN, {"kernel_size": 2}, (4, 4)),
    "average": (zg.CNN, {"kernel_size": 2, "stride": 2, "pooling": "average"}, (5, 4)),
    "padded": (zg.CNN, {"kernel_size": 3, "stride": 2, "padding": 1}, (4, 3)),
    "dilated": (zg.CNN, {"kernel_size": 2, "dilation": 2}, (4, 4)),
    "signals": (zg.CNN, {"kernel_size": (2,), "pooling": "average"}, (3, 3, 2)),
    # The filter is one entry wide, so the padded columns give zero patches.
    "image": (zg.CNN, {"kernel_size": (2, 1), "padding": (0, 1)}, (4, 2, 2)),
    "channels": (zg.CNN, {"kernel_size": (1, 2), "stride": (2, 1)}, (4, 3, 2, 2)),
}
"""Class, options and the shape of X; every arrangement has at most about 200 cells."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A training problem; ``gates`` of None stands for all cells."""

    name: str
    architecture: Any
    X: Array
    y: Array
    loss: str
    beta: float = 0.1
    weights: Array | None = None
    gates: Array | None = None

    def question(self) -> dict[str, Any]:
        """The keyword arguments that ``train``, ``certify`` and ``train_by_gradient`` share."""
        return {"loss": self.loss, "beta": self.beta, "sample_weight": self.weights}

    def train(self, **options: Any) -> zg.Result:
        """``zg.train`` on this problem, to a gap of 1e-8 unless told otherwise."""
        arrangements = "enumerate" if self.gates is None else self.gates
        options = {"arrangements": arrangements, "tol": 1e-8, **self.question(), **options}
        return zg.train(self.architecture, self.X, self.y, **options)

    def but(self, **changes: Any) -> Instance:
        """The same problem with some fields replaced."""
        return replace(self, **changes)


def make(
    shape: str, loss: str, bias: Any = True, *, gated: bool = False, weighted: bool = False, **options: Any
) -> Instance:
    """An instance whose data depend on its shape and loss only."""
    kind, geometry, size = SHAPES[shape]
    rng = np.random.default_rng([list(SHAPES).index(shape), LOSSES.index(loss)])
    X = rng.standard_normal(size)
    n = size[0]
    y = rng.standard_normal(n) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], n))
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    name = f"{shape}-{loss}-bias={bias}" + ("-gated" if gated else "") + ("-weighted" if weighted else "")
    name += "-intercept" if options.get("intercept") else "-penalised" if options else ""
    return Instance(name, kind(bias=bias, gated=gated, **geometry, **options), X, y, loss, weights=weights)


def _table() -> list[Instance]:
    rows = [make("mlp", loss, bias) for loss in LOSSES for bias in BIASES]
    shapes = list(SHAPES)
    for i, shape in enumerate(shapes[1:]):
        for j, bias in enumerate(BIASES):
            rows.append(make(shape, LOSSES[(i + j) % 3], bias, weighted=j == i % 2))
    for i, shape in enumerate(shapes):
        rows.append(make(shape, LOSSES[i % 3], i % 2 == 0, gated=True, weighted=i % 3 == 1))
    rows += [
        make("series", "squared", True, gated=True, weighted=True, cone_penalty=0.3),
        make("average", "hinge", False, gated=True, cone_penalty=0.05),
        make("image", "logistic", True, gated=True, cone_penalty=0.02),
    ]
    rows += [make("mlp", loss, True, intercept=True) for loss in LOSSES]
    rows += [
        make("average", "logistic", True, intercept=True, weighted=True),
        make("image", "squared", False, intercept=True),
        make("mlp", "logistic", False, intercept=True),
        make("series", "logistic", True, gated=True, intercept=True),
        make("mlp", "squared", False, gated=True, intercept=True, weighted=True),
    ]
    # With a free bias in each of many gates the loss can be fitted away; two gates cannot do that.
    gates = np.array([[1.0, -0.3, 0.2], [-0.4, 0.5, 0.3]])
    rows += [make("mlp", loss, "free", gated=True).but(gates=gates) for loss in LOSSES]
    return rows


INSTANCES = {instance.name: instance for instance in _table()}
RELU = [name for name, instance in INSTANCES.items() if not instance.architecture.gated]
GATED = [name for name, instance in INSTANCES.items() if instance.architecture.gated]


@cache
def solved(name: str) -> zg.Result:
    """The instance of that name, trained once for all tests."""
    return INSTANCES[name].train()
