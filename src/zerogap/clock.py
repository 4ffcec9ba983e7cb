"""Seconds that count towards limits: all but those that compiling takes, the first time on a machine."""

from __future__ import annotations

import time
from functools import cache
from typing import Any


class _Compiling:
    """Seconds spent on compiling loops in this process."""

    def __init__(self) -> None:
        self._depth, self._started, self._spent = 0, 0.0, 0.0

    def spent(self) -> float:
        return self._spent + (time.monotonic() - self._started if self._depth else 0.0)

    # Events of numba.core.event, which nest, and are sent under its global lock.

    def on_start(self, event: Any) -> None:
        if not self._depth:
            self._started = time.monotonic()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if not self._depth:
            self._spent += time.monotonic() - self._started


@cache
def _compiling() -> _Compiling:
    # Not before it is needed: importing numba takes longer than importing this package.
    from numba.core import event

    class Listener(_Compiling, event.Listener):
        pass

    listener = Listener()
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener


def compiling() -> float:
    """Seconds spent on compiling so far."""
    return _compiling().spent()


def now() -> float:
    """Seconds since some instant, without those spent on compiling."""
    return time.monotonic() - _compiling().spent()
