"""Networks: weights with their architecture; prediction, objective, balance, pruning, files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.architectures import Architecture, Neurons, from_config
from zerogap.errors import DataFileError, InputError
from zerogap.features import Features
from zerogap.features.base import combined, masses
from zerogap.files import write_atomically
from zerogap.pruning import reduced_weights
from zerogap.question import Question
from zerogap.rows import Rows
from zerogap.tensor_files import read_tensors
from zerogap.validation import finite, finite_array

Array = NDArray[np.float64]

FORMAT = "zerogap-network-1"
CHUNK = 20_000_000
"""Largest number of pre-activations held at a time."""


@dataclass(frozen=True, eq=False, init=False)
class Network:
    """A network with one output f = sum_j Phi(theta_j) w_j + offset, or with C of them.

    Parameters
    ----------
    architecture : MLP, CNN, LinearCNN, CircularCNN or ThreeLayerCNN
    first : (m, p) array
        Weights u_j of the decayed inner layer; with a bias, p counts it and it is the last entry.
    second : (m,) or (m, a) array, or (m, C) or (m, a, C) for C outputs
        Output weights w_j, a of them for every neuron where each position or window has its own.
    filters : (m, ...) array, optional
        The normalised filters of the layers before, for architectures that have them.
    gates : (m, p) array, optional
        Gate vectors, for gated architectures only.
    offset : float, or (C,) array
        Constant added to the output, where the architecture has one (``intercept=True`` or ``bias="free"``).

    Raises
    ------
    InputError
        If shapes do not fit together or entries are not finite.
    """

    architecture: Architecture
    first: Array
    second: Array
    filters: Array | None
    gates: Array | None
    offset: Any

    def __init__(
        self,
        architecture: Architecture,
        first: Any,
        second: Any,
        *,
        filters: Any = None,
        gates: Any = None,
        offset: Any = 0.0,
    ) -> None:
        if not isinstance(architecture, Architecture):
            raise InputError("architecture", repr(architecture), "an instance such as zg.MLP()", "construct one first")
        first = _weights("first", first, 2)
        second = _weights("second", second, np.ndim(second))
        if not 1 <= second.ndim <= 2 + architecture.slotted:
            expected = f"(m,), or (m, {'a) or (m, a, ' if architecture.slotted else ''}C) for C outputs"
            raise InputError("second", f"shape {second.shape}", expected, "pass one row per neuron")
        if 0 in second.shape[1:]:
            raise InputError("second", f"shape {second.shape}", "at least one output weight", "check the weights")
        if first.shape[0] != second.shape[0]:
            raise InputError(
                "second",
                f"{second.shape[0]} output weights" if second.ndim == 1 else f"shape {second.shape}",
                f"{first.shape[0]}, one per row of first",
                "check the weights",
            )
        filters = architecture.check_filters(filters, first.shape[0])
        if architecture.gated != (gates is not None):
            raise InputError(
                "gates",
                "none" if gates is None else "an array",
                f"{'an array (m, p)' if architecture.gated else 'none'} with gated={architecture.gated}",
                "gates and gated=True go together",
            )
        if gates is not None:
            gates = _weights("gates", gates, 2)
            if gates.shape != first.shape:
                raise InputError("gates", f"shape {gates.shape}", f"{first.shape}", "pass one gate per neuron")
        offset = _constant(offset, second.shape[-1] if second.ndim == 2 + architecture.slotted else None)
        if np.any(offset != 0.0) and not architecture.offset:
            raise InputError("offset", repr(offset), "0, without intercept or free bias", "use intercept=True")
        for name, value in (
            ("architecture", architecture),
            ("first", first),
            ("second", second),
            ("filters", filters),
            ("gates", gates),
            ("offset", offset),
        ):
            # One memory layout, so that outputs are the same to the last bit after a file has been read.
            object.__setattr__(self, name, np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)

    @classmethod
    def of(cls, architecture: Architecture, neurons: Neurons) -> Network:
        """The network of neurons that an architecture recovered from block weights."""
        return cls(architecture, neurons.first, neurons.second, gates=neurons.gates, offset=neurons.offset)

    @classmethod
    def from_weights(
        cls,
        architecture: Architecture,
        features: Features,
        weights: Array,
        readout: Array,
        offset: Any,
        gates: Array | None = None,
    ) -> Network:
        """The network of neurons theta (m, q) with output weights (m, a) or (m, a, C)."""
        count = features.filters
        filters = weights[:, :count].reshape(weights.shape[0], *features.filter_shape) if count else None
        second = readout if architecture.slotted and (readout.ndim == 3 or features.outputs > 1) else readout[:, 0]
        offset = offset if architecture.offset else 0.0 * np.asarray(offset)
        return cls(architecture, weights[:, count:], second, filters=filters, gates=gates, offset=offset)

    @property
    def width(self) -> int:
        """Number of neurons."""
        return int(self.first.shape[0])

    def __repr__(self) -> str:
        return f"Network({self.architecture!r}, width={self.width})"

    def __call__(self, X: Any) -> Array:
        """Outputs (n,), or (n, C), for inputs X of the architecture's shape."""
        return self.outputs(self.architecture.rows(X))

    @property
    def targets(self) -> int | None:
        """C, the number of outputs of a network that has several; None if its output is a number."""
        return int(self.second.shape[-1]) if self.second.ndim == 2 + self.architecture.slotted else None

    @property
    def weights(self) -> Array:
        """theta_j = (filters, first), flat, shape (m, q)."""
        if self.filters is None:
            return self.first
        filters = self.filters.reshape(self.width, int(np.prod(self.filters.shape[1:])))
        return np.concatenate([filters, self.first], axis=1)

    @property
    def readout(self) -> Array:
        """Output weights as (m, a), or (m, a, C)."""
        return self.second if self.architecture.slotted and self.second.ndim > 1 else self.second[:, None]

    def outputs(self, rows: Rows) -> Array:
        """Outputs (n,) or (n, C) for pre-activation rows."""
        parts = [combined(values, self.readout) for values in self._values(rows)]
        shape = (rows.samples,) if self.targets is None else (rows.samples, self.targets)
        return (np.concatenate(parts) if parts else np.zeros(shape)) + self.offset

    def effects(self, rows: Rows) -> Array:
        """What each neuron adds to each output, Phi(theta_j)_s w_j, shape (n, m), or (n C, m)."""
        parts = [np.einsum("nam,ma...->n...m", values, self.readout) for values in self._values(rows)]
        return np.concatenate(parts).reshape(-1, self.width) if parts else np.zeros((rows.samples, 0))

    def _values(self, rows: Rows) -> Iterator[Array]:
        """Features of a few samples at a time, (c, a, m)."""
        step = max(1, CHUNK // max(1, self.width * rows.matrix.shape[1]))
        for start in range(0, rows.samples if self.width else 0, step):
            yield self.on(rows.keep(slice(start, start + step))).forward(self.weights)[0]

    def on(self, rows: Rows) -> Features:
        """The architecture's features on these rows, with the gates of this network; checks that shapes agree."""
        features = self.architecture.features(rows)
        if self.gates is not None:
            features = features.gated(self.gates)
        if self.width and (features.dimension, features.outputs) != (self.weights.shape[1], self.readout.shape[1]):
            raise InputError(
                "X",
                f"inputs for neurons with {features.dimension} inner and {features.outputs} output weights",
                f"{self.weights.shape[1]} and {self.readout.shape[1]}, as in the network",
                "use inputs of the shape that the network was trained on",
            )
        return features

    def checked(self, question: Question) -> Question:
        """The question, if this network has as many outputs; raises InputError."""
        if self.targets != question.outputs:
            shown = ["(n,)" if count is None else f"(n, {count})" for count in (question.outputs, self.targets)]
            raise InputError("y", f"targets of shape {shown[0]}", f"{shown[1]}, as the outputs", "reshape the targets")
        return question

    def penalty(self, rows: Rows, weights: Array) -> tuple[float, float]:
        """(1/2 sum ||E u||^2 + w^2, sum_j |w_j| times the weighted contradiction of gates on these rows)."""
        gauge = self.architecture.gauge(max(self.first.shape[1], 1) if self.width else rows.dimension)
        decay = 0.5 * float(np.sum(self.first[:, gauge.penalised] ** 2) + np.sum(self.second**2)) if self.width else 0.0
        if self.gates is None or self.architecture.cone == 0.0:
            return decay, 0.0
        agree = np.where(rows.preactivations(self.gates) >= 0.0, 1.0, -1.0)
        below = weights @ np.maximum(0.0, -agree * rows.preactivations(self.first)).sum(axis=1)
        return decay, float(np.abs(self.second) @ below)

    def objective(self, X: Any, y: Any, *, loss: str = "squared", beta: float, sample_weight: Any = None) -> float:
        """L(f) + beta/2 sum_j (||u_j||^2 + w_j^2), plus the cone penalty of gated networks that have one."""
        return self.objective_of(
            Question.of(self.architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
        )

    def objective_of(self, question: Question) -> float:
        """The objective on a checked question."""
        decay, contradiction = self.penalty(question.rows, question.loss.weights)
        value = question.loss.value(self.outputs(self.checked(question).rows)) + question.beta * decay
        return value + (self.architecture.cone * contradiction if contradiction else 0.0)

    def balanced(self) -> Network:
        """The same function with ||E u_j|| = ||w_j||, which minimises the penalty; neurons without effect leave."""
        return self._rescaled(np.ones(self.width))

    def _rescaled(self, shares: Array) -> Network:
        """The balanced network with the effect of every neuron multiplied by a share >= 0."""
        if not self.width:
            return self
        gauge = self.architecture.gauge(self.first.shape[1])
        size = masses(self.readout)
        first, second = gauge.factor(self.first * (size * shares)[:, None])
        keep = np.any(first != 0.0, axis=1) & (size > 0.0)
        direction = self.second / np.where(size > 0.0, size, 1.0).reshape(-1, *[1] * (self.second.ndim - 1))
        return Network(
            self.architecture,
            first[keep],
            (direction * second.reshape(-1, *[1] * (self.second.ndim - 1)))[keep],
            filters=None if self.filters is None else self.filters[keep],
            gates=None if self.gates is None else self.gates[keep],
            offset=self.offset,
        )

    def neurons_where(self, keep: Array) -> Network:
        """The network of some of the neurons; a mask or indices (m,)."""
        return Network(
            self.architecture,
            self.first[keep],
            self.second[keep],
            filters=None if self.filters is None else self.filters[keep],
            gates=None if self.gates is None else self.gates[keep],
            offset=self.offset,
        )

    def joined(self, other: Network, factor: float = 1.0) -> Network:
        """With the neurons of another network of this architecture, whose weights are multiplied by a factor."""
        first, second = factor * other.first, factor * other.second
        return Network(
            self.architecture,
            np.concatenate([self.first, first]),
            np.concatenate([self.second, second]),
            filters=None if self.filters is None else np.concatenate([self.filters, other.filters]),
            gates=None if self.gates is None else np.concatenate([self.gates, other.gates]),
            offset=self.offset,
        )

    def without_faint(self, share: float) -> Network:
        """The balanced network without neurons of less than this share of the largest cost."""
        network = self.balanced()
        cost = masses(network.readout)
        return network._rescaled(np.where(cost**2 >= share * (cost.max(initial=0.0) ** 2), 1.0, 0.0))

    def prune(self, X: Any) -> Network:
        """At most n neurons, or n C, the same outputs on X, and no larger penalty (Caratheodory; P2, P1, width)."""
        return self.pruned(self.architecture.rows(X))

    def pruned(self, rows: Rows) -> Network:
        """``prune`` for given pre-activation rows."""
        network = self.balanced()
        if self.architecture.cone not in (0.0, np.inf) or not network.width:
            return network
        gauge = self.architecture.gauge(network.first.shape[1])
        cost = gauge.value(network.first) * masses(network.readout)
        return network._rescaled(reduced_weights(network.effects(rows), cost))

    def to_torch(self, *, input_shape: Any = None, dtype: Any = None) -> Any:
        """The network as an ``nn.Sequential`` of plain layers; see ``zerogap.export.to_torch``."""
        from zerogap.export.to_torch import to_torch

        return to_torch(self, input_shape=input_shape, dtype=dtype)

    def to_onnx(self, path: str | os.PathLike[str], *, input_shape: Any = None, dtype: Any = "float32") -> None:
        """Write the network as an ONNX file; see ``zerogap.export.to_onnx``."""
        from zerogap.export.to_onnx import to_onnx

        to_onnx(self, path, input_shape=input_shape, dtype=dtype)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file; it appears whole or not at all.

        Raises
        ------
        DataFileError
            If the file cannot be written.
        """
        from safetensors.numpy import save

        metadata = {"format": FORMAT, "architecture": json.dumps(self.architecture.config())}
        write_atomically(path, save(self.tensors(), metadata))

    def tensors(self) -> dict[str, Array]:
        """The arrays of a network file."""
        present = {name: getattr(self, name) for name in ("first", "second", "gates", "filters")}
        tensors = {name: np.ascontiguousarray(value) for name, value in present.items() if value is not None}
        return {**tensors, "offset": np.atleast_1d(self.offset)}

    @classmethod
    def from_tensors(cls, config: Any, tensors: dict[str, Array]) -> Network:
        """The network of an architecture's configuration and the arrays of a file.

        Raises
        ------
        KeyError, IndexError, InputError
            If an array is missing or does not fit.
        """
        optional = {name: tensors.get(name) for name in ("gates", "filters")}
        architecture, second, offset = from_config(config), tensors["second"], tensors["offset"]
        # A single number would stand for all outputs, of which a file without neurons can declare any number.
        constant = np.atleast_1d(offset) if second.ndim == 2 + architecture.slotted else float(offset[0])
        return cls(architecture, tensors["first"], second, **optional, offset=constant)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a file written by ``save``; nothing in it is executed.

        Raises
        ------
        DataFileError
            If it cannot be read or is not such a file.
        """
        remedy = "pass a file written by Network.save"
        metadata, tensors = read_tensors(path, "network file", (FORMAT,), remedy)
        if unknown := set(tensors) - {"first", "second", "offset", "gates", "filters"}:
            raise DataFileError(f"network file {path}", f"arrays {sorted(unknown)}", "no others", remedy)
        try:
            return cls.from_tensors(json.loads(metadata["architecture"]), tensors)
        except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            raise DataFileError(f"network file {path}", str(error), "complete contents", remedy) from error


def _constant(value: Any, count: int | None) -> Any:
    """A finite offset: a number for one output; (C,) for several, where one number stands for all of them."""
    if count is None or np.ndim(value) == 0:
        number = finite("offset", value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value)
        return number if count is None else np.full(count, number)
    array = finite_array("offset", value, largest=np.inf)
    if array.shape != (count,):
        raise InputError("offset", f"shape {array.shape}", f"shape ({count},)", "pass one constant for each output")
    return array


def _weights(name: str, value: Any, axes: int) -> Array:
    """Finite weights; zero neurons are allowed."""
    array = np.asarray(value)
    if array.size == 0 and array.ndim == axes:
        return np.zeros(array.shape)
    array = finite_array(name, value, "pass weights as arrays of numbers", largest=np.inf)
    if array.ndim != axes:
        shape = "(m, p)" if axes == 2 else "(m,)"
        raise InputError(name, f"shape {array.shape}", f"shape {shape}", "pass one row per neuron")
    return array
