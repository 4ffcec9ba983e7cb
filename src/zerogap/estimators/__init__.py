"""Estimators for scikit-learn: certified training behind ``fit``, ``predict`` and ``score``."""

from zerogap.estimators.chosen import (
    ConvexCNNClassifierCV,
    ConvexCNNRegressorCV,
    ConvexMLPClassifierCV,
    ConvexMLPRegressorCV,
)
from zerogap.estimators.cnn import ConvexCNNClassifier, ConvexCNNRegressor
from zerogap.estimators.mlp import ConvexMLPClassifier, ConvexMLPRegressor

__all__ = [
    "ConvexCNNClassifier",
    "ConvexCNNClassifierCV",
    "ConvexCNNRegressor",
    "ConvexCNNRegressorCV",
    "ConvexMLPClassifier",
    "ConvexMLPClassifierCV",
    "ConvexMLPRegressor",
    "ConvexMLPRegressorCV",
]
