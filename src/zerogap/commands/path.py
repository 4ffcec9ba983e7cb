"""``zerogap path``: networks along the weight decay, judged on the samples left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from zerogap.commands.architecture import (
    Arch,
    Architectures,
    Bias,
    Dilation,
    Intercept,
    KernelSize,
    Padding,
    Pooling,
    Readout,
    Stride,
    Window,
    chosen_architecture,
)
from zerogap.commands.options import Data, Loss, Target
from zerogap.data import load_dataset
from zerogap.data.encoding import default_loss, encoded_targets, network_inputs
from zerogap.files import make_folder
from zerogap.model import Model
from zerogap.regularisation_path import COUNT, RATIO, PathPoint
from zerogap.regularisation_path import path as train_path
from zerogap.report.console import console
from zerogap.report.folder import write_json
from zerogap.rounding import text_above, text_below

COLUMNS = ("beta", "objective", "lower bound", "gap", "estimated gap", "width", "validation loss")


def path(
    data: Data,
    arch: Architectures = Arch.mlp,
    count: Annotated[int, typer.Option(help="Number of betas, in equal ratios from the critical one down.")] = COUNT,
    ratio: Annotated[float, typer.Option(help="The smallest beta as a share of the critical one.")] = RATIO,
    loss: Loss = None,
    kernel_size: KernelSize = None,
    stride: Stride = None,
    padding: Padding = None,
    dilation: Dilation = None,
    pooling: Pooling = None,
    window: Window = None,
    readout: Readout = None,
    bias: Bias = None,
    intercept: Intercept = None,
    tol: Annotated[float, typer.Option(help="Relative duality gap asked for at every beta.")] = 1e-3,
    prove: Annotated[float, typer.Option(help="Seconds for branch and bound at every beta.")] = 0.0,
    max_time: Annotated[float | None, typer.Option(help="Seconds for the path.")] = None,
    test_size: Annotated[float, typer.Option(help="Share of samples to judge by, in [0, 1).")] = 0.25,
    seed: Annotated[int, typer.Option(help="Of the split and of the search.")] = 0,
    standardise: Annotated[bool, typer.Option(help="Centre and scale the columns of tables; images stay.")] = True,
    target: Target = None,
    out: Annotated[Path | None, typer.Option(help="Folder for path.json, path.png and the best model.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Train along a falling weight decay, each network started from the one before.

    Exit code 0 if the gap asked for was met, as far as search can tell, at every beta; 1 if not.
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
        bias=bias,
        intercept=intercept,
    )
    for folder in (out, None if json_file is None else json_file.parent):
        if folder is not None:
            make_folder(folder)
    training, testing = load_dataset(data, target=target).split(test_size, seed)
    scaling = training.scaling() if standardise and training.X.ndim == 2 else None
    if scaling is not None:
        training, testing = training.scaled(scaling), None if testing is None else testing.scaled(scaling)
    chosen = default_loss(training) if loss is None else loss.value

    def arrays(part: Any) -> tuple[Any, Any]:
        return network_inputs(part, architecture.flat), encoded_targets(part, chosen)

    found = train_path(
        architecture,
        *arrays(training),
        betas=count,
        ratio=ratio,
        loss=chosen,
        tol=tol,
        prove=prove,
        max_time=max_time,
        validation=None if testing is None else arrays(testing),
        random_state=seed,
        callback=_progress,
    )
    table = Table(*COLUMNS, box=None, title=f"{escape(training.name)}: {architecture!r}, {chosen} loss")
    for point in found:
        table.add_row(*_row(point))
    console.print(table)
    figures = {"data": training.name, "architecture": architecture.config(), "loss": chosen, **found.to_dict()}
    if json_file is not None:
        write_json(json_file, figures)
    if out is not None:
        write_json(out / "path.json", figures)
        found.plot(out / "path.png")
        best = found.best if testing is not None else found.points[-1]
        classes = training.classes or ()
        Model(
            best.result.network,
            task="classes" if classes else "regression",
            loss=chosen,
            beta=best.beta,
            certificate=best.result.certificate,
            inputs=scaling,
            classes=classes,
            shape=training.X.shape[1:],
        ).save(out / "model.safetensors")
    if testing is not None:
        console.print(f"least validation loss at beta {found.best.beta:.4g}, {found.best.result.network.width} neurons")
    # Without a limit a path is only shorter where no neuron helps at any beta.
    whole = max_time is None or len(found) == count
    raise typer.Exit(0 if whole and all(_met(point, tol) for point in found) else 1)


def _progress(point: PathPoint) -> None:
    console.print(f"beta {point.beta:.4g}: width {point.result.network.width}", style="dim")


def _row(point: PathPoint) -> list[str]:
    certificate = point.result.certificate
    loss = "" if point.validation is None else f"{point.validation:.5g}"
    figures = [text_above(certificate.objective), text_below(certificate.lower_bound), f"{certificate.gap:.1e}"]
    suggested = _suggested(point)
    estimated = "" if suggested is None else f"{suggested:.1e}"
    return [f"{point.beta:.4g}", *figures, estimated, str(point.result.network.width), loss]


def _suggested(point: PathPoint) -> float | None:
    """The relative gap that search suggests; never proved."""
    certificate = point.result.certificate
    if certificate.estimate is None:
        return None
    return max(1.0 - certificate.estimate / max(certificate.objective, 1e-300), 0.0)


def _met(point: PathPoint, tol: float) -> bool:
    certificate, suggested = point.result.certificate, _suggested(point)
    return (certificate.proved and certificate.gap <= tol) or (suggested is not None and suggested <= tol)
