"""The command line: ``zerogap fit``, ``zerogap certify``, ``zerogap check``, ``zerogap datasets``.

Exit codes: 0 if the gap asked for was met, 1 if not, 2 for bad usage or bad input.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zerogap import checker
from zerogap.architectures import CNN, MLP, Architecture, CircularCNN, LinearCNN, ThreeLayerCNN, from_config
from zerogap.certificates.certificate import Certificate
from zerogap.certification import certify
from zerogap.data import NAMED_SETS, Dataset, load_dataset
from zerogap.data.encoding import check_outputs, default_loss, encoded_targets, network_inputs
from zerogap.errors import InputError, ZerogapError
from zerogap.files import make_folder
from zerogap.network import Network
from zerogap.report.console import Progress, console, show
from zerogap.report.folder import write_folder, write_json
from zerogap.report.scores import Predictions
from zerogap.report.summary import Comparison, Summary
from zerogap.training.baselines import train_by_gradient
from zerogap.training.train import train

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Neural networks trained to proven global optimality."
)


Arch = StrEnum("Arch", ["mlp", "cnn", "linear-cnn", "circular-cnn", "three-layer-cnn"])
Bias = StrEnum("Bias", ["true", "false", "free"])
LossName = StrEnum("LossName", ["squared", "logistic", "hinge", "cross_entropy"])
Pooling = StrEnum("Pooling", ["sum", "average", "max", "none"])
Readout = StrEnum("Readout", ["weights", "sum"])
Compare = StrEnum("Compare", ["none", "adam", "lbfgs", "sgd"])
Solver = StrEnum("Solver", ["interior_point", "clarabel"])

Data = Annotated[
    str, typer.Argument(help="A named set (see 'zerogap datasets'), .npz, .npy, .csv, or an image folder.")
]
Beta = Annotated[float, typer.Option(help="Weight decay, > 0.")]
Loss = Annotated[
    LossName | None,
    typer.Option(
        help="Sums over samples, squared with 1/2. Default: squared for numbers and two classes, cross_entropy for "
        "more. For more than two classes, squared fits one-hot targets and logistic one class against the rest."
    ),
]
Cells = Annotated[
    str | None,
    typer.Option(
        help="'generate' (all neurons, found as needed), 'enumerate' (all cells, tiny problems), or a number of "
        "sampled cells. Default: 'generate', and 200 for gated networks."
    ),
]
Prove = Annotated[float, typer.Option(help="Seconds for branch and bound, to turn an estimate into a proof.")]
Target = Annotated[str | None, typer.Option(help="Target column of a .csv; default the last.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the certificate, with the scores, to this file.")]


@app.command()
def fit(
    data: Data,
    arch: Annotated[Arch, typer.Option(help="Fully connected or convolutional.")] = Arch.mlp,
    beta: Beta = 1.0,
    loss: Loss = None,
    kernel_size: Annotated[int | None, typer.Option(help="Filter size of a CNN.")] = None,
    stride: Annotated[int | None, typer.Option(help="Stride of a CNN.")] = None,
    padding: Annotated[int | None, typer.Option(help="Zero padding of a CNN.")] = None,
    dilation: Annotated[int | None, typer.Option(help="Dilation of a CNN.")] = None,
    pooling: Annotated[Pooling | None, typer.Option(help="Over all positions, or over each window.")] = None,
    window: Annotated[int | None, typer.Option(help="Pool over windows of this size.")] = None,
    readout: Annotated[Readout | None, typer.Option(help="A weight for every window, or one for their sum.")] = None,
    slope: Annotated[float | None, typer.Option(help="Of leaky ReLU for negative values.")] = None,
    depth: Annotated[int | None, typer.Option(help="Layers of a circular CNN.")] = None,
    normalisation: Annotated[str | None, typer.Option(help="Of the filters of a deep circular CNN.")] = None,
    tied: Annotated[bool | None, typer.Option("--tied", help="One filter for all positions of three layers.")] = None,
    bias: Annotated[Bias | None, typer.Option(help="Penalised, absent, or unpenalised bias.")] = None,
    intercept: Annotated[bool | None, typer.Option("--intercept", help="A free constant at the output.")] = None,
    gated: Annotated[bool | None, typer.Option("--gated", help="Train a gated network.")] = None,
    cone_penalty: Annotated[
        float | None, typer.Option(help="Price of contradicting the gates (gated networks).")
    ] = None,
    cells: Cells = None,
    prove: Prove = 30.0,
    tol: Annotated[float, typer.Option(help="Relative duality gap asked for.")] = 1e-4,
    max_time: Annotated[float | None, typer.Option(help="Seconds for the solver.")] = None,
    solver: Annotated[Solver, typer.Option(help="Structured solver or conic reference.")] = Solver.interior_point,
    test_size: Annotated[float, typer.Option(help="Share of samples kept for testing, in [0, 1).")] = 0.25,
    seed: Annotated[int, typer.Option(help="Of the split and of the sampled cells.")] = 0,
    standardise: Annotated[bool, typer.Option(help="Centre and scale the inputs (default: tables only).")] = True,
    target: Target = None,
    compare: Annotated[Compare, typer.Option(help="Also train the same network by gradients.")] = Compare.none,
    compare_width: Annotated[int, typer.Option(help="Its width.")] = 100,
    out: Annotated[Path | None, typer.Option(help="Folder for network, certificate, history and pictures.")] = None,
    json_file: Json = None,
) -> None:
    """Train a network and certify it."""
    architecture = _architecture(
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
        bias=None if bias is None else {"true": True, "false": False, "free": "free"}[bias.value],
        intercept=intercept,
        gated=gated,
        cone_penalty=cone_penalty,
    )
    everything = load_dataset(data, target=target)
    training, testing = everything.split(test_size, seed)
    if standardise and training.X.ndim == 2:
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
    started = time.monotonic()
    with Progress() as progress:
        result = train(
            architecture,
            X,
            y,
            **arguments,
            arrangements=_cells(cells or ("200" if architecture.gated else "generate")),
            tol=tol,
            max_time=max_time,
            prove=prove,
            random_state=seed,
            solver=solver.value,
            callback=progress,
        )
    seconds = time.monotonic() - started
    comparison = None
    if compare is not Compare.none:
        started = time.monotonic()
        descended = train_by_gradient(
            architecture, X, y, **arguments, width=compare_width, method=compare.value, random_state=seed
        )
        took = time.monotonic() - started
        objective, judged = descended.objective(X, y, **arguments), _predictions(descended, training, testing)
        comparison = Comparison(compare.value, objective, compare_width, *judged, took)
    summary = Summary(result, *_predictions(result.network, training, testing), seconds, comparison)
    show(summary)
    if json_file is not None:
        write_json(json_file, summary.to_dict())
    if out is not None:
        write_folder(out, summary)
    raise typer.Exit(0 if result.status.success else 1)


@app.command("certify")
def certify_command(
    network: Annotated[Path, typer.Argument(help="A file written by Network.save or 'zerogap fit --out'.")],
    data: Data,
    beta: Beta = 1.0,
    loss: Loss = None,
    cells: Annotated[str | None, typer.Option(help="As in 'fit'; default all cells if they are few.")] = None,
    prove: Annotated[float, typer.Option(help="Seconds for a better bound, and as many again for a proof.")] = 30.0,
    tol: Annotated[float, typer.Option(help="Relative gap for exit code 0.")] = 1e-4,
    seed: Annotated[int, typer.Option(help="Of the sampled cells.")] = 0,
    target: Target = None,
    json_file: Json = None,
) -> None:
    """How far a saved network is from the optimum, on data that it takes as they are (no split, no scaling)."""
    loaded, everything = Network.load(network), load_dataset(data, target=target)
    likely = "squared" if loaded.targets is None else "cross_entropy"
    chosen = likely if loss is None else loss.value
    check_outputs(everything, chosen, loaded.targets)
    certificate = certify(
        loaded,
        network_inputs(everything, loaded.architecture.flat),
        encoded_targets(everything, chosen),
        loss=chosen,
        beta=beta,
        arrangements=None if cells is None else _cells(cells),
        prove=prove,
        random_state=seed,
    )
    console.print(escape(f"{certificate}."))
    if json_file is not None:
        certificate.save(json_file)
    raise typer.Exit(0 if certificate.proved and certificate.gap <= tol else 1)


@app.command("check")
def check_command(
    certificate: Annotated[Path, typer.Argument(help="A file written by Certificate.save or 'zerogap fit --out'.")],
    data: Data,
    target: Target = None,
) -> None:
    """Re-check a certificate on its training data (as they are: no split, no scaling), in exact arithmetic.

    The work is done by one file of the standard library, zerogap/checker.py, which also runs on its own.
    """
    claim = Certificate.load(certificate)
    if claim.evidence is None or claim.evidence.to_dict() is None:
        console.print(f"[yellow]not checked:[/yellow] no re-checkable evidence for proof {claim.proof!r}")
        raise typer.Exit(1)
    everything = load_dataset(data, target=target)
    X = network_inputs(everything, from_config(claim.architecture).flat)
    try:
        recheck: Any = checker.check
        recheck(json.loads(certificate.read_text()), X.tolist(), everything.y.tolist())
    except (ArithmeticError, LookupError, TypeError, ValueError, zlib.error) as error:
        console.print(f"[red]refused:[/red] {escape(str(error))}")
        raise typer.Exit(1) from error
    console.print(escape(f"holds: {claim}."))


@app.command()
def datasets() -> None:
    """List the named data sets."""
    table = Table("name", "what it is", box=None)
    for name, description in NAMED_SETS.items():
        table.add_row(name, description)
    console.print(table)


def _architecture(arch: Arch, **options: Any) -> Architecture:
    """The architecture of that name with the options that were given."""
    kind: Any = {
        "mlp": MLP,
        "cnn": CNN,
        "linear-cnn": LinearCNN,
        "circular-cnn": CircularCNN,
        "three-layer-cnn": ThreeLayerCNN,
    }[arch.value]
    given = {name: str(value) if isinstance(value, StrEnum) else value for name, value in options.items()}
    given = {name: value for name, value in given.items() if value is not None}
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            flag = "--" + name.replace("_", "-")
            raise InputError(flag, f"given with --arch {arch}", f"one of {known}", f"leave {flag} out")
    return kind(**given)


def _cells(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _predictions(
    network: Network, training: Dataset, testing: Dataset | None
) -> tuple[Predictions, Predictions | None]:
    tested = None if testing is None else Predictions.of(network, testing, "test")
    return Predictions.of(network, training, "training"), tested


def main() -> None:
    """Entry point: turns errors about input into one message and exit code 2."""
    try:
        app()
    except ZerogapError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
