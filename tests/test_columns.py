"""Rounds over neurons of fixed direction, the searches that price them, and what becomes of their crowds."""

import numpy as np
import pytest

import zerogap as zg
from zerogap import clock
from zerogap.certificates.objective import objective_above
from zerogap.oracles.form import Form
from zerogap.oracles.search import random_starts
from zerogap.pruning import reduced_weights
from zerogap.question import Question
from zerogap.training.columns import Columns, Weighed
from zerogap.training.price_search import PriceSearch
from zerogap.training.recovery import consolidated
from zerogap.training.rounds import Round

ARCHITECTURES = [
    zg.MLP(),
    zg.MLP(bias=False),
    zg.MLP(bias="free"),
    zg.MLP(intercept=True),
    zg.CNN(2),
    zg.CNN(2, pooling="average", bias=False),
]
LOSSES = ["squared", "logistic", "hinge"]


def asked(architecture: zg.MLP | zg.CNN, loss: str, seed: int = 0, n: int = 12) -> tuple[Question, tuple]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4 if isinstance(architecture, zg.CNN) else 2))
    y = np.abs(X[:, 0]) - 0.7 + 0.2 * rng.standard_normal(n)
    y = y if loss == "squared" else np.where(y > 0.0, 1.0, -1.0)
    return Question.of(architecture, X, y, loss=loss, beta=0.2), (architecture, X, y)


def searching(question: Question, tol: float = 1e-4) -> PriceSearch:
    form = Form.of(question.rows, free=question.architecture.free)
    return PriceSearch(question, form, tol, np.random.default_rng(0))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_columns_reach_the_optimum_over_all_cells(architecture: zg.MLP | zg.CNN, loss: str) -> None:
    question, (_, X, y) = asked(architecture, loss)
    optimum = zg.train(architecture, X, y, loss=loss, beta=0.2, arrangements="enumerate", tol=1e-7).certificate
    search = searching(question)
    columns, lowest, closest = Columns(search, random_starts(search.form, 20, search.rng)), np.inf, np.inf
    for item in columns.rounds():
        if isinstance(item, Weighed):
            network = item.network(question)
            # The program is the network: every iterate attains what it says.
            assert objective_above(question, network) == pytest.approx(item.iterate.primal, rel=1e-9)
            assert item.iterate.primal >= optimum.lower_bound * (1.0 - 1e-9)
            lowest = min(lowest, item.iterate.primal)
        else:
            assert item.estimate == pytest.approx(search.gap(item.iterate.primal, item.dual), abs=1e-12)
            closest = min(closest, item.estimate)
        if closest <= search.tol:
            break
    assert lowest <= optimum.objective * (1.0 + 1e-3)
    assert closest <= 1e-3


def test_what_is_insisted_on_joins() -> None:
    question, _ = asked(zg.MLP(bias=False), "squared")
    search = searching(question)
    columns = Columns(search, np.eye(2)[:1])
    rounds = columns.rounds()
    while not isinstance(item := next(rounds), Round):
        assert item.directions.shape[0] == 1
    wanted = np.array([3.0, -4.0])
    columns.insist(wanted)
    assert columns.dual is None
    item = next(rounds)
    assert isinstance(item, Weighed)
    np.testing.assert_allclose(item.directions[-1], wanted / 5.0)


def test_without_neurons_the_best_constant_is_priced() -> None:
    question, _ = asked(zg.MLP(intercept=True), "squared")
    search = searching(question)
    rounds = Columns(search, np.zeros((0, 3))).rounds()
    first = next(rounds)
    assert isinstance(first, Weighed)
    assert first.network(question).width == 0
    assert first.iterate.primal == pytest.approx(question.loss.value(question.nothing + question.constant))
    second = next(rounds)
    assert isinstance(second, Round)
    assert second.dual.price > question.beta


def test_columns_of_zeros_get_no_weights_and_no_neuron_is_free() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((15, 2)), np.zeros(15)])
    question = Question.of(zg.MLP(bias="free"), X, np.abs(X[:, 0]), loss="squared", beta=0.1)
    # Directions on the empty column, and on the free bias alone, cost something for nothing, or nothing.
    starts = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 5.0, 0.3]])
    columns = Columns(searching(question), starts)
    np.testing.assert_allclose(columns.directions, [[0.5**0.5, 0.5**0.5, 0.0, 0.3 * 0.5**0.5]])
    for k, item in enumerate(columns.rounds()):
        if isinstance(item, Weighed):
            assert not item.directions[:, 2].any()
        if k > 60:
            break


@pytest.mark.parametrize("loss", LOSSES)
def test_crowds_become_thin_networks_that_are_no_worse(loss: str) -> None:
    question, _ = asked(zg.MLP(), loss, n=20)
    rng = np.random.default_rng(1)
    few = zg.train(zg.MLP(), *asked(zg.MLP(), loss, n=20)[1][1:], loss=loss, beta=0.2, tol=1e-3, prove=False).network
    copies = np.repeat(few.balanced().first, 30, axis=0)
    copies = copies * (1.0 + 1e-4 * rng.standard_normal(copies.shape)) / 30**0.5
    crowd = zg.Network(zg.MLP(), copies, np.repeat(few.balanced().second, 30) / 30**0.5, offset=few.offset)
    found = consolidated(question, crowd, 1e-2, np.inf)
    assert found.width <= min(few.width, question.rows.samples)
    assert objective_above(question, found) <= objective_above(question, crowd.pruned(question.rows)) * (1.0 + 1e-3)
    # Out of time, pruning alone is left.
    assert consolidated(question, crowd, 1e-2, clock.now()).width <= question.rows.samples


@pytest.mark.parametrize("kind", ["many", "near", "low rank", "twins", "few"])
def test_pruning_keeps_the_sum_and_raises_no_cost(kind: str) -> None:
    rng = np.random.default_rng(0)
    n, m = 30, 400
    effects = rng.standard_normal((n, m))
    if kind == "near":
        effects = np.repeat(effects[:, :20], 20, axis=1) + 1e-9 * effects
    if kind == "low rank":
        effects = effects[:, :5] @ rng.standard_normal((5, m))
    if kind == "twins":
        effects = np.repeat(effects[:, :8], 50, axis=1)
    if kind == "few":
        effects = effects[:, :12]
    effects[:, 3] = 0.0
    effects *= np.exp(4.0 * rng.standard_normal(effects.shape[1]))
    cost = rng.random(effects.shape[1])
    weights = reduced_weights(effects, cost)
    assert np.all(weights >= 0.0)
    assert weights[3] == 0.0
    rank = {"low rank": 5, "twins": 8, "few": 11}.get(kind, n)
    assert 0 < np.sum(weights > 0.0) <= rank
    np.testing.assert_allclose(effects @ weights, effects.sum(axis=1), rtol=0.0, atol=1e-9 * np.abs(effects).sum())
    assert cost @ weights <= cost.sum() * (1.0 + 1e-9)


@pytest.mark.parametrize("size", [1e-90, 1.0, 1e90])
@pytest.mark.parametrize("seed", range(30))
def test_opposite_effects_of_equal_cost_vanish_together(seed: int, size: float) -> None:
    effects = size * np.random.default_rng(seed).standard_normal((3, 4))
    effects = np.concatenate([effects, -effects, effects, -effects], axis=1)
    weights = reduced_weights(effects, np.ones(16))
    assert np.isfinite(weights).all()
    assert np.sum(weights > 0.0) <= 3
    np.testing.assert_allclose(effects @ weights, 0.0, atol=1e-12 * size)


@pytest.mark.parametrize("where", ["Sliding.continued", "Network.pruned"])
def test_ctrl_c_while_a_crowd_thins_keeps_the_network(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    question, (architecture, X, y) = asked(zg.MLP(), "squared")
    best = zg.train(architecture, X, y, beta=0.2, tol=1e-2).certificate.objective
    monkeypatch.setattr(f"zerogap.training.recovery.{where}", interrupted)
    result = zg.train(architecture, X, y, beta=0.2, tol=1e-2, prove=False)
    assert result.certificate.objective <= 1.02 * best
    assert result.network.width > 0
    assert where == "Network.pruned" or result.network.width <= question.rows.samples
