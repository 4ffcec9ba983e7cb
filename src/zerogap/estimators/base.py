"""What all estimators share: from arrays or frames to a certified network, and back to predictions.

X, y -> distinct samples, scaled -> ``zg.train`` -> ``zg.Model`` -> predictions in the units and classes of y
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from zerogap.architectures import Architecture
from zerogap.errors import DataFileError, InputError, Status
from zerogap.estimators.problem import Problem
from zerogap.estimators.progress import GapProgress, digits
from zerogap.estimators.samples import Samples
from zerogap.model import Model, Task
from zerogap.network import Network
from zerogap.training.train import Result
from zerogap.validation import one_of, positive, shown

Array = NDArray[np.float64]


class ConvexEstimator(CallbackSupportMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of the estimators.

    Subclasses say what samples look like (``_shaped``, ``_architecture``, ``_images``) and what targets mean
    (``_encoded``, ``_weighed``, ``_numeric``).
    """

    _images: bool
    """Whether a sample may have several axes, and all its entries are scaled by one number."""

    _numeric: bool
    """Whether targets are numbers."""

    @abstractmethod
    def _shaped(self, X: Array) -> Array:
        """Validated inputs as samples of their own shape, (n, ...)."""

    @abstractmethod
    def _architecture(self, shape: tuple[int, ...]) -> Architecture:
        """The architecture for samples of a shape."""

    @abstractmethod
    def _encoded(self, y: Any) -> tuple[Array, Task, str]:
        """Targets for ``zg.train``, what they stand for, and the loss; sets the attributes of a classifier."""

    def _weighed(self, y: Any, weights: Array) -> Array:
        """Sample weights, times those of classes if there are any."""
        return weights

    # -- training ----------------------------------------------------------------------------------

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train.

        Parameters
        ----------
        X : array or frame
            Numbers: no NaN, no strings.
        y : array
            Targets.
        sample_weight : (n,) array, optional
            Non-negative; a weight of 2 equals a duplicated sample, 0 an absent one.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used (a ``zg.InputError``, or from scikit-learn).

        Warns
        -----
        ConvergenceWarning
            If training ended before the gap was met.
        """
        context = self._init_callback_context(max_subtasks=self._tasks())
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit(self._problem(X, y, sample_weight), context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        """The checked and scaled data."""
        X, y = validate_data(
            self, X, y, dtype=np.float64, allow_nd=self._images, multi_output=True, y_numeric=self._numeric
        )
        y = cast(Any, y).toarray() if issparse(y) else y
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        targets, task, loss = self._encoded(y)
        problem = Problem(Samples.of(self._shaped(X), targets, self._weighed(y, weights)), task, loss)
        standardise = one_of("standardise", self.standardise, (True, False))
        return problem.standardised(together=self._images) if standardise else problem

    def _tasks(self) -> int:
        """Subtasks of a fit, for callbacks."""
        return len(digits(positive("tol", self.tol)))

    def _fit(self, problem: Problem, context: Any) -> None:
        """Choose beta, train, and set the fitted attributes."""
        start = getattr(self, "network_", None) if one_of("warm_start", self.warm_start, (True, False)) else None
        beta = problem.beta(self.beta)
        try:
            self._train(problem, beta, context, start)
        except InputError as error:
            if start is None or error.what not in ("warm_start", "y"):
                raise
            got = f"True, with a last network that does not fit ({error})"
            expected = "features, targets and parameters of the last fit, other than beta"
            raise InputError("warm_start", got, expected, "set warm_start=False") from error

    def _train(self, problem: Problem, beta: float, context: Any, start: Network | None = None) -> None:
        progress = GapProgress(self, context, self.tol) if getattr(self, "_skl_callbacks", None) else None
        architecture = self._architecture(problem.shape)
        self._learn(
            problem, beta, problem.train(architecture, beta, warm_start=start, callback=progress, **self._effort)
        )

    @property
    def _effort(self) -> dict[str, Any]:
        """How hard to train: options of ``zg.train``."""
        seed = self.random_state
        if seed is not None and not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(2**31 - 1)
        return {
            "tol": self.tol,
            "max_time": self.max_time,
            "prove": self.prove,
            "random_state": None if seed is None else int(seed),
        }

    def _learn(self, problem: Problem, beta: float, result: Result) -> None:
        """Set the fitted attributes, and warn if the tolerance was not met."""
        parameters = {name: _simple(value) for name, value in self.get_params(deep=False).items()}
        names = getattr(self, "feature_names_in_", None)
        about = {
            "name": type(self).__name__,
            "parameters": {name: _coded(value) for name, value in parameters.items() if _plain(value)},
            "n_features": self.n_features_in_,
            "feature_names": None if names is None else [str(name) for name in names],
        }
        classes = tuple(self.classes_.tolist()) if problem.task == "classes" else ()
        self._take(problem.model(result, beta, classes, about))
        self.history_, self.status_, self.n_iter_ = result.history, result.status, len(result.history)
        self._warn(result)

    def _take(self, model: Model) -> None:
        """Set the attributes that come from the model."""
        self.model_, self.network_, self.certificate_ = model, model.network, model.certificate
        self.beta_, self.loss_ = model.beta, model.loss
        self.n_outputs_ = 1 if model.network.targets is None else model.network.targets

    def _warn(self, result: Result) -> None:
        """Say what was not reached and what to do about it."""
        proving = bool(self.prove)
        if result.status.success or (result.status is Status.SEARCHED and not proving):
            return
        certificate = result.certificate
        proved = "proved" if certificate.proved else "nothing proved"
        words = f"{certificate.gap:.1e} ({proved}, scope {certificate.scope})"
        if certificate.estimate is not None:
            suggested = max(1.0 - certificate.estimate / max(certificate.objective, 1e-300), 0.0)
            words += f", {suggested:.1e} as search suggests, which proves nothing"
        cause = result.status.value.partition(":")[0]
        decay = f"{'betas' if hasattr(self, 'betas') else 'beta'} (now {self.beta_:.3g})"
        message = (
            f"{type(self).__name__} ended with a relative gap of {words}; tolerance {self.tol:.1e}. "
            f"{cause[0].upper()}{cause[1:]}. Three remedies: (1) {self._first_remedy(result.status)}; "
            f"(2) raise {decay}: the problem gets easier and the network smaller; (3) raise tol"
        )
        warnings.warn(message, ConvergenceWarning, stacklevel=7)

    def _first_remedy(self, status: Status) -> str:
        """What helps where training ended in this way."""
        if status is Status.TIME_LIMIT:
            return f"raise max_time (now {self.max_time})"
        if status is Status.SEARCHED:
            return "use fewer features" if self.prove is True else f"raise prove (now {self.prove})"
        if status is Status.STALLED and not self.standardise:
            return "pass standardise=True"
        if status is Status.STALLED:
            return "leave out features that nearly repeat others"
        return "fit again, to the end"

    # -- predictions -------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Array:
        """Outputs of the network for raw inputs, in the units of the targets."""
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=np.float64, allow_nd=self._images, reset=False)
        return self.model_.outputs(X)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``model_`` with the parameters of this estimator, as a safetensors file; raises DataFileError.

        Warns
        -----
        UserWarning
            Of parameters that JSON cannot keep, such as splitters.
        """
        check_is_fitted(self, "model_")
        kept = (self.model_.estimator or {})["parameters"]
        lost = sorted(set(self.get_params(deep=False)) - set(kept))
        if lost:
            text = f"{', '.join(lost)} of {type(self).__name__} cannot be kept in a file: it is loaded with the default"
            warnings.warn(text, UserWarning, stacklevel=2)
        self.model_.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The fitted estimator of a file that ``save`` has written; nothing in the file is executed.

        Its history is not in the file, nor are parameters that JSON cannot keep, such as splitters: they get their
        defaults.

        Raises
        ------
        DataFileError
            If it cannot be read, or holds another kind of model.
        """
        model = Model.load(path)
        about = model.estimator or {}
        if about.get("name") != cls.__name__:
            remedy = "load it with its own class, or with zg.Model.load"
            raise DataFileError(f"model file {path}", f"an estimator {shown(about.get('name'))}", cls.__name__, remedy)
        try:
            parameters = {name: _decoded(value) for name, value in about["parameters"].items()}
            estimator = cls().set_params(**parameters)
            estimator._restore(model, about)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            remedy = "pass a file written by this version"
            raise DataFileError(f"model file {path}", str(error), "complete contents", remedy) from error
        return estimator

    def _restore(self, model: Model, about: dict[str, Any]) -> None:
        """Set the attributes that predictions need."""
        self._take(model)
        self.n_features_in_ = int(about["n_features"])
        if about["feature_names"] is not None:
            self.feature_names_in_ = np.array(about["feature_names"], dtype=object)


def _simple(value: Any) -> Any:
    """Numbers and arrays of NumPy as those of Python."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


def _coded(value: Any) -> Any:
    """A parameter as JSON keeps it; the keys of its dictionaries are only text."""
    if isinstance(value, dict):
        return {"pairs": [[_simple(key), _coded(_simple(entry))] for key, entry in value.items()]}
    return [_coded(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _decoded(value: Any) -> Any:
    """The inverse of ``_coded``, but that lists come back as tuples."""
    if isinstance(value, dict):
        return {key: _decoded(entry) for key, entry in value["pairs"]}
    return tuple(_decoded(entry) for entry in value) if isinstance(value, list) else value


def _plain(value: Any) -> bool:
    """Whether JSON keeps a parameter."""
    if isinstance(value, dict):
        return all(_plain(_simple(part)) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple)):
        return all(_plain(entry) for entry in value)
    return value is None or isinstance(value, (bool, int, float, str))
