"""What an architecture is to the rest of the package: its rows, its features, its gauge and its cone.

Nothing after an architecture knows which one it serves (docs/theory.md, "Flow").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerogap.errors import InputError
from zerogap.features import Features
from zerogap.features.pooled import PooledFeatures
from zerogap.features.pooled_pieces import pooled_pieces
from zerogap.gauges import EuclideanGauge
from zerogap.pieces import Choose, Pieces
from zerogap.program import Program
from zerogap.rows import Rows
from zerogap.validation import one_of, positive, real_between

Array = NDArray[np.float64]
Bias = bool | Literal["free"]


@dataclass(frozen=True, eq=False)
class Neurons:
    """The weights of m neurons with p inputs.

    Parameters
    ----------
    first : (m, p) float64
        u, with the bias as last entry where there is one.
    second : (m,) float64
        w.
    gates : (m, p) float64 or None
        Gate vectors of gated neurons.
    offset : float
        Constant added to the output (unpenalised bias only).
    """

    first: Array
    second: Array
    gates: Array | None = None
    offset: float = 0.0

    @property
    def width(self) -> int:
        return int(self.second.size)


@dataclass(frozen=True, kw_only=True, repr=False)
class Architecture(ABC):
    """A family of networks f = sum_j Phi(theta_j) w_j + offset.

    Parameters
    ----------
    bias : True, False or "free"
        A bias in the first layer that is penalised, absent, or not penalised. A free bias brings a free
        constant at the output, because a network reaches that constant in the limit of a large bias.
    intercept : bool
        A constant at the output that is not penalised, with any bias. With a free bias there is one in any case.

    Raises
    ------
    InputError
        If an option has an unknown value.
    """

    bias: Bias = True
    intercept: bool = False

    def __post_init__(self) -> None:
        one_of("bias", self.bias, (True, False, "free"))
        one_of("intercept", self.intercept, (True, False))

    def __repr__(self) -> str:
        """The constructor call, without the options that have their defaults."""
        changed = [f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if self._differs(field.name)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _differs(self, name: str) -> bool:
        default = type(self).__dataclass_fields__[name].default
        return name == "kernel_size" or getattr(self, name) != default

    @abstractmethod
    def plain_rows(self, X: Any) -> Rows:
        """The pre-activation rows of inputs X without bias; raises InputError on a wrong shape."""

    @abstractmethod
    def features(self, rows: Rows) -> Features:
        """What neurons contribute on these rows."""

    def pieces(self, rows: Rows, choose: Choose) -> Pieces:
        """The pieces on which features are linear, or those of a relaxation (``Pieces.exact``).

        Parameters
        ----------
        rows : Rows
        choose : callable
            Chooses cells of the arrangement of some rows, as the user wants them (``zerogap.scope.chooser``).

        Raises
        ------
        InputError
            If the architecture has no such program, with the reason.
        """
        got, remedy = "a list of cells", "pass arrangements='generate'"
        raise InputError("arrangements", got, f"'generate': {self!r} has no program over cells", remedy)

    @property
    def cellular(self) -> bool:
        """Whether a neuron is one filter with one output weight, and its feature a multiple of a sum of ReLU rows.

        Such an architecture has the program of ``zerogap.program`` over shared walls.
        """
        return False

    @property
    def slotted(self) -> bool:
        """Whether a neuron may have several output weights for one output: one for each position or window."""
        return False

    @property
    def flat(self) -> bool:
        """Whether an input is a vector."""
        return False

    @property
    def linear(self) -> bool:
        """Whether features are linear in the inner weights."""
        return False

    @property
    def tied(self) -> bool:
        """Whether positions share a filter in front of a second ReLU, so that no program over pieces is exact."""
        return False

    @property
    def gated(self) -> bool:
        """Whether fixed gates decide what passes."""
        return False

    @property
    def cone(self) -> float:
        """Price of leaving a cell: infinite unless neurons are gated."""
        return np.inf

    @property
    def free(self) -> bool:
        """Whether the biases of neurons are free, and reach the constants that come with them in a limit."""
        return self.bias == "free"

    @property
    def offset(self) -> bool:
        """Whether the output has a free constant."""
        return self.free or self.intercept

    def check_filters(self, filters: Any, width: int) -> Array | None:
        """The filters of `width` neurons in float64, None for architectures without; raises InputError."""
        if filters is not None:
            expected = f"none: a {type(self).__name__} has first and second weights only"
            raise InputError("filters", "an array", expected, "leave them out")
        return None

    def gauge(self, dimension: int) -> EuclideanGauge:
        """What u with that many entries costs, for |w| = 1."""
        penalised = np.ones(dimension, dtype=bool)
        if self.bias == "free":
            penalised[-1] = False
        return EuclideanGauge(penalised)

    def rows(self, X: Any) -> Rows:
        """The pre-activation rows of inputs X, with a column of ones last where there is a bias."""
        rows = self.plain_rows(X)
        matrix = rows.matrix
        if self.bias is not False:
            matrix = np.concatenate([matrix, np.ones((*matrix.shape[:2], 1))], axis=2)
        return replace(rows, matrix=np.ascontiguousarray(matrix))

    def neurons(self, program: Program, blocks: Array, offset: float) -> Neurons:
        """The network of a feasible point of a cell program, the inverse of building it (P2, recovery).

        Parameters
        ----------
        program : Program
            Built for this architecture.
        blocks : (families, P, p) float64
            Zero blocks give no neuron.
        offset : float
        """
        used = np.any(blocks != 0.0, axis=2)
        family, cell = np.nonzero(used)
        first, second = program.gauge.factor(blocks[used])
        gates = program.cells.centres[cell] if self.gated else None
        return Neurons(first, program.families[family] * second, gates, offset if self.offset else 0.0)

    def config(self) -> dict[str, Any]:
        """Constructor arguments and the class name, ready for JSON."""
        return {"kind": type(self).__name__, **{name: _plain(value) for name, value in asdict(self).items()}}


def _plain(value: Any) -> Any:
    """An option as JSON keeps it: tuples as lists, numbers of NumPy as those of Python."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True, kw_only=True, repr=False)
class TwoLayer(Architecture):
    """Two-layer networks of filters: f(x)_s = sum_j w_j . pool_k act(m_{s,k} . u_j) + offset.

    Parameters
    ----------
    bias
        As in ``Architecture``.
    gated : bool
        Replace (m . u)_+ by [m . g >= 0] (m . u) with a fixed gate vector g for each neuron.
    cone_penalty : float
        For gated networks: adds rho * |w_j| times the amount by which the pre-activations of neuron j
        contradict its gates on the training rows. 0 is the plain gated network; a large value makes
        the optimum a ReLU network.
    slope : float
        Of the activation act(t) = max(t, slope t), in [0, 1): 0 is ReLU, more is leaky ReLU.

    Raises
    ------
    InputError
        If an option has an unknown value.
    """

    gated: bool = False
    cone_penalty: float = 0.0
    slope: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("gated", self.gated, (True, False))
        positive("cone_penalty", self.cone_penalty, zero=True)
        real_between("slope", self.slope, 0.0, 1.0)
        if self.cone_penalty > 0.0 and not self.gated:
            raise InputError(
                "cone_penalty",
                f"{self.cone_penalty} with gated=False",
                "0: ReLU networks obey their cones",
                "pass gated=True",
            )
        if self.cone_penalty > 0.0 and self.bias == "free":
            # Its dual has one-sided conditions on the free direction that no scaling of r can repair.
            raise InputError(
                "cone_penalty", f"{self.cone_penalty} with bias='free'", "a penalised bias or none", "pass bias=True"
            )
        if self.gated and self.slope > 0.0:
            raise InputError("gated", f"True with slope={self.slope}", "slope 0", "leave out slope or gated")
        if self.cone_penalty > 0.0 and not self.cellular:
            raise InputError(
                "cone_penalty",
                f"{self.cone_penalty} in {self!r}",
                "0, unless neurons are pooled over all positions by a sum or average",
                "leave out cone_penalty",
            )

    @property
    def cellular(self) -> bool:
        return self.slope == 0.0

    @property
    def cone(self) -> float:
        """Price of leaving a cell: infinite for ReLU, ``cone_penalty`` for gated networks."""
        return self.cone_penalty if self.gated else np.inf

    @property
    def free(self) -> bool:
        return self.bias == "free" and not self.gated

    @abstractmethod
    def features(self, rows: Rows) -> PooledFeatures: ...

    def pieces(self, rows: Rows, choose: Choose) -> Pieces:
        features = self.features(rows)
        if self.gated:
            raise InputError("arrangements", f"cells for {self!r}", "a ReLU network", "leave out gated")
        if features.outputs > 1:
            raise InputError(
                "arrangements",
                "a list of cells",
                f"'generate': neurons of {self!r} have {features.outputs} output weights here",
                "pass arrangements='generate', or readout='sum'",
            )
        return pooled_pieces(features, choose)
