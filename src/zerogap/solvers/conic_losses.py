r"""Losses as conic constraints on the predictions: what Clarabel sees of them.

    squared    1/2 sum c e^2 with e = f - y
    hinge      sum c a      with y e + a >= 1, a >= 0                                        and e = f
    logistic   sum c a      with (-y e - a, 1, g), (-a, 1, h) in the exponential cone, g + h <= 1, and e = f

Subtracting the targets of the squared loss loses no constant from the objective, so relative tolerances keep their
meaning. Groups of constraints are (coefficients by variable, right-hand side b, cones): b - A x lies in their product.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zerogap.losses import Loss

Array = NDArray[np.float64]
Group = tuple[dict[str, Any], Array, list[Any]]


def loss_variables(loss: Loss) -> int:
    """The number of variables a, g, h."""
    return {"squared": 0, "hinge": 1, "logistic": 3}[loss.name] * loss.targets.size


def loss_target(loss: Loss) -> Array:
    """f - e."""
    return loss.targets if loss.name == "squared" else np.zeros(loss.targets.size)


def loss_cost(loss: Loss, cost: Array, curvature: Array, columns: dict[str, slice]) -> None:
    """Write the linear and quadratic cost of the loss into those of the program."""
    if loss.name == "squared":
        curvature[columns["output"]] = loss.weights
    else:
        cost[columns["loss"]][:: loss_variables(loss) // loss.targets.size] = loss.weights


def margin_group(loss: Loss) -> Group:
    """The margins of the hinge loss, whose multipliers are the residual."""
    import clarabel

    n = loss.targets.size
    margin = {"output": -sp.diags_array(loss.targets), "loss": -sp.eye_array(n)}
    return margin, -np.ones(n), [clarabel.NonnegativeConeT(n)]


def loss_groups(loss: Loss) -> Iterator[Group]:
    """The other constraints of the loss."""
    import clarabel

    n, identity = loss.targets.size, sp.eye_array(loss.targets.size)
    if loss.name == "hinge":
        yield {"loss": -identity}, np.zeros(n), [clarabel.NonnegativeConeT(n)]
    if loss.name == "logistic":
        # Per sample the rows (-y e - a, 1, g), (-a, 1, h) and the variables a, g, h.
        sample, output = np.zeros((6, 3)), np.zeros((6, 1))
        sample[[0, 2, 3, 5], [0, 1, 0, 2]] = [1.0, -1.0, 1.0, -1.0]
        output[0, 0] = 1.0
        shares = {"output": sp.kron(sp.diags_array(loss.targets), output), "loss": sp.kron(identity, sample)}
        right = np.tile([0.0, 1.0, 0.0, 0.0, 1.0, 0.0], n)
        yield shares, right, [clarabel.ExponentialConeT()] * (2 * n)
        sums = sp.kron(identity, np.array([[0.0, 1.0, 1.0]]))
        yield {"loss": sums}, np.ones(n), [clarabel.NonnegativeConeT(n)]


def assembled(groups: Iterator[Group], columns: dict[str, slice]) -> tuple[Any, Array, list[Any]]:
    """A, b and the cones of all groups."""
    width = {name: place.stop - place.start for name, place in columns.items()}
    parts: list[list[Any]] = []
    right: list[Array] = []
    cones: list[Any] = []
    for coefficients, value, kinds in groups:
        used = [coefficients.get(name) if width[name] else None for name in columns]
        empty = [sp.csc_array((value.size, size)) for size in width.values()]
        parts.append([empty[k] if part is None else part for k, part in enumerate(used)])
        right.append(value)
        cones.extend(kinds)
    return sp.csc_array(sp.block_array(parts, format="csc")), np.concatenate(right), cones


def slices(sizes: dict[str, int]) -> dict[str, slice]:
    """Consecutive places of variables with these sizes."""
    ends = np.cumsum([0, *sizes.values()]).tolist()
    return {name: slice(ends[k], ends[k + 1]) for k, name in enumerate(sizes)}
