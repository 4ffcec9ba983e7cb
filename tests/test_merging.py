"""Neurons next to each other become one: never at a larger penalty, and training leaves no twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zerogap as zg
from zerogap.training.merging import leaders, merged

ARCHITECTURES = [zg.MLP(), zg.MLP(bias="free"), zg.CNN(2), zg.CNN(2, pooling="none")]


def crowded(architecture: zg.MLP | zg.CNN, outputs: int | None, seed: int, apart: float) -> zg.Network:
    """Three neurons of any output weights, each followed by two at this distance, of other sizes."""
    rng = np.random.default_rng(seed)
    slots = (4,) if architecture.slotted else ()
    inner = rng.standard_normal((3, 3))
    inner /= np.linalg.norm(inner[:, :2], axis=1, keepdims=True)
    second = rng.standard_normal((3, *slots, *((outputs,) if outputs else ())))
    of = np.tile(np.arange(3), 3)
    nearby = inner[of] + apart * rng.uniform(-0.1, 0.1, (9, inner.shape[1]))
    sizes = rng.uniform(0.5, 2.0, 9)
    return zg.Network(architecture, nearby * sizes[:, None], second[of])


@pytest.mark.parametrize("outputs", [None, 1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
@given(seed=st.integers(0, 10**6), apart=st.sampled_from([0.0, 1e-6, 1e-3]))
def test_a_crowd_becomes_one_neuron_for_no_more_and_with_the_same_outputs(architecture, outputs, seed, apart):
    network = crowded(architecture, outputs, seed, apart)
    few = merged(network, 10.0 * apart + 1e-7)
    assert few.width <= 3
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 5 if isinstance(architecture, zg.CNN) else 2))
    rows = architecture.rows(X)
    assert few.penalty(rows, np.ones(20))[0] <= network.balanced().penalty(rows, np.ones(20))[0] * (1.0 + 1e-12)
    scale = np.abs(network.effects(rows)).sum()
    assert np.abs(few(X) - network(X)).max() <= (100.0 * apart + 1e-12) * scale


def test_neurons_that_cancel_and_neurons_without_decayed_weights_stay() -> None:
    signs = zg.Network(zg.MLP(), [[1.0, 0.5], [1.0, 0.5]], [1.0, -1.0])
    assert merged(signs, 0.1).width == 2
    constants = zg.Network(zg.MLP(bias="free"), [[1e-14, 1.0], [2e-14, 1.0], [1.0, 1.0]], [1.0, 1.0, 1.0])
    assert merged(constants, 0.1).width == constants.balanced().width


def test_every_point_follows_a_leader_that_is_near() -> None:
    points = np.random.default_rng(0).uniform(size=(200, 2))
    leader = leaders(points, 0.1)
    assert np.all(leader[leader] == leader)
    assert np.linalg.norm(points - points[leader], axis=1).max() < 0.1
    chosen = points[np.unique(leader)]
    apart = np.linalg.norm(chosen[:, None] - chosen, axis=2)[np.triu_indices(len(chosen), 1)]
    assert apart.min() >= 0.1 - 1e-9


def test_training_leaves_no_twins_beside_a_sample() -> None:
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(-3.0, 3.0, 40))
    y = np.sin(2.0 * x) + 0.3 * x + 0.2 * rng.standard_normal(40)
    result = zg.train(zg.MLP(intercept=True), x[:, None], y, beta=0.1, tol=1e-6, prove=30.0)
    assert result.certificate.proved
    assert result.certificate.gap <= 1e-6
    first = result.network.first
    for side in (1.0, -1.0):
        looking = first[side * first[:, 0] > 0.0]
        assert np.diff(np.sort(-looking[:, 1] / looking[:, 0])).min() > 1e-5
