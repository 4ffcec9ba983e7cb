"""Blocks that leave the interior point method early: whoever leaves, the answer and the reported gap stay right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from zerogap.arrangements import sample_cells
from zerogap.gauges import EuclideanGauge
from zerogap.losses import make_loss
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.solvers import absent, interior_point, kernels
from zerogap.solvers.interior_point import InteriorPoint
from zerogap.solvers.iterate import Iterate
from zerogap.solvers.near_walls import NearWalls
from zerogap.walls import find_walls

Mask = NDArray[np.bool_]
LOSSES = ("squared", "logistic", "hinge")


def make_program(loss: str, *, cone: float = np.inf, n: int = 40, p: int = 4, cells: int = 25) -> Program:
    """Labels of a small teacher network; beta is a tenth of the critical one, so that most blocks vanish."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, p))
    response = np.maximum(X @ rng.standard_normal((p, 4)), 0.0) @ np.array([1.0, -1.0, 1.0, -1.0])
    targets = response if loss == "squared" else np.where(response > np.median(response), 1.0, -1.0)
    rows = Rows(np.ascontiguousarray(X[:, None, :]))
    walls = find_walls(rows.flat)
    gauge = EuclideanGauge(np.ones(p, dtype=bool))
    listed = sample_cells(walls, cells, rng)
    terms = make_loss(loss, targets, np.ones(n))
    beta = 0.1 * Program(rows, walls, listed, gauge, terms, 1.0, cone).critical_beta()
    return Program(rows, walls, listed, gauge, terms, beta, cone)


def inside(program: Program, blocks: NDArray[np.float64]) -> bool:
    """Whether blocks are in their cells, up to the rounding of this product and of what a vanishing block once was."""
    rounding = 1e-15 * (np.abs(blocks) @ np.abs(program.walls.normals).T)
    rounding += 1e-16 * np.linalg.norm(blocks, axis=2).max()
    sign = np.where(program.cells.signs, 1.0, -1.0)
    return bool(np.all(sign * (blocks @ program.walls.normals.T) >= -rounding))


def best(program: Program) -> Iterate:
    return min(InteriorPoint(program), key=lambda iterate: iterate.gap)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Callable[[Program], Iterate]:
    """The best iterate when nobody leaves; from then on everybody may, however little it saves."""

    def solved(program: Program) -> Iterate:
        monkeypatch.setattr(interior_point, "WORTHWHILE", np.inf)
        found = best(program)
        monkeypatch.setattr(interior_point, "WORTHWHILE", 0.0)
        return found

    return solved


def departures(monkeypatch: pytest.MonkeyPatch, rule: Callable[..., Mask]) -> list[int]:
    """Let `rule` decide who leaves; the list will hold how many it sent away each time."""
    sent: list[int] = []

    def recorded(price: NDArray[np.float64], before: NDArray[np.float64], ratio: float) -> Mask:
        leave = rule(price, before, ratio)
        sent.append(int(leave.sum()))
        return leave

    monkeypatch.setattr(interior_point, "vanishing", recorded)
    return sent


@pytest.mark.parametrize("cone", [np.inf, 0.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_who_leaves_does_not_change_the_answer(
    loss: str, cone: float, reference: Callable[[Program], Iterate], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(loss, cone=cone)
    expected = reference(program)
    sent = departures(monkeypatch, absent.vanishing)
    found = best(program)
    assert sum(sent) > 0
    assert found.gap <= 1e-8
    assert found.primal == pytest.approx(expected.primal, rel=1e-7)


RULES: dict[str, Callable[..., Mask]] = {
    "all": lambda price, before, ratio: np.ones(price.size, dtype=bool),
    "half": lambda price, before, ratio: np.arange(price.size) % 2 == 0,
    "those that stay": lambda price, before, ratio: price >= np.median(price),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cone", [np.inf, 0.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_blocks_that_left_wrongly_come_back(
    loss: str, cone: float, rule: str, reference: Callable[[Program], Iterate], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(loss, cone=cone)
    expected = reference(program)
    sent = departures(monkeypatch, RULES[rule])
    found = best(program)
    assert sum(sent) > 0
    assert found.gap <= 1e-8
    assert found.primal == pytest.approx(expected.primal, rel=1e-7)


@pytest.mark.parametrize("rule", ["all", "half"])
@pytest.mark.parametrize("late", [0, 4])
def test_every_report_is_honest(
    rule: str, late: int, reference: Callable[[Program], Iterate], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program("squared")
    optimum = reference(program).primal
    calls: list[int] = []

    def delayed(price: NDArray[np.float64], before: NDArray[np.float64], ratio: float) -> Mask:
        calls.append(price.size)
        return RULES[rule](price, before, ratio) & (len(calls) > late)

    departures(monkeypatch, delayed)
    sign = np.where(program.cells.signs, 1.0, -1.0)
    for iterate in InteriorPoint(program):
        # A point of the program, worth what it says; multipliers of all cells that prove what it says.
        assert iterate.blocks.shape == program.shape
        assert inside(program, iterate.blocks)
        assert program.primal(iterate.blocks) == pytest.approx(iterate.primal, rel=1e-9)
        assert iterate.dual <= optimum * (1.0 + 1e-9)
        assert iterate.multipliers is not None
        assert np.all(iterate.multipliers >= 0.0)
        pulls = program.adjoint(iterate.residual) + (sign * iterate.multipliers) @ program.walls.normals
        largest = program.beta / float(np.linalg.norm(pulls, axis=2).max())
        scale = program.loss.best_scale(iterate.residual, largest)
        assert program.loss.dual_value(scale * iterate.residual) == pytest.approx(iterate.dual, rel=1e-9, abs=1e-12)


def test_prices_are_lowered_as_far_as_cones_permit() -> None:
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((30, 4))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    inner = rng.standard_normal((12, 4))
    signs = inner @ normals.T > 0.0
    near = NearWalls.of(np.tile(np.arange(30), (12, 1)), normals, signs)
    inward = near.normals.transpose(0, 2, 1)
    multipliers = rng.uniform(0.01, 0.02, (12, 30))
    polar = np.einsum("lkp,lk->pl", inward, multipliers)
    # The first half can be brought to 0 by multipliers from the cone's walls; the others point into the cone.
    wanted = rng.uniform(0.0, 1.0, (12, 30))
    gradient = np.where(np.arange(12) < 6, -np.einsum("lkp,lk->pl", inward, wanted), 3.0 * inner.T)
    gone = absent.Absent(np.arange(12), np.zeros((4, 12)), np.zeros(5), multipliers, polar)
    for half, overdue in ((slice(0, 6), 0), (slice(6, 12), 1)):
        part = gone._replace(multipliers=multipliers[half], polar=np.ascontiguousarray(polar[:, half]))
        found = part.priced(np.ascontiguousarray(gradient[:, half]), 0.5, near, np.arange(12)[half])
        pushed = np.einsum("lkp,lk->pl", inward[half], found.multipliers)
        prices = np.linalg.norm(gradient[:, half] + pushed, axis=0)
        assert found.price == pytest.approx(prices.max())
        assert np.all(found.multipliers > 0.0)
        assert found.overdue == overdue
        assert (found.price > 0.5) == bool(overdue)


def test_packed_blocks_agree_with_dense_algebra() -> None:
    rng = np.random.default_rng(1)
    m, p = 45, 5
    factors = rng.standard_normal((m, p + 2, p)) * 10.0 ** rng.uniform(-4, 4, (m, 1, p))
    dense = np.matrix_transpose(factors) @ factors
    lower = np.tril_indices(p)
    packed = np.ascontiguousarray(dense[:, lower[0], lower[1]].T)
    v = rng.standard_normal((p, m))
    roots, positive = kernels.inverse_roots(packed, p)
    assert positive
    solved = kernels.solve_blocks(roots, v)
    assert np.allclose(solved.T, np.linalg.solve(dense, v.T[:, :, None])[:, :, 0], rtol=1e-8)
    assert np.allclose(kernels.apply_blocks(packed, v).T, np.einsum("mab,bm->ma", dense, v), rtol=1e-12)
    cell = rng.permutation(np.concatenate([np.arange(20), rng.integers(0, 20, m - 20)]))
    upper, exist = kernels.merged_factors(roots, cell, 20, p)
    assert exist
    inverses = np.zeros((20, p, p))
    np.add.at(inverses, cell, np.linalg.inv(dense))
    scale = np.sqrt(np.einsum("iaa->ia", inverses))
    errors = np.matrix_transpose(upper) @ upper - inverses
    # Up to the share of the trace that keeps the sum positive definite.
    jitter = 2e-15 * np.einsum("iaa->i", inverses)[:, None, None] * np.eye(p)
    assert np.all(np.abs(errors) <= 1e-8 * scale[:, :, None] * scale[:, None, :] + jitter)
    packed[0, 7] = -1.0
    assert not kernels.inverse_roots(packed, p)[1]
