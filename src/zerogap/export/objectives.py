r"""What torch minimises, as an objective of ours.

Training in torch, by a criterion and the ``weight_decay`` of SGD or Adam, which adds lambda p to the gradient of a
parameter p, minimises

    criterion(f) + lambda_1/2 ||first layer||^2 + lambda_2/2 ||last layer||^2.

The criterion is kappa L with our sum of losses L: kappa = 2 / (n C) for the mean squared error, 1 / n for the mean
cross-entropy. Divided by kappa, with the neurons rescaled so that both decays are one,

    L(f) + beta/2 sum_j (||u_j||^2 + ||w_j||^2),     beta = sqrt(lambda_1 lambda_2) / kappa,

and u_j -> a u_j, w_j -> w_j / a, a = (lambda_1 / lambda_2)^(1/4), leaves f as it is. An output bias c is free here.
Where torch decays it, its objective has lambda_2/2 ||c||^2 >= 0 more: a lower bound without that term is one with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.export.criteria import Kind, class_weights, kind_of, table
from zerogap.export.optimisers import is_optimiser
from zerogap.network import Network
from zerogap.validation import finite_array, positive, shown

Array = NDArray[np.float64]

ROUNDINGS = 1e-14
"""Relative error of kappa, beta and products with them, at most: fewer than 20 roundings of 2**-53."""


@dataclass(frozen=True, eq=False)
class TorchObjective:
    """A training objective of torch, with ours.

    Parameters
    ----------
    loss : str
        Ours; L is the sum of it over all samples.
    beta : float
        Ours.
    factor : float
        kappa: the criterion is kappa L.
    decays : (float, float)
        lambda of the first and of the last layer.
    decay_biases : (bool, bool)
        Whether torch decays the biases of the first and of the last layer too.
    targets : (n,) or (n, C) float64
        In our encoding.
    sample_weight : (n,) float64 or None
        What weights of classes are here.
    sentence : str
        The conversion in words and figures.
    criterion : nn.Module or None
        None for a loss of ours.
    rows : bool
        Whether the criterion was given classes as one-hot rows, not as indices.
    """

    loss: str
    beta: float
    factor: float
    decays: tuple[float, float]
    decay_biases: tuple[bool, bool]
    targets: Array = field(repr=False)
    sample_weight: Array | None = field(repr=False)
    sentence: str = field(repr=False)
    criterion: Any = field(default=None, repr=False)
    rows: bool = field(default=False, repr=False)

    def __str__(self) -> str:
        return self.sentence

    @property
    def _stretch(self) -> float:
        """a, by which first-layer weights grow from torch to ours."""
        first, last = self.decays
        return 1.0 if first == last else float((first / last) ** 0.25)

    def rescaled(self, network: Network) -> Network:
        """A network of torch with the weights that ours decays equally; the same outputs."""
        return _stretched(network, self._stretch)

    def restored(self, network: Network) -> Network:
        """The inverse of ``rescaled``."""
        return _stretched(network, 1.0 / self._stretch)

    def above(self, objective: float, network: Network) -> float:
        """An upper bound of torch's objective of a network whose objective of ours is at most that.

        It includes the decay of the output bias, where torch has it.
        """
        constant = np.atleast_1d(network.offset) if self.decay_biases[1] else np.zeros(1)
        decay = 0.5 * self.decays[1] * float(np.sum(constant**2))
        return (self.factor * objective + decay) * (1.0 + (ROUNDINGS + 1e-15 * constant.size))

    def below(self, bound: float) -> float:
        """A lower bound of torch's objective, of a lower bound >= 0 of ours.

        beta is rounded: with beta' (1 + eps) in the place of beta', an objective of non-negative terms grows by 1 + eps
        at most.
        """
        return self.factor * bound * (1.0 - ROUNDINGS)


def objective_of(
    loss: Any,
    y: Any,
    *,
    outputs: int | None = None,
    weight_decay: float | tuple[float, float] | None = None,
    beta: float | None = None,
    decay_biases: bool | tuple[bool, bool] | None = None,
) -> TorchObjective:
    """The objective of ours that training in torch minimises, with the figures of the conversion.

    Parameters
    ----------
    loss : criterion of torch, or a name of ours
        ``MSELoss``, ``CrossEntropyLoss`` (class weights become weights of samples; no label smoothing, no ignored
        samples), ``BCEWithLogitsLoss`` (targets 0 and 1, no weights) or ``SoftMarginLoss``, with reduction "mean" or
        "sum"; or "squared", "logistic", "hinge", "cross_entropy", which are sums over samples.
    y : (n,) or (n, C) array or tensor
        As the criterion takes them: numbers, 0 and 1, -1 and +1, or class indices (or one-hot rows).
    outputs : int, optional
        C, units of the last layer; by default what the targets tell.
    weight_decay : float or pair of float
        lambda of all layers, or of the first and the last one. It is that of SGD and Adam, which add lambda p
        to gradients. **AdamW decouples its decay from the objective: what it
        minimises, if anything, is not this, and no conversion exists.**
    beta : float
        Of ours, in the place of `weight_decay`.
    decay_biases : bool or pair of bool, optional
        Whether biases are decayed too; a pair for the first and the last layer. By default both with `weight_decay`, as
        by ``Adam(model.parameters(), weight_decay=...)``, and with `beta` those of the first layer, as in ours.

    Returns
    -------
    TorchObjective
        Prints as one sentence. Its `loss`, `beta`, `targets` and `sample_weight` are arguments for ``zg.train``.

    Raises
    ------
    InputError
        A criterion, targets or a decay without counterpart. Without decay every bound is 0.

    Notes
    -----
    docs/theory.md, "Objective" and "Rescaling"; docs/pytorch.md.
    """
    name, kind, reduction = kind_of(loss)
    given = finite_array("y", y)
    targets = kind.encode(table(given, outputs, kind.loss, loss))
    # Torch takes a table for probabilities: then class weights are not in the divisor of its mean.
    rows = kind.loss == "cross_entropy" and given.ndim == 2 and given.shape[1] > 1
    n, count = len(targets), 1 if targets.ndim == 1 else int(targets.shape[1])
    sample_weight, scale, symbol = None, 1.0, ""
    if reduction == "mean":
        scale, symbol = (float(n), "n") if kind.shared else (float(n * count), "n C")
    weights = getattr(loss, "weight", None)
    if weights is not None:
        sample_weight = class_weights(weights, targets)
        if reduction == "mean" and not rows:
            scale, symbol = math.fsum(sample_weight), "W"
    factor = kind.multiple / scale
    decays = _decays(weight_decay, beta, factor)
    mean = decays[0] if decays[0] == decays[1] else float(np.sqrt(decays[0]) * np.sqrt(decays[1]))
    chosen = mean / factor if beta is None else positive("beta", beta)
    biases = _pair_of_bools(decay_biases, (True, beta is None))
    words = _Words(name, kind, reduction, n, count, scale, symbol, decays, biases, beta is not None)
    objective = TorchObjective(
        kind.loss, positive("beta", chosen), factor, decays, biases, targets, sample_weight, "",
        None if isinstance(loss, str) else loss, rows,
    )  # fmt: skip
    return replace(objective, sentence=words.sentence(objective))


@dataclass(frozen=True)
class _Words:
    """What a conversion is put together of."""

    name: str
    kind: Kind
    reduction: str
    samples: int
    outputs: int
    scale: float
    symbol: str
    decays: tuple[float, float]
    biases: tuple[bool, bool]
    given: bool

    def sentence(self, objective: TorchObjective) -> str:
        first, last = self.decays
        size = f"n = {self.samples} samples"
        if not self.kind.shared or self.outputs > 1:
            size += f" and C = {self.outputs} output{'s' if self.outputs > 1 else ''}"
        equal = first == last
        decay = f"weight decay lambda = {first:.7g}"
        if not equal:
            decay = f"weight decay {first:.7g} of the first layer and {last:.7g} of the last"
        if not self.given:
            decay = f"coupled {decay} (as in SGD and Adam, not AdamW)"
        decayed = {
            (True, True): "biases included",
            (True, False): "biases included but that of the output",
            (False, True): "biases of the first layer not included",
            (False, False): "biases not included",
        }[self.biases]
        product = "lambda" if equal else "sqrt(lambda_1 lambda_2)"
        halves = " / 2" if self.kind.multiple == 2.0 else ""
        formula = f"{self.symbol} {product}{halves}".strip()
        weighted = (
            f" with W = {self.scale:.7g}, the sum of the class weights of all samples" if self.symbol == "W" else ""
        )
        beta = f"beta = {objective.beta:.7g}" if self.given else f"beta = {formula} = {objective.beta:.7g}{weighted}"
        divisor = f"({self.symbol})" if " " in self.symbol else self.symbol
        factor = f"{self.kind.multiple:g}" + (f" / {divisor}" if self.symbol else "")
        factor = f"{factor} = {objective.factor:.7g}" if self.symbol else factor
        text = (
            f"{self.name}, {self.reduction} over {size}, {decay}, {decayed}: {self.kind.loss} loss with {beta}; "
            f"the torch objective is {factor} times ours"
        )
        if not equal:
            text += " after rescaling the layers, which leaves the outputs"
        if self.biases[1]:
            term = "lambda / 2" if equal else "lambda_2 / 2"
            text += f", plus {term} c^2 of an output bias c"
        return text


def _decays(weight_decay: Any, beta: float | None, factor: float) -> tuple[float, float]:
    if (weight_decay is None) == (beta is None):
        got = "neither" if beta is None else "both"
        raise InputError(
            "weight_decay and beta", got, "one of them: torch's lambda, or our beta", "pass weight_decay=1e-3"
        )
    if beta is not None:
        return (positive("beta", beta) * factor,) * 2
    if is_optimiser(weight_decay):
        expected = "numbers: an optimiser tells its decay of a layer only where the model is known"
        raise InputError("weight_decay", type(weight_decay).__name__, expected, "use zg.certify(model, X, y, ...)")
    several = isinstance(weight_decay, (tuple, list)) or getattr(weight_decay, "ndim", 0) == 1
    pair = tuple(weight_decay) if several else (weight_decay, weight_decay)
    if len(pair) != 2:
        expected = "a number, or a pair for the first and the last layer"
        raise InputError("weight_decay", shown(weight_decay), expected, "pass for example weight_decay=1e-3")
    if any(isinstance(value, (int, float)) and value == 0 for value in pair):
        expected = "a number > 0: without decay of both layers the best objective is that of interpolation, bound 0"
        raise InputError("weight_decay", shown(weight_decay), expected, "train with weight_decay=1e-3, for example")
    return _decay(pair[0]), _decay(pair[1])


def _decay(value: Any) -> float:
    """One lambda; tensors and arrays without axes are numbers too."""
    return positive("weight_decay", value.item() if getattr(value, "ndim", None) == 0 else value)


def _pair_of_bools(value: Any, default: tuple[bool, bool]) -> tuple[bool, bool]:
    if value is None:
        return default
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(part, (bool, np.bool_)) for part in pair):
        expected = "True, False, or a pair of them for the first and the last layer"
        raise InputError("decay_biases", shown(value), expected, "pass decay_biases=True")
    return bool(pair[0]), bool(pair[1])


def _stretched(network: Network, stretch: float) -> Network:
    if stretch == 1.0:
        return network
    return Network(
        network.architecture, network.first * stretch, network.second / stretch,
        filters=network.filters, gates=network.gates, offset=network.offset,
    )  # fmt: skip
