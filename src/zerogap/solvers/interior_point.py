r"""A structured primal-dual interior point method for the cell program.

    minimise  L(f) + beta sum_b t_b + sum cap (-s)_+
    f = sum_b A_b v_b + b 1,   s_b = K_b v_b,   (t_b, E v_b) in the second-order cone

Optimality, with r = -grad L(f), l >= 0 the cone multipliers and (beta, z_b) the dual of the gauge:

    A_b' r + K_b' l_b + E z_b = 0,   ||z_b|| <= beta,   1' r = 0 with an offset.

Everything but v and the offset is eliminated block by block (Nesterov-Todd scaling for the gauge), so a
step costs one batched product for the blocks B_b, and one Cholesky factor of size min(n, m p). Primal
feasibility is kept throughout: every iterate is a network inside its cells, and may be handed out.
Mehrotra's predictor and corrector choose the centring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerogap.program import Program
from zerogap.solvers import second_order
from zerogap.solvers.inequalities import Inequalities
from zerogap.solvers.iterate import Iterate
from zerogap.solvers.kkt import NewtonSystem, SignedMaps
from zerogap.solvers.loss_terms import LossTerm, loss_term

Array = NDArray[np.float64]

CENTRING = 30.0
"""Start this far above the balanced central path: 1 stalls on the hinge loss, 300 costs more steps."""

RESIDUAL = 0.03
"""The start is also centred for this share of the average ||T_i' r||, where that exceeds beta.

Tiny beta alone would let complementarity fall to nothing long before the stationarity residual.
"""

OVERSHOOT = 30.0
"""No starting block alone may exceed the targets by more than this factor (matters for tiny beta)."""

PATIENCE = 15
"""Iterations without a smaller gap before giving up."""

CONE_WEIGHT = 0.1
"""Complementarity target of a block's gauge, in units of its number of walls times mu.

With equal targets a block of thousands of walls hugs the boundary of its second-order cone, and steps
stay short: digits with 3 x 3 patches then stall at a gap of 0.8 instead of converging in 60 steps.
"""


@dataclass(frozen=True, eq=False)
class _State:
    """One point of the central path's neighbourhood; m blocks in family-major order."""

    v: Array  # (m, p)
    t: Array  # (m,)
    z: Array  # (m, q)
    offset: float
    cones: Inequalities | None  # shape (m, H)
    loss: LossTerm


class InteriorPoint:
    """Iterates of a program; see the module docstring.

    Parameters
    ----------
    program : Program
    max_iterations : int
        Each costs one factorisation; 15 to 30 are usual, with tiny beta on images up to 200.
    """

    def __init__(self, program: Program, *, max_iterations: int = 500) -> None:
        self._program, self._max_iterations = program, max_iterations
        p = program.rows.dimension
        self._maps = np.ascontiguousarray(program.operator.blocks().transpose(1, 2, 0))  # (P, p, n)
        self._operator = SignedMaps(self._maps, program.families.size)
        self._normals = program.walls.normals if program.cone_penalty > 0.0 else np.zeros((0, p))
        self._sign = np.where(program.cells.signs, 1.0, -1.0)[:, : self._normals.shape[0]]
        upper = np.triu_indices(p)
        self._outer = self._normals[:, upper[0]] * self._normals[:, upper[1]]
        self._upper = upper
        self._penalised = program.gauge.penalised
        self._weight = max(1.0, CONE_WEIGHT * self._normals.shape[0])

    def __iter__(self) -> Iterator[Iterate]:
        with np.errstate(all="ignore"):
            state = self._start()
        report = self._report(state, 1.0)
        yield report
        least, idle = report.gap, 0
        for iteration in range(1, self._max_iterations + 1):
            with np.errstate(all="ignore"):
                following = self._advance(state)
            if following is None:
                return
            state = following
            report = self._report(state, 1.0 + 6.0 * iteration)
            yield report
            # Rounding ends all progress somewhere: then further steps only lose digits.
            idle = 0 if report.gap < least else idle + 1
            least = min(least, report.gap)
            if idle >= PATIENCE:
                return

    # -- linear maps -------------------------------------------------------------------------------

    def _slacks(self, v: Array) -> Array:
        """K v; result (m, H)."""
        families, cells, _ = self._program.shape
        values = (v @ self._normals.T).reshape(families, cells, -1)
        values *= self._sign
        return np.asarray(values.reshape(families * cells, -1))

    def _push(self, l: Array) -> Array:  # noqa: E741
        """K' l; l (m, H), result (m, p)."""
        families, cells, _ = self._program.shape
        signed = l.reshape(families, cells, -1) * self._sign
        return np.asarray(signed.reshape(families * cells, -1) @ self._normals)

    # -- the method --------------------------------------------------------------------------------

    def _start(self) -> _State:
        program = self._program
        families, cells, _ = program.shape
        constant = program.loss.best_constant() if program.offset else 0.0
        f = np.full(program.rows.samples, constant)
        scale = max(program.loss.value(f), 1e-300)
        # Blocks that together spend the loss of the zero network on their gauges, unless beta is so small
        # that each would then overshoot the targets by itself.
        centres = np.tile(program.cells.centres, (families, 1))
        sizes = np.linalg.norm(centres, axis=1, keepdims=True)
        effects = np.einsum("ipn,ip->in", self._maps, program.cells.centres / sizes[:cells])
        effect = float(np.sqrt(np.mean(np.sum(effects**2, axis=1))))
        wanted = float(np.linalg.norm(program.loss.gradient(f) / program.loss.weights))
        length = scale / (program.beta * families * cells)
        if effect > 0.0:
            length = min(length, OVERSHOOT * wanted / effect)
        capped = program.cone_penalty < np.inf
        v = np.zeros_like(centres) if program.cone_penalty == 0.0 else length * centres / sizes
        price = float(np.linalg.norm(self._operator.adjoint(program.loss.gradient(f)), axis=1).mean())
        # With CENTRING = 1 the analytic centre balances the gauge, K' l = beta v / ||v||.
        walls = max(self._normals.shape[0], 1)
        mu = CENTRING * max(program.beta, RESIDUAL * price) * length / walls
        gauges = program.gauge.value(v)
        t = second_order.central_heights(gauges, program.beta, self._weight * mu)
        z = -program.beta * v[:, self._penalised] / t[:, None]
        cones = None
        if self._normals.shape[0]:
            slack = self._slacks(v)
            caps = np.broadcast_to(program.wall_caps, slack.shape)
            cones = Inequalities.capped(slack, caps, mu) if capped else Inequalities.hard(slack, mu)
        f = f + self._operator.forward(v)
        return _State(v, t, z, constant, cones, loss_term(program.loss, f, mu))

    def _report(self, state: _State, passes: float) -> Iterate:
        program = self._program
        shape = program.shape
        f, r = state.loss.f, state.loss.residual
        gradient = self._operator.adjoint(r)
        primal = program.loss.value(f) + program.beta * float(program.gauge.value(state.v).sum())
        multipliers = None
        if state.cones is not None:
            gradient = gradient + self._push(state.cones.l)
            multipliers = state.cones.l.reshape(shape[0], shape[1], -1)
            if state.cones.u is not None:
                below = np.maximum(0.0, -self._slacks(state.v))
                primal += float(np.sum(below @ program.wall_caps))
        price = float(np.linalg.norm(gradient[:, self._penalised], axis=1).max(initial=0.0))
        largest = program.beta / price if price > 0.0 else np.inf
        dual = program.loss.dual_value(program.loss.best_scale(r, largest) * r)
        # What the free coordinates still violate, at the price of their present values.
        free = ~self._penalised
        dual -= float(np.abs(gradient[:, free] * state.v[:, free]).sum())
        dual -= abs(state.offset * float(r.sum())) if program.offset else 0.0
        return Iterate(state.v.reshape(shape), state.offset, r, multipliers, primal, dual, passes)

    def _advance(self, state: _State) -> _State | None:
        """One predictor-corrector step, or None if no further progress can be made."""
        program = self._program
        loss, cones = state.loss, state.cones
        head = np.full_like(state.t, program.beta)
        primal_cone = np.concatenate([state.t[:, None], state.v[:, self._penalised]], axis=1)
        dual_cone = np.concatenate([head[:, None], state.z], axis=1)
        sizes = second_order.determinant(primal_cone), second_order.determinant(dual_cone)
        scaling = second_order.Scaling.of(primal_cone, dual_cone, sizes)
        gauges = _Gauges(primal_cone, dual_cone, sizes, scaling)
        curvature = loss.linearise(0.0, None)[1]
        try:
            hessians = self._hessians(scaling, cones)
            system = NewtonSystem(
                self._maps,
                program.families,
                hessians,
                curvature,
                offset=program.offset,
                smooth=program.loss.smooth,
            )
        except np.linalg.LinAlgError:
            return None

        count = self._weight * state.t.size + loss.count + (cones.count if cones else 0)
        total = float(np.vdot(primal_cone, dual_cone)) + loss.complementarity()
        total += cones.complementarity() if cones else 0.0
        mu = total / count

        predictor = self._direction(state, gauges, system, 0.0, 1.0, None)
        if predictor is None:
            return None
        reach = min(1.0, predictor.longest)
        # Complementarity must not run away from the equation of a nonlinear loss.
        sigma = max((1.0 - reach) ** 3, min(1.0, loss.mismatch() / total))
        second = (
            second_order.product(scaling.solve(predictor.cone), scaling.times(predictor.dual)),
            cones.products(predictor.slacks) if cones else None,
            loss.products(predictor.margins),
        )
        corrector = self._direction(state, gauges, system, sigma * mu, 1.0 - sigma, second)
        if corrector is None:
            return None
        length = min(1.0, 0.99 * corrector.longest)
        if length < 0.2:
            # Far from the path the second-order terms mislead: a first-order step that asks for less.
            attempt = self._direction(state, gauges, system, 0.8 * mu, 0.2, None)
            if attempt is not None and min(1.0, 0.99 * attempt.longest) > length:
                corrector, length = attempt, min(1.0, 0.99 * attempt.longest)
        if length < 1e-10:
            return None
        moved = self._moved(state, corrector, length)
        finite = np.isfinite(moved.v).all() and np.isfinite(moved.t).all() and np.isfinite(moved.loss.f).all()
        return moved if finite else None

    def _hessians(self, scaling: second_order.Scaling, cones: Inequalities | None) -> Array:
        """B_b = E' H_b E + K_b' diag(weight) K_b; result (m, p, p)."""
        m, p = scaling.eta.size, self._program.rows.dimension
        kept = np.flatnonzero(self._penalised)
        diagonal, tail, factor = scaling.hessian
        hessians = np.zeros((m, p, p))
        if cones is not None:
            packed = cones.linearise(0.0)[1] @ self._outer
            hessians[:, self._upper[0], self._upper[1]] = packed
            hessians[:, self._upper[1], self._upper[0]] = packed
        hessians[:, kept[:, None], kept[None, :]] -= factor[:, None, None] * tail[:, :, None] * tail[:, None, :]
        hessians[:, kept, kept] += diagonal[:, None]
        if cones is None and kept.size < p:
            # A proximal term for the free coordinates of gated blocks, which nothing else holds.
            free = np.flatnonzero(~self._penalised)
            size = np.einsum("ipn,ipn->p", self._maps, self._maps)[free] + 1e-300
            hessians[:, free, free] += 1e-7 * size / self._program.cells.count
        return hessians

    def _direction(
        self,
        state: _State,
        gauges: _Gauges,
        system: NewtonSystem,
        mu: float,
        reduction: float,
        second: tuple[Array, tuple[Array, ...] | None, tuple[Array, ...]] | None,
    ) -> _Direction | None:
        """The Newton direction that aims at complementarity `mu` and removes a share of the residual."""
        loss, cones, scaling = state.loss, state.cones, gauges.scaling
        cone_products, slack_products, margin_products = second if second is not None else (None, None, None)
        target = -product_target(scaling, self._weight * mu, cone_products)
        constant_z, head = scaling.eliminate(scaling.solve(target))
        constant_r, _ = loss.linearise(mu, margin_products)
        residual = self._operator.adjoint(loss.residual + constant_r)
        residual[:, self._penalised] += state.z + constant_z
        constant_l = weight = None
        if cones is not None:
            constant_l, weight = cones.linearise(mu, slack_products)
            residual += self._push(cones.l + constant_l)
        right_offset = float(np.sum(reduction * loss.residual + constant_r)) if self._program.offset else 0.0
        if reduction != 1.0:
            residual -= (1.0 - reduction) * self._residual(state)
        # The predictor only measures how far one can go: with constant curvature it needs no refinement.
        dv, db, image = system.solve(residual, right_offset, refine=mu > 0.0 or not self._program.loss.quadratic)
        if not np.isfinite(dv).all():
            return None
        df = self._operator.forward(dv) + db
        dve = dv[:, self._penalised]
        dt = scaling.height(head, dve)
        diagonal, tail, factor = scaling.hessian
        dz = constant_z - diagonal[:, None] * dve + (factor * second_order.inner(tail, dve))[:, None] * tail
        slacks: tuple[Array, ...] = ()
        if cones is not None and constant_l is not None and weight is not None:
            change = self._slacks(dv)
            slacks = cones.step(change, constant_l - weight * change, mu, slack_products)
        margins = loss.direction(df, image, mu, margin_products)
        cone = np.concatenate([dt[:, None], dve], axis=1)
        dual = np.concatenate([np.zeros((dt.size, 1)), dz], axis=1)
        longest = min(
            second_order.longest(gauges.primal, gauges.sizes[0], cone),
            second_order.longest(gauges.dual, gauges.sizes[1], dual),
            cones.longest(slacks) if cones else np.inf,
            loss.longest(margins),
        )
        return _Direction(dv, db, df, cone, dual, slacks, margins, longest)

    def _residual(self, state: _State) -> Array:
        """A' r + K' l + E z, zero at the solution; (m, p)."""
        residual = self._operator.adjoint(state.loss.residual)
        residual[:, self._penalised] += state.z
        if state.cones is not None:
            residual += self._push(state.cones.l)
        return residual

    def _moved(self, state: _State, direction: _Direction, length: float) -> _State:
        return _State(
            state.v + length * direction.dv,
            state.t + length * direction.cone[:, 0],
            state.z + length * direction.dual[:, 1:],
            state.offset + length * direction.offset,
            state.cones.moved(direction.slacks, length) if state.cones else None,
            state.loss.moved(direction.df, direction.margins, length),
        )


@dataclass(frozen=True, eq=False)
class _Gauges:
    """The second-order cones of one iteration."""

    primal: Array  # (m, 1 + q): t, E v
    dual: Array  # (m, 1 + q): beta, z
    sizes: tuple[Array, Array]  # their determinants, (m,)
    scaling: second_order.Scaling


@dataclass(frozen=True, eq=False)
class _Direction:
    dv: Array  # (m, p)
    offset: float
    df: Array  # (n,)
    cone: Array  # (m, 1 + q): dt, E dv
    dual: Array  # (m, 1 + q): 0, dz
    slacks: tuple[Array, ...]
    margins: tuple[Array, ...]
    longest: float


def product_target(scaling: second_order.Scaling, mu: float, products: Array | None) -> Array:
    """Solution of lambda o x = lambda o lambda + products - mu e: what the scaled direction has to remove."""
    point = scaling.point
    remove = second_order.product(point, point)
    if products is not None:
        remove = remove + products
    remove[:, 0] -= mu
    return second_order.divide(point, remove)
