"""Safetensors files: arrays with a header of text, read without running anything."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from zerogap.errors import DataFileError
from zerogap.validation import file_path, shown


def _other_format(path: Any) -> str | None:
    """What a file is that is often taken for a safetensors file; pickles are not opened."""
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        start = file.read(8)
        if start[:2] == b"PK":
            return "a zip archive, such as torch.save or numpy.savez write"
        # A length of header, with which safetensors files begin, has zeros at its end.
        if start[:1] == b"\x80" and any(start[4:]):
            return "a pickle, which could execute anything"
    return None


def read_tensors(
    path: str | os.PathLike[str], kind: str, formats: tuple[str, ...], remedy: str
) -> tuple[dict[str, str], dict[str, Any]]:
    """The header and the arrays of a file of one of these formats; `kind` names it in messages.

    Raises
    ------
    DataFileError
        If it cannot be read, is no safetensors file, holds arrays that are not of real numbers, or has another format.
    """
    from safetensors import SafetensorError, safe_open

    path = file_path("path", path)
    # Opening a pipe would wait for its writer.
    if os.path.exists(path) and not os.path.isfile(path):
        got = "a folder" if os.path.isdir(path) else "a device or pipe"
        raise DataFileError(f"{kind} {path}", got, "a readable safetensors file", remedy)
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (AttributeError, OSError, SafetensorError, TypeError, ValueError) as error:
        if kind_of := _other_format(path):
            raise DataFileError(f"{kind} {path}", kind_of, "a safetensors file", remedy) from error
        # An AttributeError says that NumPy lacks the type of an array, such as one of 8-bit floats.
        raise DataFileError(f"{kind} {path}", str(error), "a readable safetensors file", remedy) from error
    if metadata.get("format") not in formats:
        got = f"format {shown(metadata.get('format'))}"
        raise DataFileError(f"{kind} {path}", got, " or ".join(formats), remedy)
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "biuf":
            raise DataFileError(f"{kind} {path}", f"{shown(name)} of {tensor.dtype}", "arrays of real numbers", remedy)
    return metadata, tensors
