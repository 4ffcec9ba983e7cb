"""The command line: what it writes, what it returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerogap as zg
from zerogap.report.console import Progress
from zerogap.training.history import Iteration

TINY = ["planted:n=24,d=2", "--cells", "12", "--beta", "0.1"]


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
        "model.safetensors", "network.safetensors", "certificate.json", "training-data.npz", "history.json",
        "summary.json", "gap.png", "filters.png",
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


def test_check_names_a_wrong_number_of_samples(run, tmp_path: Path) -> None:
    X, data = np.random.default_rng(0).standard_normal((20, 2)), [str(tmp_path / name) for name in ("a.npz", "b.npz")]
    for name, count in zip(data, (20, 19), strict=True):
        np.savez(name, X=X[:count], y=np.abs(X[:count, 0]))
    fit = ["--test-size", "0", "--no-standardise", "--beta", "0.5", "--tol", "1e-2", "--out", str(tmp_path / "out")]
    assert run("fit", data[0], *fit)[0] == 0
    certificate = str(tmp_path / "out" / "certificate.json")
    assert run("check", certificate, data[0])[0] == 0
    code, text, _ = run("check", certificate, data[1])
    assert code == 1
    assert "got 19 samples, expected 20, as in the certificate" in " ".join(text.split())


def test_classification(run) -> None:
    code, text, _ = run("fit", "iris:setosa,virginica", "--cells", "10", "--loss", "logistic")
    assert code == 0
    assert "test accuracy" in text


SOON = ["--max-time", "1", "--prove", "0"]


def table(path: Path, names: list[str], samples: int = 40) -> str:
    """A .csv file of three overlapping classes."""
    X = np.random.default_rng(0).standard_normal((samples, 2))
    labels = np.array(names)[(X[:, 0] > 0.0).astype(int) + (X[:, 1] > 0.3)]
    rows = [f"{a},{b},{label}" for (a, b), label in zip(X, labels, strict=True)]
    path.write_text("\n".join(["a,b,kind", *rows]))
    return str(path)


@pytest.mark.parametrize("loss", [None, "squared", "logistic", "cross_entropy"])
def test_three_classes_of_a_table(run, loss: str | None, tmp_path: Path) -> None:
    data, out, report = table(tmp_path / "table.csv", ["red", "$g$", "[b]"]), tmp_path / "out", tmp_path / "report.json"
    chosen = [] if loss is None else ["--loss", loss]
    written = ["--out", str(out), "--json", str(report)]
    code, text, error = run("fit", data, *chosen, *SOON, "--compare", "lbfgs", "--compare-width", "5", *written)
    assert code in (0, 1), error
    assert f"{loss or 'cross_entropy'} loss" in text
    for word in ("in 3 classes", "test accuracy", "L-BFGS", "test set", "red", "$g$", "[b]", "recall"):
        assert word in text
    contents = json.loads(report.read_text())
    assert contents["confusion"]["part"] == "test"
    assert contents["confusion"]["classes"] == ["$g$", "[b]", "red"]
    counts = np.array(contents["confusion"]["counts"])
    assert counts.shape == (3, 3)
    assert np.trace(counts) / counts.sum() == contents["scores"]["test"] > 0.5
    # The baseline minimises the same objective, which no network brings below the bound.
    assert contents["comparison"]["objective"] >= contents["lower_bound"]
    assert contents["comparison"]["test_score"] > 0.3
    assert (out / "confusion.png").stat().st_size > 0
    assert not (out / "mistakes.png").exists()
    network, again = str(out / "network.safetensors"), str(out / "training-data.npz")
    code, _, error = run("certify", network, again, *chosen, "--prove", "0", "--json", str(report))
    assert code in (0, 1), error
    certificate = zg.Certificate.load(out / "certificate.json")
    assert zg.Certificate.load(report).objective == pytest.approx(certificate.objective, rel=1e-9)
    assert zg.load_dataset(again).classes == ("$g$", "[b]", "red")
    code, text, _ = run("check", str(out / "certificate.json"), again)
    assert "no re-checkable evidence" in " ".join(text.split())


def test_two_classes_with_two_outputs(run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, error = run(
        "fit", "iris:versicolor,virginica", "--loss", "cross_entropy", *SOON, "--test-size", "0", "--out", str(out)
    )
    assert code in (0, 1), error
    assert "training set" in text
    assert zg.Network.load(out / "network.safetensors").targets == 2
    data = [str(out / "network.safetensors"), str(out / "training-data.npz")]
    assert run("certify", *data, "--prove", "0")[0] in (0, 1)
    code, _, error = run("certify", *data, "--loss", "squared")
    assert code == 2
    assert "cross_entropy" in error


def test_a_network_of_other_classes_is_refused(run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("fit", table(tmp_path / "table.csv", ["a", "b", "c"]), *SOON, "--out", str(out))
    network = str(out / "network.safetensors")
    for data, got in (("digits", "got 10"), ("iris:setosa,virginica", "got 2"), ("diabetes", "regression")):
        code, _, error = run("certify", network, data)
        assert code == 2
        assert got in error
        assert "3, one for each output" in error


def test_a_class_that_is_missing_in_the_training_part(run, tmp_path: Path) -> None:
    rng, out = np.random.default_rng(1), tmp_path / "out"
    data = str(tmp_path / "data.npz")
    np.savez(data, X=rng.standard_normal((16, 2)), y=np.arange(16) % 2 * 2, classes=["here", "absent", "there"])
    code, _, error = run("fit", data, *SOON, "--out", str(out))
    assert code in (0, 1), error
    assert zg.Network.load(out / "network.safetensors").targets == 3
    assert json.loads((out / "summary.json").read_text())["confusion"]["recall"][1] is None
    code, _, error = run("certify", str(out / "network.safetensors"), data, "--prove", "0")
    assert code in (0, 1), error
    code, _, error = run("fit", data, *SOON, "--bias", "free")
    assert code == 2
    assert "class 1" in error


def test_one_class_only(run, tmp_path: Path) -> None:
    code, _, error = run("fit", table(tmp_path / "table.csv", ["same", "same", "same"]))
    assert code == 2
    assert "one class only ('same')" in error


@pytest.mark.parametrize("names", [("3", "8"), ("1", "2", "3")])
def test_images_that_the_network_gets_wrong(run, names: tuple[str, ...], tmp_path: Path) -> None:
    digits, rng = zg.load_dataset("digits", classes=names), np.random.default_rng(0)
    kept, data, out = rng.permutation(len(digits))[:24], str(tmp_path / "data.npz"), tmp_path / "out"
    X, y = digits.X[kept, ::2, ::2], digits.y[kept]
    np.savez(data, X=X, y=y, classes=names)
    code, text, error = run("fit", data, "--beta", "0.1", *SOON, "--test-size", "0", "--out", str(out))
    assert code in (0, 1), error
    assert "no mistakes on the 24 training images" in " ".join(text.split())
    assert (out / "confusion.png").exists()
    assert not (out / "mistakes.png").exists()
    np.savez(data, X=X, y=rng.permutation(y), classes=names)
    code, _, error = run("fit", data, *SOON, "--out", str(out))
    assert code in (0, 1), error
    assert (out / "mistakes.png").stat().st_size > 0
    # Pictures of the run before are gone.
    code, _, error = run("fit", *TINY, "--out", str(out))
    assert not (out / "mistakes.png").exists()
    assert not (out / "confusion.png").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--arch", "linear-cnn"],
        ["--arch", "circular-cnn", "--depth", "2", "--bias", "false"],
        ["--arch", "circular-cnn", "--depth", "3"],
        ["--arch", "cnn", "--pooling", "max", "--window", "3"],
        ["--arch", "three-layer-cnn", "--tied", "--stride", "2"],
        ["--arch", "mlp", "--gated", "--cells", "5"],
    ],
)
def test_every_architecture_takes_three_classes(run, options: list[str], tmp_path: Path) -> None:
    rng, data, out = np.random.default_rng(0), str(tmp_path / "data.npz"), tmp_path / "out"
    X = rng.standard_normal((15, 5, 5))
    np.savez(data, X=X, y=(X.mean(axis=(1, 2)) > 0.1).astype(int) + (X.mean(axis=(1, 2)) > -0.1))
    common = [data, "--beta", "0.5", "--loss", "squared"]
    code, _, error = run("fit", *common, *SOON, *options, "--test-size", "0", "--no-standardise", "--out", str(out))
    assert code in (0, 1), error
    assert (out / "filters.png").stat().st_size > 0
    network = zg.Network.load(out / "network.safetensors")
    assert network.targets == 3
    code, _, error = run("certify", str(out / "network.safetensors"), *common, "--prove", "0")
    assert code in (0, 1), error


def test_many_classes_are_written_and_not_printed(run, tmp_path: Path) -> None:
    rng, data, report = np.random.default_rng(2), tmp_path / "data.npz", tmp_path / "report.json"
    np.savez(data, X=rng.standard_normal((39, 2)), y=[f"class {number % 13}" for number in range(39)])
    code, text, error = run("fit", str(data), *SOON, "--beta", "5", "--json", str(report))
    assert code in (0, 1), error
    assert "in 13 classes" in " ".join(text.split())
    assert "test set" not in text
    assert len(json.loads(report.read_text())["confusion"]["classes"]) == 13


def test_time_limit_is_exit_code_one(run) -> None:
    code, text, _ = run("fit", "planted:n=60,d=5", "--cells", "50", "--beta", "0.01", "--max-time", "1e-6")
    assert code == 1
    assert "time limit" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "nosuchdata"], ["nosuchdata", "expected"]),
        (["fit", *TINY[:1], "--beta", "-1"], ["beta", "-1", "> 0"]),
        (["fit", *TINY[:1], "--cells", "0"], ["--cells", "positive"]),
        (["fit", *TINY[:1], "--cells", "many"], ["--cells", "many"]),
        (["fit", "iris", "--loss", "hinge"], ["hinge", "3 classes", "cross_entropy"]),
        (["fit", "iris:setosa"], ["setosa", "at least two"]),
        (["fit", "diabetes", "--loss", "cross_entropy"], ["cross_entropy", "regression", "squared"]),
        (["fit", "iris", "--out", "/dev/null/out"], ["/dev/null/out"]),
        (["fit", "iris", "--solver", "clarabel"], ["clarabel", "interior_point"]),
        (["fit", "digits:3,8", "--arch", "cnn", "--kernel-size", "9"], ["kernel_size", "9", "at most 8"]),
        (["fit", *TINY[:1], "--gated", "--compare", "adam", "--cells", "4"], ["gated", "ReLU"]),
        (["fit", *TINY[:1], "--arch", "mlp", "--depth", "3"], ["--depth", "mlp", "leave"]),
        (["fit", "digits:3,8", "--arch", "circular-cnn", "--pooling", "max"], ["--pooling", "circular-cnn"]),
        (["fit", "digits:3,8", "--arch", "linear-cnn", "--cells", "enumerate"], ["--cells", "generate"]),
        (["fit", "digits:3,8", "--arch", "cnn", "--pooling", "max", "--window", "9"], ["window", "9x9", "6x6"]),
        (["fit", *TINY, "--json", "/dev/null/report.json"], ["/dev/null"]),
        (["fit", *TINY, "--out", "/dev/null/out"], ["/dev/null/out"]),
        (["certify", "missing.safetensors", *TINY[:1]], ["missing.safetensors"]),
        (["fit", *TINY[:1], "--loss", "absolute"], ["squared"]),
        (["fit", *TINY[:1], "--cone-penalty", "1"], ["--cone-penalty", "pass --gated"]),
        (["fit", *TINY[:1], "--gated", "--cells", "generate"], ["with --gated", "pass --cells 200"]),
        (["fit", *TINY[:1], "--seed", "-1"], ["--seed: got -1", "--seed 1"]),
        (["fit", *TINY[:1], "--test-size", "1"], ["--test-size: got 1.0", "--test-size 0.25"]),
        (["fit", *TINY[:1], "--tol", "0"], ["--tol: got 0.0", "--tol 1e-3"]),
        (["path", *TINY[:1], "--ratio", "1"], ["--ratio: got 1.0", "--ratio 1e-2"]),
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
    code, text, _ = run("fit", "iris", *SOON, "--cells", "10", "--out", str(tmp_path / "out"))
    assert code in (0, 1)
    assert "pip install 'zerogap[plots]'" in " ".join(text.split())
    assert (tmp_path / "out" / "network.safetensors").exists()


def test_the_version_is_printed(run) -> None:
    code, out, _ = run("--version")
    assert (code, out.strip()) == (0, f"zerogap {zg.__version__}")
    module = subprocess.run([sys.executable, "-m", "zerogap", "--version"], capture_output=True, text=True, check=True)
    assert module.stdout == out


def test_lines_of_equal_figures_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        for second in range(25):
            progress(Iteration(float(second), 0.0, 0, 1.0, 0.5 if second < 20 else 0.75, 3))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0.0", "10.0", "20.0"]
