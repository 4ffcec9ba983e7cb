"""Architectures: one file per family."""

from typing import Any

from zerogap.architectures.base import Architecture, Neurons, TwoLayer
from zerogap.architectures.circular import CircularCNN
from zerogap.architectures.cnn import CNN
from zerogap.architectures.linear import LinearCNN
from zerogap.architectures.mlp import MLP
from zerogap.architectures.three_layer import ThreeLayerCNN
from zerogap.errors import InputError
from zerogap.validation import shown

__all__ = [
    "ARCHITECTURES",
    "CNN",
    "MLP",
    "Architecture",
    "CircularCNN",
    "LinearCNN",
    "Neurons",
    "ThreeLayerCNN",
    "TwoLayer",
    "from_config",
]

ARCHITECTURES: dict[str, type[Architecture]] = {
    kind.__name__: kind for kind in (MLP, CNN, LinearCNN, CircularCNN, ThreeLayerCNN)
}


def from_config(config: Any) -> Architecture:
    """The architecture that ``Architecture.config`` describes.

    Raises
    ------
    InputError
        Unknown kind or options.
    """
    options = dict(config) if isinstance(config, dict) else {}
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise InputError("architecture", shown(kind), f"one of {sorted(ARCHITECTURES)}", "check the file")
    try:
        return ARCHITECTURES[kind](**options)
    except TypeError as error:
        raise InputError(f"options of {kind}", repr(sorted(options)), "those of its constructor", str(error)) from error
