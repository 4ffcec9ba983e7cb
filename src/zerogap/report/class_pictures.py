"""Pictures of what a network takes for what, by matplotlib (extra ``plots``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.report.pictures import new_figure, write_figure
from zerogap.report.scores import Predictions

SHOWN = 24
"""Images in the picture of the mistakes."""
COUNTED, LABELLED = 20, 60
"""Up to so many classes the confusion matrix shows counts, and names."""


def confusion_picture(predictions: Predictions, path: Path) -> None:
    """The confusion matrix: counts, on a shade that says which share of its true class they are.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    DataFileError
        If the file cannot be written.
    """
    counts, classes = predictions.confusion, len(predictions.classes)
    size = 2.0 + min(0.45 * classes, 8.0)
    figure = new_figure(size, size)
    axis = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    if classes <= LABELLED:
        names = predictions.short_names()
        style = {"fontsize": 8 if classes <= COUNTED else 5, "parse_math": False}
        axis.set_xticks(range(classes), names, rotation=90 if max(map(len, names)) > 3 else 0, **style)
        axis.set_yticks(range(classes), names, **style)
    if classes <= COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    title = f"{predictions.part} set, accuracy {predictions.score:.3f}"
    axis.set_title(title, fontsize=9)
    axis.set(xlabel="predicted", ylabel="true")
    write_figure(figure, path)


def mistakes_picture(predictions: Predictions, path: Path) -> None:
    """The images that the network gets wrong, the most confident mistakes first; at least one.

    Raises
    ------
    MissingExtraError, DataFileError
        As in ``confusion_picture``.
    """
    mistakes = predictions.mistakes
    shown = mistakes[:SHOWN]
    columns = min(8, max(shown.size, 4))
    rows = -(-shown.size // columns)
    figure = new_figure(1.2 * columns, 1.55 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis in axes:
        axis.set_axis_off()
    names = predictions.short_names(14)
    for axis, image, sample in zip(axes, _pixels(predictions.data.X, shown), shown, strict=False):
        axis.imshow(image, cmap="gray", vmin=0.0, vmax=1.0)
        true, said = names[predictions.true[sample]], names[predictions.predicted[sample]]
        axis.set_title(f"is {true},\nsaid {said}", fontsize=7, parse_math=False)
    more = f"; the most confident {shown.size}" if mistakes.size > shown.size else ""
    title = f"{mistakes.size} of {len(predictions.data)} {predictions.part} images wrong{more}"
    figure.suptitle(title, fontsize=8)
    write_figure(figure, path)


def _pixels(X: NDArray[np.float64], shown: NDArray[np.intp]) -> Any:
    """Some images in [0, 1], (h, w) or (h, w, 3); other numbers of channels are averaged."""
    low, high = min(float(X.min()), 0.0), float(X.max())
    images = (X[shown] - low) / (high - low) if high > low else X[shown] - low
    return images if images.ndim == 3 or images.shape[-1] == 3 else images.mean(axis=-1)
