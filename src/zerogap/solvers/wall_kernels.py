"""Compiled loops over the walls of every block: slacks, multipliers, and what they add to the Newton matrix.

Arrays of walls have one row per block, (m, k), and normals are those of its cell, (C, p, k); the innermost loops run
over walls. Products with normals and what follows from them are one loop over blocks, so that a row stays in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CACHED = 8192
"""Slacks that are formed at a time when all walls are looked at."""


@njit(cache=True, error_model="numpy")
def inward(normals, signs, which):
    """Normals (H, p) of given walls (C, k), turned to the side where cells are, signs (C, H); result (C, p, k)."""
    cells, k = which.shape
    result = np.empty((cells, normals.shape[1], k))
    for c in range(cells):
        for j in range(k):
            h = which[c, j]
            for a in range(normals.shape[1]):
                result[c, a, j] = normals[h, a] if signs[c, h] else -normals[h, a]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _slack_row(normals, c, v, i, row):
    """K v of block i, in cell c."""
    for j in range(row.size):
        row[j] = normals[c, 0, j] * v[0, i]
    for a in range(1, v.shape[0]):
        for j in range(row.size):
            row[j] += normals[c, a, j] * v[a, i]


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _push_row(normals, c, row, i, result):
    """K' l of block i, in cell c."""
    for a in range(result.shape[0]):
        total = 0.0
        for j in range(row.size):
            total += normals[c, a, j] * row[j]
        result[a, i] = total


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def slacks(normals, cell, v):
    """K v of every block; v (p, m), result (m, k)."""
    result, row = np.empty((cell.size, normals.shape[2])), np.empty(normals.shape[2])
    for i in range(cell.size):
        _slack_row(normals, cell[i], v, i, row)
        for j in range(row.size):
            result[i, j] = row[j]
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def push(normals, cell, multipliers):
    """K' l of every block; multipliers (m, k), result (p, m)."""
    result, row = np.empty((normals.shape[1], cell.size)), np.empty(normals.shape[2])
    for i in range(cell.size):
        for j in range(row.size):
            row[j] = multipliers[i, j]
        _push_row(normals, cell[i], row, i, result)
    return result


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def hessians(normals, cell, l, s):  # noqa: E741
    """K' diag(l / s) K of every block, packed as in ``kernels``; l and s (m, k), result (p (p + 1) / 2, m)."""
    p, k = normals.shape[1:]
    result, scaled, weights = np.empty((p * (p + 1) // 2, cell.size)), np.empty(k), np.empty(k)
    for i in range(cell.size):
        c, position = cell[i], 0
        for j in range(k):
            weights[j] = l[i, j] / s[i, j]
        for a in range(p):
            for j in range(k):
                scaled[j] = weights[j] * normals[c, a, j]
            for b in range(a + 1):
                total = 0.0
                for j in range(k):
                    total += scaled[j] * normals[c, b, j]
                result[position, i] = total
                position += 1
    return result


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})
def foreseen(normals, cell, dv, s):
    """ds = K dv, and the least (at most 0) and the largest (at least 0) ds / s; dv (p, m), s (m, k)."""
    result, row = np.empty_like(s), np.empty(s.shape[1])
    low, high = np.zeros(s.shape[1]), np.zeros(s.shape[1])
    for i in range(cell.size):
        _slack_row(normals, cell[i], dv, i, row)
        for j in range(row.size):
            result[i, j] = row[j]
            share = row[j] / s[i, j]
            low[j] = min(low[j], share)
            high[j] = max(high[j], share)
    return result, low.min(), high.max()


@njit(cache=True, error_model="numpy", fastmath={"nsz", "contract"})
def aimed(normals, cell, mu, ds, s, l):  # noqa: E741
    """Where multipliers go if slacks stay, (m, k), and K' of that, (p, m).

    (mu - ds dl) / s with the predicted dl = -l (1 + ds / s); mu / s if `ds` has no rows.
    """
    result, row = np.empty_like(s), np.empty(s.shape[1])
    pushed = np.empty((normals.shape[1], cell.size))
    for i in range(cell.size):
        if ds.shape[0]:
            for j in range(row.size):
                inverse = 1.0 / s[i, j]
                row[j] = (mu + ds[i, j] * l[i, j] * (1.0 + ds[i, j] * inverse)) * inverse
        else:
            for j in range(row.size):
                row[j] = mu / s[i, j]
        for j in range(row.size):
            result[i, j] = row[j]
        _push_row(normals, cell[i], row, i, pushed)
    return result, pushed


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})
def answered(normals, cell, dv, s, l, aim):  # noqa: E741
    """ds = K dv, dl = aim - l - (l / s) ds, and the largest of -ds / s and -dl / l, at least 0."""
    first, second, row = np.empty_like(s), np.empty_like(s), np.empty(s.shape[1])
    worst = np.zeros(s.shape[1])
    for i in range(cell.size):
        _slack_row(normals, cell[i], dv, i, row)
        for j in range(row.size):
            share = row[j] / s[i, j]
            first[i, j] = row[j]
            second[i, j] = aim[i, j] - l[i, j] * (1.0 + share)
            worst[j] = max(worst[j], max(-share, 1.0 + share - aim[i, j] / l[i, j]))
    return first, second, worst.max()


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def stepped(normals, cell, s, ds, l, dl, length):  # noqa: E741
    """s + length ds, l + length dl, K' of the latter, and the sum of the products of both."""
    first, second, row = np.empty_like(s), np.empty_like(s), np.empty(s.shape[1])
    pushed, total = np.empty((normals.shape[1], cell.size)), 0.0
    for i in range(cell.size):
        for j in range(row.size):
            row[j] = l[i, j] + length * dl[i, j]
            first[i, j] = s[i, j] + length * ds[i, j]
            second[i, j] = row[j]
            total += first[i, j] * row[j]
        _push_row(normals, cell[i], row, i, pushed)
    return first, second, pushed, total


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})
def centring_step(normals, u, du, s, l):  # noqa: E741
    """Move points u (p, C), their slacks and multipliers (C, k) towards s l = 1 in place, every cell as far as it can.

    ds = K du, dl = 1 / s - l (1 + ds / s); at most 0.9 of the way to where one of them vanishes.
    """
    ds, falls = np.empty(s.shape[1]), np.empty(s.shape[1])
    for i in range(s.shape[0]):
        _slack_row(normals, i, du, i, ds)
        for j in range(ds.size):
            share = ds[j] / s[i, j]
            falls[j] = max(-share, 1.0 + share - 1.0 / (s[i, j] * l[i, j]))
        length = 0.9 / max(0.9, falls.max())
        for j in range(ds.size):
            l[i, j] += length * (1.0 / s[i, j] - l[i, j] * (1.0 + ds[j] / s[i, j]))
            s[i, j] += length * ds[j]
        for a in range(u.shape[0]):
            u[a, i] += length * du[a, i]


@njit(cache=True, error_model="numpy")
def crossed(before, after, normals, share):
    """Whether any n . v falls to that share of what it was, of whatever sign; blocks (p, m), all normals (H, p).

    Both products are formed anew, a few walls at a time: with ten thousand walls keeping one takes twice as long.
    """
    walls, m = normals.shape[0], before.shape[1]
    width = min(walls, CACHED // m + 1)
    old, new = np.empty((width, m)), np.empty((width, m))
    for start in range(0, walls, width):
        first = min(start, walls - width)  # the last ones overlap with those before
        np.dot(normals[first : first + width], before, old)
        np.dot(normals[first : first + width], after, new)
        x, y, count = old.ravel(), new.ravel(), 0
        for j in range(x.size):
            count += y[j] * x[j] <= share * x[j] * x[j]
        if count:
            return True
    return False


@njit(cache=True, error_model="numpy")
def deepest(before, after, cell, which):
    """The largest 1 - after / before of walls that are not near, and the wall of each cell where it is largest.

    Slacks (m, H), of any sign; the near walls of every cell (C, k).
    """
    cells, walls = which.shape[0], before.shape[1]
    fall, entering, deep = np.full((cells, walls), -1e300), np.zeros(cells, dtype=np.intp), -1e300
    for i in range(cell.size):
        for h in range(walls):
            fall[cell[i], h] = max(fall[cell[i], h], 1.0 - after[i, h] / before[i, h])
    for c in range(cells):
        for k in range(which.shape[1]):
            fall[c, which[c, k]] = -np.inf
        for h in range(1, walls):
            if fall[c, h] > fall[c, entering[c]]:
                entering[c] = h
        deep = max(deep, fall[c, entering[c]])
    return deep, entering
