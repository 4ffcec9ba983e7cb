"""Input that is wrong in less common ways than in ``test_bad_input``, and unusual input that is right."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.sparse import csr_array

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 2)), RNG.standard_normal(6)
SIGNS = np.resize([1.0, -1.0], 6)
SERIES = RNG.standard_normal((5, 6))
NET = zg.Network(zg.MLP(), [[1.0, 0.5, 0.1]], [2.0])
GATED = zg.MLP(gated=True)


def complains(call: Any, kind: type[zg.InputError] = zg.InputError) -> zg.InputError:
    """The call fails with a message of four parts."""
    with pytest.raises(zg.InputError) as caught:
        call()
    error = caught.value
    assert isinstance(error, kind)
    for part in (error.what, error.got, error.expected, error.remedy):
        assert isinstance(part, str)
        assert part.strip()
        assert part in str(error)
    return error


# -- arguments -----------------------------------------------------------------------------------------

WRONG_ARRAYS: dict[str, Any] = {
    "integers too large for a float": [[10**400, 1.0]] * 6,
    "dates": np.full((6, 2), np.datetime64("2020-01-01")),
    "durations": np.full((6, 2), np.timedelta64(3, "s")),
    "bytes": np.full((6, 2), b"1"),
    "records": np.zeros(6, dtype=[("a", float), ("b", float)]),
    "a sparse array": csr_array(X),
    "a dictionary": {"a": [1.0, 2.0]},
    "a set": {1.0, 2.0},
    "a generator": (row for row in X),
    "a string": "X",
    "a function": len,
    "complex objects": np.array([[1.0 + 1j, 2.0]] * 6, dtype=object),
    "missing objects": np.array([[None, 2.0]] * 6, dtype=object),
    "masked numbers": np.ma.masked_array(X, mask=X > 0.0, fill_value=np.nan).filled(),
    "five axes": np.zeros((2, 2, 2, 2, 2)),
    "more than a double holds": np.full((6, 2), np.finfo(np.longdouble).max, dtype=np.longdouble),
}


TAKES_AN_ARRAY: dict[str, Any] = {
    "X of train": lambda array: zg.train(zg.MLP(), array, Y, arrangements=3),
    "X of a CNN": lambda array: zg.train(zg.CNN(2), array, Y, arrangements=3),
    "X of certify": lambda array: zg.certify(NET, array, Y),
    "X of a network": lambda array: NET(array),
    "weights of a network": lambda array: zg.Network(zg.MLP(), array, Y),
    "y": lambda array: zg.train(zg.MLP(), X, array, arrangements=3),
    "sample_weight": lambda array: zg.train(zg.MLP(), X, Y, arrangements=3, sample_weight=array),
    "arrangements": lambda array: zg.train(zg.MLP(), X, Y, arrangements=array),
}


@pytest.mark.parametrize("entry", TAKES_AN_ARRAY)
@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_wrong_arrays(name: str, entry: str) -> None:
    with np.errstate(all="ignore"):
        complains(lambda: TAKES_AN_ARRAY[entry](WRONG_ARRAYS[name]))


NUMBERS: dict[str, Any] = {
    "None": None,
    "text": "1",
    "complex": 1.0 + 0.0j,
    "a list": [1.0],
    "an array": np.ones(2),
    "a decimal": Decimal(1),
    "True": True,
    "numpy True": np.True_,
    "negative": -1.0,
    "NaN": np.nan,
    "numpy NaN": np.float32(np.nan),
    "minus infinity": -np.inf,
    "an integer too large for a float": 10**400,
    "a fraction too large for a float": Fraction(10**400, 3),
}


TAKES_A_NUMBER: dict[str, Any] = {
    "beta of train": lambda value: zg.train(zg.MLP(), X, Y, beta=value, arrangements=3),
    "tol": lambda value: zg.train(zg.MLP(), X, Y, tol=value, arrangements=3),
    "max_time": lambda value: zg.train(zg.MLP(), X, Y, max_time=value, arrangements=3),
    "beta of certify": lambda value: zg.certify(NET, X, Y, beta=value),
    "prove": lambda value: zg.certify(NET, X, Y, prove=value),
    "beta of an objective": lambda value: NET.objective(X, Y, beta=value),
    "beta of a baseline": lambda value: train_by_gradient(zg.MLP(), X, Y, beta=value, iterations=2),
    "cone_penalty": lambda value: zg.MLP(gated=True, cone_penalty=value),
    "offset": lambda value: zg.Network(zg.MLP(bias="free"), [[1.0, 2.0]], [1.0], offset=value),
}
MEANINGFUL = {
    ("max_time", "None"),
    ("beta of certify", "None"),
    ("prove", "True"),
    ("prove", "numpy True"),
    ("offset", "negative"),
}


@pytest.mark.parametrize("entry", TAKES_A_NUMBER)
@pytest.mark.parametrize("name", NUMBERS)
def test_wrong_numbers(name: str, entry: str) -> None:
    if (entry, name) not in MEANINGFUL:
        complains(lambda: TAKES_A_NUMBER[entry](NUMBERS[name]))


INTEGERS: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "a fraction": 2.5,
    "a whole float": 2.0,
    "True": True,
    "text": "3",
    "NaN": np.nan,
    "a list": [3],
    "None": None,
}


TAKES_AN_INTEGER: dict[str, Any] = {
    "width": lambda value: train_by_gradient(zg.MLP(), X, Y, width=value, iterations=2),
    "iterations": lambda value: train_by_gradient(zg.MLP(), X, Y, width=2, iterations=value),
    "arrangements of train": lambda value: zg.train(zg.MLP(), X, Y, arrangements=value),
    "arrangements of critical_beta": lambda value: zg.critical_beta(zg.MLP(), X, Y, arrangements=value),
    "kernel_size": lambda value: zg.CNN(value),
    "one kernel_size": lambda value: zg.CNN((2, value)),
    "stride": lambda value: zg.CNN(2, stride=value),
    "dilation": lambda value: zg.CNN(2, dilation=value),
    "padding": lambda value: zg.CNN(2, padding=value),
}


@pytest.mark.parametrize("entry", TAKES_AN_INTEGER)
@pytest.mark.parametrize("name", INTEGERS)
def test_wrong_integers(name: str, entry: str) -> None:
    geometry = entry in ("kernel_size", "stride", "dilation", "padding")
    if not (geometry and name == "a list") and (entry, name) not in {("padding", "zero"), ("iterations", "zero")}:
        complains(lambda: TAKES_AN_INTEGER[entry](INTEGERS[name]))


SEEDS = {
    "a float": 1.5,
    "text": "1",
    "a list": [1],
    "negative": -1,
    "numpy negative": np.int64(-1),
    "legacy": np.random.RandomState(0),
}


@pytest.mark.parametrize("name", SEEDS)
def test_wrong_seeds(name: str) -> None:
    seed = SEEDS[name]
    complains(lambda: zg.train(zg.MLP(), X, Y, arrangements=3, random_state=seed))
    complains(lambda: zg.certify(NET, X, Y, arrangements=3, random_state=seed))
    complains(lambda: zg.critical_beta(zg.MLP(), X, Y, arrangements=3, random_state=seed))
    complains(lambda: train_by_gradient(zg.MLP(), X, Y, iterations=2, random_state=seed))


@pytest.mark.parametrize("value", [None, 3, b"squared", ["squared"], "Squared", "", "squared ", ("squared",)])
def test_wrong_names(value: Any) -> None:
    complains(lambda: zg.train(zg.MLP(), X, Y, loss=value, arrangements=3))
    # None is the default of certify.
    complains(lambda: zg.certify(NET, X, Y, loss=0 if value is None else value))
    complains(lambda: zg.critical_beta(zg.MLP(), X, Y, loss=value))
    complains(lambda: NET.objective(X, Y, loss=value, beta=1.0))
    complains(lambda: train_by_gradient(zg.MLP(), X, Y, loss=value))
    complains(lambda: train_by_gradient(zg.MLP(), X, Y, method=value))
    complains(lambda: zg.CNN(2, pooling=value))
    complains(lambda: zg.MLP(bias=value))
    complains(lambda: zg.MLP(gated=value))
    complains(lambda: zg.train(zg.MLP(), X, Y, solver=value, arrangements=3))


def test_an_unknown_solver_is_refused_even_where_there_is_nothing_to_solve() -> None:
    complains(lambda: zg.train(zg.MLP(), X, 0.0 * Y, solver="simplex", arrangements=3))


@pytest.mark.parametrize("value", [3, "print", [], object()])
def test_callbacks_that_cannot_be_called(value: Any) -> None:
    complains(lambda: zg.train(zg.MLP(), X, Y, callback=value, arrangements=3))
    complains(lambda: zg.train(zg.MLP(), X, 0.0 * Y, callback=value, arrangements=3))


@pytest.mark.parametrize("value", [None, "MLP", zg.MLP, {"kind": "MLP"}, 3, NET])
def test_wrong_architectures(value: Any) -> None:
    complains(lambda: zg.train(value, X, Y))
    complains(lambda: zg.critical_beta(value, X, Y))
    complains(lambda: train_by_gradient(value, X, Y))
    complains(lambda: zg.Network(value, [[1.0]], [1.0]))


def test_wrong_sets_of_gates() -> None:
    complains(lambda: zg.train(GATED, X, Y, arrangements=np.zeros((0, 3))))
    complains(lambda: zg.train(GATED, X, Y, arrangements=np.ones((2, 2))))
    complains(lambda: zg.train(GATED, X, Y, arrangements=np.zeros((2, 3))))
    complains(lambda: zg.train(GATED, X, Y, arrangements={"gates": 1}))
    complains(lambda: zg.Network(GATED, np.ones((2, 3)), np.ones(2), gates=np.ones((3, 3))))
    complains(lambda: zg.Network(GATED, np.ones((2, 3)), np.ones(2), gates=np.full((2, 3), np.nan)))
    complains(lambda: zg.Network(GATED, np.ones((2, 3)), np.ones(2), gates="gates"))
    complains(lambda: zg.certify(zg.Network(GATED, np.ones((2, 2)), np.ones(2), gates=np.ones((2, 2))), X, Y))


def test_filters_that_do_not_fit() -> None:
    for architecture in (zg.CNN(7), zg.CNN((1, 1)), zg.CNN(3, dilation=3), zg.CNN(9, padding=1)):
        complains(lambda architecture=architecture: zg.train(architecture, SERIES, np.ones(5)))
    complains(lambda: zg.train(zg.CNN((2,)), np.zeros((2, 3, 3, 1)), np.ones(2)))
    complains(lambda: zg.train(zg.CNN(2, stride=(1, 1)), SERIES, np.ones(5)))
    complains(lambda: zg.CNN(()))
    complains(lambda: zg.CNN((1, 2, 3)))


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("labels", [[0, 1], [1, 2], [-1, 0], [-1, 1, 0], [0.5, -0.5], [1, 1]], ids=str)
def test_labels_of_margin_losses(loss: str, labels: list[float]) -> None:
    y = np.resize(np.array(labels, dtype=float), 6)
    complains(lambda: zg.train(zg.MLP(), X, y, loss=loss, arrangements=3))
    complains(lambda: zg.certify(NET, X, y, loss=loss))


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_one_class_is_left_by_the_weights(loss: str) -> None:
    weights = np.where(SIGNS > 0.0, 1.0, 0.0)
    complains(lambda: zg.train(zg.MLP(), X, SIGNS, loss=loss, arrangements=3, sample_weight=weights))


def test_one_sample_of_a_margin_loss() -> None:
    complains(lambda: zg.train(zg.MLP(), X[:1], SIGNS[:1], loss="hinge"))


# -- files ---------------------------------------------------------------------------------------------

CONFIG = json.dumps(zg.MLP().config())
CONFIGS = {
    "no JSON": "{",
    "a list": "[1, 2]",
    "a number": "5",
    "null": "null",
    "a string": '"MLP"',
    "an unknown kind": '{"kind": "RNN"}',
    "a kind that is a list": '{"kind": ["MLP"]}',
    "an unknown option": '{"kind": "MLP", "depth": 3}',
    "a wrong option": '{"kind": "MLP", "bias": "maybe"}',
    "an option of a wrong type": '{"kind": "CNN", "kernel_size": {"a": 1}}',
    "nested too deeply": "[" * 100_000,
    "gated without gates": json.dumps(GATED.config()),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_network_files_with_a_wrong_architecture(name: str, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    tensors = {"first": np.ones((1, 3)), "second": np.ones(1), "offset": np.zeros(1)}
    save_file(tensors, path, {"format": "zerogap-network-1", "architecture": CONFIGS[name]})
    complains(lambda: zg.Network.load(path), zg.DataFileError)


TENSORS: dict[str, dict[str, Any]] = {
    "no first": {"second": np.ones(1), "offset": np.zeros(1)},
    "no second": {"first": np.ones((1, 3)), "offset": np.zeros(1)},
    "no offset": {"first": np.ones((1, 3)), "second": np.ones(1)},
    "an empty offset": {"first": np.ones((1, 3)), "second": np.ones(1), "offset": np.zeros(0)},
    "an offset that is not finite": {"first": np.ones((1, 3)), "second": np.ones(1), "offset": np.array([np.nan])},
    "an offset without use": {"first": np.ones((1, 3)), "second": np.ones(1), "offset": np.ones(1)},
    "shapes apart": {"first": np.ones((2, 3)), "second": np.ones(1), "offset": np.zeros(1)},
    "one axis": {"first": np.ones(3), "second": np.ones(1), "offset": np.zeros(1)},
    "NaN": {"first": np.full((1, 3), np.nan), "second": np.ones(1), "offset": np.zeros(1)},
    "gates without use": {
        "first": np.ones((1, 3)),
        "second": np.ones(1),
        "offset": np.zeros(1),
        "gates": np.ones((1, 3)),
    },
}


@pytest.mark.parametrize("name", TENSORS)
def test_network_files_with_wrong_weights(name: str, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_file(TENSORS[name], path, {"format": "zerogap-network-1", "architecture": CONFIG})
    complains(lambda: zg.Network.load(path), zg.DataFileError)


@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "zerogap-network-2", "architecture": CONFIG}, {"format": "zerogap-network-1"}]
)
def test_network_files_of_another_version(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_file({"first": np.ones((1, 3)), "second": np.ones(1), "offset": np.zeros(1)}, path, metadata)
    complains(lambda: zg.Network.load(path), zg.DataFileError)


def test_every_truncation_of_a_network_file(tmp_path: Path) -> None:
    path, short = tmp_path / "network.safetensors", tmp_path / "short.safetensors"
    NET.save(path)
    contents = path.read_bytes()
    for size in range(0, len(contents), 7):
        short.write_bytes(contents[:size])
        complains(lambda: zg.Network.load(short), zg.DataFileError)


def certificate_fields() -> dict[str, Any]:
    return zg.certify(NET, X, Y, beta=0.5).to_dict()


CERTIFICATES: dict[str, Any] = {
    "another version": {"format": "zerogap-certificate-9"},
    "an objective in words": {"objective": "small"},
    "no objective": {"objective": None},
    "an undefined bound": {"lower_bound": float("nan")},
    "a bound above the objective": {"objective": 1.0, "lower_bound": 2.0},
    "an unknown scope": {"scope": "universal"},
    "an architecture that is none": {"architecture": 3},
    "a width of half a neuron": {"width": 0.5},
    "a proof and a doubt": {"withheld": "a doubt"},
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificate_files_with_wrong_fields(name: str, tmp_path: Path) -> None:
    """What cannot have been written by ``save`` is refused, not met later by whoever prints it."""
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps({**certificate_fields(), **CERTIFICATES[name]}))
    complains(lambda: zg.Certificate.load(path), zg.DataFileError)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"x"', "{}", "[" * 100_000, '{"format": "zerogap-certificate-1"}']
)
def test_certificate_files_with_other_contents(text: str, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(text)
    complains(lambda: zg.Certificate.load(path), zg.DataFileError)
    path.write_bytes(b"\xff\xfe" + text.encode())
    complains(lambda: zg.Certificate.load(path), zg.DataFileError)


@pytest.mark.parametrize(
    "path", [None, 3.5, ["a"], object(), "nul\0byte"], ids=["None", "float", "list", "object", "nul byte"]
)
def test_paths_that_are_none(path: Any) -> None:
    certificate = zg.certify(NET, X, Y, beta=0.5)
    for call in (NET.save, zg.Network.load, certificate.save, zg.Certificate.load):
        complains(lambda call=call: call(path))


def test_places_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    certificate = zg.certify(NET, X, Y, beta=0.5)
    places = (blocked / "below", tmp_path, tmp_path / "missing" / "file", tmp_path / ("n" * 300), "/dev/null", "")
    for place in places:
        complains(lambda place=place: NET.save(place), zg.DataFileError)
        complains(lambda place=place: certificate.save(place), zg.DataFileError)
        if place != "/dev/null":
            complains(lambda place=place: zg.Network.load(place), zg.DataFileError)
            complains(lambda place=place: zg.Certificate.load(place), zg.DataFileError)
    assert sorted(tmp_path.iterdir()) == [blocked]


# -- input that is right -------------------------------------------------------------------------------

LEGITIMATE: dict[str, Any] = {
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X)),
    "single precision": X.astype(np.float32),
    "half precision": X.astype(np.float16),
    "extended precision": X.astype(np.longdouble),
    "integers": np.arange(12).reshape(6, 2),
    "small unsigned integers": np.arange(12, dtype=np.uint8).reshape(6, 2),
    "booleans": X > 0.0,
    "numbers as objects": X.astype(object),
    "Fortran order": np.asfortranarray(X),
    "reversed": X[::-1, ::-1],
    "every second row": np.repeat(X, 2, axis=0)[::2],
    "big endian": X.astype(">f8"),
    "broadcast": np.broadcast_to(X[:1], (6, 2)),
    "a matrix of a subclass": X.view(np.recarray),
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_unusual_inputs_work_and_are_not_changed(name: str) -> None:
    given = LEGITIMATE[name]
    before = np.array(given, dtype=float)
    if isinstance(given, np.ndarray) and given.flags.writeable:
        given.flags.writeable = False
    options = {"beta": 0.1, "arrangements": 20, "tol": 1e-6}
    plain = zg.train(zg.MLP(), before, Y, **options)
    result = zg.train(zg.MLP(), given, Y.tolist(), sample_weight=np.ones(6, dtype=int), **options)
    assert result.certificate.objective == pytest.approx(plain.certificate.objective, rel=1e-9)
    assert result.certificate.gap <= 1e-6
    assert zg.certify(result.network, given, Y, beta=0.1).objective == result.certificate.objective
    assert result.network(given).shape == (6,)
    assert np.array_equal(np.array(given, dtype=float), before)


@pytest.mark.parametrize("beta", [1, np.float32(1.0), np.int64(1), Fraction(1), 1.0])
def test_every_real_number_is_a_beta(beta: Any) -> None:
    certificate = zg.train(zg.MLP(), X, Y, beta=beta, arrangements=5).certificate
    assert certificate.beta == 1.0
    assert type(certificate.beta) is float


def test_arguments_and_weights_are_copies() -> None:
    first, second, gates = np.ones((1, 3)), np.ones(1), np.ones((1, 3))
    network = zg.Network(GATED, first, second, gates=gates)
    inputs, targets, weights = X.copy(), Y.copy(), np.ones(6)
    before = network(inputs)
    result = zg.train(zg.MLP(), inputs, targets, arrangements=5, sample_weight=weights)
    first[:], second[:], gates[:] = 5.0, 5.0, -1.0
    assert np.array_equal(network(inputs), before)
    assert np.array_equal(inputs, X)
    assert np.array_equal(targets, Y)
    assert np.all(weights == 1.0)
    assert result.certificate.gap <= 1e-6


@pytest.mark.parametrize("seed", [0, 5, np.int32(3), 2**70, np.random.default_rng(1), None])
def test_every_kind_of_seed(seed: Any) -> None:
    assert zg.train(zg.MLP(), X, Y, arrangements=4, random_state=seed).certificate.proved


@pytest.mark.parametrize("bias", [True, False, "free"])
@pytest.mark.parametrize("target", [0.0, 2.0])
def test_one_sample(bias: Any, target: float) -> None:
    result = zg.train(zg.MLP(bias=bias), X[:1], [target], beta=0.1, arrangements="enumerate", tol=1e-6)
    assert result.certificate.gap <= 1e-6
    assert result.network(X[:1]).shape == (1,)


def test_networks_without_neurons() -> None:
    network = zg.Network(zg.MLP(), np.zeros((0, 3)), np.zeros(0))
    assert np.all(network(X) == 0.0)
    assert network.prune(X).width == 0
    assert network.objective(X, Y, beta=1.0) == pytest.approx(0.5 * float(Y @ Y))
    assert zg.certify(network, X, Y, beta=100.0).gap <= 1e-6


def test_a_certificate_of_an_objective_that_overflows_survives_a_file(tmp_path: Path) -> None:
    certificate = zg.certify(zg.Network(zg.MLP(bias=False), [[1e200, 1e200]], [1e200]), X, Y, beta=0.5)
    assert certificate.objective == certificate.gap == np.inf
    assert np.isfinite(certificate.lower_bound)
    assert "Infinity" in str(certificate)
    certificate.save(tmp_path / "certificate.json")
    assert zg.Certificate.load(tmp_path / "certificate.json") == certificate


def test_single_precision_networks_survive_a_file(tmp_path: Path) -> None:
    network = zg.Network(zg.MLP(), np.ones((2, 3), dtype=np.float32) / 3, [1, -2])
    network.save(tmp_path / "network.safetensors")
    again = zg.Network.load(str(tmp_path / "network.safetensors"))
    assert np.array_equal(again(X), network(X))
    certificate = zg.certify(network, X, Y, beta=0.5)
    certificate.save(str(tmp_path / "certificate.json"))
    assert zg.Certificate.load(tmp_path / "certificate.json") == certificate
