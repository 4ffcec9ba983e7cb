"""Every architecture through the public interface: golden values, generation against listed programs, certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zerogap as zg
from zerogap.training.baselines import train_by_gradient

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
Y5 = np.array([1.0, -0.5, 0.8, -1.2, 0.3])


def gaussian(seed: int) -> tuple[Array, Array]:
    """The data of golden values G7."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((3, 3)), rng.standard_normal(3)


MAX, NONE = zg.CNN(2, pooling="max", bias=False), zg.CNN(2, pooling="none", bias=False)
UNTIED, TIED = zg.ThreeLayerCNN(2, bias=False), zg.ThreeLayerCNN(2, tied=True, bias=False)

GOLDEN: dict[str, tuple[Any, Any, str, float, str, int]] = {
    "G4": (MAX, (X5, Y5), "enumerate", 0.3116029, "enumeration", 18),
    "G5": (NONE, (X5, Y5), "enumerate", 0.2657286, "enumeration", 28),
    "G5 gated": (
        zg.CNN(2, pooling="none", bias=False, gated=True),
        (X5, Y5),
        "enumerate",
        0.1503818,
        "enumeration",
        28,
    ),
    "G5 linear": (zg.LinearCNN(2, bias=False), (X5, Y5), "generate", 0.7047238, "closed form", 0),
    "G5 linear sum": (zg.LinearCNN(2, pooling="sum", bias=False), (X5, Y5), "generate", 0.8817237, "closed form", 0),
    "G6": (zg.CircularCNN(bias=False), (X5, Y5), "enumerate", 0.1792433, "enumeration", 30),
    "G6 linear": (zg.CircularCNN(depth=2, bias=False), (X5, Y5), "generate", 0.6780201, "closed form", 0),
    **{
        f"G7 seed {seed}": (UNTIED, gaussian(seed), "enumerate", value, "enumeration", -1)
        for seed, value in enumerate((0.1840352, 0.1130059, 0.1484491, 0.0958026))
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_value(name: str) -> None:
    architecture, (X, y), arrangements, value, proof, cells = GOLDEN[name]
    result = zg.train(architecture, X, y, beta=0.1, arrangements=arrangements, tol=1e-7)
    certificate = result.certificate
    assert abs(certificate.objective - value) <= 1e-6
    assert abs(certificate.lower_bound - value) <= 1e-6
    assert certificate.gap <= 1e-7
    assert certificate.proof == proof
    assert certificate.scope == ("gated" if architecture.gated else "global")
    assert cells in (-1, certificate.cells)
    assert result.status is zg.Status.OPTIMAL
    assert result.network.objective(X, y, beta=0.1) == pytest.approx(certificate.objective, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_tied_filters_are_proved_above_their_relaxation(seed: int) -> None:
    """Golden values G7t: the Frobenius program is below the best networks, which branch and bound proves."""
    relaxed = (0.1853903, 0.1131172, 0.1626813, 0.1245277)[seed]
    network = (0.1853903, 0.113388, 0.17314, 0.124676)[seed]
    X, y = gaussian(seed)
    certificate = zg.train(TIED, X, y, beta=0.1, tol=1e-5).certificate
    assert abs(certificate.objective - network) <= 5e-6
    assert certificate.gap <= 1e-5
    assert certificate.proof == "branch and bound"
    assert certificate.lower_bound >= relaxed - 3e-6


@pytest.mark.parametrize("name", [name for name in GOLDEN if "gated" not in name])
def test_generation_finds_the_golden_optimum(name: str) -> None:
    architecture, (X, y), _, value, _, _ = GOLDEN[name]
    certificate = zg.train(architecture, X, y, beta=0.1, tol=1e-6).certificate
    assert abs(certificate.objective - value) <= 3e-6 * value + 1e-7
    assert certificate.lower_bound <= value + 1e-7
    if not architecture.linear:
        assert certificate.proof in ("relaxation", "branch and bound")
        assert certificate.estimate is not None
        assert certificate.estimate >= value * (1.0 - 1e-5)


LISTED = {
    "max": zg.CNN(2, pooling="max"),
    "sum of maxima": zg.CNN(2, pooling="max", window=2, readout="sum"),
    "leaky": zg.CNN(2, slope=0.2),
    "leaky mlp": zg.MLP(slope=0.1),
    "none": zg.CNN(2, pooling="none"),
    "circular": zg.CircularCNN(),
    "three layers": zg.ThreeLayerCNN(2),
}


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize("name", LISTED)
def test_generation_agrees_with_the_listed_program(name: str, loss: str) -> None:
    rng = np.random.default_rng(list(LISTED).index(name))
    # Few samples and entries keep the arrangements small; the bias adds a dimension.
    architecture, X = LISTED[name], rng.standard_normal((4, 3) if name != "leaky mlp" else (6, 2))
    y = rng.standard_normal(len(X)) if loss == "squared" else rng.permutation(np.resize([1.0, -1.0], len(X)))
    question = {"loss": loss, "beta": 0.1}
    listed = zg.train(architecture, X, y, **question, arrangements="enumerate", tol=1e-6)
    assert (listed.certificate.scope, listed.certificate.proof) == ("global", "enumeration")
    assert listed.certificate.gap <= 1e-6
    generated = zg.train(architecture, X, y, **question, tol=1e-4)
    optimum = listed.certificate
    assert generated.certificate.objective >= optimum.lower_bound
    assert generated.certificate.objective <= optimum.objective * (1.0 + 5e-4)
    assert generated.certificate.lower_bound <= optimum.objective
    if generated.certificate.estimate is not None:
        assert generated.certificate.estimate <= generated.certificate.objective


@pytest.mark.parametrize("name", LISTED)
def test_sampled_cells_cost_no_less_and_say_so(name: str) -> None:
    rng = np.random.default_rng(1)
    architecture, X = LISTED[name], rng.standard_normal((4, 3) if name != "leaky mlp" else (6, 2))
    y = rng.standard_normal(len(X))
    everything = zg.train(architecture, X, y, beta=0.1, arrangements="enumerate", tol=1e-6).certificate
    some = zg.train(architecture, X, y, beta=0.1, arrangements=3, tol=1e-6).certificate
    assert some.scope == "sampled"
    assert some.objective >= everything.lower_bound
    assert some.lower_bound <= some.objective


@pytest.mark.parametrize("name", LISTED)
def test_networks_trained_elsewhere_are_certified_and_improved(name: str) -> None:
    rng = np.random.default_rng(2)
    architecture, X = LISTED[name], rng.standard_normal((4, 3) if name != "leaky mlp" else (6, 2))
    y = rng.standard_normal(len(X))
    theirs = train_by_gradient(architecture, X, y, beta=0.1, width=3, iterations=30, method="adam")
    own = theirs.objective(X, y, beta=0.1)
    certificate = zg.certify(theirs, X, y, beta=0.1, prove=10.0)
    assert certificate.objective == pytest.approx(own, rel=1e-9)
    assert 0.0 < certificate.lower_bound <= own
    listed = zg.certify(theirs, X, y, beta=0.1, arrangements="enumerate")
    assert listed.proof == "enumeration"
    assert certificate.lower_bound <= listed.lower_bound * (1.0 + 1e-9)
    quick = zg.certify(theirs, X, y, beta=0.1, prove=False)
    assert quick.lower_bound <= listed.lower_bound * (1.0 + 1e-9)
    found = zg.improve(theirs, X, y, beta=0.1, prove=False, tol=1e-4)
    assert found.violated
    assert found.result.certificate.objective <= own
    assert found.result.certificate.objective >= listed.lower_bound
    assert found.direction.shape == (theirs.weights.shape[1],)


def test_a_bound_over_listed_cells_does_not_lift_a_certificate_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    import zerogap.certification as certification

    rng = np.random.default_rng(2)
    X = rng.standard_normal((4, 3))
    y = rng.standard_normal(len(X))
    theirs = train_by_gradient(MAX, X, y, beta=0.1, width=3, iterations=30, method="adam")
    # A bound just below the objective: true of no network but theirs, had it been lifted.
    false = 0.999 * theirs.objective(X, y, beta=0.1)
    listed = zg.train(MAX, X, y, beta=0.1, arrangements="enumerate").certificate
    cut_short = dataclasses.replace(listed, scope="sampled", lower_bound=false)
    monkeypatch.setattr(certification, "answered", lambda *_: (theirs, cut_short, [], "optimal"))
    assert zg.certify(theirs, X, y, beta=0.1, arrangements="enumerate").lower_bound < false


def test_certificates_cite_the_theorem_of_their_architecture() -> None:
    words = {MAX: "two-layer", zg.LinearCNN(2): "linear", zg.CircularCNN(): "circular", UNTIED: "two ReLUs"}
    for architecture, word in words.items():
        certificate = zg.train(architecture, X5, Y5, beta=10.0, prove=False).certificate
        assert word in certificate.cite()
        assert type(architecture).__name__ in str(certificate)


def test_critical_beta_is_bracketed() -> None:
    for architecture in (MAX, NONE, zg.LinearCNN(2), zg.CircularCNN(), UNTIED, TIED):
        lower, upper = zg.critical_beta_bounds(architecture, X5, Y5)
        assert 0.0 < lower <= upper
        empty = zg.train(architecture, X5, Y5, beta=1.001 * upper, tol=1e-6)
        assert empty.network.width == 0
        assert empty.status is zg.Status.OPTIMAL
        some = zg.train(architecture, X5, Y5, beta=0.9 * lower, tol=1e-3)
        assert some.network.width > 0
        if architecture.linear:
            assert upper <= lower * (1.0 + 1e-3)


def test_targets_of_zero_give_the_empty_network() -> None:
    for architecture in (MAX, NONE, zg.LinearCNN(2), zg.CircularCNN(), zg.CircularCNN(depth=2), UNTIED, TIED):
        result = zg.train(architecture, X5, np.zeros(5), beta=0.1)
        assert (result.network.width, result.certificate.gap) == (0, 0.0)
        assert result.status is zg.Status.OPTIMAL


def test_runs_repeat_and_stop() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((20, 6)), rng.standard_normal(20)
    first, second = (zg.train(NONE, X, y, beta=0.1, tol=1e-3) for _ in range(2))
    assert first.certificate.objective == second.certificate.objective
    np.testing.assert_array_equal(first.network.second, second.network.second)
    stopped = zg.train(NONE, X, y, beta=0.1, tol=1e-3, callback=lambda step: step.width > 0)
    assert stopped.status is zg.Status.STOPPED
    assert stopped.network.width > 0
    late = zg.train(NONE, X, y, beta=0.1, tol=1e-9, max_time=0.05)
    assert late.status in (zg.Status.TIME_LIMIT, zg.Status.SEARCHED)
    assert late.certificate.lower_bound <= late.certificate.objective


def test_an_interrupted_run_keeps_its_network() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((20, 6)), rng.standard_normal(20)

    def interrupt(step: zg.Iteration) -> None:
        if step.width > 0:
            raise KeyboardInterrupt

    result = zg.train(MAX, X, y, beta=0.1, tol=1e-3, callback=interrupt)
    assert result.status is zg.Status.INTERRUPTED
    assert result.network.width > 0
    assert result.certificate.objective < 0.5 * float(y @ y)


def test_a_warm_start_is_never_made_worse() -> None:
    for architecture in (MAX, NONE, UNTIED, zg.CircularCNN(bias=False)):
        good = zg.train(architecture, X5, Y5, beta=0.1, tol=1e-4).network
        again = zg.train(architecture, X5, Y5, beta=0.1, tol=1e-4, warm_start=good, max_time=5.0)
        assert again.certificate.objective <= good.objective(X5, Y5, beta=0.1) * (1.0 + 1e-4)


BAD: list[tuple[str, Any, dict[str, Any], str]] = [
    ("linear, listed", zg.LinearCNN(2), {"arrangements": "enumerate"}, "arrangements"),
    ("circular linear, listed", zg.CircularCNN(depth=2), {"arrangements": 3}, "arrangements"),
    ("max windows, listed", zg.CNN(2, pooling="max", window=1), {"arrangements": 3}, "arrangements"),
    ("clarabel", MAX, {"solver": "clarabel"}, "solver"),
    ("linear, warm", zg.LinearCNN(2), {"warm_start": zg.Network(zg.LinearCNN(2), [[1.0] * 3], [[1.0] * 3])}, "warm"),
    ("other shape", MAX, {"warm_start": zg.Network(MAX, [[1.0] * 3], [1.0])}, "warm_start"),
    ("gates, generated", zg.CNN(2, pooling="none", gated=True), {}, "arrangements"),
    ("no number", MAX, {"arrangements": 0}, "arrangements"),
    ("gates without gates", MAX, {"arrangements": np.ones((3, 2))}, "arrangements"),
]


@pytest.mark.parametrize(("architecture", "options", "named"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_makes_no_sense_is_refused_with_a_reason(architecture: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(zg.InputError) as caught:
        zg.train(architecture, X5, Y5, beta=0.1, **options)
    assert named in caught.value.what
    assert all(part.strip() for part in (caught.value.got, caught.value.expected, caught.value.remedy))


OPTIONS: list[tuple[str, type, dict[str, Any]]] = [
    ("pooling", zg.CNN, {"pooling": "median"}),
    ("window", zg.CNN, {"pooling": "none", "window": 2}),
    ("window", zg.CNN, {"window": 0}),
    ("window", zg.CNN, {"window": (1, 2, 3)}),
    ("readout", zg.CNN, {"readout": "sum"}),
    ("readout", zg.CNN, {"window": 2, "readout": "mean"}),
    ("slope", zg.CNN, {"slope": 1.0}),
    ("slope", zg.MLP, {"slope": -0.1}),
    ("slope", zg.MLP, {"slope": "0.1"}),
    ("gated", zg.CNN, {"pooling": "max", "gated": True}),
    ("gated", zg.MLP, {"slope": 0.1, "gated": True}),
    ("cone_penalty", zg.CNN, {"pooling": "none", "gated": True, "cone_penalty": 1.0}),
    ("pooling", zg.LinearCNN, {"pooling": "max"}),
    ("tied", zg.ThreeLayerCNN, {"tied": 1}),
    ("depth", zg.CircularCNN, {"depth": 1}),
    ("normalisation", zg.CircularCNN, {"normalisation": "l1"}),
    ("kernel_size", zg.CircularCNN, {"kernel_size": 0}),
]


@pytest.mark.parametrize(("what", "kind", "options"), OPTIONS)
def test_options_are_checked(what: str, kind: type, options: dict[str, Any]) -> None:
    with pytest.raises(zg.InputError) as caught:
        kind(**options)
    assert what in caught.value.what


def test_windows_that_do_not_fit_are_named() -> None:
    with pytest.raises(zg.InputError, match="window"):
        zg.train(zg.CNN(2, pooling="max", window=4), X5, Y5, beta=0.1)


def test_numbers_of_numpy_are_options_like_any_other(tmp_path: Path) -> None:
    architecture = zg.CNN((np.int64(2), np.int64(1)), stride=np.int32(1), slope=np.float64(0.1))
    network = zg.Network(architecture, [[1.0, 2.0, 0.0]], [1.0])
    network.save(tmp_path / "network.safetensors")
    assert zg.Network.load(tmp_path / "network.safetensors").architecture == architecture
