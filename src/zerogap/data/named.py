"""Data sets with a name: those that scikit-learn ships, a part of Fashion-MNIST, and planted networks.

Nothing is downloaded. A name may be followed by a colon and a choice: ``digits:3,8`` has these two classes in this
order, and
``planted:n=200,d=4`` sets the sizes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from zerogap.data.labels import class_choice
from zerogap.data.planted import parse_planted
from zerogap.data.raw import RawData
from zerogap.errors import InputError

NAMED_SETS: dict[str, str] = {
    "digits": "1797 images of 8 x 8 pixels, divided by 16; classes 0 to 9; choose some by digits:3,8",
    "breast_cancer": "569 samples of 30 features; classes malignant, benign",
    "diabetes": "442 samples of 10 features, centred and of norm 1 as scikit-learn ships them; regression",
    "fashion": "3000 images of 14 x 14 pixels, divided by 255: 300 of each class of Fashion-MNIST, shrunk; classes "
    "t-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, boot; choose some by fashion:shirt,coat",
    "iris": "150 samples of 4 features; classes setosa, versicolor, virginica; choose some by iris:setosa,virginica",
    "planted": "a hidden network on Gaussian inputs; planted:n=100,d=5,neurons=10,noise=0.1,seed=0; regression",
    "wine": "178 samples of 13 features; classes class_0, class_1, class_2; choose some by wine:class_0,class_2",
}
"""Each name with what it holds."""

FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


def is_named(source: str) -> bool:
    """Whether this text begins with the name of a set."""
    return source.partition(":")[0] in NAMED_SETS


def read_named(source: str) -> tuple[RawData, tuple[str, ...] | None]:
    """The named set, and the classes that are chosen after the colon.

    Raises
    ------
    InputError
        A choice that the set does not have.
    """
    name, colon, choice = source.partition(":")
    if name == "planted":
        data = parse_planted(choice)
        return RawData(data.name, data.X, data.y, task="regression"), None
    if name == "diabetes":
        if colon:
            raise InputError("data set", repr(source), "'diabetes', which has nothing to choose", "leave out the colon")
        bunch = _shipped(name)
        return RawData(name, bunch.data, bunch.target, task="regression"), None
    chosen = class_choice([part.strip() for part in choice.split(",")]) if colon else None
    if name == "fashion":
        with np.load(Path(__file__).with_name("fashion_mnist.npz")) as archive:
            images, labels = archive["X"] / 255.0, archive["y"]
        return RawData(name, images, np.array(FASHION)[labels], FASHION), chosen
    bunch = _shipped(name)
    order = tuple(str(label) for label in bunch.target_names)
    X = bunch.images / 16.0 if name == "digits" else bunch.data
    return RawData(name, X, np.array(order)[bunch.target], order), chosen


def _shipped(name: str) -> Any:
    # Imported here because scikit-learn takes longer to import than the rest of the package.
    return getattr(import_module("sklearn.datasets"), f"load_{name}")()
