"""Fully connected two-layer networks (P2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zerogap.architectures.base import Array, TwoLayer
from zerogap.errors import InputError
from zerogap.validation import finite_array


@dataclass(frozen=True, kw_only=True, repr=False)
class MLP(TwoLayer):
    """f(x) = sum_j w_j (x . u_j + b_j)_+.

    Inputs have shape (n, d): one row per sample. Parameters are those of ``TwoLayer``.
    """

    def raw_rows(self, X: Any) -> tuple[Array, float]:
        array = finite_array("X", X)
        if array.ndim != 2:
            raise InputError(
                "X of an MLP",
                f"shape {array.shape}",
                "shape (n, d)",
                "reshape with X.reshape(len(X), -1), or use zg.CNN",
            )
        return array[:, None, :], 1.0
