"""The same networks trained by gradient descent, for comparison only.

    minimise over u_j, w_j (and the offset)   L(f) + beta/2 sum_j (||E u_j||^2 + w_j^2)

The objective is the one that certificates speak of, so a baseline can be certified, and its objective
can never lie below a global bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zerogap.architectures import Architecture
from zerogap.descent import Descent, adam, lbfgs
from zerogap.errors import InputError
from zerogap.network import Network
from zerogap.question import Question
from zerogap.validation import generator, integer, one_of


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
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
) -> Network:
    """A ReLU network of fixed width trained by L-BFGS or Adam from one random start.

    Parameters
    ----------
    architecture : MLP or CNN, not gated
    X, y, loss, beta, sample_weight
        As in ``zg.train``.
    width : int
        Number of neurons.
    method : "lbfgs" or "adam"
        Full batch; Adam with step 1e-2 falling to zero along a half cosine.
    iterations : int
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
    if getattr(architecture, "gated", False):
        raise InputError("architecture", "a gated one", "a ReLU architecture", "its gates are not trained by gradients")
    one_of("method", method, ("lbfgs", "adam"))
    width, iterations = integer("width", width, least=1), integer("iterations", iterations, least=0)
    question = Question.of(architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    problem = Descent(question, width)
    start = problem.start(generator(random_state))
    best = lbfgs(problem, start, iterations) if method == "lbfgs" else adam(problem, start, iterations)
    first, second, offset = problem.unpack(best)
    return Network(architecture, first, second, offset=offset)
