"""The copositive program and its relaxations against the papers' figures, CVXPY, networks and brute force."""

from __future__ import annotations

from typing import Any

import clarabel
import cvxpy as cp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize

from zerogap.arrangements import enumerate_cells
from zerogap.errors import InputError
from zerogap.solvers.copositive_program import CONES, covering, rounded, solve_copositive
from zerogap.triangulation import facets, lines, nearest, rays, triangulated
from zerogap.walls import find_walls

Array = NDArray[np.float64]

X5 = np.array(
    [
        [0.5, -1.2, 0.3, 0.8],
        [-0.7, 0.4, 1.1, -0.2],
        [1.3, 0.6, -0.9, 0.1],
        [-0.4, -0.8, 0.2, 1.5],
        [0.9, -0.3, 0.7, -1.1],
    ]
)
Y5 = np.array([[1.0, 0.2], [-0.5, 0.9], [0.8, -0.4], [-1.2, 0.6], [0.3, -1.0]])
EXACT = {"tol_gap_rel": 1e-9, "tol_gap_abs": 1e-9, "tol_feas": 1e-9}


def all_cells(patches: Array) -> tuple[Array, list[Array]]:
    """Maps (P, n, K, p), one output weight for every patch, and the walls of all cells; patches (n, K, p)."""
    rows = patches.reshape(-1, patches.shape[2])
    walls = find_walls(rows)
    cells = enumerate_cells(walls, rows)
    maps = walls.activity(cells.signs).reshape(cells.count, *patches.shape[:2])[..., None] * patches
    return maps, list(np.where(cells.signs, 1.0, -1.0)[:, :, None] * walls.normals)


def random_question(seed: int, n: int, p: int, outputs: int) -> tuple[Array, list[Array], Array]:
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, p)), rng.standard_normal((n, outputs))
    return *all_cells(X[:, None]), Y


def random_cone(rng: Any, rows: int, p: int) -> Array:
    """Walls of a random cell."""
    K = rng.standard_normal((rows, p))
    return K * np.where(K @ rng.standard_normal(p) >= 0.0, 1.0, -1.0)[:, None]


def schur(maps: Array, parts: list[list[Array]], Y: Array, beta: float, c: Array) -> float:
    """The published form, with S in the sum over `parts` of {S positive semidefinite, K S K' >= 0}."""
    n = len(Y)
    inner, trace, constraints = np.eye(n), 0.0, []
    for own, walls in zip(maps, parts, strict=True):
        for K in walls:
            S = cp.Variable((K.shape[1], K.shape[1]), PSD=True)
            constraints += [K @ S @ K.T >= 0] if len(K) else []
            trace += cp.trace(S)
            for q in range(own.shape[1]):
                A = np.sqrt(c)[:, None] * own[:, q]
                inner = inner + 2.0 * A @ S @ A.T
    fit = cp.matrix_frac(np.sqrt(c)[:, None] * Y, inner)
    problem = cp.Problem(cp.Minimize(0.5 * fit + beta**2 * trace), constraints)
    return float(problem.solve(solver="CLARABEL", **EXACT))


def refitted(maps: Array, neurons: list[tuple[int, Array]], Y: Array, beta: float) -> float:
    """The best network of given neurons."""
    features = [maps[cell] @ u for cell, u in neurons]
    weights = [cp.Variable((maps.shape[2], Y.shape[1])) for _ in neurons]
    fit = sum(f @ w for f, w in zip(features, weights, strict=True)) - Y
    penalty = sum(cp.norm(w, "fro") for w in weights)
    return float(cp.Problem(cp.Minimize(0.5 * cp.sum_squares(fit) + beta * penalty)).solve(solver="CLARABEL", **EXACT))


def trained(X: Array, Y: Array, beta: float, width: int, starts: int) -> float:
    """The best of some networks by L-BFGS."""
    (_, p), outputs, rng = X.shape, Y.shape[1], np.random.default_rng(0)

    def objective(theta: Array) -> tuple[float, Array]:
        U, V = theta[: p * width].reshape(p, width), theta[p * width :].reshape(width, outputs)
        inner = X @ U
        hidden = np.maximum(inner, 0.0)
        R = hidden @ V - Y
        slope = X.T @ ((R @ V.T) * (inner > 0.0)) + beta * U
        return 0.5 * np.sum(R**2) + 0.5 * beta * theta @ theta, np.append(slope, hidden.T @ R + beta * V)

    draws = (rng.standard_normal((p + outputs) * width) * 0.5 for _ in range(starts))
    found = [minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 3000}) for start in draws]
    return min(float(one.fun) for one in found)


# -- figures of the papers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cone", "value"), [("completely_positive", 0.6089321), ("doubly_nonnegative", 0.6089322), ("psd", 0.3722658)]
)
def test_vector_outputs(cone: str, value: float) -> None:
    maps, cones = all_cells(X5[:, None, :2])
    found = solve_copositive(maps, cones, Y5, 0.1, cone=cone)
    assert abs(found.value - value) <= 1e-6
    assert (len(cones), found.status) == (10, "Solved")


@pytest.mark.parametrize(
    ("cone", "value"), [("completely_positive", 0.2657286), ("doubly_nonnegative", 0.2657286), ("psd", 0.1503818)]
)
def test_no_pooling(cone: str, value: float) -> None:
    maps, cones = all_cells(np.stack([X5[:, k : k + 2] for k in range(3)], axis=1))
    assert maps.shape == (28, 5, 3, 2)
    assert abs(solve_copositive(maps, cones, Y5[:, :1], 0.1, cone=cone).value - value) <= 1e-6


@pytest.mark.parametrize(("p", "value", "gated"), [(2, 0.3789805, 0.2399490), (3, 0.2998542, 0.1982769)])
def test_one_output_is_the_group_lasso(p: int, value: float, gated: float) -> None:
    maps, cones = all_cells(X5[:, None, :p])
    for cone, expected in (("completely_positive", value), ("psd", gated)):
        assert abs(solve_copositive(maps, cones, Y5[:, :1], 0.1, cone=cone).value - expected) <= 1e-6


# -- independent solvers -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "p", "outputs", "positions"), [(4, 2, 3, 1), (4, 3, 2, 1), (3, 2, 2, 2)])
@pytest.mark.parametrize("cone", CONES)
def test_agrees_with_the_published_form(cone: str, n: int, p: int, outputs: int, positions: int) -> None:
    rng = np.random.default_rng(n + p)
    maps, cones = all_cells(rng.standard_normal((n, positions, p)))
    Y, c = rng.standard_normal((n, outputs)), rng.uniform(0.5, 2.0, n)
    # All walls, not facets only: the products of the others are implied.
    parts = {
        "psd": [[K[:0]] for K in cones],
        "doubly_nonnegative": [[K] for K in cones],
        "completely_positive": [[np.linalg.pinv(G) for G in triangulated(facets(K))] for K in cones],
    }
    found = solve_copositive(maps, cones, Y, 0.1, weights=c, cone=cone)
    assert abs(found.value - schur(maps, parts[cone], Y, 0.1, c)) <= 1e-6
    F = np.einsum("isqp,ipqk->sk", maps, found.blocks)
    np.testing.assert_allclose(found.residual, c[:, None] * (Y - F), atol=1e-5)
    gauges = np.trace(found.matrices, axis1=1, axis2=2).sum()
    assert abs(0.5 * np.sum(c[:, None] * (F - Y) ** 2) + 0.1 * gauges - found.value) <= 1e-5


@pytest.mark.parametrize(("p", "outputs"), [(2, 3), (3, 2), (4, 2)])
def test_networks_attain_the_completely_positive_value(p: int, outputs: int) -> None:
    for seed in range(2):
        maps, cones, Y = random_question(seed, 6, p, outputs)
        values = [solve_copositive(maps, cones, Y, 0.1, cone=cone) for cone in CONES]
        exact, bound, gated = (one.value for one in values)
        assert gated <= bound + 1e-7
        assert bound <= exact + 1e-7
        neurons = rounded(values[0], cones)
        assert all((cones[cell] @ u).min() >= -1e-9 for cell, u in neurons)
        assert all(abs(np.linalg.norm(u) - 1.0) <= 1e-12 for _, u in neurons)
        assert abs(refitted(maps, neurons, Y, 0.1) - exact) <= 1e-6 * exact
        # A single eigenvector is one suggestion, not all of them.
        assert len(rounded(values[0], cones, rank=1)) <= len(neurons)


def test_the_relaxation_is_strict_in_four_dimensions() -> None:
    maps, cones, Y = random_question(0, 7, 4, 3)
    exact, bound = (solve_copositive(maps, cones, Y, 0.1, cone=cone) for cone in CONES[:2])
    assert abs(exact.value - 0.9416074) <= 1e-6
    assert abs(bound.value - 0.9393448) <= 1e-6
    assert abs(refitted(maps, rounded(exact, cones), Y, 0.1) - exact.value) <= 1e-6
    assert refitted(maps, rounded(bound, cones), Y, 0.1) >= exact.value - 1e-7


@pytest.mark.parametrize(("n", "p", "outputs"), [(6, 2, 2), (5, 3, 2)])
def test_no_network_is_better(n: int, p: int, outputs: int) -> None:
    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((n, p)), rng.standard_normal((n, outputs))
    exact = solve_copositive(*all_cells(X[:, None]), Y, 0.1, cone="completely_positive").value
    best = trained(X, Y, 0.1, width=20, starts=20)
    assert exact - 1e-6 <= best <= exact + 1e-3


# -- laws ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cone", CONES)
def test_units_rows_and_weights(cone: str) -> None:
    maps, cones, Y = random_question(3, 6, 3, 2)
    value = solve_copositive(maps, cones, Y, 0.2, cone=cone).value
    rng = np.random.default_rng(0)
    # Rows of any length, and redundant ones, do not matter.
    longer = [np.concatenate([K * rng.uniform(0.1, 9.0, (len(K), 1)), K[:1] + K[1:3], 2.0 * K[:1]]) for K in cones]
    assert abs(solve_copositive(maps, longer, Y, 0.2, cone=cone).value / value - 1.0) <= 1e-6
    scaled = solve_copositive(1e4 * maps, cones, 1e-3 * Y, 10.0 * 0.2, cone=cone)
    assert abs(scaled.value * 1e6 / value - 1.0) <= 1e-6
    # A sample of weight two stands for two equal samples, and one of weight zero is absent.
    twice = solve_copositive(maps, cones, Y, 0.2, cone=cone, weights=np.array([2.0, 1.0, 1.0, 1.0, 1.0, 0.0]))
    rows = np.array([0, 0, 1, 2, 3, 4])
    repeated = solve_copositive(maps[:, rows], cones, Y[rows], 0.2, cone=cone)
    assert abs(twice.value / repeated.value - 1.0) <= 1e-6
    assert np.all(twice.residual[-1] == 0.0)


def test_cells_a_hundred_thousandth_of_a_radian_wide() -> None:
    angles = np.array([0.3, 0.30001, 0.30002, 1.1, 2.0, 2.000001, -1.0])
    X, Y = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.random.default_rng(0).standard_normal((7, 2))
    maps, cones = all_cells(X[:, None])
    found = solve_copositive(maps, cones, Y, 0.01, cone="completely_positive")
    assert abs(refitted(maps, rounded(found, cones), Y, 0.01) / found.value - 1.0) <= 1e-5


@pytest.mark.parametrize("cone", CONES)
def test_nothing_to_learn(cone: str) -> None:
    maps, cones, Y = random_question(4, 5, 2, 2)
    half = 0.5 * np.sum(Y**2)
    for case in (
        solve_copositive(maps, cones, Y, 100.0, cone=cone),
        solve_copositive(0.0 * maps, cones, Y, 0.1, cone=cone),
        solve_copositive(maps[:0], [], Y, 0.1, cone=cone),
    ):
        assert abs(case.value - half) <= 1e-6 * half
        np.testing.assert_allclose(case.residual, Y, atol=1e-6)
        np.testing.assert_allclose(case.matrices, 0.0, atol=1e-5)
    nothing = solve_copositive(maps, cones, 0.0 * Y, 0.1, cone=cone)
    assert abs(nothing.value) <= 1e-7
    assert rounded(solve_copositive(maps[:0], [], Y, 0.1, cone=cone), []) == []


# -- degenerate cones ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "p"),
    [
        (np.zeros((0, 3)), 3),
        (np.array([[1.0, 0.0, 0.0]]), 3),
        (np.array([[1.0, 0.2, 0.0], [-0.5, 1.0, 0.0], [1.0, 0.2, 0.0], [0.5, 1.2, 0.0]]), 3),
        (np.array([[1.0]]), 1),
        # Five facets of rank three in four dimensions.
        (np.array([[np.cos(a), np.sin(a), 1.0, 0.0] for a in 2.0 * np.pi * np.arange(5) / 5.0]), 4),
    ],
)
def test_cones_that_contain_lines(rows: Array, p: int) -> None:
    rng = np.random.default_rng(5)
    A, Y = rng.standard_normal((4, 1, p)), rng.standard_normal((4, 2))
    walls = facets(rows)
    # The exact set, written with the lines kept apart: [[U_L, B], [B', G C G']] with C doubly nonnegative.
    along = lines(walls)[0]
    pieces = [np.concatenate([along.T, np.linalg.pinv(G)]) for G in triangulated(walls)] or [along.T]
    parts = [[piece[along.shape[1] :] for piece in pieces]]
    found = solve_copositive(A[None], [rows], Y, 0.05, cone="completely_positive")
    assert abs(found.value - schur(A[None], parts, Y, 0.05, np.ones(4))) <= 1e-6
    neurons = rounded(found, [rows])
    assert all((rows @ u).min(initial=0.0) >= -1e-9 for _, u in neurons)
    assert refitted(A[None], neurons, Y, 0.05) <= found.value * (1.0 + 1e-5)
    if not rows.shape[0]:
        assert abs(found.value - solve_copositive(A[None], [rows], Y, 0.05, cone="psd").value) <= 1e-9


@pytest.mark.parametrize("cone", CONES[:2])
def test_cones_without_an_interior(cone: str) -> None:
    rng = np.random.default_rng(6)
    A, Y = rng.standard_normal((1, 4, 1, 2)), rng.standard_normal((4, 2))
    # The line {(0, t)} is the full space of t, and the apex has no neurons.
    line = np.array([[1.0, 0.0], [-1.0, 0.0]])
    expected = solve_copositive(A[..., 1:], [np.zeros((0, 1))], Y, 0.05, cone="psd").value
    assert abs(solve_copositive(A, [line], Y, 0.05, cone=cone).value - expected) <= 1e-5
    apex = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert abs(solve_copositive(A, [apex], Y, 0.05, cone=cone).value - 0.5 * np.sum(Y**2)) <= 1e-5


def test_refuses_what_it_cannot_solve() -> None:
    rng = np.random.default_rng(6)
    maps, Y = rng.standard_normal((1, 4, 1, 5)), rng.standard_normal((4, 1))
    with pytest.raises(InputError, match="expected one of"):
        solve_copositive(maps, [np.eye(5)], Y, 0.1, cone="copositive")
    with pytest.raises(InputError, match="5 facets of rank 5"):
        solve_copositive(maps, [np.eye(5)], Y, 0.1, cone="completely_positive")
    # Five dimensions, but walls of rank four.
    flat = np.concatenate([random_cone(rng, 9, 4), np.zeros((9, 1))], axis=1)
    assert solve_copositive(maps, [flat], Y, 0.1, cone="completely_positive").status == "Solved"


def test_out_of_time_or_panicking(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, cones, Y = random_question(7, 6, 2, 2)
    assert solve_copositive(maps, cones, Y, 0.1, max_time=0.0).status == "MaxTime"

    class PanicException(BaseException):
        """As that of pyo3, which cannot be imported."""

    for error in (PanicException, KeyboardInterrupt):

        def fail(*_: Any, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr(clarabel, "DefaultSolver", fail)
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                solve_copositive(maps, cones, Y, 0.1)
        else:
            found = solve_copositive(maps, cones, Y, 0.1)
            assert (found.value, found.status) == (-np.inf, "Failed")
            assert np.all(found.matrices == 0.0)
            assert rounded(found, cones) == []


# -- geometry ------------------------------------------------------------------------------------------


def test_facets_agree_with_linear_programs() -> None:
    rng = np.random.default_rng(8)
    for _ in range(60):
        p, count = int(rng.integers(2, 6)), int(rng.integers(1, 14))
        K = random_cone(rng, count, p)
        expected = []
        for k in range(count):
            others = np.delete(K, k, axis=0)
            least = linprog(
                K[k], np.vstack([-others, -K[k]]), np.append(np.zeros(count - 1), 1.0), bounds=[(None, None)] * p
            )
            if least.fun < -0.5:
                expected.append(K[k] / np.linalg.norm(K[k]))
        np.testing.assert_allclose(facets(np.concatenate([K, np.zeros((1, p))])), expected, atol=1e-12)


def test_rays_and_triangulations() -> None:
    rng = np.random.default_rng(9)
    for trial in range(60):
        r, line = int(rng.integers(1, 5)), int(rng.integers(0, 2))
        turned = np.linalg.qr(rng.standard_normal((r + line, r + line)))[0]
        K = facets(random_cone(rng, int(rng.integers(r, 12)), r) @ turned[:r])
        if lines(K)[1].shape[1] < r:
            continue
        G, on = rays(K)
        assert (K @ G).min() >= -1e-9
        np.testing.assert_allclose(np.linalg.norm(G, axis=0), 1.0, atol=1e-12)
        np.testing.assert_allclose(lines(K)[0].T @ G, 0.0, atol=1e-12)
        # Rays are the faces of dimension one, all of them: no other one is a combination of them.
        assert all(np.linalg.matrix_rank(K[tight], tol=1e-9) == r - 1 for tight in on)
        np.testing.assert_array_equal(on, np.abs(G.T @ K.T) <= 1e-9)
        assert facets(G.T).shape[0] == G.shape[1]
        # Where least squares fail now and then: points of the cone are their own projections.
        for ray in G.T:
            projection = nearest(K, ray)
            assert projection is not None
            np.testing.assert_allclose(projection, ray, atol=1e-9)
        simplices = triangulated(K)
        assert all(simplex.shape == (r + line, r) for simplex in simplices)
        # A random point of the cone lies in one of the simplicial cones and, almost surely, in no other.
        points = rng.standard_normal((20_000, r)) @ turned[:r]
        points = np.concatenate([points[(points @ K.T).min(axis=1) >= 0.0], rng.exponential(size=(50, len(on))) @ G.T])
        inside = sum((points @ np.linalg.pinv(simplex).T).min(axis=1) >= 0.0 for simplex in simplices)
        assert np.all(inside == 1), trial


def test_facets_that_meet_in_a_ray() -> None:
    # The cone over a square pyramid, whose apex lies on four facets; and over an octahedron, all of whose rays do.
    square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    pyramid = np.array([[*corner, -1.0, 1.0] for corner in ([1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0])])
    pyramid = facets(np.concatenate([pyramid, [[0.0, 0.0, 1.0, 0.0]]]))
    G, on = rays(pyramid)
    assert sorted(on.sum(axis=1).tolist()) == [3, 3, 3, 3, 4]
    assert len(triangulated(pyramid)) == 2
    octahedron = facets(np.array([[*corner, s, 1.0] for corner in square for s in (1.0, -1.0)]))
    G, on = rays(octahedron)
    assert G.shape == (4, 6)
    assert np.all(on.sum(axis=1) == 4)
    assert len(triangulated(octahedron)) == 4
    # Four facets or fewer need no triangulation, however many rays.
    assert len(covering(np.array([[*corner, 1.0] for corner in np.eye(2).tolist()]), "completely_positive")) == 1
    assert len(covering(octahedron, "completely_positive")) == 4
