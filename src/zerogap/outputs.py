r"""Several outputs under the squared l1 decay: one network for each output (P2, vector outputs; P0, H).

    minimise  sum_c L_c(f_c) + beta/2 sum_j ( ||E u_j||^2 + ||w_j||_1^2 ),      f_c = sum_j Phi(u_j) w_jc

A balanced neuron costs beta ||E u|| ||w||_1 = beta sum_c ||E u|| |w_c|, as much as its copies for single outputs. So
the problem splits into one for each output, on the same data and the same cells, and bounds add up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.certificate import Certificate
from zerogap.errors import DataFileError, InputError
from zerogap.files import write_atomically
from zerogap.network import Network
from zerogap.rounding import enlarged, reduced
from zerogap.tensor_files import read_tensors

Array = NDArray[np.float64]

FORMAT = "zerogap-outputs-1"


@dataclass(frozen=True, eq=False)
class OutputNetworks:
    """One network for each output.

    Parameters
    ----------
    networks : sequence of Network
        Of one architecture.

    Raises
    ------
    InputError
        If there is none, or they differ in their architecture.
    """

    networks: Sequence[Network]

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", tuple(self.networks))
        kinds = {network.architecture for network in self.networks if isinstance(network, Network)}
        if len(kinds) != 1 or not all(isinstance(network, Network) for network in self.networks):
            got = f"{len(self.networks)} networks of {len(kinds)} architectures"
            raise InputError("networks", got, "networks of one architecture", "pass one for each output")

    @property
    def width(self) -> int:
        """Neurons of all networks together."""
        return sum(network.width for network in self.networks)

    def __repr__(self) -> str:
        widths = [network.width for network in self.networks]
        return f"OutputNetworks({self.networks[0].architecture!r}, widths={widths})"

    def __call__(self, X: Any) -> Array:
        """Outputs (n, C) for inputs X of the architecture's shape."""
        rows = self.networks[0].architecture.rows(X)
        return np.stack([network.outputs(rows) for network in self.networks], axis=1)

    def objective(self, X: Any, Y: Any, *, loss: str = "squared", beta: float, sample_weight: Any = None) -> float:
        """The objective of the module docstring."""
        columns = output_columns(Y, len(self.networks))
        return sum(
            network.objective(X, y, loss=loss, beta=beta, sample_weight=sample_weight)
            for network, y in zip(self.networks, columns, strict=True)
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file; it appears whole or not at all. Raises DataFileError."""
        from safetensors.numpy import save

        tensors: dict[str, Array] = {}
        for k, network in enumerate(self.networks):
            tensors |= {f"{k}.{name}": value for name, value in network.tensors().items()}
        config = json.dumps(self.networks[0].architecture.config())
        metadata = {"format": FORMAT, "architecture": config, "outputs": str(len(self.networks))}
        write_atomically(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OutputNetworks:
        """Read a file written by ``save``; nothing in it is executed. Raises DataFileError."""
        remedy = "pass a file written by OutputNetworks.save"
        metadata, tensors = read_tensors(path, "network file", (FORMAT,), remedy)
        try:
            networks = []
            for k in range(int(metadata["outputs"])):
                own = {name.partition(".")[2]: value for name, value in tensors.items() if name.startswith(f"{k}.")}
                networks.append(Network.from_tensors(json.loads(metadata["architecture"]), own))
            return cls(networks)
        except (TypeError, ValueError, KeyError, IndexError, RecursionError) as error:
            raise DataFileError(f"network file {path}", str(error), "a complete file of networks", remedy) from error


def output_columns(Y: Any, count: int | None = None) -> list[Array]:
    """The columns of targets (n, C); raises InputError for other shapes, or if C is not `count`."""
    array = np.asarray(Y)
    if array.ndim != 2 or array.shape[1] == 0 or (count is not None and array.shape[1] != count):
        expected = "shape (n, C), one column for each output" if count is None else f"shape (n, {count})"
        raise InputError("y", f"shape {array.shape}", expected, "stack the targets of all outputs")
    return list(array.T)


def added(certificates: Sequence[Certificate]) -> Certificate:
    """The certificate of all outputs together: objectives and bounds add up.

    The scope is that of every output; the proof is the weakest one: none, then a relaxation, then any other.
    """
    first, count = certificates[0], len(certificates)
    weakness = {None: 0, "relaxation": 1}
    weakest = min(certificates, key=lambda certificate: weakness.get(certificate.proof, 2))
    scope = "sampled" if any(certificate.scope == "sampled" for certificate in certificates) else first.scope
    bound = sum(certificate.lower_bound for certificate in certificates)
    objective = enlarged(sum(certificate.objective for certificate in certificates), count)
    estimates = [certificate.estimate for certificate in certificates]
    known = [estimate for estimate in estimates if estimate is not None]
    withheld = None if weakest.proof is not None else f"at least one output has no proof: {weakest.withheld}"
    return Certificate(
        objective=objective,
        lower_bound=max(reduced(bound, bound, count), 0.0) if weakest.proof is not None else 0.0,
        scope=scope,
        proof=weakest.proof,
        architecture=first.architecture,
        loss=first.loss,
        beta=first.beta,
        samples=max(certificate.samples for certificate in certificates),
        cells=max(certificate.cells for certificate in certificates),
        width=sum(certificate.width for certificate in certificates),
        zero_loss=sum(certificate.zero_loss for certificate in certificates),
        withheld=withheld,
        estimate=sum(known) if len(known) == count else None,
    )
