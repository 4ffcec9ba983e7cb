"""How well a network predicts: accuracy, confusion and mistakes for classes, R2 for numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerogap.data import Dataset
from zerogap.data.encoding import class_indices, network_inputs, predicted_classes
from zerogap.network import Network

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def confusion_matrix(true: Indices, predicted: Indices, classes: int) -> NDArray[np.int64]:
    """How often each class (row) was taken for each class (column): counts (C, C) from class indices (n,)."""
    cells = np.bincount(true * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def recalls(counts: NDArray[np.int64]) -> list[float | None]:
    """The share of each class that was recognised; None for a class without samples."""
    totals = counts.sum(axis=1)
    return [float(hit / total) if total else None for hit, total in zip(np.diag(counts), totals, strict=True)]


def r_squared(y: Array, outputs: Array) -> float:
    """1 - residual sum of squares / total sum of squares; for targets (n, C), the mean over the C outputs."""
    left, spread = np.sum((y - outputs) ** 2, axis=0), np.sum((y - y.mean(axis=0)) ** 2, axis=0)
    each = np.where(spread > 0.0, 1.0 - left / np.where(spread > 0.0, spread, 1.0), left == 0.0)
    return float(each.mean())


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says about one part of the data.

    Parameters
    ----------
    part : "training", "test" or "given"
        Those that a network was trained on, those kept for testing, or others.
    data : Dataset
    outputs : (n,) or (n, C) float64
        Of the network; (n,) for numbers and for two classes with one output.
    """

    part: Literal["training", "test", "given"]
    data: Dataset
    outputs: Array

    @classmethod
    def of(cls, network: Network, data: Dataset, part: Literal["training", "test"]) -> Predictions:
        """Apply the network to the data."""
        return cls(part, data, network(network_inputs(data, network.architecture.flat)))

    @property
    def measure(self) -> str:
        """What ``score`` measures."""
        return "R2" if self.data.classes is None else "accuracy"

    @cached_property
    def score(self) -> float:
        """Share of right classes, or R2."""
        if self.data.classes is not None:
            return float(np.mean(self.predicted == self.true))
        return r_squared(self.data.y, self.outputs)

    @cached_property
    def true(self) -> Indices:
        """The class of each sample, (n,)."""
        return class_indices(self.data)

    @cached_property
    def predicted(self) -> Indices:
        """The class that the network gives to each sample, (n,)."""
        return predicted_classes(self.outputs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none for numbers."""
        return self.data.classes or ()

    def short_names(self, most: int = 20) -> list[str]:
        """Names of the classes, each in one line of at most that many characters."""
        lines = [" ".join(name.split()) for name in self.classes]
        return [line if len(line) <= most else line[: most - 1] + "…" for line in lines]

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts (C, C): rows true, columns predicted."""
        return confusion_matrix(self.true, self.predicted, len(self.classes))

    @property
    def mistakes(self) -> Indices:
        """Samples of wrong class; first those where it outweighs the true one most."""
        wrong = np.flatnonzero(self.predicted != self.true)
        f = self.outputs[wrong]
        if f.ndim == 1:
            return wrong[np.argsort(-np.abs(f), kind="stable")]
        each = np.arange(wrong.size)
        return wrong[np.argsort(f[each, self.true[wrong]] - f[each, self.predicted[wrong]], kind="stable")]

    def confusion_to_dict(self) -> dict[str, Any] | None:
        """Names and counts, ready for JSON; None for numbers."""
        if not self.classes:
            return None
        counts = self.confusion
        return {
            "part": self.part,
            "classes": list(self.classes),
            "counts": counts.tolist(),
            "recall": recalls(counts),
        }
