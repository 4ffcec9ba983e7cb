"""Solvers of the cell program; each is an iterable of ``Iterate``."""

from __future__ import annotations

from collections.abc import Iterable

from zerogap.errors import InputError
from zerogap.program import Program
from zerogap.solvers.iterate import Iterate

__all__ = ["SOLVERS", "Iterate", "make_solver"]

SOLVERS = ("interior_point", "clarabel")


def make_solver(name: str, program: Program, *, tol: float, max_time: float) -> Iterable[Iterate]:
    """The solver of that name, ready to iterate."""
    if name == "interior_point":
        from zerogap.solvers.interior_point import InteriorPoint

        return InteriorPoint(program)
    if name == "clarabel":
        from zerogap.solvers.conic import Conic

        return Conic(program, tol=tol, max_time=max_time)
    raise InputError("solver", repr(name), f"one of {list(SOLVERS)}", "choose one of these names")
