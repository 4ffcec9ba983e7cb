r"""Pieces of three layers with two ReLUs: on them a neuron is linear in C = (|w_1| u_1, ..., |w_K| u_K).

    Phi = E T C,    T C = sum_k I_k D_k X_k c_k  (+ a 1 with a free bias),

for cells D_k of the filters, signs I_k of w_k, and a pattern E, a 0-1 diagonal, of the outer pre-activations T C:

    (2 D_k - 1) X_k c_k >= 0,      (2 E - 1) T C >= 0.                                     (P0, architecture G)

Untied: ||u_k|| <= 1 and ||w|| <= 1 describe exactly the Frobenius ball of C, so every block is a neuron. Tied: all u_k
lie in one cell, but the columns of C have to be parallel as well, and the ball does not ask for that: a relaxation.

A piece is left out only if its neurons have twins of no larger norm in a listed one: positions without an active row
contribute like c_k = 0, and so do positions of negative sign that no position of positive sign overlaps. A sample
whose active positions have one sign needs no constraint: its outer pre-activation has that sign already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements import count_bound
from zerogap.errors import InputError
from zerogap.features.three_layer import ThreeLayerFeatures
from zerogap.gauges import GroupGauge
from zerogap.pieces import Choose, Pieces

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST = 20_000
"""Pieces that a program may have."""

ENTRIES = 200_000_000
"""Of all maps and cones together, which are dense."""

IDLE = 20
"""Draws of neurons in a row without a new piece that end sampling."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One piece.

    Parameters
    ----------
    active : (n, K) bool
        D.
    signs : (K,) float64
        I, -1 or +1.
    outer : (n,) bool
        E.
    mixed : (n,) bool
        Samples whose outer pre-activation needs a constraint.
    """

    active: Mask
    signs: Array
    outer: Mask
    mixed: Mask

    @property
    def key(self) -> bytes:
        return b"".join(part.tobytes() for part in (self.active, self.signs, self.outer))


def list_pieces(features: ThreeLayerFeatures, choose: Choose) -> Pieces:
    """The pieces of all neurons, or those that random neurons lie in if `choose` samples.

    Raises
    ------
    InputError
        If there may be more than ``MOST``, or if they would not fit into memory.
    """
    if choose.number is not None:
        found, complete = _sampled(features, choose.number, choose.rng), False
    else:
        found, complete = _enumerated(features, choose)
    blocks = Blocks(features)
    rows = features.rows.matrix.shape[0] * features.positions * (features.positions if features.tied else 1)
    if len(found) * rows * blocks.dimension > ENTRIES:
        got = f"{len(found)} pieces of {blocks.dimension} unknowns and {rows} constraints"
        expected = f"at most {ENTRIES:.0e} entries in all"
        raise InputError("arrangements", got, expected, "pass arrangements='generate', or fewer samples and positions")
    signs = np.array([piece.signs for piece in found]).reshape(-1, features.positions)

    def neurons(which: NDArray[np.intp], blocks_: Array) -> tuple[Array, Array]:
        return blocks.neurons(signs[which], blocks_)

    return Pieces(
        np.array([blocks.map(piece) for piece in found]).reshape(-1, features.samples, blocks.dimension),
        tuple(blocks.cone(piece) for piece in found),
        blocks.gauge,
        neurons,
        complete,
        exact=not features.tied,
        # Entries are those of the rows, or their opposites.
        roundings=0,
    )


@dataclass(frozen=True, eq=False)
class Blocks:
    """C as a vector: position by position, then a if the bias is free."""

    features: ThreeLayerFeatures

    @property
    def dimension(self) -> int:
        return self.features.positions * self.features.rows.dimension + int(self.features.free)

    @property
    def gauge(self) -> GroupGauge:
        """||E C||_F; biases and a are free, and matter up to the sizes beyond which all pre-activations have one sign.

        With B_k = ||max_s |m_sk|||, a bias |b_k| > B_k |w_k| can be cut down, and the rest be moved into a; then no
        position exceeds 2 B_k |w_k|, and neither does a exceed 2 sum_k B_k |w_k| but for a constant, which the residual
        does not see. For tied filters the largest B_k takes the place of all.
        """
        features = self.features
        penalised = np.ones((features.positions, features.rows.dimension), dtype=bool)
        if not features.free:
            return GroupGauge.euclidean(penalised.ravel())
        penalised[:, -1] = False
        most = np.abs(features.rows.matrix[..., :-1]).max(axis=0)
        if features.tied:
            most = np.broadcast_to(most.max(axis=0), most.shape)
        # b is at most max B_k ||w||, and a at most 2 ||B|| ||w||.
        reach = 3.0 * float(np.linalg.norm(most)) * (1.0 + 1e-12)
        return GroupGauge.euclidean(np.append(penalised.ravel(), False), reach)

    def linear(self, active: Mask, signs: Array) -> Array:
        """T, (n, q)."""
        n = self.features.samples
        map_ = (self.features.rows.matrix * (active * signs)[..., None]).reshape(n, -1)
        return np.concatenate([map_, np.ones((n, 1))], axis=1) if self.features.free else map_

    def map(self, piece: Piece) -> Array:
        """E T, (n, q)."""
        return np.where(piece.outer[:, None], self.linear(piece.active, piece.signs), 0.0)

    def cone(self, piece: Piece) -> Array:
        """The rows of all constraints, (H, q), without those that are zero."""
        matrix, positions = self.features.rows.matrix, self.features.positions
        sides = np.where(piece.active, 1.0, -1.0)
        rows = []
        for k in range(positions):
            own = matrix[:, k] * sides[:, k, None]
            if self.features.tied:
                # Every column lies in the common cell, which all positions cut.
                own = (matrix * sides[..., None]).reshape(-1, matrix.shape[2])
            placed = np.zeros((own.shape[0], self.dimension))
            placed[:, k * matrix.shape[2] : (k + 1) * matrix.shape[2]] = own
            rows.append(placed)
        outer = np.where(piece.outer, 1.0, -1.0)[:, None] * self.linear(piece.active, piece.signs)
        cone = np.concatenate([*rows, outer[piece.mixed]])
        return cone[np.any(cone != 0.0, axis=1)]

    def neurons(self, signs: Array, blocks: Array) -> tuple[Array, Array]:
        """Unit neurons of blocks; signs (m, K), blocks (m, q).

        Of a block of a tied relaxation the nearest parallel columns are kept: a neuron, but not the same feature.
        """
        features = self.features
        m, p = blocks.shape[0], features.rows.dimension
        columns = blocks[:, : features.positions * p].reshape(m, features.positions, p)
        if features.tied:
            left, singular, right = np.linalg.svd(columns, full_matrices=False)
            # Cells are cones: the sign that makes most weights positive is that of u.
            turn = np.where(left[:, :, 0].sum(axis=1) < 0.0, -1.0, 1.0)[:, None]
            filters = turn * right[:, 0]
            length = np.linalg.norm(filters[:, : p - int(features.free)], axis=1, keepdims=True)
            sizes = np.maximum(turn * left[:, :, 0], 0.0) * singular[:, :1] * length
        else:
            sizes = np.linalg.norm(columns[..., : p - int(features.free)], axis=2)
            filters = columns.reshape(m, -1)
        theta = np.concatenate([filters, signs * sizes], axis=1)
        if features.free:
            theta = np.concatenate([theta, blocks[:, -1:]], axis=1)
        whole = np.linalg.norm(sizes, axis=1)
        return np.where(features.scaled, theta / np.where(whole > 0.0, whole, 1.0)[:, None], theta), whole


def _enumerated(features: ThreeLayerFeatures, choose: Choose) -> tuple[list[Piece], bool]:
    """All pieces, and whether that is proved."""
    cells, complete = _inner_cells(features, choose)
    free = features.free
    found: dict[bytes, Piece] = {}
    for active in cells:
        for signs in _signs(active, free):
            patterns, mixed, whole = _patterns(features, active, signs, choose)
            complete = complete and whole
            for outer in patterns:
                if outer.any():
                    piece = Piece(active, signs, outer, mixed)
                    found[piece.key] = piece
            if len(found) > MOST:
                got = f"more than {MOST} pieces (cells of the filters, signs and outer patterns)"
                remedy = "pass a number of sampled pieces, for example arrangements=200, or 'generate'"
                raise InputError("arrangements='enumerate'", got, f"at most {MOST}", remedy)
    return list(found.values()), complete


def _inner_cells(features: ThreeLayerFeatures, choose: Choose) -> tuple[Iterator[Mask], bool]:
    """The (n, K) patterns of the filters, without those of positions that are inactive although others are not."""
    n, K, _ = features.rows.matrix.shape
    if features.tied:
        activity, complete = choose(features.rows.flat)
        return iter(_lively(activity).reshape(-1, n, K)), complete
    each, complete = [], True
    for k in range(K):
        activity, whole = choose(np.ascontiguousarray(features.rows.matrix[:, k]))
        each.append(_lively(activity))
        complete = complete and whole
    if float(np.prod([float(cells.shape[0]) for cells in each])) > MOST:
        counts = " x ".join(str(cells.shape[0]) for cells in each)
        remedy = "pass a number of sampled pieces, for example arrangements=200, or 'generate'"
        raise InputError("arrangements='enumerate'", f"{counts} cells of the filters", f"at most {MOST} pieces", remedy)
    return (np.stack(chosen, axis=1) for chosen in product(*each)), complete


def _lively(activity: Mask) -> Mask:
    """The cells with an active row; if there is none, a single cell."""
    lively = activity[activity.any(axis=1)]
    return lively if lively.shape[0] else activity[:1]


def _signs(active: Mask, free: bool) -> Iterator[Array]:
    """The sign vectors, (K,), without those of which a twin is listed."""
    lively: Mask = np.any(active, axis=0)
    for signs in product(*[(1.0, -1.0) if each else (1.0,) for each in lively]):
        vector = np.array(signs)
        # With a free a, negative positions carve a shape out of a constant.
        reached: Mask = np.any(active[:, vector > 0.0], axis=1)
        useless = lively & (vector < 0.0) & ~(active & reached[:, None]).any(axis=0)
        if free or (not useless.any() and reached.any()):
            yield vector


def _patterns(features: ThreeLayerFeatures, active: Mask, signs: Array, choose: Choose) -> tuple[Mask, Mask, bool]:
    """The outer patterns (P, n), the samples (n,) whose sign is open, and whether these are all patterns."""
    mixed = _mixed(active, signs, features.free)
    count = int(mixed.sum())
    linear = Blocks(features).linear(active, signs)[mixed]
    if 2**count <= count_bound(count, min(count, linear.shape[1])):
        patterns = np.array(list(product((False, True), repeat=count)), dtype=bool).reshape(2**count, count)
        complete = True
    else:
        patterns, complete = choose(linear)
    outer = np.zeros((patterns.shape[0], features.samples), dtype=bool)
    outer[:, (active & (signs > 0.0)).any(axis=1)] = True
    outer[:, mixed] = patterns
    return outer, mixed, complete


def _mixed(active: Mask, signs: Array, free: bool) -> Mask:
    """The samples whose outer pre-activation can have either sign, (n,)."""
    if free:
        return np.ones(active.shape[0], dtype=bool)
    return np.asarray(np.any(active & (signs > 0.0), axis=1) & np.any(active & (signs < 0.0), axis=1))


def _sampled(features: ThreeLayerFeatures, number: int, rng: np.random.Generator) -> list[Piece]:
    """The distinct pieces of random neurons, at most that many."""
    found: dict[bytes, Piece] = {}
    idle = 0
    while len(found) < number and idle < IDLE:
        before = len(found)
        for piece in pieces_of(features, features.random(number, rng)):
            if len(found) < number and piece.outer.any():
                found.setdefault(piece.key, piece)
        idle = idle + 1 if len(found) == before else 0
    return list(found.values())


def pieces_of(features: ThreeLayerFeatures, weights: Array) -> list[Piece]:
    """The piece of each neuron, theta (m, q)."""
    unit, inner, constant = features.parts(weights)
    pre = features.preactivations(unit)
    outer = np.einsum("nkm,mk->nm", np.maximum(pre, 0.0), inner) + constant
    active = np.moveaxis(pre > 0.0, 2, 0)
    signs = np.where((inner < 0.0) & active.any(axis=1), -1.0, 1.0)
    return [
        Piece(active[j], signs[j], outer[:, j] > 0.0, _mixed(active[j], signs[j], features.free))
        for j in range(weights.shape[0])
    ]
