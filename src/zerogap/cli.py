"""The command line: ``zerogap fit``, ``zerogap certify``, ``zerogap check``, ``zerogap datasets``.

Exit codes: 0 if the gap asked for was met, 1 if not, 2 for bad usage or bad input.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zlib
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from zerogap import checker
from zerogap.architectures import CNN, MLP, Architecture, CircularCNN, LinearCNN, ThreeLayerCNN, from_config
from zerogap.certificates.certificate import Certificate
from zerogap.certification import certify
from zerogap.data import NAMED_SETS, Dataset, load_dataset
from zerogap.errors import InputError, MissingExtraError, ZerogapError
from zerogap.files import make_folder, write_atomically
from zerogap.network import Network
from zerogap.report.pictures import filters_picture, gap_picture, spectra_picture
from zerogap.report.scores import score, score_name
from zerogap.report.summary import Comparison, Summary
from zerogap.training.baselines import train_by_gradient
from zerogap.training.history import Iteration
from zerogap.training.train import Result, train

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Neural networks trained to proven global optimality."
)
console = Console()


class Arch(StrEnum):
    mlp = "mlp"
    cnn = "cnn"
    linear_cnn = "linear-cnn"
    circular_cnn = "circular-cnn"
    three_layer_cnn = "three-layer-cnn"


class Bias(StrEnum):
    true = "true"
    false = "false"
    free = "free"


class LossName(StrEnum):
    squared = "squared"
    logistic = "logistic"
    hinge = "hinge"


class Pooling(StrEnum):
    sum = "sum"
    average = "average"
    max = "max"
    none = "none"


class Readout(StrEnum):
    weights = "weights"
    sum = "sum"


class Compare(StrEnum):
    none = "none"
    adam = "adam"
    lbfgs = "lbfgs"
    sgd = "sgd"


class Solver(StrEnum):
    interior_point = "interior_point"
    clarabel = "clarabel"


Data = Annotated[
    str, typer.Argument(help="A named set (see 'zerogap datasets'), .npz, .npy, .csv, or an image folder.")
]
Beta = Annotated[float, typer.Option(help="Weight decay, > 0.")]
Loss = Annotated[LossName, typer.Option(help="Loss; sums over samples, squared with 1/2.")]
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
    loss: Loss = LossName.squared,
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
        gated=gated,
        cone_penalty=cone_penalty,
    )
    everything = load_dataset(data, target=target)
    if everything.classes is not None and len(everything.classes) != 2:
        raise InputError(
            "classes", f"{len(everything.classes)} classes", "two", f"choose two, for example {everything.name}:a,b"
        )
    # Find out before the work that its results could not be written.
    for folder in (out, None if json_file is None else json_file.parent):
        if folder is not None:
            make_folder(folder)
    training, testing = everything.split(test_size, seed)
    if standardise and training.X.ndim == 2:
        scaled = training.standardise(*(() if testing is None else (testing,)))
        training, testing = scaled[0], None if testing is None else scaled[1]
    X = _inputs(architecture, training)
    arguments: dict[str, Any] = {"loss": loss.value, "beta": beta}
    tested = 0 if testing is None else len(testing)
    console.print(
        f"[bold]{escape(everything.name)}[/bold]: {len(training)} training and {tested} test "
        f"samples of shape {training.X.shape[1:]}; {architecture!r}, {loss.value} loss, beta {beta:g}"
    )
    started = time.monotonic()
    with _Progress() as progress:
        result = train(
            architecture,
            X,
            training.y,
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
    measured = (score(result.network, training, X), _test_score(result.network, testing))
    comparison = None
    if compare is not Compare.none:
        comparison = _compare(compare.value, architecture, X, training, testing, compare_width, seed, arguments)
    summary = Summary(result, score_name(training), *measured, seconds, comparison)
    _show(summary)
    if json_file is not None:
        _write_json(json_file, summary.to_dict())
    if out is not None:
        _write_folder(out, result, summary, training)
    raise typer.Exit(0 if result.status.success else 1)


@app.command("certify")
def certify_command(
    network: Annotated[Path, typer.Argument(help="A file written by Network.save or 'zerogap fit --out'.")],
    data: Data,
    beta: Beta = 1.0,
    loss: Loss = LossName.squared,
    cells: Annotated[str | None, typer.Option(help="As in 'fit'; default all cells if they are few.")] = None,
    prove: Annotated[float, typer.Option(help="Seconds for a better bound, and as many again for a proof.")] = 30.0,
    tol: Annotated[float, typer.Option(help="Relative gap for exit code 0.")] = 1e-4,
    seed: Annotated[int, typer.Option(help="Of the sampled cells.")] = 0,
    target: Target = None,
    json_file: Json = None,
) -> None:
    """How far a saved network is from the optimum, on data that it takes as they are (no split, no scaling)."""
    loaded, everything = Network.load(network), load_dataset(data, target=target)
    certificate = certify(
        loaded,
        _inputs(loaded.architecture, everything),
        everything.y,
        loss=loss.value,
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
    X = everything.X
    if from_config(claim.architecture).flat:
        X = X.reshape(len(everything), -1)
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
        Arch.mlp: MLP,
        Arch.cnn: CNN,
        Arch.linear_cnn: LinearCNN,
        Arch.circular_cnn: CircularCNN,
        Arch.three_layer_cnn: ThreeLayerCNN,
    }[arch]
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


def _inputs(architecture: Architecture, data: Dataset) -> Any:
    """Some architectures take images flattened."""
    return data.X.reshape(len(data), -1) if architecture.flat else data.X


def _test_score(network: Network, testing: Dataset | None) -> float | None:
    return None if testing is None else score(network, testing, _inputs(network.architecture, testing))


def _compare(
    method: str,
    architecture: Architecture,
    X: Any,
    training: Dataset,
    testing: Dataset | None,
    width: int,
    seed: int,
    arguments: dict[str, Any],
) -> Comparison:
    started = time.monotonic()
    network = train_by_gradient(architecture, X, training.y, width=width, method=method, random_state=seed, **arguments)
    seconds = time.monotonic() - started
    objective = network.objective(X, training.y, **arguments)
    scores = (score(network, training, X), _test_score(network, testing))
    return Comparison({"adam": "Adam", "lbfgs": "L-BFGS", "sgd": "SGD"}[method], objective, width, *scores, seconds)


class _Progress:
    """Live gap, width and time; at most one line a second where the output is no terminal."""

    def __init__(self) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._last = -1.0

    def __enter__(self) -> _Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, record: Iteration) -> bool:
        line = (
            f"{record.time:7.1f} s  objective {record.objective:<12.6g} bound {record.bound:<12.6g} "
            f"gap {record.gap:.2e}  width {record.width}"
        )
        if self._live is not None:
            self._live.update(Text(line))
        elif record.time - self._last >= 1.0:
            self._last = record.time
            console.print(line)
        return False


def _show(summary: Summary) -> None:
    other = summary.comparison
    table = Table("", "zerogap", *([other.method] if other else []), box=None)
    for name, ours, theirs in summary.rows():
        table.add_row(name, ours, *([theirs] if other else []))
    console.print(table)
    console.print(escape(summary.sentence()))
    if not summary.result.status.success:
        console.print(f"[yellow]{summary.result.status.value}[/yellow]")


def _write_folder(out: Path, result: Result, summary: Summary, training: Dataset) -> None:
    # Whenever a run is killed, a certificate in the folder speaks of the network and the data beside it.
    (out / "certificate.json").unlink(missing_ok=True)
    result.network.save(out / "network.safetensors")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, X=_inputs(result.network.architecture, training), y=training.y)
    write_atomically(out / "training-data.npz", buffer.getvalue())
    result.certificate.save(out / "certificate.json")
    _write_json(out / "history.json", [record.to_dict() for record in result.history])
    _write_json(out / "summary.json", summary.to_dict())
    try:
        gap_picture(result.history, result.certificate, out / "gap.png")
        filters_picture(result.network, out / "filters.png", training.X.shape[1:] if training.X.ndim > 2 else None)
        if isinstance(result.network.architecture, CircularCNN):
            spectra_picture(result.network, out / "spectra.png")
    except MissingExtraError as error:
        console.print(f"[yellow]no pictures: {escape(str(error))}[/yellow]")
    console.print(f"written to {escape(str(out))}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def _write_json(path: Path, contents: Any) -> None:
    write_atomically(path, (json.dumps(contents, indent=1) + "\n").encode())


def main() -> None:
    """Entry point: turns errors about input into one message and exit code 2."""
    try:
        app()
    except ZerogapError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
