"""The folder of a run: model, network, certificate, training data, history, summary and pictures.

``model.safetensors`` is for raw data and holds everything that predictions need. The other three belong together for
``zerogap certify`` and ``zerogap check``: ``training-data.npz`` has inputs as ``network.safetensors`` takes them, and
``certificate.json`` has the proof.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from zerogap.architectures import CircularCNN
from zerogap.data import Dataset
from zerogap.data.encoding import network_inputs
from zerogap.errors import MissingExtraError
from zerogap.files import write_atomically
from zerogap.model import Model
from zerogap.report.class_pictures import confusion_picture, mistakes_picture
from zerogap.report.console import console
from zerogap.report.pictures import filters_picture, gap_picture, spectra_picture
from zerogap.report.summary import Summary

PICTURES = ("gap.png", "filters.png", "spectra.png", "confusion.png", "mistakes.png")


def write_folder(out: Path, summary: Summary, model: Model) -> None:
    """Write everything about a run into a folder that exists, and say what.

    Parameters
    ----------
    out : Path
    summary : Summary
    model : Model
        The network of the summary, for data as they were before ``fit`` scaled them.

    Raises
    ------
    DataFileError
        If a file cannot be written.
    """
    result, training = summary.result, summary.training.data
    # Whenever a run is killed, a certificate or a model in the folder speaks of the network and the data beside it.
    for name in ("certificate.json", "model.safetensors", *PICTURES):
        (out / name).unlink(missing_ok=True)
    result.network.save(out / "network.safetensors")
    write_atomically(out / "training-data.npz", _archive(training, result.network.architecture.flat))
    model.save(out / "model.safetensors")
    result.certificate.save(out / "certificate.json")
    write_json(out / "history.json", [record.to_dict() for record in result.history])
    write_json(out / "summary.json", summary.to_dict())
    try:
        _write_pictures(out, summary)
    except MissingExtraError as error:
        console.print(f"[yellow]no pictures: {escape(str(error))}[/yellow]")
    console.print(f"written to {escape(str(out))}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def write_json(path: Path, contents: Any) -> None:
    """Write JSON, whole or not at all. Raises DataFileError."""
    write_atomically(path, (json.dumps(contents, indent=1) + "\n").encode())


def _archive(training: Dataset, flat: bool) -> bytes:
    """What `load_dataset` reads as the same targets and classes, with X as the network takes it."""
    arrays: dict[str, Any] = {"X": network_inputs(training, flat), "y": training.y}
    if training.classes is not None:
        arrays["classes"] = np.array(training.classes)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _write_pictures(out: Path, summary: Summary) -> None:
    result, training, judged = summary.result, summary.training.data, summary.judged
    images = training.X.ndim > 2
    gap_picture(result.history, result.certificate, out / "gap.png")
    filters_picture(result.network, out / "filters.png", training.X.shape[1:] if images else None)
    if isinstance(result.network.architecture, CircularCNN):
        spectra_picture(result.network, out / "spectra.png")
    if not judged.classes:
        return
    confusion_picture(judged, out / "confusion.png")
    if images and judged.mistakes.size:
        mistakes_picture(judged, out / "mistakes.png")
    elif images:
        console.print(f"no mistakes on the {len(judged.data)} {judged.part} images, hence no mistakes.png")
