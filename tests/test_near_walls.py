"""Barriers for a few walls of each cell: all others are watched, and join when a step would cross them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from test_absent import best, inside, make_program
from zerogap.program import Program
from zerogap.solvers import hard_cones, kernels, near_walls, wall_kernels
from zerogap.solvers.hard_cones import AllWalls, HardCones
from zerogap.solvers.interior_point import InteriorPoint
from zerogap.solvers.near_walls import NearWalls


def sign(program: Program) -> np.ndarray:
    return np.where(program.cells.signs, 1.0, -1.0)


def cones_of(count: int, *, m: int = 12) -> tuple[HardCones, np.ndarray]:
    """Cones of m blocks in 7 cells with 40 walls, of which `count` are near, and the blocks."""
    rng = np.random.default_rng(2)
    normals = rng.standard_normal((40, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    centres = rng.standard_normal((7, 3))
    walls, cell = AllWalls(normals, centres @ normals.T > 0.0), np.arange(m) % 7
    distances = np.abs(centres @ normals.T)
    near = NearWalls.of(np.argsort(distances, axis=1)[:, :count], normals, walls.signs)
    v = np.ascontiguousarray(centres[cell].T)
    return HardCones.start(walls, near, cell, v, 0.1), v


def test_the_nearest_walls_are_taken() -> None:
    program = make_program("squared", n=60)
    normals, signs, centres = program.walls.normals, program.cells.signs, program.cells.centres
    near = NearWalls.nearest(normals, signs, centres)
    k = math.ceil(near_walls.PER_DIMENSION * normals.shape[1] / near_walls.LANES) * near_walls.LANES
    assert near.which.shape == (signs.shape[0], k)
    distances = np.abs(centres @ normals.T)
    expected = np.sort(distances, axis=1)[:, :k]
    assert np.array_equal(np.sort(np.take_along_axis(distances, near.which, axis=1), axis=1), expected)
    # Normals point into the cell: all slacks of the centre are positive.
    slacks = np.einsum("cpk,cp->ck", near.normals, centres)
    assert np.allclose(slacks, np.take_along_axis(distances, near.which, axis=1))
    assert np.all(slacks > 0.0)


@pytest.mark.parametrize("walls_per_dimension", [1, 3, 5])
def test_points_are_centred_for_the_near_walls_and_stay_inside_all(
    walls_per_dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program("squared", n=60)
    normals, signs, points = program.walls.normals, program.cells.signs, program.cells.centres
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    kept = points.copy()
    monkeypatch.setattr(near_walls, "LANES", 1)
    monkeypatch.setattr(near_walls, "PER_DIMENSION", walls_per_dimension)
    near = NearWalls.nearest(normals, signs, points)
    k = near.which.shape[1]

    def imbalance(u: np.ndarray) -> np.ndarray:
        slacks = np.einsum("cpk,cp->ck", near.normals, u)
        return np.asarray(np.linalg.norm(np.einsum("cpk,ck->cp", near.normals, 1.0 / slacks) - k * u, axis=1))

    for steps in (0, 1, near_walls.STEPS, 30):
        monkeypatch.setattr(near_walls, "STEPS", steps)
        centres = near.centred(points, normals, signs)
        assert np.array_equal(points, kept)
        assert np.allclose(np.linalg.norm(centres, axis=1), 1.0)
        assert np.array_equal(centres @ normals.T > 0.0, signs)
    # Cells whose centre for the near walls lies behind another wall stop before that wall.
    reached = imbalance(centres) <= 1e-8 * k
    assert reached.mean() > (0.9 if walls_per_dimension == 5 else 0.0)
    assert np.all(imbalance(centres)[reached] < imbalance(points)[reached])


@pytest.mark.parametrize("walls_per_dimension", [1, 2, 5, 1000])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_how_many_walls_are_near_does_not_change_the_answer(
    loss: str, walls_per_dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(loss, n=60, p=5)
    monkeypatch.setattr(near_walls, "PER_DIMENSION", 1000)
    expected = best(program)
    monkeypatch.setattr(near_walls, "LANES", 1)
    monkeypatch.setattr(near_walls, "PER_DIMENSION", walls_per_dimension)
    found = best(program)
    assert found.gap <= 1e-8
    assert found.primal == pytest.approx(expected.primal, rel=1e-7)
    # The solver's dual value is one of all walls.
    assert program.dual(found.residual) == pytest.approx(found.primal, rel=1e-6)


def test_every_iterate_is_inside_its_cells_when_walls_join(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[int] = []
    original = NearWalls.joined

    def counted(near: NearWalls, *arguments: object) -> NearWalls:
        joined.append(near.which.shape[1])
        return original(near, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(NearWalls, "joined", counted)
    monkeypatch.setattr(near_walls, "LANES", 1)
    monkeypatch.setattr(near_walls, "PER_DIMENSION", 1)
    program = make_program("squared", n=60, p=5)
    for iterate in InteriorPoint(program):
        assert inside(program, iterate.blocks)
        assert program.primal(iterate.blocks) == pytest.approx(iterate.primal, rel=1e-9)
        assert iterate.multipliers is not None
        assert iterate.multipliers.shape == (*program.shape[:2], program.walls.count)
        pulls = program.adjoint(iterate.residual) + (sign(program) * iterate.multipliers) @ program.walls.normals
        largest = program.beta / float(np.linalg.norm(pulls, axis=2).max())
        scale = program.loss.best_scale(iterate.residual, largest)
        assert program.loss.dual_value(scale * iterate.residual) == pytest.approx(iterate.dual, rel=1e-9, abs=1e-12)
    assert joined
    assert max(joined) < program.walls.count


def test_a_step_ends_before_a_wall_that_is_not_near() -> None:
    cones, v = cones_of(4)
    rng = np.random.default_rng(5)
    near = cones.near.which[cones.cell]
    signs = np.where(cones.walls.signs[cones.cell], 1.0, -1.0)
    crossings = 0
    for _ in range(50):
        # As long as near walls permit.
        dv = rng.standard_normal(v.shape)
        shrink = -wall_kernels.slacks(cones.near.normals, cones.cell, dv) / cones.s
        dv /= np.maximum(shrink.max(axis=1), 0.1)
        length = 0.99
        after = v + length * dv
        crossed = cones.crosses(v, after)
        far = signs * (after.T @ cones.walls.normals.T)
        np.put_along_axis(far, near, np.inf, axis=1)
        outside = np.any(far <= 0.0)
        assert crossed or not outside
        if crossed:
            crossings += bool(outside)
            share, entering = cones.crossing(v, after)
            assert 0.0 < share <= 1.0
            left = signs * ((v + share * length * dv).T @ cones.walls.normals.T)
            assert np.all(left > 0.0)
            # The wall that comes closest, relative to its distance before, is among those that join.
            ratio = left / (signs * (v.T @ cones.walls.normals.T))
            np.put_along_axis(ratio, near, np.inf, axis=1)
            block, wall = np.unravel_index(ratio.argmin(), ratio.shape)
            assert entering[cones.cell[block]] == wall
            assert not np.any(cones.near.which == entering[:, None])
    assert crossings > 10


@pytest.mark.parametrize("cached", [1, 30, 100, 10000])  # one wall at a time, some, all
def test_walls_are_looked_at_in_pieces(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wall_kernels, "CACHED", cached)
    crossed = wall_kernels.crossed.py_func
    rng = np.random.default_rng(6)
    before, normals = rng.standard_normal((3, 12)), rng.standard_normal((17, 3))
    slacks = normals @ before
    for wall in range(17):
        # A step that takes one slack to a tenth of what it was.
        for block in range(12):
            step = np.linalg.solve(np.vstack([normals[wall], np.linalg.svd(normals[wall][None])[2][1:]]), np.eye(3)[0])
            after = before.copy()
            after[:, block] -= 0.9 * slacks[wall, block] * step
            ratios = (normals @ after) / slacks
            assert crossed(before, after, normals, 0.11)
            least = float(ratios.min())
            assert not crossed(before, after, normals, least - 1e-9 * abs(least))
            assert crossed(before, after, normals, least + 1e-9 * abs(least))


def test_walls_that_join_start_inside_and_modestly() -> None:
    cones, v = cones_of(4)
    _, entering = cones.crossing(v, 0.5 * v)
    near = cones.near.joined(entering, cones.walls.normals, cones.walls.signs)
    wider = cones.joined(near, 0.1, v)
    assert wider.s.shape == (12, 5)
    assert np.allclose(wider.s, np.einsum("mpk,pm->mk", near.normals[cones.cell], v))
    assert np.all(wider.l[:, -1] <= hard_cones.MODEST * cones.l.max(axis=1))
    assert np.all(wider.l > 0.0)
    assert np.allclose(wider.polar, np.einsum("mpk,mk->pm", near.normals[cones.cell], wider.l))
    assert wider.complementarity() == pytest.approx(float(np.sum(wider.s * wider.l)))


def test_compiled_loops_agree_with_dense_algebra() -> None:
    cones, v = cones_of(17)
    rng = np.random.default_rng(7)
    N, cell, s, l = cones.near.normals, cones.cell, cones.s, cones.l  # noqa: E741
    dense = N[cell].transpose(0, 2, 1)  # (m, k, p)
    dv = 0.01 * rng.standard_normal(v.shape)
    ds = np.einsum("mkp,pm->mk", dense, dv)
    assert np.allclose(wall_kernels.slacks(N, cell, dv), ds)
    assert np.allclose(wall_kernels.push(N, cell, l), np.einsum("mkp,mk->pm", dense, l))
    lower = np.tril_indices(3)
    hessians = np.einsum("mka,mk,mkb->mab", dense, l / s, dense)[:, lower[0], lower[1]].T
    assert np.allclose(wall_kernels.hessians(N, cell, l, s), hessians)
    found, low, high = wall_kernels.foreseen(N, cell, dv, s)
    assert np.allclose(found, ds)
    assert low == pytest.approx(min(0.0, (ds / s).min()))
    assert high == pytest.approx(max(0.0, (ds / s).max()))
    mu = 0.03
    aim, pushed = wall_kernels.aimed(N, cell, mu, ds, s, l)
    assert np.allclose(aim, (mu + ds * l * (1.0 + ds / s)) / s)
    assert np.allclose(pushed, np.einsum("mkp,mk->pm", dense, aim))
    assert np.allclose(wall_kernels.aimed(N, cell, mu, np.empty((0, 0)), s, l)[0], mu / s)
    first, dl, shrink = wall_kernels.answered(N, cell, dv, s, l, aim)
    assert np.allclose(first, ds)
    assert np.allclose(dl, aim - l - l / s * ds)
    assert shrink == pytest.approx(max(0.0, (-ds / s).max(), (-dl / l).max()))
    moved, raised, polar, products = wall_kernels.stepped(N, cell, s, ds, l, dl, 0.3)
    assert np.allclose(moved, s + 0.3 * ds)
    assert np.allclose(raised, l + 0.3 * dl)
    assert np.allclose(polar, np.einsum("mkp,mk->pm", dense, raised))
    assert products == pytest.approx(float(np.sum(moved * raised)))


def test_triangular_systems() -> None:
    rng = np.random.default_rng(4)
    for n in (1, 2, 17):
        root = rng.standard_normal((n, n + 2))
        matrix, b = root @ root.T, rng.standard_normal(n)
        x = b.copy()
        kernels.triangular(np.linalg.cholesky(matrix), x)
        assert np.allclose(matrix @ x, b)
