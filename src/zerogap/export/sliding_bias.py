"""Networks whose output bias is decayed, as torch does: L-BFGS over kinks that are rounded less and less.

    minimise  L(f) + beta/2 sum_j (||E theta_j||^2 + ||w_j||^2) + delta/2 ||c||^2

The convex programs have a free constant c or none, so that this one is not theirs; ``zerogap.training.features`` cold
starts in the same way. Plain descent jams at kinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zerogap import clock
from zerogap.network import Network
from zerogap.question import Question
from zerogap.training.descent import Descent
from zerogap.training.features import ROUNDED

Array = NDArray[np.float64]

STEPS = 200
"""Of L-BFGS at each width of the kinks."""

GONE = 1e-6
"""Neurons with less than this share of the largest one's mass leave."""


ROUNDS, FRESH, FAINT = 4, 30, 1e-2
"""Rounds at most, and random neurons that join before each, so faint that they hardly change the outputs."""

PROGRESS = 1e-6
"""A round that gains no more than this share is the last one."""


def settled(question: Question, network: Network, decay: float, seconds: float, rng: np.random.Generator) -> Network:
    """The best network of some such descents, each from the last one's with new neurons; parameters as in ``slid``."""
    deadline, best = clock.now() + seconds, _value(question, network, decay)
    features = question.architecture.features(question.rows)
    for _ in range(ROUNDS):
        weights = FAINT * features.random(FRESH, rng)
        second = FAINT * rng.standard_normal((FRESH, *network.readout.shape[1:]))
        fresh = Network.from_weights(question.architecture, features, weights, second, network.offset)
        found = slid(question, network.joined(fresh), decay, deadline - clock.now())
        found = found.without_faint(GONE)
        value = _value(question, found, decay)
        enough = not value < best * (1.0 - PROGRESS)
        if value < best:
            best, network = value, found
        if enough or clock.now() >= deadline:
            break
    return network


def _value(question: Question, network: Network, decay: float) -> float:
    return network.objective_of(question) + 0.5 * decay * float(np.sum(np.square(network.offset)))


def slid(question: Question, network: Network, decay: float, seconds: float) -> Network:
    """A network of the same width after such a descent.

    Parameters
    ----------
    question : Question
        Of an architecture with an offset.
    network : Network
        Of that architecture; neurons without any weight stay where they are.
    decay : float
        delta.
    seconds : float
        After them the descent ends where it is.
    """
    deadline = clock.now() + seconds
    problem = Descent(question, network.width, offset_decay=decay)
    point = problem.pack(network.weights, network.readout, network.offset)

    def watch(intermediate_result: Any) -> None:
        nonlocal point
        point = intermediate_result.x.copy()
        if clock.now() >= deadline:
            raise StopIteration

    options: Any = {"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": 1e-13, "gtol": 1e-10, "maxcor": 20}
    for rounded in ROUNDED:
        if clock.now() < deadline:
            minimize(problem, point, args=(rounded,), jac=True, method="L-BFGS-B", callback=watch, options=options)
    return Network.from_weights(question.architecture, problem.features, *problem.unpack(point))
