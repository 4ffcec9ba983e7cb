"""From the blocks of a program back to a network: as thin as the gap allows (P2, recovery and width)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zerogap import clock
from zerogap.architectures import Neurons
from zerogap.certificates.objective import objective_above
from zerogap.network import Network
from zerogap.program import Program
from zerogap.question import Question
from zerogap.solvers import Iterate
from zerogap.training.merging import merged
from zerogap.training.sliding import Sliding

Array = NDArray[np.float64]

FAINTEST = 1e-6
"""Neurons of a smaller share of the largest weight leave first."""

CROWDS = 0.03 * 0.3 ** np.arange(5.0)
"""Widths of the kinks in which crowds are merged."""

TWINS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
"""Neurons closer than that become one, if the objective allows it."""


def empty_network(question: Question) -> Network:
    """The best network without neurons."""
    architecture, empty = question.architecture, np.zeros((0, question.rows.dimension))
    gates = empty if architecture.gated else None
    if question.outputs is None:
        return Network.of(architecture, Neurons(empty, np.zeros(0), gates, offset=question.constant))
    slots = (1,) if architecture.slotted else ()
    return Network(architecture, empty, np.zeros((0, *slots, question.outputs)), gates=gates, offset=question.constant)


def thinnest(question: Question, program: Program | None, best: Iterate | None, tol: float) -> tuple[Network, float]:
    """The thinnest network near the best iterate whose objective is no worse by more than a tenth of the gap.

    Candidates: no neurons at all; the iterate without its smallest blocks; the same pruned to at most
    n neurons.
    """
    candidates = [empty_network(question)]
    if best is not None and program is not None:
        thinned = list(_thinned(question, program, best))
        candidates += thinned + [network.pruned(question.rows) for network in thinned]
    return _thinnest_of(question, candidates, tol)


def _thinnest_of(question: Question, candidates: list[Network], tol: float) -> tuple[Network, float]:
    """The one with the fewest neurons whose objective is above the least by no more than a tenth of the gap."""
    judged = [(objective_above(question, network), network.width, k) for k, network in enumerate(candidates)]
    allowed = min(judged)[0] * (1.0 + 0.1 * tol)
    objective, _, chosen = min((j for j in judged if j[0] <= allowed), key=lambda j: (j[1], j[0]))
    return _without_twins(question, candidates[chosen], objective, allowed)


def _without_twins(question: Question, network: Network, objective: float, allowed: float) -> tuple[Network, float]:
    """The network whose nearest neurons became one, as far as the objective stays below what is allowed."""
    for width in TWINS:
        fewer = merged(network, width)
        if fewer.width < network.width:
            worse = objective_above(question, fewer)
            if worse > allowed:
                break
            network, objective = fewer, worse
    return network, objective


def consolidated(question: Question, network: Network, tol: float, deadline: float) -> Network:
    """The thinnest network near one whose neurons stand in crowds: of fixed directions next to each other.

    Candidates: the network pruned to at most n neurons, and what sliding makes of these, level by level, which moves
    and merges them; none that is worse than the best one by more than a tenth of the gap. Sliding ends at `deadline`.
    """
    given = network.without_faint(FAINTEST)
    candidates: list[Network] = []
    # Ctrl-C ends this, too, and loses nothing but thinness.
    with contextlib.suppress(KeyboardInterrupt):
        candidates.append(given.pruned(question.rows))
        for slid in _slid(question, candidates[0], deadline):
            candidates.append(slid)
    return _thinnest_of(question, candidates or [given], tol)[0]


def _slid(question: Question, network: Network, deadline: float) -> Iterator[Network]:
    """What sliding makes of a network, level by level; nothing where the widest one finds no crowd to merge."""
    if not network.width:
        return
    nobody = np.zeros((0, question.rows.dimension))
    sliding = Sliding.continued(question, network, nobody, np.random.default_rng(0))
    for done in sliding.run(CROWDS):
        if done:
            if sliding.signs.size >= network.width:
                return
            yield sliding.network().pruned(question.rows)
        if clock.now() > deadline:
            return


def _thinned(question: Question, program: Program, best: Iterate) -> Iterator[Network]:
    """Networks of the blocks above falling thresholds of size."""
    sizes = program.gauge.value(best.blocks)
    loose = np.linalg.norm(best.blocks, axis=2)
    top = max(float(sizes.max(initial=0.0)), 1e-300)
    widths: set[int] = set()
    for threshold in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 0.0):
        keep = (sizes > threshold * top) | ((sizes <= 1e-12 * loose) & (loose > threshold * top))
        if int(keep.sum()) in widths:
            continue
        widths.add(int(keep.sum()))
        blocks = np.where(keep[..., None], best.blocks, 0.0)
        yield Network.of(question.architecture, question.architecture.neurons(program, blocks, best.offset))
