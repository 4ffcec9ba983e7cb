"""Branch and bound against exhaustive enumeration, planted neurons and single starts; its trees against the checker."""

from __future__ import annotations

import base64
import json
import time
import zlib
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zerogap as zg
from zerogap import checker
from zerogap.arrangements import enumerate_cells
from zerogap.oracles import nodes
from zerogap.oracles.branch_and_bound import BranchAndBound, Tree
from zerogap.oracles.form import Form
from zerogap.oracles.search import search
from zerogap.rows import Rows
from zerogap.walls import find_walls

Array = NDArray[np.float64]

KINDS = ("normal", "integers", "pixels", "nearly cancelling", "different units")


def problem(kind: str, p: int, seed: int) -> tuple[Rows, Array]:
    """Rows that are as awkward as data: ties, repeated and parallel rows, zeros, pairs that nearly cancel."""
    rng = np.random.default_rng(seed)
    n = 24 if p < 4 else 16
    rows, residual = rng.standard_normal((n, p)), rng.standard_normal(n)
    if kind == "integers":
        rows, residual = rng.integers(-2, 3, (n, p)).astype(float), rng.integers(-2, 3, n).astype(float)
    elif kind == "pixels":
        rows = np.column_stack([rng.integers(0, 17, (n, p - 1)) / 16, np.ones(n)])
    elif kind == "nearly cancelling":
        rows[n // 2 :] = rows[: n // 2] + 0.05 * rng.standard_normal((n // 2, p))
        residual[n // 2 :] = -residual[: n // 2]
    elif kind == "different units":
        rows *= 4.0 ** np.arange(p)
    return Rows(np.round(rows * 2.0**20)[:, None, :] / 2.0**20), np.round(residual * 2.0**20) / 2.0**20


def exact_price(rows: Rows, residual: Array) -> float:
    """The largest price that is attained at a candidate for a maximum, and hence exact.

    On every intersection of walls a maximum is the projection of the gradient of one of the cells around it.
    """
    walls = find_walls(rows.flat)
    active = walls.activity(enumerate_cells(walls, rows.flat).signs)
    gradients = (active * residual) @ rows.flat
    candidates = [gradients, -gradients]
    for size in range(1, rows.dimension):
        for chosen in combinations(walls.normals, size):
            inside = np.linalg.svd(np.array(chosen))[2][size:]
            candidates += [gradients @ inside.T @ inside, -gradients @ inside.T @ inside, inside, -inside]
    directions = np.concatenate(candidates)
    length = np.linalg.norm(directions, axis=1)
    directions = directions[length > 1e-9] / length[length > 1e-9, None]
    return float(np.abs(np.maximum(directions @ rows.flat.T, 0.0) @ residual).max())


def accepted(rows: Rows, residual: Array, tree: Tree, limit: float) -> bool:
    """Whether the independent checker takes the tree as a proof that no price exceeds `limit`."""
    flat = [([int(v * 2**20) for v in row], int(a * 2**20)) for row, a in zip(rows.flat, residual, strict=True)]
    frame = Form.of(rows, free=False).reduced.frame
    proof = {
        "frame": None if frame is None else frame.tolist(),
        "tree": base64.b64encode(tree.records).decode("ascii"),
    }
    check: Any = checker.check_tree
    try:
        check(flat, proof, Fraction(limit) * 2**40, False, rows.dimension)
    except ValueError:
        return False
    return True


def cuts_of_leaves(tree: Tree, p: int) -> set[int]:
    records, used, found = np.frombuffer(zlib.decompress(tree.records), dtype="<u2"), 0, set()
    while used < records.size:
        cuts = max(int(records[used]) - nodes.LEAF, 0)
        found |= {cuts}
        used += 1 + (cuts * (p + 1) + p if cuts else 0)
    return found


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_upper_bounds_never_fall_below_enumeration(kind: str, p: int) -> None:
    for seed in range(8):
        rows, residual = problem(kind, p, seed)
        exact = exact_price(rows, residual)
        branches = BranchAndBound(Form.of(rows, free=False), residual)
        found = branches.run([2.0 * exact, 1.1 * exact, 1.0001 * exact], time.monotonic() + 600.0)
        assert exact * (1.0 - 1e-12) <= found.upper <= 1.00011 * exact
        assert found.tree is not None
        assert accepted(rows, residual, found.tree, found.upper * (1.0 + 1e-9))
        assert not accepted(rows, residual, found.tree, exact * (1.0 - 1e-6))


@pytest.mark.parametrize("leaf", [[256, 1, 1, 1], [257, 0, 1, 1, 1, 1, 1, 1], [258, *[0, 1, 1, 1] * 2, 1, 1, 1]])
def test_leaves_that_prove_nothing_are_refused(leaf: list[int]) -> None:
    """No cuts, or cuts without a share: heights of zero that bound nothing."""
    rows, residual = problem("normal", 3, 0)
    records = np.array(leaf * 16, dtype="<u2").tobytes()
    assert not accepted(rows, residual, Tree(1.0, 16, zlib.compress(records)), 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [4, 5])
def test_the_checker_accepts_trees_of_more_dimensions(kind: str, p: int) -> None:
    rows, residual = problem(kind, p, 0)
    form = Form.of(rows, free=False)
    directions = np.random.default_rng(1).standard_normal((400, p))
    price = search(form, residual, directions).price
    found = BranchAndBound(form, residual).run([1.05 * price], time.monotonic() + 600.0)
    assert found.tree is not None
    if kind == "normal" and p == 5:
        assert cuts_of_leaves(found.tree, p) >= {0, 1, 2}
    assert accepted(rows, residual, found.tree, found.upper * (1.0 + 1e-9))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 6])
def test_planted_neurons_are_found_or_bounded(p: int, sign: float) -> None:
    """The residual of a network that lacks one neuron: no bound may fall below what the neuron is worth."""
    for seed in range(3):
        rng = np.random.default_rng(100 * p + seed)
        rows = Rows(rng.standard_normal((6 * p + 2, 1, p)))
        form = Form.of(rows, free=False)
        neuron = rng.standard_normal(p)
        neuron /= np.linalg.norm(neuron)
        features = np.maximum(rows.matrix[:, 0] @ neuron, 0.0)
        residual = sign * (features - 0.5 * features.mean()) + 0.05 * rng.standard_normal(features.size)
        price = abs(float(residual @ features))
        if price == 0.0:
            continue
        refused = BranchAndBound(form, residual).run([0.999 * price], time.monotonic() + 600.0)
        assert refused.tree is None
        assert refused.direction is not None
        assert refused.value > 0.999 * price * (1.0 - 1e-9)
        proved = BranchAndBound(form, residual).run([4.0 * price, 2.0 * price], time.monotonic() + 600.0)
        assert proved.upper >= price


def test_a_claim_that_rests_on_few_starts_is_refused() -> None:
    """Search from a single start stops at a poor maximum; its claim is not proved, the missed direction is returned."""
    wrong = 0
    for seed in range(12):
        rows, residual = problem("normal", 3, 100 + seed)
        form = Form.of(rows, free=False)
        claim = search(form, residual, np.random.default_rng(seed).standard_normal((1, 3))).price
        exact = exact_price(rows, residual)
        assert claim <= exact * (1.0 + 1e-9)
        if claim > 0.999 * exact:
            continue
        wrong += 1
        answer = BranchAndBound(form, residual).run([claim * (1.0 + 1e-6)], time.monotonic() + 600.0)
        assert answer.tree is None
        assert answer.direction is not None
        features = np.maximum(rows.matrix[:, 0] @ answer.direction, 0.0)
        assert abs(float(residual @ features)) > claim * float(np.linalg.norm(answer.direction))
    assert wrong >= 3


def test_what_was_proved_before_an_interruption_is_kept() -> None:
    rows, residual = problem("normal", 3, 0)
    exact = exact_price(rows, residual)

    def interrupt(_: float, __: Tree) -> bool:
        raise KeyboardInterrupt

    found = BranchAndBound(Form.of(rows, free=False), residual).run([2.0 * exact, 1.1 * exact], np.inf, interrupt)
    assert found.interrupted
    assert exact <= found.upper <= 2.01 * exact


def test_nothing_is_claimed_when_the_time_is_up() -> None:
    rows, residual = problem("normal", 3, 0)
    found = BranchAndBound(Form.of(rows, free=False), residual).run([2.0 * exact_price(rows, residual)], 0.0)
    assert found.tree is None
    assert found.upper == np.inf


def test_proofs_about_images_are_accepted(tmp_path: Path) -> None:
    """Pixels are multiples of 1/16: rows vanish exactly at vertices, and rounding must not decide their signs."""
    digits = zg.load_dataset("digits:3,8")
    X, y = digits.X[:12], digits.y[:12]
    certificate = zg.train(zg.CNN(2, stride=2), X, y, beta=2.0, tol=2e-2, prove=120.0).certificate
    assert certificate.proof == "branch and bound"
    assert certificate.gap <= 2e-2
    certificate.save(tmp_path / "certificate.json")
    check: Any = checker.check
    claims = check(json.loads((tmp_path / "certificate.json").read_text()), X.tolist(), y.tolist())
    assert claims["lower_bound"] == certificate.lower_bound
