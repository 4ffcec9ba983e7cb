"""The definitions of the papers in exact arithmetic: what every rounded figure of the package is compared with.

Floats are rational numbers, so objectives, dual values and prices of float data are computed without
rounding. Only the logistic loss needs a logarithm; it is taken with 60 decimal digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

Vector = list[Fraction]

_CONTEXT = Context(prec=60, Emin=-(10**9), Emax=10**9)


def exact(values: Iterable[Any]) -> Vector:
    return [Fraction(float(value)) for value in values]


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _log(value: Decimal) -> Decimal:
    return _CONTEXT.ln(value)


# -- networks ------------------------------------------------------------------------------------------


def rows(architecture: Any, X: Any) -> list[list[Vector]]:
    """Rows (n, K, p) of an MLP, or of a CNN on series (n, length) with stride 1 and no padding."""
    samples = [exact(sample) for sample in np.asarray(X, dtype=float)]
    width = getattr(architecture, "kernel_size", None)
    ones = [] if architecture.bias is False else [Fraction(1)]
    if width is None:
        return [[sample + ones] for sample in samples]
    return [[sample[k : k + width] + ones for k in range(len(sample) - width + 1)] for sample in samples]


def outputs(network: Any, data: list[list[Vector]]) -> Vector:
    """f(x) of the float weights."""
    scale = Fraction(1, len(data[0])) if getattr(network.architecture, "pooling", "sum") == "average" else Fraction(1)
    first, second = [exact(u) for u in network.first], exact(network.second)
    gates = first if network.gates is None else [exact(g) for g in network.gates]
    result = []
    for sample in data:
        total = Fraction(float(network.offset))
        for u, w, g in zip(first, second, gates, strict=True):
            total += scale * w * sum((dot(m, u) for m in sample if dot(m, g) >= 0), Fraction(0))
        result.append(total)
    return result


def loss_value(loss: str, y: Vector, weights: Vector, f: Vector) -> Fraction:
    """L(f)."""
    if loss == "squared":
        return sum((c * (a - b) ** 2 for c, a, b in zip(weights, f, y, strict=True)), Fraction(0)) / 2
    if loss == "hinge":
        return sum((c * max(Fraction(0), 1 - b * a) for c, a, b in zip(weights, f, y, strict=True)), Fraction(0))
    total = Fraction(0)
    for c, a, b in zip(weights, f, y, strict=True):
        margin = a * b
        # log(1 + exp(-m)) = log(1 + exp(-|m|)) + max(-m, 0)
        inner = _CONTEXT.add(Decimal(1), _CONTEXT.exp(_decimal(-abs(margin))))
        total += c * (Fraction(_log(inner)) + max(-margin, Fraction(0)))
    return total


def objective(
    network: Any, X: Any, y: Any, *, loss: str = "squared", beta: float, sample_weight: Any = None
) -> Fraction:
    """L(f) + beta/2 sum (||E u||^2 + w^2) + rho sum |w| contradiction."""
    data = rows(network.architecture, X)
    weights = exact(np.ones(len(data)) if sample_weight is None else sample_weight)
    value = loss_value(loss, exact(np.ravel(y)), weights, outputs(network, data))
    free = 1 if network.architecture.bias == "free" else 0
    for u, w in zip(network.first, network.second, strict=True):
        kept = exact(u[: u.size - free])
        value += Fraction(float(beta)) * (dot(kept, kept) + Fraction(float(w)) ** 2) / 2
    rho = Fraction(float(network.architecture.cone_penalty))
    if network.gates is not None and rho:
        for u, w, g in zip(network.first, network.second, network.gates, strict=True):
            for weight, m in ((c, m) for c, sample in zip(weights, data, strict=True) for m in sample):
                sign = 1 if dot(m, exact(g)) >= 0 else -1
                value += rho * weight * abs(Fraction(float(w))) * max(Fraction(0), -sign * dot(m, exact(u)))
    return value


# -- dual ----------------------------------------------------------------------------------------------


def _entropy(q: Fraction) -> Fraction:
    if q in (0, 1):
        return Fraction(0)
    return -q * Fraction(_log(_decimal(q))) - (1 - q) * Fraction(_log(_decimal(1 - q)))


def dual_value(loss: str, y: Vector, weights: Vector, r: Vector) -> Fraction:
    """-L*(-r) for r in the dual domain."""
    if loss == "squared":
        return sum((a * b - b * b / (2 * c) for a, b, c in zip(y, r, weights, strict=True)), Fraction(0))
    shares = [a * b / c for a, b, c in zip(y, r, weights, strict=True)]
    assert all(0 <= q <= 1 for q in shares)
    if loss == "hinge":
        return dot(y, r)
    return sum((c * _entropy(q) for c, q in zip(weights, shares, strict=True)), Fraction(0))


# -- cells ---------------------------------------------------------------------------------------------


def rank(vectors: Iterable[Vector]) -> int:
    """Of a list of rational vectors, by elimination."""
    left, found = [list(v) for v in vectors], 0
    while left:
        head = left.pop()
        pivot = next((k for k, entry in enumerate(head) if entry), None)
        if pivot is None:
            continue
        found += 1
        left = [[a - b * v[pivot] / head[pivot] for a, b in zip(v, head, strict=True)] for v in left]
    return found


def count_cells(matrix: Any) -> int:
    """Whitney's theorem: the sum of (-1)^(|S| + rank S) over all sets S of distinct hyperplanes."""
    planes: list[Vector] = []
    for row in matrix:
        vector = exact(row)
        if any(vector) and not any(rank([vector, plane]) == 1 for plane in planes):
            planes.append(vector)
    subsets = (chosen for size in range(len(planes) + 1) for chosen in combinations(planes, size))
    return sum((-1) ** (len(chosen) + rank(chosen)) for chosen in subsets)


def signs(matrix: Any, point: Any) -> tuple[int, ...]:
    """The sign of every row at a point."""
    values = [dot(exact(row), exact(point)) for row in matrix]
    return tuple((value > 0) - (value < 0) for value in values)


def price_squared(matrix: Any, r: Vector, side: Sequence[int], *, free: bool = False) -> Fraction:
    """Square of max { r . T u : u in the cell, ||E u|| <= 1 } for rows (n, 2), each active where its side is 1.

    The maximum lies on one of the two extreme rays of the cell, or at r . T itself. With `free` the second
    coordinate is not penalised, and the maximum must be finite.
    """
    lines = [exact(row) for row in matrix]
    gradient = [sum((s * m[k] for s, m, a in zip(r, lines, side, strict=True) if a > 0), Fraction(0)) for k in (0, 1)]

    def inside(u: Vector) -> bool:
        return all(a * dot(m, u) >= 0 for m, a in zip(lines, side, strict=True))

    if not free and inside(gradient):
        return dot(gradient, gradient)
    best = Fraction(0)
    for m in lines:
        for ray in ([-m[1], m[0]], [m[1], -m[0]]):
            if not any(ray) or not inside(ray):
                continue
            gain, length = dot(gradient, ray), ray[0] ** 2 if free else dot(ray, ray)
            if gain > 0:
                assert length > 0
                best = max(best, gain**2 / length)
    return best
