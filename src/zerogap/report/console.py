"""What a run prints: progress, the closing table, the confusion matrix."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from zerogap.report.scores import Predictions, recalls
from zerogap.report.summary import Summary
from zerogap.training.history import Iteration

console = Console()
errors = Console(stderr=True)

MOST_CLASSES = 12
"""Confusion matrices of more classes are not printed."""


def plain(text: str) -> str:
    """Text of a stranger's file for a terminal: no markup, and control characters are spelt out."""
    return escape("".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text))


class Progress:
    """Live gap, width and time; where the output is no terminal at most a line a second, and few of equal ones."""

    def __init__(self) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._last, self._shown = -1.0, ""

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, record: Iteration) -> bool:
        values = f"objective {record.objective:<12.6g} bound {record.bound:<12.6g}"
        figures = f"{values} gap {record.gap:.2e}  width {record.width}"
        line = f"{record.time:7.1f} s  {figures}"
        if self._live is not None:
            self._live.update(Text(line))
        elif record.time - self._last >= (10.0 if figures == self._shown else 1.0):
            self._last, self._shown = record.time, figures
            console.print(line)
        return False


def show(summary: Summary) -> None:
    """Print the closing table, the confusion matrix of a few classes, and what was proved."""
    other = summary.comparison
    table = Table("", "zerogap", *([other.name] if other else []), box=None)
    for name, ours, theirs in summary.rows():
        table.add_row(name, ours, *([theirs] if other else []))
    console.print(table)
    judged = summary.judged
    if 0 < len(judged.classes) <= MOST_CLASSES:
        console.print(f"{judged.part} set, rows true and columns predicted:")
        console.print(confusion_table(judged, console.width))
    console.print(escape(summary.sentence()))
    if not summary.result.status.success:
        console.print(f"[yellow]{summary.result.status.value}[/yellow]")


def confusion_table(predictions: Predictions, width: int) -> Table:
    """Rows true, columns predicted; columns are numbered where the names do not fit into this width."""
    counts = predictions.confusion
    names = predictions.short_names()
    columns = names
    if max(map(len, names)) + sum(len(name) + 2 for name in names) + len("  recall  ") > width:
        columns = [str(number) for number in range(1, len(names) + 1)]
        names = [f"{number} {name}" for number, name in zip(columns, names, strict=True)]
    table = Table("", box=None)
    for name in (*columns, "recall"):
        table.add_column(escape(name), justify="right")
    for name, row, recall in zip(names, counts, recalls(counts), strict=True):
        table.add_row(escape(name), *map(str, row), "-" if recall is None else f"{recall:.3f}")
    return table
