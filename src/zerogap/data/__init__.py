"""Data: named sets, files and planted networks, all as `Dataset`."""

from zerogap.data.dataset import Dataset, Task
from zerogap.data.loading import load_dataset, load_inputs
from zerogap.data.named import NAMED_SETS
from zerogap.data.planted import planted
from zerogap.data.raw import RawData

__all__ = ["NAMED_SETS", "Dataset", "RawData", "Task", "load_dataset", "load_inputs", "planted"]
