"""Bad input at every public entry point: each error says what, got, expected and remedy."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 2)), RNG.standard_normal(6)
SIGNS = np.resize([1.0, -1.0], 6)
IMAGES = RNG.standard_normal((4, 3, 3))
NET = zg.Network(zg.MLP(bias=False), [[1.0, 0.5]], [2.0])


def spoiled(value: Any) -> np.ndarray:
    array = X.copy()
    array[1, 1] = value
    return array


BAD_X = {
    "a number": 3.0,
    "one axis": X[:, 0],
    "three axes": X[None],
    "empty": np.zeros((0, 2)),
    "no features": np.zeros((6, 0)),
    "NaN": spoiled(np.nan),
    "infinite": spoiled(-np.inf),
    "too large": spoiled(1e200),
    "strings": np.full((6, 2), "a"),
    "objects": np.array([[object(), 1.0]] * 6),
    "complex": X + 1j,
    "ragged": [[1.0, 2.0], [3.0]],
    "None": None,
}
BAD_Y = {
    "too short": Y[:5],
    "three axes": np.ones((6, 2, 2)),
    "NaN": np.where(np.arange(6) == 2, np.nan, Y),
    "infinite": np.where(np.arange(6) == 2, np.inf, Y),
    "strings": np.array(list("abcdef")),
    "empty": np.array([]),
}
BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "beta zero": {"beta": 0.0},
    "beta negative": {"beta": -1.0},
    "beta NaN": {"beta": float("nan")},
    "beta infinite": {"beta": float("inf")},
    "beta text": {"beta": "1"},
    "beta boolean": {"beta": True},
    "loss unknown": {"loss": "absolute"},
    "loss no text": {"loss": 3},
    "labels for logistic": {"loss": "logistic"},
    "labels for hinge": {"loss": "hinge"},
    "no cells": {"arrangements": 0},
    "negative cells": {"arrangements": -3},
    "fractional cells": {"arrangements": 2.5},
    "boolean cells": {"arrangements": True},
    "unknown arrangements": {"arrangements": "generate all"},
    "gates of a wrong length": {"arrangements": np.ones((3, 5))},
    "gates with NaN": {"arrangements": np.full((3, 3), np.nan)},
    "one gate vector": {"arrangements": np.ones(3)},
    "negative weights": {"sample_weight": -np.ones(6)},
    "zero weights": {"sample_weight": np.zeros(6)},
    "short weights": {"sample_weight": np.ones(5)},
    "NaN weights": {"sample_weight": np.full(6, np.nan)},
    "random state": {"random_state": "seed"},
    "negative seed": {"random_state": -1},
}
TRAIN_OPTIONS: dict[str, dict[str, Any]] = {
    "tol zero": {"tol": 0.0},
    "tol text": {"tol": "small"},
    "max_time negative": {"max_time": -1.0},
    "callback": {"callback": 3},
    "solver": {"solver": "simplex"},
    "arrangements None": {"arrangements": None},
}


def complains(call: Any, *, about: type[Exception] = zg.InputError) -> zg.InputError:
    with pytest.raises(about) as caught:
        call()
    error = caught.value
    assert isinstance(error, zg.InputError)
    for part in (error.what, error.got, error.expected, error.remedy):
        assert part
        assert part in str(error)
    return error


def ENTRIES(inputs: Any, target: Any, **options: Any) -> list[Any]:  # noqa: N802
    """Every public function that takes data."""
    shared = {key: value for key, value in options.items() if key in ("loss", "beta", "sample_weight")}
    seeded = {**shared, **{key: value for key, value in options.items() if key == "random_state"}}
    celled = {**seeded, **{key: value for key, value in options.items() if key == "arrangements"}}
    without_beta = {key: value for key, value in celled.items() if key != "beta"}
    calls = [
        lambda: zg.train(zg.MLP(), inputs, target, **{"beta": 0.5, "arrangements": 4, **celled}),
        lambda: zg.certify(zg.Network(zg.MLP(), np.ones((1, 3)), [1.0]), inputs, target, **{"beta": 0.5, **celled}),
    ]
    if "arrangements" not in options:
        calls.append(lambda: train_by_gradient(zg.MLP(), inputs, target, iterations=2, **{"beta": 0.5, **seeded}))
    if "beta" not in options:
        calls.append(lambda: zg.critical_beta(zg.MLP(), inputs, target, **{"arrangements": 4, **without_beta}))
    if not {"arrangements", "random_state"} & set(options):
        network = zg.Network(zg.MLP(), np.ones((1, 3)), [1.0])
        calls.append(lambda: network.objective(inputs, target, **{"beta": 0.5, **shared}))
    return calls


@pytest.mark.parametrize("name", BAD_X)
def test_bad_inputs(name: str) -> None:
    for call in ENTRIES(BAD_X[name], Y):
        complains(call)
    complains(lambda: NET(BAD_X[name]))
    complains(lambda: NET.prune(BAD_X[name]))


@pytest.mark.parametrize("name", BAD_Y)
def test_bad_targets(name: str) -> None:
    for call in ENTRIES(X, BAD_Y[name]):
        complains(call)


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(name: str) -> None:
    for call in ENTRIES(X, Y, **BAD_OPTIONS[name]):
        complains(call)


@pytest.mark.parametrize("name", TRAIN_OPTIONS)
def test_bad_training_options(name: str) -> None:
    complains(lambda: zg.train(zg.MLP(), X, Y, **TRAIN_OPTIONS[name]))


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_one_class(loss: str) -> None:
    for call in ENTRIES(X, np.ones(6), loss=loss):
        assert "one class" in complains(call).got


@pytest.mark.parametrize(
    "call",
    [
        lambda: zg.MLP(bias="maybe"),
        lambda: zg.MLP(bias=1),
        lambda: zg.MLP(gated="yes"),
        lambda: zg.MLP(cone_penalty=1.0),
        lambda: zg.MLP(gated=True, cone_penalty=-1.0),
        lambda: zg.MLP(gated=True, cone_penalty=1.0, bias="free"),
        lambda: zg.CNN(0),
        lambda: zg.CNN(-2),
        lambda: zg.CNN(2.5),
        lambda: zg.CNN(True),
        lambda: zg.CNN("3"),
        lambda: zg.CNN((3, 3, 3)),
        lambda: zg.CNN(3, stride=0),
        lambda: zg.CNN(3, padding=-1),
        lambda: zg.CNN(3, dilation=0),
        lambda: zg.CNN(3, pooling="max of all"),
        lambda: zg.train(zg.CNN(4), IMAGES, np.ones(4)),
        lambda: zg.train(zg.CNN(2, dilation=3), IMAGES, np.ones(4)),
        lambda: zg.train(zg.CNN((2, 2)), X, Y),
        lambda: zg.train(zg.MLP(), IMAGES, np.ones(4)),
        lambda: zg.train("MLP", X, Y),
        lambda: zg.train(zg.MLP, X, Y),
        lambda: zg.train(zg.MLP(), np.ones((60, 30)) * np.arange(60)[:, None] ** 0.5, np.ones(60), arrangements="all"),
        lambda: zg.train(zg.MLP(), RNG.standard_normal((60, 9)), np.ones(60), arrangements="enumerate"),
        lambda: zg.certify("network", X, Y),
        lambda: zg.certify(NET, np.ones((6, 3)), Y),
        lambda: zg.certify(NET, X, Y, prove=-1.0),
        lambda: zg.certify(NET, X, Y, prove="yes"),
        lambda: NET(np.ones((6, 3))),
        lambda: zg.Network("MLP", [[1.0]], [1.0]),
        lambda: zg.Network(zg.MLP(), [1.0, 2.0], [1.0]),
        lambda: zg.Network(zg.MLP(), [[1.0, 2.0]], [1.0, 2.0]),
        lambda: zg.Network(zg.MLP(), [[np.nan, 2.0]], [1.0]),
        lambda: zg.Network(zg.MLP(), [[1.0, 2.0]], [1.0], gates=[[1.0, 2.0]]),
        lambda: zg.Network(zg.MLP(gated=True), [[1.0, 2.0]], [1.0]),
        lambda: zg.Network(zg.MLP(gated=True), [[1.0, 2.0]], [1.0], gates=[[1.0]]),
        lambda: zg.Network(zg.MLP(), [[1.0, 2.0]], [1.0], offset=1.0),
        lambda: zg.Network(zg.MLP(bias="free"), [[1.0, 2.0]], [1.0], offset=np.inf),
        lambda: train_by_gradient(zg.MLP(gated=True), X, Y),
        lambda: train_by_gradient(zg.MLP(), X, Y, method="newton"),
        lambda: zg.load_dataset("no such data"),
    ],
)
def test_bad_constructions_and_shapes(call: Any) -> None:
    complains(call)


@pytest.mark.parametrize("contents", [b"", b"garbage", b"\xff" * 100, pickle.dumps({"first": 1})])
def test_files_that_are_no_networks(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(contents)
    complains(lambda: zg.Network.load(path), about=zg.DataFileError)
    complains(lambda: zg.Certificate.load(path), about=zg.DataFileError)


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "net.safetensors"
    NET.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    complains(lambda: zg.Network.load(path), about=zg.DataFileError)
    save_file({"first": np.ones((1, 2))}, path, {"format": "something-else"})
    complains(lambda: zg.Network.load(path), about=zg.DataFileError)
    save_file({"first": np.ones((1, 2))}, path, {"format": "zerogap-network-1"})
    complains(lambda: zg.Network.load(path), about=zg.DataFileError)
    complains(lambda: zg.Network.load(tmp_path / "missing"), about=zg.DataFileError)
    complains(lambda: zg.Certificate.load(tmp_path / "missing"), about=zg.DataFileError)


def test_unwritable_places(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    certificate = zg.certify(NET, X, Y, beta=0.5)
    for path in (blocked / "below", tmp_path):
        complains(lambda path=path: NET.save(path), about=zg.DataFileError)
        complains(lambda path=path: certificate.save(path), about=zg.DataFileError)
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize("X_in", [X.tolist(), X.astype(np.float32), (10 * X).astype(int), np.asfortranarray(X)[::-1]])
def test_legitimate_inputs_work_and_stay_as_they_are(X_in: Any) -> None:
    before = np.array(X_in)
    y = Y[:, None].copy()
    y.flags.writeable = False
    result = zg.train(zg.MLP(), X_in, y, beta=0.5, arrangements=10, tol=1e-6)
    assert result.certificate.gap <= 1e-6
    np.testing.assert_array_equal(before, np.array(X_in))


@pytest.mark.parametrize("target", [0.0, 3.0])
def test_one_sample_and_constant_targets(target: float) -> None:
    for inputs in (X[:1], X):
        result = zg.train(zg.MLP(), inputs, np.full(len(inputs), target), beta=0.1, arrangements="enumerate", tol=1e-6)
        assert result.certificate.gap <= 1e-6
        assert (result.network.width == 0) == (target == 0.0)


def test_no_signal_in_the_inputs() -> None:
    result = zg.train(zg.MLP(bias=False), np.zeros((4, 2)), np.ones(4), beta=0.1, arrangements="enumerate")
    assert result.network.width == 0
    assert result.certificate.gap <= 1e-9
