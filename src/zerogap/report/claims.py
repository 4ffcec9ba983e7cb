"""What a certificate that came with a file says beside the one that was recomputed from the network and the data.

The first is the claim of its author, which nobody here has proved. Of two bounds for one scope the recomputed one
confirms the other if it is at least as high. A bound on all networks of an architecture (scope ``global``) holds for
those of listed cells as well.
"""

from __future__ import annotations

from zerogap.certificates.certificate import Certificate

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
    words = f"gap {claim.gap:.1e} (scope {claim.scope}, proof {claim.proof or 'none'})"
    if (claim.loss, float(claim.beta)) != (again.loss, again.beta):
        return f"The file claims a {words} for {claim.loss} loss and beta {claim.beta:g}, which was not asked here."
    if not abs(claim.objective - again.objective) <= SAME * max(abs(claim.objective), again.objective):
        return (
            f"The file claims objective {claim.objective:.7g} on {claim.samples} distinct samples and a {words}. "
            f"On these {again.samples} the objective is {again.objective:.7g}: the claim is about other data, or false."
        )
    if claim.lower_bound <= again.lower_bound and again.scope in ("global", claim.scope):
        return f"The file claims a {words}: no more than was recomputed."
    if claim.scope != again.scope:
        return f"The file claims a {words}: its scope was not recomputed, so that it stays the claim of its author."
    return (
        f"The file claims a {words}: more than was recomputed, so that it stays the claim of its author. "
        "A larger --prove may confirm it."
    )
