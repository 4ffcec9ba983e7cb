"""One data set: inputs X, targets y and, for classification, the names of the classes.

Targets are what the losses take: a real number for regression, -1.0 (first class) or +1.0 (second class)
for two classes, and the index 0.0, ..., C - 1.0 of the class for C > 2 classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.scaling import Scaling
from zerogap.validation import finite_array, generator, positive, targets

Array = NDArray[np.float64]
Task = Literal["regression", "classification"]

AXES = "(n, d), (n, length), (n, height, width) or (n, height, width, channels)"


def inputs(name: str, value: object) -> Array:
    """Inputs as a finite float64 array with 2 to 4 axes.

    Raises
    ------
    InputError
        Not real, not finite, empty, or another number of axes.
    """
    with np.errstate(over="ignore"):  # what overflows in the cast is infinite, and refused
        array = finite_array(name, value)
    if not 2 <= array.ndim <= 4:
        raise InputError(name, f"shape {array.shape}", AXES, "reshape it; a single feature is X.reshape(-1, 1)")
    return np.ascontiguousarray(array)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Inputs with their targets; both are copied and checked.

    Parameters
    ----------
    name : str
        Where the data come from.
    X : (n, d) table, (n, length) series, (n, h, w) or (n, h, w, c) images; float64
        The inputs, all finite, n >= 1.
    y : (n,) float64
        The targets, encoded as this module says.
    classes : tuple of str, or None
        Names of the classes; None for regression.

    Raises
    ------
    InputError
        Arrays that do not fit each other or the classes.
    """

    name: str
    X: Array
    y: Array
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check and copy the arrays."""
        object.__setattr__(self, "X", inputs("X", self.X))
        object.__setattr__(self, "y", targets(self.y, len(self.X)))
        if self.classes is None:
            return
        object.__setattr__(self, "classes", tuple(self.classes))
        count = len(self.classes)
        if count < 2 or len(set(self.classes)) < count:
            raise InputError("classes", repr(self.classes), "at least two different names", "pass None for regression")
        values = (-1.0, 1.0) if count == 2 else range(count)
        wrong = ~np.isin(self.y, np.array(values, dtype=np.float64))
        if wrong.any():
            expected = "-1 and +1 for two classes" if count == 2 else f"the class indices 0 to {count - 1}"
            raise InputError("y", f"the value {self.y[wrong][0]:g}", expected, "encode the labels in this way")

    @property
    def task(self) -> Task:
        """Whether y holds numbers to fit or classes."""
        return "regression" if self.classes is None else "classification"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of X."""
        return self.X.shape

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.y)

    def __repr__(self) -> str:
        """Name, shape and task, without the arrays."""
        names = self.classes or ()
        kind = f"{self.task}{' of ' if names else ''}{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
        return f"Dataset({self.name!r}, {' x '.join(map(str, self.shape))}, {kind})"

    def split(
        self, test_size: float = 0.25, random_state: int | np.random.Generator = 0
    ) -> tuple[Dataset, Dataset | None]:
        """Training and test set, drawn by a seed; both keep the order of the samples.

        For classification each class is split by itself: it has at least one sample on both sides if it
        has two or more, and stays in the training set if it has one.

        Parameters
        ----------
        test_size : float in [0, 1)
            Share of the test set, rounded to whole samples (per class, for classification). 0 returns
            ``(self, None)``.
        random_state : int or numpy Generator
            The same seed gives the same split.

        Raises
        ------
        InputError
            A share outside [0, 1), or no sample that could be spared for a test.
        """
        share = positive("test_size", test_size, zero=True)
        if share >= 1.0:
            raise InputError("test_size", repr(test_size), "a number in [0, 1)", "pass for example test_size=0.25")
        order = generator(random_state).permutation(len(self))
        if share == 0.0:
            return self, None
        strata = np.unique(self.y) if self.classes else None
        groups = [order] if strata is None else [order[self.y[order] == label] for label in strata]
        # Halves are rounded up; at least one sample of a group is left for training.
        sizes = [min(max(math.floor(share * len(group) + 0.5), 1), len(group) - 1) for group in groups]
        chosen = np.zeros(len(self), dtype=bool)
        for group, size in zip(groups, sizes, strict=True):
            chosen[group[:size]] = True
        if not chosen.any():
            what = "sample" if self.classes is None else "sample of each class"
            raise InputError("test_size", f"{test_size!r} with one {what}", "two or more", "pass test_size=0")
        return self._where(~chosen), self._where(chosen)

    def standardise(self, *others: Dataset) -> tuple[Dataset, ...]:
        """Centre and scale X by the mean and standard deviation of *this* set, and others by the same map.

        Tables and series are scaled column by column, images by one number for all pixels. What is constant
        here is centred and keeps its scale.

        Parameters
        ----------
        *others : Dataset
            For example the test set; samples must have the shape of these.

        Returns
        -------
        tuple of Dataset
            This set first, then the others.

        Raises
        ------
        InputError
            Samples of another shape, or so far from these that their scaled entries are beyond 1e100.
        """
        for other in others:
            if other.shape[1:] != self.shape[1:]:
                raise InputError(
                    f"samples of {other.name}", f"shape {other.shape[1:]}", f"{self.shape[1:]} as in {self.name}",
                    "standardise sets of one kind together",
                )  # fmt: skip
        scaling = self.scaling()
        with np.errstate(over="ignore"):  # infinite entries are refused
            return tuple(each.scaled(scaling) for each in (self, *others))

    def scaling(self) -> Scaling:
        """The map that ``standardise`` applies."""
        return Scaling.of(self.X, together=self.X.ndim > 2)

    def scaled(self, scaling: Scaling) -> Dataset:
        """The same data with scaled inputs; raises InputError for samples of another shape or beyond 1e100."""
        return replace(self, X=scaling(self.X))

    def _where(self, mask: NDArray[np.bool_]) -> Dataset:
        return replace(self, X=self.X[mask], y=self.y[mask])
