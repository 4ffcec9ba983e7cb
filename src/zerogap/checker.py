"""python checker.py CERTIFICATE.json DATA.json: re-check a zerogap certificate from X, y (and sample_weight) alone.
Standard library only; exact rational arithmetic but for logarithms. The format: docs/proofs.md."""

import base64
import itertools
import json
import math
import operator
import sys
import zlib
from fractions import Fraction


def need(condition, what):
    if not condition:
        raise ValueError(f"the evidence lacks {what}")


def dot(a, b):
    return sum(map(operator.mul, a, b))


def whole(table):
    """The table times one power of two, in integers, and that power."""
    scale = max((Fraction(v).denominator for row in table for v in row), default=1)
    return [[int(Fraction(v) * scale) for v in row] for row in table], scale


def rows_of(x, arch):
    """The pre-activation rows of one sample: patches in row-major order, each followed by the 1 of a bias."""
    one, kernel, dims = [1.0] if arch["bias"] else [], arch.get("kernel_size"), []
    while isinstance(x, list):  # flattened one axis at a time
        dims, x = [*dims, len(x) // math.prod(dims)], sum(x, []) if isinstance(x[0], list) else tuple(map(float, x))
    need(arch["kind"] == ("CNN" if kernel else "MLP") and arch["bias"] in (True, False, "free"), "a known network")
    if not kernel:
        return [[*x, *one]]
    series = len(dims) == 1 or (isinstance(kernel, list) and len(kernel) == 1)
    h, w, channels = [dims[0], 1, *dims[1:], 1][:3] if series else [*dims, 1][:3]
    options = [arch[name] for name in ("kernel_size", "stride", "padding", "dilation")]
    pairs = [(v if isinstance(v, list) else [v] * (2 - series)) + [o] for v, o in zip(options, (1, 1, 0, 1))]
    (kh, kw, *_), (sh, sw, *_), (ph, pw, *_), (dh, dw, *_) = pairs
    inside = list(itertools.product(range(0, kh * dh, dh), range(0, kw * dw, dw), range(channels)))
    x = dict(zip(itertools.product(range(h), range(w), range(channels)), x))
    tops, lefts = range(-ph, h + ph - dh * (kh - 1), sh), range(-pw, w + pw - dw * (kw - 1), sw)
    return [[x.get((i + a, j + b, c), 0.0) for a, b, c in inside] + one for i in tops for j in lefts]


def loss_above(loss, f, t, weight):
    if loss != "logistic":
        return weight * ((f - t) ** 2 / 2 if loss == "squared" else max(1 - t * f, 0))
    z = float(-t * f)
    return weight * Fraction((max(z, 0.0) + math.log1p(math.exp(-abs(z)))) * (1 + 2e-15) + 1e-300)


def dual_below(loss, r, t, weight):
    if loss == "squared":
        return t * r - r * r / weight / 2
    need(0 <= t * r <= weight, "a residual in the domain of the dual")
    q = float(t * r / weight)
    if loss == "hinge" or not 0 < q < 1:
        return t * r if loss == "hinge" else 0
    return weight * Fraction(max(-(q * math.log(q) + (1 - q) * math.log1p(-q)) * (1 - 4e-15) - 2e-14 * q, 0.0))


def check_cell(flat, active, sign, pairs, limit, lift, q):
    """||E (sum_j sign r_j m_j + sum_k lam_k s_k m_k)|| <= limit with the multipliers lam of `pairs`."""
    total = [sign * sum(a * row[i] for (row, a), on in zip(flat, active) if on) for i in range(len(flat[0][0]))]
    for k, lam in pairs:
        need(any(flat[k][0]) and lam >= 0, "multipliers")
        total = [v + lift * Fraction(lam) * (m if active[k] else -m) for v, m in zip(total, flat[k][0])]
    need(not any(total[q:]) and dot(total[:q], total[:q]) <= limit * limit, "prices of at most beta")


def count_cells(rows, dimension):
    """Deletion and restriction: inserting a hyperplane splits the cells that it crosses (Zaslavsky)."""
    signs = ((row, math.gcd(*row) * (1 if next(filter(None, row)) > 0 else -1)) for row in rows if any(row))
    rows = list(dict.fromkeys(tuple(v // divisor for v in row) for row, divisor in signs))
    if dimension <= 2 or not rows:
        return 1 if not rows else 2 * len(rows)
    total = 1
    for i, h in enumerate(rows):
        k = next(k for k in range(dimension) if h[k])
        traces = [[h[k] * v - row[k] * w for j, (v, w) in enumerate(zip(row, h)) if j != k] for row in rows[:i]]
        total += count_cells(traces, dimension - 1)
    return total


def check_tree(flat, proof, limit, free, q):
    """Every leaf is a cone where both signs of sum_j a_j (m_j . u)_+ are at most limit ||E u||."""
    merged = {}
    for row, a in flat:
        merged[tuple(row)] = merged.get(tuple(row), 0) + a
    rows = [(a, list(row)) for row, a in merged.items() if any(row)]
    if proof["frame"] is not None:  # rows Q c + e: what e loses, and how far Q is from an isometry
        frame, unit = whole(proof["frame"])
        columns = list(zip(*frame))
        inner = [[dot(row, column) for column in columns] for _, row in rows]
        rest = [[unit**2 * v - dot(c, line) for v, line in zip(row, frame)] for (_, row), c in zip(rows, inner)]
        lost = sum(abs(a) * (math.isqrt(dot(e, e) << 120) + 1) for (a, _), e in zip(rows, rest))
        rows = [(a, c + [v * unit for v in row[q:]]) for (a, row), c in zip(rows, inner)]
        defects = [dot(v, w) - unit**2 * (v is w) for v in columns for w in columns]
        stretch = 1 + Fraction(math.isqrt(dot(defects, defects) << 120) + 1, unit**2 << 60)
        limit, q = max(limit - Fraction(lost, unit**2 << 60), 0) / stretch * unit, len(columns)
    records, used = memoryview(zlib.decompress(base64.b64decode(proof["tree"]))).cast("H"), 0
    for sign, corner in itertools.product((1, -1), itertools.product((1, -1), repeat=q)):
        axes = [[s * (i == k) * (rows[0][1][q] if free else 1) for k in range(q)] for i, s in enumerate(corner)]
        reach = [1 << (max((abs(row[k]) for _, row in rows), default=0) - 1).bit_length() for k in range(q)]
        low, high = ([[*v, s * b] for v, b in zip(axes, reach)] for s in (-1, 1))
        for root in [low[: k + 1] + high[k:] for k in range(q)] if free else [axes]:
            sides = ([[abs(a) * dot(row, v) for v in root] for a, row in rows if a * sign * s > 0] for s in (1, -1))
            stack = [([[*line] for line in zip(*root)], [[0] * (q + free)], *sides)]
            while stack:  # at the vertices: coordinates, sum of the rows active on the cone, values of the others
                points, (base,), convex, concave = stack.pop()
                base = [sum(column) for column in zip(base, *(v for v in convex if min(v) >= 0))]
                base = [b - sum(column) for b, *column in zip(base, *(v for v in concave if min(v) >= 0))]
                cone = points, [base], *([v for v in kind if min(v) < 0 < max(v)] for kind in (convex, concave))
                record, used = records[used], used + 1
                if record < 256:
                    stack += halves(cone, q, *divmod(record - 1, 16))
                else:
                    start, used = used, used + (record - 255) * (q + free + 1) - 1
                    check_leaf(points, base, *cone[2:], records[start:used].tolist(), limit * limit, q)
    need(used == len(records), "a tree that ends with its roots")


def halves(cone, q, i, j):
    size, other = (max(abs(line[k]) for line in cone[0][:q]) for k in (i, j))
    f, g = (max(b.bit_length() - a.bit_length(), 0) for a, b in ((size, other), (other, size)))
    f, g = f + (3 * (size << f) < 2 * (other << g)), g + (3 * (other << g) < 2 * (size << f))
    for k in (j, i):
        yield [[v[:k] + [(v[i] << f) + (v[j] << g)] + v[k + 1 :] for v in kind] for kind in cone]


def check_leaf(points, base, convex, concave, fields, square, q):
    """g <= heights . x <= t ||V weights|| on the cone, t the largest ratio of a height to V weights . v."""
    *cuts, weights = (fields[k : k + len(base) + 1] for k in range(0, len(fields), len(base) + 1))
    bits, total = [max(map(abs, v)).bit_length() for v in zip(*points[:q])], sum(share for share, *_ in cuts)
    units = [1 << max(bits) - b for b in bits]  # the weights are for vertices of one binary exponent
    heights = [total * (b + sum(v for v in column if v > 0)) for b, *column in zip(base, *convex)]
    for share, *point in cuts:  # this share of theta is 1 for the rows that are positive at the point
        point = [*map(operator.mul, point, units)]
        active = [v for v in concave if dot(point, v) * 10**7 > dot(units, map(abs, v))]
        heights = [h - share * sum(column) for h, *column in zip(heights, *active)]
    middle = [dot(map(operator.mul, weights, units), line) for line in points[:q]]
    size = dot(middle, middle) * square.denominator
    for h, product in zip(heights, (total * dot(v, middle) for v in zip(*points[:q]))):
        need(total and (h <= 0 or (product > 0 and h * h * size <= square.numerator * product**2)), "leaves below beta")


def check(c, X, y, sample_weight=None):
    """The claims that hold; raises an exception if one does not."""
    need(c["format"] == "zerogap-certificate-4" and c["scope"] in ("global", "sampled"), "a known format and scope")
    ev, arch, loss = c["evidence"], c["architecture"], c["loss"]
    beta, high, low = (Fraction(c[name]) for name in ("beta", "objective", "lower_bound"))
    net, proof, free = ev["network"], ev["proof"], arch["bias"] == "free"
    constant = free or arch.get("intercept", False)
    known = [arch[k] for k in ("gated", "slope", "window", "readout") if k in arch] in ([0, 0], [0, 0, None, "weights"])
    need(known and constant in (True, False) and loss in ("squared", "logistic", "hinge") and beta > 0, "a known loss")
    samples = []
    for x, t, weight, owner in zip(X, y, sample_weight or [1] * len(y), ev["owner"], strict=True):
        need((weight > 0 and owner >= 0) or (weight == 0 and owner < 0), "all samples of positive weight")
        if owner >= 0:
            new = [rows_of(x, arch), Fraction(t), 0]
            samples += [new] if owner == len(samples) else []
            need(samples[owner][:2] == new[:2] and (loss == "squared" or t in (-1, 1)), "equal samples, labels +-1")
            samples[owner][2] += Fraction(weight)
    table, unit = whole([row for rows, _, _ in samples for row in rows])
    positions, q = len(samples[0][0]), len(table[0]) - free
    samples = [(table[s * positions : (s + 1) * positions], t, w) for s, (_, t, w) in enumerate(samples)]
    scale = Fraction(1, {"average": positions, "sum": 1}[arch.get("pooling", "sum")])
    (first, a), ((second,), b) = whole(net["first"]), whole([net["second"]])
    total = beta / 2 * (Fraction(sum(dot(u[:q], u[:q]) for u in first), a * a) + Fraction(dot(second, second), b * b))
    for rows, t, weight in samples:
        f = sum(w * sum(max(dot(row, u), 0) for row in rows) for u, w in zip(first, second, strict=True))
        total += loss_above(loss, Fraction(f, a * b * unit) * scale + Fraction(net["offset"]), t, weight)
    need(total <= high and (constant or net["offset"] == 0), "an objective not below the truth")
    (r,), grain = whole([ev["residual"]])
    shown = sum(dual_below(loss, Fraction(v, grain), t, w) for v, (_, t, w) in zip(r, samples, strict=True))
    need(0 <= low <= min(max(shown, 0), high) and (not constant or sum(r) == 0), "a bound not above the dual value")
    flat, limit = [(row, v) for (rows, _, _), v in zip(samples, r) for row in rows], beta / scale * unit * grain
    if c["proof"] == "enumeration":
        sides = [[dot(row, u) for row, _ in flat] for u in whole(proof["points"])[0]]
        need(all(v != 0 or not any(row) for side in sides for v, (row, _) in zip(side, flat)), "interior points")
        for side, multipliers in zip(sides, proof["multipliers"], strict=True):
            for sign, pairs in zip((1, -1), multipliers, strict=True):
                check_cell(flat, [v > 0 for v in side], sign, pairs, limit, grain / scale, q)
        needed = count_cells([row for row, _ in flat], q + free) if c["scope"] == "global" else 0
        need(len({tuple(v > 0 for v in side) for side in sides}) >= needed and c["cells"] == len(sides), "all cells")
    else:
        need(c["proof"] == "branch and bound" and c["scope"] == "global", "a known proof")
        check_tree(flat, proof, limit, free, q)
    nothing = sum(loss_above(loss, 0, t, w) for _, t, w in samples)
    agree = [c["samples"], c["width"], c["withheld"]] == [len(samples), len(second), None]
    need(agree and abs(Fraction(c["zero_loss"]) - nothing) <= nothing / 10**9, "figures that agree")
    return {name: c[name] for name in ("objective", "lower_bound", "scope", "proof")}


if __name__ == "__main__":
    with open(sys.argv[1]) as file, open(sys.argv[2]) as data:
        print("holds:", check(json.load(file), **json.load(data)))
