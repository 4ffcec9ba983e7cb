"""What a certificate that came with a file says beside the one that was recomputed from the network and the data.

The first is the claim of its author, which nobody here has proved. A recomputed bound on all networks of the
architecture (scope ``global``) confirms one that is no higher, also one for listed cells only. Bounds for listed cells
are not compared with each other: the cells are not in the file.
"""

from __future__ import annotations

from zerogap.certificates.certificate import Certificate
from zerogap.rounding import text_above

SAME = 1e-6
"""Objectives within this of each other, relatively, are taken for those of the same data."""


def compared(claim: Certificate, again: Certificate) -> str:
    """In one sentence, whether the claim goes beyond what was recomputed.

    Parameters
    ----------
    claim : Certificate
        As it was in the file.
    again : Certificate
        Recomputed by ``zg.certify``.
    """
    words = f"gap of {claim.gap:.1e} (scope {claim.scope}, proof {claim.proof or 'none'})"
    if (claim.loss, float(claim.beta)) != (again.loss, again.beta):
        return f"The file claims a {words} for {claim.loss} loss and beta {claim.beta:g}, which was not asked here."
    if not abs(claim.objective - again.objective) <= SAME * max(abs(claim.objective), again.objective):
        theirs, ours = text_above(float(claim.objective)), text_above(again.objective)
        return (
            f"The file claims objective {theirs} on {claim.samples} distinct samples and a {words}. On these "
            f"{again.samples} the objective is {ours}: the claim is about other data, or false."
        )
    if again.scope == "global" and claim.lower_bound <= again.lower_bound:
        return f"The file claims a {words}: no more than was recomputed."
    if claim.scope == again.scope == "global":
        return (
            f"The file claims a {words}: more than was recomputed, so that it stays the claim of its author. "
            "A larger --prove may confirm it."
        )
    return f"The file claims a {words}: its scope was not recomputed, so that it stays the claim of its author."
