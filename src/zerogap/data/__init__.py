"""Data: named sets, files and planted networks, all as `Dataset`."""

from zerogap.data.dataset import Dataset, Task
from zerogap.data.loading import load_dataset
from zerogap.data.named import NAMED_SETS
from zerogap.data.planted import planted

__all__ = ["NAMED_SETS", "Dataset", "Task", "load_dataset", "planted"]
