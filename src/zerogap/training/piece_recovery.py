"""From the blocks of a program of pieces back to networks (docs/theory.md, "Recovery").

A solver's blocks lie in their cones up to its accuracy. Moved inside, T_i v is exactly what the neuron of v
contributes, so that the network and the program have the same objective.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements.centres import interior_point
from zerogap.gauges import GroupGauge
from zerogap.network import Network
from zerogap.pieces import PieceProgram, Pieces
from zerogap.question import Question
from zerogap.solvers.conic import FINEST
from zerogap.solvers.conic_pieces import ATTEMPTS, solve_pieces

Array = NDArray[np.float64]

SHARES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)
"""Blocks below these shares of the largest one are left out, in turn."""


def recovered(question: Question, program: PieceProgram, blocks: Array, offset: float) -> Iterator[Network]:
    """Networks of the blocks above falling thresholds of size: as they are, pruned to at most n neurons, reweighted.

    Parameters
    ----------
    question : Question
    program : PieceProgram
    blocks : (2, P, q) float64
        Up to the accuracy of a solver in their cones.
    offset : float
    """
    pieces, features = program.pieces, question.architecture.features(question.rows)
    share = pieces.gauge.value(blocks)
    share = share / max(float(share.max(initial=0.0)), 1e-300)
    moved = np.zeros_like(blocks)
    for used in np.flatnonzero((share > SHARES[-1]).any(axis=0)):
        moved[:, used] = inside(pieces.cones[used], blocks[:, used])
    family, piece = np.nonzero((share > SHARES[-1]) & (pieces.gauge.value(moved) > 0.0))
    weights, sizes = pieces.neurons(piece, moved[family, piece])
    readout, share = np.where(family == 0, sizes, -sizes)[:, None], share[family, piece]
    widths: set[int] = set()
    for least in SHARES:
        kept = share > least
        if int(kept.sum()) in widths:
            continue
        widths.add(int(kept.sum()))
        constant = offset
        if program.offset:
            # A free offset takes over the mean of what is left out.
            rest = blocks.copy()
            rest[family[kept], piece[kept]] = 0.0
            constant += float(np.mean(program.matmul(rest)))
        network = Network.from_weights(
            question.architecture, features, weights[kept], readout[kept], constant
        ).balanced()
        pruned = network.pruned(question.rows)
        yield from (network, pruned, reweighted(question, pruned))


def inside(cone: Array, blocks: Array) -> Array:
    """The blocks, moved into a cone {v : K v >= 0} with interior.

    A block v with a margin that is negative, or not positive beyond rounding, becomes v + tau c with an interior point
    c and the smallest tau that mends this, or 0 if that is nearer. Without interior, as far as a linear program can
    tell, blocks stay where they are.

    Parameters
    ----------
    cone : (H, q) float64
        K.
    blocks : (m, q) float64
    """
    # In units that bring all columns near one, as in ``Walls.units``: cells may be thin only because of their units.
    units = np.ldexp(1.0, -np.frexp(np.abs(cone).max(axis=0, initial=0.0))[1])
    length = np.linalg.norm(cone * units, axis=1)
    rows = (cone * units)[length > 0.0] / length[length > 0.0, None]
    inner = blocks / units
    size = np.linalg.norm(inner, axis=1)
    # More than the rounding error of q products.
    floor = 8.0 * blocks.shape[1] * np.finfo(np.float64).eps * size
    margins = inner @ rows.T
    if np.all(margins >= floor[:, None]):
        return blocks
    centre = interior_point(rows, np.ones(rows.shape[0], dtype=bool))
    if centre is None:
        return blocks
    tau = np.max((floor[:, None] - margins) / (rows @ centre), axis=1, initial=0.0)
    near = tau * float(np.linalg.norm(centre)) < size
    return np.where(near[:, None], blocks + tau[:, None] * (units * centre), 0.0)


def reweighted(question: Question, network: Network) -> Network:
    """The network with the best sizes of its neurons: they make up for blocks that were left out.

    The program over the rays of its neurons has a few variables only, so that the solver is accurate.
    """
    if not network.width:
        return network
    features = network.on(question.rows)
    weights = features.unit(network.weights)
    values = features.forward(weights)[0][:, 0]
    cones = (np.ones((1, 1)),) * weights.shape[0]
    gauge = GroupGauge.euclidean(np.ones(1, dtype=bool))
    rays = Pieces(values.T[:, :, None], cones, gauge, lambda rays, sizes: (weights[rays], sizes[:, 0]), complete=False)
    program = PieceProgram(rays, question.loss, question.beta, question.architecture.offset)
    solution = solve_pieces(program, tol=FINEST, attempt=ATTEMPTS[1])
    if solution is None:
        return network
    readout = np.maximum(solution.blocks[0], 0.0) - np.maximum(solution.blocks[1], 0.0)
    return Network.from_weights(question.architecture, features, weights, readout, solution.offset).balanced()
