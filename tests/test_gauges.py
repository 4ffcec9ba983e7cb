"""Gauges: polar inequality, proximal step and factorisation, with and without a free coordinate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap.gauges import EuclideanGauge

Array = NDArray[np.float64]

GAUGES = {
    "all penalised": EuclideanGauge(np.array([True, True, True])),
    "free bias": EuclideanGauge(np.array([True, True, False])),
    "one entry": EuclideanGauge(np.array([True])),
}
each_gauge = pytest.mark.parametrize("gauge", GAUGES.values(), ids=GAUGES)


def blocks_of(gauge: EuclideanGauge, count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, gauge.penalised.size))


@each_gauge
def test_it_is_a_seminorm(gauge: EuclideanGauge) -> None:
    a, b = blocks_of(gauge, 40)[:20], blocks_of(gauge, 40)[20:]
    assert np.all(gauge.value(a + b) <= gauge.value(a) + gauge.value(b) + 1e-14)
    np.testing.assert_allclose(gauge.value(-3.0 * a), 3.0 * gauge.value(a), rtol=1e-14)
    assert gauge.value(np.zeros_like(a)).tolist() == [0.0] * 20
    assert gauge.value(a.reshape(4, 5, -1)).shape == (4, 5)


@each_gauge
def test_the_polar_inequality_is_tight(gauge: EuclideanGauge) -> None:
    values, duals = blocks_of(gauge, 50), blocks_of(gauge, 50, 1) * gauge.penalised
    assert np.all(np.sum(duals * values, axis=1) <= gauge.polar(duals) * gauge.value(values) + 1e-14)
    aligned = duals / gauge.value(duals)[:, None]
    np.testing.assert_allclose(np.sum(duals * aligned, axis=1), gauge.polar(duals), rtol=1e-14)


def test_the_polar_is_infinite_off_the_penalised_coordinates() -> None:
    polar = GAUGES["free bias"].polar(np.array([[3.0, 4.0, 0.0], [3.0, 4.0, 1e-300]]))
    assert polar.tolist() == [5.0, np.inf]


@each_gauge
@pytest.mark.parametrize("step", [0.0, 0.3, 1.0, 100.0])
def test_the_proximal_step_minimises(gauge: EuclideanGauge, step: float) -> None:
    blocks = blocks_of(gauge, 6)
    for block, found in zip(blocks, gauge.prox(blocks, step), strict=True):

        def objective(v: Array, block: Array = block) -> float:
            return float(0.5 * np.sum((v - block) ** 2) + step * gauge.value(v))

        runs = [
            minimize(objective, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000})
            for start in (block, found + 0.1)
        ]
        assert objective(found) <= min(float(run.fun) for run in runs) + 1e-12
        assert np.array_equal(found[~gauge.penalised], block[~gauge.penalised])


@each_gauge
def test_the_proximal_step_keeps_zero(gauge: EuclideanGauge) -> None:
    zero = np.zeros((2, gauge.penalised.size))
    assert np.array_equal(gauge.prox(zero, 1.0), zero)


@each_gauge
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_factors_are_balanced_and_cost_the_gauge(gauge: EuclideanGauge, size: float) -> None:
    blocks = size * blocks_of(gauge, 20)
    first, second = gauge.factor(blocks)
    np.testing.assert_allclose(first * second[:, None], blocks, rtol=1e-14)
    np.testing.assert_allclose(gauge.value(first), second, rtol=1e-14)
    np.testing.assert_allclose(0.5 * (gauge.value(first) ** 2 + second**2), gauge.value(blocks), rtol=1e-14)
    # No other scaling costs less (arithmetic and geometric mean).
    for scale in (0.5, 0.99, 1.01, 2.0):
        other = 0.5 * (gauge.value(first * scale) ** 2 + (second / scale) ** 2)
        assert np.all(other >= gauge.value(blocks) * (1.0 - 1e-14))


def test_a_block_without_penalised_entries_costs_next_to_nothing() -> None:
    gauge = GAUGES["free bias"]
    blocks = np.array([[0.0, 0.0, 7.0], [0.0, 0.0, 0.0]])
    first, second = gauge.factor(blocks)
    np.testing.assert_allclose(first * second[:, None], blocks, rtol=1e-14)
    assert 0.0 < second[0] <= 1e-8
    assert second[1] == 0.0
