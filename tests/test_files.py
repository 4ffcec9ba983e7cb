"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zerogap.errors import DataFileError, InputError
from zerogap.files import make_folder, write_atomically


def complete(error: InputError) -> bool:
    """Whether an error has all four parts, and they are its message."""
    parts = (error.what, error.got, error.expected, error.remedy)
    return all(isinstance(part, str) and part.strip() and part in str(error) for part in parts)


def test_bytes_are_written_and_replaced(tmp_path: Path) -> None:
    goal = tmp_path / "a.bin"
    write_atomically(goal, b"first, and longer")
    write_atomically(str(goal), b"second")
    assert goal.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_function_writes_to_a_file_beside_the_goal_with_its_suffix(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(path: Path) -> None:
        seen.append(path)
        path.write_text("content")

    write_atomically(tmp_path / "picture.png", write)
    assert (tmp_path / "picture.png").read_text() == "content"
    assert seen[0].parent == tmp_path.resolve()
    assert seen[0].suffix == ".png"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_of_the_greatest_length(tmp_path: Path) -> None:
    goal = tmp_path / ("n" * 250 + ".json")
    write_atomically(goal, b"x")
    assert goal.read_bytes() == b"x"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
        OSError("no number"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, failure: OSError) -> None:
    goal = tmp_path / "a.json"
    goal.write_bytes(b"old")

    def write(path: Path) -> None:
        path.write_bytes(b"hal")
        raise failure

    with pytest.raises(DataFileError) as caught:
        write_atomically(goal, write)
    assert complete(caught.value)
    assert caught.value.__cause__ is failure
    assert goal.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DataFileError, match=r"No space left.*free some space"):
        write_atomically(tmp_path / "a", write)


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), ValueError("not of the disk"), InputError("a", "b", "c", "d")]
)
def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path, failure: BaseException) -> None:
    def write(path: Path) -> None:
        raise failure

    with pytest.raises(type(failure)) as caught:
        write_atomically(tmp_path / "a", write)
    assert caught.value is failure
    assert os.listdir(tmp_path) == []


def test_a_writer_that_removes_its_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataFileError):
        write_atomically(tmp_path / "a", Path.unlink)
    assert os.listdir(tmp_path) == []


BAD_GOALS = {
    "folder missing": ("missing/a.json", "create the folder"),
    "file as folder": ("file/a.json", "part of this path is a file"),
    "goal is a folder": ("folder", "write for example to"),
    "name too long": ("n" * 300, "shorter name"),
    "null character": ("a\0b", "another path"),
    "device": (os.devnull, "another name"),
}


@pytest.mark.parametrize("case", BAD_GOALS)
def test_goals_that_cannot_be_written(tmp_path: Path, case: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    name, remedy = BAD_GOALS[case]
    with pytest.raises(DataFileError, match=remedy) as caught:
        write_atomically(os.path.join(tmp_path, name), b"new")
    assert complete(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_folders_are_made_with_their_parents_and_kept(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a" / "b")
    (folder / "kept").write_bytes(b"")
    assert make_folder(str(folder)) == folder
    assert os.listdir(folder) == ["kept"]


@pytest.mark.parametrize("name", ["file", "file/below", "a\0b", "n" * 300])
def test_folders_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataFileError, match="cannot make the folder") as caught:
        make_folder(os.path.join(tmp_path, name))
    assert complete(caught.value)


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataFileError, match=r"Permission denied.*may write"):
        make_folder(tmp_path)
