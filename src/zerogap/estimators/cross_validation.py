"""The choice of beta by cross-validation, along a path of warm starts.

    for beta_1 > beta_2 > ...:    train on all but one fold, from the network at the beta before;  judge on that fold

All folds walk down together. Small betas take by far the longest, and are given up once the mean loss on the folds
left out has not improved for some steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.model_selection import check_cv

from zerogap.architectures import Architecture
from zerogap.errors import InputError, Status
from zerogap.estimators.base import ConvexEstimator
from zerogap.estimators.problem import Problem
from zerogap.estimators.samples import Samples
from zerogap.network import Network
from zerogap.regularisation_path import falling_betas
from zerogap.validation import integer

Array = NDArray[np.float64]

SEED = 0
"""Of the folds, where their number is all that is given."""


class Fold:
    """One fold on its way down the path: what it trains on, what it is judged on, and the network where it is."""

    def __init__(self, problem: Problem, other: Samples, network: Network | None = None) -> None:
        self.problem, self.other, self.network = problem, other, network

    def step(self, architecture: Architecture, beta: float, effort: dict[str, Any]) -> tuple[float, Network]:
        """The mean loss on the samples left out, and the network, at the next beta."""
        result = self.problem.train(architecture, beta, warm_start=self.network, **effort)
        if result.status is Status.INTERRUPTED:
            # Half a path chooses nothing.
            raise KeyboardInterrupt
        X, targets = self.problem.scaled(self.other, flat=architecture.flat)
        return self.problem.loss_on(result.network(X), targets, self.other.weights), result.network


class CrossValidation(ConvexEstimator):
    """Mixed into an estimator whose ``beta`` is to be found."""

    def _tasks(self) -> int:
        return 1 + super()._tasks()

    def _fit(self, problem: Problem, context: Any) -> None:
        architecture, samples = self._architecture(problem.shape), problem.samples
        X, targets = problem.scaled(samples, flat=architecture.flat)
        options: Any = {"loss": problem.loss, "sample_weight": samples.weights}
        betas = falling_betas(architecture, X, targets, self.betas, self.ratio, **options)
        folds, patience = list(self._folds(problem)), integer("patience", self.patience, least=1)
        task = context.subcontext(task_name="path", max_subtasks=len(betas)).call_on_fit_task_begin(estimator=self)
        losses: list[list[float]] = []
        for beta in betas:
            losses.append(self._stepped(folds, architecture, float(beta), float(samples.weights.sum())))
            step = task.subcontext(task_name="beta").call_on_fit_task_begin(estimator=self)
            if step.call_on_fit_task_end(estimator=self):
                break
            if len(losses) - int(np.argmin(np.mean(losses, axis=1))) > patience:
                break
        task.call_on_fit_task_end(estimator=self)
        self.betas_, self.validation_path_ = betas[: len(losses)], np.array(losses)
        self._train(problem, float(self.betas_[np.argmin(np.mean(losses, axis=1))]), context)

    def _stepped(self, folds: list[Fold], architecture: Architecture, beta: float, total: float) -> list[float]:
        """The losses of all folds after their step to a beta.

        Losses are sums, so that a fold, with fewer samples, gets less decay in proportion.
        """
        steps = Parallel(n_jobs=self.n_jobs)(
            delayed(fold.step)(architecture, beta * float(fold.problem.samples.weights.sum()) / total, self._effort)
            for fold in folds
        )
        for fold, (_, network) in zip(folds, steps, strict=True):
            fold.network = network
        return [loss for loss, _ in steps]

    def _folds(self, problem: Problem) -> Iterator[Fold]:
        """The folds, each scaled by its own training samples."""
        splits = self._counted(problem) if _whole(self.cv) else self._given(problem)
        for training, other in splits:
            self._check(problem, training)
            part = Problem(training, problem.task, problem.loss)
            yield Fold(part.standardised(together=self._images) if self.standardise else part, other)

    @staticmethod
    def _check(problem: Problem, training: Samples) -> None:
        """Raise InputError where the training samples of a fold are of one class."""
        if problem.task == "classes" and not np.ptp(training.targets, axis=0).any():
            whole = np.unique(problem.samples.targets, axis=0, return_inverse=True)[1].reshape(-1)
            rare = int(np.bincount(whole).min())
            got = f"a fold whose training samples are all of one class (the rarest has {rare} of {len(whole)} samples)"
            remedy = "pass fewer folds or a stratified splitter, or add samples of the rare class"
            raise InputError("cv", got, "two classes or more in every training part", remedy)

    def _counted(self, problem: Problem) -> Iterator[tuple[Samples, Samples]]:
        """So many folds of distinct samples: equal samples are together, so that weights still equal duplicates."""
        samples, folds, classes = problem.samples, 5 if self.cv is None else int(self.cv), problem.task == "classes"
        count = len(samples.weights)
        if not 2 <= folds <= count:
            got, expected = f"{folds} folds for n_samples={count} distinct samples", f"from 2 to {max(count, 2)} folds"
            raise InputError("cv", got, expected, "pass fewer folds, or more data")
        labels = _labels(problem)
        # Where a class is rarer than folds are, folds cannot all hold a share of it.
        stratified = classes and np.unique(labels, return_counts=True)[1].min() >= folds
        # Samples are sorted; folds must not be.
        order = np.random.default_rng(SEED).permutation(count)
        for training, other in check_cv(folds, labels[order], classifier=stratified).split(order, labels[order]):
            yield samples.take(order[training]), samples.take(order[other])

    def _given(self, problem: Problem) -> Iterator[tuple[Samples, Samples]]:
        """The folds of a splitter, or of an iterable, of samples as they were given."""
        samples = problem.samples
        labels = _labels(problem)[np.maximum(samples.owner, 0)]
        splitter, count = check_cv(self.cv, labels, classifier=problem.task == "classes"), 0
        for parts in self._split(splitter, labels):
            training, other = (_indices(part, len(labels)) for part in parts)
            count += 1
            yield samples.rows(training), samples.rows(other)
        if not count:
            raise InputError("cv", "no folds", "at least one pair of training and testing samples", "pass cv=5")

    @staticmethod
    def _split(splitter: Any, labels: NDArray[Any]) -> list[Any]:
        """The folds of a splitter that needs no groups."""
        try:
            return list(splitter.split(np.zeros((len(labels), 1)), labels))
        except ValueError as error:
            if "groups" not in str(error):
                raise
            got, expected = f"{type(splitter).__name__}, which needs groups", "folds that do not depend on groups"
            raise InputError("cv", got, expected, "pass cv=list(splitter.split(X, y, groups))") from error


def _whole(cv: Any) -> bool:
    """Whether folds are given by their number."""
    return cv is None or (isinstance(cv, (int, np.integer)) and not isinstance(cv, bool))


def _indices(part: Any, samples: int) -> NDArray[np.intp]:
    """The samples of one part of a fold, from indices or a mask."""
    array = np.asarray(part)
    array = np.flatnonzero(array) if array.dtype == bool else array
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= samples:
        expected = f"indices from 0 to {samples - 1}, or a mask, and no empty part"
        raise InputError("cv", f"a fold of {array.dtype} of shape {array.shape}", expected, "mend the folds")
    return array


def _labels(problem: Problem) -> NDArray[Any]:
    """What splitters take for y: the classes as indices, or the targets."""
    targets = problem.samples.targets
    if problem.task != "classes":
        return targets
    return targets.argmax(axis=1) if targets.ndim == 2 else (targets > 0.0).astype(np.intp)
