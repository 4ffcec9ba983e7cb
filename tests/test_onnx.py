"""ONNX files: round trips through onnxruntime, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import zerogap as zg
from plain_networks import CASES, channels_first, difference, network_of

Array = NDArray[np.float64]

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def run(path: Path, X: Array, dtype: str) -> Array:
    """Outputs in the common runtime, which counts warnings as nothing and shapes as binding."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["outputs"], {"X": np.ascontiguousarray(X, dtype=dtype)})
    assert outputs.dtype == dtype
    return np.asarray(outputs, dtype=np.float64)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_round_trip(case: str, dtype: str, tmp_path: Path) -> None:
    network, X = network_of(case)
    network.to_onnx(tmp_path / "network.onnx", input_shape=X.shape[1:], dtype=dtype)
    inputs = channels_first(network.architecture, X)
    outputs = run(tmp_path / "network.onnx", inputs, dtype)
    assert outputs.shape == (len(X), network.targets or 1)
    assert difference(network(X), outputs) <= TOLERANCE[dtype]
    # Any number of samples.
    np.testing.assert_allclose(run(tmp_path / "network.onnx", inputs[:1], dtype), outputs[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("circular")])
def test_sizes_stay_open_without_a_shape(case: str, tmp_path: Path) -> None:
    network, X = network_of(case)
    network.to_onnx(tmp_path / "network.onnx")
    inputs = channels_first(network.architecture, X)
    assert difference(network(X), run(tmp_path / "network.onnx", inputs, "float32")) <= 1e-5
    (value,) = onnx.load(str(tmp_path / "network.onnx")).graph.input
    sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
    spatial = [[], ["length"], ["height", "width"]][inputs.ndim - 2] if inputs.ndim > 2 else []
    assert sizes == ["n", inputs.shape[1], *spatial]


def test_global_pooling_takes_larger_images(tmp_path: Path) -> None:
    for case in ("sum of images", "sum of windows of maxima", "maximum of images"):
        network, X = network_of(case)
        network.to_onnx(tmp_path / "network.onnx")
        larger = np.random.default_rng(1).standard_normal((3, 11, 8, *X.shape[3:]))
        outputs = run(tmp_path / "network.onnx", channels_first(network.architecture, larger), "float32")
        assert difference(network(larger), outputs) <= 1e-5


def test_a_trained_network(tmp_path: Path) -> None:
    data = zg.load_dataset("digits:3,8")
    X, y = data.X[:60], data.y[:60]
    network = zg.train(zg.CNN(2, pooling="average"), X, y, beta=0.05, tol=1e-2, max_time=1.0, prove=False).network
    for dtype, tolerance in TOLERANCE.items():
        network.to_onnx(tmp_path / "network.onnx", input_shape=X.shape[1:], dtype=dtype)
        assert difference(network(X), run(tmp_path / "network.onnx", X[:, None], dtype)) <= tolerance


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    network, X = network_of("maximum of images")
    network.to_onnx(tmp_path / "network.onnx", input_shape=X.shape[1:])
    model = onnx.load(str(tmp_path / "network.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("zerogap", zg.__version__)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["architecture"])["kind"] == "CNN"
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["X", "outputs"]


def test_networks_without_neurons(tmp_path: Path) -> None:
    for architecture, shape in ((zg.MLP(intercept=True), (3,)), (zg.CNN(2, pooling="none"), (4, 4))):
        X = np.random.default_rng(0).standard_normal((8, *shape))
        network = zg.train(architecture, X, np.arange(8.0), beta=1e4).network
        assert network.width == 0
        for dtype in TOLERANCE:
            network.to_onnx(tmp_path / "network.onnx", input_shape=shape, dtype=dtype)
            outputs = run(tmp_path / "network.onnx", channels_first(architecture, X), dtype)
            np.testing.assert_allclose(outputs[:, 0], network(X), rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: network_of("mlp")[0].to_onnx(path, dtype="float16"), ("float16", "float32")),
        (lambda path: network_of("mlp")[0].to_onnx(path, dtype="wide"), ("wide", "float64")),
        (lambda path: network_of("mlp")[0].to_onnx(path, input_shape=(4,)), ("neurons with 5",)),
        (lambda path: network_of("no pooling")[0].to_onnx(path, dtype="float64"), ("input_shape", "gathered")),
        (lambda path: zg.Network(zg.MLP(), [[1e300, 1.0]], [1.0]).to_onnx(path), ("1e+300", "float64")),
        (lambda path: network_of("mlp")[0].to_onnx(3), ("path",)),
        (
            lambda path: zg.Network(zg.MLP(gated=True), [[1.0, 1.0]], [1.0], gates=[[1.0, 0.0]]).to_onnx(path),
            ("gated", "pattern"),
        ),
    ],
)
def test_what_cannot_be_written(call: Any, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(zg.InputError) as caught:
        call(tmp_path / "network.onnx")
    for word in words:
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_paths_leave_nothing_behind(tmp_path: Path) -> None:
    network, _ = network_of("mlp")
    with pytest.raises(zg.DataFileError, match="create the folder first"):
        network.to_onnx(tmp_path / "missing" / "network.onnx")
    with pytest.raises(zg.DataFileError, match="a folder"):
        network.to_onnx(tmp_path)
    assert list(tmp_path.iterdir()) == []
