"""Fully connected two-layer networks (P2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zerogap.architectures.base import TwoLayer
from zerogap.errors import InputError
from zerogap.features.pooled import PooledFeatures
from zerogap.rows import Rows
from zerogap.validation import finite_array


@dataclass(frozen=True, kw_only=True, repr=False)
class MLP(TwoLayer):
    """f(x) = sum_j w_j act(x . u_j + b_j).

    Inputs have shape (n, d): one row per sample. Parameters are those of ``TwoLayer``.
    """

    @property
    def flat(self) -> bool:
        return True

    def plain_rows(self, X: Any) -> Rows:
        array = finite_array("X", X)
        if array.ndim != 2:
            raise InputError(
                "X of an MLP",
                f"shape {array.shape}",
                "shape (n, d)",
                "reshape with X.reshape(len(X), -1), or use zg.CNN",
            )
        return Rows(array[:, None, :])

    def features(self, rows: Rows) -> PooledFeatures:
        return PooledFeatures(rows, self.free, slope=self.slope)
