"""path: networks along the weight decay, each one started from its neighbour.

    N(beta_1), N(beta_2), ...   for beta_1 > beta_2 > ...,   where the neurons of N(beta_k) start those of N(beta_k+1)

The largest beta of interest is the critical one, from which on the network without neurons is optimal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.architectures import Architecture
from zerogap.certification import critical_beta, critical_beta_bounds
from zerogap.errors import InputError, Status
from zerogap.question import Question
from zerogap.training.recovery import empty_network
from zerogap.training.train import Result, train
from zerogap.validation import file_path, finite, finite_array, generator, integer, positive, shown

Array = NDArray[np.float64]

COUNT = 20
RATIO = 1e-2


@dataclass(frozen=True, eq=False)
class PathPoint:
    """One network of a path.

    Parameters
    ----------
    beta : float
    result : Result
    validation : float or None
        Mean loss on the validation data, without decay.
    """

    beta: float
    result: Result
    validation: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        certificate = self.result.certificate
        return {
            "beta": self.beta,
            "objective": certificate.objective,
            "lower_bound": certificate.lower_bound,
            "estimate": certificate.estimate,
            "gap": certificate.gap,
            "proof": certificate.proof,
            "scope": certificate.scope,
            "width": self.result.network.width,
            "validation": self.validation,
            "status": self.result.status.name.lower(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """What ``path`` returns.

    Parameters
    ----------
    points : tuple of PathPoint
        By falling beta.
    """

    points: tuple[PathPoint, ...]

    def __iter__(self) -> Iterator[PathPoint]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, which: int) -> PathPoint:
        return self.points[which]

    def __repr__(self) -> str:
        return f"Path({len(self)} points, beta {self.betas[0]:.4g} to {self.betas[-1]:.4g})"

    @property
    def betas(self) -> Array:
        """(k,)."""
        return np.array([point.beta for point in self.points])

    @property
    def objectives(self) -> Array:
        """(k,)."""
        return np.array([point.result.certificate.objective for point in self.points])

    @property
    def bounds(self) -> Array:
        """The proved lower bounds, (k,)."""
        return np.array([point.result.certificate.lower_bound for point in self.points])

    @property
    def estimates(self) -> Array:
        """The bounds that search suggests, (k,); NaN where there is none. Not proved."""
        values = [point.result.certificate.estimate for point in self.points]
        return np.array([np.nan if value is None else value for value in values])

    @property
    def widths(self) -> NDArray[np.int64]:
        """Neurons, (k,)."""
        return np.array([point.result.network.width for point in self.points], dtype=np.int64)

    @property
    def validation(self) -> Array | None:
        """Mean losses on the validation data, (k,); None without such data."""
        values = [point.validation for point in self.points]
        return None if any(value is None for value in values) else np.array(values, dtype=np.float64)

    @property
    def best(self) -> PathPoint:
        """The point of least validation loss; of equal ones that with the largest beta.

        Raises
        ------
        InputError
            Without validation data.
        """
        losses = self.validation
        if losses is None:
            raise InputError("validation", "None", "data to judge by", "pass validation=(X_other, y_other) to zg.path")
        return self.points[int(np.argmin(losses))]

    def to_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return {"points": [point.to_dict() for point in self.points]}

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw objective, bounds, width and validation loss along beta.

        Raises
        ------
        MissingExtraError
            Without matplotlib.
        DataFileError
            If the file cannot be written.
        """
        from zerogap.report.path_picture import path_picture

        path_picture(self, FilePath(file_path("path", path)))


@np.errstate(all="ignore")
def path(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    betas: int | Any = COUNT,
    ratio: float = RATIO,
    loss: str = "squared",
    arrangements: int | str | Any = "generate",
    tol: float = 1e-3,
    max_time: float | None = None,
    prove: bool | float = False,
    validation: tuple[Any, Any] | None = None,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    callback: Callable[[PathPoint], object] | None = None,
) -> Path:
    """Train along a falling weight decay, each network started from the one before.

    Parameters
    ----------
    architecture, X, y, loss, arrangements, tol, sample_weight
        As in ``train``. Networks start from their neighbours with arrangements="generate", unless they are linear.
    betas : int or array
        Values of beta, in any order; or their number, in equal ratios from the critical beta down.
    ratio : float
        The smallest beta as a share of the critical one, in (0, 1), where `betas` is a number.
    max_time : float, optional
        Seconds for the path; after that, or after Ctrl-C, the points so far are returned (at least one).
    prove : bool or float
        As in ``train``, for each beta.
    validation : (X, y), optional
        Data on which the mean loss of every network is taken.
    callback : callable, optional
        Called with every PathPoint; a true return value ends the path.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    started = clock.now()
    limit = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    if callback is not None and not callable(callback):
        raise InputError("callback", repr(callback), "a callable or None", "pass a function of one PathPoint")
    rng = generator(random_state)
    common: dict[str, Any] = {"loss": loss, "sample_weight": sample_weight}
    if not isinstance(architecture, Architecture):
        raise InputError("architecture", shown(architecture), "an instance such as zg.MLP()", "construct one first")
    judged = None if validation is None else _judge(architecture, validation, loss)
    values = falling_betas(architecture, X, y, betas, ratio, arrangements=arrangements, **common)
    warm = isinstance(arrangements, str) and arrangements == "generate" and not architecture.linear
    points: list[PathPoint] = []
    # The first beta is at least near the critical one, where the network without neurons is a good start.
    start = empty_network(Question.of(architecture, X, y, beta=1.0, **common)) if warm and np.ndim(betas) == 0 else None
    for beta in values:
        left = limit - (clock.now() - started)
        if points and left <= 0.0:
            break
        result = train(
            architecture,
            X,
            y,
            beta=float(beta),
            arrangements=arrangements,
            tol=tol,
            max_time=None if left == np.inf else max(left, 1e-3),
            prove=prove,
            warm_start=start,
            random_state=rng,
            **common,
        )
        start = result.network if warm else None
        points.append(PathPoint(float(beta), result, None if judged is None else judged(result)))
        if (callback is not None and callback(points[-1])) or result.status is Status.INTERRUPTED:
            break
    return Path(tuple(points))


def falling_betas(
    architecture: Architecture,
    X: Any,
    y: Any,
    betas: int | Any,
    ratio: float,
    *,
    loss: str,
    sample_weight: Any = None,
    arrangements: int | str | Any = "generate",
) -> Array:
    """The betas of a path, falling: those that were given, or so many from the critical one down.

    Raises
    ------
    InputError
        If they cannot be used.
    """
    if not 0.0 < finite("ratio", ratio) < 1.0:
        raise InputError("ratio", shown(ratio), "a number in (0, 1)", "pass for example ratio=1e-2")
    if np.ndim(betas) == 1:
        values = finite_array("betas", betas)
        if np.any(values <= 0.0):
            raise InputError("betas", f"{values.min():g}", "positive numbers", "leave it out")
        return np.unique(values)[::-1]
    count = integer("betas", betas, least=1)
    if architecture.gated or not (isinstance(arrangements, str) and arrangements == "generate"):
        most = critical_beta(
            architecture, X, y, loss=loss, arrangements=arrangements, sample_weight=sample_weight, random_state=0
        )
    else:
        # From below: at the largest beta there may already be a neuron that hardly matters.
        most = critical_beta_bounds(architecture, X, y, loss=loss, sample_weight=sample_weight, prove=False)[0]
    # Where no neuron helps at any beta, one value stands for all of them.
    return most * np.geomspace(1.0, ratio, count) if 0.0 < most < np.inf else np.ones(1)


def _judge(architecture: Architecture, validation: Any, loss: str) -> Callable[[Result], float]:
    """The mean loss on validation data, as a function of a result."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise InputError("validation", shown(validation), "a pair (X, y)", "pass validation=(X_other, y_other)")
    inputs, targets = validation
    # Checks them once, also against each other; beta plays no role.
    question = Question.of(architecture, inputs, targets, loss=loss, beta=1.0)
    total = float(question.loss.weights.sum())

    def judge(result: Result) -> float:
        result.network.checked(question)
        return question.loss.value(result.network.outputs(question.rows)) / total

    return judge
