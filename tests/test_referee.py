"""The referee against exact arithmetic and against garbage: figures round outward, and no proposal proves too much."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import exact
import zerogap as zg
from instances import INSTANCES, LOSSES, Instance, solved
from zerogap.certificates.ratchet import Ratchet
from zerogap.certificates.referee import Referee
from zerogap.losses import LOSSES as LOSS_CLASSES
from zerogap.program import Program
from zerogap.question import Question
from zerogap.scope import choose_cells
from zerogap.solvers import Iterate, make_solver

Array = NDArray[np.float64]

MODERATE = settings(max_examples=50, derandomize=True, deadline=None)
GARBAGE = settings(max_examples=15, derandomize=True, deadline=None)

SPECIAL = (0.0, -0.0, 5e-324, 1e-310, 1e-200, 1e-17, 1e-9, 1.0, 1e9, 1e150, 1e200, 1e308, np.inf, np.nan)
MULTIPLES = (1e-300, 1e-12, 0.01, 0.3, 0.5, 0.8, 0.9, 0.99, 1.0, 1.01, 1.5, 10.0, 1e12, 1e300)

PLAIN = [f"mlp-{loss}-bias={bias}" for loss in LOSSES for bias in (True, False, "free")]
REST = [name for name in INSTANCES if name not in PLAIN]
OTHERS = list(dict.fromkeys(REST[::4] + [name for name in REST if name.endswith("penalised")]))


# -- garbage -------------------------------------------------------------------------------------------


@cache
def judged(name: str) -> tuple[Instance, Question, Program, Iterate]:
    """The program of an instance and what the solver proposes in the end."""
    instance = INSTANCES[name]
    question = Question.of(instance.architecture, instance.X, instance.y, **instance.question())
    arrangements = "enumerate" if instance.gates is None else instance.gates
    program = question.program(choose_cells(question, arrangements, np.random.default_rng(0)))
    *_, last = make_solver("interior_point", program, tol=1e-10, max_time=np.inf)
    return instance, question, program, last


def bound_of(question: Question, program: Program, *proposals: tuple[Any, Any, bool]) -> float:
    """What a fresh referee proves from these proposals."""
    referee = Referee(question, program)
    with np.errstate(all="ignore"):
        for residual, multipliers, refine in proposals:
            referee.hear_residual(residual, multipliers, refine=refine)
    return referee.ratchet.bound


@st.composite
def garbage(draw: st.DrawFn, program: Program, proposed: Iterate) -> tuple[Array, Array | None, bool]:
    """Residual, multipliers and whether to refine: the solver's own, multiples of them, or anything."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = program.rows.samples
    entry = st.one_of(st.floats(-3.0, 3.0), st.sampled_from(SPECIAL), st.sampled_from(SPECIAL).map(lambda v: -v))
    kind = draw(st.sampled_from(["own", "entries", "targets", "box", "noise"]))
    factor = draw(st.sampled_from(MULTIPLES)) * draw(st.sampled_from([1.0, 1.0, 1.0, -1.0]))
    if kind == "own":
        residual = factor * proposed.residual
    elif kind == "entries":
        residual = np.array(draw(st.lists(entry, min_size=n, max_size=n)))
    elif kind == "targets":
        residual = factor * program.loss.targets * program.loss.weights
    elif kind == "box":
        low, high = program.loss.box()
        ends = np.where(rng.random(n) < 0.5, low, high)
        residual = np.where(np.isfinite(ends), ends, factor)
    else:
        residual = proposed.residual + factor * rng.standard_normal(n)
    shape = (2, program.cells.count, program.walls.count)
    # The kinds that are not there after all stand for no multipliers.
    choice = draw(st.sampled_from(["none", "own", "constant", "entry", "random"]))
    multipliers: Array | None = None
    if choice == "own" and proposed.multipliers is not None:
        multipliers = factor * proposed.multipliers
    elif choice == "constant":
        multipliers = np.full(shape, draw(entry))
    elif choice == "entry" and program.walls.count:
        multipliers = np.zeros(shape)
        multipliers[1, rng.integers(shape[1]), rng.integers(shape[2])] = draw(entry)
    elif choice == "random":
        multipliers = factor * rng.standard_normal(shape)
    return residual, multipliers, draw(st.booleans())


@pytest.mark.parametrize("name", PLAIN + OTHERS)
def test_garbage_never_lifts_the_bound_above_the_optimum(name: str) -> None:
    _instance, question, program, proposed = judged(name)
    optimum = solved(name).certificate.objective

    @GARBAGE
    @given(st.lists(garbage(program, proposed), min_size=1, max_size=2))
    def check(proposals: list[tuple[Array, Array | None, bool]]) -> None:
        with np.errstate(all="ignore"):
            assert bound_of(question, program, *proposals) <= optimum

    with np.errstate(all="ignore"):
        check()


@pytest.mark.parametrize("name", PLAIN + OTHERS)
def test_bad_multipliers_never_lift_the_bound_above_the_optimum(name: str) -> None:
    """One entry or all of them undefined, infinite, huge or negative, with residuals that are tempting to believe."""
    _, question, program, proposed = judged(name)
    optimum = solved(name).certificate.objective
    shape = (2, program.cells.count, program.walls.count)
    for value in (np.nan, np.inf, -np.inf, 1e300, 1e150, -1.0):
        one = np.zeros(shape)
        one[:, -1, -1] = value
        for multipliers in (np.full(shape, value), one):
            for residual in (proposed.residual, program.null_residual()):
                assert bound_of(question, program, (residual, multipliers, False)) <= optimum, value


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_a_free_bias_with_balanced_residuals(loss: str) -> None:
    """Residuals that sum to zero already, on the ends of the box or tiny, are judged like any other."""
    _, question, program, _ = judged(f"mlp-{loss}-bias=free")
    optimum = solved(f"mlp-{loss}-bias=free").certificate.objective
    first = np.flatnonzero(question.loss.targets > 0)[0], np.flatnonzero(question.loss.targets < 0)[0]
    one = np.zeros(program.rows.samples)
    one[list(first)] = 1.0, -1.0
    for residual in (one, question.loss.targets, 0.0 * one, 1e-300 * one, 0.5 * one, one + 1e-200):
        assert bound_of(question, program, (residual, None, True)) <= optimum


def test_certify_survives_a_residual_on_the_ends_of_the_box() -> None:
    """Three neurons that violate or satisfy every margin by far, as a diverged training run leaves them."""
    rng = np.random.default_rng(14)
    X, y = rng.standard_normal((6, 2)), np.resize([1.0, -1.0], 6)
    first = 10.0 ** rng.uniform(0.0, 3.0) * rng.standard_normal((3, 3))
    network = zg.Network(zg.MLP(bias="free"), first, rng.standard_normal(3))
    certificate = zg.certify(network, X, y, loss="hinge", beta=0.1, prove=False)
    assert certificate.lower_bound <= certificate.objective


@pytest.mark.parametrize("name", PLAIN + OTHERS)
def test_the_solver_proposal_is_nearly_tight(name: str) -> None:
    """The test above is not vacuous: honest proposals reach the optimum."""
    _, question, program, proposed = judged(name)
    optimum = solved(name).certificate.objective
    bound = bound_of(question, program, (proposed.residual, proposed.multipliers, True))
    assert (1.0 - 1e-5) * optimum <= bound <= optimum


def test_scaling_up_keeps_the_caps_of_penalised_cones() -> None:
    """A squared-loss residual may be scaled up by s > 1, but its multipliers must stay below rho.

    Both rows are active at the gate (1, 0); they cancel the gain along (0, 1) at a price up to rho only.
    """
    architecture = zg.MLP(bias=False, gated=True, cone_penalty=0.5)
    X, y, gate = np.array([[0.01, 1.0], [0.01, -1.0]]), np.array([1.0, -1.0]), np.array([[1.0, 0.0]])
    question = Question.of(architecture, X, y, loss="squared", beta=0.1)
    program = question.program(choose_cells(question, gate, np.random.default_rng(0)))
    network = zg.Network(architecture, [[0.0, 0.8**0.5]], [0.8**0.5], gates=gate)
    attained = network.objective(X, y, beta=0.1)
    for size in (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0):
        assert bound_of(question, program, (size * y, None, True)) <= attained


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_undefined_residuals_are_withheld(loss: str, value: float) -> None:
    _, question, program, proposed = judged(f"mlp-{loss}-bias=True")
    residual = proposed.residual.copy()
    residual[2] = value
    referee = Referee(question, program)
    referee.hear_residual(residual, proposed.multipliers, refine=True)
    assert referee.ratchet.bound == 0.0
    assert referee.ratchet.proof is None
    assert referee.ratchet.withheld


@pytest.mark.parametrize("failure", [np.linalg.LinAlgError, ArithmeticError, MemoryError, FloatingPointError])
def test_a_failing_pricer_withholds(failure: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    _, question, program, proposed = judged("mlp-squared-bias=True")
    referee = Referee(question, program)

    def fail(*_: Any, **__: Any) -> float:
        raise failure("on purpose")

    monkeypatch.setattr(referee._pricer, "upper", fail)
    referee.hear_residual(proposed.residual)
    assert (referee.ratchet.bound, referee.ratchet.proof) == (0.0, None)
    assert referee.ratchet.withheld is not None
    assert "on purpose" in referee.ratchet.withheld


# -- ratchet -------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("lift"), st.one_of(st.floats(-2.0, 3.0), st.sampled_from([np.nan, np.inf, -np.inf]))),
    st.tuples(st.just("lower"), st.one_of(st.floats(0.0, 3.0), st.sampled_from([np.nan, np.inf]))),
    st.tuples(st.just("withhold"), st.just(0.0)),
)


@given(st.lists(STEP, max_size=12))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_the_ratchet_only_rises_and_a_contradiction_is_final(steps: list[tuple[str, float]]) -> None:
    ratchet = Ratchet()
    lowest, highest, contradicted = np.inf, 0.0, False
    for action, value in steps:
        before = ratchet.bound
        if action == "lift":
            ratchet.lift(value, "test")
            highest = max(highest, value) if value == value else highest
        elif action == "lower":
            ratchet.lower(value)
            lowest = min(lowest, value) if value == value else lowest
        else:
            ratchet.withhold("a doubt")
        contradicted = contradicted or highest > lowest
        assert ratchet.bound <= lowest
        if contradicted:
            assert (ratchet.bound, ratchet.proof) == (0.0, None)
            assert ratchet.withheld is not None
            assert "contradiction" in ratchet.withheld
        else:
            assert ratchet.bound >= before
            assert ratchet.bound == highest
        assert (ratchet.proof is None) == (ratchet.withheld is not None)


def test_a_doubt_does_not_forget_a_contradiction() -> None:
    ratchet = Ratchet()
    ratchet.lower(1.0)
    ratchet.lift(2.0, "wrong")
    ratchet.withhold("another doubt")
    ratchet.lift(0.5, "after all")
    assert (ratchet.bound, ratchet.proof) == (0.0, None)


def test_a_doubt_does_not_take_back_a_proof() -> None:
    ratchet = Ratchet()
    ratchet.lift(0.5, "good")
    ratchet.withhold("a doubt")
    assert (ratchet.bound, ratchet.proof, ratchet.withheld) == (0.5, "good", None)


# -- rounding ------------------------------------------------------------------------------------------

SIZES = st.sampled_from([1e-20, 1e-6, 1.0, 1e3, 1e8])


def random_network(architecture: Any, inputs: int, width: int, rng: np.random.Generator, size: float) -> zg.Network:
    """Weights over many magnitudes; some neurons cancel each other all but exactly."""
    first = rng.standard_normal((width, inputs)) * size
    second = rng.standard_normal(width) * 10.0 ** rng.integers(-3, 4, width)
    first[width // 2 :] = first[: width - width // 2]
    second[width // 2 :] = -second[: width - width // 2] * (1.0 + 1e-13 * rng.standard_normal(width - width // 2))
    gates = rng.standard_normal((width, inputs)) if architecture.gated else None
    offset = float(rng.standard_normal()) if architecture.offset else 0.0
    return zg.Network(architecture, first, second, gates=gates, offset=offset)


ARCHITECTURES = [
    zg.MLP(),
    zg.MLP(bias=False),
    zg.MLP(bias="free"),
    zg.CNN(kernel_size=2),
    zg.CNN(kernel_size=2, bias=False, pooling="average"),
    zg.CNN(kernel_size=2, bias="free", pooling="average"),
    zg.MLP(gated=True),
    zg.CNN(kernel_size=2, bias="free", gated=True),
    zg.MLP(gated=True, cone_penalty=0.3),
    zg.CNN(kernel_size=2, bias=False, gated=True, cone_penalty=7.0),
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_objectives_are_rounded_up(architecture: Any, loss: str) -> None:
    @settings(max_examples=12, derandomize=True, deadline=None)
    @given(st.integers(0, 2**32), SIZES, SIZES, st.integers(1, 5))
    def check(seed: int, data_size: float, weight_size: float, width: int) -> None:
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((4, 4)) * data_size, rng.permutation([1.0, -1.0, 1.0, -1.0])
        if loss == "squared":
            y = y * rng.standard_normal(4)
        weights = rng.uniform(1e-3, 1e3, 4)
        question = Question.of(architecture, X, y, loss=loss, beta=0.7, sample_weight=weights)
        program = question.program(choose_cells(question, 1, rng))
        network = random_network(architecture, question.rows.dimension, width, rng, weight_size)
        objective = Referee(question, program).objective(network)
        truth = exact.objective(network, X, y, loss=loss, beta=0.7, sample_weight=weights)
        assert Fraction(objective) >= truth
        # Not by more than rounding explains: the terms may cancel, their sizes do not.
        size = float(np.abs(network.effects(question.rows)).sum() + 1.0)
        scale = float(truth) + 1e3 * size**2 + 10.0 * size * float(np.abs(X).max() + 1.0) * weight_size * 1e3
        assert objective - float(truth) <= 1e-11 * scale

    check()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", [True, False, "free"])
def test_bounds_enclose_the_loss_of_the_empty_network(loss: str, bias: bool | str) -> None:
    """With a huge beta the optimum is a constant: bound <= exact optimum <= objective, 1e-12 apart."""
    architecture = zg.MLP(bias=bias)

    @settings(max_examples=15, derandomize=True, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from([1e-6, 1.0, 1e6]))
    def check(seed: int, size: float) -> None:
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((5, 2)), rng.permutation([1.0, -1.0, 1.0, -1.0, 1.0])
        if loss == "squared":
            y = size * (y * rng.standard_normal(5) + 10.0 * rng.integers(0, 2))
        weights = rng.uniform(0.1, 10.0, 5)
        question = {"loss": loss, "beta": 1e9, "sample_weight": weights}
        result = zg.train(architecture, X, y, arrangements=5, tol=1e-9, **question)
        assert result.network.width == 0
        # By the residual of the network itself, whatever the solver has said.
        certificate = zg.certify(result.network, X, y, arrangements=5, prove=False, **question)
        constant = exact.exact([result.network.offset]) * 5
        attained = exact.loss_value(loss, exact.exact(y), exact.exact(weights), constant)
        assert Fraction(certificate.objective) >= attained
        if loss == "squared" and bias == "free":
            targets, masses = exact.exact(y), exact.exact(weights)
            mean = exact.dot(masses, targets) / sum(masses)
            attained = exact.loss_value(loss, targets, masses, [mean] * 5)
        assert Fraction(certificate.lower_bound) <= attained
        spread = float(np.abs(y).max() ** 2 * weights.sum()) + float(attained)
        assert result.certificate.lower_bound <= certificate.objective
        # The residual of the hinge loss on its kinks is not unique, and the network does not tell it.
        assert (loss == "hinge" and bias == "free") or certificate.absolute_gap <= 1e-11 * spread

    check()


@MODERATE
@given(st.sampled_from(LOSSES), st.integers(0, 2**32), st.sampled_from([0.0, 1e-12, 1e-3]), SIZES)
def test_dual_values_are_rounded_down(loss: str, seed: int, radius: float, size: float) -> None:
    """For every r' within the radius, on its corners in particular."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    weights = rng.uniform(0.5, 2.0, n)
    y = rng.choice([-1.0, 1.0], n) if loss != "squared" else size * rng.standard_normal(n)
    shares = rng.random(n) * 10.0 ** -rng.integers(0, 12, n)
    shares = np.where(rng.random(n) < 0.5, shares, 1.0 - shares)
    r = y * weights * shares if loss != "squared" else size * rng.standard_normal(n)
    terms = LOSS_CLASSES[loss](y, weights)
    lower = terms.dual_lower(r, radius)
    low, high = terms.box()
    for _ in range(4):
        steps = [Fraction(radius) * int(sign) for sign in rng.integers(-1, 2, n)]
        moved = [value + step for value, step in zip(exact.exact(r), steps, strict=True)]
        if loss != "squared":
            ends = zip(moved, exact.exact(low), exact.exact(high), strict=True)
            moved = [min(max(value, a), b) for value, a, b in ends]
        truth = exact.dual_value(loss, exact.exact(y), exact.exact(weights), moved)
        assert Fraction(lower) <= truth
    if radius == 0.0:
        magnitude = float(np.abs(y * r).sum() + (r * r / weights).sum()) + abs(float(truth))
        assert float(truth) - lower <= 1e-13 * magnitude + 1e-300


@MODERATE
@given(st.sampled_from(LOSSES), st.integers(0, 2**32), st.sampled_from([0.0, 1e-12, 1e-3]), SIZES)
def test_losses_are_rounded_up(loss: str, seed: int, radius: float, size: float) -> None:
    """For every f' within the error, on its corners in particular."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    weights, y = rng.uniform(0.5, 2.0, n), np.resize([1.0, -1.0], n)
    if loss == "squared":
        y = y * rng.standard_normal(n)
    f, error = size * rng.standard_normal(n), radius * rng.random(n)
    upper = LOSS_CLASSES[loss](y, weights).upper(f, error)
    for _ in range(4):
        steps = [Fraction(float(e)) * int(sign) for e, sign in zip(error, rng.integers(-1, 2, n), strict=True)]
        moved = [value + step for value, step in zip(exact.exact(f), steps, strict=True)]
        assert Fraction(upper) >= exact.loss_value(loss, exact.exact(y), exact.exact(weights), moved)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "series"])
@pytest.mark.parametrize("bias", [True, False, "free"])
def test_trained_networks_in_exact_arithmetic(loss: str, kind: str, bias: bool | str) -> None:
    """bound <= exact objective of the float weights <= objective, and these are close."""
    rng = np.random.default_rng(LOSSES.index(loss))
    architecture = zg.MLP(bias=bias) if kind == "mlp" else zg.CNN(kernel_size=3, bias=bias, pooling="average")
    X, y = rng.standard_normal((6, 2 if kind == "mlp" else 4)), np.resize([1.0, -1.0], 6)
    result = zg.train(architecture, X, y, loss=loss, beta=0.05, arrangements=12, tol=1e-8)
    truth = exact.objective(result.network, X, y, loss=loss, beta=0.05)
    certificate = result.certificate
    assert Fraction(certificate.lower_bound) <= truth <= Fraction(certificate.objective)
    assert certificate.objective - float(truth) <= 1e-11 * float(truth)


@MODERATE
@given(st.floats(1e-300, 1e300), st.integers(1, 10))
def test_printed_figures_are_rounded_outward(value: float, digits: int) -> None:
    from zerogap.rounding import text_above, text_below

    assert Fraction(text_below(value, digits)) <= Fraction(value) <= Fraction(text_above(value, digits))
