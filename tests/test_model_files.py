"""Files of models: what is written is read again, to the last bit, here, in another process, and in later versions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import zerogap as zg
from models import BUILDERS, IMAGES, TABLE, inputs, model, weights
from zerogap.scaling import Scaling

GOLDEN = Path(__file__).with_name("data")


def same(one: Any, other: Any) -> bool:
    """Equal in type, shape and bits."""
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", BUILDERS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    written, X = model(name), inputs(name)
    written.save(tmp_path / "model.safetensors")
    read = zg.Model.load(tmp_path / "model.safetensors")
    assert same(read.outputs(X), written.outputs(X))
    assert same(read.predict(X), written.predict(X))
    assert read.probabilistic == written.probabilistic
    if written.probabilistic:
        assert same(read.probabilities(X), written.probabilities(X))
    for field in ("task", "loss", "beta", "certificate", "classes", "shape", "estimator"):
        assert getattr(read, field) == getattr(written, field)
    assert [type(label) for label in read.classes] == [type(label) for label in written.classes]
    assert read.network.architecture == written.network.architecture
    for field in ("inputs", "targets"):
        one, other = getattr(read, field), getattr(written, field)
        assert (one is None) == (other is None)
        assert one is None or (same(one.centre, other.centre) and same(one.scale, other.scale))


READER = """
import sys
from pathlib import Path
import numpy as np
import zerogap as zg
folder, outputs = Path(sys.argv[1]), {}
for path in folder.glob("*.safetensors"):
    model = zg.Model.load(path)
    X = np.load(path.with_suffix(".npy"))
    outputs[path.stem + " outputs"], outputs[path.stem + " predictions"] = model.outputs(X), model.predict(X)
np.savez(folder / "read.npz", **outputs)
"""


def test_a_fresh_process_predicts_the_same_bits(tmp_path: Path) -> None:
    for name in BUILDERS:
        model(name).save(tmp_path / f"{name}.safetensors")
        np.save(tmp_path / f"{name}.npy", inputs(name))
    subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True)
    with np.load(tmp_path / "read.npz") as read:
        for name in BUILDERS:
            assert same(read[f"{name} outputs"], model(name).outputs(inputs(name))), name
            assert same(read[f"{name} predictions"], model(name).predict(inputs(name))), name


@pytest.mark.parametrize("name", ["model-1-classes", "model-1-numbers", "network-1"])
def test_files_of_the_first_version_load_for_ever(name: str) -> None:
    """docs/model-files.md promises it: never write these files again."""
    read = zg.Model.load(GOLDEN / f"{name}.safetensors")
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    X = np.array(expected["X"])
    np.testing.assert_allclose(read.outputs(X), expected["outputs"], rtol=1e-12, atol=1e-12)
    if read.classes:
        assert read.predict(X).tolist() == expected["predictions"]
    assert [read.task, read.loss, read.beta, list(read.classes)] == expected["about"]
    assert (None if read.certificate is None else read.certificate.lower_bound) == expected["lower_bound"]


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    """The keys and arrays that docs/model-files.md lists, in a file that any safetensors reader opens."""
    model("a certificate").save(tmp_path / "model.safetensors")
    with safe_open(str(tmp_path / "model.safetensors"), framework="numpy") as file:
        header, names = file.metadata(), set(file.keys())
    assert set(header) == {"format", "architecture", "model", "certificate"}
    assert header["format"] == "zerogap-model-1"
    assert json.loads(header["architecture"])["kind"] == "MLP"
    assert json.loads(header["model"])["classes"] == ["no", "yes"]
    claim = json.loads(header["certificate"])
    assert claim["lower_bound"] <= claim["objective"]
    assert names == {"first", "second", "offset", "inputs.centre", "inputs.scale"}


def test_another_program_can_write_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of docs/model-files.md, which knows the standard library only."""
    page = (Path(__file__).parents[1] / "docs" / "model-files.md").read_text()
    program = page.split("## A file by hand")[1].split("```python")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    read = zg.Model.load("model.safetensors")
    X = np.array([[12.0, 20.0], [8.0, 32.0], [10.0, 16.0]])
    Z = (X - [10.0, 20.0]) / [2.0, 4.0]
    f = np.maximum(Z @ [1.0, 0.0] + 0.5, 0.0) - 3.0 * np.maximum(Z @ [-1.0, 2.0], 0.0)
    assert read.outputs(X).tolist() == f.tolist()
    assert read.predict(X).tolist() == ["yes" if value >= 0.0 else "no" for value in f]
    np.testing.assert_allclose(read.probabilities(X)[:, 1], 1.0 / (1.0 + np.exp(-f)))


def test_a_network_file_is_a_model_without_surroundings(tmp_path: Path) -> None:
    network = model("several numbers").network
    network.save(tmp_path / "network.safetensors")
    read = zg.Model.load(tmp_path / "network.safetensors")
    assert same(read.outputs(TABLE), network(TABLE))
    assert (read.task, read.loss, read.classes, read.certificate) == ("regression", None, (), None)
    model("several numbers").save(tmp_path / "model.safetensors")
    with pytest.raises(zg.DataFileError, match="zerogap-network-1"):
        zg.Network.load(tmp_path / "model.safetensors")


def test_scalings_are_applied_and_undone() -> None:
    scaled, network = model("numbers"), model("numbers").network
    Z = (TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)
    np.testing.assert_allclose(scaled.outputs(TABLE), 7.5 + 0.3 * network(Z), rtol=1e-12)
    np.testing.assert_allclose(scaled.predict(TABLE), scaled.outputs(TABLE))


@pytest.mark.parametrize(
    ("name", "entries"),
    [("images", 24), ("numbers", 3), ("a network alone", 3), ("pixels by themselves", 16), ("linear circular", None),
     ("circular", 5), ("windows", None), ("no neurons", 3)],
)  # fmt: skip
def test_how_many_numbers_a_sample_has(name: str, entries: int | None) -> None:
    assert model(name).entries == entries


def test_classes_as_files_of_data_name_them() -> None:
    assert model("two classes by truth").names == ("False", "True")
    assert model("two classes, two outputs").names == ("1.5", "2")
    assert model("classes by number").names == ("-3", "0", "1000000000000000")


CERTIFIED = model("a certificate")
CLAIM = {"network": CERTIFIED.network, "certificate": CERTIFIED.certificate}
MLP = zg.Network(zg.MLP(), weights(0, 2, 4), weights(1, 2))
WIDE = zg.Network(zg.MLP(), weights(0, 2, 4), weights(1, 2, 3))
UNFIT: dict[str, dict[str, Any]] = {
    "no task": {"task": "clustering"},
    "classes of a regression": {"classes": ("a", "b")},
    "one class": {"task": "classes", "classes": ("a",)},
    "no classes": {"task": "classes"},
    "more classes than outputs": {"task": "classes", "classes": ("a", "b", "c")},
    "fewer classes than outputs": {"network": WIDE, "task": "classes", "classes": ("a", "b")},
    "the same class twice": {"task": "classes", "classes": ("a", "a")},
    "classes of two types": {"task": "classes", "classes": ("a", 1)},
    "truth beside numbers": {"task": "classes", "classes": (False, 1)},
    "classes that are lists": {"task": "classes", "classes": ([1], [2])},
    "a class that is no number": {"task": "classes", "classes": (1.0, float("nan"))},
    "an infinite class": {"task": "classes", "classes": (1.0, float("inf"))},
    "classes beyond 64 bits": {"task": "classes", "classes": (0, 2**63)},
    "half a character": {"task": "classes", "classes": ("a", "\ud800")},
    "a name that NumPy shortens": {"task": "classes", "classes": ("a", "b\0")},
    "numbers of NumPy": {"task": "classes", "classes": tuple(np.arange(2))},
    "an unknown loss": {"loss": "absolute"},
    "probabilities of one output": {"task": "classes", "classes": ("a", "b"), "loss": "cross_entropy"},
    "cross-entropy of labels": {"network": WIDE, "task": "labels", "loss": "cross_entropy"},
    "labels of one output": {"task": "labels", "loss": "logistic"},
    "a negative beta": {"beta": -1.0},
    "a shape of half a pixel": {"shape": (4, 0.5)},
    "a scaling of another shape": {"shape": (3,), "inputs": Scaling(np.zeros(4), np.ones(4))},
    "scaled classes": {"task": "classes", "classes": ("a", "b"), "targets": Scaling(np.array(0.0), np.array(1.0))},
    "targets of another shape": {"targets": Scaling(np.zeros(2), np.ones(2))},
    "the certificate of another network": {"network": WIDE, "certificate": CERTIFIED.certificate},
    "the certificate of another loss": {**CLAIM, "loss": "hinge"},
    "the certificate of another beta": {**CLAIM, "beta": 0.2},
    "an estimator that is none": {"estimator": "Regressor"},
    "an estimator that JSON cannot hold": {"estimator": {"callback": len}},
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_parts_that_do_not_fit(name: str) -> None:
    with pytest.raises(zg.InputError) as caught:
        zg.Model(**{"network": MLP, **UNFIT[name]})
    error = caught.value
    assert all(part.strip() for part in (error.what, error.got, error.expected, error.remedy))


@pytest.mark.parametrize(
    ("name", "X"),
    [("numbers", TABLE[:, :2]), ("numbers", [["a", "b", "c"]]), ("images", IMAGES), ("flat images", IMAGES[:, 1:]),
     ("pixels by themselves", IMAGES[:, 1:]), ("numbers", np.full((2, 3), np.nan)), ("a network alone", TABLE[0])],
)  # fmt: skip
def test_inputs_that_do_not_fit(name: str, X: Any) -> None:
    with pytest.raises(zg.InputError):
        model(name).predict(X)


def test_inputs_that_overflow_when_they_are_scaled_are_refused() -> None:
    tiny = Scaling(np.zeros(3), np.full(3, 1e-300))
    with pytest.raises(zg.InputError):
        zg.Model(model("numbers").network, inputs=tiny).predict(np.full((2, 3), 1e90))


def test_outputs_that_overflow_are_refused() -> None:
    huge = zg.Network(zg.MLP(bias=False), [[1e200, 0.0, 0.0]], [1e200])
    for about in ({}, {"task": "classes", "classes": ("a", "b"), "loss": "logistic"}):
        with pytest.raises(zg.InputError, match="finite numbers"):
            zg.Model(huge, **about).predict(np.abs(TABLE))


def test_probabilities_need_a_loss_that_models_them() -> None:
    for name in ("numbers", "two classes by truth", "one against the rest", "classes without a loss"):
        with pytest.raises(zg.InputError, match="cross_entropy"):
            model(name).probabilities(inputs(name))
    for name in ("two classes by name", "two classes, two outputs", "classes by number"):
        shares = model(name).probabilities(inputs(name))
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)
        predicted = np.array(model(name).classes)[shares.argmax(axis=1)]
        assert predicted.tolist() == model(name).predict(inputs(name)).tolist()
