"""Ctrl-C while compiled code runs: noted, so that the code can stop by itself and hand out what it has.

Python would raise only after the code has returned, and then throw its result away.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Interrupt:
    """Whether Ctrl-C has been pressed."""

    pending: bool = False

    def note(self, *_: Any) -> None:
        """The signal handler."""
        self.pending = True

    def asked(self, *_: Any) -> bool:
        """The termination callback of a solver."""
        return self.pending


@contextmanager
def noted_interrupts() -> Iterator[Interrupt]:
    """Within, Ctrl-C is noted instead of raised; in the main thread, the only one that Python interrupts."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = signal.signal(signal.SIGINT, interrupt.note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
