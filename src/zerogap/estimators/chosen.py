"""The estimators that choose beta by cross-validation."""

from __future__ import annotations

from typing import Any

from zerogap.estimators.cnn import ConvexCNNClassifier, ConvexCNNRegressor
from zerogap.estimators.cross_validation import CrossValidation
from zerogap.estimators.mlp import ConvexMLPClassifier, ConvexMLPRegressor


class ConvexMLPRegressorCV(CrossValidation, ConvexMLPRegressor):
    """``ConvexMLPRegressor`` whose weight decay is chosen by cross-validation.

    Parameters
    ----------
    betas : int or array
        Values to choose from; or their number, in equal ratios from the critical beta (of the network without
        neurons) down.
    ratio : float
        The smallest beta as a share of the critical one, where `betas` is a number.
    cv : int, splitter, iterable or None
        Folds, as in scikit-learn; None is 5. A number makes folds of distinct samples.
    patience : int
        The path ends once so many betas in a row have not lowered the mean loss.
    n_jobs : int, optional
        Folds trained at the same time, as in joblib.
    bias, intercept, standardise, tol, max_time, prove, random_state
        As in ``ConvexMLPRegressor``; `max_time` and `prove` for each training.

    Attributes
    ----------
    beta_ : float
        The choice.
    betas_ : (k,) array
        Those that were tried, falling.
    validation_path_ : (k, folds) array
        Mean loss on the fold left out, in units of the standardised targets.

    The others are those of ``ConvexMLPRegressor``.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> import zerogap as zg
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = zg.ConvexMLPRegressorCV(betas=8).fit(X, y)
    >>> bool(model.betas_.min() <= model.beta_ <= model.betas_.max())
    True
    """

    def __init__(
        self,
        betas: Any = 20,
        *,
        ratio: float = 2e-3,
        cv: Any = None,
        patience: int = 2,
        n_jobs: int | None = None,
        bias: bool | str = True,
        intercept: bool = True,
        standardise: bool = True,
        tol: float = 1e-2,
        max_time: float | None = None,
        prove: bool | float = False,
        random_state: Any = 0,
    ) -> None:
        self.betas = betas
        self.ratio = ratio
        self.cv = cv
        self.patience = patience
        self.n_jobs = n_jobs
        self.bias = bias
        self.intercept = intercept
        self.standardise = standardise
        self.tol = tol
        self.max_time = max_time
        self.prove = prove
        self.random_state = random_state


class ConvexMLPClassifierCV(CrossValidation, ConvexMLPClassifier):
    """``ConvexMLPClassifier`` whose weight decay is chosen by cross-validation.

    Parameters
    ----------
    betas, ratio, cv, patience, n_jobs
        As in ``ConvexMLPRegressorCV``; folds are stratified where every class has a sample for each of them.
    loss, bias, intercept, standardise, class_weight, tol, max_time, prove, random_state
        As in ``ConvexMLPClassifier``.

    Attributes
    ----------
    beta_, betas_, validation_path_
        As in ``ConvexMLPRegressorCV``.

    The others are those of ``ConvexMLPClassifier``.
    """

    def __init__(
        self,
        betas: Any = 20,
        *,
        ratio: float = 2e-3,
        cv: Any = None,
        patience: int = 2,
        n_jobs: int | None = None,
        loss: str = "auto",
        bias: bool | str = True,
        intercept: bool = True,
        standardise: bool = True,
        class_weight: Any = None,
        tol: float = 1e-2,
        max_time: float | None = None,
        prove: bool | float = False,
        random_state: Any = 0,
    ) -> None:
        self.betas = betas
        self.ratio = ratio
        self.cv = cv
        self.patience = patience
        self.n_jobs = n_jobs
        self.loss = loss
        self.bias = bias
        self.intercept = intercept
        self.standardise = standardise
        self.class_weight = class_weight
        self.tol = tol
        self.max_time = max_time
        self.prove = prove
        self.random_state = random_state


class ConvexCNNRegressorCV(CrossValidation, ConvexCNNRegressor):
    """``ConvexCNNRegressor`` whose weight decay is chosen by cross-validation.

    Parameters
    ----------
    betas, ratio, cv, patience, n_jobs
        As in ``ConvexMLPRegressorCV``.
    kernel_size, stride, padding, dilation, pooling, window, image_shape
        As in ``ConvexCNNRegressor``.
    bias, intercept, standardise, tol, max_time, prove, random_state
        As in ``ConvexMLPRegressor``.

    Attributes
    ----------
    beta_, betas_, validation_path_
        As in ``ConvexMLPRegressorCV``.

    The others are those of ``ConvexCNNRegressor``.
    """

    def __init__(
        self,
        betas: Any = 20,
        *,
        ratio: float = 2e-3,
        cv: Any = None,
        patience: int = 2,
        n_jobs: int | None = None,
        kernel_size: Any = 3,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        pooling: str = "average",
        window: Any = "auto",
        image_shape: Any = None,
        bias: bool | str = True,
        intercept: bool = True,
        standardise: bool = True,
        tol: float = 1e-2,
        max_time: float | None = None,
        prove: bool | float = False,
        random_state: Any = 0,
    ) -> None:
        self.betas = betas
        self.ratio = ratio
        self.cv = cv
        self.patience = patience
        self.n_jobs = n_jobs
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.pooling = pooling
        self.window = window
        self.image_shape = image_shape
        self.bias = bias
        self.intercept = intercept
        self.standardise = standardise
        self.tol = tol
        self.max_time = max_time
        self.prove = prove
        self.random_state = random_state


class ConvexCNNClassifierCV(CrossValidation, ConvexCNNClassifier):
    """``ConvexCNNClassifier`` whose weight decay is chosen by cross-validation.

    Parameters
    ----------
    betas, ratio, cv, patience, n_jobs
        As in ``ConvexMLPClassifierCV``.
    loss, class_weight
        As in ``ConvexMLPClassifier``.
    kernel_size, stride, padding, dilation, pooling, window, image_shape
        As in ``ConvexCNNRegressor``.
    bias, intercept, standardise, tol, max_time, prove, random_state
        As in ``ConvexMLPRegressor``.

    Attributes
    ----------
    beta_, betas_, validation_path_
        As in ``ConvexMLPRegressorCV``.

    The others are those of ``ConvexCNNClassifier``.
    """

    def __init__(
        self,
        betas: Any = 20,
        *,
        ratio: float = 2e-3,
        cv: Any = None,
        patience: int = 2,
        n_jobs: int | None = None,
        loss: str = "auto",
        kernel_size: Any = 3,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        pooling: str = "average",
        window: Any = "auto",
        image_shape: Any = None,
        bias: bool | str = True,
        intercept: bool = True,
        standardise: bool = True,
        class_weight: Any = None,
        tol: float = 1e-2,
        max_time: float | None = None,
        prove: bool | float = False,
        random_state: Any = 0,
    ) -> None:
        self.betas = betas
        self.ratio = ratio
        self.cv = cv
        self.patience = patience
        self.n_jobs = n_jobs
        self.loss = loss
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.pooling = pooling
        self.window = window
        self.image_shape = image_shape
        self.bias = bias
        self.intercept = intercept
        self.standardise = standardise
        self.class_weight = class_weight
        self.tol = tol
        self.max_time = max_time
        self.prove = prove
        self.random_state = random_state
