"""The published and derived optima (golden values G1, G2, G2b, G3), by ``train`` itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zerogap as zg

X5 = np.array(
    [
        [0.5, -1.2, 0.3, 0.8],
        [-0.7, 0.4, 1.1, -0.2],
        [1.3, 0.6, -0.9, 0.1],
        [-0.4, -0.8, 0.2, 1.5],
        [0.9, -0.3, 0.7, -1.1],
    ]
)
Y5 = np.array([1.0, -0.5, 0.8, -1.2, 0.3])
X1 = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
Y1 = np.array([1.0, -1.0, 1.0, 1.0, -1.0])

PLAIN, GATED = zg.MLP(bias=False), zg.MLP(bias=False, gated=True)
G1, G2, G2B, G3 = (X1, Y1, 10), (X5[:, :2], Y5, 10), (X5[:, :3], Y5, 22), (X5, Y5, 28)

TABLE: list[tuple[str, Any, tuple[Any, Any, int], float, str, float]] = [
    ("G1 beta 1e-3", zg.MLP(), G1, 1e-3, "global", 0.010117),
    ("G1 beta 1e-2", zg.MLP(), G1, 1e-2, "global", 0.100074),
    ("G1 beta 1e-1", zg.MLP(), G1, 1e-1, "global", 0.891447),
    ("G1 beta 1", zg.MLP(), G1, 1.0, "global", 2.447794),
    ("G2", PLAIN, G2, 0.1, "global", 0.3789805),
    ("G2 gated", GATED, G2, 0.1, "gated", 0.2399490),
    ("G2b", PLAIN, G2B, 0.1, "global", 0.2998542),
    ("G2b gated", GATED, G2B, 0.1, "gated", 0.1982769),
    ("G3", zg.CNN(2, bias=False), G3, 0.1, "global", 0.4420652),
    ("G3 gated", zg.CNN(2, bias=False, gated=True), G3, 0.1, "gated", 0.2081976),
    ("G3 rho 0.1", zg.CNN(2, bias=False, gated=True, cone_penalty=0.1), G3, 0.1, "gated", 0.4187912),
    ("G3 rho 10", zg.CNN(2, bias=False, gated=True, cone_penalty=10.0), G3, 0.1, "gated", 0.4420652),
]


@pytest.mark.parametrize(
    ("architecture", "data", "beta", "scope", "value"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_golden_value(architecture: Any, data: tuple[Any, Any, int], beta: float, scope: str, value: float) -> None:
    X, y, cells = data
    result = zg.train(architecture, X, y, beta=beta, arrangements="enumerate", tol=1e-8)
    certificate = result.certificate
    assert abs(certificate.objective - value) <= 1e-6
    assert abs(certificate.lower_bound - value) <= 1e-6
    assert certificate.lower_bound <= certificate.objective
    assert certificate.gap <= 1e-8
    assert (certificate.scope, certificate.proof, certificate.cells) == (scope, "enumeration", cells)
    assert result.status is zg.Status.OPTIMAL


def test_a_free_bias_costs_no_more_than_a_penalised_one() -> None:
    for beta in (1e-2, 1.0):
        free = zg.train(zg.MLP(bias="free"), X1, Y1, beta=beta, arrangements="enumerate", tol=1e-8).certificate
        assert free.objective <= zg.train(zg.MLP(), X1, Y1, beta=beta, arrangements="enumerate").certificate.objective
        assert free.gap <= 1e-8


def test_small_beta_approaches_the_minimum_norm_spline() -> None:
    """Golden value G9: with an unpenalised bias, the least sum of |u w| that fits the five points is 8."""
    beta = 1e-6
    certificate = zg.train(zg.MLP(bias="free"), X1, Y1, beta=beta, arrangements="enumerate", tol=1e-8).certificate
    assert abs(certificate.objective / beta - 8.0) <= 1e-3
