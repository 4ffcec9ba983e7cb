"""``zerogap certify``: how far the network of a file is from the optimum on given data."""

from __future__ import annotations

from typing import Annotated

import typer

from zerogap.certification import certify as certified
from zerogap.commands.options import Data, Json, Loss, ModelFile, Target, cells_of
from zerogap.data import load_inputs
from zerogap.matching import labelled, scaled_targets, several_targets, training_targets
from zerogap.model import Model
from zerogap.report.claims import compared
from zerogap.report.console import console, plain
from zerogap.validation import positive


def certify(
    model: ModelFile,
    data: Data,
    beta: Annotated[
        float | None, typer.Option(help="Weight decay, > 0. Default: the model's, or 1 for a network.")
    ] = None,
    loss: Loss = None,
    cells: Annotated[str | None, typer.Option(help="As in 'fit'; default all cells if they are few.")] = None,
    prove: Annotated[float, typer.Option(help="Seconds for a better bound, and as many again for a proof.")] = 30.0,
    tol: Annotated[float, typer.Option(help="Relative gap for exit code 0.")] = 1e-3,
    test_size: Annotated[float, typer.Option(help="Leave out what 'fit' with this share and seed tests on.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the split and of the sampled cells.")] = 0,
    target: Target = None,
    json_file: Json = None,
) -> None:
    """How far a saved network is from the optimum.

    A model takes raw data and scales them itself; its classes are found by name, and loss and beta are those of its
    training unless given. A network takes data as they are. Exit codes: 0 if a gap of at most --tol was proved, 1 if
    not, 2 for bad input.
    """
    tol = positive("tol", tol)
    loaded = Model.load(model)
    raw = load_inputs(data, features=loaded.entries, target=target, task="classification" if loaded.classes else None)
    likely = "squared" if loaded.network.targets is None else "cross_entropy"
    asked = loaded.loss or likely if loss is None else loss.value
    X, y = raw.X, several_targets(loaded, raw)
    if y is None:
        part, _ = labelled(loaded, raw).split(test_size, seed)
        X, y = part.X, training_targets(loaded, part, asked)
    else:
        y = scaled_targets(loaded, y)
    certificate = certified(
        loaded.network,
        loaded.scaled(X),
        y,
        loss=asked,
        beta=(loaded.beta or 1.0) if beta is None else beta,
        arrangements=None if cells is None else cells_of(cells),
        prove=prove,
        tol=min(tol, 1e-4),
        random_state=seed,
    )
    console.print(plain(f"{certificate}."))
    if loaded.certificate is not None:
        console.print(plain(compared(loaded.certificate, certificate)))
    if json_file is not None:
        certificate.save(json_file)
    met = certificate.proved and certificate.gap <= tol
    if not met:
        known = f"the gap {certificate.gap:.1e} (scope {certificate.scope}, proof {certificate.proof}) is not"
        known = known if certificate.proved else "no gap was proved, let alone one"
        console.print(f"exit code 1: {known} within the tolerance {tol:g} (--tol)")
    raise typer.Exit(0 if met else 1)
