r"""Features of one filter at all positions without activation (P0, architecture D).

Phi(u)_{s,q} = scale * sum_{k in window q} m_{s,k} . u
"""

from __future__ import annotations

from dataclasses import dataclass

from zerogap.features.base import Array
from zerogap.features.pooled import PooledFeatures


@dataclass(frozen=True, eq=False)
class LinearFeatures(PooledFeatures):
    """See the module docstring; with a slope of 1 the activation is none."""

    slope: float = 1.0

    def price_above(self, residual: Array) -> tuple[float, str]:
        """The largest price, up to rounding (``PooledFeatures.linear_price``)."""
        return self.linear_price(self.rows.matrix, residual), "closed form"

    def joint_price_above(self, residual: Array) -> tuple[float, str]:
        return self.price_above(residual)
