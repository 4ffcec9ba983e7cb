"""Certificates: what has been proved about a network."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from zerogap.architectures import from_config
from zerogap.certificates.evidence import Evidence
from zerogap.errors import DataFileError, InputError
from zerogap.files import write_atomically
from zerogap.output_losses import LOSS_NAMES
from zerogap.rounding import text_above, text_below
from zerogap.validation import file_path, finite, integer, one_of, positive, shown

Scope = Literal["global", "sampled", "gated"]

SENTENCES = {
    "global": "no {kind} of this shape, of any width, has an objective below {bound}",
    "sampled": "no {kind} with neurons in the {cells} listed cells has an objective below {bound}; "
    "networks with other neurons may",
    "gated": "no gated {kind} with the {cells} listed gates has an objective below {bound}",
}
SUGGESTED = "; search, which proves nothing, met no neuron that would allow less than {estimate}"
SOURCES = {
    "global": "Pilanci and Ergen (ICML 2020), Theorem 1",
    "sampled": "Pilanci and Ergen (ICML 2020), Theorem 1, restricted to the listed cells",
    "gated": "Mishkin, Sahiner and Pilanci (ICML 2022), gated ReLU program",
}
PROOFS = {
    "enumeration": "completeness of the cells by exact count",
    "branch and bound": "every direction bounded by branch and bound (docs/proofs.md)",
    "relaxation": "every direction bounded by a relaxation (docs/theory.md)",
    "closed form": "the largest price of all neurons in closed form (docs/theory.md)",
}
FORMAT = "zerogap-certificate-4"
CNN_SOURCES = {
    "CNN": "Ergen and Pilanci (ICLR 2021), two-layer convolutions",
    "LinearCNN": "Ergen and Pilanci (ICLR 2021), linear convolutions",
    "CircularCNN": "Ergen and Pilanci (ICLR 2021), circular convolutions",
    "ThreeLayerCNN": "Ergen and Pilanci (ICLR 2021), three layers with two ReLUs",
}


@dataclass(frozen=True)
class Certificate:
    """The objective of a network and a lower bound that nothing in its scope can beat.

    Parameters
    ----------
    objective : float
        Of the network, recomputed in float64 from its weights and the raw data, rounded up.
    lower_bound : float
        From weak duality on the raw data, rounded down. Never from a residual or a solver's status.
    scope : "global", "sampled" or "gated"
        All networks of the architecture; ReLU networks restricted to the listed cells; gated networks
        with the listed gates.
    proof : str or None
        "enumeration" when every cell (of the scope) has been priced; "branch and bound" or "relaxation" when
        every direction has been bounded; None when only the trivial bound 0 of a non-negative loss is left,
        and then `withheld` says why.
    architecture : dict
        Its configuration.
    loss : str
    beta : float
    samples, cells, width : int
        Distinct samples with positive weight; cells or gates of the scope (those last in use, if the proof
        lists none); neurons of the network.
    zero_loss : float
        The loss of the zero network, the scale of the relative gap.
    withheld : str or None
    estimate : float or None
        The bound that search alone suggests: what the bound would be if no neuron were better than the best
        one that was met. Never proved.
    outputs : int or None
        C, for networks with several outputs.
    evidence : Evidence or None
        What ``save`` writes for ``zerogap check``.
    """

    objective: float
    lower_bound: float
    scope: Scope
    proof: str | None
    architecture: dict[str, Any]
    loss: str
    beta: float
    samples: int
    cells: int
    width: int
    zero_loss: float
    withheld: str | None = None
    estimate: float | None = None
    outputs: int | None = None
    evidence: Evidence | None = field(default=None, repr=False, compare=False)

    @property
    def absolute_gap(self) -> float:
        """objective - lower_bound."""
        return self.objective - self.lower_bound

    @property
    def gap(self) -> float:
        """The absolute gap relative to max(objective, 1e-12 * loss of the zero network)."""
        # Objectives are rounded up by a subnormal number at least: that is no gap.
        if self.objective <= 1e-300:
            return 0.0
        if self.objective == math.inf:
            return math.inf
        scale = max(self.objective, 1e-12 * self.zero_loss)
        return self.absolute_gap / scale if scale > 0.0 else 0.0

    @property
    def proved(self) -> bool:
        """Whether the bound rests on a completed proof for its scope."""
        return self.proof is not None

    def __str__(self) -> str:
        kind, objective = self.architecture["kind"], text_above(self.objective)
        kind = kind if self.outputs is None else f"{self.outputs}-output {kind}"
        if self.proof is None:
            return f"objective {objective}; nothing proved beyond the bound 0 (scope {self.scope}): {self.withheld}"
        bound = text_below(self.lower_bound)
        sentence = SENTENCES[self.scope].format(kind=kind, cells=self.cells, bound=bound)
        if self.estimate is not None and self.objective - self.estimate < 0.5 * self.absolute_gap:
            sentence += SUGGESTED.format(estimate=text_below(self.estimate))
        return (
            f"objective {objective}, bound {bound}, gap {self.gap:.1e} "
            f"(scope {self.scope}, proof {self.proof}): {sentence}"
        )

    def cite(self) -> str:
        """The theorem that this certificate rests on."""
        source = SOURCES[self.scope]
        if self.scope == "global" and self.proof is not None:
            source = f"{source}; {PROOFS[self.proof]}"
        if self.outputs is not None:
            source = f"{source}; Sahiner, Ergen, Pauly and Pilanci (ICLR 2021), vector outputs"
        convolution = CNN_SOURCES.get(self.architecture["kind"])
        return source if convolution is None else f"{source}; {convolution}"

    def to_dict(self) -> dict[str, Any]:
        """All fields and the derived figures, ready for JSON."""
        derived = {"gap": self.gap, "absolute_gap": self.absolute_gap, "proved": self.proved, "source": self.cite()}
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "evidence"}
        return {"format": FORMAT, **plain, **derived}

    def _check(self) -> None:
        """Raise InputError on what no run can have written."""
        from_config(self.architecture)
        one_of("scope", self.scope, ("global", "sampled", "gated"))
        one_of("loss", self.loss, LOSS_NAMES)
        # The objective of a network overflows where its weights do.
        objective = positive("objective", self.objective, infinite=True, zero=True)
        bound = finite("lower_bound", self.lower_bound)
        if not 0.0 <= bound <= objective:
            raise InputError("lower_bound", f"{bound}", f"from 0 to the objective {objective}", "compute it again")
        positive("beta", self.beta)
        positive("zero_loss", self.zero_loss, zero=True)
        for name in ("samples", "cells", "width"):
            integer(name, getattr(self, name), least=0)
        if self.outputs is not None:
            integer("outputs", self.outputs, least=1)
        if self.proof is None:
            if not isinstance(self.withheld, str):
                raise InputError("withheld", shown(self.withheld), "the reason for a missing proof", "compute it again")
        elif self.proof not in PROOFS or self.withheld is not None:
            found = f"{shown(self.proof)} and the doubt {shown(self.withheld)}"
            raise InputError("proof", found, f"one of {list(PROOFS)} without a doubt, or None", "compute it again")
        if self.estimate is not None:
            finite("estimate", self.estimate)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, with the evidence that ``zerogap check`` needs; whole or not at all. Raises DataFileError."""
        evidence = None if self.evidence is None else self.evidence.to_dict()
        contents = self.to_dict() | {"evidence": evidence}
        write_atomically(path, (json.dumps(contents, indent=1) + "\n").encode())

    @classmethod
    def from_dict(cls, contents: Any) -> Certificate:
        """The certificate of what ``to_dict`` gives, with or without evidence.

        Raises
        ------
        InputError, KeyError, TypeError
            Contents that no run can have written.
        """
        if contents["format"] != FORMAT:
            raise InputError("format", shown(contents["format"]), FORMAT, "pass what Certificate.to_dict gave")
        evidence = contents.get("evidence")
        known = {name: contents[name] for name in cls.__dataclass_fields__ if name != "evidence"}
        certificate = cls(**known, evidence=None if evidence is None else Evidence(lambda: evidence))
        certificate._check()
        return certificate

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        """Read a file written by ``save``. Its claims are those of its author until recomputed with ``zg.certify``.

        Raises
        ------
        DataFileError
            If it cannot be read or lacks a field.
        """
        remedy = "pass a file written by Certificate.save"
        path = file_path("path", path)
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataFileError(f"certificate file {path}", str(error), "a complete certificate", remedy) from error
