r"""Planted networks: inputs are Gaussian and a hidden two-layer network gives the targets.

X ~ N(0, I),  U ~ N(0, I),  w uniform on {-1, +1}^m,   y = (X U)_+ w / sqrt(m d) + noise * N(0, I)
"""

from __future__ import annotations

import math
import numbers
from difflib import get_close_matches
from typing import Any

import numpy as np

from zerogap.data.dataset import Dataset
from zerogap.errors import InputError
from zerogap.validation import positive

ENTRIES = 10**9
"""More numbers than this (8 GB) in X or in the hidden layer are refused."""

DEFAULTS: dict[str, float] = {"n": 100, "d": 5, "neurons": 10, "noise": 0.1, "seed": 0}


def planted(n: int, d: int, *, neurons: int = 10, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Regression data of a hidden network.

    Parameters
    ----------
    n, d, neurons : int, at least 1
        Samples, features and hidden neurons m.
    noise : float, at least 0
        Standard deviation of the noise on y; the noise-free targets have a variance near 1/2.
    seed : int, at least 0
        The same arguments give the same data.

    Returns
    -------
    Dataset
        X of shape (n, d), y of shape (n,); its name loads it again.

    Raises
    ------
    InputError
        An argument out of range, or more than 1e9 numbers in one array.
    """
    n, d, neurons = _whole("n", n, 1), _whole("d", d, 1), _whole("neurons", neurons, 1)
    noise, seed = positive("noise", noise, zero=True), _whole("seed", seed, 0)
    if max(n * d, n * neurons, d * neurons) > ENTRIES:
        raise InputError(
            "size of the planted data", f"n={n}, d={d}, neurons={neurons}", f"at most {ENTRIES:.0e} numbers an array",
            "choose smaller sizes",
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    U = rng.standard_normal((d, neurons))
    w = rng.choice([-1, 1], neurons)
    y = np.maximum(X @ U, 0) @ w / math.sqrt(neurons * d) + noise * rng.standard_normal(n)
    return Dataset(f"planted:n={n},d={d},neurons={neurons},noise={noise!r},seed={seed}", X, y)


def parse_planted(parameters: str) -> Dataset:
    """The planted data of a text such as ``n=100,d=5,noise=0.1``; what is left out has its default.

    Raises
    ------
    InputError
        An unknown or repeated parameter, or a value that is not a number in its range.
    """
    values: dict[str, Any] = {}
    for part in filter(None, parameters.split(",")):
        key, _, text = (piece.strip() for piece in part.partition("="))
        if key not in DEFAULTS or key in values:
            close = [] if key in values else get_close_matches(key, DEFAULTS, 1)
            raise InputError(
                "parameter of planted", f"{key!r}{' twice' if key in values else ''}",
                f"each of {', '.join(DEFAULTS)} at most once",
                f"did you mean {close[0]!r}?" if close else "write for example planted:n=100,d=5",
            )  # fmt: skip
        values[key] = _number(key, text)
    arguments = {**DEFAULTS, **values}
    return planted(arguments.pop("n"), arguments.pop("d"), **arguments)


def _number(key: str, text: str) -> int | float:
    try:
        return float(text) if key == "noise" else int(text)
    except ValueError as error:
        kind = "a number" if key == "noise" else "a whole number"
        raise InputError(
            f"parameter {key} of planted", repr(text), kind, f"write for example {key}={DEFAULTS[key]}"
        ) from error


def _whole(name: str, value: Any, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise InputError(name, repr(value), f"a whole number >= {minimum}", f"pass for example {name}={DEFAULTS[name]}")
    return int(value)
