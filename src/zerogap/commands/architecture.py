"""The options that choose an architecture, and the architecture that they choose."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any

import typer

from zerogap.architectures import CNN, MLP, Architecture, CircularCNN, LinearCNN, ThreeLayerCNN
from zerogap.errors import InputError

Arch = StrEnum("Arch", ["mlp", "cnn", "linear-cnn", "circular-cnn", "three-layer-cnn"])
BiasName = StrEnum("BiasName", ["true", "false", "free"])
PoolingName = StrEnum("PoolingName", ["sum", "average", "max", "none"])
ReadoutName = StrEnum("ReadoutName", ["weights", "sum"])

Architectures = Annotated[Arch, typer.Option(help="Fully connected or convolutional.")]
KernelSize = Annotated[int | None, typer.Option(help="Filter size of a CNN.")]
Stride = Annotated[int | None, typer.Option(help="Stride of a CNN.")]
Padding = Annotated[int | None, typer.Option(help="Zero padding of a CNN.")]
Dilation = Annotated[int | None, typer.Option(help="Dilation of a CNN.")]
Pooling = Annotated[PoolingName | None, typer.Option(help="Over all positions, or over each window.")]
Window = Annotated[int | None, typer.Option(help="Pool over windows of this size.")]
Readout = Annotated[ReadoutName | None, typer.Option(help="A weight for every window, or one for their sum.")]
Slope = Annotated[float | None, typer.Option(help="Of leaky ReLU for negative values.")]
Depth = Annotated[int | None, typer.Option(help="Layers of a circular CNN.")]
Normalisation = Annotated[str | None, typer.Option(help="Of the filters of a deep circular CNN.")]
Tied = Annotated[bool | None, typer.Option("--tied", help="One filter for all positions of three layers.")]
Bias = Annotated[BiasName | None, typer.Option(help="Penalised, absent, or unpenalised bias.")]
Intercept = Annotated[bool | None, typer.Option("--intercept", help="A free constant at the output.")]
Gated = Annotated[bool | None, typer.Option("--gated", help="Train a gated network.")]
ConePenalty = Annotated[float | None, typer.Option(help="Price of contradicting the gates (gated networks).")]

KINDS: dict[str, Any] = {
    "mlp": MLP,
    "cnn": CNN,
    "linear-cnn": LinearCNN,
    "circular-cnn": CircularCNN,
    "three-layer-cnn": ThreeLayerCNN,
}
BIASES = {"true": True, "false": False, "free": "free"}


def chosen_architecture(arch: Arch, *, bias: BiasName | None, **options: Any) -> Architecture:
    """The architecture of that name with the options that were given; raises InputError for one it does not have."""
    kind = KINDS[arch.value]
    given = {name: str(value) if isinstance(value, StrEnum) else value for name, value in options.items()}
    given["bias"] = None if bias is None else BIASES[bias.value]
    given = {name: value for name, value in given.items() if value is not None}
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            flag = "--" + name.replace("_", "-")
            raise InputError(flag, f"given with --arch {arch}", f"one of {known}", f"leave {flag} out")
    return kind(**given)
