"""The criteria of torch that are multiples of our losses, and their targets in our encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.export.extras import needed_torch
from zerogap.output_losses import LOSS_NAMES
from zerogap.targets import checked_targets
from zerogap.validation import finite_array, shown

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A criterion of torch.

    Parameters
    ----------
    loss : str
        Ours.
    multiple : float
        The criterion with ``reduction="sum"`` is this multiple of ours.
    shared : bool
        Whether a mean is over samples alone, not over samples and outputs.
    encode : callable
        From the targets of torch, (n,) or (n, C), to ours.
    """

    loss: str
    multiple: float
    shared: bool
    encode: Callable[[Array], Array]


def _same(y: Array) -> Array:
    return y


def _signs_of_bits(y: Array) -> Array:
    if not np.all((y == 0.0) | (y == 1.0)):
        value = y[(y != 0.0) & (y != 1.0)].flat[0]
        expected = "targets 0 and 1: a mixture of both losses has no counterpart here"
        raise InputError("y of BCEWithLogitsLoss", f"the value {value:g}", expected, "round the targets")
    return 2.0 * y - 1.0


KINDS = {
    "MSELoss": Kind("squared", 2.0, False, _same),
    "CrossEntropyLoss": Kind("cross_entropy", 1.0, True, _same),
    "BCEWithLogitsLoss": Kind("logistic", 1.0, False, _signs_of_bits),
    "SoftMarginLoss": Kind("logistic", 1.0, False, _same),
}
"""The criteria of torch that are multiples of our losses."""


def kind_of(loss: Any) -> tuple[str, Kind, str]:
    """The name, the kind and the reduction of a criterion or of a loss of ours."""
    if isinstance(loss, str):
        if loss not in LOSS_NAMES:
            expected = f"a criterion such as torch.nn.MSELoss(), or one of {sorted(LOSS_NAMES)}"
            raise InputError("loss", shown(loss), expected, "choose one of these")
        return f"our {loss} loss", Kind(loss, 1.0, loss == "cross_entropy", _same), "sum"
    torch, name = needed_torch(), type(loss).__name__
    expected = f"one of {', '.join(KINDS)}, or of {sorted(LOSS_NAMES)}"
    remedy = "train and certify with one of these"
    if name not in KINDS or type(loss) is not getattr(torch.nn, name):
        raise InputError("loss", shown(loss), expected, remedy)
    if loss.reduction not in ("mean", "sum"):
        raise InputError(f"reduction of {name}", shown(loss.reduction), "'mean' or 'sum'", "choose one of these")
    if getattr(loss, "label_smoothing", 0.0):
        got = f"label_smoothing={loss.label_smoothing}"
        raise InputError(name, got, "0: smoothed labels have no counterpart", "leave label_smoothing out")
    if name != "CrossEntropyLoss":
        for option in ("weight", "pos_weight"):
            if getattr(loss, option, None) is not None:
                raise InputError(name, f"a {option}", "none", "use zg.train or zg.certify with sample_weight")
    return name, KINDS[name], loss.reduction


def table(y: Array, outputs: int | None, loss: str, criterion: Any) -> Array:
    """Targets (n,) of one output or (n, C); classes one-hot."""
    if loss == "cross_entropy":
        return _classes(y, outputs, getattr(criterion, "ignore_index", None))
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    count = 1 if y.ndim == 1 else y.shape[1]
    if y.ndim > 2 or (outputs is not None and count != outputs):
        shape = "(n,), or (n, C)" if outputs is None else "(n,)" if outputs == 1 else f"(n, {outputs}), as the outputs"
        raise InputError("y", f"shape {y.shape}", f"shape {shape}", "reshape the targets")
    return y


def _classes(y: Array, outputs: int | None, ignored: int | None) -> Array:
    if outputs == 1:
        expected = "two or more outputs for cross-entropy"
        raise InputError("model", "one output", expected, "use BCEWithLogitsLoss, or one output for each class")
    if ignored is not None and y.ndim == 1 and np.any(y == ignored):
        got = f"{int(np.sum(y == ignored))} samples with ignore_index {ignored}"
        raise InputError("y", got, "none: they count in no objective of ours", "leave these samples out")
    rows = checked_targets(y, len(y), "cross_entropy")
    count = rows.shape[1] if outputs is None else outputs
    if rows.shape[1] > count or (y.ndim == 2 and 1 < y.shape[1] != count):
        got = f"class {rows.shape[1] - 1}" if y.ndim == 1 else f"shape {y.shape}"
        raise InputError(
            "y", got, f"{count} classes, one for each output", "check that y and the model belong together"
        )
    return np.pad(rows, [(0, 0), (0, count - rows.shape[1])])


def class_weights(weights: Any, targets: Array) -> Array:
    """The weights of samples that those of their classes are."""
    each = finite_array("weight of CrossEntropyLoss", weights)
    if each.shape != targets.shape[1:] or np.any(each < 0.0):
        expected = f"{targets.shape[1]} non-negative weights"
        raise InputError("weight of CrossEntropyLoss", shown(each.tolist()), expected, "pass one for each class")
    found = np.asarray(targets @ each)
    if not found.any():
        expected = "a positive weight for one of the classes of y"
        raise InputError("weight of CrossEntropyLoss", shown(each.tolist()), expected, "give it a larger one")
    return found
