"""Arrays and tensors at the border: float64 in, the layouts of torch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerogap.validation import finite_array

Array = NDArray[np.float64]


def numbers(name: str, value: Any) -> Array:
    """A finite float64 array of an array or a tensor; raises InputError."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        # NumPy lacks some of torch's short types.
        value = value.to(torch.float64).numpy() if value.is_floating_point() else value.numpy()
    return finite_array(name, value)
