"""``zerogap datasets``: the data sets that have a name."""

from __future__ import annotations

from rich.table import Table

from zerogap.data import NAMED_SETS
from zerogap.report.console import console


def datasets() -> None:
    """List the named data sets."""
    table = Table("name", "what it is", box=None)
    for name, description in NAMED_SETS.items():
        table.add_row(name, description)
    console.print(table)
