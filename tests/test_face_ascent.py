"""Ascent over the faces of cells: never down, true prices, and the exact maximum of small problems.

The reference lists the cells of an arrangement by the points beside its vertices, and the maximisers of a convex
function of degree one on each of their faces.
"""

from __future__ import annotations

from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zerogap.features.pooled import PooledFeatures
from zerogap.oracles.face_ascent import face_ascent
from zerogap.oracles.feature_search import climb
from zerogap.rows import Rows

Array = NDArray[np.float64]
Windows = list[list[int]]


# -- the reference -----------------------------------------------------------------------------------------


def features_of(
    rows: Array, u: Array, *, windows: Windows | None = None, slope: float = 0.0, largest: bool = False
) -> Array:
    """Features (n, a, m) of rows (n, K, p) and neurons (m, p), from the definition."""
    inner = np.einsum("skd,md->skm", rows, u)
    active = np.maximum(inner, slope * inner)
    places = [list(range(rows.shape[1]))] if windows is None else windows
    return np.stack([active[:, w].max(axis=1) if largest else active[:, w].sum(axis=1) for w in places], axis=1)


def prices(rows: Array, residual: Array, u: Array, *, free: bool = False, **kind: Any) -> Array:
    """||Phi(u)' R|| / ||E u||, (m,)."""
    table = residual.reshape(residual.shape[0], -1)
    pulls = np.einsum("sc,sam->mac", table, features_of(rows, u, **kind)).reshape(len(u), -1)
    sizes = np.linalg.norm(u[:, :-1] if free else u, axis=1)
    return np.linalg.norm(pulls, axis=1) / np.where(sizes > 0.0, sizes, np.inf)


def distinct_walls(rows: Array) -> Array:
    """Unit normals of rows (N, p), one for each line; zero rows have none."""
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    units = (rows / np.where(size > 0.0, size, 1.0))[size[:, 0] > 1e-9 * size.max()]
    found: list[Array] = []
    for unit in units:
        if all(abs(float(unit @ other)) < 1.0 - 1e-11 for other in found):
            found.append(unit)
    return np.array(found)


def cell_points(walls: Array) -> Array:
    """A point in every cell of walls in general position: beside the rays in which p - 1 of them meet."""
    p, table = walls.shape[1], {}
    for chosen in combinations(range(len(walls)), p - 1):
        ray = np.linalg.svd(walls[list(chosen)])[2][-1]
        others = np.abs(np.delete(walls, chosen, axis=0) @ ray)
        step = 0.3 * float(others.min(initial=1.0))
        for signs in product((1.0, -1.0), repeat=p - 1):
            aside = np.linalg.pinv(walls[list(chosen)]) @ np.array(signs)
            point = ray + step * aside / max(1.0, float(np.linalg.norm(aside)))
            for each in (point, -point):
                table[tuple((walls @ each > 0.0).tolist())] = each
    return np.array(list(table.values()))


def exact_maximum(
    rows: Array,
    residual: Array,
    *,
    free: bool = False,
    windows: Windows | None = None,
    slope: float = 0.0,
    largest: bool = False,
) -> float:
    """The largest price of all neurons: on a face of a cell it is attained by a leading singular vector.

    Every candidate is priced as it is, so that one outside of its face does no harm.
    """
    n, count, p = rows.shape
    places = [list(range(count))] if windows is None else windows
    table = residual.reshape(n, -1)
    kinks = [rows.reshape(-1, p)]
    if largest:
        kinks += [rows[:, i] - rows[:, j] for w in places for i, j in combinations(w, 2)]
    walls = distinct_walls(np.concatenate(kinks))
    inner = np.einsum("skd,md->msk", rows, cell_points(walls))
    share = np.where(inner > 0.0, 1.0, slope)
    if largest:
        for w in places:
            share[:, :, w] *= inner[:, :, w] == inner[:, :, w].max(axis=2, keepdims=True)
    gradients = np.concatenate(
        [np.einsum("sc,msk,skd->mdc", table, share[:, :, w], rows[:, w]) for w in places], axis=2
    )  # (cells, p, a C)
    found = []
    for tight in range(1 if free else 0, p):
        for chosen in combinations(range(len(walls)), tight):
            basis = np.linalg.svd(walls[list(chosen)].reshape(tight, p))[2][tight:].T
            kept = basis[:-1] if free else basis
            if np.linalg.matrix_rank(kept, tol=1e-9) < p - tight:
                continue  # a wall between two rows may contain the free entry: nothing is attained along it
            # Lengths in the face are those of the entries that cost.
            basis = basis @ np.linalg.inv(np.linalg.cholesky(kept.T @ kept)).T
            inside = np.einsum("dk,mdc->mkc", basis, gradients)
            vectors = np.linalg.eigh(inside @ inside.transpose(0, 2, 1))[1][:, :, -1]
            found.append(vectors @ basis.T)
    if free:
        # Where all rows pass, or none, the bias adds a constant only.
        vectors = np.linalg.svd(np.einsum("sc,skd->dc", table, rows)[:-1])[0][:, :1].T
        far = 1e3 * float(np.abs(rows).max())
        found += [np.append(sign * vectors, [[bias]], axis=1) for sign, bias in product((1.0, -1.0), (far, -far))]
    candidates = np.concatenate(found)
    both = np.concatenate([candidates, -candidates])
    return float(prices(rows, residual, both, free=free, windows=windows, slope=slope, largest=largest).max())


def instance(seed: int, shape: tuple[int, int, int], *, free: bool, outputs: int = 2) -> tuple[Array, Array]:
    rng = np.random.default_rng([seed, *shape, free])
    rows, residual = rng.standard_normal(shape), rng.standard_normal((shape[0], outputs))
    if free:
        rows[..., -1] = 1.0
        residual -= residual.mean(axis=0)
    return rows, residual


def test_the_reference_lists_all_cells_and_exceeds_every_price() -> None:
    rng = np.random.default_rng(0)
    for count, p in [(5, 2), (6, 3), (5, 4)]:
        walls = distinct_walls(rng.standard_normal((count, p)))
        assert len(cell_points(walls)) == 2 * sum(comb(count - 1, k) for k in range(p))
    for free, slope, largest in product((False, True), (0.0, 0.2), (False, True)):
        rows, residual = instance(1, (4, 2, 2 + free), free=free)
        kind: dict[str, Any] = {"free": free, "slope": slope, "largest": largest}
        best = exact_maximum(rows, residual, **kind)
        met = float(prices(rows, residual, rng.standard_normal((20_000, 2 + free)), **kind).max())
        assert 0.98 * best <= met <= best * (1.0 + 1e-12)


# -- the ascent --------------------------------------------------------------------------------------------


def ascended(rows: Array, residual: Array, starts: int, *, free: bool = False, slope: float = 0.0) -> tuple[Array, ...]:
    """Random starts, their prices, and where the ascent leads; the arguments stay as they are."""
    features = PooledFeatures(Rows(rows), free, slope=slope)
    points = features.random(starts, np.random.default_rng(0))
    values = prices(rows, residual, points, free=free, slope=slope)
    order = np.argsort(-values)
    points, values = points[order], values[order]
    given = points.copy(), residual.copy(), rows.copy()
    found = face_ascent(features, residual, points, np.random.default_rng(1))
    assert found is not None
    for before, after in zip(given, (points, residual, rows), strict=True):
        np.testing.assert_array_equal(before, after)
    return points, values, *found


SHAPES = [(8, 1, 2), (8, 1, 3), (4, 2, 3), (6, 1, 5)]


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_values_are_true_prices_best_first(shape: tuple[int, int, int], slope: float, free: bool, outputs: int) -> None:
    for seed in range(4):
        rows, residual = instance(seed, shape, free=free, outputs=outputs)
        _, before, points, values = ascended(rows, residual, 30, free=free, slope=slope)
        np.testing.assert_allclose(
            prices(rows, residual, points, free=free, slope=slope), values, rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(np.linalg.norm(points[:, :-1] if free else points, axis=1), 1.0, rtol=1e-12)
        assert np.all(np.diff(values) <= 0.0)
        # Never down: the best ones that come out are at least as good as those that went in, rank by rank.
        assert np.all(values[: before.size] >= before[: values.size] * (1.0 - 1e-12))


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_single_neuron_never_falls(outputs: int) -> None:
    for seed, free in product(range(30), (False, True)):
        rows, residual = instance(seed, (8, 1, 4), free=free, outputs=outputs)
        features = PooledFeatures(Rows(rows), free)
        start = features.random(1, np.random.default_rng(seed))
        found = face_ascent(features, residual, start, np.random.default_rng(1))
        assert found is not None
        assert found[1].max() >= prices(rows, residual, start, free=free).item() * (1.0 - 1e-12)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_the_exact_maximum_is_reached_and_never_passed(shape: tuple[int, int, int], slope: float, free: bool) -> None:
    """From 50 starts; measured on 60 instances of each kind: 720 of 720."""
    reached, total = 0, 20
    for seed in range(total):
        rows, residual = instance(seed, shape, free=free)
        best = exact_maximum(rows, residual, free=free, slope=slope)
        values = ascended(rows, residual, 50, free=free, slope=slope)[3]
        assert values.max() <= best * (1.0 + 1e-9)
        reached += values.max() >= best * (1.0 - 1e-9)
    assert reached == total


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_search_as_a_whole_reaches_the_exact_maximum(shape: tuple[int, int, int], free: bool) -> None:
    reached, total = 0, 10
    for seed in range(total):
        rows, residual = instance(100 + seed, shape, free=free)
        features = PooledFeatures(Rows(rows), free)
        best = exact_maximum(rows, residual, free=free)
        points, values = climb(features, residual, features.random(100, np.random.default_rng(seed)))
        np.testing.assert_allclose(prices(rows, residual, points, free=free), values, rtol=1e-9)
        assert values[0] == values.max() <= best * (1.0 + 1e-9)
        reached += values[0] >= best * (1.0 - 1e-9)
    assert reached == total


def test_the_maximum_stays_where_it_is() -> None:
    for seed in range(10):
        rows, residual = instance(seed, (8, 1, 3), free=False)
        points, values = ascended(rows, residual, 50)[2:]
        again = face_ascent(PooledFeatures(Rows(rows)), residual, points[:1], np.random.default_rng(2))
        assert again is not None
        assert again[1][0] == pytest.approx(values[0], rel=1e-9)
        for scale in (1e-6, 1e-3, 0.1):
            near = points[:1] + scale * np.random.default_rng(1).standard_normal((200, 3))
            assert prices(rows, residual, near).max() <= values[0] * (1.0 + 1e-12)


def reached_with(rows: Array, residual: Array, best: float, *, free: bool = False) -> bool:
    return bool(ascended(rows, residual, 50, free=free)[3].max() >= best * (1.0 - 1e-9))


def test_repeated_rows_change_nothing() -> None:
    count = 0
    for seed in range(20):
        rows, residual = instance(seed, (8, 1, 3), free=False)
        best = exact_maximum(rows, residual)
        count += reached_with(np.repeat(rows, 20, axis=0), np.repeat(residual, 20, axis=0) / 20.0, best)
    assert count >= 19


def test_zero_rows_change_nothing() -> None:
    count = 0
    for seed in range(20):
        rows, residual = instance(seed, (8, 1, 3), free=False)
        best = exact_maximum(rows, residual)
        padded = np.concatenate([rows, np.zeros((20, 1, 3))])
        noise = np.random.default_rng(seed).standard_normal((20, 2))
        count += reached_with(padded, np.concatenate([residual, noise]), best)
    assert count >= 19


def test_a_zero_sample_with_a_free_bias_changes_nothing() -> None:
    count = 0
    for seed in range(20):
        rows, residual = instance(seed, (8, 1, 3), free=True)
        rows[0, 0, :-1] = 0.0
        count += reached_with(rows, residual, exact_maximum(rows, residual, free=True), free=True)
    assert count >= 19


@pytest.mark.parametrize("kind", [{"largest": True}, {"gates": np.eye(2)}, {"slope": 1.0}])
def test_other_features_are_left_alone(kind: dict[str, Any]) -> None:
    rows, residual = instance(0, (4, 2, 2), free=False)
    features = PooledFeatures(Rows(rows), **kind)
    assert face_ascent(features, residual, np.eye(2), np.random.default_rng(0)) is None


@pytest.mark.parametrize("windows", [[[0], [1]], [[0, 1]]])
def test_windows_and_their_scale_are_priced_right(windows: Windows) -> None:
    rows, residual = instance(0, (5, 2, 3), free=False)
    features = PooledFeatures(Rows(rows, 0.5), windows=np.array(windows))
    points = features.random(20, np.random.default_rng(0))
    found = face_ascent(features, residual, points, np.random.default_rng(1))
    assert found is not None
    np.testing.assert_allclose(0.5 * prices(rows, residual, found[0], windows=windows), found[1], rtol=1e-10)
    assert found[1].max() == pytest.approx(0.5 * exact_maximum(rows, residual, windows=windows), rel=1e-9)
