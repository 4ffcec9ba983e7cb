"""Runs that are killed at random instants: whatever is on disk loads, belongs together, and checks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from zerogap import checker

RNG = np.random.default_rng(8)
TABLE = np.round(64 * RNG.standard_normal((12, 2))) / 64
TARGETS = {"wavy": TABLE[:, 0] * TABLE[:, 1], "kink": np.abs(TABLE[:, 0])}

WRITER = """
import json, sys
import zerogap as zg
certificates = [zg.Certificate.load(path) for path in sys.argv[2:]]
print("ready", flush=True)
while True:
    for certificate in certificates:
        certificate.save(sys.argv[1])
"""

FIT = """
import sys
from zerogap import cli
from zerogap.report import folder
folder._write_pictures = lambda *_: None
out, *names = sys.argv[1:]
while True:
    for name in names:
        sys.argv = ["zerogap", "fit", name, "--test-size", "0", "--beta", "0.3", "--tol", "0.05", "--out", out]
        try:
            cli.main()
        except SystemExit:
            pass
"""


def holds(contents: dict[str, Any], X: Any, y: Any) -> None:
    """The checker accepts the claims for these data."""
    check: Any = checker.check
    assert check(contents, X.tolist(), y.tolist())["lower_bound"] == contents["lower_bound"]


def killed_after(process: subprocess.Popen[str], seconds: float) -> None:
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("seed", range(6))
def test_a_certificate_that_is_being_written_is_the_old_or_the_new_one(seed: int, tmp_path: Path) -> None:
    for name, y in TARGETS.items():
        certificate = zg.train(zg.MLP(), TABLE, y, beta=0.3, tol=5e-2).certificate
        certificate.save(tmp_path / f"{name}.json")
    goal, sources = tmp_path / "certificate.json", [str(tmp_path / f"{name}.json") for name in TARGETS]
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(goal), *sources], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    while not goal.exists():
        time.sleep(1e-3)
    killed_after(process, float(np.random.default_rng(seed).uniform(0.0, 0.05)))
    contents = json.loads(goal.read_text())
    assert zg.Certificate.load(goal).lower_bound == contents["lower_bound"]
    written = [json.loads(Path(source).read_text()) for source in sources]
    holds(contents, TABLE, list(TARGETS.values())[written.index(contents)])


@pytest.mark.parametrize("seed", range(4))
def test_a_certificate_never_stands_beside_other_data(seed: int, tmp_path: Path) -> None:
    """Two problems are written in turn into the same folder."""
    command = [sys.executable, "-c", FIT, str(tmp_path), "planted:n=10,d=2,seed=0", "planted:n=10,d=2,seed=1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    while not (tmp_path / "summary.json").exists():
        assert process.poll() is None
        time.sleep(1e-3)
    killed_after(process, float(np.random.default_rng(seed).uniform(0.0, 0.5)))
    goal = tmp_path / "certificate.json"
    if goal.exists():
        with np.load(tmp_path / "training-data.npz") as data:
            holds(json.loads(goal.read_text()), data["X"], data["y"])
        assert zg.Certificate.load(goal).width == zg.Network.load(tmp_path / "network.safetensors").width
