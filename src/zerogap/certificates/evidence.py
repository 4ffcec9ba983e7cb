"""The evidence of a certificate: what a stranger needs to re-check it (docs/proofs.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Evidence:
    """Evidence that is put together when it is first asked for, because most certificates are never saved."""

    def __init__(self, build: Callable[[], dict[str, Any] | None]) -> None:
        self._build: Callable[[], dict[str, Any] | None] | None = build
        self._built: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any] | None:
        """Ready for JSON; None if this kind of certificate has no evidence that the checker can read."""
        if self._build is not None:
            self._built, self._build = self._build(), None
        return self._built
