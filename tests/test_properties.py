"""Laws of optimal training: certificates, recovery, invariances and orderings (property list of the papers)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from instances import GATED, INSTANCES, LOSSES, RELU, Instance, make, solved
from zerogap.architectures import MLP
from zerogap.arrangements import enumerate_cells
from zerogap.network import Network
from zerogap.question import Question
from zerogap.solvers import make_solver
from zerogap.training.baselines import train_by_gradient

EXACT = [name for name in INSTANCES if INSTANCES[name].gates is None]
Shape = tuple[str, str, Any]
SHAPES: list[Shape] = [("mlp", "squared", True), ("series", "logistic", False), ("dilated", "hinge", "free")]


def optimum(instance: Instance, **options: Any) -> float:
    """The certified objective, with a bound that is as good."""
    certificate = instance.train(**options).certificate
    assert certificate.gap <= 1e-8
    return certificate.objective


def close(a: float, b: float) -> bool:
    return abs(a - b) <= 3e-8 * max(abs(a), abs(b))


def wide_networks(instance: Instance, count: int, seed: int) -> list[Network]:
    """Random networks of the instance's architecture."""
    rng = np.random.default_rng(seed)
    p = instance.architecture.rows(instance.X).dimension
    networks = []
    for k in range(count):
        m = 1 + 7 * k
        first, second = rng.standard_normal((m, p)), rng.standard_normal(m) / (3.0 * m)
        offset = rng.standard_normal() if instance.architecture.offset else 0.0
        networks.append(Network(instance.architecture, first, second, offset=offset))
    return networks


# -- certificates and recovery -------------------------------------------------------------------------


@pytest.mark.parametrize("name", INSTANCES)
def test_the_gap_is_closed(name: str) -> None:
    certificate = solved(name).certificate
    assert 0.0 <= certificate.lower_bound <= certificate.objective
    assert certificate.gap <= 1e-8
    assert certificate.proof == "enumeration"


@pytest.mark.parametrize("name", EXACT)
def test_the_recovered_network_reproduces_the_program(name: str) -> None:
    instance = INSTANCES[name]
    question = Question.of(instance.architecture, instance.X, instance.y, **instance.question())
    program = question.program(enumerate_cells(question.walls, question.rows.flat))
    iterate = list(make_solver("interior_point", program, tol=1e-9, max_time=60.0))[-1]
    neurons = instance.architecture.neurons(program, iterate.blocks, iterate.offset)
    network = Network.of(instance.architecture, neurons)
    np.testing.assert_allclose(network(instance.X), program.matmul(iterate.blocks, iterate.offset), rtol=0, atol=1e-7)
    assert program.primal(iterate.blocks, iterate.offset) == pytest.approx(iterate.primal, rel=1e-9)
    assert network.objective_of(question) == pytest.approx(iterate.primal, rel=1e-6)


@pytest.mark.parametrize("name", INSTANCES)
def test_neurons_are_balanced(name: str) -> None:
    network = solved(name).network
    penalised = network.architecture.gauge(network.first.shape[1]).penalised
    sizes = np.linalg.norm(network.first[:, penalised], axis=1)
    np.testing.assert_allclose(sizes, np.abs(network.second), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", INSTANCES)
def test_certify_confirms_what_train_found(name: str) -> None:
    instance, result = INSTANCES[name], solved(name)
    arrangements = "enumerate" if instance.gates is None else instance.gates
    again = zg.certify(result.network, instance.X, instance.y, arrangements=arrangements, **instance.question())
    assert again.objective == result.certificate.objective
    assert again.scope == result.certificate.scope
    assert abs(again.lower_bound - result.certificate.lower_bound) <= 1e-8 * again.objective


# -- order: bound <= gated <= exact <= any network -------------------------------------------------------


def gradient_runs(instance: Instance, iterations: int) -> list[float]:
    """Objectives of 20 runs of L-BFGS from random starts, at four widths."""
    found = []
    for seed in range(20):
        width = (2, 10, 50, 100)[seed % 4]
        network = train_by_gradient(
            instance.architecture,
            instance.X,
            instance.y,
            width=width,
            random_state=seed,
            iterations=iterations,
            **instance.question(),
        )
        found.append(network.objective(instance.X, instance.y, **instance.question()))
    return found


@pytest.mark.parametrize("name", ["average-logistic-bias=True", "mlp-squared-bias=False", "series-logistic-bias=False"])
def test_wide_gradient_runs_reach_the_bound_and_never_beat_it(name: str) -> None:
    certificate = solved(name).certificate
    found = gradient_runs(INSTANCES[name], 500)
    assert certificate.lower_bound <= min(found) <= certificate.objective * (1.0 + 1e-3)


@pytest.mark.parametrize("name", ["average-squared-bias=free", "padded-logistic-bias=free", "mlp-hinge-bias=True"])
def test_gradient_runs_on_hard_problems_never_beat_the_bound(name: str) -> None:
    # Kinks and biases that run off to infinity keep L-BFGS above the optimum, but not above it by much.
    certificate = solved(name).certificate
    found = gradient_runs(INSTANCES[name], 200)
    assert certificate.lower_bound <= min(found) <= certificate.objective * 1.3


@pytest.mark.parametrize("name", RELU)
def test_no_random_network_beats_the_bound(name: str) -> None:
    instance, certificate = INSTANCES[name], solved(name).certificate
    for network in wide_networks(instance, 6, seed=3):
        assert network.objective(instance.X, instance.y, **instance.question()) >= certificate.lower_bound


@pytest.mark.parametrize(
    ("shape", "loss", "bias"), [("mlp", "squared", True), *SHAPES[1:2], ("signals", "hinge", False)]
)
def test_gates_only_lower_the_optimum(shape: str, loss: str, bias: Any) -> None:
    exact = make(shape, loss, bias).train().certificate
    gated = make(shape, loss, bias, gated=True).train().certificate
    assert gated.cells == exact.cells
    assert gated.lower_bound <= gated.objective <= exact.objective * (1.0 + 1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_cone_penalty_leads_from_gated_to_exact(loss: str) -> None:
    values = [optimum(make("average", loss, True, gated=True, cone_penalty=rho)) for rho in (0.0, 1e-3, 3e-2, 1e2)]
    assert all(a <= b * (1.0 + 1e-8) for a, b in itertools.pairwise(values))
    assert close(values[-1], optimum(make("average", loss, True)))


# -- critical beta ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EXACT if "penalised" not in name])
def test_above_the_critical_beta_nothing_is_worth_a_neuron(name: str) -> None:
    instance = INSTANCES[name]
    critical = zg.critical_beta(
        instance.architecture, instance.X, instance.y, loss=instance.loss, sample_weight=instance.weights
    )
    question = Question.of(instance.architecture, instance.X, instance.y, **instance.question())
    without = question.loss.value(np.full(question.rows.samples, question.constant))
    above = instance.but(beta=1.001 * critical).train(tol=1e-6)
    assert above.network.width == 0
    assert above.certificate.gap <= 1e-6
    assert above.certificate.objective == pytest.approx(without, rel=1e-12)
    if instance.loss == "hinge" and instance.architecture.offset:
        return  # an upper bound only
    below = instance.but(beta=0.99 * critical).train(tol=1e-6)
    assert below.network.width > 0
    assert below.certificate.objective < without


# -- invariances -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", [True, False, "free"])
def test_sum_pooling_with_more_beta_is_average_pooling(loss: str, bias: Any) -> None:
    average = make("average", loss, bias)
    positions = average.architecture.rows(average.X).matrix.shape[1]
    pooled = zg.CNN(2, stride=2, bias=bias, pooling="sum")
    assert close(optimum(average), optimum(average.but(architecture=pooled, beta=positions * average.beta)))


@pytest.mark.parametrize(("loss", "bias"), [("squared", True), ("logistic", False), ("hinge", "free")])
@pytest.mark.parametrize("gated", [False, True])
def test_the_order_of_patches_does_not_matter(loss: str, bias: Any, gated: bool) -> None:
    if gated and bias == "free":
        bias = True
    rng = np.random.default_rng(0)
    blocks = rng.standard_normal((4, 3, 2))
    moved = np.stack([sample[rng.permutation(3)] for sample in blocks])
    instance = make("series", loss, bias, gated=gated).but(architecture=zg.CNN(2, stride=2, bias=bias, gated=gated))
    assert close(optimum(instance.but(X=blocks.reshape(4, 6))), optimum(instance.but(X=moved.reshape(4, 6))))


@pytest.mark.parametrize(("shape", "loss", "bias"), SHAPES)
def test_the_order_of_samples_does_not_matter(shape: str, loss: str, bias: Any) -> None:
    instance = make(shape, loss, bias, weighted=True)
    order = np.random.default_rng(1).permutation(len(instance.y))
    assert instance.weights is not None
    moved = instance.but(X=instance.X[order], y=instance.y[order], weights=instance.weights[order])
    assert close(optimum(instance), optimum(moved))


@pytest.mark.parametrize(("shape", "loss", "bias"), [*SHAPES, ("mlp", "logistic", "free"), ("mlp", "hinge", False)])
@pytest.mark.parametrize("gated", [False, True])
def test_weights_are_repetitions(shape: str, loss: str, bias: Any, gated: bool) -> None:
    if gated and bias == "free":
        bias = True
    instance = make(shape, loss, bias, gated=gated)
    counts = np.resize([2, 1, 0, 1, 1, 3], len(instance.y))
    repeated = instance.but(X=np.repeat(instance.X, counts, axis=0), y=np.repeat(instance.y, counts))
    weighted = instance.train(sample_weight=counts.astype(float))
    assert close(weighted.certificate.objective, optimum(repeated))
    assert weighted.certificate.gap <= 1e-8
    absent = instance.but(X=instance.X[counts > 0], y=instance.y[counts > 0], weights=counts[counts > 0])
    assert close(weighted.certificate.objective, optimum(absent))
    assert weighted.certificate.samples == int(np.sum(counts > 0))


@pytest.mark.parametrize("factor", [0.03, 0.7, 30.0])
@pytest.mark.parametrize(("shape", "loss"), [("mlp", "squared"), ("series", "logistic"), ("dilated", "hinge")])
def test_scaling_inputs_is_dividing_beta(shape: str, loss: str, factor: float) -> None:
    instance = make(shape, loss, False)
    scaled = instance.but(X=factor * instance.X)
    divided = instance.but(beta=instance.beta / factor)
    assert close(optimum(scaled), optimum(divided))


@pytest.mark.parametrize("factor", [-1.0, 1e-4, 3.0, 1e4])
@pytest.mark.parametrize("bias", [True, False, "free"])
def test_scaling_targets_scales_the_squared_optimum(factor: float, bias: Any) -> None:
    instance = make("mlp", "squared", bias)
    scaled = instance.but(y=factor * instance.y, beta=abs(factor) * instance.beta)
    assert close(optimum(scaled), factor**2 * optimum(instance))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", [True, False, "free"])
@pytest.mark.parametrize("gated", [False, True])
def test_a_zero_feature_changes_nothing(loss: str, bias: Any, gated: bool) -> None:
    if gated and bias == "free":
        bias = True
    instance = make("mlp", loss, bias, gated=gated)
    wider = instance.but(X=np.insert(instance.X, 1, 0.0, axis=1))
    assert close(optimum(instance), optimum(wider))


def test_a_zero_channel_changes_nothing() -> None:
    instance = make("image", "squared", True)
    channels = np.stack([instance.X, np.zeros_like(instance.X)], axis=3)
    assert close(optimum(instance), optimum(instance.but(X=channels)))


def test_an_mlp_is_a_cnn_with_one_patch() -> None:
    instance = make("mlp", "squared", True)
    assert close(optimum(instance), optimum(instance.but(architecture=zg.CNN(2))))


# -- networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in INSTANCES if "penalised" not in name])
def test_pruning_keeps_predictions_and_the_objective(name: str) -> None:
    instance = INSTANCES[name]
    n, p = len(instance.y), instance.architecture.rows(instance.X).dimension
    rng = np.random.default_rng(11)
    gates = rng.standard_normal((40, p)) if instance.architecture.gated else None
    wide = Network(instance.architecture, rng.standard_normal((40, p)), rng.standard_normal(40), gates=gates)
    for network in (wide, solved(name).network):
        pruned = network.prune(instance.X)
        assert pruned.width <= min(n + 1, network.width)
        scale = np.abs(network.effects(instance.architecture.rows(instance.X))).sum(axis=1)
        np.testing.assert_allclose(pruned(instance.X), network(instance.X), rtol=0, atol=1e-12 * scale.max())
        before, after = (m.objective(instance.X, instance.y, **instance.question()) for m in (network, pruned))
        assert after <= before * (1.0 + 1e-12)


@pytest.mark.parametrize("name", [*RELU[::5], *GATED[::3]])
def test_a_saved_network_comes_back(name: str, tmp_path: Path) -> None:
    instance, network = INSTANCES[name], solved(name).network
    network.save(tmp_path / "network.safetensors")
    again = Network.load(tmp_path / "network.safetensors")
    assert again.architecture == network.architecture
    assert np.array_equal(again(instance.X), network(instance.X))
    assert np.array_equal(again.first, network.first)
    assert np.array_equal(again.second, network.second)
    assert again.offset == network.offset
    assert (again.gates is None) == (network.gates is None)
    solved(name).certificate.save(tmp_path / "certificate.json")
    assert zg.Certificate.load(tmp_path / "certificate.json") == solved(name).certificate


@pytest.mark.parametrize("arrangements", ["enumerate", 8])
def test_a_seed_fixes_the_answer(arrangements: Any) -> None:
    instance = make("mlp", "squared", True)
    one, two = (instance.train(arrangements=arrangements, random_state=7) for _ in range(2))
    assert np.array_equal(one.network.first, two.network.first)
    assert np.array_equal(one.network.second, two.network.second)
    assert one.certificate == two.certificate
    assert [(r.objective, r.bound, r.width) for r in one.history] == [
        (r.objective, r.bound, r.width) for r in two.history
    ]


def test_more_cells_never_hurt_and_all_of_them_are_global() -> None:
    instance = make("series", "squared", True)
    few, more = (instance.train(arrangements=count, random_state=0).certificate for count in (5, 40))
    every = instance.train().certificate
    assert (few.scope, more.scope, every.scope) == ("sampled", "sampled", "global")
    assert (few.cells, more.cells) == (5, 40)
    assert every.objective <= more.objective * (1.0 + 1e-8) <= few.objective * (1.0 + 2e-8)


def test_raw_arrays_of_another_trainer_can_be_certified() -> None:
    instance = make("mlp", "squared", False)
    network = zg.Network(MLP(bias=False), [[1.0, 0.0], [0.0, -1.0]], [0.5, -0.5])
    certificate = zg.certify(network, instance.X, instance.y, beta=instance.beta)
    best = solved("mlp-squared-bias=False").certificate
    assert certificate.scope == "global"
    assert certificate.gap > 0.01
    assert best.lower_bound * (1.0 - 1e-8) <= certificate.lower_bound <= best.objective
