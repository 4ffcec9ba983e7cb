"""``zerogap check``: repeat the proof of a saved certificate in exact arithmetic."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from zerogap import checker
from zerogap.architectures import from_config
from zerogap.certificates.certificate import Certificate
from zerogap.commands.options import Data, Target
from zerogap.data import load_dataset
from zerogap.data.encoding import network_inputs
from zerogap.errors import InputError
from zerogap.report.console import console


def check(
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
        contents = json.loads(certificate.read_text())
        if (samples := len(contents["evidence"]["owner"])) != len(everything):
            remedy = "pass the data it was made from; 'zerogap fit --out' writes them as training-data.npz"
            raise InputError(everything.name, f"{len(everything)} samples", f"{samples}, as in the certificate", remedy)
        recheck: Any = checker.check
        recheck(contents, X.tolist(), everything.y.tolist())
    except (ArithmeticError, LookupError, TypeError, ValueError, zlib.error) as error:
        console.print(f"[red]refused:[/red] {escape(str(error))}")
        raise typer.Exit(1) from error
    console.print(escape(f"holds: {claim}."))
