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
    rows, second = question.rows, np.abs(network.readout)
    outputs = network.outputs(rows)
    features = network.on(rows)
    terms = features.roundings + second.size + 6
    magnitude = question.nothing + np.abs(network.offset)
    contradiction = 0.0
    rho = question.architecture.cone
    step = max(1, CHUNK // max(1, network.width * rows.matrix.shape[1]))
    for start in range(0, rows.samples, step) if network.width else ():
        part = slice(start, start + step)
        absolute = network.on(rows.keep(part)).magnitude(network.weights)
        magnitude[part] += np.tensordot(absolute, second, axes=([1, 2], [1, 0]))
        if 0.0 < rho < np.inf:
            block = np.abs(rows.matrix[part]) @ np.abs(network.first).T
            contradiction += float(question.loss.weights[part] @ block.sum(axis=1) @ second[:, 0])
    value = question.loss.upper(outputs, gamma(terms) * magnitude + SUBNORMAL)
    decay, violated = network.penalty(rows, question.loss.weights)
    value += question.beta * enlarged(decay, network.first.size + second.size + 8)
    if 0.0 < rho < np.inf:
        value += rho * (violated + gamma(rows.matrix.size + terms) * contradiction + SUBNORMAL)
    return enlarged(value, 4)
