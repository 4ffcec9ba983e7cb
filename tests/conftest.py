"""Hypothesis draws the same examples on every run, however long one takes; linear algebra takes one thread.

Nearly all matrices of the tests are tiny, and threads that wait for each other take most of the time then.
"""

from __future__ import annotations

import os

# Read when NumPy is imported, which nothing has done yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")
