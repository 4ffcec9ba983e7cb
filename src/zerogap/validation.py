"""Checks of what users pass in: every failure says what, got, expected and remedy."""

from __future__ import annotations

import numbers
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError

Array = NDArray[np.float64]

LARGEST = 1e100
"""Larger magnitudes could overflow when they are squared and summed."""


def finite_array(name: str, value: Any, remedy: str = "pass an array of numbers", *, largest: float = LARGEST) -> Array:
    """A float64 copy of a real, finite, non-empty array.

    Raises
    ------
    InputError
        Strings, objects, complex numbers, NaN, infinities, magnitudes above `largest`, or no entries.
    """
    value = _without_gradient(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(name, "a ragged sequence", "an array of real numbers", remedy) from error
    if array.dtype.kind == "O":
        # Data frames with mixed but numeric columns arrive as objects.
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(name, "dtype object", "real numbers", remedy) from error
    if array.dtype.kind not in "biuf":
        raise InputError(name, f"dtype {array.dtype}", "real numbers", remedy)
    if array.size == 0:
        raise InputError(name, f"an empty array of shape {array.shape}", "at least one sample and one feature", remedy)
    with np.errstate(over="ignore"):
        array = np.array(array, dtype=np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            name, f"{array[where]} at index {where}", "finite numbers", "drop or impute these entries first"
        )
    peak = float(np.abs(array).max())
    if peak > largest:
        raise InputError(name, f"an entry of magnitude {peak:.3g}", f"at most {largest:g}", "rescale the data")
    return array


def _without_gradient(name: str, value: Any) -> Any:
    """A tensor of torch as an array; anything else as it is."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    if value.is_meta:
        raise InputError(name, "a tensor on the meta device", "numbers", "put data into it")
    value = value.detach().cpu()
    value = value if value.layout is torch.strided else value.to_dense()
    # NumPy lacks some of torch's short types.
    return (value.to(torch.float64) if value.is_floating_point() else value).numpy()


def targets(y: Any, samples: int) -> Array:
    """The targets (n,), checked against the number of samples; a column (n, 1) is flattened."""
    array = finite_array("y", y, "encode labels as numbers, for example -1 and +1")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError("y", f"shape {array.shape}", "one target per sample, shape (n,)", "pass one column at a time")
    if array.shape[0] != samples:
        raise InputError(
            "y",
            f"{array.shape[0]} targets",
            f"{samples}, one for each sample of X",
            "check that X and y belong together",
        )
    return array


def sample_weights(weights: Any, samples: int) -> Array:
    """Non-negative weights (n,), not all zero; None means ones."""
    if weights is None:
        return np.ones(samples)
    array = finite_array("sample_weight", weights)
    if array.shape != (samples,):
        raise InputError("sample_weight", f"shape {array.shape}", f"shape ({samples},)", "pass one weight per sample")
    if np.any(array < 0.0) or not np.any(array > 0.0):
        raise InputError(
            "sample_weight",
            f"values from {array.min():g} to {array.max():g}",
            "non-negative, not all zero",
            "mend the weights",
        )
    return array


def real_between(name: str, value: Any, low: float, high: float) -> float:
    """A real number with low <= value < high."""
    number = _float(value)
    if not low <= number < high:
        raise InputError(name, shown(value), f"a number in [{low:g}, {high:g})", f"pass for example {name}={low:g}")
    return number


def positive(name: str, value: Any, *, infinite: bool = False, zero: bool = False) -> float:
    """A real number above zero (or at least zero)."""
    bound = ">= 0" if zero else "> 0"
    expected = f"a {'' if infinite else 'finite '}number {bound}"
    number = _float(value)
    if not (number >= 0.0 if zero else number > 0.0) or (number == np.inf and not infinite):
        raise InputError(name, shown(value), expected, f"pass for example {name}={'1e-3' if name == 'tol' else '1.0'}")
    return number


def finite(name: str, value: Any) -> float:
    """A finite real number."""
    number = _float(value)
    if not np.isfinite(number):
        raise InputError(name, shown(value), "a finite number", f"pass for example {name}=1.0")
    return number


def integer(name: str, value: Any, *, least: int) -> int:
    """An integer from `least` on; booleans and whole floats are none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(name, shown(value), f"an integer >= {least}", f"pass for example {name}={max(least, 1)}")
    return int(value)


def file_path(name: str, value: Any) -> Path:
    """A path from text or a path object."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise InputError(name, shown(value), "text or a path", "pass for example 'network.safetensors'")
    return Path(value)


def shown(value: Any) -> str:
    """A value for a message: its representation, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _float(value: Any) -> float:
    """A real number as a float; NaN for anything else, and for what no float can hold."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def generator(random_state: Any) -> np.random.Generator:
    """A NumPy generator from a seed, a generator, or None (entropy from the system)."""
    if random_state is None or isinstance(random_state, np.random.Generator):
        return np.random.default_rng(random_state)
    return np.random.default_rng(integer("random_state", random_state, least=0))


def one_of(name: str, value: Any, options: tuple[Any, ...]) -> Any:
    """One of a few values, compared with their types so that 1 is not True."""
    for option in options:
        if type(value) is type(option) and value == option:
            return option
    raise InputError(name, shown(value), f"one of {list(options)}", "choose one of these")


def seconds_of(name: str, value: Any) -> float:
    """The seconds that an effort stands for: True is no limit, False none.

    Raises
    ------
    InputError
        If it is neither a bool nor a number of seconds.
    """
    if isinstance(value, (bool, np.bool_)):
        return np.inf if value else 0.0
    return positive(name, value, infinite=True, zero=True)
