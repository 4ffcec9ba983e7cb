"""Every safety check of the referee is deleted in turn, and a claim must then become false.

An attack returns a claim and the truth; with all checks in place no claim exceeds the truth. So the other
tests of certificates have teeth: what they compare is what the checks protect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

import exact
import zerogap as zg
from instances import INSTANCES, solved
from zerogap.arrangements import count_cells, enumerate_cells
from zerogap.certificates.annihilation import annihilated
from zerogap.certificates.pricing import Pricer
from zerogap.certificates.ratchet import Ratchet
from zerogap.certificates.referee import Referee
from zerogap.cones import polar_multipliers
from zerogap.losses import LOSSES, MarginLoss, SquaredLoss
from zerogap.program import Program
from zerogap.question import Question
from zerogap.scope import choose_cells
from zerogap.walls import find_walls

Array = NDArray[np.float64]
Claim = tuple[Any, Any]


# -- tools ---------------------------------------------------------------------------------------------


class Altered:
    """A module in which some functions are replaced."""

    def __init__(self, module: Any, **changes: Any) -> None:
        self._module, self._changes = module, changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._module, name)


def judge(name: str) -> tuple[Question, Program, Referee]:
    """A fresh referee for an instance."""
    instance = INSTANCES[name]
    question = Question.of(instance.architecture, instance.X, instance.y, **instance.question())
    arrangements = "enumerate" if instance.gates is None else instance.gates
    program = question.program(choose_cells(question, arrangements, np.random.default_rng(0)))
    return question, program, Referee(question, program)


def ask(
    architecture: Any, X: Any, y: Any, cells: Any = "enumerate", **question: Any
) -> tuple[Question, Program, Referee]:
    asked = Question.of(architecture, np.array(X, dtype=float), np.array(y, dtype=float), **question)
    program = asked.program(choose_cells(asked, cells, np.random.default_rng(0)))
    return asked, program, Referee(asked, program)


def best_claim(claims: list[Claim]) -> Claim:
    """The boldest of many."""
    return max(claims, key=lambda claim: claim[0] - claim[1])


# -- attacks -------------------------------------------------------------------------------------------


def empty_networks() -> Claim:
    """Huge beta: the bound is the loss of the network without neurons, rounded down."""
    claims = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        y, weights = rng.standard_normal(7), rng.uniform(0.5, 2.0, 7)
        _, _, referee = ask(
            zg.MLP(), rng.standard_normal((7, 1)), y, 2, loss="squared", beta=1e9, sample_weight=weights
        )
        referee.hear_residual(weights * y)
        truth = exact.loss_value("squared", exact.exact(y), exact.exact(weights), [Fraction(0)] * 7)
        claims.append((Fraction(referee.ratchet.bound), truth))
    return best_claim(claims)


def cancelling_networks() -> Claim:
    """Objectives of neurons that all but cancel, rounded up."""
    claims = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y, beta = rng.standard_normal((4, 2)), rng.standard_normal(4), 1e-9
        u, w = 1e3 * rng.standard_normal((3, 3)), 1e3 * rng.standard_normal(3)
        network = zg.Network(zg.MLP(), np.vstack([u, u]), np.concatenate([w, -w * (1.0 + 1e-15)]))
        _, _, referee = ask(zg.MLP(), X, y, 2, loss="squared", beta=beta)
        claims.append((exact.objective(network, X, y, beta=beta), Fraction(referee.objective(network))))
    return best_claim(claims)


def cancelling_prices() -> Claim:
    """Prices whose sums all but cancel, rounded up."""
    claims = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.uniform(0.5, 1.0, (6, 1))
        residual = rng.standard_normal(6)
        residual[5] = -float(X[:5, 0] @ residual[:5]) / X[5, 0]
        _, program, _ = ask(
            zg.MLP(bias=False, gated=True), X, rng.standard_normal(6), [[1.0]], loss="squared", beta=1.0
        )
        truth = abs(exact.dot(exact.exact(residual), exact.exact(X[:, 0])))
        claims.append((truth, Fraction(Pricer(program).upper(residual, 0.0, refine=False))))
    return best_claim(claims)


def moved_prices() -> Claim:
    """The price of the worst residual within the radius."""
    _, program, _ = ask(zg.MLP(bias=False, gated=True), [[1.0], [2.0]], [1.0, 2.0], [[1.0]], loss="squared", beta=1.0)
    return 3.0 + 3.0 * 0.5, Pricer(program).upper(np.ones(2), 0.5, refine=False)


def short_rows() -> Claim:
    """A price whose square underflows."""
    _, program, _ = ask(zg.MLP(bias=False), [[3e-100, 4e-100]], [1.0], 4, loss="squared", beta=1e-200)
    return 4.9e-180, Pricer(program).upper(np.array([1e-80]), 0.0, refine=False)


def negative_multipliers() -> Claim:
    """Multipliers of the wrong sign cancel any gradient."""
    name = "mlp-squared-bias=True"
    _, program, referee = judge(name)
    residual = program.null_residual()
    multipliers = np.zeros((2, program.cells.count, program.walls.count))
    for family, gradients in enumerate(program.adjoint(residual)):
        for cell, gradient in enumerate(gradients):
            generators = np.where(program.cells.signs[cell], 1.0, -1.0)[:, None] * program.walls.normals
            multipliers[family, cell] = np.linalg.lstsq(generators.T, -gradient, rcond=None)[0]
    referee.hear_residual(residual, multipliers)
    return referee.ratchet.bound, solved(name).certificate.objective


def undefined_multipliers() -> Claim:
    name = "mlp-squared-bias=True"
    _, program, referee = judge(name)
    with np.errstate(all="ignore"):
        multipliers = np.full((2, program.cells.count, program.walls.count), np.nan)
        referee.hear_residual(program.null_residual(), multipliers)
    return referee.ratchet.bound, solved(name).certificate.objective


def excessive_multipliers() -> Claim:
    """The cell is so narrow that hard cones would leave no gain; with rho = 1/2 there is one."""
    gate, X, y = [[1.0, 0.0]], [[0.01, 1.0], [0.01, -1.0]], [1.0, -1.0]
    architecture = zg.MLP(bias=False, gated=True, cone_penalty=0.5)
    _, _, referee = ask(architecture, X, y, gate, loss="squared", beta=0.1)
    referee.hear_residual(np.array(y), refine=True)
    network = zg.Network(architecture, [[0.0, 0.8**0.5]], [0.8**0.5], gates=gate)
    return referee.ratchet.bound, network.objective(X, y, beta=0.1)


def scaled_multipliers() -> Claim:
    """The same with a small residual, whose multipliers are too large only after scaling it up."""
    gate, X, y = [[1.0, 0.0]], [[0.01, 1.0], [0.01, -1.0]], [1.0, -1.0]
    architecture = zg.MLP(bias=False, gated=True, cone_penalty=0.5)
    _, _, referee = ask(architecture, X, y, gate, loss="squared", beta=0.1)
    referee.hear_residual(0.2 * np.array(y), refine=True)
    network = zg.Network(architecture, [[0.0, 0.8**0.5]], [0.8**0.5], gates=gate)
    return referee.ratchet.bound, network.objective(X, y, beta=0.1)


def infeasible_residuals() -> Claim:
    """The residual of no neurons, whose price is above beta."""
    name = "mlp-squared-bias=True"
    _, program, referee = judge(name)
    referee.hear_residual(program.null_residual())
    return referee.ratchet.bound, solved(name).certificate.objective


def outside_the_box() -> Claim:
    """Ten times the largest residual of the hinge loss, on data that no neuron sees."""
    _, _, referee = ask(zg.MLP(bias=False), np.zeros((2, 2)), [1.0, -1.0], loss="hinge", beta=1.0)
    referee.hear_residual(np.array([10.0, -10.0]))
    return referee.ratchet.bound, 2.0


def negative_gains() -> Claim:
    """Only the negative output weight gains: y < 0 on the samples that one neuron sees."""
    claims = []
    for sign in (1.0, -1.0):
        X, y = np.array([[1.0], [2.0]]), sign * np.array([1.0, 2.0])
        _, program, referee = ask(zg.MLP(bias=False), X, y, loss="squared", beta=0.1)
        referee.hear_residual(program.null_residual(), refine=True)
        truth = zg.train(zg.MLP(bias=False), X, y, beta=0.1, arrangements="enumerate").certificate.objective
        claims.append((referee.ratchet.bound, truth))
    return best_claim(claims)


def unbalanced_residuals() -> Claim:
    """With a free output constant nearly constant targets cost next to nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5, 2)), 10.0 + 1e-3 * rng.standard_normal(5)
    _, _, referee = ask(zg.MLP(bias="free"), X, y, loss="squared", beta=0.1)
    referee.hear_residual(y, refine=True)
    return referee.ratchet.bound, float(0.5 * np.sum((y - y.mean()) ** 2)) * (1.0 + 1e-9)


def unbalanced_cells() -> Claim:
    """Multipliers that cancel the penalised coordinate of every cell leave the free one, which has to be paid for."""
    _, program, _ = ask(zg.MLP(bias="free"), np.arange(-2.0, 3.0)[:, None], np.arange(5.0), loss="squared", beta=1.0)
    flat, claims = program.rows.flat, []
    sides = [exact.signs(flat, centre) for centre in program.cells.centres]
    kept = np.array([1.0, 0.0])
    for seed in range(10):
        residual = np.random.default_rng(seed).integers(-5, 6, 5).astype(float)
        residual[0] -= residual.sum()
        both = (exact.exact(residual), exact.exact(-residual))
        truth = max(exact.price_squared(flat, r, side, free=True) for side in sides for r in both)
        multipliers = np.zeros((2, len(sides), program.walls.count))
        for family, gradients in enumerate(program.adjoint(residual)):
            for cell, gradient in enumerate(gradients):
                generators = np.where(program.cells.signs[cell], 1.0, -1.0)[:, None] * program.walls.normals
                multipliers[family, cell] = polar_multipliers(generators * kept, gradient * kept)
        claims.append((truth, Fraction(Pricer(program).upper(residual, 0.0, multipliers, refine=False)) ** 2))
    return best_claim(claims)


def unbalanced_gates() -> Claim:
    """Free biases behind gates: every gate asks for a balance of its own."""
    name = "mlp-squared-bias=free-gated"
    question, program, referee = judge(name)
    rng = np.random.default_rng(0)
    for _ in range(30):
        referee.hear_residual(program.null_residual() + 0.3 * rng.standard_normal(question.rows.samples))
    return referee.ratchet.bound, solved(name).certificate.objective


def exact_balance() -> Claim:
    """How far the nearest exactly balanced point is, against the radius."""
    claims = []
    for seed in range(10):
        found = annihilated(
            np.random.default_rng(seed).standard_normal(7), np.ones((1, 7)), np.full(7, -np.inf), np.full(7, np.inf)
        )
        assert found is not None
        point, radius = found
        claims.append((abs(sum(exact.exact(point), Fraction(0))) / 7, Fraction(radius)))
    return best_claim(claims)


def one_cell() -> Claim:
    """A bound over one cell, if it pretends to hold for all networks."""
    claims = []
    for name in ("mlp-squared-bias=True", "mlp-squared-bias=False", "series-squared-bias=True-weighted"):
        instance = INSTANCES[name]
        certificate = instance.train(arrangements=1).certificate
        claims.append(
            (certificate.lower_bound if certificate.scope == "global" else 0.0, solved(name).certificate.objective)
        )
    return best_claim(claims)


LINES = np.array([[1.0, 0.3], [-0.4, 1.0], [0.7, 0.2], [0.1, -2.0]])


def lost_cells(monkeypatch: pytest.MonkeyPatch) -> Claim:
    """The search loses cells; is the rest said to be complete?"""
    from zerogap.arrangements import enumeration

    whole = enumeration.interior_points
    monkeypatch.setattr(enumeration, "interior_points", lambda normals: whole(normals)[:5])
    with pytest.MonkeyPatch.context() as quiet:
        quiet.setattr(enumeration.warnings, "warn", lambda *_, **__: None)
        cells = enumerate_cells(find_walls(LINES), LINES)
    return float(cells.complete), float(cells.count == count_cells(LINES))


def false_cells(monkeypatch: pytest.MonkeyPatch) -> Claim:
    """One sign is computed wrongly, as rounding may do, so that a cell is listed that does not exist."""
    from zerogap.arrangements import enumeration

    distinct = enumeration.first_of_each

    def spoiled(signs: NDArray[np.bool_]) -> NDArray[np.intp]:
        known = {row.tobytes() for row in signs}
        for k in range(signs.shape[1]):
            signs[0, k] = ~signs[0, k]
            if signs[0].tobytes() not in known:
                return distinct(signs)
            signs[0, k] = ~signs[0, k]
        raise AssertionError

    walls = find_walls(LINES)
    true = {row.tobytes() for row in enumerate_cells(walls, LINES).signs}
    with pytest.MonkeyPatch.context() as faulty:
        faulty.setattr(enumeration, "first_of_each", spoiled)
        faulty.setattr(enumeration, "analytic_centres", lambda normals, signs, starts: starts)
        faulty.setattr(enumeration.warnings, "warn", lambda *_, **__: None)
        cells = enumerate_cells(walls, LINES)
    assert cells.count == len(true)
    return float(cells.complete), float({row.tobytes() for row in cells.signs} == true)


def nearly_parallel_rows() -> Claim:
    """(1, fl(1/3)) and (3, 1) have the same quotient in floating point, but are not parallel."""
    rows = np.array([[1.0, 1.0 / 3.0], [3.0, 1.0]])
    return exact.count_cells(rows) // 2, find_walls(rows).count


def tied_gates() -> Claim:
    """Both of two opposite rows are active at a gate that is orthogonal to them."""
    X, y, gate = np.array([[1.0, 2.0], [-1.0, -2.0], [2.0, -1.0]]), np.array([1.0, -1.0, 0.5]), [[2.0, -1.0]]
    architecture = zg.MLP(bias=False, gated=True)

    def objective(v: Array) -> float:
        return float(0.5 * np.sum((X @ v - y) ** 2) + 0.01 * np.linalg.norm(v))

    attained = float(minimize(objective, [0.1, 0.3]).fun)
    network = zg.Network(architecture, [[1.0, 1.0]], [5.0], gates=gate)
    try:
        return zg.certify(network, X, y, beta=0.01).lower_bound, attained
    except zg.InputError:
        return 0.0, attained


def contradiction() -> Claim:
    """A bound above the objective of a network in scope."""
    ratchet = Ratchet()
    ratchet.lower(1.0)
    ratchet.lift(2.0, "wrong")
    return ratchet.bound, 1.0


def dual_radius(loss: str) -> Claim:
    """The least dual value within the radius."""
    y, r = np.array([1.0, -1.0, 1.0]), np.array([0.3, -0.2, 0.25])
    lower = LOSSES[loss](y, np.ones(3)).dual_lower(r, 0.1)
    moved = [Fraction(float(value)) - Fraction(1, 10) * int(sign) for value, sign in zip(r, y, strict=True)]
    return Fraction(lower), exact.dual_value(loss, exact.exact(y), exact.exact(np.ones(3)), moved)


def output_error(loss: str) -> Claim:
    """The largest loss within the error."""
    y, f, error = np.array([1.0, -1.0]), np.array([0.3, 0.2]), np.array([0.5, 0.25])
    upper = LOSSES[loss](y, np.ones(2)).upper(f, error)
    moved = exact.exact(f - y * error)
    return exact.loss_value(loss, exact.exact(y), exact.exact(np.ones(2)), moved), Fraction(upper)


# -- mutants -------------------------------------------------------------------------------------------


def no_rounding(patch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        patch.setattr(f"zerogap.{module}.gamma", lambda _: 0.0)


def no_sign_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.certificates.pricing._usable", lambda multipliers: multipliers)


def undefined_prices_dropped(patch: pytest.MonkeyPatch) -> None:
    no_sign_check(patch)
    patch.setattr("zerogap.certificates.pricing.lengths_above", partial(np.linalg.norm, axis=1))
    patch.setattr("zerogap.certificates.pricing.np", Altered(np, maximum=max))


def no_caps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.certificates.pricing.np", Altered(np, clip=lambda values, *_: values))


def no_cap_on_the_scale(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.certificates.referee.min", lambda _, largest: largest, raising=False)


def no_scaling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SquaredLoss, "best_scale", lambda *_: 1.0)


def no_box(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.certificates.referee.np", Altered(np, clip=lambda values, *_: values))
    patch.setattr(MarginLoss, "inside", lambda *_: True)


def one_sign(patch: pytest.MonkeyPatch) -> None:
    chunk, calls = Pricer._chunk, iter(range(10**9))

    def every_second(self: Pricer, cells: Any, *others: Any) -> Array:
        return chunk(self, cells, *others) if next(calls) % 2 == 0 else np.zeros(cells.size)

    patch.setattr(Pricer, "_chunk", every_second)


def no_balance(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Referee, "_feasible", lambda _, residual: (residual, 0.0))


def no_repair(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pricer, "_repair", lambda _, left, __: 0.0 * left)


def one_balance_for_all_gates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pricer, "active_counts", lambda self: np.ones((1, self._program.rows.samples)))


def no_radius(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.certificates.annihilation.enlarged", lambda *_: 0.0)


def no_doubt(patch: pytest.MonkeyPatch) -> None:
    measure = Pricer._measure
    patch.setattr(Pricer, "_measure", lambda self, coefficients, active, _: measure(self, coefficients, active, 0.0))


def plain_lengths(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.certificates.pricing.lengths_above", partial(np.linalg.norm, axis=1))


def always_global(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Referee, "scope", property(lambda _: "global"))


def no_count(patch: pytest.MonkeyPatch) -> None:
    class Anything:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    patch.setattr("zerogap.arrangements.enumeration.count_cells", lambda _: Anything())


def no_verification(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        "zerogap.arrangements.enumeration._verified", lambda _, __, signs, ___: np.ones(len(signs), dtype=bool)
    )


def rounded_parallels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.walls._parallel", lambda scaled, *_: np.ones(len(scaled), dtype=bool))


def ties_allowed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zerogap.arrangements.sampling._ties", lambda _, gates: np.zeros(len(gates), dtype=bool))


def no_contradiction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ratchet, "_check", lambda _: None)


def no_dual_radius(patch: pytest.MonkeyPatch) -> None:
    for kind in LOSSES.values():
        patch.setattr(kind, "dual_lower", lambda self, r, _=0.0, lower=kind.dual_lower: lower(self, r, 0.0))


def no_output_error(patch: pytest.MonkeyPatch) -> None:
    for kind in LOSSES.values():
        patch.setattr(kind, "upper", lambda self, f, error, upper=kind.upper: upper(self, f, 0.0 * error))


@dataclass(frozen=True)
class Mutant:
    """What is deleted, and the attack that it lets through."""

    plant: Callable[[pytest.MonkeyPatch], None]
    attack: Callable[..., Claim]
    with_faults: bool = False
    """The attack makes a fault of its own, and needs the patch for that."""


EVERYWHERE = (
    "rounding",
    "losses",
    "certificates.pricing",
    "certificates.objective",
    "certificates.annihilation",
)

MUTANTS = {
    "no rounding of dual values": Mutant(lambda patch: no_rounding(patch, "rounding"), empty_networks),
    "no rounding of objectives": Mutant(lambda patch: no_rounding(patch, *EVERYWHERE), cancelling_networks),
    "no rounding of outputs": Mutant(lambda patch: no_rounding(patch, "certificates.objective"), cancelling_networks),
    "no rounding of prices": Mutant(lambda patch: no_rounding(patch, "certificates.pricing"), cancelling_prices),
    "no doubt in prices": Mutant(no_doubt, moved_prices),
    "plain lengths": Mutant(plain_lengths, short_rows),
    "multipliers of any sign": Mutant(no_sign_check, negative_multipliers),
    "undefined prices dropped": Mutant(undefined_prices_dropped, undefined_multipliers),
    "no caps on multipliers": Mutant(no_caps, excessive_multipliers),
    "no cap on the scale": Mutant(no_cap_on_the_scale, scaled_multipliers),
    "no scaling": Mutant(no_scaling, infeasible_residuals),
    "no box": Mutant(no_box, outside_the_box),
    "one sign only": Mutant(one_sign, negative_gains),
    "no balance": Mutant(no_balance, unbalanced_residuals),
    "no repair": Mutant(no_repair, unbalanced_cells),
    "one balance for all gates": Mutant(one_balance_for_all_gates, unbalanced_gates),
    "no radius": Mutant(no_radius, exact_balance),
    "always global": Mutant(always_global, one_cell),
    "cells not counted": Mutant(no_count, lost_cells, with_faults=True),
    "cells not verified": Mutant(no_verification, false_cells, with_faults=True),
    "parallel up to rounding": Mutant(rounded_parallels, nearly_parallel_rows),
    "gates on walls": Mutant(ties_allowed, tied_gates),
    "no contradiction": Mutant(no_contradiction, contradiction),
    **{f"no radius in dual values, {loss}": Mutant(no_dual_radius, partial(dual_radius, loss)) for loss in LOSSES},
    **{f"no error of outputs, {loss}": Mutant(no_output_error, partial(output_error, loss)) for loss in LOSSES},
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_check_is_needed(name: str) -> None:
    mutant = MUTANTS[name]

    def attack(patch: pytest.MonkeyPatch) -> Claim:
        return mutant.attack(patch) if mutant.with_faults else mutant.attack()

    with pytest.MonkeyPatch.context() as patch:
        claim, truth = attack(patch)
        assert claim <= truth, "the attack succeeds although nothing has been deleted"
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        claim, truth = attack(patch)
        assert claim > truth, "nothing notices that the check is gone"
