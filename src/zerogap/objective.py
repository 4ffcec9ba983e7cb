"""The objective of a network, rounded up."""

from __future__ import annotations

import numpy as np

from zerogap.network import Network
from zerogap.question import Question
from zerogap.rounding import SUBNORMAL, enlarged, gamma

CHUNK = 4_000_000
"""Largest number of pre-activations held at a time."""


def objective_above(question: Question, network: Network) -> float:
    """An upper bound of the exact objective of the float64 weights, tight to rounding."""
    rows = question.rows
    outputs = network.outputs(rows)
    terms = rows.dimension + rows.matrix.shape[1] + network.width + 6
    magnitude = np.full(rows.samples, abs(network.offset))
    contradiction = 0.0
    step = max(1, CHUNK // max(1, network.width * rows.matrix.shape[1]))
    for start in range(0, rows.samples, step) if network.width else ():
        block = np.abs(rows.matrix[start : start + step]) @ np.abs(network.first).T
        magnitude[start : start + step] += block.sum(axis=1) @ np.abs(network.second) * rows.scale
        weighted = question.loss.weights[start : start + step] @ block.sum(axis=1)
        contradiction += float(weighted @ np.abs(network.second))
    value = question.loss.upper(outputs, gamma(terms) * magnitude + SUBNORMAL)
    decay, violated = network.penalty(rows, question.loss.weights)
    value += question.beta * enlarged(decay, network.width * rows.dimension + 8)
    rho = question.architecture.cone
    if 0.0 < rho < np.inf:
        value += rho * (violated + gamma(rows.matrix.size + terms) * contradiction + SUBNORMAL)
    return enlarged(value, 4)
