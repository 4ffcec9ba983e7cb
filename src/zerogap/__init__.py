"""Training of neural networks to proven global optimality.

Public names are loaded when they are first used, so that ``import zerogap`` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zerogap.architectures import CNN, MLP, CircularCNN, LinearCNN, ThreeLayerCNN
    from zerogap.certificates.certificate import Certificate
    from zerogap.certification import certify, critical_beta, critical_beta_bounds
    from zerogap.closed_forms import ClosedForm, soft_thresholded_svd
    from zerogap.data import Dataset, load_dataset
    from zerogap.errors import (
        DataFileError,
        InputError,
        MissingExtraError,
        Status,
        ToleranceError,
        ZerogapError,
    )
    from zerogap.improvement import Improvement, improve
    from zerogap.network import Network
    from zerogap.outputs import OutputNetworks
    from zerogap.training.copositive import CopositiveResult, train_copositive
    from zerogap.training.frank_wolfe import train_by_frank_wolfe
    from zerogap.training.history import Iteration
    from zerogap.training.separate import SeparateResult, train_separately
    from zerogap.training.train import Result, train

_HOMES = {
    "CNN": "architectures",
    "Certificate": "certificates.certificate",
    "CircularCNN": "architectures",
    "ClosedForm": "closed_forms",
    "CopositiveResult": "training.copositive",
    "DataFileError": "errors",
    "Dataset": "data",
    "Improvement": "improvement",
    "InputError": "errors",
    "Iteration": "training.history",
    "LinearCNN": "architectures",
    "MLP": "architectures",
    "MissingExtraError": "errors",
    "Network": "network",
    "OutputNetworks": "outputs",
    "Result": "training.train",
    "SeparateResult": "training.separate",
    "Status": "errors",
    "ThreeLayerCNN": "architectures",
    "ToleranceError": "errors",
    "ZerogapError": "errors",
    "certify": "certification",
    "critical_beta": "certification",
    "critical_beta_bounds": "certification",
    "improve": "improvement",
    "load_dataset": "data",
    "soft_thresholded_svd": "closed_forms",
    "train": "training.train",
    "train_by_frank_wolfe": "training.frank_wolfe",
    "train_copositive": "training.copositive",
    "train_separately": "training.separate",
}

__all__ = [
    "CNN",
    "MLP",
    "Certificate",
    "CircularCNN",
    "ClosedForm",
    "CopositiveResult",
    "DataFileError",
    "Dataset",
    "Improvement",
    "InputError",
    "Iteration",
    "LinearCNN",
    "MissingExtraError",
    "Network",
    "OutputNetworks",
    "Result",
    "SeparateResult",
    "Status",
    "ThreeLayerCNN",
    "ToleranceError",
    "ZerogapError",
    "certify",
    "critical_beta",
    "critical_beta_bounds",
    "improve",
    "load_dataset",
    "soft_thresholded_svd",
    "train",
    "train_by_frank_wolfe",
    "train_copositive",
    "train_separately",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zerogap' has no attribute {name!r}")
    value = getattr(import_module(f"zerogap.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
