"""The weight decay that an optimiser of torch applies to a model, read from its parameter groups."""

from __future__ import annotations

from typing import Any

from zerogap.errors import InputError

COUPLED = ("SGD", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop", "LBFGS")
"""Optimisers of torch whose weight decay, where they have one, adds lambda p to the gradient of p."""


def is_optimiser(value: Any) -> bool:
    """Whether it has groups of parameters; torch itself is not needed to tell."""
    return hasattr(value, "param_groups")


def decays_of(optimiser: Any, layers: tuple[tuple[str, Any], ...]) -> tuple[tuple[float, float], tuple[bool, bool]]:
    """The decays of the first and the last layer, and whether they act on the biases.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        Over the parameters of the model itself.
    layers : ((name, layer), (name, layer))
        The first and the last one.

    Raises
    ------
    InputError
        Decoupled decay, an optimiser of unknown kind, or biases with a decay of their own.
    """
    name = type(optimiser).__name__
    decoupled = any(group.get("decoupled_weight_decay", False) for group in optimiser.param_groups)
    if name == "AdamW" or decoupled:
        got = name if name == "AdamW" else f"{name}(decoupled_weight_decay=True)"
        expected = "coupled weight decay, as SGD and Adam have it: decoupled decay minimises no objective"
        raise InputError("weight_decay", got, expected, "state the lambda you mean, for example weight_decay=1e-3")
    if name not in COUPLED:
        expected = f"an optimiser with coupled weight decay: {', '.join(COUPLED)}"
        raise InputError("weight_decay", name, expected, "pass its lambda as a number")
    decay = {
        id(parameter): float(group.get("weight_decay", 0.0))
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    decays, biases = [], []
    for label, layer in layers:
        if id(layer.weight) not in decay:
            expected = f"one that trains the weights of layer {label!r} of this model"
            raise InputError("weight_decay", f"{name} over other parameters", expected, "pass lambda as a number")
        decays.append(decay[id(layer.weight)])
        own = decays[-1] if layer.bias is None else decay.get(id(layer.bias), 0.0)
        if own not in (0.0, decays[-1]):
            got = f"{own:g} for the bias of layer {label!r} and {decays[-1]:g} for its weights"
            raise InputError("weight_decay", got, "biases with the decay of their layer, or none", "train it so")
        biases.append(own != 0.0)
    return (decays[0], decays[1]), (biases[0], biases[1])
