"""``zerogap fit``: train a network on a part of the data, certify it, and judge it on the rest."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from zerogap import clock
from zerogap.commands.architecture import (
    Arch,
    Architectures,
    Bias,
    ConePenalty,
    Depth,
    Dilation,
    Gated,
    Intercept,
    KernelSize,
    Normalisation,
    Padding,
    Pooling,
    Readout,
    Slope,
    Stride,
    Tied,
    Window,
    chosen_architecture,
)
from zerogap.commands.options import Data, Json, Loss, Prove, Target, cells_of
from zerogap.data import Dataset, load_dataset
from zerogap.data.encoding import default_loss, encoded_targets, network_inputs
from zerogap.files import make_folder
from zerogap.model import Model
from zerogap.network import Network
from zerogap.report.console import Progress, console, show
from zerogap.report.folder import write_folder, write_json
from zerogap.report.scores import Predictions
from zerogap.report.summary import Comparison, Summary
from zerogap.training.baselines import train_by_gradient
from zerogap.training.train import train
from zerogap.validation import generator, one_of, positive, seconds_of

Compare = StrEnum("Compare", ["none", "adam", "lbfgs", "sgd"])
Solver = StrEnum("Solver", ["interior_point", "clarabel"])


def fit(
    data: Data,
    arch: Architectures = Arch.mlp,
    beta: Annotated[float, typer.Option(help="Weight decay, > 0.")] = 1.0,
    loss: Loss = None,
    kernel_size: KernelSize = None,
    stride: Stride = None,
    padding: Padding = None,
    dilation: Dilation = None,
    pooling: Pooling = None,
    window: Window = None,
    readout: Readout = None,
    slope: Slope = None,
    depth: Depth = None,
    normalisation: Normalisation = None,
    tied: Tied = None,
    bias: Bias = None,
    intercept: Intercept = None,
    gated: Gated = None,
    cone_penalty: ConePenalty = None,
    cells: Annotated[
        str | None,
        typer.Option(
            help="'generate' (all neurons, found as needed), 'enumerate' (all cells, tiny problems), or a number of "
            "sampled cells. Default: 'generate', and 200 for gated networks."
        ),
    ] = None,
    prove: Prove = 30.0,
    tol: Annotated[float, typer.Option(help="Relative duality gap asked for.")] = 1e-4,
    max_time: Annotated[float, typer.Option(help="Seconds for the network; inf for no limit.")] = 60.0,
    solver: Annotated[Solver, typer.Option(help="Structured solver or conic reference.")] = Solver.interior_point,
    test_size: Annotated[float, typer.Option(help="Share of samples kept for testing, in [0, 1).")] = 0.25,
    seed: Annotated[int, typer.Option(help="Of the split and of the sampled cells.")] = 0,
    standardise: Annotated[bool, typer.Option(help="Centre and scale the columns of tables; images stay.")] = True,
    target: Target = None,
    compare: Annotated[Compare, typer.Option(help="Also train the same network by gradients.")] = Compare.none,
    compare_width: Annotated[int, typer.Option(help="Its width.")] = 100,
    out: Annotated[
        Path | None, typer.Option(help="Folder for model, network, certificate, history and pictures.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Train a network and certify it.

    Exit codes: 0 if a gap of at most --tol was proved, 1 if not, 2 for bad input.
    """
    architecture = chosen_architecture(
        arch,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        pooling=pooling,
        window=window,
        readout=readout,
        slope=slope,
        depth=depth,
        normalisation=normalisation,
        tied=tied,
        bias=bias,
        intercept=intercept,
        gated=gated,
        cone_penalty=cone_penalty,
    )
    positive("beta", beta)
    positive("tol", tol)
    positive("max_time", max_time, infinite=True)
    seconds_of("prove", prove)
    generator(seed)
    arrangements = cells_of(cells or ("200" if architecture.gated else "generate"))
    if isinstance(arrangements, str):
        one_of("arrangements", arrangements, ("generate", "enumerate"))
    everything = load_dataset(data, target=target)
    training, testing = everything.split(test_size, seed)
    scaling = training.scaling() if standardise and training.X.ndim == 2 else None
    if scaling is not None:
        scaled = training.standardise(*(() if testing is None else (testing,)))
        training, testing = scaled[0], None if testing is None else scaled[1]
    chosen = default_loss(training) if loss is None else loss.value
    X, y = network_inputs(training, architecture.flat), encoded_targets(training, chosen)
    arguments: dict[str, Any] = {"loss": chosen, "beta": beta}
    # Find out before the work that its results could not be written.
    for folder in (out, None if json_file is None else json_file.parent):
        if folder is not None:
            make_folder(folder)
    tested = 0 if testing is None else len(testing)
    kinds = f" in {len(training.classes)} classes" if training.classes else ""
    console.print(
        f"[bold]{escape(everything.name)}[/bold]: {len(training)} training and {tested} test "
        f"samples of shape {training.X.shape[1:]}{kinds}; {architecture!r}, {chosen} loss, beta {beta:g}"
    )
    started, compiled = clock.now(), clock.compiling()
    with Progress() as progress:
        result = train(
            architecture,
            X,
            y,
            **arguments,
            arrangements=arrangements,
            tol=tol,
            max_time=max_time,
            prove=prove,
            random_state=seed,
            solver=solver.value,
            callback=progress,
        )
    seconds = clock.now() - started
    if (compiling := clock.compiling() - compiled) >= 1.0:
        console.print(f"compiling took {compiling:.0f} s, once on this machine, and is not counted")
    comparison = None
    if compare is not Compare.none:
        started = clock.now()
        descended = train_by_gradient(
            architecture, X, y, **arguments, width=compare_width, method=compare.value, random_state=seed
        )
        took = clock.now() - started
        objective, judged = descended.objective(X, y, **arguments), _predictions(descended, training, testing)
        comparison = Comparison(compare.value, objective, compare_width, *judged, took)
    summary = Summary(result, *_predictions(result.network, training, testing), seconds, comparison)
    show(summary)
    if json_file is not None:
        write_json(json_file, summary.to_dict())
    if out is not None:
        classes, shape = training.classes or (), training.X.shape[1:]
        about: dict[str, Any] = {"task": "classes" if classes else "regression", "classes": classes, "shape": shape}
        model = Model(result.network, certificate=result.certificate, inputs=scaling, **arguments, **about)
        write_folder(out, summary, model)
    raise typer.Exit(0 if result.status.success else 1)


def _predictions(
    network: Network, training: Dataset, testing: Dataset | None
) -> tuple[Predictions, Predictions | None]:
    tested = None if testing is None else Predictions.of(network, testing, "test")
    return Predictions.of(network, training, "training"), tested
