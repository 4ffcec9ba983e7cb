"""to_onnx: a network as an ONNX file, built without torch.

In float32 convolutions are Conv nodes. onnxruntime has no Conv in float64, so there every filter position is gathered
from the flat input, as a row of ``zerogap.patches``, and multiplied by the filters as a matrix; circular networks are
written like that in both types.
"""

from __future__ import annotations

import json
import os
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.export.extras import needed_onnx
from zerogap.export.plain import Plain, Pool, awake, input_rows, plain_layers
from zerogap.features.pooled import PooledFeatures
from zerogap.files import write_atomically
from zerogap.network import Network
from zerogap.validation import shown

Array = NDArray[np.float64]

OPSET, IR_VERSION = 17, 8
"""Those of onnx 1.12 (2022), which every runtime since reads."""


def to_onnx(
    network: Network,
    path: str | os.PathLike[str],
    *,
    input_shape: Any = None,
    dtype: Any = "float32",
) -> None:
    """Write a network as an ONNX file; it appears whole or not at all.

    The input "X" has the layout of torch: (n, d) for MLPs and circular networks, else channels first, (n, channels,
    length) or (n, channels, height, width), also for a single channel. The output "outputs" is (n, C), C = 1 for a
    network of one output. n is free; so are the other sizes, where no `input_shape` is given.

    Parameters
    ----------
    network : Network
        As in ``to_torch``.
    path : str or path
    input_shape : tuple of int, optional
        X.shape[1:] for inputs X of the network, channels last. Needed where a kernel_size of 1 leaves open whether
        inputs are series or images, for networks without neurons, and for convolutions in float64.
    dtype : "float32" or "float64"

    Raises
    ------
    MissingExtraError
        If onnx is not installed.
    InputError
        If the network has no plain layers, the shape does not fit, or a weight is too large for the type.
    DataFileError
        If the file cannot be written.
    """
    onnx = needed_onnx()
    plain = plain_layers(network, input_shape)
    graph = _Graph(onnx, _checked_dtype(dtype))
    if plain.placement is None:
        values = graph.activated(graph.node("Gemm", "X", *graph.weights(plain.first, plain.bias), transB=1), plain)
        sizes, second = [plain.first.shape[1]], plain.second
    elif plain.turns or graph.dtype == np.float64:
        values, sizes = _gathered(graph, awake(network, input_shape), plain, input_shape)
        # Position before neuron.
        second = plain.second.reshape(len(plain.second), len(plain.first), -1).swapaxes(1, 2)
        second = second.reshape(plain.second.shape)
    else:
        values, sizes = _convolved(graph, plain, input_shape)
        second = plain.second
    graph.node("Gemm", values, *graph.weights(second, plain.constant), name="outputs", transB=1)
    model = graph.model(sizes, len(second), json.dumps(network.architecture.config()))
    write_atomically(path, model.SerializeToString())


class _Graph:
    """Nodes and weights, as they are added."""

    def __init__(self, onnx: Any, dtype: np.dtype[Any]) -> None:
        self.dtype, self._onnx = dtype, onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        name = f"{kind.lower()}_{len(self._nodes)}" if name is None else name
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant, whole numbers or weights; its name."""
        kind = np.dtype(np.int64) if values.dtype.kind == "i" else self.dtype
        with np.errstate(over="ignore"):
            cast = np.ascontiguousarray(values, dtype=kind)
        if not np.isfinite(cast).all():
            got = f"a weight of magnitude {np.abs(values).max():.3g}"
            raise InputError("dtype", got, f"weights that {kind} holds", "pass dtype='float64'")
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(cast, name))
        return name

    def weights(self, weight: Array, bias: Array | None) -> list[str]:
        """The inputs of a product behind its first."""
        return [self.constant(values) for values in (weight, bias) if values is not None]

    def activated(self, values: str, plain: Plain) -> str:
        """max(t, slope t)."""
        if plain.slope is None:
            return values
        if plain.slope == 0.0:
            return self.node("Relu", values)
        # The slope of LeakyRelu is a float32.
        return self.node("Max", values, self.node("Mul", values, self.constant(np.array(plain.slope))))

    def reduced(self, kind: str, values: str, axes: list[int], *, keep: bool) -> str:
        """Sums, averages or maxima over axes."""
        if kind == "sum":
            return self.node("ReduceSum", values, self.constant(np.array(axes)), keepdims=int(keep))
        return self.node({"average": "ReduceMean", "max": "ReduceMax"}[kind], values, axes=axes, keepdims=int(keep))

    def model(self, sizes: list[Any], outputs: int, architecture: str) -> Any:
        """The checked model, for inputs of n samples of these sizes."""
        from importlib.metadata import version

        helper = self._onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        ends = [helper.make_tensor_value_info("X", kind, ["n", *sizes])]
        ends += [helper.make_tensor_value_info("outputs", kind, ["n", outputs])]
        graph = helper.make_graph(self._nodes, "zerogap", ends[:1], ends[1:], self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="zerogap",
            producer_version=version("zerogap"),
        )
        helper.set_model_props(model, {"architecture": architecture})
        self._onnx.checker.check_model(model, full_check=True)
        return model


def _convolved(graph: _Graph, plain: Plain, input_shape: Any) -> tuple[str, list[Any]]:
    """Features (n, m a), neuron before position, and the sizes of an input."""
    placement, axes = plain.placement, plain.axes
    assert placement is not None
    values = graph.node(
        "Conv",
        "X",
        *graph.weights(plain.first, plain.bias),
        kernel_shape=placement.kernel,
        strides=placement.stride,
        pads=placement.padding * 2,
        dilations=placement.dilation,
    )
    values = graph.activated(values, plain)
    for pool in plain.pools:
        values = _pooled(graph, values, pool, axes)
    spatial = ["length"] if axes == 1 else ["height", "width"]
    sizes = [plain.first.shape[1], *(spatial if input_shape is None else map(int, input_shape[:axes]))]
    return graph.node("Flatten", values), sizes


def _pooled(graph: _Graph, values: str, pool: Pool, axes: int) -> str:
    if pool.window is None:
        return graph.reduced(pool.kind, values, list(range(2, 2 + axes)), keep=True)
    kind = "MaxPool" if pool.kind == "max" else "AveragePool"
    values = graph.node(kind, values, kernel_shape=pool.window, strides=pool.window)
    return (
        graph.node("Mul", values, graph.constant(np.array(float(prod(pool.window))))) if pool.kind == "sum" else values
    )


def _gathered(graph: _Graph, network: Network, plain: Plain, input_shape: Any) -> tuple[str, list[Any]]:
    """Features (n, a m), position before neuron, and the sizes of an input."""
    filters = plain.first.reshape(len(plain.first), -1)
    if plain.turns:
        d = plain.second.shape[1] // len(filters)
        sizes, places = [d], (np.arange(d)[:, None] + np.arange(filters.shape[1])) % d + 1
        flat, windows = "X", None
    else:
        if input_shape is None:
            expected = "the shape of one input: in float64 filter positions are gathered one by one"
            raise InputError("input_shape", "None", expected, "pass input_shape=X.shape[1:], or dtype='float32'")
        sizes = [plain.first.shape[1], *map(int, input_shape[: plain.axes])]
        places, windows = _places(network, sizes, input_shape)
        filters = np.moveaxis(plain.first, 1, -1).reshape(filters.shape)
        flat = graph.node("Flatten", "X")
    if places.min() == 0:
        # A column of zeros in front, for the padding.
        flat = graph.node("Pad", flat, graph.constant(np.array([0, 1, 0, 0])))
    else:
        places = places - 1
    values = graph.node("MatMul", graph.node("Gather", flat, graph.constant(places), axis=1), graph.constant(filters.T))
    if plain.bias is not None:
        values = graph.node("Add", values, graph.constant(plain.bias))
    values = graph.activated(values, plain)
    if plain.pools:
        values = graph.node("Gather", values, graph.constant(np.asarray(windows)), axis=1)
        values = graph.reduced(plain.pools[0].kind, values, [2], keep=False)
    if len(plain.pools) == 2:
        values = graph.reduced("sum", values, [1], keep=True)
    return graph.node("Flatten", values), sizes


def _places(network: Network, sizes: list[int], input_shape: Any) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Which entry of the flat input a filter touches at each position, from 1 on, 0 for padding; and the windows."""
    numbered = np.moveaxis(np.arange(1.0, prod(sizes) + 1.0).reshape(sizes), 0, -1)
    rows = network.architecture.plain_rows(numbered.reshape(1, *map(int, input_shape)))
    features = network.architecture.features(input_rows(network, input_shape))
    assert isinstance(features, PooledFeatures)
    return rows.matrix[0].astype(np.int64), features.windows_of_rows


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float32, np.float64):
        raise InputError("dtype", shown(dtype), "'float32' or 'float64'", "choose one of these")
    return kind
