"""Compiling does not count towards limits, and can be done beforehand."""

import subprocess
import sys
import time

from numba import njit

from zerogap import clock
from zerogap.compiling import JOBS


def test_the_clock_stands_while_loops_are_compiled() -> None:
    before, started, real = clock.compiling(), clock.now(), time.monotonic()

    @njit
    def inner(x):
        return x * x

    @njit
    def outer(x):
        return inner(x) + inner(2.0 * x)

    assert outer(1.0) == 5.0
    spent = clock.compiling() - before
    took = time.monotonic() - real
    # The function within the other is not counted twice.
    assert 0.0 < spent <= took
    assert abs(took - spent - (clock.now() - started)) < 0.05


def test_the_clock_runs_otherwise() -> None:
    started, real = clock.now(), time.monotonic()
    time.sleep(0.05)
    assert abs((clock.now() - started) - (time.monotonic() - real)) < 0.02


def test_an_unfinished_compilation_counts_so_far() -> None:
    counter = clock._Compiling()
    counter.on_start(None)
    counter.on_start(None)
    time.sleep(0.02)
    counter.on_end(None)
    first = counter.spent()
    assert first >= 0.02
    time.sleep(0.02)
    assert counter.spent() >= first + 0.02
    counter.on_end(None)
    last = counter.spent()
    time.sleep(0.02)
    assert counter.spent() == last


def test_what_the_command_compiles_is_there_afterwards() -> None:
    subprocess.run([sys.executable, "-m", "zerogap", "compile"], check=True, capture_output=True)
    again = subprocess.run([sys.executable, "-m", "zerogap", "compile"], check=True, capture_output=True, text=True)
    assert "compiled already" in again.stdout
    before = clock.compiling()
    for job in JOBS:
        job()
    assert clock.compiling() == before
