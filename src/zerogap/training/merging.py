"""Neurons so near to each other that one does for all.

Neurons of one sign become the sum of their u_j |w_j|. Its cost is no larger than theirs, since the gauge is convex
(docs/theory.md, "Gauge"), and its outputs are the same, except for rows between the planes of the neurons. Optimal
neurons come to rest on such planes, at samples that they must not cross, where a program over cells finds them as
twins, one on either side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from zerogap.features.base import masses
from zerogap.network import Network
from zerogap.rounding import lengths

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

UNDECAYED = 1e-9
"""A neuron with a smaller share of decayed weights has no direction in the gauge."""


def leaders(points: Array, width: float) -> Indices:
    """For each point (m, q) the first of those that lead to which it is closer than the width, or itself: it leads."""
    near = cdist(points, points) < width
    found = np.full(points.shape[0], -1)
    for j in range(points.shape[0]):
        if found[j] < 0:
            found[near[j] & (found < 0)] = j
            found[j] = j
    return found


def merged(network: Network, width: float) -> Network:
    """The balanced network in which neurons became one that, with inner and output weights of length one, are closer.

    The penalty is no larger. Networks with gates or filters stay as they are.
    """
    network = network.balanced()
    if network.gates is not None or network.filters is not None or not network.width:
        return network
    mass = masses(network.readout)
    order = np.argsort(-mass, kind="stable")
    costs = mass[order] ** 2
    blocks = network.first[order] * mass[order, None]
    output = network.second[order] / mass[order].reshape(-1, *[1] * (network.second.ndim - 1))
    able = np.flatnonzero(costs > UNDECAYED * lengths(blocks))
    points = np.concatenate([blocks / costs[:, None], output.reshape(order.size, -1)], axis=1)[able]
    leader = np.arange(order.size)
    leader[able] = able[leaders(points, width)]
    places, of = np.unique(leader, return_inverse=True)
    if places.size == order.size:
        return network
    first, second = np.zeros((places.size, blocks.shape[1])), np.zeros((places.size, *output.shape[1:]))
    total = np.bincount(of, costs)
    np.add.at(first, of, blocks)
    np.add.at(second, of, output * costs.reshape(-1, *[1] * (output.ndim - 1)))
    second /= total.reshape(-1, *[1] * (output.ndim - 1))
    return Network(network.architecture, first, second, offset=network.offset).balanced()
