"""Three layers with two ReLUs: features, programs over pieces, tied filters."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp

import zerogap as zg
from reference import TOLERANCES, list_cells
from zerogap.certificates.objective import objective_above
from zerogap.features import three_layer_pieces
from zerogap.pieces import PieceProgram
from zerogap.question import Question
from zerogap.rounding import gamma
from zerogap.scope import chooser
from zerogap.solvers.conic_pieces import solve_pieces
from zerogap.training.baselines import train_by_gradient
from zerogap.training.descent import Descent, lbfgs
from zerogap.training.pieces import train_by_pieces

# Untyped, and partly created at run time.
cp = import_module("cvxpy")

KINDS = [(tied, bias) for tied in (False, True) for bias in (False, True, "free")]


def features_of(tied: bool, bias, seed: int = 0, shape=(5, 4)):
    rng = np.random.default_rng(seed)
    architecture = zg.ThreeLayerCNN(2, tied=tied, bias=bias)
    return architecture.features(architecture.rows(rng.standard_normal(shape))), rng


def by_loops(features, theta) -> list[Fraction]:
    """Phi in rational arithmetic, for filters of rational lengths."""
    n, K, p = features.rows.matrix.shape
    kept = p - int(features.free)
    filters = np.resize(theta[: features.filters], (K, p))
    values = []
    for s in range(n):
        total = Fraction(theta[-1]) if features.free else Fraction(0)
        for k in range(K):
            square = sum(Fraction(c) ** 2 for c in filters[k, :kept])
            length = Fraction(int(np.sqrt(float(square.numerator))), int(np.sqrt(float(square.denominator))))
            assert length**2 == square
            inner = sum(Fraction(m) * Fraction(c) for m, c in zip(features.rows.matrix[s, k], filters[k], strict=True))
            total += max(inner / length, 0) * Fraction(theta[features.filters + k])
        values.append(max(total, Fraction(0)))
    return values


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_forward_is_exact_up_to_its_rounding_bound(tied, bias) -> None:
    features, rng = features_of(tied, bias, seed=3)
    for seed in range(5):
        theta = rng.standard_normal(features.dimension)
        # Pythagorean triples (and a third entry that makes a quadruple) have rational lengths.
        K, p = features.rows.matrix.shape[1:]
        triple = {2: [(3.0, -4.0)], 3: [(2.0, -1.0, 2.0)]}[p][0] if bias != "free" else (3.0, -4.0, 0.37)
        filters = np.array(triple) * 2.0 ** rng.integers(-3, 4, size=(1 if tied else K, 1))
        theta[: features.filters] = filters.ravel()
        exact = by_loops(features, theta)
        values, _ = features.forward(theta[None])
        allowed = gamma(features.roundings) * features.magnitude(theta[None])[:, 0, 0]
        for value, true, room in zip(values[:, 0, 0], exact, allowed, strict=True):
            assert abs(Fraction(value) - true) <= Fraction(room), seed


@pytest.mark.parametrize(("tied", "bias"), KINDS)
@pytest.mark.parametrize("width", [0.0, 1e-9])
def test_gradient_matches_differences(tied, bias, width) -> None:
    features, rng = features_of(tied, bias)
    theta = features.random(4, rng) + 0.03 * rng.standard_normal((4, features.dimension))
    values, back = features.forward(theta, width)
    weights = rng.standard_normal(values.shape)
    gradient, step = back(weights), 1e-6
    for j, i in product(range(4), range(features.dimension)):
        up, down = theta.copy(), theta.copy()
        up[j, i] += step
        down[j, i] -= step
        slope = np.sum((features.forward(up, width)[0] - features.forward(down, width)[0]) * weights) / (2.0 * step)
        assert abs(slope - gradient[j, i]) <= 1e-6 * (1.0 + abs(slope))


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_features_are_homogeneous_in_the_inner_layer_and_blind_to_the_size_of_filters(tied, bias) -> None:
    features, rng = features_of(tied, bias)
    theta = features.random(6, rng)
    np.testing.assert_allclose(features.sizes(theta), 1.0, rtol=1e-12)
    values, _ = features.forward(theta)
    scaled = np.where(features.scaled, 2.5 * theta, 0.3 * theta)
    np.testing.assert_allclose(features.forward(scaled)[0], 2.5 * values, rtol=1e-12, atol=1e-14)
    theta[:, : features.filters] = 0.0
    constant = np.maximum(theta[:, -1], 0.0) if bias == "free" else np.zeros(6)
    np.testing.assert_array_equal(features.forward(theta)[0][:, 0], np.tile(constant, (5, 1)))


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_relaxation_is_above_every_neuron_met(tied, bias) -> None:
    for seed in range(4):
        features, rng = features_of(tied, bias, seed=seed)
        residual = rng.standard_normal(5)
        if bias == "free":
            # Dyadic numbers sum to zero exactly.
            residual = np.round(residual * 2**20) / 2**20
            residual[-1] = -residual[:-1].sum()
        bound, proof = features.price_above(residual)
        assert proof == "relaxation"
        theta = features.random(3000, rng)
        for size in (0.5, 0.2, 0.1, 0.05, 0.02):
            prices = np.abs(np.einsum("nam,n->m", features.forward(theta)[0], residual))
            assert prices.max() <= bound
            best = theta[np.argsort(-prices)[:30]]
            theta = np.repeat(best, 100, axis=0)
            theta = features.unit(theta + size * rng.standard_normal(theta.shape) * np.abs(theta).mean())
        # It is a relaxation, not a formality.
        assert prices.max() >= 0.4 * bound


@pytest.mark.parametrize(("tied", "bias"), KINDS)
def test_networks_keep_their_outputs_when_balanced_pruned_and_saved(tied, bias, tmp_path) -> None:
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((4, 3, 2)), rng.standard_normal(4)
    architecture = zg.ThreeLayerCNN((2,), tied=tied, bias=bias)
    question = Question.of(architecture, X, y, loss="squared", beta=0.1)
    features = architecture.features(question.rows)
    theta = np.where(features.scaled, 3.0, 0.5) * features.random(9, rng)
    network = zg.Network.from_weights(architecture, features, theta, rng.standard_normal((9, 1)), 0.2)
    outputs = network(X)
    balanced, pruned = network.balanced(), network.prune(X)
    penalised = balanced.first[:, : features.positions]
    np.testing.assert_allclose(np.linalg.norm(penalised, axis=1), np.abs(balanced.second), rtol=1e-12)
    assert pruned.width <= 4
    before = network.objective(X, y, beta=0.1)
    for other in (balanced, pruned):
        np.testing.assert_allclose(other(X), outputs, atol=1e-12)
        assert other.objective(X, y, beta=0.1) <= before
    assert objective_above(question, network) >= before - 1e-12
    network.save(tmp_path / "network.safetensors")
    loaded = zg.Network.load(tmp_path / "network.safetensors")
    assert loaded.architecture == architecture
    np.testing.assert_array_equal(loaded(X), outputs)
    empty = zg.Network(architecture, np.zeros((0, features.positions)), np.zeros(0))
    assert empty.weights.shape[0] == 0
    np.testing.assert_array_equal(empty(X), np.zeros(4))


def test_bad_options_and_shapes() -> None:
    with pytest.raises(zg.InputError, match="tied: got 1, expected one of"):
        zg.ThreeLayerCNN(2, tied=1)
    with pytest.raises(zg.InputError, match="kernel_size"):
        zg.ThreeLayerCNN(0)
    untied, tied = zg.ThreeLayerCNN(2), zg.ThreeLayerCNN(2, tied=True)
    assert repr(tied) == "ThreeLayerCNN(kernel_size=2, tied=True)"
    first, second = np.ones((3, 2)), np.ones(3)
    with pytest.raises(zg.InputError, match="filters: got None, expected an array"):
        zg.Network(untied, first, second)
    with pytest.raises(zg.InputError, match=r"filters: got shape \(3, 3\), expected \(m, K, h\)"):
        zg.Network(untied, first, second, filters=np.ones((3, 3)))
    with pytest.raises(zg.InputError, match=r"filters: got shape \(2, 3\), expected \(m, h\) with m = 3"):
        zg.Network(tied, first, second, filters=np.ones((2, 3)))
    with pytest.raises(zg.InputError, match="filters"):
        zg.Network(tied, first, second, filters=np.full((3, 3), np.nan))
    network = zg.Network(tied, first, second, filters=np.ones((3, 3)))
    with pytest.raises(zg.InputError, match="inputs for neurons with 6 inner"):
        network(np.ones((2, 4)))


# -- programs over pieces --------------------------------------------------------------------------


def data(seed: int, n: int = 3, length: int = 3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, length)), rng.standard_normal(n)


def solved(architecture, X, y, *, arrangements="enumerate", beta=0.1, loss="squared"):
    """The program over pieces, Clarabel's solution, and the lower bound that its multipliers prove."""
    question = Question.of(architecture, X, y, loss=loss, beta=beta)
    pieces = architecture.pieces(question.rows, chooser(arrangements, np.random.default_rng(0)))
    program = PieceProgram(pieces, question.loss, beta, architecture.offset)
    solution = solve_pieces(program)
    price = program.price_above(solution.residual, 0.0, solution.multipliers)
    scale = question.loss.best_scale(solution.residual, beta / price)
    return program, solution, question.loss.dual_value(scale * solution.residual)


def recovered(architecture, X, program, solution) -> zg.Network:
    features = architecture.features(architecture.rows(X))
    sizes = program.pieces.gauge.value(solution.blocks)
    family, piece = np.nonzero(sizes > 1e-9 * sizes.max())
    theta, size = program.pieces.neurons(piece, solution.blocks[family, piece])
    np.testing.assert_allclose(features.sizes(theta), 1.0, rtol=1e-12)
    if not architecture.tied:
        np.testing.assert_allclose(size, sizes[family, piece], rtol=1e-12)
    second = np.where(family == 0, size, -size)
    return zg.Network.from_weights(architecture, features, theta, second[:, None], solution.offset).balanced()


def gradient_runs(architecture, seed: int, runs: int) -> Iterator[float]:
    """Objectives that L-BFGS reaches, as kinks sharpen, from random starts and from around the best point so far."""
    question = Question.of(architecture, *data(seed), loss="squared", beta=0.1)
    problem, rng = Descent(question, 8), np.random.default_rng(seed)
    best, least = None, np.inf
    for run in range(runs):
        point = problem.start(rng)
        if best is not None and run % 3 == 2:
            point = best + 0.3 * np.abs(best).mean() * rng.standard_normal(best.size)
            # Without a free constant the last entry does not count.
            point[-1] = best[-1]
        for width in (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 3e-4, 1e-4):
            with np.errstate(all="ignore"):
                point = lbfgs(lambda flat, width=width: problem(flat, width), point, 150)
        value = problem(point)[0]
        best, least = (point, value) if value < least else (best, least)
        yield value


def assert_networks_reach(architecture, seed: int, bound: float, value: float, share: float = 1e-3) -> None:
    """No run ends below the bound, and one of them comes within a share of the value."""
    for reached in gradient_runs(architecture, seed, 60):
        assert reached >= bound
        if reached <= value * (1.0 + share):
            return
    pytest.fail(f"no network within {share} of {value}")


UNTIED, TIED = zg.ThreeLayerCNN(2, bias=False), zg.ThreeLayerCNN(2, tied=True, bias=False)
GOLDEN = [0.1840352, 0.1130059, 0.1484491, 0.0958026]
GOLDEN_TIED = [(0.1853903, 0.1853903), (0.1131172, 0.113388), (0.1626813, 0.17314), (0.1245277, 0.124676)]


@pytest.mark.parametrize("seed", range(4))
def test_golden_values(seed) -> None:
    for architecture, expected in ((UNTIED, GOLDEN[seed]), (TIED, GOLDEN_TIED[seed][0])):
        program, solution, bound = solved(architecture, *data(seed))
        value = program.primal(solution.blocks, solution.offset)
        assert program.pieces.complete
        assert program.pieces.exact != architecture.tied
        assert abs(value - expected) <= 1e-6
        assert value * (1.0 - 1e-7) <= bound <= value * (1.0 + 1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_untied_network_attains_the_program(seed) -> None:
    X, y = data(seed + 20)
    for architecture in (UNTIED, zg.ThreeLayerCNN((2,), stride=1, padding=1, bias=False)):
        inputs = X[:, :2, None] if architecture.padding else X
        program, solution, bound = solved(architecture, inputs, y)
        value = program.primal(solution.blocks, solution.offset)
        network = recovered(architecture, inputs, program, solution)
        for candidate in (network, network.prune(inputs)):
            assert abs(candidate.objective(inputs, y, beta=0.1) - value) <= 1e-8 * (1.0 + value)
            assert candidate.objective(inputs, y, beta=0.1) >= bound * (1.0 - 1e-9)
        np.testing.assert_allclose(network(inputs), program.matmul(solution.blocks), atol=1e-7)
        np.testing.assert_allclose(np.linalg.norm(network.first, axis=1), np.abs(network.second), rtol=1e-12)


@pytest.mark.parametrize(("bias", "seed"), [(False, 39), (False, 40), (False, 41), (True, 34)])
def test_untied_optimum_is_that_of_the_best_network(bias, seed) -> None:
    architecture = zg.ThreeLayerCNN(2, bias=bias)
    program, solution, bound = solved(architecture, *data(seed))
    assert_networks_reach(architecture, seed, bound, program.primal(solution.blocks, solution.offset))


@pytest.mark.parametrize("seed", range(40, 44))
def test_tied_relaxation_is_below_every_network_and_above_the_untied_optimum(seed) -> None:
    _, _, bound = solved(TIED, *data(seed))
    program, solution, _ = solved(UNTIED, *data(seed))
    assert program.primal(solution.blocks) <= bound * (1.0 + 1e-7)
    assert bound <= min(gradient_runs(TIED, seed, 4))


def independent_optimum(X, y, h: int, beta: float, *, tied: bool) -> float:
    """Spec 2.9 without any of the reductions: all cells, all signs, all outer patterns, all constraints."""
    n, K = len(X), X.shape[1] - h + 1
    patches = [X[:, k : k + h] for k in range(K)]
    if tied:
        cells = [tuple(np.split(signs > 0, K)) for signs in list_cells(np.concatenate(patches))]
    else:
        cells = list(product(*[[signs > 0 for signs in list_cells(patch)] for patch in patches]))
    maps, cones = [], []
    for cell, signs, pattern in product(cells, product((1.0, -1.0), repeat=K), product((0.0, 1.0), repeat=n)):
        T = np.concatenate([signs[k] * cell[k][:, None] * patches[k] for k in range(K)], axis=1)
        rows = [np.array([2.0 * e - 1.0 for e in pattern])[:, None] * T]
        for k, i in product(range(K), range(K)) if tied else ((k, k) for k in range(K)):
            block = np.zeros((n, K * h))
            block[:, k * h : k * h + h] = np.where(cell[i], 1.0, -1.0)[:, None] * patches[i]
            rows.append(block)
        maps.append(np.array(pattern)[:, None] * T)
        cones.append(np.concatenate(rows))
    P, q = len(maps), K * h
    operator, constraint = np.concatenate(maps, axis=1), sp.block_diag(cones, format="csr")
    V, W = cp.Variable((P, q)), cp.Variable((P, q))
    v, w = cp.reshape(V, (P * q,), order="C"), cp.reshape(W, (P * q,), order="C")
    penalty = cp.sum(cp.norm(V, 2, axis=1)) + cp.sum(cp.norm(W, 2, axis=1))
    objective = 0.5 * cp.sum_squares(operator @ (v - w) - y) + beta * penalty
    problem = cp.Problem(cp.Minimize(objective), [constraint @ v >= 0.0, constraint @ w >= 0.0])
    return float(problem.solve(solver="CLARABEL", **TOLERANCES))


@pytest.mark.parametrize(("tied", "seed"), [(False, 50), (True, 51), (True, 52)])
def test_programs_equal_independent_ones(tied, seed) -> None:
    X, y = data(seed)
    program, solution, bound = solved(TIED if tied else UNTIED, X, y, beta=0.07)
    value = independent_optimum(X, y, 2, 0.07, tied=tied)
    assert abs(program.primal(solution.blocks) - value) <= 1e-6 * value
    assert bound <= value * (1.0 + 1e-6)


@pytest.mark.parametrize(("loss", "bias"), [("logistic", False), ("hinge", False), ("squared", "free")])
def test_other_losses_and_free_biases_bound_trained_networks(loss, bias) -> None:
    X, y = data(60)
    y = y if loss == "squared" else np.array([1.0, -1.0, 1.0])
    for tied in (False, True):
        architecture = zg.ThreeLayerCNN(2, bias=bias, tied=tied)
        program, solution, bound = solved(architecture, X, y, loss=loss, beta=0.05)
        value = program.primal(solution.blocks, solution.offset)
        assert bound <= value * (1.0 + 1e-6)
        assert bound >= value * (1.0 - 1e-4)
        for state in range(3):
            network = train_by_gradient(
                architecture, X, y, loss=loss, beta=0.05, width=6, iterations=300, random_state=state
            )
            assert bound <= network.objective(X, y, loss=loss, beta=0.05)


def test_free_biases_reach_the_optimum_of_networks() -> None:
    architecture = zg.ThreeLayerCNN(2, bias="free")
    program, solution, bound = solved(architecture, *data(61))
    assert_networks_reach(architecture, 61, bound, program.primal(solution.blocks, solution.offset))


def test_sampled_pieces_are_those_of_neurons() -> None:
    X, y = data(70, n=6, length=5)
    for bias in (False, True, "free"):
        architecture = zg.ThreeLayerCNN(3, bias=bias)
        program, solution, bound = solved(architecture, X, y, arrangements=60)
        pieces = program.pieces
        assert pieces.count == 60
        assert not pieces.complete
        assert bound <= program.primal(solution.blocks, solution.offset) * (1.0 + 1e-6)
        features, rng = architecture.features(architecture.rows(X)), np.random.default_rng(1)
        blocks = three_layer_pieces.Blocks(features)
        theta = features.random(200, rng)
        values = features.forward(theta)[0][:, 0]
        unit, inner, constant = features.parts(theta)
        for j, piece in enumerate(three_layer_pieces.pieces_of(features, theta)):
            block = (np.abs(inner[j])[:, None] * unit[j]).ravel()
            block = np.append(block, constant[j]) if bias == "free" else block
            np.testing.assert_allclose(blocks.map(piece) @ block, values[:, j], atol=1e-12)
            assert np.all(blocks.cone(piece) @ block >= -1e-12)


def test_every_neuron_has_a_twin_in_a_listed_piece() -> None:
    """Its feature is that of a block of no larger gauge: a small program in every piece."""
    for architecture, seed in product((UNTIED, TIED, zg.ThreeLayerCNN(2)), range(3)):
        X, _ = data(seed + 80)
        features = architecture.features(architecture.rows(X))
        pieces = architecture.pieces(features.rows, chooser("enumerate", np.random.default_rng(0)))
        theta = features.random(40, np.random.default_rng(seed))
        # Some positions are switched off altogether, some outputs pull down only.
        theta[::3, features.filters] = 0.0
        theta = features.unit(theta)
        unit, inner, _ = features.parts(theta)
        values = features.forward(theta)[0][:, 0]
        columns = np.abs(inner)[:, :, None] * unit
        for j in range(40):
            found = False
            for drop in product((False, True), repeat=features.positions):
                block = np.where(np.array(drop)[:, None], 0.0, columns[j]).ravel()
                inside = [np.all(cone @ block >= -1e-12) for cone in pieces.cones]
                same = np.abs(pieces.maps @ block - values[:, j]).max(axis=1) <= 1e-12
                found = found or bool(np.any(inside & same))
            assert found or not values[:, j].any()


@pytest.mark.parametrize(
    ("loss", "bias"), [("squared", False), ("logistic", True), ("hinge", True), ("squared", "free")]
)
def test_training_over_pieces(loss, bias, tmp_path) -> None:
    X, y = data(90, n=2)
    y = y if loss == "squared" else np.array([1.0, -1.0])
    architecture = zg.ThreeLayerCNN(2, bias=bias)
    question = Question.of(architecture, X, y, loss=loss, beta=0.05)
    with np.errstate(all="ignore"):
        network, certificate, _, status = train_by_pieces(
            question, "enumerate", tol=1e-7, limit=60.0, rng=np.random.default_rng(0)
        )
    assert status is zg.Status.OPTIMAL
    assert (certificate.scope, certificate.proof) == ("global", "enumeration")
    assert certificate.gap <= 1e-7
    assert network.width <= 2
    program, solution, _ = solved(architecture, X, y, loss=loss, beta=0.05)
    value = program.primal(solution.blocks, solution.offset)
    assert abs(network.objective(X, y, loss=loss, beta=0.05) - value) <= 1e-8 * (1.0 + value) + 1e-7 * value
    network.save(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(zg.Network.load(tmp_path / "network.safetensors")(X), network(X))


def test_too_many_pieces() -> None:
    images = np.random.default_rng(0).standard_normal((200, 8, 8))
    architecture = zg.ThreeLayerCNN(3)
    with pytest.raises(zg.InputError, match=r"arrangements: got 300 pieces of 360 unknowns"):
        architecture.pieces(architecture.rows(images), chooser(300, np.random.default_rng(0)))
    X = np.random.default_rng(0).standard_normal((40, 5))
    for architecture in (zg.ThreeLayerCNN(3), zg.ThreeLayerCNN(3, tied=True)):
        rows = architecture.rows(X)
        with pytest.raises(zg.InputError, match=r"arrangements='enumerate': got .* expected at most"):
            architecture.pieces(rows, chooser("enumerate", np.random.default_rng(0)))
