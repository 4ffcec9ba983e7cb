"""The closing table of a run, as rows of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zerogap.rounding import text_above, text_below
from zerogap.training.train import Result


@dataclass(frozen=True)
class Comparison:
    """The same objective minimised by gradient descent."""

    method: str
    objective: float
    width: int
    train_score: float
    test_score: float | None
    seconds: float


@dataclass(frozen=True)
class Summary:
    """Everything that the closing table says."""

    result: Result
    score: str
    train_score: float
    test_score: float | None
    seconds: float
    comparison: Comparison | None = None

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
            (f"train {self.score}", _share(self.train_score), _share(other.train_score) if other else ""),
        ]
        if self.test_score is not None:
            rows.append((f"test {self.score}", _share(self.test_score), _share(other.test_score) if other else ""))
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
                f". Indeed {self.comparison.method} found one outside these cells, with objective "
                f"{self.comparison.objective:.6g}: list more cells"
            )
        return text + "."

    def to_dict(self) -> dict[str, Any]:
        """The certificate with the scores beside it, ready for JSON."""
        scores = {"measure": self.score, "train": self.train_score, "test": self.test_score, "seconds": self.seconds}
        other = None if self.comparison is None else vars(self.comparison)
        status = {"name": self.result.status.name, "message": self.result.status.value}
        return {**self.result.certificate.to_dict(), "scores": scores, "comparison": other, "status": status}


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
