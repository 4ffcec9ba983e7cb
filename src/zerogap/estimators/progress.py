"""The progress of training as scikit-learn's callbacks see it: one task for every digit of the gap.

A relative gap that falls from 1 to tol passes 0.1, 0.01, ...; each of these digits is a task with ten steps of equal
ratios, so that a progress bar shows the gap. Where nothing is proved yet the gap is the one that search suggests.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from zerogap.training.history import Iteration

STEPS = 10
"""Steps of one digit."""


class GapProgress:
    """A callback for ``zg.train`` that reports to a callback context of scikit-learn.

    Parameters
    ----------
    estimator : estimator
    context : sklearn.callback.CallbackContext
        Of the fit; it has as many subtasks as ``digits`` gives.
    tol : float
    """

    def __init__(self, estimator: Any, context: Any, tol: float) -> None:
        self._estimator, self._context = estimator, context
        self._tasks = digits(tol)
        self._task: Any = None
        self._done = 0
        self._steps = 0

    def __call__(self, record: Iteration) -> bool:
        """Report what has been reached; true if a callback wants the training to stop."""
        reached = self._reached(record.estimated_gap)
        stop = False
        while self._done * STEPS + self._steps < reached - 1e-9:
            if self._task is None:
                goal = self._tasks[self._done]
                self._task = self._context.subcontext(task_name=f"relative gap {goal:.0e}", max_subtasks=STEPS)
                self._task.call_on_fit_task_begin(estimator=self._estimator)
            step = self._task.subcontext(task_name="step").call_on_fit_task_begin(estimator=self._estimator)
            stop |= bool(step.call_on_fit_task_end(estimator=self._estimator))
            self._steps += 1
            if self._steps == STEPS:
                stop |= bool(self._task.call_on_fit_task_end(estimator=self._estimator))
                self._task, self._done, self._steps = None, self._done + 1, 0
        return stop

    def _reached(self, gap: float) -> float:
        """Steps that a gap stands for."""
        goals = [1.0, *self._tasks]
        shares = [
            min(max(math.log(max(gap, 1e-300) / above) / math.log(goal / above), 0.0), 1.0)
            for above, goal in pairwise(goals)
        ]
        return STEPS * sum(shares)


def digits(tol: float) -> list[float]:
    """The gaps that are tasks, the last one the tolerance."""
    whole = math.ceil(-math.log10(tol) - 1e-9)
    return [10.0**-k for k in range(1, whole)] + [min(tol, 0.5)]
