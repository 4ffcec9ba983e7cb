"""Training over listed pieces: max pooling and leaky slopes, against programs of their own and against gradients."""

from __future__ import annotations

import signal
from fractions import Fraction
from functools import cache
from importlib import import_module
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zerogap as zg
from reference import TOLERANCES, list_cells, patches
from test_golden import X5, Y5
from zerogap.certificates.certificate import Certificate
from zerogap.certificates.piece_pricing import best_price
from zerogap.features.pooled_pieces import _on_grid
from zerogap.gauges import GroupGauge
from zerogap.pieces import PieceProgram
from zerogap.question import Question
from zerogap.scope import chooser
from zerogap.solvers.conic_prices import conic_multipliers
from zerogap.solvers.interrupts import Interrupt
from zerogap.training.baselines import train_by_gradient
from zerogap.training.history import Iteration
from zerogap.training.piece_recovery import inside
from zerogap.training.pieces import train_by_pieces

# Untyped, and partly created at run time.
cp = import_module("cvxpy")

Array = NDArray[np.float64]
LOSSES = ("squared", "logistic", "hinge")
BIASES = (True, False, "free")
G4 = zg.CNN(2, bias=False, pooling="max")


def train(
    architecture: Any, X: Array, y: Array, arrangements: Any = "enumerate", *, loss: str = "squared", **options: Any
) -> tuple[zg.Network, Certificate, list[Iteration], zg.Status]:
    options = {"beta": 0.1, "tol": 1e-8, "limit": np.inf, "callback": None, "sample_weight": None, **options}
    question = Question.of(architecture, X, y, loss=loss, beta=options["beta"], sample_weight=options["sample_weight"])
    return train_by_pieces(
        question,
        arrangements,
        tol=options["tol"],
        limit=options["limit"],
        rng=np.random.default_rng(0),
        callback=options["callback"],
    )


def data(loss: str, shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng([*shape, seed])
    X, n = rng.standard_normal(shape), shape[0]
    return X, rng.standard_normal(n) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], n))


@cache
def cells_of(rows: bytes, dimension: int) -> NDArray[np.int64]:
    """The cells, listed once for all losses."""
    return list_cells(np.frombuffer(rows).reshape(-1, dimension))


def windows_of(architecture: Any, positions: int) -> list[list[int]]:
    """The windows of a series, written out."""
    size = getattr(architecture, "window", None)
    if size is None:
        return [list(range(positions))]
    return [list(range(q * size, (q + 1) * size)) for q in range(positions // size)]


def program_value(architecture: Any, X: Array, y: Array, *, loss: str, beta: float = 0.1) -> float:
    """The optimum over all pieces, from the formulas of the papers, by CVXPY."""
    M = patches(X, architecture)
    n, K, p = M.shape
    windows, slope = windows_of(architecture, K), architecture.slope
    pooling = getattr(architecture, "pooling", "sum")
    rows = [M[s, k] for s in range(n) for k in range(K)]
    pairs = [(s, *pair) for s in range(n) for w in windows for pair in combinations(w, 2)] if pooling == "max" else []
    signs = cells_of(np.array(rows + [M[s, k] - M[s, other] for s, k, other in pairs]).tobytes(), p)
    pieces: dict[Any, tuple[Array, list[Array]]] = {}
    for cell in signs:
        active = cell[: n * K].reshape(n, K) > 0
        T, cone, key = np.zeros((n, p)), [], []
        if pooling != "max":
            scale = 1.0 / len(windows[0]) if pooling == "average" else 1.0
            for s, w in product(range(n), windows):
                for k in w:
                    T[s] += scale * (1.0 if active[s, k] else slope) * M[s, k]
                    cone.append(M[s, k] if active[s, k] else -M[s, k])
            pieces[tuple(cell)] = T, cone
            continue
        ahead = dict(zip(pairs, cell[n * K :] >= 0, strict=True))
        ahead |= {(s, other, k): not sign for (s, k, other), sign in ahead.items()}
        for s, w in product(range(n), windows):
            best = next(k for k in w if all(ahead[s, k, other] for other in w if other != k))
            if slope == 0.0 and not active[s, w].any():
                key.append(None)
                cone += [-M[s, k] for k in w]
                continue
            key.append((best, active[s, best]))
            T[s] += (1.0 if active[s, best] else slope) * M[s, best]
            cone += [M[s, best] - M[s, k] for k in w if k != best]
            cone.append(M[s, best] if active[s, best] else -M[s, best])
        pieces[tuple(key)] = T, cone
    kept = range(p - 1 if architecture.bias == "free" else p)
    f = cp.Variable() * np.ones(n) if architecture.bias == "free" else np.zeros(n)
    penalty, constraints = 0.0, []
    for sign, (T, cone) in product((1.0, -1.0), pieces.values()):
        v = cp.Variable(p)
        f = f + sign * T @ v
        penalty += beta * cp.norm(v[kept])
        constraints.append(np.array(cone) @ v >= 0.0)
        if architecture.bias == "free":
            # The optimal set is unbounded along opposite free biases, which the solver does not like.
            constraints.append(cp.abs(v[-1]) <= 100.0)
    terms = {
        "squared": lambda: 0.5 * cp.sum_squares(f - y),
        "logistic": lambda: cp.sum(cp.logistic(cp.multiply(-y, f))),
        "hinge": lambda: cp.sum(cp.pos(1.0 - cp.multiply(y, f))),
    }
    return float(cp.Problem(cp.Minimize(terms[loss]() + penalty), constraints).solve(solver="CLARABEL", **TOLERANCES))


def test_golden_value_of_max_pooling() -> None:
    network, certificate, _, status = train(G4, X5, Y5)
    assert abs(certificate.objective - 0.3116029) <= 1e-7
    assert certificate.gap <= 1e-8
    assert (certificate.scope, certificate.proof, certificate.cells) == ("global", "enumeration", 18)
    assert status is zg.Status.OPTIMAL
    assert abs(network.objective(X5, Y5, beta=0.1) - certificate.objective) <= 1e-12


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "sum"])
def test_without_slope_it_is_the_program_over_shared_walls(kind: str, loss: str, bias: Any) -> None:
    X, y = data(loss, (5, 2) if kind == "mlp" else (4, 3))
    architecture = zg.MLP(bias=bias) if kind == "mlp" else zg.CNN(2, bias=bias)
    certificate = train(architecture, X, y, loss=loss)[1]
    other = zg.train(architecture, X, y, loss=loss, beta=0.1, arrangements="enumerate", tol=1e-8).certificate
    assert abs(certificate.objective - other.objective) <= 1e-7 * other.objective
    assert certificate.gap <= 1e-8
    assert (certificate.scope, certificate.cells) == ("global", other.cells)


CASES = [
    *[(zg.CNN(2, bias=bias, pooling="max"), (3, 4)) for bias in BIASES],
    *[(zg.CNN(2, bias=bias, pooling="max", slope=0.25), (3, 3)) for bias in BIASES],
    (zg.CNN(2, bias=False, pooling="max", window=2, readout="sum"), (4, 5)),
    (zg.CNN(2, bias=True, pooling="max", window=2, readout="sum", slope=0.1), (2, 5)),
    *[(zg.MLP(bias=bias, slope=0.3), (5, 2)) for bias in BIASES],
    (zg.CNN(2, bias=True, pooling="average", slope=0.3), (4, 3)),
    (zg.CNN(2, bias=False, window=2, readout="sum"), (4, 5)),
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("architecture", "shape"), CASES, ids=repr)
def test_agrees_with_a_program_written_from_the_formulas(architecture: Any, shape: tuple[int, ...], loss: str) -> None:
    X, y = data(loss, shape)
    network, certificate, _, _ = train(architecture, X, y, loss=loss)
    expected = program_value(architecture, X, y, loss=loss)
    assert abs(certificate.objective - expected) <= 2e-7 * max(expected, 1.0)
    assert certificate.gap <= 1e-8
    assert (certificate.scope, certificate.proof) == ("global", "enumeration")
    # The network is what its certificate says, by its own objective.
    assert abs(network.objective(X, y, loss=loss, beta=0.1) - certificate.objective) <= 1e-10
    assert network.width <= len(y)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_gradients_never_beat_the_bound_and_reach_it(slope: float, seed: int) -> None:
    X, y = data("squared", (5, 4), seed)
    architecture = zg.CNN(2, bias=False, pooling="max", slope=slope)
    certificate = train(architecture, X, y)[1]
    # The best neurons lie on kinks, where L-BFGS gets stuck and small steps do not.
    options: dict[str, Any] = {"beta": 0.1, "width": 60, "iterations": 3000, "method": "adam", "rate": 0.03}
    networks = [train_by_gradient(architecture, X, y, random_state=k, **options) for k in range(2)]
    networks += [train_by_gradient(architecture, X, y, beta=0.1, width=15, random_state=k) for k in range(5)]
    runs = [network.objective(X, y, beta=0.1) for network in networks]
    assert min(runs) >= certificate.lower_bound
    assert min(runs) <= certificate.objective * (1.0 + 1e-4)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_positions_may_be_permuted(pooling: str) -> None:
    X, y = data("squared", (3, 3, 2))
    rng = np.random.default_rng(1)
    shuffled = np.stack([sample[rng.permutation(3)] for sample in X])
    architecture = zg.CNN((1,), bias=False, pooling=pooling, slope=0.2)
    one, other = train(architecture, X, y)[1], train(architecture, shuffled, y)[1]
    assert abs(one.objective - other.objective) <= 1e-8


def test_average_pooling_is_sum_pooling_with_another_beta() -> None:
    X, y = data("squared", (4, 4))
    average = train(zg.CNN(2, pooling="average", slope=0.2), X, y, beta=0.1)[1]
    summed = train(zg.CNN(2, pooling="sum", slope=0.2), X, y, beta=0.3)[1]
    assert abs(average.objective - summed.objective) <= 1e-8


def test_a_weight_of_two_is_a_second_sample() -> None:
    X, y = data("logistic", (3, 4))
    doubled = train(G4, np.concatenate([X, X[:1]]), np.append(y, y[0]), loss="logistic")[1]
    weighted = train(G4, X, y, loss="logistic", sample_weight=[2.0, 1.0, 1.0])[1]
    assert abs(doubled.objective - weighted.objective) <= 1e-8


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", BIASES)
def test_sampled_cells_bound_their_own_networks(bias: Any, loss: str) -> None:
    X, y = data(loss, (3, 4))
    architecture = zg.CNN(2, bias=bias, pooling="max", slope=0.1)
    whole, part = train(architecture, X, y, loss=loss)[1], train(architecture, X, y, 8, loss=loss)[1]
    assert (part.scope, part.proof) == ("sampled", "enumeration")
    assert part.cells <= 8
    assert part.gap <= 1e-8
    assert part.objective >= whole.lower_bound


def test_decimals_and_equal_patches_do_not_break_the_count() -> None:
    rng = np.random.default_rng(0)
    for X in (np.round(rng.standard_normal((4, 5)), 1), rng.integers(0, 4, (4, 5)) / 3.0, np.ones((2, 4))):
        y = rng.standard_normal(len(X))
        for architecture in (G4, zg.CNN(3, bias=False, pooling="max")):
            certificate = train(architecture, X, y)[1]
            assert (certificate.scope, certificate.proof) == ("global", "enumeration")
            assert certificate.gap <= 1e-6


# -- prices ------------------------------------------------------------------------------------------


def program_of(architecture: Any, X: Array, y: Array) -> PieceProgram:
    question = Question.of(architecture, X, y, loss="squared", beta=1e-6)
    pieces = architecture.pieces(question.rows, chooser("enumerate", np.random.default_rng(0)))
    return PieceProgram(pieces, question.loss, question.beta, architecture.offset)


@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("pooling", ["sum", "max"])
def test_the_price_is_the_best_direction_and_never_below_it(pooling: str, slope: float) -> None:
    X, y = data("squared", (5, 4))
    architecture = zg.CNN(2, bias=False, pooling=pooling, slope=slope)
    features, residual = architecture.features(architecture.rows(X)), np.random.default_rng(0).standard_normal(5)
    low, high = 0.0, 2.0 * np.pi
    for _ in range(3):
        angles = np.linspace(low, high, 20_000)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        effects = np.abs(residual @ features.forward(circle)[0][:, 0])
        low, high = angles[effects.argmax()] + np.array([-1.0, 1.0]) * (angles[1] - angles[0])
    price = best_price(program_of(architecture, X, y), residual, None, refine=True)
    assert price <= effects.max() * (1.0 + 1e-8)
    # Exactly, with rational numbers: (r . phi(u))^2 <= price^2 ||u||^2.
    for u in circle[np.argsort(-effects)[:20]]:
        exact = [
            [sum(Fraction(a) * Fraction(b) for a, b in zip(row, u, strict=True)) for row in s]
            for s in patches(X, architecture)
        ]
        act = [[max(t, Fraction(slope) * t) for t in s] for s in exact]
        total = sum(Fraction(r) * (max(s) if pooling == "max" else sum(s)) for r, s in zip(residual, act, strict=True))
        assert total**2 <= Fraction(price) ** 2 * sum(Fraction(entry) ** 2 for entry in u)


@pytest.mark.parametrize("architecture", [case[0] for case in CASES], ids=repr)
def test_no_neuron_has_a_larger_price(architecture: Any) -> None:
    shape = next(shape for case, shape in CASES if case is architecture)
    X, y = data("squared", shape)
    rng = np.random.default_rng(1)
    residual = rng.choice([-1.5, -0.5, 0.75, 1.25], shape[0])
    if architecture.bias == "free":
        residual[-1] = -residual[:-1].sum()
    features = architecture.features(architecture.rows(X))
    neurons = features.random(3000, rng)
    if architecture.bias == "free":
        neurons[1000:, -1] *= rng.uniform(0.0, 30.0, 2000)
    values, _ = features.forward(neurons)
    best = np.abs(residual @ values[:, 0]).max()
    program = program_of(architecture, X, y)
    refined = best_price(program, residual, None, refine=True)
    assert best <= refined * (1.0 + 1e-13)
    assert refined <= best * 1.2
    # Multipliers from anywhere: a bound, if a weak one.
    wild = [[rng.standard_normal(cone.shape[0]) for cone in program.pieces.cones] for _ in range(2)]
    assert best_price(program, residual, wild, refine=False) >= refined * (1.0 - 1e-6)


def test_the_conic_program_of_a_price_agrees_with_least_squares() -> None:
    rng = np.random.default_rng(0)
    for free in (False, True):
        penalised = np.array([True, True, not free])
        gauge = GroupGauge.euclidean(penalised, 2.0)
        cone, gradient = rng.standard_normal((4, 3)), rng.standard_normal(3)
        found = gauge.polar_above(gradient + cone.T @ conic_multipliers(gauge, cone, gradient), np.zeros(3))
        v = cp.Variable(3)
        bounds = [cone @ v >= 0.0, cp.norm(v[:2] if free else v) <= 1.0, cp.abs(v[2]) <= 2.0]
        expected = cp.Problem(cp.Maximize(gradient @ v), bounds).solve(solver="CLARABEL")
        assert abs(found - expected) <= 1e-6


def test_the_distance_from_the_grid_is_an_upper_bound() -> None:
    rng = np.random.default_rng(0)
    for scale, digits in product((1e-30, 1.0, 7e5), (12, 9)):
        matrix = rng.standard_normal((5, 3)) * np.array([scale, 1.0, 0.0])
        integers, units, distance = _on_grid(matrix, digits)
        assert np.abs(integers).max() <= 10.0 ** (digits + 1)
        for (i, j), value in np.ndenumerate(matrix):
            assert abs(Fraction(value) - Fraction(integers[i, j]) / Fraction(units[j])) <= Fraction(distance[i, j])


# -- networks ----------------------------------------------------------------------------------------


def test_inside_moves_no_further_than_needed() -> None:
    cone = np.array([[1.0, 0.0], [0.0, 10.0]])
    blocks = np.array([[2.0, 3.0], [1.0, -1e-9], [-5.0, -5.0]])
    moved = inside(cone, blocks)
    np.testing.assert_array_equal(moved[0], blocks[0])
    assert 0.0 < moved[1, 1] <= 1e-12
    assert np.abs(moved[1] - blocks[1]).max() <= 2e-8
    np.testing.assert_array_equal(moved[2], [0.0, 0.0])
    flat = np.array([[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(inside(flat, blocks), blocks)


@pytest.mark.parametrize("beta", [10.0, 100.0])
def test_a_large_beta_leaves_no_neurons(beta: float) -> None:
    network, certificate, _, status = train(G4, X5, Y5, beta=beta)
    assert network.width == 0
    assert certificate.gap <= 1e-8
    assert status is zg.Status.OPTIMAL


def test_nothing_to_fit() -> None:
    network, certificate, _, status = train(G4, X5, np.zeros(5))
    assert (network.width, certificate.gap, status) == (0, 0.0, zg.Status.OPTIMAL)


def test_without_time_there_is_the_empty_network() -> None:
    network, certificate, history, status = train(G4, X5, Y5, limit=1e-9)
    assert (network.width, history, status) == (0, [], zg.Status.TIME_LIMIT)
    assert 0.0 <= certificate.lower_bound <= 0.3116029 <= certificate.objective


def test_a_callback_stops_the_run_and_an_interrupt_keeps_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network, certificate, history, status = train(G4, X5, Y5, tol=1e-15, callback=lambda record: True)
    assert (len(history), status) == (1, zg.Status.STOPPED)
    assert history[0].objective == certificate.objective
    assert history[0].width == network.width > 0

    def interrupt(record: Iteration) -> bool:
        raise KeyboardInterrupt

    network, certificate, _, status = train(G4, X5, Y5, callback=interrupt)
    assert status is zg.Status.INTERRUPTED
    assert network.width > 0
    assert certificate.gap <= 1e-8

    class Impatient(Interrupt):
        """Ctrl-C at the tenth iteration of the solver."""

        calls = 0

        def asked(self, *_: Any) -> bool:
            self.calls += 1
            if self.calls == 10:
                signal.raise_signal(signal.SIGINT)
            return super().asked()

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("zerogap.solvers.interrupts.Interrupt", Impatient)
    network, certificate, _, status = train(G4, X5, Y5)
    assert status is zg.Status.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is handler
    assert network.width > 0
    assert 0.0 < certificate.lower_bound <= 0.3116029 + 1e-7

    def killed(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zerogap.training.pieces.solve_pieces", killed)
    network, certificate, _, status = train(G4, X5, Y5)
    assert (network.width, status) == (0, zg.Status.INTERRUPTED)
    assert certificate.lower_bound <= 0.3116029


def test_a_solver_that_lies_weakens_the_bound_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("zerogap.training.pieces")
    honest = module.solve_pieces

    def lying(*args: Any, **options: Any) -> Any:
        solution = honest(*args, **options)
        rng = np.random.default_rng(0)
        for array in (solution.blocks, solution.dual, solution.residual):
            array[...] = rng.standard_normal(array.shape)
        return solution

    monkeypatch.setattr(module, "solve_pieces", lying)
    certificate = train(G4, X5, Y5)[1]
    assert certificate.lower_bound <= 0.3116029 + 1e-7
    assert certificate.objective >= 0.3116029 - 1e-7
    assert certificate.gap > 1e-3


@pytest.mark.parametrize(
    ("architecture", "arrangements", "words"),
    [
        (zg.CNN(2, pooling="max", window=2), "enumerate", "output weights"),
        (zg.CNN(2, pooling="none"), 5, "output weights"),
        (zg.CNN(2, gated=True), 5, "gated"),
        (G4, True, "a positive number of cells"),
        (G4, 0, "a positive number of cells"),
        (G4, "some", "a positive number of cells"),
        (G4, np.ones((2, 2)), "a positive number of cells"),
    ],
)
def test_what_has_no_pieces_says_so(architecture: Any, arrangements: Any, words: str) -> None:
    with pytest.raises(zg.InputError, match=words):
        train(architecture, np.ones((2, 5)) + np.eye(2, 5), np.array([1.0, -1.0]), arrangements)
