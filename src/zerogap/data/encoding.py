"""Between the classes of a data set and the outputs of a network.

    loss                       classes   targets of the class k                   class of the outputs f
    squared, logistic, hinge   C = 2     2 k - 1, one output: shape (n,)          1 if f >= 0, else 0
    squared                    C > 2     e_k, the k-th unit vector: (n, C)        the c of the largest f_c
    logistic                   C > 2     2 e_k - 1, one against the rest: (n, C)  the c of the largest f_c
    cross_entropy              C >= 2    e_k: (n, C)                              the c of the largest f_c

Every class of the data set keeps its column, also one that has no sample here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerogap.data.dataset import Dataset
from zerogap.errors import InputError
from zerogap.targets import LARGEST

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def default_loss(data: Dataset) -> str:
    """Cross-entropy for more than two classes, else squared."""
    return "cross_entropy" if data.classes is not None and len(data.classes) > 2 else "squared"


def encoded_targets(data: Dataset, loss: str) -> Array:
    """The targets that a loss takes for this data: (n,), or (n, C) for C outputs.

    Raises
    ------
    InputError
        Cross-entropy for a regression, the hinge loss for more than two classes, or more than 1e8 targets.
    """
    if _outputs(data, loss) is None:
        return data.y
    return class_targets(class_indices(data), len(data.classes or ()), loss, f"classes of {data.name}")


def class_targets(indices: Indices, count: int, loss: str, name: str = "classes") -> Array:
    """The targets (n,) or (n, C) of class indices (n,) below `count`, by the table above.

    Raises
    ------
    InputError
        The hinge loss for more than two classes, or more than 1e8 targets.
    """
    if outputs_of_classes(count, loss) is None:
        return np.asarray(2.0 * indices - 1.0, dtype=np.float64)
    if loss == "hinge":
        expected = "one of 'cross_entropy', 'squared', 'logistic'"
        raise InputError("loss", f"'hinge' for {count} classes", expected, "choose one of these, or keep two classes")
    if count * len(indices) > LARGEST:
        got = f"{count}, for a table of {len(indices)} x {count} targets"
        raise InputError(name, got, f"at most {LARGEST} entries", "keep fewer classes")
    hot = np.asarray(np.arange(count) == indices[:, None], dtype=np.float64)
    return 2.0 * hot - 1.0 if loss == "logistic" else hot


def outputs_of_classes(count: int, loss: str) -> int | None:
    """Outputs of a network for so many classes; None for a single one."""
    return None if count == 2 and loss != "cross_entropy" else count


def class_indices(data: Dataset) -> Indices:
    """The true class of each sample, as its place in ``data.classes``, (n,)."""
    return (data.y > 0.0).astype(np.intp) if len(data.classes or ()) == 2 else data.y.astype(np.intp)


def predicted_classes(outputs: Array) -> Indices:
    """The class of each sample according to outputs (n,) or (n, C), as its place in ``data.classes``."""
    return (outputs >= 0.0).astype(np.intp) if outputs.ndim == 1 else outputs.argmax(axis=1)


def check_outputs(data: Dataset, loss: str, outputs: int | None) -> None:
    """Raise InputError unless a network with C outputs, or a single one (None), is for this data and loss."""
    needed = None if data.classes is None else _outputs(data, loss)
    if needed == outputs:
        return
    count = len(data.classes or ())
    if count == 2 and outputs in (None, 2):
        got, other = f"{loss!r}, of {needed or 1} outputs for two classes", "squared" if needed else "cross_entropy"
        raise InputError("loss", got, f"one of {outputs or 1}, as the network has", f"pass for example {other}")
    got = f"{count} in {data.name}" if count else f"none: {data.name} is a regression"
    expected = "two, or numbers: the network has one output" if outputs is None else f"{outputs}, one for each output"
    raise InputError("classes", got, expected, "use data of the kind that the network was trained on")


def network_inputs(data: Dataset, flat: bool) -> Array:
    """X, flattened to (n, d) for architectures whose inputs are vectors."""
    return data.X.reshape(len(data), -1) if flat else data.X


def _outputs(data: Dataset, loss: str) -> int | None:
    """Outputs of a network for this data; None for a single one."""
    if data.classes is None:
        if loss == "cross_entropy":
            expected = f"a loss of numbers: {data.name} is a regression"
            raise InputError("loss", "'cross_entropy'", expected, "choose squared")
        return None
    return outputs_of_classes(len(data.classes), loss)
