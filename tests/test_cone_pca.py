"""Cone-constrained principal components against all faces by brute force, and against sampled directions."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zerogap.oracles.cone_faces import Faces
from zerogap.oracles.cone_pca import cone_maximum
from zerogap.oracles.copositive import doubly_nonnegative_bound

Array = NDArray[np.float64]


def cone(rng: Any, rows: int, p: int) -> tuple[Array, Array]:
    """Unit rows, and a point strictly inside."""
    K = rng.standard_normal((rows, p))
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    centre = rng.standard_normal(p)
    return K * np.where(K @ centre >= 0.0, 1.0, -1.0)[:, None], centre / np.linalg.norm(centre)


def brute_force(G: Array, K: Array) -> float:
    """The largest eigenvalue over all faces whose leading vector is feasible."""
    p, best = G.shape[0], 0.0
    for count in range(p):
        for rows in combinations(range(len(K)), count):
            basis = np.eye(p)
            if count:
                _, sizes, whole = np.linalg.svd(K[list(rows)])
                if sizes[-1] < 1e-9:
                    continue
                basis = whole[count:]
            values, vectors = np.linalg.eigh(basis @ G @ G.T @ basis.T)
            u = basis.T @ vectors[:, -1]
            if max((K @ u).min(initial=0.0), (-K @ u).min(initial=0.0)) > -1e-9:
                best = max(best, float(values[-1]))
    return float(np.sqrt(best))


def test_few_dimensions_agree_with_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, a, rows = rng.integers(1, 5), rng.integers(1, 6), rng.integers(0, 10)
        K, centre = cone(rng, rows, p)
        G = rng.standard_normal((p, a)) * 10.0 ** rng.integers(-6, 7)
        maximum, best = cone_maximum(G, K, centre), brute_force(G, K)
        assert best <= maximum.upper <= best * (1.0 + 1e-9)
        assert best * (1.0 - 1e-9) <= maximum.value <= maximum.upper
        if best > 0.0:
            assert (K @ maximum.direction).min(initial=0.0) >= -1e-11
            assert abs(np.linalg.norm(maximum.direction) - 1.0) <= 1e-9


def test_many_dimensions_are_bounded_and_nearly_always_solved() -> None:
    rng, solved = np.random.default_rng(1), 0
    for _ in range(12):
        p = int(rng.integers(7, 11))
        K, centre = cone(rng, 60, p)
        G = rng.standard_normal((p, 5))
        maximum = cone_maximum(G, K, centre)
        assert (K @ maximum.direction).min() >= -1e-11
        assert maximum.value <= maximum.upper
        # Random points of the cone: sums of its points near the centre.
        points = centre + 0.3 * rng.standard_normal((4000, p))
        points = points[(points @ K.T).min(axis=1) >= 0.0]
        values = np.linalg.norm(points @ G, axis=1) / np.linalg.norm(points, axis=1)
        assert values.max(initial=0.0) <= maximum.value * (1.0 + 1e-9)
        solved += maximum.upper <= maximum.value * (1.0 + 1e-6)
    assert solved >= 9


def test_cones_without_rows() -> None:
    rng = np.random.default_rng(2)
    for p in (1, 3, 8):
        G = rng.standard_normal((p, 3))
        maximum = cone_maximum(G, np.zeros((0, p)), np.zeros(p))
        assert np.isclose(maximum.value, np.linalg.norm(G, 2), rtol=1e-9)
        assert maximum.value <= maximum.upper <= np.linalg.norm(G, 2) * (1.0 + 1e-7)


@pytest.mark.parametrize("p", [2, 3, 4, 7])
def test_a_free_entry(p: int) -> None:
    """The bias costs nothing: against the same problem with a bias that costs hardly anything."""
    rng = np.random.default_rng(3)
    for _ in range(10):
        rows = np.column_stack([rng.standard_normal((12, p - 1)), np.ones(12)])
        centre = rng.standard_normal(p)
        K = rows * np.where(rows @ centre >= 0.0, 1.0, -1.0)[:, None]
        if np.abs(K[:, -1].sum()) == 12.0:
            continue
        K /= np.linalg.norm(K, axis=1, keepdims=True)
        G = rng.standard_normal((p, 4))
        maximum = cone_maximum(G, K, centre, free=True)
        u = maximum.direction
        assert (K @ u).min() >= -1e-11
        assert np.isclose(np.linalg.norm(u[:-1]), 1.0, rtol=1e-9)
        assert np.isclose(np.linalg.norm(G.T @ u), maximum.value, rtol=1e-9)
        units = np.append(np.ones(p - 1), 1e3)
        scaled = K * units / np.linalg.norm(K * units, axis=1, keepdims=True)
        cheap = cone_maximum(G * units[:, None], scaled, centre / units)
        assert maximum.value >= cheap.value * (1.0 - (1e-9 if p < 7 else 1e-5))
        assert maximum.upper >= maximum.value
        if p < 7:
            assert maximum.upper <= maximum.value * (1.0 + 1e-8)
            assert maximum.value <= cheap.upper * (1.0 + 1e-4)


def test_floors_save_work_and_still_bound() -> None:
    rng = np.random.default_rng(4)
    for p in (3, 8):
        K, centre = cone(rng, 40, p)
        G = rng.standard_normal((p, 4))
        best = cone_maximum(G, K, centre)
        assert cone_maximum(G, K, centre, floor=1.1 * best.upper).upper == 1.1 * best.upper
        again = cone_maximum(G, K, centre, floor=0.9 * best.value, rows=best.rows)
        assert np.isclose(again.upper, best.upper, rtol=1e-7)
        assert np.isclose(again.value, best.value, rtol=1e-7)


def test_ties_count() -> None:
    """Every direction is a leading singular vector: the bound must not lose the maximum."""
    rng = np.random.default_rng(5)
    for p in (2, 3, 4):
        K, centre = cone(rng, 6, p)
        maximum = cone_maximum(np.eye(p), K, centre)
        assert maximum.upper >= 1.0
        assert np.isclose(maximum.value, 1.0, rtol=1e-9)
        # Nearly parallel rows.
        twins = np.concatenate([K, K + 1e-13 * rng.standard_normal(K.shape)])
        G = rng.standard_normal((p, 3))
        assert cone_maximum(G, twins, centre).upper >= cone_maximum(G, K, centre).value * (1.0 - 1e-9)


def test_the_semidefinite_bound_is_tight_for_two_rays() -> None:
    """In two dimensions doubly non-negative matrices are completely positive."""
    rng = np.random.default_rng(6)
    for _ in range(30):
        K, _ = cone(rng, 5, 2)
        G = rng.standard_normal((2, 2))
        best = brute_force(G, K)
        bound, _ = doubly_nonnegative_bound(G, K)
        assert best <= bound <= best * (1.0 + 1e-6)


def test_deep_faces_count_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    for most in (1, 5, 20):
        monkeypatch.setattr("zerogap.oracles.cone_faces.MOST", most)
        K, _ = cone(rng, 8, 4)
        G = rng.standard_normal((4, 4))
        faces = Faces(G, K, free=False, doubt=1e-14, floor=0.0)
        assert faces.upper >= brute_force(G, K)
