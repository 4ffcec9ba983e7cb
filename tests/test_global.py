"""Training over all neurons: bounds that are proved, proofs that a stranger can re-check, and attacks on both."""

from __future__ import annotations

import ast
import base64
import copy
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import zerogap as zg
from instances import INSTANCES
from zerogap import checker, clock
from zerogap.architectures import TwoLayer
from zerogap.arrangements import enumerate_cells
from zerogap.cones import project
from zerogap.oracles.branch_and_bound import BranchAndBound, Tree
from zerogap.oracles.form import Form
from zerogap.oracles.relaxation import relax
from zerogap.oracles.search import random_starts, search
from zerogap.rows import Rows
from zerogap.training import all_neurons, price_search
from zerogap.walls import find_walls

Array = NDArray[np.float64]

RNG = np.random.default_rng(5)
IMAGES = RNG.standard_normal((6, 3, 3))
TABLE = np.round(64 * RNG.standard_normal((12, 2))) / 64
SIGNS = np.where(np.arange(12) % 3 == 0, 1.0, -1.0)

PROBLEMS: dict[str, tuple[TwoLayer, Array, Array, dict[str, Any]]] = {
    "plain": (zg.MLP(bias=False), TABLE, TABLE[:, 0] * TABLE[:, 1], {"beta": 0.3}),
    "bias": (zg.MLP(), TABLE, np.abs(TABLE[:, 0]), {"beta": 0.3}),
    "free bias": (zg.MLP(bias="free"), TABLE[:8], np.abs(TABLE[:8, 0]), {"beta": 0.3}),
    "logistic": (zg.MLP(bias="free"), TABLE, SIGNS, {"beta": 0.2, "loss": "logistic"}),
    "hinge": (zg.MLP(bias="free"), TABLE, SIGNS, {"beta": 0.2, "loss": "hinge"}),
    "weights": (zg.MLP(), TABLE, TABLE[:, 1], {"beta": 0.3, "sample_weight": np.arange(12) % 3}),
    "twins": (zg.MLP(), np.repeat(TABLE[:6], 2, axis=0), np.repeat(TABLE[:6, 1], 2), {"beta": 0.3}),
    "series": (zg.CNN(2, pooling="average"), TABLE[:8].reshape(4, 4), SIGNS[:4], {"beta": 0.1}),
    "images": (zg.CNN((1, 2), stride=(2, 1)), IMAGES, SIGNS[:6], {"beta": 0.5}),
    "padded": (zg.CNN((2, 1), padding=(0, 1), dilation=2), IMAGES, SIGNS[:6], {"beta": 0.5}),
    "dependent columns": (zg.MLP(bias=False), np.column_stack([TABLE, TABLE @ [0.5, -1.0]]), SIGNS, {"beta": 0.5}),
    "zero column": (zg.MLP(bias="free"), np.column_stack([TABLE[:8, 0], np.zeros(8)]), SIGNS[:8], {"beta": 0.5}),
    "zero targets": (zg.MLP(), TABLE, np.zeros(12), {"beta": 0.3}),
    "zero inputs": (zg.MLP(bias=False), np.zeros((3, 2)), np.ones(3), {"beta": 0.3}),
}


def trained(name: str, **options: Any) -> zg.Result:
    architecture, X, y, question = PROBLEMS[name]
    return zg.train(architecture, X, y, **question, **({"tol": 1e-2, "prove": 20.0} | options))


def saved(result: zg.Result, folder: Path) -> dict[str, Any]:
    result.certificate.save(folder / "certificate.json")
    contents: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    return contents


def recheck(name: str, contents: dict[str, Any]) -> dict[str, Any]:
    _, X, y, question = PROBLEMS[name]
    weights = question.get("sample_weight")
    check: Any = checker.check
    claims: dict[str, Any] = check(contents, X.tolist(), y.tolist(), None if weights is None else weights.tolist())
    return claims


# -- the whole way -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
def test_proofs_agree_with_enumeration_and_are_accepted_by_the_checker(name: str, tmp_path: Path) -> None:
    result = trained(name)
    certificate = result.certificate
    assert certificate.scope == "global"
    assert certificate.proof == "branch and bound"
    assert certificate.gap <= 1e-2
    assert result.status is zg.Status.OPTIMAL
    architecture, X, y, question = PROBLEMS[name]
    reference = zg.train(architecture, X, y, **question, arrangements="enumerate", tol=1e-7).certificate
    assert certificate.lower_bound <= reference.objective
    assert certificate.objective >= reference.lower_bound
    assert certificate.objective <= reference.objective * (1.0 + 1e-2) + 1e-12
    contents = saved(result, tmp_path)
    assert recheck(name, contents)["lower_bound"] == certificate.lower_bound
    loaded = zg.Certificate.load(tmp_path / "certificate.json")
    assert loaded == certificate
    loaded.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == contents


@pytest.mark.parametrize("name", [name for name in INSTANCES if not INSTANCES[name].architecture.gated][::4])
def test_enumerated_certificates_are_accepted_by_the_checker(name: str, tmp_path: Path) -> None:
    instance = INSTANCES[name]
    result = instance.train()
    contents = saved(result, tmp_path)
    if instance.architecture.offset:
        assert contents["evidence"] is None
        return
    weights = None if instance.weights is None else instance.weights.tolist()
    check: Any = checker.check
    claims = check(contents, instance.X.tolist(), instance.y.tolist(), weights)
    assert claims["scope"] == result.certificate.scope


def test_the_checker_stands_alone(tmp_path: Path) -> None:
    path = Path(checker.__file__ or "")
    source = path.read_text()
    assert len(source.splitlines()) <= 200
    names = [node.names[0].name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]
    names += [node.module or "." for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert set(names) <= sys.stdlib_module_names
    saved(trained("bias"), tmp_path)
    _, X, y, _ = PROBLEMS["bias"]
    (tmp_path / "data.json").write_text(json.dumps({"X": X.tolist(), "y": y.tolist()}))
    command = [sys.executable, "-I", str(path), "certificate.json", "data.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("holds")
    (tmp_path / "data.json").write_text(json.dumps({"X": X.tolist(), "y": (1.5 * y).tolist()}))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_training_is_deterministic() -> None:
    first, second = trained("bias"), trained("bias")
    assert first.certificate == second.certificate
    np.testing.assert_array_equal(first.network.first, second.network.first)


def test_warm_starts_reach_the_same_optimum() -> None:
    architecture, X, y, question = PROBLEMS["bias"]
    poor = zg.Network(architecture, RNG.standard_normal((2, 3)), np.ones(2))
    warm = trained("bias", warm_start=poor).certificate
    assert warm.objective == pytest.approx(trained("bias").certificate.objective, rel=1e-2)
    with pytest.raises(zg.InputError, match="warm_start"):
        zg.train(architecture, X, y, **question, arrangements=5, warm_start=poor)
    with pytest.raises(zg.InputError, match="warm_start"):
        trained("plain", warm_start=poor)


def test_any_network_gets_a_global_certificate() -> None:
    architecture, X, y, question = PROBLEMS["bias"]
    network = zg.Network(architecture, RNG.standard_normal((3, 3)), RNG.standard_normal(3))
    best = zg.train(architecture, X, y, **question, arrangements="enumerate").certificate
    certificate = zg.certify(network, X, y, **question, arrangements="generate", tol=1e-2)
    assert certificate.scope == "global"
    assert certificate.objective == pytest.approx(network.objective(X, y, **question))
    assert 0.98 * best.objective <= certificate.lower_bound <= best.objective
    quick = zg.certify(network, X, y, **question, arrangements="generate", prove=False)
    assert quick.lower_bound <= best.objective


@pytest.mark.parametrize("bias", [True, False, "free"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_the_critical_beta_lies_between_its_bounds(bias: Any, loss: str) -> None:
    exact = zg.critical_beta(zg.MLP(bias=bias), TABLE, SIGNS, loss=loss)
    lower, upper = zg.critical_beta_bounds(zg.MLP(bias=bias), TABLE, SIGNS, loss=loss)
    assert lower <= exact * (1.0 + 1e-9)
    assert exact <= upper * (1.0 + 1e-9)
    assert upper <= lower * (1.0 + 1e-3)


@pytest.mark.parametrize("name", ["plain", "free bias", "logistic", "series"])
def test_networks_are_improved_and_the_violating_neuron_helps(name: str) -> None:
    architecture, X, y, question = PROBLEMS[name]
    poor = zg.train(architecture, X, y, **question, arrangements=2, random_state=3).network
    found = zg.improve(poor, X, y, **question, tol=1e-3, prove=5.0)
    before = poor.objective(X, y, **question)
    assert found.result.certificate.objective <= before
    assert found.result.certificate.lower_bound <= before
    best = zg.train(architecture, X, y, **question, arrangements="enumerate", tol=1e-6).certificate.objective
    assert found.violated == (before > best * (1.0 + 1e-4))
    step = 1e-3
    first = np.vstack([poor.first, step * found.direction])
    second = np.append(poor.second, step * found.sign)
    extended = zg.Network(architecture, first, second, offset=poor.offset)
    assert (extended.objective(X, y, **question) < before) == found.violated
    again = zg.improve(found.result.network, X, y, **question, tol=1e-3, prove=5.0)
    assert again.result.certificate.objective <= found.result.certificate.objective
    assert again.price <= found.price


def test_gated_networks_are_told_to_list_their_gates() -> None:
    with pytest.raises(zg.InputError, match="arrangements=200"):
        zg.train(zg.MLP(gated=True), TABLE, SIGNS)


# -- interrupted and crippled --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"prove": 0.0}, {"prove": 1e-9}, {"max_time": 1e-9}, {"callback": lambda _: True}])
def test_unfinished_work_gives_weaker_bounds_never_wrong_ones(options: dict[str, Any]) -> None:
    best = trained("bias").certificate
    certificate = trained("bias", **options).certificate
    assert certificate.lower_bound <= best.objective
    assert certificate.objective >= best.lower_bound


def test_interrupted_runs_keep_their_network(tmp_path: Path) -> None:
    def interrupt(_: Any) -> bool:
        raise KeyboardInterrupt

    result = trained("bias", callback=interrupt)
    assert result.status is zg.Status.INTERRUPTED
    assert result.certificate.proof == "relaxation"
    assert result.certificate.lower_bound <= trained("bias").certificate.objective
    saved(result, tmp_path)
    assert zg.Certificate.load(tmp_path / "certificate.json") == result.certificate


SAVING = """
import sys
import numpy as np
import zerogap as zg
from zerogap import clock
X = np.array(eval(sys.argv[1]))
runs = [zg.train(zg.MLP(bias=False), X, X[:, 0] * X[:, 1], beta=beta, tol=1e-2) for beta in (0.3, 0.2)]
print("ready", flush=True)
while True:
    for run in runs:
        run.network.save(sys.argv[2] + "/network.safetensors")
        run.certificate.save(sys.argv[2] + "/certificate.json")
"""


def test_killed_runs_leave_files_that_load_and_check(tmp_path: Path) -> None:
    for instant in np.random.default_rng(0).uniform(0.005, 0.1, 5):
        command = [sys.executable, "-c", SAVING, str(TABLE.tolist()), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(instant)
            process.kill()
        certificate = zg.Certificate.load(tmp_path / "certificate.json")
        contents = json.loads((tmp_path / "certificate.json").read_text())
        assert recheck("plain", contents)["lower_bound"] == certificate.lower_bound
        network = zg.Network.load(tmp_path / "network.safetensors")
        assert np.isfinite(network.objective(TABLE, TABLE[:, 0] * TABLE[:, 1], beta=0.3))


def test_search_is_not_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """With pricing crippled to single starts, nothing is claimed, and branch and bound refuses or mends the claim."""
    monkeypatch.setattr(price_search, "STARTS", 1)
    monkeypatch.setattr(price_search, "BATCHES", 1)
    monkeypatch.setattr(all_neurons, "slide", lambda *_: ())
    best = zg.train(zg.MLP(), TABLE, np.abs(TABLE[:, 0]), beta=0.05, arrangements="enumerate", tol=1e-6).certificate
    searched = zg.train(zg.MLP(), TABLE, np.abs(TABLE[:, 0]), beta=0.05, tol=1e-3, prove=False)
    assert searched.status is not zg.Status.OPTIMAL
    assert searched.certificate.proof != "branch and bound"
    assert searched.certificate.lower_bound <= best.objective
    proved = zg.train(zg.MLP(), TABLE, np.abs(TABLE[:, 0]), beta=0.05, tol=1e-3).certificate
    assert proved.lower_bound <= best.objective
    if proved.gap <= 1e-3:
        assert proved.objective <= best.objective * (1.0 + 2e-3)


# -- oracles -------------------------------------------------------------------------------------------


def exact_price(rows: Rows, residual: Array) -> float:
    """From all cells, by projection."""
    walls = find_walls(rows.flat)
    cells = enumerate_cells(walls, rows.flat)
    active = walls.activity(cells.signs)
    spread = np.repeat(residual * rows.scale, rows.matrix.shape[1])
    prices = [
        float(np.linalg.norm(project(walls.normals, signs, sign * (np.where(on, spread, 0.0) @ rows.flat))))
        for signs, on in zip(cells.signs, active, strict=True)
        for sign in (1.0, -1.0)
    ]
    return max(prices, default=0.0)


@st.composite
def priced(draw: st.DrawFn) -> tuple[Rows, Array]:
    """Small integer rows, repeated, parallel, opposite or zero, with a residual."""
    n, positions, p = draw(st.integers(1, 6)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    entries = st.integers(-3, 3).map(float)
    flat = [[draw(entries) for _ in range(p)] for _ in range(n * positions)]
    scale = draw(st.sampled_from([1.0, 0.5, 1e-3]))
    residual = np.array([draw(entries) for _ in range(n)]) * draw(st.sampled_from([1.0, 0.1, 1e4]))
    return Rows(np.array(flat).reshape(n, positions, p), scale), residual


def recheck_tree(rows: Rows, residual: Array, tree: Tree, limit: float) -> None:
    """The independent checker accepts the tree, in the scale of its integers, and refuses it for less than is true."""
    entries = np.rint(residual * 2.0**40).astype(object)
    flat = [
        (row.astype(int).tolist(), int(a)) for sample, a in zip(rows.matrix, entries, strict=True) for row in sample
    ]
    frame = Form.of(rows, free=False).reduced.frame
    proof = {
        "frame": None if frame is None else frame.tolist(),
        "tree": base64.b64encode(tree.records).decode("ascii"),
    }
    check: Any = checker.check_tree
    scaled = Fraction(limit) * 2**40 / Fraction(rows.scale)
    check(flat, proof, scaled * (1 + Fraction(1, 10**9)), False, rows.matrix.shape[2])
    with pytest.raises(ValueError, match="below beta"):
        check(flat, proof, scaled / 2, False, rows.matrix.shape[2])


@settings(max_examples=300)
@given(priced())
def test_branch_and_bound_agrees_with_enumeration(problem: tuple[Rows, Array]) -> None:
    rows, residual = problem
    form = Form.of(rows, free=False)
    exact = exact_price(rows, residual) if form.rows.size else 0.0
    found = search(form, residual, random_starts(form, 20, np.random.default_rng(0)))
    assert found.price <= exact * (1.0 + 1e-9) + 1e-12
    assert max(relax(form, sign * form.coefficients(residual)) for sign in (1.0, -1.0)) >= exact * (1.0 - 1e-12) - 1e-15
    if exact <= 1e-12:  # zero but for the rounding of coefficients that cancel
        return
    deadline = clock.now() + 600.0
    proved = BranchAndBound(form, residual).run([1.01 * exact], deadline)
    assert exact * (1.0 - 1e-12) <= proved.upper <= 1.0101 * exact
    assert proved.tree is not None
    recheck_tree(rows, residual, proved.tree, proved.upper)
    refused = BranchAndBound(form, residual).run([0.99 * exact], deadline)
    assert refused.tree is None
    assert refused.direction is not None
    features = np.maximum(rows.matrix @ refused.direction, 0.0).sum(axis=1) * rows.scale
    attained = abs(float(residual @ features)) / float(np.linalg.norm(refused.direction))
    assert attained == pytest.approx(refused.value, rel=1e-9)
    assert attained > 0.98 * exact


@pytest.mark.parametrize("p", [2, 3, 4, 5, 6])
def test_planted_neurons_are_found(p: int) -> None:
    rng = np.random.default_rng(p)
    rows = Rows(rng.standard_normal((8 * p, 1, p)))
    form = Form.of(rows, free=False)
    neuron = rng.standard_normal(p)
    neuron /= np.linalg.norm(neuron)
    features = np.maximum(rows.matrix[:, 0] @ neuron, 0.0)
    residual = features - 0.5 * features.mean()
    price = float(residual @ features)
    found = BranchAndBound(form, residual).run([0.999 * price], clock.now() + 600.0)
    assert found.tree is None
    assert found.direction is not None
    assert found.value > 0.998 * price


# -- forgery -------------------------------------------------------------------------------------------


def places(contents: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all numbers and strings of a file, at most a few in every list."""
    entries = contents.items() if isinstance(contents, dict) else enumerate(contents)
    for key, value in entries:
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))
        elif not isinstance(key, int) or key < 3:
            yield (*path, key)


def forged(contents: dict[str, Any], rng: np.random.Generator, where: list[tuple[Any, ...]]) -> dict[str, Any]:
    """The file with one field changed."""
    changed = copy.deepcopy(contents)
    path = where[int(rng.integers(len(where)))]
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    old = holder[path[-1]]
    if path[-1] == "tree":
        raw = bytearray(zlib.decompress(base64.b64decode(old)))
        k = int(rng.integers(len(raw)))
        raw[k] = (raw[k] + int(rng.integers(1, 256))) % 256
        holder[path[-1]] = base64.b64encode(zlib.compress(bytes(raw[: len(raw) - 2 * int(rng.integers(2))]))).decode()
    elif isinstance(old, bool) or old is None:
        holder[path[-1]] = [True, False, None, "free"][int(rng.integers(4))]
    elif isinstance(old, (int, float)):
        factor = [1.0 + 1e-12, 1.0 + 1e-9, 1.0 - 1e-9, 1.001, 0.999, 2.0, 0.5, -1.0, 0.0][int(rng.integers(9))]
        holder[path[-1]] = old + int(rng.integers(-2, 3)) if isinstance(old, int) else old * factor
    else:
        words = ["squared", "logistic", "hinge", "sum", "average", "global", "sampled", "MLP", "CNN", "enumeration"]
        holder[path[-1]] = words[int(rng.integers(len(words)))]
    return changed


ACCEPTABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)
DEFINING = ("architecture", "loss", "beta")


@pytest.mark.parametrize("name", ["plain", "bias", "free bias", "logistic", "weights", "series"])
def test_forged_files_are_refused_unless_their_claims_are_true(name: str, tmp_path: Path) -> None:
    architecture, X, y, question = PROBLEMS[name]
    contents = saved(trained(name, tol=5e-2), tmp_path)
    optimum = zg.train(architecture, X, y, **question, arrangements="enumerate", tol=1e-7).certificate.objective
    rng = np.random.default_rng(0)
    where = [
        path for path in places(contents) if path[0] not in ("source", "estimate", "gap", "absolute_gap", "proved")
    ]
    accepted = 0
    for _ in range(400):
        attempt = forged(contents, rng, where)
        try:
            recheck(name, attempt)
        except ACCEPTABLE:
            continue
        accepted += 1
        network = attempt["evidence"]["network"]
        try:
            truth = zg.Network(architecture, network["first"], network["second"], offset=network["offset"]).objective(
                X, y, **(question | {"beta": attempt["beta"]})
            )
        except zg.InputError:
            raise AssertionError(f"accepted a network of another shape: {network}") from None
        assert attempt["objective"] >= truth * (1.0 - 1e-12)
        if attempt["beta"] == contents["beta"]:
            assert attempt["lower_bound"] <= optimum
        else:
            again = zg.train(architecture, X, y, **(question | {"beta": attempt["beta"]}), arrangements="enumerate")
            assert attempt["lower_bound"] <= again.certificate.objective
        if architecture.bias == "free":
            # There is a constant in any case.
            attempt["architecture"]["intercept"] = False
        for key in ("architecture", "loss", "scope", "proof", "samples", "width"):
            assert attempt[key] == contents[key], key
    assert accepted < 200


def test_other_data_are_refused_or_the_claim_holds_for_them(tmp_path: Path) -> None:
    architecture, X, y, question = PROBLEMS["bias"]
    contents = saved(trained("bias", tol=5e-2), tmp_path)
    check: Any = checker.check
    rng = np.random.default_rng(1)
    for _ in range(100):
        other_x, other_y = X.copy(), y.copy()
        k = int(rng.integers(len(y)))
        other_x[k] += rng.choice([0.0, 1e-3, 1.0]) * rng.standard_normal(2)
        other_y[k] += rng.choice([1e-3, 1.0]) * rng.standard_normal()
        try:
            check(contents, other_x.tolist(), other_y.tolist())
        except ACCEPTABLE:
            continue
        best = zg.train(architecture, other_x, other_y, **question, arrangements="enumerate").certificate
        assert contents["lower_bound"] <= best.objective
