"""Models: a network ready for use, from raw inputs to predictions, with what has been proved about it.

    raw inputs -> scaled inputs -> network -> outputs -> numbers in their units | classes | labels | probabilities

A network knows neither the units of its data nor the names of classes; a model does, and its file holds both and the
certificate (docs/model-files.md).
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from zerogap.certificates.certificate import Certificate
from zerogap.data.encoding import predicted_classes
from zerogap.data.labels import class_name
from zerogap.errors import DataFileError, InputError
from zerogap.files import write_atomically
from zerogap.network import FORMAT as NETWORK_FORMAT
from zerogap.network import Network
from zerogap.output_losses import check_loss_name
from zerogap.scaling import Scaling
from zerogap.tensor_files import read_tensors
from zerogap.validation import finite_array, integer, one_of, positive, shown

Array = NDArray[np.float64]
Task = Literal["regression", "classes", "labels"]

FORMAT = "zerogap-model-1"

SCALINGS = tuple(f"{name}.{part}" for name in ("inputs", "targets") for part in ("centre", "scale"))
TENSORS = {"first", "second", "filters", "gates", "offset", *SCALINGS}

KINDS: dict[Any, str] = {str: "U", int: "i", float: "f", bool: "b"}
"""Types of classes, with the kinds of their arrays."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its surroundings.

    Parameters
    ----------
    network : Network
    task : "regression", "classes" or "labels"
        What outputs stand for: numbers, one class for each sample, or any subset of labels (one output for each).
    loss : str, optional
    beta : float, optional
        What the network was trained for, on scaled inputs and targets.
    certificate : Certificate, optional
        Of the network, for scaled inputs and targets.
    inputs, targets : Scaling, optional
        What was done to the inputs, and to the targets of a regression.
    classes : sequence of str, int, float or bool
        Of the task "classes".
    shape : tuple of int, optional
        Of a sample as the network takes it; inputs may also come flattened.
    estimator : dict, optional
        Name and parameters of the estimator that trained the model, ready for JSON.

    Raises
    ------
    InputError
        If the parts do not fit each other.
    """

    network: Network
    task: Task = "regression"
    loss: str | None = None
    beta: float | None = None
    certificate: Certificate | None = None
    inputs: Scaling | None = None
    targets: Scaling | None = None
    classes: tuple[Any, ...] = ()
    shape: tuple[int, ...] | None = None
    estimator: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        one_of("task", self.task, ("regression", "classes", "labels"))
        if self.loss is not None:
            check_loss_name(self.loss)
        if self.beta is not None:
            positive("beta", self.beta)
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.shape is not None:
            object.__setattr__(self, "shape", tuple(integer("shape", size, least=1) for size in self.shape))
        outputs, count = self.network.targets, len(self.classes)
        if self.task != "classes" and count:
            raise InputError("classes", f"{count} for the task {self.task!r}", "none", "leave classes out")
        if self.task == "classes":
            if not _kept(self.classes) or len(set(self.classes)) != count:
                expected = "different names or finite numbers, all of one type"
                raise InputError("classes", shown(self.classes), expected, "pass one for each class")
            told_apart = 2 if outputs is None else outputs
            if count < 2 or count != told_apart:
                expected = f"{told_apart}, as many as the network tells apart"
                raise InputError("classes", str(count), expected, "pass one for each class")
        if self.targets is not None and (self.task != "regression" or self.targets.centre.shape != _shape(outputs)):
            got = f"shape {self.targets.centre.shape} for {self.task}"
            expected = f"shape {_shape(outputs)} for a regression, as the outputs"
            raise InputError("targets", got, expected, "scale the targets of a regression, one number an output")
        self._check_outputs()
        self._check_surroundings()

    def _check_outputs(self) -> None:
        """Labels have outputs (n, C), and cross-entropy is of classes with an output each."""
        outputs = self.network.targets
        if self.task == "labels" and outputs is None:
            raise InputError(
                "network", "one output (n,)", "outputs (n, C), one for each label", "train it on labels (n, C)"
            )
        if self.loss == "cross_entropy" and (self.task == "labels" or outputs is None):
            got = f"'cross_entropy' for {self.task} of outputs {'(n,)' if outputs is None else f'(n, {outputs})'}"
            raise InputError("loss", got, "one output for each class", "name the loss that the network was trained for")

    def _check_surroundings(self) -> None:
        """The scaling is for samples of this shape, the certificate for this network, and JSON keeps the estimator."""
        centre = None if self.inputs is None else self.inputs.centre
        architecture, rows = self.network.architecture, self.network.first.shape[1]
        if self.shape is not None and architecture.flat and not architecture.slotted:
            wanted = rows - (architecture.bias is not False)
            if self.network.width and math.prod(self.shape) != wanted:
                expected = f"a shape of {wanted} entries, as the network takes them"
                raise InputError("shape", shown(self.shape), expected, "pass that of one sample")
        if self.shape is not None and centre is not None and centre.shape not in ((), self.shape):
            got, expected = (
                f"a scaling of samples of shape {centre.shape}",
                f"{self.shape}, or one number for all entries",
            )
            raise InputError("inputs", got, expected, "scale samples of the shape that the network takes")
        claim, network = self.certificate, self.network
        if claim is not None:
            theirs = (claim.architecture, claim.outputs, claim.width)
            ours = (network.architecture.config(), network.targets, network.width)
            asked = ((self.loss, claim.loss), (self.beta, claim.beta))
            if theirs != ours or any(own not in (None, other) for own, other in asked):
                kind = claim.architecture["kind"]
                got = f"one of a {kind} of width {claim.width}, {claim.loss} loss, beta {claim.beta}"
                expected = f"one of {network!r}, {self.loss} loss, beta {self.beta}"
                raise InputError("certificate", got, expected, "pass the certificate of this network")
        if self.estimator is not None:
            if not isinstance(self.estimator, dict):
                raise InputError("estimator", shown(self.estimator), "a dictionary", "pass name and parameters")
            try:
                json.dumps(self.estimator)
            except (TypeError, ValueError, RecursionError) as error:
                raise InputError("estimator", str(error), "what JSON can hold", "leave other parameters out") from error

    # -- use ---------------------------------------------------------------------------------------

    def scaled(self, X: Any) -> Array:
        """Inputs as the network takes them.

        Parameters
        ----------
        X : (n, ...) array
            Raw samples, of the shape ``shape`` or flattened.
        """
        array = finite_array("X", X)
        if self.shape is not None and array.ndim >= 2 and array.shape[1:] != self.shape:
            if math.prod(array.shape[1:]) != math.prod(self.shape):
                got, expected = f"samples of shape {array.shape[1:]}", f"{self.shape}, or flattened"
                raise InputError("X", got, expected, "use inputs of the shape that the network was trained on")
            array = array.reshape(len(array), *self.shape)
        if self.inputs is not None:
            with np.errstate(over="ignore"):  # the network refuses infinite inputs
                array = self.inputs(array)
        return array.reshape(len(array), -1) if self.network.architecture.flat else array

    def outputs(self, X: Any) -> Array:
        """Outputs (n,) or (n, C) for raw inputs: numbers in the units of the targets; scores of classes or labels.

        Raises
        ------
        InputError
            Inputs of another shape, or outputs too large for a float.
        """
        with np.errstate(all="ignore"):
            outputs = self.network(self.scaled(X))
            outputs = outputs if self.targets is None else self.targets.undone(outputs)
        if not np.all(np.isfinite(outputs)):
            remedy = "use inputs like those that the network was trained on, or another model"
            raise InputError("outputs", "numbers beyond those of a float", "finite numbers", remedy)
        return outputs

    def predict(self, X: Any) -> NDArray[Any]:
        """Predictions for raw inputs: numbers (n,) or (n, C); classes (n,); labels (n, C) of 0 and 1."""
        return self.predictions_of(self.outputs(X))

    def predictions_of(self, outputs: Array) -> NDArray[Any]:
        """``predict`` for outputs that are there already."""
        if self.task == "regression":
            return outputs
        if self.task == "labels":
            return np.asarray(outputs >= 0.0, dtype=np.int64)
        return np.array(self.classes)[predicted_classes(outputs)]

    @property
    def entries(self) -> int | None:
        """How many numbers a sample has; None for a CNN that does not know the shape of its samples."""
        if self.shape is not None:
            return math.prod(self.shape)
        if self.inputs is not None and self.inputs.centre.ndim:
            return int(self.inputs.centre.size)
        architecture, known = self.network.architecture, self.network.first.shape[1]
        return known - (architecture.bias is not False) if architecture.flat and not architecture.slotted else None

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as files of data name them, for example "3" for 3 or 3.0."""
        return tuple(class_name(label) for label in self.classes)

    @property
    def probabilistic(self) -> bool:
        """Whether outputs are the logits of probabilities: for the cross-entropy, and for the logistic loss unless it
        tells more than two classes apart.
        """
        one_against_rest = self.task == "classes" and self.network.targets is not None
        return self.task != "regression" and (
            self.loss == "cross_entropy" or (self.loss == "logistic" and not one_against_rest)
        )

    def probabilities(self, X: Any) -> Array:
        """Probabilities (n, C) of classes or labels for raw inputs.

        Raises
        ------
        InputError
            If the loss does not model any.
        """
        return self.probabilities_of(self.outputs(X))

    def probabilities_of(self, outputs: Array) -> Array:
        """``probabilities`` for outputs that are there already."""
        if not self.probabilistic:
            expected = "'logistic' for two classes or labels, or 'cross_entropy'"
            raise InputError("loss", f"{self.loss!r} for {self.task}", expected, "train with one of these losses")
        if self.loss == "cross_entropy":
            return np.asarray(softmax(outputs, axis=1))
        positive_share = expit(outputs)
        return np.stack([expit(-outputs), positive_share], axis=1) if outputs.ndim == 1 else positive_share

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file; it appears whole or not at all. Raises DataFileError."""
        from safetensors.numpy import save

        tensors = self.network.tensors()
        for name, scaling in (("inputs", self.inputs), ("targets", self.targets)):
            if scaling is not None:
                tensors |= {f"{name}.centre": scaling.centre, f"{name}.scale": scaling.scale}
        about = {
            "task": self.task,
            "loss": self.loss,
            "beta": self.beta,
            "classes": list(self.classes),
            "shape": None if self.shape is None else list(self.shape),
            "estimator": self.estimator,
        }
        metadata = {
            "format": FORMAT,
            "architecture": json.dumps(self.network.architecture.config()),
            "model": json.dumps(about),
            "certificate": json.dumps(None if self.certificate is None else self.certificate.to_dict()),
        }
        write_atomically(path, save({name: np.asarray(part, order="C") for name, part in tensors.items()}, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a file written by ``save``, or by ``Network.save``; nothing in it is executed.

        Raises
        ------
        DataFileError
            If it cannot be read or is not such a file.
        """
        remedy = "pass a file written by Model.save"
        metadata, tensors = read_tensors(path, "model file", (FORMAT, NETWORK_FORMAT), remedy)
        # An array that is left out, such as a scaling of a misspelt name, would change predictions.
        if unknown := sorted(set(tensors) - TENSORS):
            raise DataFileError(
                f"model file {path}", f"an array {shown(unknown[0])}", f"some of {sorted(TENSORS)}", remedy
            )
        try:
            scalings: dict[str, Any] = {
                name: Scaling(tensors[f"{name}.centre"], tensors[f"{name}.scale"])
                for name in ("inputs", "targets")
                if f"{name}.centre" in tensors
            }
            network = Network.from_tensors(json.loads(metadata["architecture"]), tensors)
            if metadata["format"] == NETWORK_FORMAT:
                return cls(network)
            about, certificate = json.loads(metadata["model"]), json.loads(metadata["certificate"])
            certificate = None if certificate is None else Certificate.from_dict(certificate)
            known = {name: about[name] for name in ("task", "loss", "beta", "classes", "shape", "estimator")}
            for name, kinds in (("classes", list), ("shape", list | None)):
                if not isinstance(known[name], kinds):
                    raise InputError(name, shown(known[name]), "a list", remedy)
            return cls(network, certificate=certificate, **scalings, **known)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError, RecursionError) as error:
            raise DataFileError(f"model file {path}", str(error), "complete contents", remedy) from error


def _kept(classes: tuple[Any, ...]) -> bool:
    """Whether the classes are all of one type, and NumPy and JSON give them back as they are."""
    kind = type(classes[0]) if classes else None
    if kind not in KINDS or any(type(label) is not kind for label in classes):
        return False
    try:
        json.dumps(classes, allow_nan=False, ensure_ascii=False).encode()  # refuses halves of surrogate pairs
    except ValueError:
        return False
    array = np.array(classes)
    return array.dtype.kind == KINDS[kind] and array.tolist() == list(classes)


def _shape(outputs: int | None) -> tuple[int, ...]:
    """Of the targets of one sample."""
    return () if outputs is None else (outputs,)
