"""Which algorithm answers a question: one for every kind of neuron and of arrangement.

| neurons                                      | all, found as needed ("generate") | of listed cells                   |
|----------------------------------------------|-----------------------------------|-----------------------------------|
| a filter with one output weight, shared walls| ``all_neurons``                   | ``cells``                         |
| linear in their inner weights                | ``spectral``                      | none: there is nothing to list    |
| one output weight, walls of their own        | ``features``                      | ``pieces``                        |
| several output weights                       | ``features``                      | ``rank_one``                      |
| several output weights, gated                | none: gates belong to the question| ``spectral``                      |
| tied filters in front of a second ReLU       | ``tied`` if few entries,          | ``tied``                          |
|                                              | else ``features``                 |                                   |
| C outputs: output weights are vectors        | ``features``                      | ``rank_one``                      |
| C outputs, linear or gated                   | ``rank_one``                      | ``rank_one``                      |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerogap import clock
from zerogap.certificates.certificate import Certificate
from zerogap.errors import InputError, Status
from zerogap.network import Network
from zerogap.question import Question
from zerogap.training.history import Iteration
from zerogap.validation import shown

Trained = tuple[Network, Certificate, Sequence[Iteration], Status]


@dataclass(frozen=True, eq=False)
class Request:
    """How to train, apart from the question: the checked arguments of ``zg.train``.

    Parameters
    ----------
    arrangements : "generate", "enumerate", int or (P, p) array
    tol : float
    limit : float
        Seconds for the network.
    effort : float
        Seconds for branch and bound.
    rng : Generator
    callback : callable, optional
    solver : str
    warm_start : Network, optional
    """

    arrangements: Any
    tol: float
    limit: float
    effort: float
    rng: np.random.Generator
    callback: Callable[[Iteration], object] | None = None
    solver: str = "interior_point"
    warm_start: Network | None = None

    @property
    def generate(self) -> bool:
        return isinstance(self.arrangements, str) and self.arrangements == "generate"

    @property
    def common(self) -> dict[str, Any]:
        """The keyword arguments that all algorithms share."""
        return {"tol": self.tol, "limit": self.limit, "rng": self.rng, "callback": self.callback}


def answered(question: Question, request: Request) -> Trained:
    """Train by the algorithm of the table above.

    Raises
    ------
    InputError
        If the table has none, or the algorithm cannot take the arrangements.
    """
    architecture = question.architecture
    if request.generate and architecture.gated:
        raise InputError(
            "arrangements", "'generate' with gated=True", "a number or an array of gates", "pass arrangements=200"
        )
    if question.cellular:
        return _cellular(question, request)
    from zerogap.training.tied import provable, train_tied

    if request.solver != "interior_point":
        expected = f"'interior_point': {architecture!r} with these outputs has no cell program with shared walls"
        raise InputError("solver", repr(request.solver), expected, "leave solver out")
    # Branch and bound over pairs of directions always proves, so prove=False asks for the search alone.
    if question.outputs is not None:
        return _joint(question, request)
    if architecture.tied and (not request.generate or (request.effort > 0.0 and provable(question))):
        return train_tied(question, request.arrangements, **request.common, warm_start=request.warm_start)
    if request.generate:
        return _generated(question, request)
    if architecture.linear:
        raise _no_cells(request)
    if architecture.gated:
        from zerogap.training.spectral import train_gated

        return train_gated(question, request.arrangements, **request.common)
    if architecture.features(question.rows).outputs > 1:
        from zerogap.training.rank_one import train_rank_one

        return train_rank_one(question, request.arrangements, **request.common)
    return _pieced(question, request)


def _no_cells(request: Request) -> InputError:
    expected = "'generate': a linear network has one piece, and its program one matrix"
    return InputError("arrangements", shown(request.arrangements), expected, "leave arrangements out")


def _joint(question: Question, request: Request) -> Trained:
    """Several outputs; linear and gated neurons have prices in closed form, so that atoms serve them best."""
    architecture = question.architecture
    if architecture.linear and not request.generate:
        raise _no_cells(request)
    if not request.generate or architecture.linear:
        from zerogap.training.rank_one import train_rank_one

        return train_rank_one(question, request.arrangements, **request.common)
    from zerogap.training.features import train_features

    return train_features(question, **request.common, effort=request.effort, warm_start=request.warm_start)


def _cellular(question: Question, request: Request) -> Trained:
    if request.generate:
        from zerogap.training.all_neurons import train_globally

        return train_globally(question, request)
    from zerogap.training.cells import train_over_cells

    return train_over_cells(question, request.arrangements, **request.common, solver=request.solver)


def _pieced(question: Question, request: Request) -> Trained:
    """The program of pieces; where it is only a relaxation, it gives the bound, and the network is generated."""
    from zerogap.training.features import train_features
    from zerogap.training.pieces import train_by_pieces

    started = clock.now()
    trained = train_by_pieces(question, request.arrangements, **request.common)
    if (trained[1].scope, trained[1].proof) != ("global", "relaxation"):
        return trained
    left = max(request.limit - (clock.now() - started), 0.0)
    return train_features(question, **request.common | {"limit": left}, effort=request.effort, proved=trained[1])


def _generated(question: Question, request: Request) -> Trained:
    if question.architecture.linear:
        from zerogap.training.spectral import train_spectral

        return train_spectral(question, **request.common)
    from zerogap.training.features import train_features

    return train_features(question, **request.common, effort=request.effort, warm_start=request.warm_start)
