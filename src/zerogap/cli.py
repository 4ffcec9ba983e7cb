"""The command line: ``zerogap fit``, ``path``, ``predict``, ``certify``, ``check``, ``datasets`` and ``compile``.

Exit codes: 0 if the gap asked for was met, or if none was asked for; 1 if not; 2 for bad usage or bad input.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import zerogap
from zerogap.commands.certify import certify
from zerogap.commands.check import check
from zerogap.commands.compile import compile
from zerogap.commands.datasets import datasets
from zerogap.commands.fit import fit
from zerogap.commands.flags import in_flags
from zerogap.commands.path import path
from zerogap.commands.predict import predict
from zerogap.errors import ZerogapError
from zerogap.report.console import console, errors, plain

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Neural networks trained to proven global optimality."
)


def _version(asked: bool) -> None:
    if asked:
        console.print(f"zerogap {zerogap.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Neural networks trained to proven global optimality."""


for command in (fit, path, predict, certify, check, datasets, compile):
    app.command()(command)


def main() -> None:
    """Entry point: turns errors about input into one message and exit code 2."""
    try:
        app()
    except (ZerogapError, MemoryError) as error:
        text = str(error) or "not enough memory: use fewer samples, or a smaller network"
        errors.print(f"[red]error:[/red] {plain(in_flags(text))}", highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
