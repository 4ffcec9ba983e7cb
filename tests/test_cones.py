"""Cones: membership, projection by enumeration of faces, Moreau's decomposition, multipliers as bounds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from zerogap.cones import contains, margins, polar_multipliers, project, violation

Array = NDArray[np.float64]
Signs = NDArray[np.bool_]

SIZES = [(1, 1), (3, 2), (2, 3), (6, 3), (7, 4)]
each_size = pytest.mark.parametrize(("walls", "dimension"), SIZES)


def cone(walls: int, dimension: int, seed: int = 0) -> tuple[Array, Signs, np.random.Generator]:
    """Unit normals, the signs of a random point, and the generator."""
    rng = np.random.default_rng([walls, dimension, seed])
    normals = rng.standard_normal((walls, dimension))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals, normals @ rng.standard_normal(dimension) >= 0.0, rng


def generators(normals: Array, signs: Signs) -> Array:
    return np.where(signs, 1.0, -1.0)[:, None] * normals


def nearest(K: Array, direction: Array) -> Array:
    """The projection on {u : K u >= 0}: the nearest point over all faces."""
    count, dimension = K.shape
    best = np.zeros(dimension)
    for size in range(min(count, dimension) + 1):
        for face in combinations(range(count), size):
            part = K[list(face)]
            point = direction - np.linalg.pinv(part) @ (part @ direction) if size else direction
            inside = np.all(K @ point >= -1e-12 * np.linalg.norm(direction))
            if inside and np.linalg.norm(point - direction) < np.linalg.norm(best - direction):
                best = point
    return best


def test_margins_violation_and_membership() -> None:
    normals = np.array([[1.0, 0.0], [0.0, 1.0]])
    signs = np.array([[True, True], [True, False], [False, False]])
    points = np.array([[3.0, 4.0], [3.0, 4.0], [-3.0, 0.0]])
    assert margins(normals, signs, points).tolist() == [[3.0, 4.0], [3.0, -4.0], [3.0, -0.0]]
    assert violation(normals, signs, points).tolist() == [0.0, 4.0, 0.0]
    assert contains(normals, signs, points).tolist() == [True, False, True]
    assert contains(normals, signs, points, tolerance=0.8).tolist() == [True, True, True]


def test_without_walls_everything_is_inside() -> None:
    normals, signs = np.empty((0, 2)), np.empty((1, 0), dtype=bool)
    point = np.array([[1.0, -2.0]])
    assert contains(normals, signs, point)[0]
    assert np.array_equal(project(normals, signs[0], point[0]), point[0])


@each_size
def test_the_projection_is_the_nearest_point(walls: int, dimension: int) -> None:
    for seed in range(5):
        normals, signs, rng = cone(walls, dimension, seed)
        for size in (1e-6, 1.0, 1e6):
            direction = size * rng.standard_normal(dimension)
            expected = nearest(generators(normals, signs), direction)
            np.testing.assert_allclose(project(normals, signs, direction), expected, rtol=0, atol=1e-9 * size)


@each_size
def test_moreau_decomposition(walls: int, dimension: int) -> None:
    normals, signs, rng = cone(walls, dimension)
    K = generators(normals, signs)
    for direction in rng.standard_normal((10, dimension)):
        multipliers = polar_multipliers(K, direction)
        inside, outside = direction + K.T @ multipliers, -K.T @ multipliers
        assert np.all(multipliers >= 0.0)
        assert np.all(K @ inside >= -1e-9)
        assert abs(inside @ outside) <= 1e-9
        assert np.max(np.abs(multipliers * (K @ inside))) <= 1e-9
        np.testing.assert_allclose(project(normals, signs, direction), inside)


@each_size
@pytest.mark.parametrize("free", [False, True])
def test_all_multipliers_give_upper_bounds_of_the_price(walls: int, dimension: int, free: bool) -> None:
    if free and dimension == 1:
        pytest.skip("nothing would be penalised")
    normals, signs, rng = cone(walls, dimension)
    K = generators(normals, signs)
    mask = np.zeros(dimension, dtype=bool)
    mask[-1] = free
    trials = np.array([project(normals, signs, d) for d in rng.standard_normal((200, dimension))])
    lengths = np.linalg.norm(trials[:, ~mask], axis=1)
    trials = trials[lengths > 1e-6] / lengths[lengths > 1e-6][:, None]
    for direction in rng.standard_normal((10, dimension)):
        if free:  # a point of the polar cone's reach, so that some multipliers balance the free entry
            direction[-1] = -(K.T @ rng.uniform(0.0, 1.0, walls))[-1]
        multipliers = polar_multipliers(K, direction, mask)
        rest = direction + K.T @ multipliers
        if free:
            assert abs(rest[-1]) <= 1e-9 * (1.0 + np.abs(direction).max())
        bound = float(np.linalg.norm(rest[~mask]))
        assert np.max(trials @ direction, initial=0.0) <= bound + 1e-7
        if not free:
            other = multipliers + rng.uniform(0.0, 1.0, walls)
            assert np.linalg.norm(direction + K.T @ other) >= bound - 1e-12


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_bound_with_a_free_entry_is_attained(dimension: int) -> None:
    """Strong duality, by brute force over the cone."""
    normals, signs, rng = cone(4, dimension, 3)
    K = generators(normals, signs)
    free = np.arange(dimension) == dimension - 1
    for _ in range(5):
        direction = -K.T @ rng.uniform(0.0, 1.0, 4) + 0.3 * rng.standard_normal(dimension) * ~free
        rest = direction + K.T @ polar_multipliers(K, direction, free)
        trials = rng.standard_normal((200_000, dimension))
        trials = trials[np.all(trials @ K.T >= 0.0, axis=1)]
        ratio = (trials @ direction) / np.linalg.norm(trials[:, ~free], axis=1)
        bound = float(np.linalg.norm(rest[~free]))
        assert float(ratio.max(initial=0.0)) <= bound + 1e-7
        assert bound <= max(float(ratio.max(initial=0.0)), 0.0) + 0.05


def test_a_zero_direction_needs_no_multipliers() -> None:
    assert polar_multipliers(np.eye(2), np.zeros(2)).tolist() == [0.0, 0.0]
    assert polar_multipliers(np.empty((0, 2)), np.ones(2)).shape == (0,)
