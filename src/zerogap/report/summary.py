"""The closing table of a run, as rows of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zerogap.report.scores import Predictions
from zerogap.rounding import text_above, text_below
from zerogap.training.train import Result


@dataclass(frozen=True)
class Comparison:
    """The same objective minimised by gradient descent."""

    method: str
    objective: float
    width: int
    training: Predictions
    testing: Predictions | None
    seconds: float

    @property
    def name(self) -> str:
        """The method as it is written."""
        return {"adam": "Adam", "lbfgs": "L-BFGS", "sgd": "SGD"}[self.method]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "method": self.name,
            "objective": self.objective,
            "width": self.width,
            "train_score": self.training.score,
            "test_score": None if self.testing is None else self.testing.score,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Summary:
    """Everything that the closing table says."""

    result: Result
    training: Predictions
    testing: Predictions | None
    seconds: float
    comparison: Comparison | None = None

    @property
    def judged(self) -> Predictions:
        """The predictions that the network is judged by: those for the test set, if there is one."""
        return self.testing or self.training

    def rows(self) -> list[tuple[str, str, str]]:
        """(quantity, ours, compared with): the third column is empty without a comparison."""
        certificate, other = self.result.certificate, self.comparison

        def beside(text: str) -> str:
            return text if other is not None else ""

        # Cells that generation happened to use delimit nothing.
        limited = certificate.scope != "global" or certificate.proof == "enumeration"
        listed = f" ({certificate.cells} cells)" if limited else ""
        rows = [
            ("objective", text_above(certificate.objective), f"{other.objective:.6g}" if other else ""),
            ("lower bound", text_below(certificate.lower_bound), beside("none")),
            ("relative gap", f"{certificate.gap:.2e}", beside("unknown")),
            ("scope", certificate.scope + listed, beside("")),
            ("proof", certificate.proof or "none", beside("none")),
            *self._searched(beside("")),
            ("width", str(certificate.width), str(other.width) if other else ""),
            (f"train {self.training.measure}", _share(self.training), _share(other.training if other else None)),
        ]
        if self.testing is not None:
            theirs = _share(other.testing if other else None)
            rows.append((f"test {self.testing.measure}", _share(self.testing), theirs))
        rows.append(("seconds", f"{self.seconds:.1f}", f"{other.seconds:.1f}" if other else ""))
        return rows

    def _searched(self, beside: str) -> list[tuple[str, str, str]]:
        estimate = self.result.certificate.estimate
        gap = 1.0 if estimate is None else 1.0 - estimate / max(self.result.certificate.objective, 1e-300)
        if gap > 0.5 * self.result.certificate.gap:
            return []
        return [("gap by search", f"{max(gap, 0.0):.1e}, not proved", beside)]

    def sentence(self) -> str:
        """One sentence on what has been proved, and one on what has not."""
        certificate = self.result.certificate
        text = str(certificate)
        if certificate.scope == "sampled" and self.comparison and self.comparison.objective < certificate.lower_bound:
            text += (
                f". Indeed {self.comparison.name} found one outside these cells, with objective "
                f"{self.comparison.objective:.6g}: list more cells"
            )
        return text + "."

    def to_dict(self) -> dict[str, Any]:
        """The certificate with the scores beside it, ready for JSON."""
        tested = None if self.testing is None else self.testing.score
        scores = {"measure": self.training.measure, "train": self.training.score, "test": tested}
        return {
            **self.result.certificate.to_dict(),
            "scores": {**scores, "seconds": self.seconds},
            "confusion": self.judged.confusion_to_dict(),
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
            "status": {"name": self.result.status.name, "message": self.result.status.value},
        }


def _share(predictions: Predictions | None) -> str:
    return "" if predictions is None else f"{predictions.score:.4f}"
