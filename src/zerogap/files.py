"""Files that are either written whole or not at all.

The bytes go to a temporary file beside the goal, are flushed to the disk, and take the goal's name in one step:
whoever reads the goal sees the old content or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from zerogap.errors import DataFileError, InputError, ZerogapError
from zerogap.validation import file_path

__all__ = ["make_folder", "write_atomically"]

_REMEDIES = {
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose a folder: a part of this path is a file",
    errno.EEXIST: "remove the file that has this name, or choose another folder",
    errno.EISDIR: "choose a file name that is not taken by a folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder on a disk that is not read-only",
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some of your quota, or choose a folder on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None] | bytes) -> None:
    """Write a file so that it never exists half.

    Parameters
    ----------
    path : str or path
        The file to create or to replace. A symbolic link is followed; the folder must exist.
    write : callable or bytes
        The content, or a function that writes it to the path it is given. That path has the suffix of
        `path`, because some writers choose their format by it.

    Raises
    ------
    DataFileError
        The folder is missing or not writable, the disk is full, or `path` is a folder or a device. The
        temporary file is removed, also when `write` raises something else, which then passes through.
    """
    goal = _regular(path)
    # Of the random part alone, the name stays short enough where that of the goal does.
    temporary = goal.with_name(f".{secrets.token_hex(6)}{goal.suffix[:20]}")
    try:
        # An exclusive open gives the usual permissions of a new file; tempfile would give 0600.
        temporary.open("xb").close()
        if isinstance(write, bytes):
            temporary.write_bytes(write)
        else:
            write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, goal)
    except ZerogapError:
        raise
    except OSError as error:
        raise _failure(f"cannot write {path}", error, "a file in a folder that can be written to") from error
    finally:
        # After os.replace this name is gone.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents unless they exist, and check that files can be made in it.

    Raises
    ------
    DataFileError
        A file is in the way, or permission is missing.
    """
    folder = file_path("folder", path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        raise _failure(f"cannot make the folder {folder}", error, "a folder that can be written to") from error
    return folder


def _regular(path: str | os.PathLike[str]) -> Path:
    """The real path, which is a regular file or does not exist yet."""
    try:
        goal = Path(os.path.realpath(file_path("path", path)))
    except InputError:
        raise
    except ValueError as error:
        raise _failure(f"cannot write {os.fspath(path)!r}", error, "a file name") from error
    if os.path.isdir(goal):
        raise DataFileError(
            f"cannot write {path}", "a folder", "a file name", f"write for example to {goal / 'result'}"
        )
    if os.path.exists(goal) and not os.path.isfile(goal):
        # Replacing a device such as /dev/null by a file would harm the whole machine.
        raise DataFileError(f"cannot write {path}", "a device or pipe", "a regular file", "choose another name")
    return goal


def _failure(what: str, error: Exception, expected: str) -> DataFileError:
    """A failed system call as a DataFileError."""
    number = getattr(error, "errno", None)
    remedy = _REMEDIES.get(number, "choose another path") if number else "choose another path"
    return DataFileError(what, f"{getattr(error, 'strerror', None) or error}", expected, remedy)
