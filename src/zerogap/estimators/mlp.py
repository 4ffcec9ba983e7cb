"""Fully connected networks for tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import MLP, Architecture
from zerogap.estimators.base import ConvexEstimator
from zerogap.estimators.tasks import Classification, Regression

Array = NDArray[np.float64]


class _Tables(ConvexEstimator):
    """Samples are rows of a table."""

    _images = False

    def _shaped(self, X: Array) -> Array:
        return X

    def _architecture(self, shape: tuple[int, ...]) -> Architecture:
        # A free bias brings a constant of its own.
        return MLP(bias=self.bias, intercept=self.intercept if self.bias != "free" else False)


class ConvexMLPRegressor(Regression, _Tables):
    """The best two-layer ReLU network for numbers, of any width, with a certificate.

    It minimises half the sum of squared errors plus ``beta_ / 2`` times the sum of squared weights, on inputs and
    targets of mean 0 and standard deviation 1.

    Parameters
    ----------
    beta : float > 0, or "scale"
        Weight decay, the one parameter that matters. "scale" is 0.2 times the square root of the number of samples
        (of the sum of their weights), times the standard deviation of the targets if they are not standardised.
    bias : True, False or "free"
        Bias of the neurons: decayed, absent, or not decayed.
    intercept : bool
        A constant at the output, not decayed.
    standardise : bool
        Whether inputs and targets are standardised. Predictions are in the units of y in any case.
    tol : float
        Relative duality gap asked for.
    max_time : float, optional
        Seconds for the network; then the best one so far is kept, as after Ctrl-C.
    prove : bool or float
        Seconds for branch and bound, which turns the estimated gap into a proved one where samples have few
        features (``zg.train``).
    warm_start : bool
        Start from the network of the last ``fit``, for example after a change of beta.
    random_state : int, RandomState or None
        Seed of the search. The objective depends on it by less than the gap.

    Attributes
    ----------
    certificate_ : zg.Certificate
        Objective, bound, gap and proof, for standardised inputs and targets.
    network_ : zg.Network
        For standardised inputs.
    model_ : zg.Model
        The network with its scalings; what ``save`` writes.
    beta_ : float
        The weight decay used.
    loss_ : str
    history_ : tuple of zg.Iteration
    status_ : zg.Status
    n_iter_ : int
        Entries of the history.
    n_outputs_, n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> import zerogap as zg
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = zg.ConvexMLPRegressor().fit(X, y)
    >>> bool(model.score(X, y) > 0.5)
    True

    Notes
    -----
    Pilanci and Ergen (ICML 2020); Sahiner, Ergen, Pauly and Pilanci (ICLR 2021) for several outputs (docs/theory.md).
    """

    def __init__(
        self,
        beta: float | str = "scale",
        *,
        bias: bool | str = True,
        intercept: bool = True,
        standardise: bool = True,
        tol: float = 1e-2,
        max_time: float | None = None,
        prove: bool | float = False,
        warm_start: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.beta = beta
        self.bias = bias
        self.intercept = intercept
        self.standardise = standardise
        self.tol = tol
        self.max_time = max_time
        self.prove = prove
        self.warm_start = warm_start
        self.random_state = random_state


class ConvexMLPClassifier(Classification, _Tables):
    """The best two-layer ReLU network for classes or labels, of any width, with a certificate.

    It minimises the sum of losses plus ``beta_ / 2`` times the sum of squared weights, on inputs of mean 0 and
    standard deviation 1.

    Parameters
    ----------
    beta : float > 0, or "scale"
        Weight decay, the one parameter that matters. "scale" is 0.2 times the square root of the number of samples
        (of the sum of their weights).
    loss : "auto", "logistic", "cross_entropy", "squared" or "hinge"
        "auto" is logistic for two classes and for labels, cross-entropy for more classes. Probabilities come with
        "auto". "hinge" tells two classes apart; "squared" fits -1 and +1, or 0 and 1 for more than two classes.
    bias, intercept, tol, max_time, prove, warm_start, random_state
        As in ``ConvexMLPRegressor``.
    standardise : bool
        Whether inputs are standardised.
    class_weight : dict, "balanced" or None
        Weights of the classes, as in scikit-learn; they multiply the sample weights.

    Attributes
    ----------
    classes_ : (C,) array
    certificate_, network_, model_, beta_, loss_, history_, status_, n_iter_, n_outputs_, n_features_in_
        As in ``ConvexMLPRegressor``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import zerogap as zg
    >>> X, y = load_iris(return_X_y=True)
    >>> model = zg.ConvexMLPClassifier().fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        beta: float | str = "scale",
        *,
        loss: str = "auto",
        bias: bool | str = True,
        intercept: bool = True,
        standardise: bool = True,
        class_weight: Any = None,
        tol: float = 1e-2,
        max_time: float | None = None,
        prove: bool | float = False,
        warm_start: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.beta = beta
        self.loss = loss
        self.bias = bias
        self.intercept = intercept
        self.standardise = standardise
        self.class_weight = class_weight
        self.tol = tol
        self.max_time = max_time
        self.prove = prove
        self.warm_start = warm_start
        self.random_state = random_state
