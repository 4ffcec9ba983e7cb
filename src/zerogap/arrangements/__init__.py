"""Arrangements of hyperplanes: sample, enumerate, count and centre their cells."""

from zerogap.arrangements.cells import Cells
from zerogap.arrangements.centres import analytic_centres, interior_point
from zerogap.arrangements.count import count_bound, count_cells
from zerogap.arrangements.enumeration import enumerate_cells
from zerogap.arrangements.sampling import cells_of_gates, sample_cells

__all__ = [
    "Cells",
    "analytic_centres",
    "cells_of_gates",
    "count_bound",
    "count_cells",
    "enumerate_cells",
    "interior_point",
    "sample_cells",
]
