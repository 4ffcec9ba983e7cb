"""What is written for a stranger who re-checks a certificate (docs/proofs.md); ``zerogap.checker`` reads it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.pricing import Pricer
from zerogap.network import Network
from zerogap.oracles.branch_and_bound import Tree
from zerogap.oracles.form import Form
from zerogap.program import Program
from zerogap.question import Question

Array = NDArray[np.float64]


def tree_evidence(question: Question, network: Network, point: Array, tree: Tree, form: Form) -> dict[str, Any]:
    """That of a proof by branch and bound; `point` is the scaled residual (n,)."""
    frame = form.reduced.frame
    proof = {
        "frame": None if frame is None else frame.tolist(),
        "tree": base64.b64encode(tree.records).decode("ascii"),
        "nodes": tree.nodes,
    }
    return _common(question, network, point) | {"proof": proof}


def cell_evidence(
    question: Question, network: Network, point: Array, multipliers: Array | None, program: Program, pricer: Pricer
) -> dict[str, Any] | None:
    """That of a proof by enumeration: a point in every cell, and multipliers that bring its price below beta.

    None for gated networks and free constants, which the checker does not read, and if rounding leaves a price
    above beta.
    """
    architecture = question.architecture
    if architecture.gated or architecture.offset:
        return None
    witness = pricer.witness(point, multipliers)
    if witness is None:
        return None
    proof = {"points": program.cells.centres.tolist(), "multipliers": witness}
    return _common(question, network, point) | {"proof": proof}


def _common(question: Question, network: Network, point: Array) -> dict[str, Any]:
    gates = None if network.gates is None else network.gates.tolist()
    return {
        "network": {
            "first": network.first.tolist(),
            "second": network.second.tolist(),
            "gates": gates,
            "offset": network.offset,
        },
        "owner": question.owner.tolist(),
        "residual": point.tolist(),
    }
