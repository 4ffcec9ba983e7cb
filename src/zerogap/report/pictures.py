"""Pictures of a run, by matplotlib (extra ``plots``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zerogap.architectures import CircularCNN
from zerogap.architectures.convolution import Convolution
from zerogap.certificates.certificate import Certificate
from zerogap.errors import DataFileError, InputError, MissingExtraError
from zerogap.features.base import masses
from zerogap.files import write_atomically
from zerogap.network import Network
from zerogap.training.history import Iteration
from zerogap.validation import shown

SHOWN = 16
"""Neurons in the picture of the filters, those with the largest |u| |w| first."""


def gap_picture(history: Sequence[Iteration], certificate: Certificate, path: Path) -> None:
    """Objective and proved bound over time, and the gap between them.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    DataFileError
        If the file cannot be written.
    """
    figure = new_figure(7.0, 3.2)
    left, right = figure.subplots(1, 2)
    times = [record.time for record in history]
    bounds = [record.bound if record.bound > 0.0 else np.nan for record in history]
    left.plot(times, [record.objective for record in history], label="objective of the network", drawstyle="steps-post")
    left.plot(times, bounds, label="proved lower bound", drawstyle="steps-post", marker=".", markersize=3)
    left.axhline(certificate.objective, color="0.7", linewidth=0.8, zorder=0)
    left.set(xlabel="seconds", yscale="log", title=f"scope {certificate.scope}")
    left.legend(frameon=False)
    right.plot(times, [max(record.gap, 1e-16) for record in history], color="C3", drawstyle="steps-post")
    right.set(xlabel="seconds", yscale="log", title=f"relative gap, at the end {certificate.gap:.1e}")
    write_figure(figure, path)


def filters_picture(network: Network, path: Path, image_shape: tuple[int, ...] | None = None) -> None:
    """First-layer weights of the heaviest neurons, as images where they have that shape; titles say sign, |u| |w|.

    Parameters
    ----------
    network : Network
    path : Path
    image_shape : tuple of int, optional
        Height and width of the inputs of an MLP on flattened images.

    Raises
    ------
    MissingExtraError, DataFileError
        As in ``gap_picture``.
    """
    mass = np.linalg.norm(network.first, axis=1) * masses(network.readout)
    order = np.argsort(-mass)[:SHOWN]
    columns = max(1, min(8, order.size))
    rows = max(1, -(-order.size // columns))
    figure = new_figure(1.2 * columns, 1.35 * rows)
    axes = np.atleast_1d(figure.subplots(rows, columns)).reshape(-1)
    for axis in axes:
        axis.set_axis_off()
    for axis, neuron in zip(axes, order, strict=False):
        picture = _as_image(network, _filter(network, neuron), image_shape)
        reach = max(float(np.abs(picture).max()), 1e-300)
        axis.imshow(picture, cmap="RdBu_r", vmin=-reach, vmax=reach)
        # Several output weights have no common sign.
        signed = network.second.ndim == 1
        title = f"{np.sign(network.second[neuron]) * mass[neuron]:+.2g}" if signed else f"{mass[neuron]:.2g}"
        axis.set_title(title, fontsize=7)
    write_figure(figure, path)


def spectra_picture(network: Network, path: Path) -> None:
    """The moduli |F z| of what the heaviest neurons of a circular network convolve inputs with, by frequency.

    Raises
    ------
    InputError
        For a network that is not circular.
    MissingExtraError, DataFileError
        As in ``gap_picture``.
    """
    architecture = network.architecture
    if not isinstance(architecture, CircularCNN):
        raise InputError("network", repr(network), "one of a CircularCNN", "use filters_picture")
    mass = np.linalg.norm(network.first, axis=1) * masses(network.readout)
    order = np.argsort(-mass)[:SHOWN]
    second = network.second
    if second.ndim == 3:  # (m, d, C): of the convolutions for C outputs, the one with the largest weights
        largest = np.linalg.norm(second, axis=1).argmax(axis=1)
        second = second[np.arange(network.width), :, largest]
    kernels = architecture.kernels(network.first, second, network.filters)[order]
    moduli = np.abs(np.fft.rfft(kernels, axis=1, norm="ortho"))
    columns = max(1, min(4, order.size))
    rows = max(1, -(-order.size // columns))
    figure = new_figure(2.2 * columns, 1.35 * rows)
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, squeeze=False)).reshape(-1)
    for axis in axes[order.size :]:
        axis.set_axis_off()
    for axis, spectrum, neuron in zip(axes, moduli, order, strict=False):
        axis.bar(np.arange(spectrum.size), spectrum, color="C0")
        axis.set_yticks([])
        axis.set_title(f"{mass[neuron]:.2g}", fontsize=7)
    figure.supxlabel("frequency", fontsize=8)
    write_figure(figure, path)


def _filter(network: Network, neuron: int) -> Any:
    """The filter of a neuron; of those of several positions, the one with the largest weight."""
    if network.filters is None:
        return network.first[neuron]
    filters = network.filters[neuron]
    return filters if filters.ndim == 1 else filters[int(np.abs(network.first[neuron, : len(filters)]).argmax())]


def _as_image(network: Network, weights: Any, image_shape: tuple[int, ...] | None) -> Any:
    """Weights without the bias in two dimensions; channels are averaged."""
    values = weights if network.architecture.bias is False else weights[:-1]
    shape = image_shape
    if isinstance(network.architecture, Convolution):
        size = network.architecture.kernel_size
        shape = size if isinstance(size, tuple) else (size, size)
        if len(shape) == 1 or values.size % int(np.prod(shape)):
            shape = (shape[0],)
    if shape is None or values.size % int(np.prod(shape[:2])):
        return values[None, :]
    return values.reshape(*shape[:2], -1).mean(axis=-1) if len(shape) > 1 else values.reshape(shape[0], -1).T


def new_figure(width: float, height: float) -> Any:
    """An empty figure, sizes in inches. Raises MissingExtraError."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures", "matplotlib", "plots") from error
    return Figure(figsize=(width, height), layout="constrained")


def write_figure(figure: Any, path: Path) -> None:
    """Write it whole or not at all. Raises DataFileError."""
    kind = path.suffix[1:].lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        expected = "a suffix such as .png, .svg or .pdf"
        raise DataFileError("picture", shown(path.name), expected, "choose another name")
    write_atomically(path, lambda part: figure.savefig(part, dpi=150, format=kind))
