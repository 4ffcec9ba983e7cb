"""The command line: what it writes, what it returns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import zerogap as zg
from zerogap.cli import main

TINY = ["planted:n=24,d=2", "--cells", "12", "--beta", "0.1"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["zerogap", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        code = caught.value.code
        return int(code or 0), captured.out, " ".join(captured.err.split())

    return call


def test_fit_writes_everything(run, tmp_path: Path) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    code, text, _ = run("fit", *TINY, "--compare", "lbfgs", "--out", str(out), "--json", str(report))
    assert code == 0
    for word in (
        "objective",
        "lower bound",
        "relative gap",
        "scope",
        "proof",
        "width",
        "train R2",
        "test R2",
        "L-BFGS",
    ):
        assert word in text
    written = {path.name for path in out.iterdir()}
    assert written == {
        "network.safetensors", "certificate.json", "training-data.npz", "history.json", "summary.json", "gap.png",
        "filters.png",
    }  # fmt: skip
    contents = json.loads(report.read_text())
    assert contents["proved"]
    assert contents["scope"] == "sampled"
    assert contents["gap"] <= 1e-4
    certificate = zg.Certificate.load(out / "certificate.json")
    assert certificate.lower_bound == contents["lower_bound"]
    network = zg.Network.load(out / "network.safetensors")
    assert network.width == certificate.width
    history = json.loads((out / "history.json").read_text())
    assert [record["bound"] for record in history] == sorted(record["bound"] for record in history)


def test_written_network_certifies(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", X=rng.standard_normal((7, 2)), y=rng.standard_normal(7))
    data = str(tmp_path / "data.npz")
    common = [data, "--beta", "0.2"]
    code, text, _ = run(
        "fit", *common, "--cells", "enumerate", "--no-standardise", "--test-size", "0", "--out", str(tmp_path / "out")
    )
    assert code == 0
    assert "global" in text
    code, text, _ = run(
        "certify", str(tmp_path / "out" / "network.safetensors"), *common, "--json", str(tmp_path / "c.json")
    )
    assert code == 0
    assert zg.Certificate.load(tmp_path / "c.json").scope == "global"
    code, _, _ = run("certify", str(tmp_path / "out" / "network.safetensors"), data, "--beta", "0.4")
    assert code == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--arch", "cnn", "--kernel-size", "2", "--pooling", "average", "--stride", "2", "--padding", "1"],
        ["--bias", "free", "--loss", "squared"],
        ["--bias", "false", "--gated", "--cone-penalty", "0.5"],
        ["--solver", "clarabel"],
        ["--cells", "3", "--seed", "5", "--test-size", "0"],
    ],
)
def test_options_reach_the_solver(run, options: list[str]) -> None:
    code, text, _ = run("fit", "planted:n=20,d=3", "--cells", "6", "--beta", "0.5", *options)
    assert code == 0, text


@pytest.mark.parametrize(
    "options",
    [
        ["--arch", "linear-cnn", "--pooling", "average", "--window", "2"],
        ["--arch", "circular-cnn", "--depth", "2", "--bias", "false"],
        ["--arch", "circular-cnn", "--depth", "3", "--kernel-size", "5", "--normalisation", "frobenius"],
        ["--arch", "cnn", "--pooling", "max", "--window", "3", "--readout", "sum", "--slope", "0.1"],
        ["--arch", "cnn", "--pooling", "none", "--bias", "free"],
        ["--arch", "three-layer-cnn", "--tied", "--stride", "2"],
    ],
)
def test_every_architecture_is_trained_written_and_certified(run, options: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, out, data = rng.standard_normal((12, 6, 6)), tmp_path / "out", str(tmp_path / "data.npz")
    np.savez(data, X=X, y=np.where(X.mean(axis=(1, 2)) > 0.0, 1.5, -0.5))
    common = [data, "--beta", "0.5"]
    fit = [*common, "--max-time", "5", "--prove", "1", "--tol", "1e-2", "--test-size", "0", "--no-standardise"]
    code, text, error = run("fit", *fit, *options, "--out", str(out))
    assert code in (0, 1), error
    certificate = zg.Certificate.load(out / "certificate.json")
    assert certificate.proved
    assert 0.0 < certificate.lower_bound <= certificate.objective
    assert (code == 0) == (certificate.gap <= 1e-2)
    assert (out / "filters.png").stat().st_size > 0
    assert (out / "spectra.png").exists() == ("circular-cnn" in options)
    again_file = str(tmp_path / "again.json")
    code, text, _ = run("certify", str(out / "network.safetensors"), *common, "--prove", "2", "--json", again_file)
    again = zg.Certificate.load(tmp_path / "again.json")
    assert again.objective == pytest.approx(certificate.objective, rel=1e-9)
    code, text, _ = run("check", str(out / "certificate.json"), data)
    assert code == 1
    assert "no re-checkable evidence" in " ".join(text.split())


def test_classification(run) -> None:
    code, text, _ = run("fit", "iris:setosa,virginica", "--cells", "10", "--loss", "logistic")
    assert code == 0
    assert "test accuracy" in text


def test_time_limit_is_exit_code_one(run) -> None:
    code, text, _ = run("fit", "planted:n=60,d=5", "--cells", "50", "--beta", "0.01", "--max-time", "1e-6")
    assert code == 1
    assert "time limit" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "nosuchdata"], ["nosuchdata", "expected"]),
        (["fit", *TINY[:1], "--beta", "-1"], ["beta", "-1", "> 0"]),
        (["fit", *TINY[:1], "--cells", "0"], ["arrangements", "positive"]),
        (["fit", *TINY[:1], "--cells", "many"], ["arrangements", "many"]),
        (["fit", "digits"], ["10 classes", "two"]),
        (["fit", "digits:3,8", "--arch", "cnn", "--kernel-size", "9"], ["kernel_size", "9", "at most 8"]),
        (["fit", *TINY[:1], "--gated", "--compare", "adam", "--cells", "4"], ["gated", "ReLU"]),
        (["fit", *TINY[:1], "--arch", "mlp", "--depth", "3"], ["--depth", "mlp", "leave"]),
        (["fit", "digits:3,8", "--arch", "circular-cnn", "--pooling", "max"], ["--pooling", "circular-cnn"]),
        (["fit", "digits:3,8", "--arch", "linear-cnn", "--cells", "enumerate"], ["arrangements", "generate"]),
        (["fit", "digits:3,8", "--arch", "cnn", "--pooling", "max", "--window", "9"], ["window", "9x9", "6x6"]),
        (["fit", *TINY, "--json", "/dev/null/report.json"], ["/dev/null"]),
        (["fit", *TINY, "--out", "/dev/null/out"], ["/dev/null/out"]),
        (["certify", "missing.safetensors", *TINY[:1]], ["missing.safetensors"]),
        (["fit", *TINY[:1], "--loss", "absolute"], ["squared"]),
        (["fit"], ["Missing argument"]),
    ],
)
def test_bad_input_is_exit_code_two(run, arguments: list[str], words: list[str]) -> None:
    code, _, error = run(*arguments)
    assert code == 2
    for word in words:
        assert word in error


def test_datasets_are_listed(run) -> None:
    code, text, _ = run("datasets")
    assert code == 0
    assert "breast_cancer" in text


def test_pictures_need_an_extra(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, text, _ = run("fit", *TINY, "--out", str(tmp_path / "out"))
    assert code == 0
    assert "pip install 'zerogap[plots]'" in " ".join(text.split())
    assert (tmp_path / "out" / "network.safetensors").exists()
