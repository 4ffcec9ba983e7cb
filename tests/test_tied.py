"""Tied three-layer networks: branch and bound over pairs of directions, search, training."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import zerogap as zg
from zerogap.oracles import bilinear
from zerogap.oracles.bilinear import bound_price
from zerogap.oracles.tied_search import search_tied
from zerogap.question import Question
from zerogap.training.tied import TiedRun, train_tied

GOLDEN = [
    (0.1853903, 0.1853903, 1e-7),
    (0.1131172, 0.113388, 1e-6),
    (0.1626813, 0.17314, 1e-5),
    (0.1245277, 0.124676, 1e-6),
]
"""Optimum of the relaxation, of networks, and a unit of the last digit that the second is known to."""


def price(rows, residual, u, w) -> float:
    """g, sample by sample."""
    total = 0.0
    for sample, r in zip(rows, residual, strict=True):
        total += r * max(sum(max(float(m @ u), 0.0) * wk for m, wk in zip(sample, w, strict=True)), 0.0)
    return total


def narrow(rng, count: int, dimension: int, width: float):
    """Unit vertices of simplicial cones in one orthant, (count, dimension, dimension)."""
    signs = rng.choice([-1.0, 1.0], (count, 1, dimension))
    middle = np.abs(rng.standard_normal((count, 1, dimension)))
    vertices = signs * np.abs(middle + width * rng.standard_normal((count, dimension, dimension)))
    return vertices / np.linalg.norm(vertices, axis=2, keepdims=True)


def tangled(rng, n: int, K: int, h: int):
    """Rows with repeats, zeros and opposites, and residuals of very different size."""
    rows = rng.standard_normal((n, K, h))
    rows[0, 0] = 0.0
    rows[-1] = -rows[0]
    rows[n // 2, -1] = 2.0 * rows[0, -1]
    return rows, rng.standard_normal(n) * 10.0 ** rng.integers(-3, 2, n)


@pytest.mark.parametrize(("n", "K", "h"), [(4, 2, 2), (5, 3, 2), (4, 2, 3), (6, 3, 3), (3, 1, 2), (3, 2, 1)])
@pytest.mark.parametrize("width", [2.0, 0.3, 0.03, 1e-4])
def test_bound_of_a_node_is_above_all_its_points(n, K, h, width) -> None:
    rng = np.random.default_rng([n, K, h])
    rows, residual = tangled(rng, n, K, h)
    tree = bilinear._Tree(rows, residual, 0.0)
    first, second = narrow(rng, 40, h, width), narrow(rng, 40, K, width)
    bounds = tree._bound(first, second)
    for node, _ in product(range(40), range(25)):
        a, b = (rng.exponential(size=size) * rng.integers(0, 2, size) for size in (h, K))
        u, w = a @ first[node], b @ second[node]
        size = np.linalg.norm(u) * np.linalg.norm(w)
        assert price(tree._rows, tree._residual, u, w) <= bounds[node] * size * (1.0 + 1e-12) + 1e-12 * size
    assert np.all(bounds >= 0.0)


def test_node_bounds_become_sharp() -> None:
    """In narrow nodes they are off by the square of the width, on smooth pieces, and by the width at most on kinks."""
    rng = np.random.default_rng(0)
    rows, residual = rng.standard_normal((5, 2, 3)), rng.standard_normal(5)
    tree = bilinear._Tree(rows, residual, 0.0)
    for width in (1e-2, 1e-3, 1e-4):
        first, second = narrow(rng, 300, 3, width), narrow(rng, 300, 2, width)
        bounds = tree._bound(first, second)
        best = np.zeros(300)
        for i, j in product(range(3), range(2)):
            values = [price(rows, residual, first[n, i], second[n, j]) for n in range(300)]
            best = np.maximum(best, values)
        assert np.all(bounds >= best * (1.0 - 1e-12))
        assert np.all(bounds - best <= 30.0 * width)
        assert np.median(bounds - best) <= 100.0 * width**2


@pytest.mark.parametrize(("K", "h"), [(2, 2), (3, 3), (1, 3), (4, 2)])
def test_children_cover_their_node(K, h) -> None:
    rng = np.random.default_rng([K, h])
    rows, residual = tangled(rng, 4, K, h)
    for width in (2.0, 0.2):
        first, second = narrow(rng, 30, h, width), narrow(rng, 30, K, width)
        firsts, seconds = bilinear._split(rows, residual, first, second)
        for node, _ in product(range(30), range(20)):
            u, w = rng.exponential(size=h) @ first[node], rng.exponential(size=K) @ second[node]
            inside = []
            for child in (node, node + 30):
                a, b = np.linalg.solve(firsts[child].T, u), np.linalg.solve(seconds[child].T, w)
                inside.append(min(a.min(), b.min()) >= -1e-9)
            assert any(inside)


@pytest.mark.parametrize(("n", "K", "h"), [(3, 2, 2), (6, 3, 2), (5, 3, 3), (4, 1, 2), (4, 2, 1), (1, 2, 2)])
def test_price_is_found_and_proved(n, K, h) -> None:
    for seed in range(3):
        rng = np.random.default_rng([n, K, h, seed])
        X = rng.standard_normal((n, (K - 1) * h + h))
        architecture = zg.ThreeLayerCNN(h, stride=h, tied=True, bias=False)
        features = architecture.features(architecture.rows(X))
        residual = rng.standard_normal(n)
        neurons, prices = search_tied(features, residual, features.random(100, rng))
        np.testing.assert_allclose(np.abs(residual @ features.forward(neurons)[0][:, 0]), prices, rtol=1e-12)
        np.testing.assert_allclose(features.sizes(neurons), 1.0, rtol=1e-12)
        found = bound_price(features.rows.matrix, residual, prices[0] * (1.0 + 1e-7), nodes=200_000)
        assert found.finished
        assert prices[0] <= found.upper <= prices[0] * (1.0 + 2e-7)
        assert found.value <= found.upper
        assert found.upper <= features.price_above(residual)[0] * (1.0 + 1e-6)


def test_unfinished_bounds_hold_and_violations_are_reported() -> None:
    rng = np.random.default_rng(4)
    rows, residual = tangled(rng, 5, 3, 3)
    full = bound_price(rows, residual, 0.0, nodes=60_000)
    for nodes in (0, 500, 5_000):
        bound = bound_price(rows, residual, full.value * 1.001, nodes=nodes)
        assert not bound.finished
        assert bound.upper >= full.value
    forbidden = bound_price(rows, residual, 0.5 * full.value)
    assert not forbidden.finished
    assert forbidden.value > 0.5 * full.value
    assert abs(price(rows, residual, forbidden.filter, forbidden.inner)) >= forbidden.value * (1.0 - 1e-9)
    # Nothing is known about rows that are not numbers.
    rows[0, 0, 0] = np.nan
    with np.errstate(all="ignore"):
        assert not bound_price(rows, residual, 1.0, nodes=2_000).upper <= 1e300


# -- training ------------------------------------------------------------------------------------------


def data(seed: int, n: int = 3, length: int = 3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, length)), rng.standard_normal(n)


def trained(
    architecture, X, y, *, arrangements="generate", loss="squared", tol=1e-6, beta=0.1, limit=60.0, callback=None
):
    question = Question.of(architecture, X, y, loss=loss, beta=beta)
    rng = np.random.default_rng(0)
    return train_tied(question, arrangements, tol=tol, limit=limit, rng=rng, callback=callback)


TIED = zg.ThreeLayerCNN(2, tied=True, bias=False)


@pytest.mark.parametrize("seed", range(4))
def test_exact_values_are_proved(seed) -> None:
    relaxed, exact, digit = GOLDEN[seed]
    X, y = data(seed)
    network, certificate, history, status = trained(TIED, X, y, arrangements="enumerate")
    assert status is zg.Status.OPTIMAL
    assert certificate.scope == "global"
    assert certificate.proof == ("branch and bound" if exact > relaxed + 1e-6 else "relaxation")
    assert certificate.gap <= 1e-6
    assert abs(certificate.objective - exact) <= 0.5 * digit + 1e-6 * exact
    assert certificate.lower_bound >= exact * (1.0 - 1e-6) - 0.5 * digit
    assert certificate.lower_bound >= relaxed * (1.0 - 1e-6) - 1e-7
    assert abs(network.objective(X, y, beta=0.1) - certificate.objective) <= 1e-12
    assert network.width <= 3
    assert history[-1].bound == certificate.lower_bound


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_other_losses_and_a_bias(loss) -> None:
    X, y = data(11, n=4, length=3)
    y = y if loss == "squared" else np.array([1.0, -1.0, 1.0, -1.0])
    network, certificate, _, status = trained(zg.ThreeLayerCNN(2, tied=True), X, y, loss=loss, tol=1e-3)
    assert status is zg.Status.OPTIMAL
    assert certificate.proof == "branch and bound"
    assert certificate.lower_bound <= network.objective(X, y, loss=loss, beta=0.1) * (1.0 + 1e-12)


def test_a_free_bias_is_searched_but_only_relaxed() -> None:
    X, y = data(12)
    architecture = zg.ThreeLayerCNN(2, tied=True, bias="free")
    network, certificate, _, status = trained(architecture, X, y, tol=1e-4)
    assert status is zg.Status.SEARCHED
    assert certificate.proof == "relaxation"
    assert certificate.estimate >= certificate.objective * (1.0 - 1e-4)
    assert certificate.lower_bound <= certificate.estimate
    assert network.offset != 0.0


def test_large_beta_needs_no_neurons() -> None:
    X, y = data(13)
    network, certificate, _, status = trained(TIED, X, y, beta=100.0)
    assert network.width == 0
    assert status is zg.Status.OPTIMAL
    assert certificate.gap <= 1e-6
    silent = trained(TIED, X, np.zeros(3))
    assert silent[1].objective <= 1e-300
    assert silent[3] is zg.Status.OPTIMAL


def test_a_warm_start_is_used_where_search_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3, 3)), rng.standard_normal(3)
    given = zg.train(TIED, X, y, beta=0.1, prove=False)
    monkeypatch.setattr(TiedRun, "_search", lambda run, *_: (run._neurons[:0], 0.0))
    warm = zg.train(TIED, X, y, beta=0.1, warm_start=given.network)
    assert warm.certificate.objective <= given.certificate.objective * (1.0 + 1e-6)
    assert zg.train(TIED, X, y, beta=0.1, max_time=5.0).certificate.objective > warm.certificate.objective


def test_runs_can_be_stopped() -> None:
    X, y = data(14, n=5, length=4)
    *_, history, status = trained(TIED, X, y, tol=1e-9, callback=lambda record: True)
    assert status is zg.Status.STOPPED
    assert len(history) == 1
    network, certificate, _, status = trained(TIED, X, y, tol=1e-12, limit=1e-3)
    assert status is zg.Status.TIME_LIMIT
    assert certificate.lower_bound <= network.objective(X, y, beta=0.1)


def test_bad_arguments() -> None:
    X, y = data(15)
    with pytest.raises(zg.InputError, match="arrangements: got 50, expected 'enumerate' or 'generate'"):
        trained(TIED, X, y, arrangements=50)
    with pytest.raises(zg.InputError, match="expected a tied three-layer network"):
        trained(zg.ThreeLayerCNN(2), X, y)
