r"""A structured primal-dual interior point method for the cell program.

    minimise  L(f) + beta sum_b t_b + sum cap (-s)_+
    f = sum_b A_b v_b + b 1,   s_b = K_b v_b,   (t_b, E v_b) in the second-order cone

Optimality, with r = -grad L(f), l >= 0 the cone multipliers and (beta, z_b) the dual of the gauge:

    A_b' r + K_b' l_b + E z_b = 0,   ||z_b|| <= beta,   1' r = 0 with an offset.

Everything but v and the offset is eliminated block by block (Nesterov-Todd scaling for the gauge), so a
step costs one batched product for the blocks B_b, and one Cholesky factor of size min(n, m p). Primal
feasibility is kept throughout: every iterate is a network inside its cells, and may be handed out.
Mehrotra's predictor and corrector choose the centring. Only the walls near a cell are barriers (``near_walls``),
and blocks that will vanish leave early (``absent``).

Arrays of blocks have one column per block; those of their k walls, (m, k), one row.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerogap.arrangements.centres import unit
from zerogap.program import Program
from zerogap.solvers import kernels, map_kernels, second_order
from zerogap.solvers.absent import EXCESS, IDENTIFIED, NOTABLE, OVERDUE, SHARE, WORTHWHILE, Absent, vanishing
from zerogap.solvers.cone_terms import NOTHING, ConeTerm, PenalisedCones
from zerogap.solvers.hard_cones import AllWalls, HardCones, scattered
from zerogap.solvers.iterate import Iterate
from zerogap.solvers.kkt import NewtonSystem
from zerogap.solvers.loss_terms import LossTerm, loss_term
from zerogap.solvers.maps import CellMaps, SignedMaps
from zerogap.solvers.near_walls import NearWalls

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

SPENT = 2.0
"""The gauges of all starting blocks: the loss of the zero network times this and the cubic root of beta over prices.

At most that loss. With other roots from 0.25 to 0.7 and factors to match, iterations are as many within two percent.
"""

CENTRING = 10.0
"""Penalised cones start this far above the balanced central path: their kept centres are those of all walls."""

RESIDUAL = 0.03
"""The start is also centred for this share of the average ||T_i' r||, where that exceeds beta.

Tiny beta alone would let complementarity fall to nothing long before the stationarity residual.
"""

LONGER = 3.0
"""With the hinge loss mu is larger at the start, and blocks up to this many times longer; 10 and more lose digits."""

OVERSHOOT = 30.0
"""No starting block alone may exceed the targets by more than this factor (matters for tiny beta)."""

PATIENCE = 15
"""Iterations without a smaller gap before giving up."""

CONE_WEIGHT = 0.3
"""Complementarity target of a block's gauge, in units of its number of near walls times mu.

With equal targets a block of many walls hugs the boundary of its second-order cone, and steps stay short: when all
walls were barriers, digits with 3 x 3 patches stalled at a gap of 0.8.
"""


class _State(NamedTuple):
    """One point of the central path's neighbourhood; m of all M blocks are present."""

    present: Indices  # (m,), which of all blocks; those of one cell are next to each other
    order: Indices  # (M,), where all blocks are in the list of the present and then the absent ones
    operator: SignedMaps  # A of the present ones
    v: Array  # (p, m)
    t: Array  # (m,)
    z: Array  # (q, m)
    offset: float
    cones: ConeTerm | None
    loss: LossTerm
    absent: Absent
    pull: Array  # A' r + K' l, (p, m)
    total: float  # the sum of all complementarity products
    price: float  # the largest ||E (A' r + K' l)|| of all blocks


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
        families, cells, _ = program.shape
        cell, sign = np.repeat(np.arange(cells), families), np.tile(program.families, cells)
        self._everyone = SignedMaps(CellMaps(*program.transposed_maps()), cell, sign)
        self._capped = 0.0 < program.cone_penalty < np.inf
        self._walls, self._near, near = None, None, 0
        if program.cone_penalty > 0.0 and program.walls.count:
            self._walls = AllWalls(program.walls.normals, program.cells.signs)
            near = program.walls.count
            if not self._capped:
                self._near = NearWalls.nearest(self._walls.normals, self._walls.signs, program.cells.centres)
                near = self._near.which.shape[1]
        self._barriers = near  # of each block
        self._kept = np.flatnonzero(program.gauge.penalised)
        self._free = np.flatnonzero(~program.gauge.penalised)
        self._weight = max(1.0, CONE_WEIGHT * self._barriers)
        # Multiplications that a block costs in every Newton matrix.
        self._work = p * (program.rows.samples**2 + p * self._barriers)

    def __iter__(self) -> Iterator[Iterate]:
        # Multipliers of an absent block would have to keep below caps, or balance free coordinates exactly.
        may_leave = not self._capped and not self._free.size
        may_leave = may_leave and 0.8 * self._everyone.cell.size * self._work > WORTHWHILE
        complete: _State | None = None  # the last point with everyone, once blocks have left
        with np.errstate(all="ignore"):
            state = self._start()
        report = self._report(state, 1.0)
        yield report
        least, idle = report.gap, 0
        for iteration in range(1, self._max_iterations + 1):
            with np.errstate(all="ignore"):
                following = self._advance(state)
            if following is not None:
                report = self._report(following, 1.0 + 6.0 * iteration)
                yield report
                # Rounding ends all progress somewhere: then further steps only lose digits.
                idle = 0 if report.gap < least else idle + 1
                least = min(least, report.gap)
            last = state if following is None else following
            ended = following is None or idle >= PATIENCE
            if complete is not None and last.absent.overdue >= (1 if ended else OVERDUE):
                state, complete, may_leave, least, idle = complete, None, False, np.inf, 0
            elif ended:
                return
            else:
                before, state = state, last
                if may_leave and least < IDENTIFIED:
                    complete = state if complete is None else complete
                    state = self._without_vanishing(state, before)

    # -- the method --------------------------------------------------------------------------------

    def _start(self) -> _State:
        program, everyone = self._program, self._everyone
        families, cells, p = program.shape
        constant = program.loss.best_constant() if program.offset else 0.0
        f = np.full(program.rows.samples, constant)
        scale = max(program.loss.value(f), 1e-300)
        centres = unit(program.cells.centres)
        if self._near is not None and self._walls is not None:
            centres = self._near.centred(centres, self._walls.normals, self._walls.signs)
        gradient = program.loss.gradient(f)
        price = float(np.linalg.norm(everyone.adjoint(gradient), axis=0).mean())
        # Blocks that together spend about the optimal value on their gauges: the loss of the zero network where beta
        # is close to the prices, less where it is far below. No block may overshoot the targets by itself.
        share = 1.0 if self._capped else min(1.0, SPENT * float(np.cbrt(program.beta / max(price, 1e-300))))
        length = share * scale / (program.beta * families * cells)
        effects = everyone.maps.predictions(centres)
        effect = float(np.sqrt(np.vdot(effects, effects) / cells))
        if effect > 0.0:
            length = min(length, OVERSHOOT * float(np.linalg.norm(gradient / program.loss.weights)) / effect)
        # The centres balance the gauge, K' l = beta v / ||v||.
        mu = max(program.beta, RESIDUAL * price) * length / max(self._barriers, 1)
        if self._capped:
            mu *= CENTRING
        elif not program.loss.smooth:
            # Multipliers of the loss start near their caps if mu is far below these, and stay there for long.
            enlarged = max(1.0, float(program.loss.weights.mean()) / mu)
            length, mu = min(enlarged, LONGER) * length, enlarged * mu
        v = (0.0 if program.cone_penalty == 0.0 else length) * np.repeat(centres.T, families, axis=1)
        t = second_order.central_heights(kernels.norms(v, self._kept), program.beta, self._weight * mu)
        z = -program.beta * v[self._kept] / t
        cones: ConeTerm | None = None
        if self._near is not None and self._walls is not None:
            cones = HardCones.start(self._walls, self._near, everyone.cell, v, mu)
        elif self._walls is not None:
            signs = np.where(self._walls.signs[everyone.cell], 1.0, -1.0)
            cones = PenalisedCones.start(self._walls.normals, signs, program.wall_caps, v, mu)
        present = np.arange(families * cells)
        loss = loss_term(program.loss, f + everyone.forward(v), mu)
        absent = Absent.nobody(p, f.size)
        return self._state(present, present, everyone, v, t, z, constant, cones, loss, absent)

    def _state(
        self,
        present: Indices,
        order: Indices,
        operator: SignedMaps,
        v: Array,
        t: Array,
        z: Array,
        offset: float,
        cones: ConeTerm | None,
        loss: LossTerm,
        absent: Absent,
    ) -> _State:
        everyone = self._everyone
        polar = NOTHING if cones is None else cones.polar
        cell, sign = everyone.cell[present], everyone.sign[present]
        pull, price, responses = kernels.pulled(
            loss.residual, cell, sign, *everyone.maps.arrays, v.shape[0], polar, self._kept
        )
        total = self._total(v, t, z, cones, loss)
        if absent.members.size:
            gradient = map_kernels.spread(responses, everyone.cell[absent.members], everyone.sign[absent.members])
            # Prices may be higher by what costs the dual value little beside the gap, which is about `total`.
            limit = max(self._program.beta, price) * (1.0 + EXCESS * total / (self._program.beta * float(t.sum())))
            near = cones.near if isinstance(cones, HardCones) else None
            absent = absent.priced(gradient, limit, near, everyone.cell[absent.members])
            price = max(price, absent.price)
        return _State(present, order, operator, v, t, z, offset, cones, loss, absent, pull, total, price)

    def _total(self, v: Array, t: Array, z: Array, cones: ConeTerm | None, loss: LossTerm) -> float:
        """The sum of all complementarity products."""
        total = float(kernels.gauge_products(self._program.beta, t, v, z, self._kept))
        return total + loss.complementarity() + (0.0 if cones is None else cones.complementarity())

    def _report(self, state: _State, passes: float) -> Iterate:
        program, absent = self._program, state.absent
        families, cells, p = program.shape
        f, r = state.loss.f, state.loss.residual
        v = state.v
        if absent.members.size:
            v = np.take(np.concatenate([v, absent.v], axis=1), state.order, axis=1)
        primal = program.loss.value(f) + program.beta * float(kernels.norms(v, self._kept).sum())
        primal += 0.0 if state.cones is None else state.cones.violation(v)
        largest = program.beta / state.price if state.price > 0.0 else np.inf
        dual = program.loss.dual_value(program.loss.best_scale(r, largest) * r)
        # What the free coordinates still violate, at the price of their present values.
        if self._free.size:
            dual -= float(np.abs(state.pull[self._free] * v[self._free]).sum())
        dual -= abs(state.offset * float(r.sum())) if program.offset else 0.0
        blocks = np.ascontiguousarray(v.T.reshape(cells, families, p).transpose(1, 0, 2))
        multipliers = None if state.cones is None else partial(self._multipliers, state)
        return Iterate(blocks, state.offset, r, multipliers, primal, dual, passes)

    def _multipliers(self, state: _State) -> Array:
        """Those of all blocks and walls, (families, P, H)."""
        cones, absent = state.cones, state.absent
        assert cones is not None
        l = cones.multipliers()  # noqa: E741
        if isinstance(cones, HardCones) and absent.members.size:
            index = cones.near.which[self._everyone.cell[absent.members]]
            l = np.concatenate([l, scattered(absent.multipliers, index, l.shape[1])])[state.order]  # noqa: E741
        families, cells, _ = self._program.shape
        return np.ascontiguousarray(l.reshape(cells, families, -1).transpose(1, 0, 2))

    def _advance(self, state: _State) -> _State | None:
        """One predictor-corrector step, or None if no further progress can be made."""
        program, loss, cones = self._program, state.loss, state.cones
        gauges = _Gauges(*second_order.scaled(state.t, state.v, state.z, program.beta, self._kept))
        curvature = loss.linearise(0.0, None)[1]
        try:
            system = NewtonSystem(
                state.operator,
                self._hessians(gauges, cones),
                curvature,
                offset=program.offset,
                smooth=program.loss.smooth,
            )
        except np.linalg.LinAlgError:
            return None

        count = self._weight * state.t.size + loss.count + (cones.count if cones else 0)
        mu = state.total / count
        predictor = self._direction(state, gauges, system, 0.0, 1.0, None)
        if predictor is None:
            return None
        reach = min(1.0, predictor.longest)
        # Complementarity must not run away from the equation of a nonlinear loss.
        sigma = max((1.0 - reach) ** 4, min(1.0, loss.mismatch() / state.total))
        corrector = self._direction(state, gauges, system, sigma * mu, 1.0 - sigma, predictor)
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
        return moved if isfinite(moved.total) and isfinite(moved.price) else None

    def _hessians(self, gauges: _Gauges, cones: ConeTerm | None) -> Array:
        """B_b = E' H_b E + K_b' diag(weight) K_b; result packed, (p (p + 1) / 2, m)."""
        if cones is not None:
            hessians = cones.hessians()
        else:
            p = self._program.rows.dimension
            hessians = np.zeros((p * (p + 1) // 2, gauges.eta.size))
        kernels.add_gauges(hessians, gauges.eta, gauges.w, self._kept)
        if cones is None and self._free.size:
            # A proximal term for the free coordinates of gated blocks, which nothing else holds.
            size = self._everyone.maps.squares()[self._free] + 1e-300
            hessians[self._free * (self._free + 3) // 2] += (1e-7 * size / self._program.cells.count)[:, None]
        return hessians

    def _direction(
        self,
        state: _State,
        gauges: _Gauges,
        system: NewtonSystem,
        mu: float,
        reduction: float,
        predictor: _Direction | None,
    ) -> _Direction | None:
        """The Newton direction that aims at complementarity `mu` and removes a share of the residual.

        The second-order terms are those of the predictor, if there is one.
        """
        loss, cones, absent = state.loss, state.cones, state.absent
        cone, dual, slacks, margins = NOTHING, NOTHING, None, None
        if predictor is not None:
            cone, dual, slacks, margins = predictor.cone, predictor.dual, predictor.slacks, predictor.margins
        aim, pushed = (NOTHING, NOTHING) if cones is None else cones.aim(mu, slacks)
        polar = NOTHING if cones is None else cones.polar
        target = self._weight * mu
        # Without A' of the constants of a nonlinear loss.
        constant_z, head, residual = second_order.eliminated(
            *gauges[4:], target, cone, dual, reduction, state.pull, state.z, self._kept, pushed, polar
        )
        right_offset = reduction * float(loss.residual.sum()) if self._program.offset else 0.0
        if not loss.exact:
            constant_r, _ = loss.linearise(mu, margins)
            residual += state.operator.adjoint(constant_r)
            right_offset += float(constant_r.sum()) if self._program.offset else 0.0
        shift = -reduction * absent.image
        # The predictor only measures how far one can go: with constant curvature it needs no refinement.
        dv, db, df, image = system.solve(residual, right_offset, shift, refine=mu > 0.0 or not loss.exact)
        cone, dual, shrink = second_order.directions(
            *gauges[:4], gauges.eta, gauges.w, constant_z, head, dv, self._kept
        )
        if not isfinite(float(dv.sum())):
            return None
        room = np.inf
        changes: tuple[Array, ...] = ()
        if cones is not None:
            changes, room = cones.respond(dv, aim, mu, slacks)
        margins = loss.direction(df, image, mu, margins)
        longest = min(1.0 / shrink if shrink > 0.0 else np.inf, room, loss.longest(margins))
        return _Direction(dv, db, df, cone, dual, changes, margins, reduction, longest)

    def _moved(self, state: _State, direction: _Direction, length: float) -> _State:
        cones, absent = state.cones, state.absent
        step = direction.dv, state.t, direction.cone, state.z, direction.dual
        v, t, z = kernels.moved(length, state.v, *step)
        if isinstance(cones, HardCones) and cones.crosses(state.v, v):
            # The step ends before the wall, and with the next one that wall is a barrier.
            share, entering = cones.crossing(state.v, v)
            length *= share
            v, t, z = kernels.moved(length, state.v, *step)
            near = cones.near.joined(entering, cones.walls.normals, cones.walls.signs)
            cones = cones.moved(direction.slacks, length)
            cones = cones.joined(near, cones.complementarity() / cones.count, v)
            absent = absent.widened()
        elif cones is not None:
            cones = cones.moved(direction.slacks, length)
        return self._state(
            state.present,
            state.order,
            state.operator,
            v,
            t,
            z,
            state.offset + length * direction.offset,
            cones,
            state.loss.moved(direction.df, direction.margins, length),
            absent.walked(length * direction.reduction) if absent.members.size else absent,
        )

    def _without_vanishing(self, state: _State, before: _State) -> _State:
        """The same point, with blocks gone that will vanish; `before` is the point one step earlier."""
        if state.total > NOTABLE * before.total:
            return state
        prices, earlier = (kernels.norms(z, self._kept) / self._program.beta for z in (state.z, before.z))
        leave = vanishing(prices, earlier, state.total / before.total)
        # Somebody has to stay: without blocks there is no Newton system.
        leave[np.argmax(state.t)] = False
        gone, stay = np.flatnonzero(leave), np.flatnonzero(~leave)
        if gone.size <= SHARE * leave.size or gone.size * self._work < WORTHWHILE:
            return state
        members, v = state.present[gone], np.take(state.v, gone, axis=1)
        cell, sign = self._everyone.cell[members], self._everyone.sign[members]
        image = map_kernels.forward(v, cell, sign, *self._everyone.maps.arrays)
        leaving = Absent(members, v, image, np.zeros((gone.size, 0)), np.zeros_like(v))
        cones = state.cones
        if isinstance(cones, HardCones):
            leaving = leaving._replace(multipliers=cones.l[gone], polar=np.take(cones.polar, gone, axis=1))
            cones = cones.take(stay)
        absent, present = state.absent.joined(leaving), state.present[stay]
        v, t, z = np.take(state.v, stay, axis=1), state.t[stay], np.take(state.z, stay, axis=1)
        return state._replace(
            present=present,
            order=np.argsort(np.concatenate([present, absent.members])),
            operator=state.operator.take(stay),
            v=v,
            t=t,
            z=z,
            cones=cones,
            absent=absent,
            pull=np.take(state.pull, stay, axis=1),
            total=self._total(v, t, z, cones, state.loss),
        )


class _Gauges(NamedTuple):
    """The second-order cones of one iteration, from ``second_order.scaled``."""

    primal: Array  # (1 + q, m): t, E v
    dual: Array  # (1 + q, m): beta, z
    size_primal: Array  # their determinants, (m,)
    size_dual: Array
    eta: Array  # the scaling, and its point
    w: Array
    point: Array


class _Direction(NamedTuple):
    dv: Array  # (p, m)
    offset: float
    df: Array  # (n,), with what absent blocks walk
    cone: Array  # (1 + q, m): dt, E dv
    dual: Array  # (1 + q, m): 0, dz
    slacks: tuple[Array, ...]
    margins: tuple[Array, ...]
    reduction: float  # the share of the residual that a full step removes
    longest: float
