"""``zerogap compile``: compile the loops now rather than at the first call."""

from __future__ import annotations

from zerogap import clock
from zerogap.report.console import console


def compile() -> None:
    """Compile the loops now, on all cores; else the first training on a machine takes about a minute longer."""
    from zerogap.compiling import compile_loops

    console.print("compiling loops, which takes about a minute")
    started = clock.now()
    seconds = sum(compile_loops())
    console.print(f"compiled in {clock.now() - started:.0f} s" if seconds >= 1.0 else "everything was compiled already")
