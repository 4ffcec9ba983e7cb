"""A model and data from elsewhere: which label is which class, and how targets were encoded for training.

Classes are matched by name, so that data may have them in another order, or only some of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.data import Dataset, RawData
from zerogap.data.encoding import check_outputs, encoded_targets
from zerogap.data.labels import encode, in_classes
from zerogap.errors import InputError
from zerogap.model import Model

Array = NDArray[np.float64]


def labelled(model: Model, raw: RawData) -> Dataset:
    """The data with one target for each sample, as the model understands it.

    Raises
    ------
    InputError
        Samples of a class that the model does not know, or names of classes for a model of numbers.
    DataFileError
        Inputs alone, or several targets for each sample.
    """
    if model.classes:
        return in_classes(raw, model.names)
    # The file of a network alone does not say what its outputs stand for: then the data do.
    return encode(raw, classes=None, task=None if model.loss is None else "regression")


def several_targets(model: Model, raw: RawData) -> Array | None:
    """Targets (n, C) in their own units, where the data have several for each sample.

    Raises
    ------
    InputError
        Another number of them than the model has outputs, or labels other than 0 and 1.
    """
    y, outputs = raw.labels, model.network.targets
    if y is None or y.ndim == 1:
        return None
    if model.classes or outputs != y.shape[1]:
        expected = (
            "one class for each sample" if model.classes else f"shape (n, {outputs})" if outputs else "shape (n,)"
        )
        raise InputError(f"y in {raw.name}", f"shape {y.shape}", expected, "use data like those of the training")
    if model.task == "labels" and not np.all((y == 0.0) | (y == 1.0)):
        raise InputError(f"y in {raw.name}", f"labels from {y.min():g} to {y.max():g}", "0 and 1", "encode them so")
    return y


def training_targets(model: Model, data: Dataset, loss: str) -> Array:
    """Targets (n,) or (n, C) as the network was trained on them: encoded for the loss, and scaled as the model does.

    Raises
    ------
    InputError
        A loss or data that do not fit the outputs of the network.
    """
    check_outputs(data, loss, model.network.targets)
    return scaled_targets(model, encoded_targets(data, loss))


def scaled_targets(model: Model, y: Array) -> Array:
    """Numbers as the model scales them; labels 0 and 1 (n, C) as -1 and 1."""
    if model.task == "labels":
        return 2.0 * y - 1.0
    return y if model.targets is None else model.targets(y)
