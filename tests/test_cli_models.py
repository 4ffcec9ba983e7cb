"""Models on the command line: written by ``fit``, used by ``predict``, judged by ``certify``."""

from __future__ import annotations

import csv
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from models import TABLE, model
from zerogap.cli import main
from zerogap.data.encoding import network_inputs
from zerogap.files import write_atomically
from zerogap.report import folder
from zerogap.scaling import Scaling

SOON = ["--max-time", "1", "--prove", "0"]
RNG = np.random.default_rng(5)
FLOWERS = RNG.standard_normal((24, 2)) * [1.0, 100.0] + [0.0, 50.0]
KINDS = np.array(["rose", "aster", "lily"])[(FLOWERS[:, 0] > 0.0).astype(int) + (FLOWERS[:, 1] > 60.0)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: (exit code, standard output, standard error), in one line each."""

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["zerogap", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), " ".join(captured.out.split()), " ".join(captured.err.split())

    return call


def write_table(path: Path, X: Any, labels: Any = None, header: str = "") -> Path:
    rows = [[repr(float(value)) for value in row] for row in X]
    if labels is not None:
        rows = [[*row, str(label)] for row, label in zip(rows, labels, strict=True)]
    path.write_text("\n".join([*([header] if header else []), *map(",".join, rows)]))
    return path


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three classes, and the folder of a run on it that trained on all samples."""
    place = tmp_path_factory.mktemp("grown")
    data = write_table(place / "flowers.csv", FLOWERS, KINDS, "width,height,kind")
    arguments = ["fit", data, *SOON, "--beta", "0.5", "--test-size", "0", "--out", place / "run"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["zerogap", *map(str, arguments)])
        with pytest.raises(SystemExit):
            main()
    return place


@pytest.fixture
def flowers(grown: Path, tmp_path: Path) -> Path:
    """The folder of the run, with the table beside it."""
    shutil.copytree(grown, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


# -- fit -----------------------------------------------------------------------------------------------


def test_a_model_takes_raw_data_where_the_network_takes_scaled_data(flowers: Path) -> None:
    read, network = zg.Model.load(flowers / "model.safetensors"), zg.Network.load(flowers / "network.safetensors")
    with np.load(flowers / "training-data.npz") as scaled:
        assert read.outputs(FLOWERS).tobytes() == network(scaled["X"]).tobytes()
    best = network(read.scaled(FLOWERS)).argmax(axis=1)
    assert read.predict(FLOWERS).tolist() == [read.classes[place] for place in best]
    assert (read.task, read.loss, read.beta, read.shape) == ("classes", "cross_entropy", 0.5, (2,))
    assert read.classes == ("aster", "lily", "rose")
    assert read.certificate == zg.Certificate.load(flowers / "certificate.json")


@pytest.mark.parametrize(
    "options", [["--no-standardise"], ["--arch", "cnn", "--kernel-size", "2"], ["--loss", "squared"]]
)
def test_models_of_tables(run, options: list[str], tmp_path: Path) -> None:
    data = "planted:n=20,d=3"
    code, _, error = run("fit", data, *SOON, *options, "--out", tmp_path)
    assert code in (0, 1), error
    read, training = zg.Model.load(tmp_path / "model.safetensors"), zg.load_dataset(data).split(0.25, 0)[0]
    assert (read.inputs is None) == ("--no-standardise" in options)
    with np.load(tmp_path / "training-data.npz") as written:
        assert read.outputs(training.X).tobytes() == read.network(written["X"]).tobytes()


@pytest.mark.parametrize("options", [["--arch", "mlp"], ["--arch", "cnn", "--kernel-size", "3", "--stride", "5"]])
def test_models_of_images(run, options: list[str], tmp_path: Path) -> None:
    code, _, error = run("fit", "digits:3,8", *SOON, *options, "--beta", "50", "--out", tmp_path)
    assert code in (0, 1), error
    read, digits = zg.Model.load(tmp_path / "model.safetensors"), zg.load_dataset("digits:3,8")
    assert (read.shape, read.classes, read.inputs) == ((8, 8), ("3", "8"), None)
    assert read.predict(digits.X.reshape(-1, 64)).tolist() == read.predict(digits.X).tolist()
    flat = read.network.architecture.flat
    assert read.outputs(digits.X).tobytes() == read.network(network_inputs(digits, flat)).tobytes()


class Killed(BaseException):
    """Ends a run at once."""


@pytest.mark.parametrize("writes", range(8))
def test_a_run_that_is_killed_between_two_files(
    run, writes: int, flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in the folder of an older run belongs together."""
    left = [writes]

    def write(path: Any, content: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write_atomically(path, content)

    for module in ("network", "model", "certificates.certificate", "report.folder"):
        monkeypatch.setattr(f"zerogap.{module}.write_atomically", write)
    monkeypatch.setattr(folder, "_write_pictures", lambda *_: None)
    arguments = ["fit", "planted:n=6,d=1", *SOON, "--test-size", "0", "--out", str(flowers)]
    monkeypatch.setattr(sys, "argv", ["zerogap", *arguments])
    with pytest.raises((Killed, SystemExit)) as caught:
        main()
    assert isinstance(caught.value, Killed) == (writes < 6)
    network = zg.Network.load(flowers / "network.safetensors")
    assert (flowers / "model.safetensors").exists() == (writes >= 3)
    assert (flowers / "certificate.json").exists() == (writes >= 4)
    if writes >= 3:
        read = zg.Model.load(flowers / "model.safetensors")
        assert read.network.first.tobytes() == network.first.tobytes()
        with np.load(flowers / "training-data.npz") as data:
            assert read.certificate is not None
            objective = network.objective(data["X"], data["y"], beta=1.0)
            assert read.certificate.objective == pytest.approx(objective, rel=1e-9)


# -- predict -------------------------------------------------------------------------------------------


def test_predictions_of_classes(run, flowers: Path, tmp_path: Path) -> None:
    read = zg.Model.load(flowers / "model.safetensors")
    right = float(np.mean(read.predict(FLOWERS) == KINDS))
    code, text, _ = run("predict", flowers / "model.safetensors", tmp_path / "flowers.csv")
    assert code == 0
    for word in ("target prediction p(aster)", f"accuracy {right:.4f} on 24 samples", "14 more samples: --out FILE"):
        assert word in text
    out = tmp_path / "predictions.csv"
    code, text, _ = run("predict", flowers / "model.safetensors", tmp_path / "flowers.csv", "--out", out)
    assert code == 0
    assert "24 predictions for flowers.csv" in text
    assert f"accuracy {right:.4f}" in text
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["prediction", "probability of aster", "probability of lily", "probability of rose"]
    assert [row[0] for row in rows] == read.predict(FLOWERS).tolist()
    # Every digit is written.
    assert np.array([row[1:] for row in rows], dtype=float).tolist() == read.probabilities(FLOWERS).tolist()


def test_predictions_as_arrays(run, flowers: Path, tmp_path: Path) -> None:
    read, source = zg.Model.load(flowers / "model.safetensors"), tmp_path / "flowers.csv"
    for name in ("p.npy", "p.npz"):
        assert run("predict", flowers / "model.safetensors", source, "--out", tmp_path / name)[0] == 0
    assert np.load(tmp_path / "p.npy").tolist() == read.predict(FLOWERS).tolist()
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["prediction"].tolist() == read.predict(FLOWERS).tolist()
        assert arrays["probability"].tobytes() == read.probabilities(FLOWERS).tobytes()
        assert arrays["classes"].tolist() == ["aster", "lily", "rose"]


def sources(folder: Path) -> dict[str, tuple[Path, str]]:
    """The same samples in every form, with what is said about their targets."""
    np.savez(folder / "inputs.npz", X=FLOWERS)
    np.savez(folder / "all.npz", X=FLOWERS, y=KINDS)
    np.save(folder / "inputs.npy", FLOWERS)
    order = np.array(["rose", "aster", "lily"])
    np.savez(folder / "order.npz", X=FLOWERS, y=[order.tolist().index(kind) for kind in KINDS], classes=order)
    return {
        "a table of inputs": (write_table(folder / "inputs.csv", FLOWERS), ""),
        "a table of inputs with a header": (write_table(folder / "named.tsv", FLOWERS, None, "width,height"), ""),
        "a table with an empty target": (
            write_table(folder / "empty.csv", FLOWERS, [""] * 24, "width,height,kind"),
            "",
        ),
        "a table with targets": (write_table(folder / "all.csv", FLOWERS, KINDS), "accuracy"),
        "an archive of inputs": (folder / "inputs.npz", ""),
        "an archive with targets": (folder / "all.npz", "accuracy"),
        "an archive with classes in another order": (folder / "order.npz", "accuracy"),
        "an array of inputs": (folder / "inputs.npy", ""),
        "targets of unknown classes": (write_table(folder / "odd.csv", FLOWERS, ["weed", *KINDS[1:]]), "not scored"),
        "numbers as targets": (write_table(folder / "numbers.csv", FLOWERS, range(24)), "not scored"),
    }


def test_data_in_every_form(run, flowers: Path, tmp_path: Path) -> None:
    expected = zg.Model.load(flowers / "model.safetensors").predict(FLOWERS)
    right, out = f"accuracy {np.mean(expected == KINDS):.4f}", tmp_path / "p.npy"
    for name, (source, word) in sources(tmp_path).items():
        code, text, error = run("predict", flowers / "model.safetensors", source, "--out", out)
        assert code == 0, (name, error)
        assert np.load(out).tolist() == expected.tolist(), name
        assert (right if word == "accuracy" else word) in text, name
        assert ("accuracy" in text, "not scored" in text) == (word == "accuracy", word == "not scored"), name


def test_a_target_column_is_left_out_when_it_is_named(run, tmp_path: Path) -> None:
    """The table has as many columns as the model takes, one of which is said to be the target: then one is missing."""
    model("numbers").save(tmp_path / "model.safetensors")
    data = write_table(tmp_path / "t.csv", TABLE, None, "a,b,c")
    assert run("predict", tmp_path / "model.safetensors", data)[0] == 0
    code, _, error = run("predict", tmp_path / "model.safetensors", data, "--target", "b")
    assert code == 2
    assert "X: got samples of shape (2,)" in error or "(3,)" in error
    first = write_table(tmp_path / "first.csv", np.column_stack([np.arange(9.0), TABLE]), None, "y,a,b,c")
    out = tmp_path / "p.npy"
    assert run("predict", tmp_path / "model.safetensors", first, "--target", "y", "--out", out)[0] == 0
    assert np.load(out).tolist() == model("numbers").predict(TABLE).tolist()


def test_one_input(run, tmp_path: Path) -> None:
    """A table of one column is inputs alone."""
    one = zg.Model(zg.Network(zg.MLP(), [[1.0, 0.5]], [2.0]))
    one.save(tmp_path / "model.safetensors")
    data = write_table(tmp_path / "t.csv", [[1.0], [-3.0]], None, "x")
    assert run("predict", tmp_path / "model.safetensors", data, "--out", tmp_path / "p.csv")[0] == 0
    assert (tmp_path / "p.csv").read_text() == "prediction\n3.0\n0.0\n"


def test_images_in_a_folder(run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    run("fit", "digits:3,8", *SOON, "--beta", "50", "--out", tmp_path / "run")
    digits, read = zg.load_dataset("digits:3,8"), zg.Model.load(tmp_path / "run" / "model.safetensors")
    X = np.round(digits.X[:12] * 255.0).astype(np.uint8)
    for place, pixels in enumerate(X):
        for where in (tmp_path / "alone", tmp_path / "sorted" / "38"[int(digits.y[place] > 0.0)]):
            where.mkdir(parents=True, exist_ok=True)
            image.fromarray(pixels).save(where / f"{place:02}.png")
    code, text, error = run(
        "predict", tmp_path / "run" / "model.safetensors", tmp_path / "alone", "--out", tmp_path / "p.npy"
    )
    assert code == 0, error
    assert "accuracy" not in text
    assert np.load(tmp_path / "p.npy").tolist() == read.predict(X / 255.0).tolist()
    code, text, _ = run("predict", tmp_path / "run" / "model.safetensors", tmp_path / "sorted")
    assert "accuracy" in text
    assert "accuracy" in run("predict", tmp_path / "run" / "model.safetensors", "digits:8,3")[1]


def test_numbers_have_r2_in_their_own_units(run, tmp_path: Path) -> None:
    y = 100.0 + 10.0 * FLOWERS[:, 0]
    inputs, targets = Scaling.of(FLOWERS), Scaling.of(y)
    result = zg.train(zg.MLP(), inputs(FLOWERS), targets(y), beta=0.1, prove=0)
    zg.Model(result.network, loss="squared", inputs=inputs, targets=targets).save(tmp_path / "model.safetensors")
    np.savez(tmp_path / "data.npz", X=FLOWERS, y=y)
    code, text, _ = run("predict", tmp_path / "model.safetensors", tmp_path / "data.npz")
    f = zg.Model.load(tmp_path / "model.safetensors").predict(FLOWERS)
    assert code == 0
    assert f"R2 {1.0 - np.sum((y - f) ** 2) / np.sum((y - y.mean()) ** 2):.4f} on 24 samples" in text


def test_several_numbers_and_labels(run, tmp_path: Path) -> None:
    for name, word in (("several numbers", "R2 1.0000"), ("labels", "samples with all labels right 1.0000")):
        model(name).save(tmp_path / "model.safetensors")
        np.savez(tmp_path / "data.npz", X=TABLE, y=model(name).predict(TABLE))
        code, text, error = run("predict", tmp_path / "model.safetensors", tmp_path / "data.npz")
        assert code == 0, error
        assert word in text
        assert ("p(3)" in text) == (name == "labels")


def test_a_network_predicts_numbers(run, flowers: Path, tmp_path: Path) -> None:
    code, text, _ = run("predict", flowers / "network.safetensors", flowers / "training-data.npz")
    assert code == 0
    assert "not scored" in text
    network = zg.Network(zg.MLP(bias=False), [[1.0, 0.0]], [2.0])
    network.save(tmp_path / "network.safetensors")
    np.savez(tmp_path / "data.npz", X=FLOWERS, y=network(FLOWERS))
    assert "R2 1.0000" in run("predict", tmp_path / "network.safetensors", tmp_path / "data.npz")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.safetensors", "iris"], ["missing.safetensors", "No such file"]),
        (["{model}", "nosuchdata"], ["nosuchdata"]),
        (["{model}", "iris"], ["samples of shape (4,)", "(2,)"]),
        (["{model}", "digits"], ["samples of shape (8, 8)"]),
        (["{model}", "{folder}/gaps.csv"], ["line 1, column 2", "a finite number"]),
        (["{model}", "{folder}/text.csv"], ["line 2, column 2", "'tall'"]),
        (["{model}", "{folder}/flowers.csv", "--target", "depth"], ["depth", "width, height, kind"]),
        (["{model}", "{folder}/flowers.csv", "--out", "{folder}/p.txt"], ["p.txt", ".csv, .npy, .npz"]),
        (["{model}", "{folder}/flowers.csv", "--out", "/dev/null/p.csv"], ["/dev/null"]),
        (["{model}", "{folder}/flowers.csv", "--out", "{folder}"], [".csv, .npy, .npz"]),
        (["{model}"], ["Missing argument"]),
    ],
)  # fmt: skip
def test_bad_input_of_predict(run, flowers: Path, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    (tmp_path / "gaps.csv").write_text("1.0,\n2.0,3.0\n")
    (tmp_path / "text.csv").write_text("width,height\n1.0,tall\n2.0,3.0\n")
    before = sorted(tmp_path.iterdir())
    places = {"model": flowers / "model.safetensors", "folder": tmp_path}
    code, out, error = run("predict", *[argument.format(**places) for argument in arguments])
    assert code == 2
    assert out == ""
    for word in words:
        assert word in error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("Unable to allocate 9 GiB")])
def test_too_little_memory_is_one_message(
    run, flowers: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("zerogap.commands.predict.load_inputs", load)
    code, out, message = run("predict", flowers / "model.safetensors", "iris")
    assert (code, out) == (2, "")
    assert message == f"error: {str(error) or 'not enough memory: use fewer samples, or a smaller network'}"


# -- certify -------------------------------------------------------------------------------------------


def certified(run, *arguments: Any) -> tuple[int, str, zg.Certificate]:
    report = Path(str(arguments[0])).parent / "again.json"
    code, text, error = run("certify", *arguments, "--json", report)
    assert code in (0, 1), error
    return code, text, zg.Certificate.load(report)


def test_a_model_certifies_on_raw_data_with_its_own_loss_and_beta(run, flowers: Path, tmp_path: Path) -> None:
    _, text, again = certified(run, flowers / "model.safetensors", tmp_path / "flowers.csv", "--prove", "0")
    claim = zg.Certificate.load(flowers / "certificate.json")
    assert again.objective == pytest.approx(claim.objective, rel=1e-9)
    assert (again.loss, again.beta) == ("cross_entropy", 0.5)
    assert "The file claims a gap of" in text
    # The network needs to be told, and takes the data that it was trained on.
    pair = [flowers / "network.safetensors", flowers / "training-data.npz", "--beta", "0.5", "--prove", "0"]
    _, text, other = certified(run, *pair)
    assert other.objective == pytest.approx(claim.objective, rel=1e-9)
    assert "claims" not in text


def test_classes_are_found_by_name(run, flowers: Path, tmp_path: Path) -> None:
    for name in ("an archive with classes in another order", "an archive with targets"):
        source, _ = sources(tmp_path)[name]
        _, _, again = certified(run, flowers / "model.safetensors", source, "--prove", "0")
        assert again.objective == pytest.approx(zg.Certificate.load(flowers / "certificate.json").objective, rel=1e-9)
    # Some of the classes are enough.
    two = KINDS != "lily"
    some = write_table(tmp_path / "some.csv", FLOWERS[two], KINDS[two])
    _, text, again = certified(run, flowers / "model.safetensors", some, "--prove", "0")
    assert "the claim is about other data, or false" in text
    assert again.outputs == 3
    source, _ = sources(tmp_path)["targets of unknown classes"]
    code, _, error = run("certify", flowers / "model.safetensors", source)
    assert code == 2
    assert "classes of odd.csv: got 'weed', expected names among aster, lily, rose" in error


def test_classes_that_are_numbers(run, tmp_path: Path) -> None:
    """An estimator keeps the types of its classes; in a table they are text."""
    inputs, y = Scaling.of(FLOWERS), np.where(FLOWERS[:, 0] > 0.0, -1.0, 1.0)
    result = zg.train(zg.MLP(), inputs(FLOWERS), y, loss="logistic", beta=0.5, prove=0)
    about = {"loss": "logistic", "beta": 0.5, "certificate": result.certificate, "inputs": inputs}
    zg.Model(result.network, task="classes", classes=(8, 3), **about).save(tmp_path / "model.safetensors")
    table = write_table(tmp_path / "t.csv", FLOWERS, np.where(y > 0.0, 3, 8))
    _, text, again = certified(run, tmp_path / "model.safetensors", table, "--prove", "0")
    assert again.objective == pytest.approx(result.certificate.objective, rel=1e-9)
    code, text, _ = run("predict", tmp_path / "model.safetensors", table)
    assert code == 0
    assert f"accuracy {np.mean((result.network(inputs(FLOWERS)) >= 0.0) == (y > 0.0)):.4f}" in text


def test_scaled_targets_of_a_regression(run, tmp_path: Path) -> None:
    y = 1e6 + 1e3 * np.abs(FLOWERS[:, 0])
    inputs, targets = Scaling.of(FLOWERS), Scaling.of(y)
    result = zg.train(zg.MLP(), inputs(FLOWERS), targets(y), beta=0.1, tol=1e-2)
    about = {"loss": "squared", "beta": 0.1, "certificate": result.certificate}
    zg.Model(result.network, inputs=inputs, targets=targets, **about).save(tmp_path / "model.safetensors")
    table = write_table(tmp_path / "t.csv", FLOWERS, y)
    code, text, again = certified(run, tmp_path / "model.safetensors", table, "--tol", "0.02")
    assert code == 0
    assert again.objective == pytest.approx(result.certificate.objective, rel=1e-9)
    assert "global" in text


def test_several_targets_are_certified_too(run, tmp_path: Path) -> None:
    for name, loss in (("several numbers", "squared"), ("labels", "logistic")):
        model(name).save(tmp_path / "model.safetensors")
        y = model(name).predict(TABLE)
        np.savez(tmp_path / "data.npz", X=TABLE, y=y)
        _, _, again = certified(run, tmp_path / "model.safetensors", tmp_path / "data.npz", "--prove", "0")
        Z, scaling = model(name).scaled(TABLE), model(name).targets
        goal = 2.0 * y - 1.0 if scaling is None else scaling(y)
        expected = model(name).network.objective(Z, goal, loss=loss, beta=model(name).beta or 1.0)
        assert again.objective == pytest.approx(expected, rel=1e-9)
    np.savez(tmp_path / "data.npz", X=TABLE, y=TABLE)
    code, _, error = run("certify", tmp_path / "model.safetensors", tmp_path / "data.npz")
    assert code == 2
    assert "0 and 1" in error
    np.savez(tmp_path / "data.npz", X=TABLE, y=TABLE[:, :2])
    code, _, error = run("certify", tmp_path / "model.safetensors", tmp_path / "data.npz")
    assert code == 2
    assert "shape (n, 3)" in error


def test_the_training_part_of_a_split_is_found_again(run, tmp_path: Path) -> None:
    code, _, error = run("fit", "planted:n=40,d=2", *SOON, "--seed", "3", "--out", tmp_path)
    assert code in (0, 1), error
    claim = zg.Certificate.load(tmp_path / "certificate.json")
    common = [tmp_path / "model.safetensors", "planted:n=40,d=2", "--prove", "0"]
    _, text, again = certified(run, *common, "--test-size", "0.25", "--seed", "3")
    assert again.objective == pytest.approx(claim.objective, rel=1e-9)
    assert (again.samples, again.loss, again.beta) == (30, "squared", 1.0)
    _, text, again = certified(run, *common)
    assert "on 30 distinct samples" in text
    assert "On these 40 the objective is" in text


def test_a_claim_that_goes_beyond_what_is_recomputed(run, tmp_path: Path) -> None:
    """The author of a file may write any bound up to the objective; it is his word until it is proved here."""
    X, y = FLOWERS[:8], np.abs(FLOWERS[:8, 0])
    result = zg.train(zg.MLP(), X / 100.0, y, beta=0.5, tol=1e-3)
    np.savez(tmp_path / "data.npz", X=X / 100.0, y=y)
    network = zg.Network(zg.MLP(), 1.5 * result.network.first, result.network.second)
    honest = zg.certify(network, X / 100.0, y, beta=0.5)
    assert honest.gap > 0.05
    for bound, words in (
        (honest.objective, "more than was recomputed, so that it stays the claim of its author"),
        (honest.lower_bound / 2, "no more than was recomputed"),
    ):
        forged = replace(honest, lower_bound=bound)
        zg.Model(network, loss="squared", beta=0.5, certificate=forged).save(tmp_path / "model.safetensors")
        code, text, again = certified(run, tmp_path / "model.safetensors", tmp_path / "data.npz")
        assert code == 1
        assert words in text
        assert again.lower_bound <= honest.lower_bound * (1.0 + 1e-3)
    listed = replace(honest, scope="sampled", lower_bound=honest.objective)
    zg.Model(network, loss="squared", beta=0.5, certificate=listed).save(tmp_path / "model.safetensors")
    assert "its scope was not recomputed" in certified(run, tmp_path / "model.safetensors", tmp_path / "data.npz")[1]
    asked = certified(run, tmp_path / "model.safetensors", tmp_path / "data.npz", "--beta", "0.1", "--prove", "0")
    assert "for squared loss and beta 0.5, which was not asked here" in asked[1]
    assert asked[2].beta == 0.1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{folder}/inputs.csv", ["targets of inputs.csv: got none"]),
        ("{folder}/inputs.npz", ["targets of inputs.npz: got none", "one of y, Y"]),
        ("diabetes", ["targets of diabetes: got numbers to fit", "aster"]),
        ("iris", ["classes of iris: got 'setosa'"]),
    ],
)
def test_bad_input_of_certify(run, flowers: Path, tmp_path: Path, source: str, words: list[str]) -> None:
    sources(tmp_path)
    code, out, error = run("certify", flowers / "model.safetensors", source.format(folder=tmp_path))
    assert code == 2
    assert out == ""
    for word in words:
        assert word in error
