"""What a source of data delivers, before labels are encoded, and how its failures become errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.data.dataset import Task
from zerogap.errors import DataFileError, InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RawData:
    """Inputs, with labels as they were found where the source has any.

    Parameters
    ----------
    name : str
        For messages and for `Dataset.name`.
    X : (n, ...) float64
        Scaled in the natural way of its source.
    labels : (n,) float64 or str, (n, C) float64, or None
        Numbers, or names of classes; None for inputs alone.
    order : tuple of str, or None
        All class names in the order of the source; None: sorted.
    task : Task or None
        The only task that these labels serve; None: to be inferred or chosen.
    missing : str
        What would be the labels, for messages where there are none.
    """

    name: str
    X: Array
    labels: NDArray[Any] | None = None
    order: tuple[str, ...] | None = None
    task: Task | None = None
    missing: str = "one for each sample"

    @property
    def targets(self) -> NDArray[Any]:
        """One label for each sample, (n,); raises DataFileError where the source has none, or several."""
        if self.labels is None:
            remedy = "add them, or use these inputs for predictions only"
            raise DataFileError(f"targets of {self.name}", "none", self.missing, remedy)
        if self.labels.ndim > 1:
            got, expected = f"shape {self.labels.shape}", "one target per sample, shape (n,)"
            raise DataFileError(f"y in {self.name}", got, expected, "pass one column at a time")
        return self.labels


@contextmanager
def reading(path: Path, expected: str, remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong while `path` is read into a DataFileError.

    Parameters
    ----------
    path : Path
        The file or folder, named in the message.
    expected, remedy : str
        The last two parts of the message for a damaged file.
    """
    try:
        yield
    except DataFileError:
        raise
    except InputError as error:
        raise DataFileError(f"{error.what} in {path}", error.got, error.expected, error.remedy) from error
    except ImportError:
        raise
    except PermissionError as error:
        raise DataFileError(
            f"cannot read {path}", "permission denied", "a readable file", "change its permissions"
        ) from error
    except Exception as error:  # parsers answer damaged bytes with a dozen types, MemoryError among them
        got = str(error) or type(error).__name__
        raise DataFileError(f"cannot read {path}", got.splitlines()[0], expected, remedy) from error


def check_lengths(path: Path, samples: int, labels: int) -> None:
    """Raise DataFileError unless there is one label for each sample."""
    if samples != labels:
        raise DataFileError(
            f"y in {path}", f"{labels} labels", f"{samples}, one for each sample of X", "write matching arrays"
        )
