"""train_separately: several outputs under the squared l1 decay, one program for each (``zerogap.outputs``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zerogap import clock
from zerogap.architectures import Architecture
from zerogap.certificates.certificate import Certificate
from zerogap.errors import Status, ToleranceError
from zerogap.outputs import OutputNetworks, added, output_columns
from zerogap.training.train import Callback, Result, train
from zerogap.validation import generator, positive, seconds_of

WORST_FIRST = (
    Status.INTERRUPTED,
    Status.STOPPED,
    Status.TIME_LIMIT,
    Status.STALLED,
    Status.SEARCHED,
    Status.OPTIMAL,
)


@dataclass(frozen=True, eq=False)
class SeparateResult:
    """What ``train_separately`` returns.

    Parameters
    ----------
    networks : OutputNetworks
        Called on inputs: outputs (n, C).
    certificate : Certificate
        Of all outputs together.
    results : tuple of Result
        Those of the single outputs.
    status : Status
        The worst of theirs.
    """

    networks: OutputNetworks
    certificate: Certificate
    results: tuple[Result, ...]
    status: Status

    def raise_for_status(self) -> None:
        """Raise ToleranceError unless the gap asked for was met for every output."""
        if not self.status.success:
            raise ToleranceError(f"gap {self.certificate.gap:.3g}: {self.status.value}")


def train_separately(
    architecture: Architecture,
    X: Any,
    Y: Any,
    *,
    loss: str = "squared",
    beta: float = 1.0,
    arrangements: int | str | Any = "generate",
    tol: float = 1e-4,
    max_time: float | None = None,
    prove: bool | float = 30.0,
    sample_weight: Any = None,
    random_state: int | np.random.Generator | None = 0,
    callback: Callback | None = None,
) -> SeparateResult:
    """Train networks with several outputs under the decay beta/2 sum_j (||u_j||^2 + ||w_j||_1^2).

    That problem splits into one for each output, over the same cells.

    Parameters
    ----------
    architecture : Architecture
    X : array
    Y : (n, C) array
        The targets of every output; -1 and +1 for the margin losses.
    loss, beta, arrangements, tol, sample_weight, callback
        As in ``train``.
    max_time, prove : optional
        Seconds for all outputs together.
    random_state : int, Generator or None
        The same for all outputs, so that they share sampled cells.

    Returns
    -------
    SeparateResult

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    Pilanci and Ergen (ICML 2020), vector outputs; derived in ``zerogap.outputs``.
    """
    columns = output_columns(Y)
    limit = np.inf if max_time is None else positive("max_time", max_time, infinite=True)
    effort, seed = seconds_of("prove", prove), int(generator(random_state).integers(2**31))
    started, results, ended = clock.now(), list[Result](), False
    for k, y in enumerate(columns):
        left = len(columns) - k
        # After Ctrl-C or a stop the other outputs only get their trivial networks.
        share = 1e-9 if ended else max((limit - (clock.now() - started)) / left, 1e-9)
        result = train(
            architecture,
            X,
            y,
            loss=loss,
            beta=beta,
            arrangements=arrangements,
            tol=tol,
            max_time=share,
            prove=0.0 if ended else effort / len(columns),
            sample_weight=sample_weight,
            random_state=seed,
            callback=callback,
        )
        ended = ended or result.status in (Status.INTERRUPTED, Status.STOPPED)
        results.append(result)
    networks = OutputNetworks([result.network for result in results])
    status = min((result.status for result in results), key=WORST_FIRST.index)
    return SeparateResult(networks, added([result.certificate for result in results]), tuple(results), status)
