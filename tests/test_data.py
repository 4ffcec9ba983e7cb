"""Named sets, readers, splits and scaling, and every way in which a source can be bad."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zerogap.data import NAMED_SETS, Dataset, load_dataset, planted
from zerogap.errors import DataFileError, InputError, MissingExtraError

sklearn_datasets: Any = import_module("sklearn.datasets")


def complete(error: InputError) -> bool:
    """Whether an error has all four parts, and they are its message."""
    parts = (error.what, error.got, error.expected, error.remedy)
    return all(isinstance(part, str) and part.strip() and part in str(error) for part in parts)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# --- Dataset ---------------------------------------------------------------------------------------------


def dataset(X: Any, y: Any, classes: tuple[str, ...] | None = None) -> Dataset:
    return Dataset("t", X, y, classes)


def table(n: int, classes: tuple[str, ...] | None, y: Any) -> Dataset:
    return dataset(np.arange(2.0 * n).reshape(n, 2), y, classes)


def test_a_dataset_copies_and_converts() -> None:
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    data = dataset(X, np.array([[1], [2], [3]]))
    X[:] = 9
    assert data.X.dtype == data.y.dtype == np.float64
    assert data.X.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert data.y.tolist() == [1, 2, 3]
    assert data.shape == (3, 2)
    assert len(data) == 3
    assert data.task == "regression"


def test_the_text_of_a_dataset_is_short() -> None:
    assert repr(load_dataset("digits:3,8")) == "Dataset('digits:3,8', 357 x 8 x 8, classification of 3, 8)"
    assert repr(planted(4, 3, seed=2)) == "Dataset('planted:n=4,d=3,neurons=10,noise=0.1,seed=2', 4 x 3, regression)"


def test_the_text_does_not_list_many_classes() -> None:
    data = dataset([[0.0]], [0], tuple("abcdefghijkl"))
    assert repr(data) == "Dataset('t', 1 x 1, classification of a, b, c, d, e, f, g, h, i, j, ...)"


@pytest.mark.parametrize("X", [np.zeros((2, 3)), np.zeros((2, 3, 4)), np.zeros((2, 3, 4, 5))])
def test_shapes_of_tables_and_images(X: np.ndarray) -> None:
    assert dataset(X, np.zeros(2)).shape == X.shape


BAD_DATASETS: dict[str, tuple[Any, Any, Any, str]] = {
    "no samples": (np.zeros((0, 2)), np.zeros(0), None, "empty array"),
    "no features": (np.zeros((2, 0)), np.zeros(2), None, "empty array"),
    "one axis": (np.zeros(3), np.zeros(3), None, "reshape"),
    "five axes": (np.zeros((1, 1, 1, 1, 1)), np.zeros(1), None, "reshape"),
    "strings": ([["a"]], [1.0], None, "dtype"),
    "complex": (np.zeros((1, 1), complex), [1.0], None, "complex"),
    "ragged": ([[1.0], [1.0, 2.0]], [1.0, 2.0], None, "ragged"),
    "nan": ([[0.0, np.nan]], [1.0], None, r"index \(0, 1\)"),
    "infinite target": ([[0.0]], [np.inf], None, r"index \(0,\)"),
    "lengths": (np.zeros((3, 1)), np.zeros(2), None, "2 targets"),
    "matrix of targets": (np.zeros((3, 1)), np.zeros((3, 2)), None, "shape"),
    "one class": (np.zeros((2, 1)), [-1, 1], ("a",), "two different"),
    "class twice": (np.zeros((2, 1)), [-1, 1], ("a", "a"), "two different"),
    "0 and 1 for two": (np.zeros((2, 1)), [0, 1], ("a", "b"), "-1 and [+]1"),
    "index too large": (np.zeros((2, 1)), [0, 3], ("a", "b", "c"), "0 to 2"),
}


@pytest.mark.parametrize("case", BAD_DATASETS)
def test_bad_datasets(case: str) -> None:
    X, y, classes, message = BAD_DATASETS[case]
    with pytest.raises(InputError, match=message) as caught:
        dataset(X, y, classes)
    assert complete(caught.value)


# --- split -----------------------------------------------------------------------------------------------


def rows(data: Dataset | None) -> list[float]:
    assert data is not None
    return [float(value) for value in data.X[:, 0]]


@pytest.mark.parametrize("n", [2, 3, 7, 100])
@pytest.mark.parametrize("test_size", [0.01, 0.25, 0.5, 0.99])
def test_a_split_parts_the_samples(n: int, test_size: float) -> None:
    data = table(n, None, rng().standard_normal(n))
    train, test = data.split(test_size, 3)
    assert sorted(rows(train) + rows(test)) == rows(data)
    assert rows(train) == sorted(rows(train))
    assert rows(test) == sorted(rows(test))
    assert test is not None
    assert len(test) == min(max(int(test_size * n + 0.5), 1), n - 1)
    assert all(data.y[int(x) // 2] == y for x, y in zip(rows(test), test.y, strict=True))


def test_a_split_belongs_to_its_seed() -> None:
    data = table(50, None, np.arange(50))
    assert rows(data.split(random_state=1)[1]) == rows(data.split(random_state=1)[1])
    assert rows(data.split(random_state=1)[1]) != rows(data.split(random_state=2)[1])
    assert rows(data.split()[1]) == rows(data.split(0.25, 0)[1])


def test_shares_are_rounded_class_by_class() -> None:
    _, test = load_dataset("digits:3,8").split()
    assert test is not None
    assert len(test) == 90
    assert (int((test.y < 0).sum()), int((test.y > 0).sum())) == (46, 44)


@pytest.mark.parametrize("test_size", [0.01, 0.3, 0.99])
@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_on_both_sides(test_size: float, seed: int) -> None:
    y = rng().permutation(np.repeat([0.0, 1.0, 2.0, 3.0], [1, 2, 3, 40]))
    train, test = table(46, ("a", "b", "c", "d"), y).split(test_size, seed)
    assert test is not None
    assert set(train.y) == {0, 1, 2, 3}
    assert set(test.y) == {1, 2, 3}
    assert train.classes == test.classes == ("a", "b", "c", "d")
    assert test.name == "t"


def test_nothing_to_test_with() -> None:
    data = table(3, None, [1, 2, 3])
    assert data.split(0)[0] is data
    assert data.split(0.0)[1] is None
    assert table(1, None, [1]).split(0)[1] is None


BAD_SPLITS: dict[str, tuple[Any, Any, int]] = {
    "all": (1.0, 0, 4),
    "negative": (-0.1, 0, 4),
    "nan": (float("nan"), 0, 4),
    "infinite": (float("inf"), 0, 4),
    "text": ("0.5", 0, 4),
    "bool": (True, 0, 4),
    "none": (None, 0, 4),
    "negative seed": (0.5, -1, 4),
    "seed as text": (0.5, "0", 4),
    "fraction as seed": (0.5, 0.5, 4),
    "one sample": (0.5, 0, 1),
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_bad_splits(case: str) -> None:
    test_size, seed, n = BAD_SPLITS[case]
    with pytest.raises(InputError) as caught:
        table(n, None, np.zeros(n)).split(test_size, seed)
    assert complete(caught.value)


def test_one_sample_of_each_class_cannot_be_split() -> None:
    with pytest.raises(InputError, match="one sample of each class"):
        table(2, ("a", "b"), [-1, 1]).split()


# --- standardise -----------------------------------------------------------------------------------------


def test_columns_are_scaled_by_the_first_set() -> None:
    train = dataset([[0.0, 5.0], [2.0, 5.0]], [0.0, 0.0])
    test = dataset([[4.0, 6.0]], [1.0])
    one, two = train.standardise(test)
    assert one.X.tolist() == [[-1, 0], [1, 0]]
    assert two.X.tolist() == [[3, 1]]
    assert two.y is not test.y
    assert two.y.tolist() == [1.0]
    assert two.name == "t"
    assert train.X[0, 1] == 5.0


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e-90, 1e90, 1e-300])
def test_scaling_is_blind_to_units(scale: float) -> None:
    X = rng().standard_normal((20, 3)) + 3.0
    (plain,) = dataset(X, np.zeros(20)).standardise()
    (scaled,) = dataset(X * scale, np.zeros(20)).standardise()
    np.testing.assert_allclose(scaled.X, plain.X, rtol=1e-9)
    np.testing.assert_allclose(plain.X.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(plain.X.std(axis=0), 1.0, rtol=1e-13)


def test_constant_columns_keep_their_scale() -> None:
    # The mean of ten times 0.1 is not 0.1 in floating point.
    train = dataset(np.full((10, 1), 0.1), np.zeros(10))
    one, two = train.standardise(dataset([[0.6]], [0.0]))
    np.testing.assert_array_equal(one.X, 0.0)
    np.testing.assert_allclose(two.X, 0.5, rtol=1e-15)
    np.testing.assert_array_equal(dataset(np.zeros((3, 2)), np.zeros(3)).standardise()[0].X, 0.0)


def test_samples_too_far_away_are_refused() -> None:
    train = dataset([[0.0], [1e-300]], [0, 0])
    with pytest.raises(InputError, match="X") as caught:
        train.standardise(dataset([[1e90]], [0]))
    assert complete(caught.value)
    # The deviation of these is below the smallest number: they count as constant.
    (tiny,) = dataset([[0.0]] * 99 + [[5e-324]], np.zeros(100)).standardise()
    assert np.abs(tiny.X).max() <= 5e-324


def test_images_have_one_scale() -> None:
    X = rng().uniform(size=(6, 4, 3, 2))
    (scaled,) = dataset(X, np.zeros(6)).standardise()
    np.testing.assert_allclose(scaled.X, (X - X.mean()) / X.std(), rtol=1e-12)


def test_other_shapes_are_not_scaled() -> None:
    with pytest.raises(InputError, match=r"shape \(3,\)") as caught:
        table(2, None, [0, 0]).standardise(dataset(np.zeros((2, 3)), np.zeros(2)))
    assert complete(caught.value)


# --- named sets ------------------------------------------------------------------------------------------


def test_two_digits() -> None:
    bunch = sklearn_datasets.load_digits()
    data = load_dataset("digits:3,8")
    keep = np.isin(bunch.target, (3, 8))
    assert data.classes == ("3", "8")
    assert data.name == "digits:3,8"
    np.testing.assert_array_equal(data.X, bunch.images[keep] / 16.0)
    np.testing.assert_array_equal(data.y, np.where(bunch.target[keep] == 8, 1.0, -1.0))
    turned = load_dataset("digits: 8, 3")
    assert turned.classes == ("8", "3")
    assert turned.name == "digits:8,3"
    np.testing.assert_array_equal(turned.y, -data.y)
    by_argument = load_dataset("digits", classes=["8", "3"])
    np.testing.assert_array_equal(by_argument.y, turned.y)
    assert by_argument.name == "digits:8,3"


def test_more_digits() -> None:
    bunch = sklearn_datasets.load_digits()
    data = load_dataset("digits")
    assert data.classes == tuple("0123456789")
    assert data.shape == (1797, 8, 8)
    assert data.name == "digits"
    np.testing.assert_array_equal(data.y, bunch.target)
    some = load_dataset("digits:9,0,4")
    assert some.classes == ("9", "0", "4")
    expected = [{9: 0, 0: 1, 4: 2}[label] for label in bunch.target if label in (9, 0, 4)]
    assert some.y.tolist() == expected


def test_the_other_sets_are_those_of_scikit_learn() -> None:
    cancer, bunch = load_dataset("breast_cancer"), sklearn_datasets.load_breast_cancer()
    assert cancer.classes == ("malignant", "benign")
    np.testing.assert_array_equal(cancer.X, bunch.data)
    np.testing.assert_array_equal(cancer.y, 2.0 * bunch.target - 1.0)
    diabetes, bunch = load_dataset("diabetes"), sklearn_datasets.load_diabetes()
    assert diabetes.task == "regression"
    np.testing.assert_array_equal(diabetes.X, bunch.data)
    np.testing.assert_array_equal(diabetes.y, bunch.target)
    assert load_dataset("wine").classes == ("class_0", "class_1", "class_2")
    assert load_dataset("iris").shape == (150, 4)
    assert load_dataset("iris:virginica,setosa").y.tolist() == [1.0] * 50 + [-1.0] * 50


def test_planted_networks_follow_their_recipe() -> None:
    n, d, seed = 30, 4, 5
    draws = np.random.default_rng(seed)
    X = draws.standard_normal((n, d))
    U = draws.standard_normal((d, 10))
    w = draws.choice([-1, 1], 10)
    y = np.maximum(X @ U, 0) @ w / np.sqrt(10 * d) + 0.1 * draws.standard_normal(n)
    data = planted(n, d, seed=seed)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_allclose(data.y, y, rtol=1e-14)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("planted", planted(100, 5)),
        ("planted:n=7,d=2", planted(7, 2)),
        ("planted: d = 3 , neurons=2, n=9, noise=0, seed=4", planted(9, 3, neurons=2, noise=0.0, seed=4)),
        ("planted:noise=1e-3", planted(100, 5, noise=1e-3)),
    ],
)
def test_planted_by_name(source: str, data: Dataset) -> None:
    loaded = load_dataset(source)
    np.testing.assert_array_equal(loaded.X, data.X)
    np.testing.assert_array_equal(loaded.y, data.y)
    assert loaded.name == data.name
    assert loaded.task == "regression"
    np.testing.assert_array_equal(load_dataset(loaded.name).y, data.y)


@pytest.mark.parametrize("name", NAMED_SETS)
def test_every_name_loads_and_is_described(name: str) -> None:
    data = load_dataset(name)
    assert str(len(data)) in NAMED_SETS[name]
    assert load_dataset(data.name).shape == data.shape


BAD_NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"source": "digit"}, "did you mean 'digits'"),
    "misspelt with a choice": ({"source": "plantd:noise=0.1"}, "did you mean 'planted'"),
    "nothing alike": ({"source": "zzzz"}, "choose a name or check the path"),
    "empty": ({"source": ""}, "data source"),
    "a number": ({"source": 3}, "a name or a path"),
    "an array": ({"source": np.zeros((2, 2))}, "a name or a path"),
    "bytes": ({"source": b"digits"}, "a name or a path"),
    "unknown class": ({"source": "digits:3,11"}, "'11'.*names among 0, 1"),
    "misspelt class": ({"source": "iris:setosa,virginia"}, "did you mean 'virginica'"),
    "one class": ({"source": "digits:3"}, "two different"),
    "no class": ({"source": "digits:"}, "two different"),
    "class twice": ({"source": "digits:3,3"}, "two different"),
    "classes twice": ({"source": "digits:3,8", "classes": ("3", "8")}, "one choice"),
    "classes as text": ({"source": "digits", "classes": "38"}, "a sequence of names"),
    "classes as number": ({"source": "digits", "classes": 3}, "a sequence of names"),
    "classes empty": ({"source": "digits", "classes": ()}, "two different"),
    "classes of a regression": ({"source": "diabetes", "classes": ("1", "2")}, "is a regression"),
    "choice of a regression": ({"source": "diabetes:1,2"}, "nothing to choose"),
    "classes of planted": ({"source": "planted", "classes": ("1", "2")}, "is a regression"),
    "target of a name": ({"source": "iris", "target": "x"}, "leave target out"),
    "unknown task": ({"source": "iris", "task": "clustering"}, "choose one of these"),
    "regression of classes": ({"source": "iris", "task": "regression"}, "pass task='classification'"),
    "classes of numbers": ({"source": "diabetes", "task": "classification"}, "pass task='regression'"),
    "planted: misspelt": ({"source": "planted:nois=1"}, "did you mean 'noise'"),
    "planted: unknown": ({"source": "planted:zzz=1"}, "at most once"),
    "planted: twice": ({"source": "planted:n=3,n=4"}, "'n' twice"),
    "planted: no number": ({"source": "planted:n=many"}, "'many'"),
    "planted: no value": ({"source": "planted:n"}, "a whole number"),
    "planted: fraction": ({"source": "planted:n=2.5"}, "a whole number"),
    "planted: no samples": ({"source": "planted:n=0"}, ">= 1"),
    "planted: no features": ({"source": "planted:d=0"}, ">= 1"),
    "planted: no neurons": ({"source": "planted:neurons=0"}, ">= 1"),
    "planted: seed": ({"source": "planted:seed=-1"}, ">= 0"),
    "planted: negative noise": ({"source": "planted:noise=-1"}, ">= 0"),
    "planted: nan noise": ({"source": "planted:noise=nan"}, ">= 0"),
    "planted: infinite noise": ({"source": "planted:noise=inf"}, ">= 0"),
    "planted: noise as text": ({"source": "planted:noise=loud"}, "a number"),
    "planted: too large": ({"source": "planted:n=1000000000000"}, "smaller sizes"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names(case: str) -> None:
    arguments, message = BAD_NAMES[case]
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(**arguments)
    assert complete(caught.value)
    assert not isinstance(caught.value, DataFileError)


@pytest.mark.parametrize(
    "arguments",
    [{"n": 1.5, "d": 2}, {"n": True, "d": 2}, {"n": 2, "d": "2"}, {"n": 2, "d": 2, "seed": None}],
)
def test_bad_arguments_of_planted(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="a whole number") as caught:
        planted(**arguments)
    assert complete(caught.value)


def test_nothing_slow_is_imported_before_it_is_used() -> None:
    code = "import sys, zerogap.data; print([m for m in ('sklearn', 'PIL', 'pandas') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


# --- NumPy files -----------------------------------------------------------------------------------------


def save(path: Path, **arrays: Any) -> Path:
    content: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("x", ["X", "x", "data", "images"])
@pytest.mark.parametrize("y", ["y", "Y", "target", "labels"])
def test_names_in_archives(tmp_path: Path, x: str, y: str) -> None:
    path = save(tmp_path / "a.npz", **{x: [[1, 2], [3, 4], [5, 6]], y: [0.5, 1, 2]})
    data = load_dataset(path)
    assert data.name == "a.npz"
    assert data.X.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert data.y.tolist() == [0.5, 1, 2]
    np.testing.assert_array_equal(load_dataset(str(path)).X, data.X)


def test_the_first_name_wins_and_the_suffix_may_be_large(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", X=[[1.0]], data=[[2.0]], y=[3.0], labels=[4.0])
    large = path.rename(tmp_path / "a.NPZ")
    data = load_dataset(large)
    assert (data.X[0, 0], data.y[0]) == (1.0, 3.0)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.float16, np.float32, np.longdouble])
def test_dtypes_of_archives(tmp_path: Path, kind: type) -> None:
    path = save(tmp_path / "a.npz", X=np.ones((2, 3), dtype=kind), y=[0.5, 1])
    np.testing.assert_array_equal(load_dataset(path).X, np.ones((2, 3)))


def test_bytes_are_scaled_only_in_images(tmp_path: Path) -> None:
    bright = np.full((2, 3, 3), 255, dtype=np.uint8)
    assert load_dataset(save(tmp_path / "a.npz", X=bright, y=[0.5, 1])).X.max() == 1.0
    assert load_dataset(save(tmp_path / "b.npz", X=bright[..., None], y=[0.5, 1])).X.max() == 1.0
    assert load_dataset(save(tmp_path / "c.npz", X=bright[0], y=[0.5, 1, 2])).X.max() == 255.0
    assert load_dataset(save(tmp_path / "d.npz", X=bright.astype(np.int16), y=[0.5, 1])).X.max() == 255.0


LABELS: dict[str, tuple[Any, Any, tuple[str, ...] | None, Any]] = {
    "few whole numbers": ([0, 1, 1, 0], None, ("0", "1"), [-1, 1, 1, -1]),
    "whole floats": ([2.0, 7.0, 7.0, 2.0], None, ("2", "7"), [-1, 1, 1, -1]),
    "signs": ([1, -1, 1, -1], None, ("-1", "1"), [1, -1, 1, -1]),
    "three": ([5, 3, 9, 9, 3, 5], None, ("3", "5", "9"), [1, 0, 2, 2, 0, 1]),
    "too many for so few": ([1, 2, 3], None, None, [1, 2, 3]),
    "fractions": ([0, 1, 0.5, 0, 1, 0.5], None, None, [0, 1, 0.5, 0, 1, 0.5]),
    "constant": ([4, 4, 4, 4], None, None, [4, 4, 4, 4]),
    "one sample": ([4], None, None, [4]),
    "told to be classes": ([1, 2, 3], "classification", ("1", "2", "3"), [0, 1, 2]),
    "fractions as classes": ([0.5, 1.5], "classification", ("0.5", "1.5"), [-1, 1]),
    "told to be numbers": ([0, 1, 1, 0], "regression", None, [0, 1, 1, 0]),
    "text": (["b", "a"], None, ("a", "b"), [1, -1]),
    "bytes as text": (np.array([b"b", b"a"]), None, ("a", "b"), [1, -1]),
    "numbers as text": (["10", "9", "2"], None, ("2", "9", "10"), [2, 1, 0]),
    "truth values": ([True, False], None, ("False", "True"), [1, -1]),
    "column": ([[0], [1], [1], [0]], None, ("0", "1"), [-1, 1, 1, -1]),
    "column of text": ([["b"], ["a"]], None, ("a", "b"), [1, -1]),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels(tmp_path: Path, case: str) -> None:
    labels, task, classes, expected = LABELS[case]
    data = load_dataset(save(tmp_path / "a.npz", X=np.ones((len(labels), 2)), y=labels), task=task)
    assert data.classes == classes
    assert data.y.dtype == np.float64
    assert data.y.tolist() == expected


@pytest.mark.parametrize(("distinct", "task"), [(20, "classification"), (21, "regression")])
def test_how_many_numbers_are_classes(tmp_path: Path, distinct: int, task: str) -> None:
    path = save(tmp_path / "a.npz", X=np.ones((4 * distinct, 1)), y=np.arange(4 * distinct) % distinct)
    assert load_dataset(path).task == task


def test_a_choice_makes_numbers_classes_and_drops_the_rest(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", X=np.arange(5.0)[:, None], y=[1, 2, 3, 2, 1])
    assert load_dataset(path).task == "regression"
    data = load_dataset(path, classes=("3", "2"))
    assert data.classes == ("3", "2")
    assert data.X.ravel().tolist() == [1, 2, 3]
    assert data.y.tolist() == [1, -1, 1]


def test_arrays_have_the_target_last(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 1.5]], order="F"))
    data = load_dataset(tmp_path / "a.npy")
    assert data.X.tolist() == [[1, 2], [3, 4]]
    assert data.y.tolist() == [0.5, 1.5]
    assert data.X.flags.c_contiguous


def good() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, X=rng().standard_normal((20, 3)), y=np.arange(20) % 2)
    return buffer.getvalue()


def archive(**arrays: Any) -> Callable[[Path], Path]:
    return lambda folder: save(folder / "a.npz", **arrays)


def array(value: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "a.npy", value)
        return folder / "a.npy"

    return write


def content(name: str, data: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


def folder_named(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name

    return write


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file" / "a.csv"


ONE = np.ones((2, 2))
OBJECTS = np.array([{"a": 1}, None], dtype=object)

BAD_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "no.npz", "no such file"),
    "missing without a suffix": (lambda folder: folder / "no", "no such file"),
    "below a file": (below_a_file, "no such file"),
    "null character": (lambda folder: folder / "a\0.csv", "no such file"),
    "name too long": (lambda folder: folder / ("n" * 400 + ".csv"), "no such file"),
    "unknown suffix": (content("a.parquet", "x"), "suffix '.parquet'"),
    "no suffix": (content("a", "x"), "suffix ''"),
    "empty npz": (content("a.npz", b""), "an empty file"),
    "empty npy": (content("a.npy", b""), "an empty file"),
    "empty csv": (content("a.csv", b""), "an empty file"),
    "folder with a file's name": (folder_named("a.npz"), "no sub-folders"),
    "text as npz": (content("a.npz", "1,2,3\n"), "a NumPy file"),
    "truncated npz": (content("a.npz", good()[:300]), "cannot read"),
    "cut within the magic": (content("a.npz", good()[:4]), "cannot read"),
    "damaged npz": (content("a.npz", good().replace(b"PK\x01\x02", b"PK\x09\x09")), "cannot read"),
    "truncated npy": (content("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr'"), "cannot read"),
    "pickle as npy": (content("a.npy", b"\x80\x04\x95\x00"), "a NumPy file"),
    "objects in X": (archive(X=OBJECTS, y=[1, 2]), "X in .*pickled objects"),
    "objects in y": (archive(X=ONE, y=OBJECTS), "y in .*pickled objects"),
    "objects in npy": (array(np.array([[1, None]], dtype=object)), "allow_pickle"),
    "no X": (archive(y=[1, 2], z=ONE), "names y, z.*one of X, x"),
    "no y": (archive(X=ONE), "one of y, Y"),
    "no arrays": (archive(), "names of none"),
    "complex X": (archive(X=ONE * 1j, y=[1, 2]), "complex128"),
    "text X": (archive(X=[["1", "2"], ["3", "4"]], y=[1, 2]), "dtype <U1"),
    "dates in X": (archive(X=np.zeros((2, 2), "datetime64[s]"), y=[1, 2]), "datetime64"),
    "records in X": (archive(X=np.zeros((2, 2), [("a", float)]), y=[1, 2]), "real numbers"),
    "complex y": (archive(X=ONE, y=[1j, 2]), "complex128"),
    "nan in X": (archive(X=[[1, 2], [np.nan, np.nan]], y=[1, 2]), r"X in .*nan at index \(1, 0\)"),
    "infinite X": (archive(X=[[1, -np.inf], [3, 4]], y=[1, 2]), r"-inf at index \(0, 1\)"),
    "overflow in X": (archive(X=np.full((2, 2), np.longdouble("1e400")), y=[1, 2]), r"index \(0, 0\)"),
    "huge X": (archive(X=ONE * 1e200, y=[1, 2]), "rescale"),
    "nan in y": (archive(X=ONE, y=[1, np.nan]), r"y in .*index \(1,\)"),
    "lengths": (archive(X=ONE, y=[1, 2, 3]), "3 labels, expected 2"),
    "lengths with text": (archive(X=ONE, y=["a", "b", "c"]), "3 labels, expected 2"),
    "scalar y": (archive(X=ONE, y=1.0), r"shape \(\)"),
    "scalar text y": (archive(X=ONE, y="a"), r"shape \(\)"),
    "one hot y": (archive(X=ONE, y=np.eye(2)), r"shape \(2, 2\)"),
    "matrix of text": (archive(X=ONE, y=[["a", "b"], ["a", "b"]]), r"shape \(2, 2\)"),
    "bytes that are no text": (archive(X=ONE, y=np.array([b"\xff", b"a"])), "utf-8"),
    "scalar X": (archive(X=1.0, y=[1.0]), r"shape \(\)"),
    "one axis": (archive(X=[1.0, 2.0], y=[1, 2]), r"reshape\(-1, 1\)"),
    "five axes": (archive(X=np.ones((2, 1, 1, 1, 1)), y=[1, 2]), "reshape"),
    "no samples": (archive(X=np.ones((0, 2)), y=np.ones(0)), "at least one sample"),
    "no text labels": (archive(X=ONE, y=np.array([], dtype="U1")), r"shape \(0,\)"),
    "no features": (archive(X=np.ones((2, 0)), y=[1, 2]), "one feature"),
    "one class": (archive(X=ONE, y=["a", "a"]), r"one class only \('a'\)"),
    "npy of one axis": (array(np.ones(3)), "two axes"),
    "npy of three axes": (array(np.ones((2, 2, 2))), "two axes"),
    "npy of one column": (array(np.ones((3, 1))), "two or more columns"),
    "npy without rows": (array(np.ones((0, 3))), "at least one sample"),
    "npy with nan": (array(np.array([[1.0, np.nan]])), r"index \(0, 1\)"),
    "npy of text": (array(np.array([["a", "b"]])), "dtype"),
    "blank csv": (content("a.csv", "\n \n\n"), "no samples"),
    "header only": (content("a.csv", "a,b,y\n"), "a header only"),
    "one column": (content("a.csv", "1\n2\n"), "one column"),
    "parted by spaces": (content("a.csv", "1 2 3\n"), r"one column \('1 2 3'\)"),
    "ragged": (content("a.csv", "a,b,y\n1,2,3\n1,2\n"), "line 3: got 2 cells, expected 3"),
    "empty cell": (content("a.csv", "a,b,y\n1,2,3\n\n1,,3\n"), r"line 4, column 2 \('b'\): got ''"),
    "empty target": (content("a.csv", "a,b,y\n1,2,3\n1,2,\n"), r"line 3, column 3 \('y'\): got an empty cell"),
    "word in a feature": (content("a.csv", "1,2,3\n1,x,3\n"), "line 2, column 2: got 'x'"),
    "NA in a feature": (content("a.csv", "NA,2,3\n1,2,3\n"), "line 1, column 1: got 'NA'"),
    "nan in a feature": (content("a.csv", "1,2,3\n1,nan,3\n"), "line 2, column 2: got 'nan'"),
    "infinity in a feature": (content("a.csv", "1,2,3\n1,1e999,3\n"), "line 2, column 2"),
    "huge feature": (content("a.csv", "1,2,3\n1,1e200,3\n"), "rescale"),
    "nan in the target": (content("a.csv", "1,2,3\n1,2,nan\n"), "line 2, column 3: got 'nan'"),
    "huge target": (content("a.csv", "1,2,3\n1,2,1e200\n"), "rescale"),
    "word among targets": (content("a.csv", "1,2,3\n1,2,NA\n"), "line 2, column 3: got 'NA'.*task='classification'"),
    "decimal comma": (content("a.csv", "a;b;y\n1,5;2,5;3,5\n"), "'1,5'.*a decimal point"),
    "digit groups": (content("a.csv", "1,2,3\n1_000,2,3\n"), "'1_000'"),
    "unnamed column": (content("a.csv", ",a,y\n0,1,2\n"), "line 1, column 1: got an empty name"),
    "one class in csv": (content("a.csv", "a,y\n1,u\n2,u\n"), "one class only"),
    "latin-1": (content("a.csv", "a,y\n1,\xe9\n".encode("latin-1")), "utf-8"),
    "utf-16": (content("a.csv", "a,y\n1,2\n".encode("utf-16")), "UTF-8"),
    "binary as csv": (content("a.csv", bytes(range(256)) * 4), "a.csv"),
    "endless cell": (content("a.csv", 'a,y\n1,"' + "x" * 200_000), "field larger"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(tmp_path: Path, case: str) -> None:
    write, message = BAD_FILES[case]
    path = write(tmp_path)
    with pytest.raises(DataFileError, match=message) as caught:
        load_dataset(path)
    assert complete(caught.value)
    assert path.name in str(caught.value)


def test_a_path_as_text_is_a_missing_file_and_no_unknown_name(tmp_path: Path) -> None:
    for source in (str(tmp_path / "digits"), "digits.csv", "no.dat", f".{os.sep}digits"):
        with pytest.raises(DataFileError, match="no such file"):
            load_dataset(source)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv"])
def test_files_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("1,2\n")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(DataFileError, match=r"permission denied.*change its permissions") as caught:
        load_dataset(path)
    assert complete(caught.value)


def refusal(path: Path) -> DataFileError | None:
    """The error of a file that may have lost its meaning or only a digit."""
    try:
        load_dataset(path)
    except DataFileError as error:
        return error
    return None


@pytest.mark.parametrize("compressed", [True, False])
def test_damage_never_escapes_as_another_error(tmp_path: Path, compressed: bool) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, X=np.ones((3, 2)), y=np.array([1.5, 2, 3]))
    whole = buffer.getvalue()
    draws = rng()
    damaged = [whole[:size] for size in range(1, len(whole), 7)]
    for _ in range(150):
        flipped = bytearray(whole)
        flipped[draws.integers(len(whole))] ^= 1 << int(draws.integers(8))
        damaged.append(bytes(flipped))
    path = tmp_path / "a.npz"
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        error = refusal(path)
        refused += error is not None
        assert error is None or complete(error)
    assert refused > len(whole) // 14


def test_damaged_arrays_never_escape_as_another_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((3, 2)))
    whole = buffer.getvalue()
    path = tmp_path / "a.npy"
    for place in range(len(whole)):
        for value in (0, 0x39, 0xFF):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                error = refusal(path)
            assert error is None or complete(error)


# --- text tables -----------------------------------------------------------------------------------------

TABLES = {
    "header": "a,b,y\n1,2,0.5\n3,4,1.5\n",
    "no header": "1,2,0.5\n3,4,1.5\n",
    "semicolons": "a;b;y\n1;2;0.5\n3;4;1.5\n",
    "tabs": "1\t2\t0.5\n3\t4\t1.5\n",
    "comma in a name": 'a;"b, c";y\n1;2;0.5\n3;4;1.5',
    "carriage returns": "a,b,y\r\n1,2,0.5\r\n3,4,1.5\r\n",
    "byte order mark": "\ufeff1,2,0.5\n3,4,1.5\n",
    "quotes and spaces": '"a" , b,y\n 1 ,"2", +.5\n3e0,4.,1.5\n',
    "blank lines": "\n\na,b,y\n\n1,2,0.5\n  \n3,4,1.5\n\n",
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(tmp_path: Path, case: str) -> None:
    data = load_dataset(content("a.csv", TABLES[case])(tmp_path))
    assert data.X.tolist() == [[1, 2], [3, 4]]
    assert data.y.tolist() == [0.5, 1.5]
    assert data.name == "a.csv"


def test_the_target_column_is_named_or_numbered(tmp_path: Path) -> None:
    path = content("a.csv", "y,a,b\n0.5,1,2\n1.5,3,4\n")(tmp_path)
    data = load_dataset(path, target="y")
    assert data.X.tolist() == [[1, 2], [3, 4]]
    assert data.y.tolist() == [0.5, 1.5]
    bare = content("b.tsv", "0.5\t1\t2\n1.5\t3\t4\n")(tmp_path)
    np.testing.assert_array_equal(load_dataset(bare, target="1").X, data.X)


@pytest.mark.parametrize("target", ["z", "2", "", "a", 1])
def test_columns_that_are_not_there(tmp_path: Path, target: Any) -> None:
    path = content("a.csv", "y,a,a\n0.5,1,2\n")(tmp_path)
    with pytest.raises(InputError, match="one of the columns y, a, a") as caught:
        load_dataset(path, target=target)
    assert complete(caught.value)


def test_a_target_column_needs_a_table(tmp_path: Path) -> None:
    for source in (save(tmp_path / "a.npz", X=ONE, y=[1, 2]), tmp_path):
        with pytest.raises(InputError, match=r"not a \.csv file"):
            load_dataset(source, target="y")


def test_classes_in_tables(tmp_path: Path) -> None:
    path = content("a.csv", "a,kind\n1,dog\n2,cat\n3,owl\n4,cat\n")(tmp_path)
    assert load_dataset(path).classes == ("cat", "dog", "owl")
    assert load_dataset(path).y.tolist() == [1, 0, 2, 0]
    assert load_dataset(path, classes=("dog", "cat")).y.tolist() == [-1, 1, 1]
    numbers = content("b.csv", "1,3\n2,8\n3,8\n4,3\n")(tmp_path)
    assert load_dataset(numbers).classes == ("3", "8")
    assert load_dataset(numbers, task="regression").y.tolist() == [3, 8, 8, 3]


def test_numbers_and_names_mixed_are_classes_only_when_told(tmp_path: Path) -> None:
    path = content("a.csv", "1,3\n2,8\n3,other\n")(tmp_path)
    assert load_dataset(path, task="classification").classes == ("3", "8", "other")
    assert load_dataset(path, classes=("other", "3")).y.tolist() == [1, -1]
    for task in (None, "regression"):
        with pytest.raises(DataFileError, match="line 3, column 2"):
            load_dataset(path, task=task)


def test_names_are_not_regressed(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="line 1, column 2"):
        load_dataset(content("a.csv", "1,u\n2,v\n")(tmp_path), task="regression")
    with pytest.raises(InputError, match="task='classification'"):
        load_dataset(save(tmp_path / "a.npz", X=ONE, y=["u", "v"]), task="regression")
    with pytest.raises(InputError, match="is a regression"):
        load_dataset(save(tmp_path / "b.npz", X=ONE, y=[1, 2]), task="regression", classes=("1", "2"))


def test_one_sample_is_enough(tmp_path: Path) -> None:
    assert load_dataset(content("a.csv", "1,2\n")(tmp_path)).shape == (1, 1)
    assert load_dataset(save(tmp_path / "a.npz", X=[[1.0]], y=[1.0])).shape == (1, 1)


# --- image folders ---------------------------------------------------------------------------------------


def picture(path: Path, pixels: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    (image.convert(mode) if mode else image).save(path)


def test_grey_images(tmp_path: Path) -> None:
    tiles = rng().integers(0, 256, size=(4, 5, 3))
    for tile, name in zip(tiles, ["b/1.png", "a/2.bmp", "a/1.pgm", "a/3.TIFF"], strict=True):
        picture(tmp_path / name, tile)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "a" / "nested.png").mkdir()
    (tmp_path / "readme.md").write_text("not a class")
    (tmp_path / ".hidden").mkdir()
    data = load_dataset(tmp_path)
    assert data.classes == ("a", "b")
    assert data.y.tolist() == [-1, -1, -1, 1]
    assert data.name == tmp_path.name
    np.testing.assert_array_equal(data.X, tiles[[2, 1, 3, 0]] / 255.0)
    assert load_dataset(tmp_path, classes=("b", "a")).y.tolist() == [1, 1, 1, -1]
    np.testing.assert_array_equal(load_dataset(str(tmp_path)).X, data.X)


def test_colour_images_and_many_classes(tmp_path: Path) -> None:
    tiles = rng().integers(0, 256, size=(3, 4, 6, 3))
    for tile, name in zip(tiles, ["10", "9", "x"], strict=True):
        picture(tmp_path / name / "1.png", tile)
    data = load_dataset(tmp_path)
    assert data.classes == ("9", "10", "x")
    assert data.shape == (3, 4, 6, 3)
    by_class = {round(value): X for value, X in zip(data.y, data.X, strict=True)}
    np.testing.assert_array_equal(by_class[0], tiles[1] / 255.0)
    np.testing.assert_array_equal(by_class[1], tiles[0] / 255.0)


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", (4, 6)), ("1", (4, 6)), ("P", (4, 6, 3)), ("RGBA", (4, 6, 3)), ("LA", (4, 6))]
)
def test_modes_of_images(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    for name in ("a", "b"):
        picture(tmp_path / name / "1.png", np.full((4, 6, 3), 255), mode)
    data = load_dataset(tmp_path)
    assert data.shape == (2, *shape)
    assert np.all(data.X == 1.0)


def test_jpeg_images(tmp_path: Path) -> None:
    for name, level in (("a", 40), ("b", 200)):
        picture(tmp_path / name / "1.JPG", np.full((8, 8), level))
    np.testing.assert_allclose(load_dataset(tmp_path).X.mean(axis=(1, 2)), [40 / 255, 200 / 255], atol=0.01)


def other_size(folder: Path) -> None:
    picture(folder / "b" / "odd.png", np.zeros((4, 5)))


def colour_among_grey(folder: Path) -> None:
    picture(folder / "b" / "odd.png", np.zeros((4, 4, 3)))


def transparent(folder: Path) -> None:
    picture(folder / "b" / "odd.png", np.zeros((4, 4, 4)))


def transparent_palette(folder: Path) -> None:
    Image.new("P", (4, 4)).save(folder / "b" / "odd.png", transparency=0)


def deep(folder: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(folder / "b" / "odd.png")


def no_image(folder: Path) -> None:
    (folder / "b" / "odd.png").write_text("not an image")


def empty_image(folder: Path) -> None:
    (folder / "b" / "odd.png").write_bytes(b"")


def cut_image(folder: Path) -> None:
    picture(folder / "b" / "odd.png", rng().integers(0, 256, size=(40, 40)))
    whole = (folder / "b" / "odd.png").read_bytes()
    (folder / "b" / "odd.png").write_bytes(whole[: len(whole) // 2])


BAD_IMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "other size": (other_size, r"got 5 x 4 pixels, grey, expected 4 x 4 pixels, grey as .*1\.png"),
    "colour among grey": (colour_among_grey, "colour, expected 4 x 4 pixels, grey"),
    "transparent": (transparent, "transparent pixels"),
    "transparent palette": (transparent_palette, "transparent pixels"),
    "16 bits": (deep, "mode I.*8-bit"),
    "no image": (no_image, "cannot identify"),
    "empty image": (empty_image, "cannot identify"),
    "truncated image": (cut_image, "truncated"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images(tmp_path: Path, case: str) -> None:
    for name in ("a", "b"):
        picture(tmp_path / name / "1.png", np.zeros((4, 4)))
    spoil, message = BAD_IMAGES[case]
    spoil(tmp_path)
    with pytest.raises(DataFileError, match=message) as caught:
        load_dataset(tmp_path)
    assert complete(caught.value)
    assert "odd.png" in str(caught.value)


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="no sub-folders"):
        load_dataset(tmp_path)
    picture(tmp_path / "1.png", np.zeros((4, 4)))
    with pytest.raises(DataFileError, match="one sub-folder of images for each class"):
        load_dataset(tmp_path)
    picture(tmp_path / "a" / "1.png", np.zeros((4, 4)))
    with pytest.raises(DataFileError, match="one class only"):
        load_dataset(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataFileError, match=r"no images.*remove the folder") as caught:
        load_dataset(tmp_path)
    assert complete(caught.value)
    picture(tmp_path / "b" / "1.png", np.zeros((4, 4)))
    with pytest.raises(InputError, match=r"'c'.*names among a, b"):
        load_dataset(tmp_path, classes=("a", "c"))
    with pytest.raises(InputError, match="task='classification'"):
        load_dataset(tmp_path, task="regression")


def test_images_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        picture(tmp_path / name / "1.png", np.zeros((4, 4)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'zerogap\[images\]'"):
        load_dataset(tmp_path)
