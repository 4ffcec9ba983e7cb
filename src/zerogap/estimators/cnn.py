"""Convolutional networks for images and series."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import CNN, Architecture
from zerogap.errors import InputError
from zerogap.estimators.base import ConvexEstimator
from zerogap.estimators.tasks import Classification, Regression
from zerogap.patches import Geometry, per_axis
from zerogap.validation import integer, one_of, shown

Array = NDArray[np.float64]

_GEOMETRY = (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))


class _Images(ConvexEstimator):
    """Samples are images or series, as they are or flattened."""

    _images = True

    def _shaped(self, X: Array) -> Array:
        if self.image_shape is None:
            return X
        if not isinstance(self.image_shape, (tuple, list)):
            expected = "a tuple such as (8, 8), (28, 28, 3), or None"
            raise InputError("image_shape", shown(self.image_shape), expected, "pass the shape of one image")
        shape = tuple(integer("image_shape", size, least=1) for size in self.image_shape)
        if prod(X.shape[1:]) != prod(shape):
            got = f"samples of shape {X.shape[1:]} (n_features={prod(X.shape[1:])})"
            raise InputError("X", got, f"{shape}, or {prod(shape)} features", "mend image_shape or X")
        return X.reshape(len(X), *shape)

    def _architecture(self, shape: tuple[int, ...]) -> Architecture:
        given = self.kernel_size
        axes = len(given) if isinstance(given, (tuple, list)) else min(len(shape), 2)
        if not 1 <= axes <= min(len(shape), 2):
            expected = f"an integer, or one for each of {min(len(shape), 2)} axes"
            raise InputError("kernel_size", shown(given), expected, "pass for example kernel_size=3")
        sizes = [per_axis(name, getattr(self, name), axes, least) for name, least in _GEOMETRY]
        kernel, stride, padding, dilation = sizes
        # A filter longer than the padded input has no place.
        room = [(size + 2 * pad - 1) // step + 1 for size, pad, step in zip(shape, padding, dilation, strict=False)]
        kernel = tuple(min(size, most) for size, most in zip(kernel, room, strict=False))
        window = self.window
        if isinstance(window, str):
            one_of("window", window, ("auto",))
            window = None if self.pooling == "none" else 2
        if window is not None:
            positions = Geometry(kernel, stride, padding, dilation).positions(shape[:axes])
            spans = per_axis("window", window, axes, 1)
            window = tuple(min(span, count) for span, count in zip(spans, positions, strict=True))
        return CNN(
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            pooling=self.pooling,
            window=window,
            bias=self.bias,
            intercept=self.intercept if self.bias != "free" else False,
        )


class ConvexCNNRegressor(Regression, _Images):
    """The best two-layer convolutional ReLU network for numbers, with any number of filters, and a certificate.

    It minimises half the sum of squared errors plus ``beta_ / 2`` times the sum of squared weights, on inputs and
    targets of mean 0 and standard deviation 1; all entries of the inputs are scaled by one number.

    Inputs are images (n, height, width) or (n, height, width, channels), series (n, length), or either of them
    flattened, with ``image_shape``. Series with channels (n, length, channels) need a kernel size of one entry, (5,).

    Parameters
    ----------
    beta : float > 0, or "scale"
        As in ``ConvexMLPRegressor``.
    kernel_size, stride, padding, dilation : int or tuple of int
        Of the filters. Sizes beyond the input are cut to it.
    pooling : "average", "sum", "max" or "none"
        Over all positions, or over windows. "none" gives every position an output weight of its own.
    window : int, tuple of int, None or "auto"
        Pool over windows of this size, each with an output weight of its own; None pools over everything, and "auto" is
        2, or None without pooling. Sizes beyond the input are cut to it.
    image_shape : tuple of int, optional
        Shape of one sample, where samples come flattened.
    bias, intercept, standardise, tol, max_time, prove, warm_start, random_state
        As in ``ConvexMLPRegressor``.

    Attributes
    ----------
    certificate_, network_, model_, beta_, loss_, history_, status_, n_iter_, n_outputs_, n_features_in_
        As in ``ConvexMLPRegressor``.

    Notes
    -----
    Ergen and Pilanci (ICLR 2021) (docs/cnns.md).
    """

    def __init__(
        self,
        beta: float | str = "scale",
        *,
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
        warm_start: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.beta = beta
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
        self.warm_start = warm_start
        self.random_state = random_state


class ConvexCNNClassifier(Classification, _Images):
    """The best two-layer convolutional ReLU network for classes or labels, with any number of filters, certified.

    It minimises the sum of losses plus ``beta_ / 2`` times the sum of squared weights, on inputs of mean 0 and
    standard deviation 1; all entries of the inputs are scaled by one number. Inputs are those of
    ``ConvexCNNRegressor``.

    Parameters
    ----------
    beta, loss, class_weight
        As in ``ConvexMLPClassifier``.
    kernel_size, stride, padding, dilation, pooling, window, image_shape
        As in ``ConvexCNNRegressor``.
    bias, intercept, standardise, tol, max_time, prove, warm_start, random_state
        As in ``ConvexMLPRegressor``.

    Attributes
    ----------
    classes_ : (C,) array
    certificate_, network_, model_, beta_, loss_, history_, status_, n_iter_, n_outputs_, n_features_in_
        As in ``ConvexMLPRegressor``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> import zerogap as zg
    >>> images, labels = load_digits(n_class=2, return_X_y=True)
    >>> model = zg.ConvexCNNClassifier(image_shape=(8, 8)).fit(images, labels)
    >>> bool(model.score(images, labels) > 0.99)
    True
    """

    def __init__(
        self,
        beta: float | str = "scale",
        *,
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
        warm_start: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.beta = beta
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
        self.warm_start = warm_start
        self.random_state = random_state
