"""Bounds of networks with a free constant, and of torch models, against every better network that can be built.

Descents from many starts, exact convex programs and forged files; no claim may survive a contradiction.
"""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

import zerogap as zg
from reference import optimum
from zerogap import checker
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.global_referee import GlobalReferee
from zerogap.question import Question

Array = NDArray[np.float64]


def descended(template: zg.Network, X: Any, y: Any, starts: int = 2, **question: Any) -> float:
    """The least objective of networks of this form that L-BFGS finds, with finite differences."""
    rng, best = np.random.default_rng(0), np.inf
    first, second = template.first.shape[1:], template.second.shape[1:]
    inner = None if template.filters is None else template.filters.shape[1:]
    sizes = [3 * int(np.prod(shape)) for shape in (first, second, (0,) if inner is None else inner)]

    def value(z: Array) -> float:
        u, w, h, b = np.split(z, np.cumsum(sizes))
        offset = b if np.ndim(template.offset) else float(b[0])
        filters = None if inner is None else h.reshape(3, *inner)
        second_layer = w.reshape(3, *second)
        network = zg.Network(template.architecture, u.reshape(3, *first), second_layer, filters=filters, offset=offset)
        return network.objective(X, y, **question)

    for scale in np.geomspace(0.3, 2.0, starts):
        z = np.concatenate([scale * rng.standard_normal(sum(sizes)), np.zeros(np.size(template.offset))])
        best = min(best, float(minimize(value, z, method="L-BFGS-B", options={"maxiter": 25}).fun))
    return best


def honest(result: zg.Result, X: Any, y: Any, **question: Any) -> None:
    """The objective is that of the network, and the history only improves and ends at no better bound."""
    certificate = result.certificate
    assert result.network.objective(X, y, **question) <= certificate.objective * (1.0 + 1e-13)
    assert 0.0 <= certificate.lower_bound <= certificate.objective
    bounds, objectives = [h.bound for h in result.history], [h.objective for h in result.history]
    assert bounds == sorted(bounds)
    assert objectives == sorted(objectives, reverse=True)
    assert max(bounds, default=0.0) <= certificate.lower_bound


# -- one output, against the exact program -----------------------------------------------------------


@pytest.mark.parametrize("arrangements", ["generate", "enumerate"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize("bias", [True, False, "free"])
def test_bounds_lie_below_the_exact_optimum(bias: Any, loss: str, arrangements: str, tmp_path: Path) -> None:
    """Samples weighted from 0.05 to 20, one row of zeros; a stranger re-checks what is saved."""
    rng = np.random.default_rng([bias is True, bias == "free", len(loss)])
    X, weights = rng.standard_normal((5, 1 + (bias is False))), 10.0 ** rng.uniform(-1.3, 1.3, 5)
    X[2] = 0.0
    y = 4.0 + rng.standard_normal(5) if loss == "squared" else np.array([1.0, 1.0, 1.0, 1.0, -1.0])
    architecture = zg.MLP(bias=bias, intercept=True)
    question: dict[str, Any] = {"loss": loss, "beta": 0.05, "sample_weight": weights}
    result = zg.train(architecture, X, y, arrangements=arrangements, tol=1e-3, prove=2.0, **question)
    honest(result, X, y, **question)
    exact = optimum(architecture, X, y, loss=loss, beta=0.05, weights=weights)
    assert result.certificate.lower_bound <= exact * (1.0 + 1e-6)
    assert exact <= result.certificate.objective * (1.0 + 1e-6)
    if arrangements == "generate":
        result.certificate.save(tmp_path / "certificate.json")
        check: Any = checker.check
        check(json.loads((tmp_path / "certificate.json").read_text()), X.tolist(), y.tolist(), weights.tolist())


def test_no_budget_and_no_interruption_lifts_a_bound_above_the_optimum() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((8, 1)), 5.0 + rng.standard_normal(8)
    architecture = zg.MLP(intercept=True)
    exact = optimum(architecture, X, y, loss="squared", beta=0.1)
    for budget in (False, 1e-3, 1.0):
        for stop in (1, 3, 10**9):
            steps = count(1)
            result = zg.train(
                architecture, X, y, beta=0.1, prove=budget, callback=lambda _, s=steps, k=stop: next(s) >= k
            )
            honest(result, X, y, beta=0.1)
            assert result.certificate.lower_bound <= exact * (1.0 + 1e-6) <= result.certificate.objective * (1.0 + 2e-6)
            certificate = zg.certify(result.network, X, y, beta=0.1, prove=budget)
            assert certificate.lower_bound <= exact * (1.0 + 1e-6)


# -- every other architecture, against descent -------------------------------------------------------

SERIES = np.random.default_rng(7).standard_normal((4, 3))
CURVE = 3.0 + np.abs(SERIES[:, 0]) - SERIES[:, 1] * SERIES[:, 2]
PAIR = np.stack([CURVE, -2.0 * CURVE], axis=1)
MANY: dict[str, tuple[Any, Any, str]] = {
    "outputs": (zg.MLP(intercept=True), PAIR, "squared"),
    "labels": (zg.MLP(intercept=True, bias=False), np.array([[1.0, -1], [1, 1], [-1, 1], [1, 1]]), "logistic"),
    "classes": (zg.MLP(intercept=True), np.array([0, 1, 2, 2]), "cross_entropy"),
    "free classes": (zg.MLP(bias="free"), np.array([0, 1, 1, 1]), "cross_entropy"),
    "leaky": (zg.MLP(intercept=True, slope=0.3), CURVE, "squared"),
    "average": (zg.CNN(2, pooling="average", intercept=True), PAIR, "squared"),
    "maximum": (zg.CNN(2, pooling="max", intercept=True), np.array([1.0, 1, 1, -1]), "logistic"),
    "no pooling": (zg.CNN(2, pooling="none", intercept=True, bias=False), CURVE, "squared"),
    "linear": (zg.LinearCNN(2, intercept=True), PAIR, "squared"),
    "linear labels": (zg.LinearCNN(2, intercept=True, bias=False), np.array([1.0, 1, 1, -1]), "logistic"),
    "circular": (zg.CircularCNN(intercept=True), CURVE, "squared"),
}


@pytest.mark.parametrize("name", MANY)
def test_descent_finds_no_network_below_a_bound(name: str) -> None:
    architecture, y, loss = MANY[name]
    question: dict[str, Any] = {"loss": loss, "beta": 0.1}
    result = zg.train(architecture, SERIES, y, tol=1e-2, prove=0.3, max_time=2.0, **question)
    honest(result, SERIES, y, **question)
    assert result.certificate.scope == "global"
    assert result.certificate.lower_bound <= descended(result.network, SERIES, y, **question)
    halved = zg.Network(
        architecture,
        result.network.first,
        0.5 * result.network.second,
        filters=result.network.filters,
        offset=result.network.offset,
    )
    judged = zg.certify(halved, SERIES, y, prove=0.2, **question)
    assert judged.lower_bound <= result.certificate.objective


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_gated_networks_with_a_constant_against_the_exact_program(loss: str) -> None:
    rng = np.random.default_rng(11)
    X, gates = rng.standard_normal((6, 2)), rng.standard_normal((3, 3))
    y = 7.0 + rng.standard_normal(6) if loss == "squared" else np.array([1.0, 1, 1, 1, -1, -1])
    architecture = zg.MLP(gated=True, intercept=True)
    result = zg.train(architecture, X, y, loss=loss, beta=0.1, arrangements=gates, tol=1e-6)
    honest(result, X, y, loss=loss, beta=0.1)
    exact = optimum(architecture, X, y, loss=loss, beta=0.1, gates=gates)
    assert result.certificate.scope == "gated"
    assert result.certificate.lower_bound <= exact * (1.0 + 1e-6) <= result.certificate.objective * (1.0 + 2e-6)


# -- the balance of dual points ------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 8.0])
def test_dual_points_sum_to_zero_exactly(spread: float) -> None:
    """In rational arithmetic, for every output, with entries of sizes that differ by many powers of ten."""
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((9, 2)), rng.standard_normal(9)
    labels = np.where(rng.random((9, 3)) < 0.5, 1.0, -1.0)
    labels[0], labels[1] = 1.0, -1.0
    classes = np.arange(9) % 3
    weights = 10.0 ** rng.uniform(-spread / 2.0, spread / 2.0, 9)
    for targets, loss in ((y, "squared"), (labels[:, 0], "logistic"), (labels[:, 0], "hinge")):
        question = Question.of(zg.MLP(intercept=True), X, targets, loss=loss, beta=0.1, sample_weight=weights)
        referee = GlobalReferee(question)
        for _ in range(5):
            residual = referee.feasible(-question.loss.gradient(rng.standard_normal(question.rows.samples)))
            assert residual is not None
            for price in (1e-9, 1.0, 1e9):
                point = referee.scaled(residual, price)
                assert sum(Fraction(v) for v in point.tolist()) == 0
                low, high = question.loss.box()
                assert np.all((low <= point) & (point <= high))
    for targets, loss in ((np.stack([y, -y], axis=1), "squared"), (labels, "logistic"), (classes, "cross_entropy")):
        question = Question.of(zg.MLP(intercept=True), X, targets, loss=loss, beta=0.1, sample_weight=weights)
        judge = FeatureReferee(question)
        found = [judge.feasible(-question.loss.gradient(rng.standard_normal(question.nothing.shape))) for _ in range(5)]
        # With very different weights no balance may be found for classes: then nothing is proved.
        assert loss == "cross_entropy" or all(point is not None for point in found)
        for balanced in found:
            columns = [] if balanced is None else balanced.T.tolist()
            assert all(sum(map(Fraction, column)) == 0 for column in columns)


# -- forgeries ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any], list[Any]]:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((7, 2)), 3.0 + rng.standard_normal(7)
    path = tmp_path_factory.mktemp("forged") / "certificate.json"
    zg.train(zg.MLP(intercept=True), X, y, beta=0.2, tol=1e-3).certificate.save(path)
    contents = json.loads(path.read_text())
    check: Any = checker.check
    check(copy.deepcopy(contents), X.tolist(), y.tolist())
    return contents, X.tolist(), y.tolist()


def _scale_residual(c: Any) -> None:
    c["evidence"]["residual"] = [1.01 * v for v in c["evidence"]["residual"]]


FORGERIES: dict[str, Any] = {
    "bound": lambda c: c.update(lower_bound=c["lower_bound"] * (1.0 + 1e-7)),
    "objective": lambda c: c.update(objective=c["objective"] * (1.0 - 1e-7)),
    "one residual": lambda c: c["evidence"]["residual"].__setitem__(0, c["evidence"]["residual"][0] * (1.0 + 2.0**-40)),
    "all residuals": _scale_residual,
    "constant": lambda c: c["evidence"]["network"].update(offset=c["evidence"]["network"]["offset"] + 1e-3),
    "none allowed": lambda c: c["architecture"].update(intercept=False),
    "none named": lambda c: c["architecture"].pop("intercept"),
    "a word": lambda c: c["architecture"].update(intercept="no"),
    "a free bias": lambda c: c["architecture"].update(bias="free"),
    "less decay": lambda c: c.update(beta=0.99 * c["beta"]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_stranger_refuses_forged_constants(name: str, certified: Any) -> None:
    contents, X, y = certified
    forged = copy.deepcopy(contents)
    FORGERIES[name](forged)
    check: Any = checker.check
    with pytest.raises(ValueError, match="the evidence lacks"):
        check(forged, X, y)


# -- torch ----------------------------------------------------------------------------------------------

BINARY = np.array([[1.0], [0.0], [0.0], [0.0], [0.0], [0.0]])
MODELS: list[Any] = [
    # criterion and its options, targets, outputs, biases, decays, decayed biases, type
    ("MSELoss", {}, "shifted", 1, (True, True), 0.02, None, "float64"),
    ("MSELoss", {"reduction": "sum"}, "shifted", 3, (True, True), (0.3, 0.003), None, "float32"),
    ("MSELoss", {}, "constant", 2, (True, True), 0.5, None, "float64"),
    ("MSELoss", {}, "shifted", 1, (True, True), 3e-4, (False, True), "float64"),
    ("MSELoss", {}, "shifted", 2, (False, True), (1e-3, 1.0), None, "float32"),
    ("CrossEntropyLoss", {}, "rare", 3, (True, True), 0.05, None, "float64"),
    ("CrossEntropyLoss", {"weight": (0.1, 5.0)}, "rare", 2, (True, True), 0.01, False, "float64"),
    ("CrossEntropyLoss", {"weight": (20.0, 0.3, 0.0, 1.0)}, "rare", 4, (True, True), 0.03, None, "float32"),
    ("BCEWithLogitsLoss", {}, "binary", 1, (True, True), 0.1, None, "float64"),
    ("BCEWithLogitsLoss", {}, "binary", 1, (True, False), (1e-4, 0.1), (True, False), "float32"),
]


@pytest.mark.parametrize("case", range(len(MODELS)))
def test_no_torch_model_is_below_the_bound_in_torch(case: int) -> None:
    torch = pytest.importorskip("torch")
    name, options, kind, outputs, biases, decay, decayed, dtype = MODELS[case]
    rng = np.random.default_rng(case)
    X = torch.tensor(rng.standard_normal((6, 2)))
    targets = {
        "shifted": torch.tensor(rng.standard_normal((6, outputs)) + 3.0),
        "constant": torch.full((6, outputs), 2.0, dtype=torch.float64),
        "rare": torch.tensor([0, 1, 0, 0, 0, 0]),
        "binary": torch.tensor(BINARY),
    }[kind]
    if "weight" in options:
        options = {**options, "weight": torch.tensor(options["weight"], dtype=torch.float64)}
    criterion = getattr(torch.nn, name)(**options)
    pair = decay if isinstance(decay, tuple) else (decay, decay)
    flags = (True, True) if decayed is None else decayed if isinstance(decayed, tuple) else (decayed, decayed)

    def objective(model: Any) -> Any:
        total = criterion(model(X), targets)
        for layer, size, flag in zip((model[0], model[2]), pair, flags, strict=True):
            total = total + 0.5 * size * layer.weight.square().sum()
            if flag and layer.bias is not None:
                total = total + 0.5 * size * layer.bias.square().sum()
        return total

    def built(width: int) -> Any:
        first = torch.nn.Linear(2, width, bias=biases[0])
        return torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(width, outputs, bias=biases[1])).double()

    def trained(model: Any) -> Any:
        lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe")

        def closure() -> Any:
            lbfgs.zero_grad()
            value = objective(model)
            value.backward()
            return value

        lbfgs.step(closure)
        return model

    torch.manual_seed(case)
    given = trained(built(5)).to(getattr(torch, dtype))
    audit = zg.certify(given, X, targets, loss=criterion, weight_decay=decay, decay_biases=decayed, prove=0.5)
    exact = float(objective(copy.deepcopy(given).double()).detach())
    assert exact * (1.0 - 1e-13) <= audit.torch_objective <= exact * (1.0 + 1e-9)
    values = [float(objective(trained(built(width))).detach()) for width in (1, 8)]
    assert audit.scope == "global"
    assert 0.0 <= audit.torch_bound <= min(values)


# -- scaled problems -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_an_estimator_certifies_the_problem_that_it_scaled(scale: float) -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(1)
    X, y = scale * rng.standard_normal((10, 2)), scale * (3.0 + rng.standard_normal(10))
    model = zg.ConvexMLPRegressor(beta=0.3, tol=1e-2, prove=1.0, max_time=2.0, standardise=True).fit(X, y)
    parts = model.model_
    assert parts.inputs is not None
    assert parts.targets is not None
    inputs, targets = parts.inputs(X), parts.targets(y)
    certificate = model.certificate_
    truth = model.network_.objective(inputs, targets, beta=0.3)
    assert certificate.lower_bound <= truth <= certificate.objective * (1.0 + 1e-13)
    found = parts.targets(model.predict(X))
    loss = 0.5 * float(np.sum((found - targets) ** 2))
    assert loss <= certificate.objective * (1.0 + 1e-9)
    other = zg.certify(model.network_, inputs, targets, beta=0.3, prove=0.5)
    assert other.lower_bound <= certificate.objective
