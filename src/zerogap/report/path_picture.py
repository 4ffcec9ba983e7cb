"""A picture of a path: objective and bounds, width, and validation loss along beta."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import numpy as np

from zerogap.report.pictures import new_figure, write_figure

if TYPE_CHECKING:
    from zerogap.regularisation_path import Path


def path_picture(path: Path, file: FilePath) -> None:
    """Draw it. Raises MissingExtraError without matplotlib, DataFileError if the file cannot be written."""
    losses = path.validation
    panels = 2 if losses is None else 3
    figure = new_figure(3.6 * panels, 3.2)
    axes = figure.subplots(1, panels)
    bounds = np.where(path.bounds > 0.0, path.bounds, np.nan)
    axes[0].plot(path.betas, path.objectives, label="objective of the network", marker=".")
    axes[0].plot(path.betas, bounds, label="proved lower bound", marker=".")
    if np.isfinite(path.estimates).any():
        axes[0].plot(path.betas, path.estimates, label="bound that search suggests", linestyle=":", color="0.4")
    axes[0].set(yscale="log")
    axes[0].legend(frameon=False)
    axes[1].plot(path.betas, path.widths, marker=".", color="C2")
    axes[1].set(title="neurons")
    if losses is not None:
        best = path.best
        axes[2].plot(path.betas, losses, marker=".", color="C3")
        axes[2].axvline(best.beta, color="0.7", linewidth=0.8, zorder=0)
        axes[2].set(title=f"validation loss, least at beta {best.beta:.3g}")
    for axis in axes:
        axis.set(xscale="log", xlabel="beta")
    write_figure(figure, file)
