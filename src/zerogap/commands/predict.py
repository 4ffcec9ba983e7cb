"""``zerogap predict``: what a model file says about raw data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zerogap.commands.options import Data, ModelFile, Target
from zerogap.data import load_inputs
from zerogap.errors import InputError
from zerogap.files import make_folder
from zerogap.model import Model
from zerogap.report.console import console, plain
from zerogap.report.predictions import Predicted, checked_suffix


def predict(
    model: ModelFile,
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Write all predictions: .csv, .npy or .npz.")] = None,
    target: Target = None,
) -> None:
    """Predict for raw data, with or without targets: no scaling is needed.

    A table of exactly as many columns as the model takes is inputs alone, unless --target names one of them; otherwise
    its target column is left out of the inputs, as in 'fit'.
    """
    if out is not None:
        checked_suffix(out)
        make_folder(out.parent)
    loaded = Model.load(model)
    raw = load_inputs(data, features=loaded.entries, target=target, task="classification" if loaded.classes else None)
    predicted = Predicted.of(loaded, raw)
    if out is not None:
        predicted.write(out)
        console.print(f"{len(raw.X)} predictions for {plain(raw.name)} written to {plain(str(out))}")
    else:
        console.print(predicted.table())
        if hidden := predicted.hidden():
            console.print(f"{hidden}: --out FILE writes all")
    try:
        score = predicted.score()
    except InputError as error:
        console.print(f"[yellow]not scored:[/yellow] {plain(str(error))}")
        return
    if score is not None:
        console.print(f"{score[0]} {score[1]:.4f} on {len(raw.X)} samples")
