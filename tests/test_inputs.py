"""Inputs for a model: with labels as they were found, or without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerogap.data import load_dataset, load_inputs
from zerogap.data.labels import class_name, in_classes
from zerogap.data.raw import RawData
from zerogap.errors import DataFileError, InputError

X = np.arange(12.0).reshape(6, 2)


def table(path: Path, rows: Any) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    return path


@pytest.mark.parametrize(
    ("features", "target", "columns", "labels"),
    [
        (None, None, [0, 1], [2.0, 5.0]),
        (2, None, [0, 1], [2.0, 5.0]),
        (3, None, [0, 1, 2], None),
        (3, "1", [1, 2], [0.0, 3.0]),
        (7, None, [0, 1], [2.0, 5.0]),
    ],
)
def test_which_columns_are_inputs(
    features: int | None, target: str | None, columns: list[int], labels: Any, tmp_path: Path
) -> None:
    whole = np.arange(6.0).reshape(2, 3)
    found = load_inputs(table(tmp_path / "t.csv", whole), features=features, target=target)
    assert found.X.tolist() == whole[:, columns].tolist()
    assert (None if found.labels is None else found.labels.tolist()) == labels
    if target is None:
        np.save(tmp_path / "t.npy", whole)
        found = load_inputs(tmp_path / "t.npy", features=features)
        assert found.X.tolist() == whole[:, columns].tolist()
        assert (None if found.labels is None else found.labels.tolist()) == labels


def test_a_bad_cell_of_the_last_column_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"line 2, column 2.*'NA'"):
        load_inputs(table(tmp_path / "t.csv", [[1, 2], [3, "NA"]]), features=2)


def test_images_without_labels(tmp_path: Path) -> None:
    images = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    np.save(tmp_path / "i.npy", images)
    np.savez(tmp_path / "i.npz", images=images)
    for name in ("i.npy", "i.npz"):
        found = load_inputs(tmp_path / name)
        assert found.X.tolist() == (images / 255.0).tolist()
        assert found.labels is None
        with pytest.raises(DataFileError, match=f"targets of {name}: got none"):
            load_dataset(tmp_path / name)


def test_several_targets_for_each_sample(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=X, y=X)
    found = load_inputs(tmp_path / "t.npz")
    assert found.labels is not None
    assert found.labels.tolist() == X.tolist()
    with pytest.raises(DataFileError, match=r"y in t.npz: got shape \(6, 2\)"):
        load_dataset(tmp_path / "t.npz")


def test_named_sets_and_their_choices() -> None:
    found, data = load_inputs("digits:8,3"), load_dataset("digits:8,3")
    assert found.X.tobytes() == data.X.tobytes()
    assert found.labels is not None
    assert np.array(data.classes)[(data.y > 0.0).astype(int)].tolist() == found.labels.tolist()
    with pytest.raises(InputError, match="'11'"):
        load_inputs("digits:8,11")


def test_classes_in_the_order_of_a_model() -> None:
    raw = RawData("some", X[:4], np.array([10.0, 2.0, 2.5, 10.0]))
    data = in_classes(raw, ("2.5", "10", "absent", "2"))
    assert data.classes == ("2.5", "10", "absent", "2")
    assert data.y.tolist() == [1.0, 3.0, 0.0, 1.0]
    two = in_classes(RawData("two", X[:2], np.array(["b", "b"])), ("b", "a"))
    assert two.y.tolist() == [-1.0, -1.0]
    with pytest.raises(InputError, match=r"classes of some: got '10'.*2, 2.5"):
        in_classes(raw, ("2", "2.5"))
    with pytest.raises(DataFileError, match="targets of none: got none"):
        in_classes(RawData("none", X), ("a", "b"))


def test_names_of_classes() -> None:
    names = [class_name(label) for label in ("3", 3, 3.0, 2.5, True, 1e300, float("inf"))]
    assert names == ["3", "3", "3", "2.5", "True", str(int(1e300)), "inf"]
