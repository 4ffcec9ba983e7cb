"""Compile the loops now rather than at the first call, on all cores: ``zerogap compile``.

Compiled code is kept beside the package, or in the user's cache where that cannot be written. One process compiles one
function after the other; so groups of loops that do not call each other are compiled by processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import numpy as np

from zerogap import clock
from zerogap.architectures import CNN, MLP
from zerogap.oracles import branch_and_bound, convex_branches
from zerogap.oracles.branch_and_bound import available_cores
from zerogap.oracles.face_ascent import face_ascent
from zerogap.oracles.form import Form
from zerogap.oracles.search import random_starts, search
from zerogap.question import Question
from zerogap.training.sliding import slide
from zerogap.training.train import train


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 3)), rng.standard_normal(12)


def _interior_point() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal(40)
    # Both forms of the maps, more walls than start as near ones, and a loss that is not quadratic.
    train(MLP(), rng.standard_normal((40, 3)), y, beta=0.1, arrangements=20)
    train(CNN(2), rng.standard_normal((40, 3, 3)), np.sign(y), loss="logistic", beta=0.1, arrangements=20)


def _searches() -> None:
    question = Question.of(MLP(), *_data(), loss="squared", beta=0.1)
    form, rng = Form.of(question.rows, free=False), np.random.default_rng(0)
    search(form, question.null_residual, random_starts(form, 4, rng))
    for _ in slide(question, None, random_starts(form, 4, rng), rng):
        break


def _branches() -> None:
    branch_and_bound.compiled()


def _convex_branches() -> None:
    convex_branches.compiled()


def _faces() -> None:
    X, y = _data()
    features, rng = MLP().features(MLP().rows(X)), np.random.default_rng(0)
    face_ascent(features, y, features.unit(rng.standard_normal((2, features.dimension))), rng)


def _features() -> None:
    images = np.random.default_rng(0).standard_normal((3, 3, 3))
    for pooling in ("sum", "max", "none"):
        architecture = CNN(2, pooling=pooling)
        features = architecture.features(architecture.rows(images))
        values, back = features.forward(np.ones((1, features.dimension)))
        back(np.ones_like(values))


JOBS: tuple[Callable[[], None], ...] = (
    _interior_point,
    _branches,
    _searches,
    _convex_branches,
    _faces,
    _features,
)
"""The longest first."""


def _done(job: Callable[[], None]) -> float:
    job()
    return clock.compiling()


def compile_loops(processes: int | None = None) -> Iterator[float]:
    """Compile what is not compiled yet; after every one of ``len(JOBS)`` groups, the seconds that compiling it took.

    Parameters
    ----------
    processes : int, optional
        Default one for each core.
    """
    # Not forked: a child of a process that has compiled would inherit its locks.
    with ProcessPoolExecutor(min(processes or available_cores(), len(JOBS)), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_done, job) for job in JOBS]):
            yield future.result()
