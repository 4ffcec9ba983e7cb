"""The public surface: names, import time, history, and the ways to stop a run early."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from instances import INSTANCES, LOSSES, Instance, make, solved

HEAVY = ("sklearn", "numba", "matplotlib", "scipy", "clarabel", "torch", "typer", "rich", "cvxpy", "pandas", "PIL")

# -- names and import ------------------------------------------------------------------------------------


def isort_key(name: str) -> tuple[bool, str]:
    """Constants first, then classes and functions, as the linter sorts them."""
    return not name.isupper(), name


def test_all_names_are_sorted_public_and_resolve() -> None:
    assert list(zg.__all__) == sorted(set(zg.__all__), key=isort_key)
    public = {name for name in dir(zg) if not name.startswith("_")}
    modules = {path.stem for path in Path(str(zg.__file__)).parent.iterdir() if not path.name.startswith("_")}
    assert set(zg.__all__) <= public
    leaked = public - set(zg.__all__) - modules
    assert leaked <= {"import_module", "TYPE_CHECKING", "Any"}
    for name in zg.__all__:
        value = getattr(zg, name)
        assert value.__module__.startswith("zerogap.")
        assert value.__doc__


def test_every_listed_home_is_right() -> None:
    for name, home in zg._HOMES.items():
        module = importlib.import_module(f"zerogap.{home}")
        assert getattr(module, name) is getattr(zg, name)
    assert sorted(zg._HOMES) == sorted(zg.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        zg.fit  # noqa: B018


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    return done.stdout


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, json, zerogap; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    assert not set(HEAVY) & set(json.loads(fresh(code)))


def test_training_needs_neither_pictures_nor_the_command_line() -> None:
    code = (
        "import sys, zerogap as zg; zg.train(zg.MLP(), [[0.], [1.], [3.]], [1., 0., 2.], arrangements='enumerate');"
        "print(*[m for m in ('matplotlib', 'torch', 'typer', 'rich', 'sklearn', 'clarabel') if m in sys.modules])"
    )
    assert fresh(code).split() == []


def test_import_is_fast() -> None:
    code = "import time; start = time.perf_counter(); import zerogap; print(time.perf_counter() - start)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.3


# -- history ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INSTANCES)
def test_history_is_monotone_and_consistent(name: str) -> None:
    result = solved(name)
    records = result.history
    bounds, objectives = [r.bound for r in records], [r.objective for r in records]
    assert bounds == sorted(bounds)
    assert objectives == sorted(objectives, reverse=True)
    assert [r.time for r in records] == sorted(r.time for r in records)
    assert [r.passes for r in records] == sorted(r.passes for r in records)
    final = result.certificate
    assert max(bounds) <= min(*objectives, final.objective)
    assert final.lower_bound >= max(bounds)
    for record in records:
        assert record.to_dict()["gap"] == record.gap
        assert record.gap == pytest.approx((record.objective - record.bound) / record.objective)


# -- stopping early --------------------------------------------------------------------------------------


def honest(instance: Instance, result: zg.Result, name: str) -> None:
    """Whatever happened: the objective is the network's, and the bound is below the optimum."""
    certificate, best = result.certificate, solved(name).certificate
    value = result.network.objective(instance.X, instance.y, **instance.question())
    assert value <= certificate.objective <= value * (1.0 + 1e-12)
    assert 0.0 <= certificate.lower_bound <= best.objective
    assert certificate.objective >= best.lower_bound
    assert certificate.objective <= certificate.zero_loss * (1.0 + 1e-12)
    assert certificate.scope == best.scope


class InterruptAt:
    """A callback that presses Ctrl-C at iteration k."""

    def __init__(self, k: int) -> None:
        self.k, self.seen = k, 0

    def __call__(self, _: zg.Iteration) -> None:
        self.seen += 1
        if self.seen == self.k:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", [f"mlp-{loss}-bias={bias}" for loss in LOSSES for bias in (True, "free")])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_ctrl_c_returns_the_best_network_so_far(name: str, k: int) -> None:
    instance = INSTANCES[name]
    callback = InterruptAt(k)
    result = instance.train(callback=callback)
    assert result.status is zg.Status.INTERRUPTED
    assert len(result.history) == callback.seen == k
    honest(instance, result, name)
    assert result.certificate.objective <= min(r.objective for r in result.history) * (1.0 + 1e-8)
    assert result.certificate.lower_bound >= result.history[-1].bound


def test_ctrl_c_while_the_network_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    from zerogap.certificates.referee import Referee

    def interrupt(*_: Any, **__: Any) -> float:
        raise KeyboardInterrupt

    name = "mlp-squared-bias=True"
    monkeypatch.setattr(Referee, "hear_network", interrupt)
    result = INSTANCES[name].train(callback=lambda record: True)
    assert result.status in (zg.Status.INTERRUPTED, zg.Status.STOPPED)
    honest(INSTANCES[name], result, name)


@pytest.mark.parametrize("k", [1, 4])
def test_a_true_callback_stops(k: int) -> None:
    name = "average-logistic-bias=True"
    records: list[zg.Iteration] = []

    def callback(record: zg.Iteration) -> bool:
        records.append(record)
        return len(records) == k

    result = INSTANCES[name].train(callback=callback)
    assert result.status is zg.Status.STOPPED
    assert list(result.history) == records
    honest(INSTANCES[name], result, name)
    with pytest.raises(zg.ToleranceError, match="stopped by the callback"):
        result.raise_for_status()


def test_an_error_in_the_callback_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        make("mlp", "squared").train(callback=lambda record: 1 / 0)


@pytest.mark.parametrize("solver", ["interior_point", "clarabel"])
def test_a_tiny_time_limit(solver: str) -> None:
    name = "series-squared-bias=True-weighted"
    result = INSTANCES[name].train(max_time=1e-9, solver=solver)
    assert result.status is zg.Status.TIME_LIMIT
    honest(INSTANCES[name], result, name)


def test_the_time_limit_is_kept_on_a_larger_problem() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 8)), rng.standard_normal(200)
    start = time.monotonic()
    result = zg.train(zg.MLP(), X, y, beta=1e-3, arrangements=100, tol=1e-14, max_time=0.5)
    # One iteration, the recovery of the network and its certificate may follow the limit.
    assert time.monotonic() - start < 10.0
    assert result.status in (zg.Status.TIME_LIMIT, zg.Status.STALLED)
    assert 0.0 <= result.certificate.lower_bound <= result.certificate.objective <= result.certificate.zero_loss


def test_success_raises_nothing_and_statuses_explain_themselves() -> None:
    solved("mlp-squared-bias=True").raise_for_status()
    assert [status for status in zg.Status if status.success] == [zg.Status.OPTIMAL]
    assert all(len(status.value) > 20 for status in zg.Status)
