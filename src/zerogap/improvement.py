"""improve: why a network is not optimal, and a better one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.certificates.global_referee import GlobalReferee
from zerogap.certification import check_network
from zerogap.errors import InputError
from zerogap.network import Network
from zerogap.oracles.search import random_starts, search
from zerogap.question import Question
from zerogap.training.features import FeatureRun
from zerogap.training.train import Callback, Result, train
from zerogap.validation import generator

Array = NDArray[np.float64]

STARTS = 2000
"""Random starts of the search, besides the neurons of the network."""


@dataclass(frozen=True, eq=False)
class Improvement:
    """What ``improve`` returns.

    Parameters
    ----------
    direction : (q,) float64
        Inner weights (``Network.weights``) of the best neuron that search met, the decayed ones of length one.
    sign : float
        Of its output weight; +1 if it has several.
    price : float
        |r . phi(direction)| for the residual r of the network. Above beta it shows that the network is not optimal:
        this neuron, added lightly, lowers the objective.
    beta : float
    result : Result
        Training continued from the network.
    """

    direction: Array
    sign: float
    price: float
    beta: float
    result: Result

    @property
    def violated(self) -> bool:
        """Whether the neuron is worth more than it costs."""
        return self.price > self.beta * (1.0 + 1e-9)


@np.errstate(all="ignore")
def improve(
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str = "squared",
    beta: float = 1.0,
    tol: float = 1e-4,
    max_time: float | None = None,
    prove: bool | float = 30.0,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    callback: Callback | None = None,
) -> Improvement:
    """The neuron that a network lacks most, and the network continued from it.

    Parameters
    ----------
    network : Network
        Of a ReLU architecture, trained by anyone.
    X, y, loss, beta, tol, max_time, prove, sample_weight, random_state, callback
        As in ``train``.

    Returns
    -------
    Improvement
        The objective of its result is never above that of the network.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    In an optimal network no price exceeds beta (docs/theory.md, "Dual").
    """
    question = Question.of(check_network(network).architecture, X, y, loss=loss, beta=beta, sample_weight=sample_weight)
    network.checked(question)
    if network.gates is not None:
        raise InputError("network", "a gated one", "a ReLU network", "train with other gates instead")
    rng = generator(random_state)
    result = train(
        network.architecture,
        X,
        y,
        loss=loss,
        beta=beta,
        tol=tol,
        max_time=max_time,
        prove=prove,
        warm_start=None if network.architecture.linear else network,
        sample_weight=sample_weight,
        random_state=rng,
        callback=callback,
    )
    if question.cellular:
        direction, sign, price = best_neuron(question, network, rng)
    else:
        direction, sign, price = FeatureRun(question, tol, np.inf, rng).best_neuron(network)
    return Improvement(direction, sign, price, question.beta, result)


@np.errstate(all="ignore")
def best_neuron(question: Question, network: Network, rng: np.random.Generator) -> tuple[Array, float, float]:
    """The direction of largest price for the residual of a network that search meets, its sign and its price."""
    referee = GlobalReferee(question)
    residual = referee.feasible(-question.loss.gradient(network.outputs(question.rows)))
    nothing = np.zeros(question.rows.dimension), 1.0, 0.0
    if residual is None or not referee.form.rows.size:
        return nothing
    starts = np.concatenate([network.first, random_starts(referee.form, STARTS, rng)])
    maxima = search(referee.form, residual, starts)
    if not maxima.values.size:
        return nothing
    return maxima.directions[0], float(maxima.signs[0]), maxima.price
