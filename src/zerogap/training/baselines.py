"""The same networks trained by gradient descent, for comparison only.

    minimise over u_j, w_j (and the offset)   L(f) + beta/2 sum_j (||E u_j||^2 + w_j^2)

The objective is the one that certificates speak of, so a baseline can be certified, and its objective
can never lie below a global bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zerogap.architectures import Architecture
from zerogap.errors import InputError
from zerogap.network import Network
from zerogap.question import Question
from zerogap.training.descent import Descent, adam, lbfgs, stochastic
from zerogap.validation import generator, integer, one_of, positive


@np.errstate(all="ignore")  # steps may diverge; the best point met is finite
def train_by_gradient(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    beta: float = 1.0,
    width: int = 100,
    method: str = "lbfgs",
    iterations: int = 2000,
    rate: float | None = None,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
) -> Network:
    """A network of fixed width trained by L-BFGS, Adam or SGD from one random start.

    Parameters
    ----------
    architecture
        Any but gated ones.
    X, y, loss, beta, sample_weight
        As in ``zg.train``.
    width : int
        Number of neurons.
    method : "lbfgs", "adam" or "sgd"
        The first two with all samples in each step, "sgd" with a tenth of them and momentum 0.9; the step size of the
        last two falls to zero along a half cosine.
    iterations : int
        Steps, or epochs of "sgd".
    rate : float, optional
        The first step size; default 1e-2 for Adam and 1e-3 for "sgd".
    random_state : int, Generator or None
        Of the starting weights.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    if isinstance(architecture, Architecture) and architecture.gated:
        raise InputError("architecture", "a gated one", "a ReLU architecture", "its gates are not trained by gradients")
    one_of("method", method, ("lbfgs", "adam", "sgd"))
    if method == "lbfgs" and rate is not None:
        raise InputError("rate", repr(rate), "None for L-BFGS, which searches along its lines", "leave rate out")
    rate = positive("rate", {"sgd": 1e-3}.get(method, 1e-2) if rate is None else rate)
    width, iterations = integer("width", width, least=1), integer("iterations", iterations, least=0)
    question = Question.of(architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    problem = Descent(question, width)
    rng = generator(random_state)
    start = problem.start(rng)
    if method == "lbfgs":
        best = lbfgs(problem, start, iterations)
    elif method == "adam":
        best = adam(problem, start, iterations, rate)
    else:
        best = stochastic(question, width, start, iterations, rate, rng)
    return Network.from_weights(architecture, problem.features, *problem.unpack(best))
