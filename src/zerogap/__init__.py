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
    from zerogap.estimators import (
        ConvexCNNClassifier,
        ConvexCNNClassifierCV,
        ConvexCNNRegressor,
        ConvexCNNRegressorCV,
        ConvexMLPClassifier,
        ConvexMLPClassifierCV,
        ConvexMLPRegressor,
        ConvexMLPRegressorCV,
    )
    from zerogap.export.audit import Audit
    from zerogap.export.better import BetterModel
    from zerogap.export.from_torch import from_torch
    from zerogap.export.head import TrainedHead, train_head
    from zerogap.export.objectives import TorchObjective, objective_of
    from zerogap.improvement import Improvement, improve
    from zerogap.model import Model
    from zerogap.network import Network
    from zerogap.outputs import OutputNetworks
    from zerogap.regularisation_path import Path, PathPoint, path
    from zerogap.training.copositive import CopositiveResult, train_copositive
    from zerogap.training.frank_wolfe import train_by_frank_wolfe
    from zerogap.training.history import Iteration
    from zerogap.training.separate import SeparateResult, train_separately
    from zerogap.training.train import Result, train

_HOMES = {
    "Audit": "export.audit",
    "BetterModel": "export.better",
    "CNN": "architectures",
    "Certificate": "certificates.certificate",
    "CircularCNN": "architectures",
    "ClosedForm": "closed_forms",
    "ConvexCNNClassifier": "estimators",
    "ConvexCNNClassifierCV": "estimators",
    "ConvexCNNRegressor": "estimators",
    "ConvexCNNRegressorCV": "estimators",
    "ConvexMLPClassifier": "estimators",
    "ConvexMLPClassifierCV": "estimators",
    "ConvexMLPRegressor": "estimators",
    "ConvexMLPRegressorCV": "estimators",
    "CopositiveResult": "training.copositive",
    "DataFileError": "errors",
    "Dataset": "data",
    "Improvement": "improvement",
    "InputError": "errors",
    "Iteration": "training.history",
    "LinearCNN": "architectures",
    "MLP": "architectures",
    "MissingExtraError": "errors",
    "Model": "model",
    "Network": "network",
    "OutputNetworks": "outputs",
    "Path": "regularisation_path",
    "PathPoint": "regularisation_path",
    "Result": "training.train",
    "SeparateResult": "training.separate",
    "Status": "errors",
    "ThreeLayerCNN": "architectures",
    "ToleranceError": "errors",
    "TorchObjective": "export.objectives",
    "TrainedHead": "export.head",
    "ZerogapError": "errors",
    "certify": "certification",
    "critical_beta": "certification",
    "critical_beta_bounds": "certification",
    "from_torch": "export.from_torch",
    "improve": "improvement",
    "load_dataset": "data",
    "objective_of": "export.objectives",
    "path": "regularisation_path",
    "soft_thresholded_svd": "closed_forms",
    "train": "training.train",
    "train_by_frank_wolfe": "training.frank_wolfe",
    "train_copositive": "training.copositive",
    "train_head": "export.head",
    "train_separately": "training.separate",
}

__all__ = [
    "CNN",
    "MLP",
    "Audit",
    "BetterModel",
    "Certificate",
    "CircularCNN",
    "ClosedForm",
    "ConvexCNNClassifier",
    "ConvexCNNClassifierCV",
    "ConvexCNNRegressor",
    "ConvexCNNRegressorCV",
    "ConvexMLPClassifier",
    "ConvexMLPClassifierCV",
    "ConvexMLPRegressor",
    "ConvexMLPRegressorCV",
    "CopositiveResult",
    "DataFileError",
    "Dataset",
    "Improvement",
    "InputError",
    "Iteration",
    "LinearCNN",
    "MissingExtraError",
    "Model",
    "Network",
    "OutputNetworks",
    "Path",
    "PathPoint",
    "Result",
    "SeparateResult",
    "Status",
    "ThreeLayerCNN",
    "ToleranceError",
    "TorchObjective",
    "TrainedHead",
    "ZerogapError",
    "certify",
    "critical_beta",
    "critical_beta_bounds",
    "from_torch",
    "improve",
    "load_dataset",
    "objective_of",
    "path",
    "soft_thresholded_svd",
    "train",
    "train_by_frank_wolfe",
    "train_copositive",
    "train_head",
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
