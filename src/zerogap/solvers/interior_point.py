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
from zerogap.solvers import kernels, second_order
from zerogap.solvers.inequalities import NOTHING, Inequalities
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
    cones: Inequalities | None  # shape (m, H), with the signs of the cells
    loss: LossTerm
    gradient: Array  # A' r, (m, p)
    polar: Array | float  # K' l, (m, p)

    def stationarity(self, kept: NDArray[np.intp]) -> Array:
        """A' r + K' l + E z, zero at the solution; (m, p)."""
        residual = self.gradient + self.polar
        residual[:, kept] += self.z
        return residual


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
        sign = np.where(program.cells.signs, 1.0, -1.0)[:, : self._normals.shape[0]]
        self._sign = np.tile(sign, (program.families.size, 1))
        upper = np.triu_indices(p)
        self._outer = self._normals[:, upper[0]] * self._normals[:, upper[1]]
        self._penalised = program.gauge.penalised
        self._kept = np.flatnonzero(self._penalised)
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
        """K v, with the signs of the cells; result (m, H)."""
        return np.asarray(v @ self._normals.T)

    def _push(self, l: Array) -> Array:  # noqa: E741
        """K' l, for l with the signs of the cells; l (m, H), result (m, p)."""
        return np.asarray(l @ self._normals)

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
            caps = self._sign * program.wall_caps if capped else slack
            cones = Inequalities.capped(slack, caps, mu) if capped else Inequalities.hard(slack, mu)
        f = f + self._operator.forward(v)
        return self._state(v, t, z, constant, cones, loss_term(program.loss, f, mu))

    def _state(self, v: Array, t: Array, z: Array, offset: float, cones: Inequalities | None, loss: LossTerm) -> _State:
        polar = self._push(cones.l) if cones is not None else 0.0
        return _State(v, t, z, offset, cones, loss, self._operator.adjoint(loss.residual), polar)

    def _report(self, state: _State, passes: float) -> Iterate:
        program = self._program
        shape = program.shape
        f, r = state.loss.f, state.loss.residual
        gradient = state.gradient + state.polar
        primal = program.loss.value(f) + program.beta * float(kernels.norms(state.v, self._kept).sum())
        multipliers = None
        if state.cones is not None:
            multipliers = np.abs(state.cones.l).reshape(shape[0], shape[1], -1)
            if state.cones.u is not None:
                below = np.maximum(0.0, -self._sign * self._slacks(state.v))
                primal += float(np.sum(below @ program.wall_caps))
        price = float(kernels.norms(gradient, self._kept).max(initial=0.0))
        largest = program.beta / price if price > 0.0 else np.inf
        dual = program.loss.dual_value(program.loss.best_scale(r, largest) * r)
        # What the free coordinates still violate, at the price of their present values.
        if self._kept.size < shape[2]:
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
        sizes = second_order.determinants(primal_cone), second_order.determinants(dual_cone)
        eta, w, point = second_order.scaling(primal_cone, dual_cone, *sizes)
        gauges = _Gauges(primal_cone, dual_cone, sizes, eta, w, point)
        curvature = loss.linearise(0.0, None)[1]
        try:
            hessians = self._hessians(eta, w, cones)
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
            second_order.products(eta, w, predictor.cone, predictor.dual),
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

    def _hessians(self, eta: Array, w: Array, cones: Inequalities | None) -> Array:
        """B_b = E' H_b E + K_b' diag(weight) K_b; result (m, p, p)."""
        p = self._program.rows.dimension
        packed = NOTHING if cones is None else cones.weights() @ self._outer
        hessians = np.asarray(kernels.assemble(packed, eta, w, self._kept, p))
        if cones is None and self._kept.size < p:
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
        loss, cones = state.loss, state.cones
        cone_products, slack_products, margin_products = second if second is not None else (NOTHING, None, None)
        constant_z, head = second_order.eliminated(gauges.eta, gauges.w, gauges.point, self._weight * mu, cone_products)
        constant_r, _ = loss.linearise(mu, margin_products)
        residual = state.gradient.copy() if loss.exact else self._operator.adjoint(loss.residual + constant_r)
        residual[:, self._penalised] += state.z + constant_z
        aim = NOTHING
        if cones is not None:
            aim = cones.aim(mu, slack_products)
            if aim.size:
                residual += self._push(aim)
        right_offset = float(np.sum(reduction * loss.residual + constant_r)) if self._program.offset else 0.0
        if reduction != 1.0:
            residual -= (1.0 - reduction) * state.stationarity(self._kept)
        # The predictor only measures how far one can go: with constant curvature it needs no refinement.
        dv, db, df, image = system.solve(residual, right_offset, refine=mu > 0.0 or not self._program.loss.quadratic)
        if not np.isfinite(dv).all():
            return None
        cone, dual = second_order.directions(gauges.eta, gauges.w, constant_z, head, dv, self._kept)
        slacks: tuple[Array, ...] = ()
        room = np.inf
        if cones is not None:
            slacks, room = cones.respond(self._slacks(dv), aim, mu, slack_products)
        margins = loss.direction(df, image, mu, margin_products)
        shrink = max(
            second_order.shrinkage(gauges.primal, gauges.sizes[0], cone),
            second_order.shrinkage(gauges.dual, gauges.sizes[1], dual),
        )
        longest = min(
            1.0 / shrink if shrink > 0.0 else np.inf,
            room,
            loss.longest(margins),
        )
        return _Direction(dv, db, df, cone, dual, slacks, margins, longest)

    def _moved(self, state: _State, direction: _Direction, length: float) -> _State:
        return self._state(
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
    eta: Array  # the scaling, and its point, as in ``second_order.scaling``
    w: Array
    point: Array


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
