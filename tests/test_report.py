"""Classes between data, outputs and report: encodings, scores, confusion, mistakes, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import zerogap as zg
from zerogap.data.encoding import check_outputs, class_indices, default_loss, encoded_targets, predicted_classes
from zerogap.output_losses import bound_loss
from zerogap.report import class_pictures, console
from zerogap.report.class_pictures import confusion_picture, mistakes_picture
from zerogap.report.pictures import filters_picture, spectra_picture
from zerogap.report.scores import Predictions, confusion_matrix, recalls

RNG = np.random.default_rng(3)
NUMBERS = zg.Dataset("numbers", RNG.standard_normal((6, 2)), RNG.standard_normal(6))
TWO = zg.Dataset("two", RNG.standard_normal((6, 2)), [-1, 1, 1, -1, 1, -1], ("no", "yes"))
FOUR = zg.Dataset("four", RNG.standard_normal((6, 2)), [0, 1, 3, 3, 1, 0], ("a", "b", "absent", "d"))
IMAGES = zg.Dataset("images", RNG.random((40, 3, 4)), np.arange(40) % 3, ("$x$", "[bold]y", "z" * 40))


@pytest.mark.parametrize(
    ("data", "loss", "columns"),
    [
        (TWO, "squared", None),
        (TWO, "logistic", None),
        (TWO, "hinge", None),
        (TWO, "cross_entropy", 2),
        (FOUR, "squared", 4),
        (FOUR, "logistic", 4),
        (FOUR, "cross_entropy", 4),
    ],
)
def test_targets_are_what_the_loss_takes_and_decode_to_the_classes(
    data: zg.Dataset, loss: str, columns: int | None
) -> None:
    targets = encoded_targets(data, loss)
    assert targets.shape == ((6,) if columns is None else (6, columns))
    assert predicted_classes(targets).tolist() == class_indices(data).tolist()
    assert bound_loss(loss, targets, np.ones(6)).targets.shape == targets.shape
    check_outputs(data, loss, columns)
    with pytest.raises(zg.InputError):
        check_outputs(data, loss, 3)


def test_a_class_without_samples_keeps_its_column() -> None:
    assert encoded_targets(FOUR, "cross_entropy")[:, 2].tolist() == [0.0] * 6
    assert encoded_targets(FOUR, "logistic")[:, 2].tolist() == [-1.0] * 6
    network = zg.train(zg.MLP(), FOUR.X, encoded_targets(FOUR, "cross_entropy"), loss="cross_entropy", prove=0).network
    assert network.targets == 4


def test_default_losses() -> None:
    assert [default_loss(data) for data in (NUMBERS, TWO, FOUR)] == ["squared", "squared", "cross_entropy"]


@pytest.mark.parametrize(
    ("data", "loss", "words"),
    [
        (NUMBERS, "cross_entropy", ["cross_entropy", "regression", "squared"]),
        (FOUR, "hinge", ["hinge", "4 classes", "logistic"]),
    ],
)
def test_losses_that_do_not_fit(data: zg.Dataset, loss: str, words: list[str]) -> None:
    with pytest.raises(zg.InputError) as caught:
        encoded_targets(data, loss)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("data", "loss", "outputs", "words"),
    [
        (FOUR, "cross_entropy", 3, ["got 4", "3, one for each output"]),
        (FOUR, "cross_entropy", None, ["got 4", "one output"]),
        (NUMBERS, "cross_entropy", 3, ["regression", "3, one for each output"]),
        (TWO, "squared", 2, ["squared", "pass for example cross_entropy"]),
        (TWO, "cross_entropy", None, ["2 outputs", "pass for example squared"]),
        (TWO, "squared", 3, ["got 2", "3, one for each output"]),
    ],
)
def test_networks_for_other_classes(data: zg.Dataset, loss: str, outputs: int | None, words: list[str]) -> None:
    with pytest.raises(zg.InputError) as caught:
        check_outputs(data, loss, outputs)
    assert all(word in str(caught.value) for word in words)


def test_too_large_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerogap.data.encoding.LARGEST", 23)
    with pytest.raises(zg.InputError, match="6 x 4 targets"):
        encoded_targets(FOUR, "squared")


def test_confusion_by_hand() -> None:
    true, said = np.array([0, 0, 1, 3, 3, 3]), np.array([0, 1, 1, 3, 0, 3])
    counts = confusion_matrix(true, said, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 2]]
    assert recalls(counts) == [0.5, 1.0, None, 2 / 3]


def test_scores_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    outputs = RNG.standard_normal((40, 3))
    seen = Predictions("test", IMAGES, outputs)
    assert seen.score == metrics.accuracy_score(IMAGES.y, outputs.argmax(axis=1))
    assert seen.confusion.tolist() == metrics.confusion_matrix(IMAGES.y, outputs.argmax(axis=1)).tolist()
    assert seen.score == np.trace(seen.confusion) / seen.confusion.sum()
    f = RNG.standard_normal(6)
    assert Predictions("test", NUMBERS, f).score == pytest.approx(metrics.r2_score(NUMBERS.y, f))
    assert Predictions("test", TWO, f).score == np.mean(np.sign(f) == TWO.y)


def test_the_most_confident_mistakes_come_first() -> None:
    f = np.array([0.5, -3.0, 1.0, 2.0, -0.1, -1.0])  # right are the samples 2 and 5
    assert Predictions("test", TWO, f).mistakes.tolist() == [1, 3, 0, 4]
    outputs = np.zeros((6, 4))
    outputs[np.arange(6), class_indices(FOUR)] = 1.0
    outputs[1, 2], outputs[4, 0] = 1.5, 3.0
    assert Predictions("test", FOUR, outputs).mistakes.tolist() == [4, 1]
    assert Predictions("test", FOUR, outputs).confusion_to_dict() == {
        "part": "test",
        "classes": ["a", "b", "absent", "d"],
        "counts": [[2, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 2]],
        "recall": [1.0, 0.0, None, 1.0],
    }


def printed(predictions: Predictions, width: int) -> list[str]:
    screen = Console(width=width)
    with screen.capture() as captured:
        screen.print(console.confusion_table(predictions, width))
    return captured.get().splitlines()


def test_the_printed_confusion_keeps_names_and_fits() -> None:
    seen = Predictions("test", IMAGES, RNG.standard_normal((40, 3)))
    wide, narrow = printed(seen, 80), printed(seen, 50)
    assert wide[0].split()[:2] == ["$x$", "[bold]y"]
    assert narrow[0].split() == ["1", "2", "3", "recall"]
    assert narrow[2].split()[:2] == ["2", "[bold]y"]
    for lines in (wide, narrow):
        assert len(lines) == 4
        for line, counts in zip(lines[1:], seen.confusion, strict=True):
            assert line.split()[-4:-1] == [str(count) for count in counts]


@pytest.mark.parametrize("classes", [2, 3, 25, 70])
def test_pictures_of_classes(classes: int, tmp_path: Path) -> None:
    names = (*IMAGES.classes, *(f"class {number}" for number in range(3, classes)))[:classes]  # type: ignore[misc]
    y = np.arange(80) % classes if classes > 2 else np.where(np.arange(80) % 2, 1, -1)
    data = zg.Dataset("many", RNG.random((80, 3, 4)), y, names)
    outputs = RNG.standard_normal(80 if classes == 2 else (80, classes))
    seen = Predictions("test", data, outputs)
    assert seen.mistakes.size > class_pictures.SHOWN
    confusion_picture(seen, tmp_path / "confusion.png")
    mistakes_picture(seen, tmp_path / "mistakes.png")
    for name in ("confusion", "mistakes"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_mistakes_of_every_kind_of_image(channels: int, tmp_path: Path) -> None:
    X = RNG.uniform(-2.0, 9.0, (6, 3, 4, channels))
    data = zg.Dataset("colour", X if channels > 1 else np.zeros_like(X), FOUR.y, FOUR.classes)
    seen = Predictions("training", data, np.eye(4)[np.full(6, 2)] + np.zeros((6, 4)))
    mistakes_picture(seen, tmp_path / "mistakes.png")
    assert (tmp_path / "mistakes.png").stat().st_size > 0


def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the axes that are written from now on."""
    found: list[str] = []

    def write(figure: object, path: Path) -> None:
        found.extend(axis.get_title() for axis in figure.axes)  # type: ignore[attr-defined]

    monkeypatch.setattr("zerogap.report.pictures.write_figure", write)
    return found


def test_filters_have_signs_with_one_output_weight_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = titles(monkeypatch)
    first = np.array([[3.0, 4.0, 0.0], [0.0, 1.0, 0.0]])
    filters_picture(zg.Network(zg.MLP(), first, [-2.0, 1.0]), tmp_path / "filters.png")
    assert found == ["-10", "+1"]
    found.clear()
    filters_picture(zg.Network(zg.MLP(), first, [[-3.0, 4.0], [1.0, 0.0]]), tmp_path / "filters.png")
    assert found == ["25", "1"]


def test_pictures_of_neurons_with_many_output_weights(tmp_path: Path) -> None:
    cnn = zg.CNN(2, pooling="max", window=2, bias=False)
    filters_picture(zg.Network(cnn, np.eye(4)[:2], RNG.standard_normal((2, 4, 3))), tmp_path / "filters.png")
    for depth, weights in ((2, RNG.standard_normal((2, 5, 3))), (2, RNG.standard_normal((2, 5)))):
        circular = zg.Network(zg.CircularCNN(depth=depth, bias=False), RNG.standard_normal((2, 5)), weights)
        spectra_picture(circular, tmp_path / "spectra.png")
        filters_picture(circular, tmp_path / "filters.png")
    empty = zg.Network(zg.MLP(), np.zeros((0, 3)), np.zeros((0, 4)))
    filters_picture(empty, tmp_path / "filters.png")


def test_class_names_of_an_archive(tmp_path: Path) -> None:
    path, X = tmp_path / "named.npz", RNG.standard_normal((4, 2))
    np.savez(path, X=X, y=[2, 0, 0, 2], classes=["c", "b", "a"])
    data = zg.load_dataset(path)
    assert data.classes == ("c", "b", "a")
    assert data.y.tolist() == [2, 0, 0, 2]
    for y in ([-1, 1, 1, -1], [0, 1, 1, 0]):
        np.savez(path, X=X, y=y, classes=["no", "yes"])
        data = zg.load_dataset(path)
        assert data.classes == ("no", "yes")
        assert data.y.tolist() == [-1, 1, 1, -1]


@pytest.mark.parametrize("classes", [[7, 8], [["a", "b"]], np.array(["a", "b"], dtype=object), [], ["x"]])
def test_other_arrays_called_classes(classes: object, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, X=RNG.standard_normal((6, 2)), y=[0, 1, 2, 0, 1, 2], classes=classes)
    if np.asarray(classes).tolist() == ["x"]:
        with pytest.raises(zg.DataFileError, match=r"the label 1.*indices 0 to 0"):
            zg.load_dataset(path)
    else:
        assert zg.load_dataset(path).classes == ("0", "1", "2")
    np.savez(path, X=RNG.standard_normal((4, 2)), y=["u", "v", "u", "v"], classes=["v", "u"])
    assert zg.load_dataset(path).classes == ("u", "v")


@pytest.mark.parametrize("y", [[0, 1, 2, 3], [-1, 0, 1, 1], [0, 0.5, 1, 2]])
def test_labels_that_index_no_name(y: list[float], tmp_path: Path) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, X=RNG.standard_normal((4, 2)), y=y, classes=["a", "b", "c"])
    with pytest.raises(zg.DataFileError, match="indices 0 to 2"):
        zg.load_dataset(path)


def test_confusions_are_json() -> None:
    seen = Predictions("test", IMAGES, RNG.standard_normal((40, 3)))
    contents = json.loads(json.dumps(seen.confusion_to_dict()))
    assert contents["classes"] == list(IMAGES.classes or ())
    assert np.sum(contents["counts"]) == 40
