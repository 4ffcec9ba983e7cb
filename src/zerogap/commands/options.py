"""Arguments and options that commands share, each with its help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

LossName = StrEnum("LossName", ["squared", "logistic", "hinge", "cross_entropy"])

Data = Annotated[
    str, typer.Argument(help="A named set (see 'zerogap datasets'), .npz, .npy, .csv, or an image folder.")
]
ModelFile = Annotated[
    Path, typer.Argument(help="A model or network: written by 'zerogap fit --out', Model.save or Network.save.")
]
Loss = Annotated[
    LossName | None,
    typer.Option(
        help="Sums over samples, squared with 1/2. Default: squared for numbers and two classes, cross_entropy for "
        "more. For more than two classes, squared fits one-hot targets and logistic one class against the rest."
    ),
]
Prove = Annotated[float, typer.Option(help="Seconds for branch and bound, to turn an estimate into a proof.")]
Target = Annotated[str | None, typer.Option(help="Target column of a .csv; default the last.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the certificate, with the scores, to this file.")]


def cells_of(text: str) -> int | str:
    """The argument ``arrangements`` of ``zg.train`` that an option stands for."""
    return int(text) if text.lstrip("-").isdigit() else text
