"""Exceptions and statuses.

    ZerogapError
    ├── InputError          (ValueError)   an argument or array that cannot be used
    ├── DataFileError       (OSError)      a file that cannot be read or written
    ├── MissingExtraError   (ImportError)  an optional dependency that is not installed
    └── ToleranceError      (RuntimeError) raised by ``Result.raise_for_status``

Every message says what was wrong, what was got, what was expected, and how to mend it.
"""

from __future__ import annotations

from enum import Enum

__all__ = [
    "DataFileError",
    "InputError",
    "MissingExtraError",
    "Status",
    "ToleranceError",
    "ZerogapError",
]


class ZerogapError(Exception):
    """Base class of all errors raised on purpose by this package."""


class InputError(ZerogapError, ValueError):
    """An argument has a wrong value, shape or type.

    Parameters
    ----------
    what, got, expected, remedy : str
        The four parts of the message, kept as attributes.
    """

    def __init__(self, what: str, got: str, expected: str, remedy: str) -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        super().__init__(f"{what}: got {got}, expected {expected}; {remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        return type(self), (self.what, self.got, self.expected, self.remedy)


class DataFileError(InputError, OSError):
    """A file or folder cannot be read or written."""


class MissingExtraError(ZerogapError, ImportError):
    """An optional dependency is needed; the message holds the pip command."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        self.parts = (purpose, package, extra)
        super().__init__(
            f"{purpose}: got no module {package!r}, expected it to be installed; run: pip install 'zerogap[{extra}]'"
        )

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), self.parts


class ToleranceError(ZerogapError, RuntimeError):
    """The gap asked for was not met."""


class Status(Enum):
    """How a training run ended; the value is the message."""

    OPTIMAL = "the relative duality gap asked for was met"
    SEARCHED = (
        "search finds no better neuron, but the gap asked for was not proved: raise prove, tol or beta, "
        "or use fewer features or smaller filters"
    )
    TIME_LIMIT = "the time limit was reached before the gap: raise max_time, tol or beta"
    INTERRUPTED = "interrupted by the user: this is the best network so far"
    STOPPED = "stopped by the callback: this is the best network so far"
    STALLED = "the solver could not make further progress: rescale the columns of X, or raise tol or beta"

    @property
    def success(self) -> bool:
        return self is Status.OPTIMAL
