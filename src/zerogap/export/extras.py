"""The optional libraries, imported where they are used."""

from __future__ import annotations

from typing import Any

from zerogap.errors import MissingExtraError

__all__ = ["needed_onnx", "needed_torch"]


def needed_torch() -> Any:
    """The module torch; raises MissingExtraError."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("PyTorch models", "torch", "torch") from error
    return torch


def needed_onnx() -> Any:
    """The module onnx; raises MissingExtraError."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("ONNX files", "onnx", "onnx") from error
    return onnx
