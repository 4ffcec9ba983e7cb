"""Circular networks: convolution and gauge, features, programs of their own, recovery, and what gradients reach."""

from __future__ import annotations

from decimal import Decimal, localcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zerogap as zg
from reference import TOLERANCES, list_cells
from test_golden import X5, Y5
from test_pieces import BIASES, LOSSES, data, train
from zerogap.architectures import from_config
from zerogap.certificates.feature_referee import FeatureReferee
from zerogap.certificates.piece_pricing import best_price
from zerogap.circulant import convolved, correlated, filter_gradient, fourier_basis
from zerogap.features.circular_pieces import circular_gauge
from zerogap.pieces import PieceProgram
from zerogap.question import Question
from zerogap.report.pictures import spectra_picture
from zerogap.rounding import gamma
from zerogap.scope import chooser
from zerogap.solvers.conic_prices import conic_multipliers
from zerogap.training.baselines import train_by_gradient

# Untyped, and partly created at run time.
cp = import_module("cvxpy")

Array = NDArray[np.float64]
NORMALISATIONS = ("composite", "filter", "frobenius", "frobenius_sqrt_d")


def dft(d: int) -> NDArray[np.complex128]:
    """The unitary one, entry by entry."""
    return np.array([[np.exp(-2j * np.pi * j * k / d) for k in range(d)] for j in range(d)]) / np.sqrt(d)


def circ(u: Array, d: int) -> Array:
    return np.array([[u[(a - b) % d] if (a - b) % d < len(u) else 0.0 for b in range(d)] for a in range(d)])


def loss_of(f: Any, y: Array, loss: str) -> Any:
    terms = {
        "squared": lambda: 0.5 * cp.sum_squares(f - y),
        "logistic": lambda: cp.sum(cp.logistic(cp.multiply(-y, f))),
        "hinge": lambda: cp.sum(cp.pos(1.0 - cp.multiply(y, f))),
    }
    return terms[loss]()


def spectral(z: Any, d: int) -> Any:
    """||F z||_1 of a variable."""
    F = dft(d)
    return sum(cp.norm(cp.hstack([F.real[k] @ z, F.imag[k] @ z])) for k in range(d))


def program_value(architecture: Any, X: Array, y: Array, *, loss: str, beta: float) -> float:
    """The optimum of the program with cells, from the formulas of the papers, by CVXPY."""
    n, d = X.shape
    kappa = 1.0 if architecture.normalisation == "frobenius" else np.sqrt(d)
    rows = X if architecture.bias is False else np.column_stack([X, np.ones(n)])
    f = cp.Variable() * np.ones(n) if architecture.bias == "free" else np.zeros(n)
    penalty, constraints = 0.0, []
    for signs in list_cells(rows):
        for family in (1.0, -1.0):
            v = cp.Variable(rows.shape[1])
            f = f + family * np.diag((signs > 0).astype(float)) @ rows @ v
            constraints.append(np.diag(signs) @ rows @ v >= 0.0)
            size = spectral(v[:d], d) / kappa
            if architecture.bias is True:
                height = cp.Variable()
                constraints.append(height >= size)
                size = cp.norm(cp.hstack([height, v[d]]))
            if architecture.bias == "free":
                constraints.append(cp.abs(v[d]) <= 100.0)
            penalty += beta * size
    return float(cp.Problem(cp.Minimize(loss_of(f, y, loss) + penalty), constraints).solve("CLARABEL", **TOLERANCES))


def linear_value(X: Array, y: Array, beta: float, loss: str = "squared") -> tuple[float, Array]:
    """The two-layer linear network: min L(X z) + beta / sqrt(d) ||F z||_1."""
    d = X.shape[1]
    z = cp.Variable(d)
    problem = cp.Problem(cp.Minimize(loss_of(X @ z, y, loss) + beta / np.sqrt(d) * spectral(z, d)))
    return float(problem.solve("CLARABEL", **dict.fromkeys(TOLERANCES, 1e-10))), z.value


# -- convolution and gauge ---------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "d"), [(1, 1), (1, 4), (2, 5), (5, 5), (4, 4)])
def test_convolution_is_the_circulant_matrix_and_its_adjoints(h: int, d: int) -> None:
    rng = np.random.default_rng(0)
    u, w, v = rng.standard_normal((3, h)), rng.standard_normal((3, d)), rng.standard_normal((3, d))
    for j in range(3):
        np.testing.assert_allclose(convolved(u, w)[j], circ(u[j], d) @ w[j], atol=1e-14)
        np.testing.assert_allclose(correlated(u, v)[j], circ(u[j], d).T @ v[j], atol=1e-14)
        assert abs(filter_gradient(v, w, h)[j] @ u[j] - v[j] @ convolved(u, w)[j]) <= 1e-13


@pytest.mark.parametrize("d", range(1, 10))
def test_the_real_basis_is_orthonormal_and_has_the_moduli_of_the_transform(d: int) -> None:
    basis, groups, costs = fourier_basis(d)
    np.testing.assert_allclose(basis @ basis.T, np.eye(d), atol=1e-14)
    assert sorted(np.concatenate(groups)) == list(range(d))
    z = np.random.default_rng(d).standard_normal(d)
    total = sum(cost * np.linalg.norm(basis[rows] @ z) for rows, cost in zip(groups, costs, strict=True))
    assert abs(total - np.abs(dft(d) @ z).sum()) <= 1e-13


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("normalisation", ["composite", "frobenius"])
@pytest.mark.parametrize("d", [3, 4])
def test_gauge_polar_and_conic_price(d: int, normalisation: str, bias: Any) -> None:
    rng = np.random.default_rng(d)
    architecture = zg.CircularCNN(bias=bias, normalisation=normalisation)
    features: Any = architecture.features(architecture.rows(rng.standard_normal((3, d))))
    gauge = circular_gauge(features)
    q, kappa = gauge.basis.shape[0], 1.0 if normalisation == "frobenius" else np.sqrt(d)
    blocks, duals = rng.standard_normal((2, 50, q))
    size = np.abs(blocks[:, :d] @ dft(d).T).sum(axis=1) / kappa
    expected = np.hypot(size, blocks[:, d]) if bias is True else size
    np.testing.assert_allclose(gauge.value(blocks), expected, rtol=1e-13)
    if bias == "free":
        # Within reach, the polar inequality holds for free coordinates.
        blocks[:, d] = np.clip(blocks[:, d], -gauge.reach * size, gauge.reach * size)
    polars = np.array([gauge.polar_above(dual, np.zeros(q)) for dual in duals])
    assert np.all(np.sum(blocks * duals, axis=1) <= polars * gauge.value(blocks))
    cone = rng.standard_normal((4, q))
    v, height = cp.Variable(q), cp.Variable()
    size = cp.hstack([height, v[d]]) if bias is True else height
    bounds = [cone @ v >= 0.0, spectral(v[:d], d) / kappa <= height, cp.norm(size) <= 1.0]
    if bias == "free":
        bounds.append(cp.abs(v[d]) <= gauge.reach)
    for dual in duals[:5]:
        multipliers = conic_multipliers(gauge, cone, dual)
        expected = cp.Problem(cp.Maximize(dual @ v), bounds).solve("CLARABEL")
        assert abs(gauge.polar_above(dual + cone.T @ multipliers, np.zeros(q)) - expected) <= 1e-6
        tight = cp.Problem(cp.Maximize(dual @ v), bounds[1:]).solve("CLARABEL")
        assert abs(gauge.polar_above(dual, np.zeros(q)) - tight) <= 1e-6


# -- features ----------------------------------------------------------------------------------------

KINDS = [
    zg.CircularCNN(depth=2, bias=False),
    zg.CircularCNN(depth=2, kernel_size=2, bias=True),
    zg.CircularCNN(depth=2, bias="free"),
    zg.CircularCNN(bias=False),
    zg.CircularCNN(bias=True, normalisation="frobenius"),
    zg.CircularCNN(bias="free", kernel_size=2),
    zg.CircularCNN(depth=4, kernel_size=2),
    zg.CircularCNN(depth=5, bias=False, kernel_size=3),
]
each_kind = pytest.mark.parametrize("architecture", KINDS, ids=repr)


def features_of(architecture: Any, n: int = 4, d: int = 5, seed: int = 0) -> Any:
    return architecture.features(architecture.rows(np.random.default_rng(seed).standard_normal((n, d))))


@each_kind
def test_the_derivative_of_features(architecture: Any) -> None:
    features, rng = features_of(architecture), np.random.default_rng(1)
    weights = rng.standard_normal((3, features.dimension))
    values, back = features.forward(weights)
    assert values.shape == (4, features.outputs, 3)
    cotangent = rng.standard_normal(values.shape)
    gradient, step = back(cotangent), 1e-6
    for j, k in np.ndindex(*weights.shape):
        move = np.zeros_like(weights)
        move[j, k] = step
        ahead, behind = features.forward(weights + move)[0], features.forward(weights - move)[0]
        assert abs(np.sum(cotangent * (ahead - behind)) / (2.0 * step) - gradient[j, k]) <= 1e-7
    # Kinks that are hardly rounded have nearly the same derivative, and kinks that are rounded much do not.
    np.testing.assert_allclose(features.forward(weights, 1e-9)[1](cotangent), gradient, atol=1e-12)
    change = np.abs(features.forward(weights, 0.9)[1](cotangent) - gradient).max()
    assert (change > 1e-3) == (architecture.depth > 2)


@each_kind
def test_features_are_those_of_circulant_matrices(architecture: Any) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((4, 5))
    features: Any = architecture.features(architecture.rows(X))
    weights = rng.standard_normal((3, features.dimension))
    values, _ = features.forward(weights)
    for j, theta in enumerate(weights):
        bias = theta[-1] if architecture.bias is not False else 0.0
        if architecture.depth == 2:
            np.testing.assert_allclose(values[:, :, j], X @ circ(theta[: features.size], 5) + bias, atol=1e-13)
            continue
        product = np.eye(5)
        for c in theta[: features.filters].reshape(features.filter_shape):
            product = product @ circ(c, 5)
        size = np.linalg.norm(product) if architecture.normalisation == "frobenius" else np.linalg.norm(product[:, 0])
        signal = X @ product @ theta[features.filters : features.filters + 5] / size + bias
        np.testing.assert_allclose(values[:, 0, j], np.maximum(signal, 0.0), atol=1e-13)
    stretched = np.where(features.scaled, 3.0 * weights, 7.0 * weights)
    np.testing.assert_allclose(features.forward(stretched)[0], 3.0 * values, atol=1e-12)


def _exact_convolution(u: list[Decimal], w: list[Decimal]) -> list[Decimal]:
    d = len(w)
    return [sum((u[j] * w[(t - j) % d] for j in range(len(u))), Decimal(0)) for t in range(d)]


@each_kind
@pytest.mark.parametrize("cancelling", [False, True])
def test_the_error_of_features_is_bounded(architecture: Any, cancelling: bool) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((3, 5)) * 10.0 ** rng.integers(-3, 4, (3, 5))
    features: Any = architecture.features(architecture.rows(X))
    weights = rng.standard_normal((4, features.dimension)) * 10.0 ** rng.integers(-3, 4, (4, features.dimension))
    if cancelling and features.filters:
        # Filters near (1, -1, 0) and (1, 1, 1, ...): the composite nearly vanishes.
        shape = features.filter_shape
        filters = np.ones((4, *shape))
        filters[:, 0] = 0.0
        filters[:, 0, :2] = [1.0, -1.0]
        weights[:, : features.filters] = (filters + 1e-7 * rng.standard_normal(filters.shape)).reshape(4, -1)
    values, _ = features.forward(weights)
    bound = gamma(features.roundings) * features.magnitude(weights)
    with localcontext() as context:
        context.prec = 80
        for j, theta in enumerate(weights):
            exact = [Decimal(float(entry)) for entry in theta]
            bias = exact[-1] if architecture.bias is not False else Decimal(0)
            for s, row in enumerate(X):
                x = [Decimal(float(entry)) for entry in row]
                if architecture.depth == 2:
                    u = exact[: features.size]
                    truth = [sum(u[k] * x[(b + k) % 5] for k in range(len(u))) + bias for b in range(5)]
                else:
                    a = [Decimal(1)] + [Decimal(0)] * 4
                    for layer in range(features.layers):
                        a = _exact_convolution(exact[layer * features.size : (layer + 1) * features.size], a)
                    z = _exact_convolution(a, exact[features.filters : features.filters + 5])
                    length = sum(entry * entry for entry in a).sqrt()
                    length *= Decimal(5).sqrt() if architecture.normalisation == "frobenius" else 1
                    truth = [max(sum(p * q for p, q in zip(x, z, strict=True)) / length + bias, Decimal(0))]
                for b, entry in enumerate(truth):
                    assert abs(entry - Decimal(float(values[s, b, j]))) <= Decimal(float(bound[s, b, j]))
    assert np.isfinite(bound).all()


@each_kind
def test_no_neuron_has_a_price_above_the_bound(architecture: Any) -> None:
    for seed in range(3):
        features, rng = features_of(architecture, 6, 5, seed), np.random.default_rng(seed)
        residual = rng.choice([-1.5, -0.25, 0.5, 1.25], 6)
        if architecture.bias == "free":
            residual[-1] = -residual[:-1].sum()
        bound, proof = features.price_above(residual)
        best = 0.0
        weights = features.random(100, rng)
        for _ in range(400 if architecture.depth == 2 else 60):
            values, back = features.forward(weights)
            pull = np.einsum("n,nam->am", residual, values)
            best = max(best, float(np.linalg.norm(pull, axis=0).max()))
            step = back(residual[:, None, None] * pull / np.maximum(np.linalg.norm(pull, axis=0), 1e-300))
            # Linear features: the power method.
            weights = features.unit(step if architecture.depth == 2 else weights + 0.3 * step)
        assert best <= bound
        assert proof == ("closed form" if architecture.depth == 2 else "relaxation")
        if architecture.depth == 2:
            assert bound <= best * (1.0 + 1e-6)


def test_the_price_of_linear_networks_is_a_spectrum() -> None:
    rng = np.random.default_rng(0)
    X, r = rng.standard_normal((6, 7)), rng.standard_normal(6)
    plain = zg.CircularCNN(depth=2, bias=False)
    bound, _ = plain.features(plain.rows(X)).price_above(r)
    assert abs(bound - np.sqrt(7) * np.abs(dft(7) @ X.T @ r).max()) <= 1e-11 * bound
    assert bound >= np.sqrt(7) * np.abs(dft(7) @ X.T @ r).max() * (1.0 - 1e-15)
    biased = zg.CircularCNN(depth=2)
    bound, _ = biased.features(biased.rows(X)).price_above(r)
    moduli = np.sqrt(7) * np.abs(dft(7) @ X.T @ r)
    moduli[0] = np.hypot(moduli[0], np.sqrt(7) * r.sum())
    assert abs(bound - moduli.max()) <= 1e-11 * bound


# -- programs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_golden_value_of_one_relu(normalisation: str) -> None:
    """The coefficient of ||F z||_1 is beta / kappa, kappa = 1 for the Frobenius norm and sqrt(d) = 2 otherwise."""
    beta = 0.05 if normalisation == "frobenius" else 0.1
    architecture = zg.CircularCNN(bias=False, normalisation=normalisation)
    network, certificate, _, status = train(architecture, X5, Y5, beta=beta)
    assert abs(certificate.objective - 0.1792433) <= 1e-7
    assert certificate.gap <= 1e-8
    assert (certificate.scope, certificate.proof, certificate.cells) == ("global", "enumeration", 30)
    assert status is zg.Status.OPTIMAL
    assert abs(network.objective(X5, Y5, beta=beta) - certificate.objective) <= 1e-12


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("depth", "normalisation"), [(3, "filter"), (3, "frobenius"), (5, "composite")])
def test_agrees_with_a_program_written_from_the_formulas(depth: int, normalisation: str, bias: Any, loss: str) -> None:
    X, y = data(loss, (4, 3))
    architecture = zg.CircularCNN(depth=depth, bias=bias, normalisation=normalisation)
    network, certificate, _, _ = train(architecture, X, y, loss=loss)
    expected = program_value(architecture, X, y, loss=loss, beta=0.1)
    assert abs(certificate.objective - expected) <= 2e-7
    assert certificate.gap <= 1e-8
    assert network.width <= 4
    assert abs(network.objective(X, y, loss=loss, beta=0.1) - certificate.objective) <= 1e-10
    # Balanced, and reproduced by circulant matrices.
    assert network.filters is not None
    size = np.linalg.norm(network.first[:, :3] if bias == "free" else network.first, axis=1)
    np.testing.assert_allclose(size, np.abs(network.second), rtol=1e-9)
    outputs = np.full(4, network.offset)
    for filters, u, w in zip(network.filters, network.first, network.second, strict=True):
        product = np.linalg.multi_dot([np.eye(3), *(circ(c, 3) for c in filters), np.eye(3)])
        product /= np.linalg.norm(product) if normalisation == "frobenius" else np.linalg.norm(product[:, 0])
        outputs += w * np.maximum(X @ product @ u[:3] + (0.0 if bias is False else u[3]), 0.0)
    np.testing.assert_allclose(network(X), outputs, atol=1e-10)


@pytest.mark.parametrize(("depth", "bias", "seed"), [(3, False, 0), (3, True, 1), (4, False, 2), (3, "free", 3)])
def test_gradients_never_beat_the_bound_and_reach_it(depth: int, bias: Any, seed: int) -> None:
    X, y = data("squared", (4, 4), seed)
    architecture = zg.CircularCNN(depth=depth, bias=bias)
    certificate = train(architecture, X, y)[1]
    # The best neurons lie on kinks, where L-BFGS gets stuck and small steps do not.
    options: dict[str, Any] = {"beta": 0.1, "width": 30, "iterations": 3000, "method": "adam", "rate": 0.03}
    networks = [train_by_gradient(architecture, X, y, **options)]
    networks += [train_by_gradient(architecture, X, y, beta=0.1, width=15, random_state=k) for k in range(2)]
    runs = [network.objective(X, y, beta=0.1) for network in networks]
    assert min(runs) >= certificate.lower_bound
    assert min(runs) <= certificate.objective * (1.0 + 1e-3)


@pytest.mark.parametrize("depth", [3, 4])
def test_short_filters_have_a_bound_and_a_network(depth: int) -> None:
    for seed in range(2):
        X, y = data("squared", (4, 4), seed)
        short, full = zg.CircularCNN(depth=depth, bias=False, kernel_size=2), zg.CircularCNN(depth=depth, bias=False)
        network, certificate, _, _ = train(short, X, y)
        assert (certificate.scope, certificate.proof) == ("global", "relaxation")
        assert abs(certificate.lower_bound - train(full, X, y)[1].objective) <= 1e-8
        assert network.filters is not None
        assert network.filters.shape[1:] == (depth - 2, 2)
        assert abs(network.objective(X, y, beta=0.1) - certificate.objective) <= 1e-10
        runs = [
            train_by_gradient(short, X, y, beta=0.1, width=25, iterations=500, random_state=k).objective(X, y, beta=0.1)
            for k in range(3)
        ]
        assert certificate.lower_bound <= min(runs)
        # Rebuilt from the blocks of the relaxation: near the best one, not below the bound.
        assert certificate.lower_bound <= certificate.objective <= 1.25 * min(runs)


@pytest.mark.parametrize("loss", LOSSES)
def test_sampled_cells(loss: str) -> None:
    X, y = data(loss, (6, 5))
    part = train(zg.CircularCNN(), X, y, 10, loss=loss)[1]
    assert (part.scope, part.proof, part.cells) == ("sampled", "enumeration", 10)
    assert part.gap <= 1e-7


def test_shifted_inputs_have_the_same_optimum() -> None:
    X, y = data("squared", (4, 4))
    values = [train(zg.CircularCNN(), np.roll(X, shift, axis=1), y)[1].objective for shift in range(4)]
    assert max(values) - min(values) <= 1e-8
    linear = [linear_value(np.roll(X, shift, axis=1), y, 0.1)[0] for shift in range(2)]
    assert abs(linear[0] - linear[1]) <= 1e-8


def test_golden_value_of_the_linear_network() -> None:
    """The program, a network from its solution, a certificate in closed form, and gradients, all at one value."""
    value, z = linear_value(X5, Y5, 0.1)
    assert abs(value - 0.6780201) <= 1e-7
    architecture = zg.CircularCNN(depth=2, bias=False)
    spectrum = dft(4) @ z
    u = (dft(4).conj().T @ np.sqrt(np.abs(spectrum) / 2.0)).real
    phases = spectrum / np.maximum(np.abs(spectrum), 1e-300)
    w = (dft(4).conj().T @ (phases * np.sqrt(np.abs(spectrum) / 2.0))).real
    network = zg.Network(architecture, u[None], w[None])
    np.testing.assert_allclose(network(X5), X5 @ z, atol=1e-12)
    np.testing.assert_allclose(architecture.kernels(network.first, network.second, None)[0], z, atol=1e-12)
    assert abs(network.objective(X5, Y5, beta=0.1) - value) <= 1e-8
    question = Question.of(architecture, X5, Y5, loss="squared", beta=0.1)
    referee = FeatureReferee(question)
    residual = Y5 - X5 @ z
    referee.hear(residual, *architecture.features(question.rows).price_above(residual))
    certificate = referee.verdict(network, referee.objective(network))
    assert certificate.gap <= 1e-7
    assert certificate.proof == "closed form"
    best = min(
        train_by_gradient(architecture, X5, Y5, beta=0.1, width=6, random_state=k).objective(X5, Y5, beta=0.1)
        for k in range(3)
    )
    assert certificate.lower_bound <= best <= value * (1.0 + 1e-6)


@pytest.mark.parametrize("bias", BIASES)
def test_the_refined_price_is_met_by_a_neuron(bias: Any) -> None:
    X, y = data("squared", (5, 3))
    architecture = zg.CircularCNN(bias=bias)
    question = Question.of(architecture, X, y, loss="squared", beta=1e-6)
    pieces = architecture.pieces(question.rows, chooser("enumerate", np.random.default_rng(0)))
    program = PieceProgram(pieces, question.loss, question.beta, architecture.offset)
    residual = np.array([1.0, -0.5, 0.75, -1.5, 0.25])
    price = best_price(program, residual, None, refine=True)
    # Every block is a neuron, with the size of its gauge.
    rng = np.random.default_rng(1)
    features, best = architecture.features(question.rows), 0.0
    for piece, cone in enumerate(pieces.cones):
        v, height = cp.Variable(cone.shape[1]), cp.Variable()
        for sign in (1.0, -1.0):
            pull = sign * pieces.maps[piece].T @ residual
            size = cp.hstack([height, v[3]]) if bias is True else height
            bounds = [cone @ v >= 0.0, spectral(v[:3], 3) / np.sqrt(3) <= height, cp.norm(size) <= 1.0]
            cp.Problem(cp.Maximize(pull @ v), [*bounds, cp.abs(v) <= 50.0]).solve("CLARABEL")
            if pieces.gauge.value(v.value) < 1e-3:
                continue
            weights, sizes = pieces.neurons(np.array([piece]), v.value[None])
            np.testing.assert_allclose(sizes, pieces.gauge.value(v.value), rtol=1e-6)
            values, _ = features.forward(weights)
            np.testing.assert_allclose(values[:, 0, 0] * sizes, pieces.maps[piece] @ v.value, atol=1e-5)
            best = max(best, abs(float(residual @ values[:, 0, 0])))
    assert best <= price * (1.0 + 1e-9)
    assert price <= best * (1.0 + 1e-4)
    values, _ = features.forward(features.random(2000, rng))
    assert np.abs(residual @ values[:, 0]).max() <= price


# -- the class ---------------------------------------------------------------------------------------


@each_kind
def test_configurations_and_files_come_back(architecture: Any, tmp_path: Path) -> None:
    assert from_config(architecture.config()) == architecture
    assert eval(repr(architecture), {"CircularCNN": zg.CircularCNN}) == architecture
    X, y = data("squared", (4, 5))
    network = train_by_gradient(architecture, X, y, beta=0.1, width=3, iterations=5)
    network.save(tmp_path / "network.safetensors")
    loaded = zg.Network.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(loaded(X), network(X))
    pruned = network.prune(X)
    np.testing.assert_allclose(pruned(X), network(X), atol=1e-10)
    assert pruned.objective(X, y, beta=0.1) <= network.objective(X, y, beta=0.1) * (1.0 + 1e-12)
    empty = network.prune(np.zeros((1, 5))) if architecture.bias is False else None
    assert empty is None or (empty.width == 0 and not empty(X).any())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 1}, "depth: got 1"),
        ({"depth": 2.0}, "depth: got 2.0"),
        ({"kernel_size": 0}, "kernel_size: got 0"),
        ({"normalisation": "none"}, "normalisation: got 'none'"),
        ({"depth": 2, "normalisation": "frobenius"}, "both layers"),
        ({"depth": 4, "normalisation": "filter"}, "one by one"),
        ({"bias": "no"}, "bias: got 'no'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(zg.InputError, match=words):
        zg.CircularCNN(**options)


def test_inputs_that_make_no_sense() -> None:
    plain, short = zg.CircularCNN(bias=False), zg.CircularCNN(bias=False, kernel_size=2)
    with pytest.raises(zg.InputError, match=r"shape \(n, d\)"):
        plain.rows(np.ones((2, 3, 3)))
    with pytest.raises(zg.InputError, match="at most 1"):
        short.rows(np.ones((2, 1)))
    with pytest.raises(zg.InputError, match="only a relaxation"):
        train(short, X5, Y5, 5)
    with pytest.raises(zg.InputError, match="no program over cells"):
        train(zg.CircularCNN(depth=2), X5, Y5)
    first, second = np.ones((2, 4)), np.ones(2)
    for filters, words in [
        (None, "none"),
        (np.ones((2, 1, 3)), r"shape \(2, 1, 3\)"),
        (np.ones((2, 2)), r"shape \(2, 2\)"),
        (np.ones((1, 1, 2)), r"shape \(1, 1, 2\)"),
        (np.zeros((2, 1, 2)), "a filter of zeros"),
        (np.full((2, 1, 2), np.nan), "nan"),
    ]:
        with pytest.raises(zg.InputError, match=words):
            zg.Network(short, first, second, filters=filters)
    with pytest.raises(zg.InputError, match="inner and 1 output"):
        zg.Network(plain, first, second, filters=np.ones((2, 1, 3)))(np.ones((2, 4)))


def test_spectra_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for architecture in (zg.CircularCNN(), zg.CircularCNN(depth=2)):
        network = train_by_gradient(architecture, X5, Y5, beta=0.1, width=3, iterations=20)
        spectra_picture(network, tmp_path / "spectra.png")
        assert (tmp_path / "spectra.png").stat().st_size > 1000
    with pytest.raises(zg.InputError, match="CircularCNN"):
        spectra_picture(zg.Network(zg.MLP(bias=False), [[1.0]], [1.0]), tmp_path / "other.png")
