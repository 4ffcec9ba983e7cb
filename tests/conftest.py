"""Hypothesis draws the same examples on every run, however long one takes; linear algebra takes one thread.

Nearly all matrices of the tests are tiny, and threads that wait for each other take most of the time then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

# Read when NumPy is imported, which nothing has done yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        from zerogap.cli import main

        monkeypatch.setattr(sys, "argv", ["zerogap", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        code = caught.value.code
        return int(code or 0), captured.out, " ".join(captured.err.split())

    return call
