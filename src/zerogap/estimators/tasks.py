"""What targets mean: numbers, classes, or labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from zerogap.data.encoding import class_targets, predicted_classes
from zerogap.errors import InputError
from zerogap.estimators.base import ConvexEstimator
from zerogap.model import Model, Task
from zerogap.validation import one_of, shown

Array = NDArray[np.float64]


class Regression(RegressorMixin, ConvexEstimator):  # type: ignore[misc]
    """Targets are numbers, (n,) or (n, C)."""

    _numeric = True

    def _encoded(self, y: Any) -> tuple[Array, Task, str]:
        y = np.asarray(y, dtype=np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y, "regression", "squared"

    def predict(self, X: Any) -> Array:
        """Predicted numbers (n,) or (n, C) for inputs X as in ``fit``."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _probabilistic(estimator: Any) -> bool:
    """Whether there are probabilities; raises AttributeError, as scikit-learn expects, if not."""
    if hasattr(estimator, "model_"):
        has = estimator.model_.probabilistic
    else:
        has = estimator.loss in ("auto", "logistic", "cross_entropy")
    if not has:
        raise AttributeError(f"no probabilities with loss={estimator.loss!r}: pass loss='auto'")
    return True


class Classification(ClassifierMixin, ConvexEstimator):  # type: ignore[misc]
    """Targets are classes (n,), or labels (n, L): a matrix of 0 and 1."""

    _numeric = False

    def _encoded(self, y: Any) -> tuple[Array, Task, str]:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        loss = one_of("loss", self.loss, ("auto", "logistic", "cross_entropy", "squared", "hinge"))
        if kind == "multilabel-indicator":
            loss = "logistic" if loss == "auto" else loss
            if loss not in ("logistic", "squared"):
                raise InputError(
                    "loss", f"{loss!r} for labels", "'auto', 'logistic' or 'squared'", "choose one of these"
                )
            self.classes_ = np.arange(y.shape[1])
            return 2.0 * np.asarray(y, dtype=np.float64) - 1.0, "labels", loss
        if kind == "multiclass-multioutput":
            expected = "one class for each sample, or a matrix of 0 and 1 with a column for each label"
            raise InputError("y", "several columns of classes", expected, "fit one classifier for each column")
        self.classes_, indices = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            expected = "at least two different classes"
            raise InputError("y", f"one class, {self.classes_.tolist()[0]!r}", expected, "check the labels")
        if loss == "auto":
            loss = "logistic" if count == 2 else "cross_entropy"
        return class_targets(indices, count, loss), "classes", loss

    def _weighed(self, y: Any, weights: Array) -> Array:
        if self.class_weight is not None:
            each = compute_sample_weight(self.class_weight, y)
            if each.min() < 0.0:
                raise InputError("class_weight", shown(self.class_weight), "weights >= 0", "mend the negative one")
            weights = weights * each
        present = np.asarray(y)[weights > 0.0]
        if present.ndim == 1 and len(np.unique(present)) == 1:
            name = "sample_weight" if self.class_weight is None else "class_weight"
            got = f"positive weights for the class {present.tolist()[0]!r} alone"
            raise InputError(name, got, "at least two classes of positive weight", "raise the weight of another class")
        return weights

    def decision_function(self, X: Any) -> Array:
        """Scores for inputs X as in ``fit``: (n,) for two classes, positive for the second, else (n, C)."""
        scores = self._outputs(X)
        if scores.ndim == 2 and self.model_.task == "classes" and scores.shape[1] == 2:
            return np.asarray(scores[:, 1] - scores[:, 0])
        return scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Predicted classes (n,), or labels (n, L), for inputs X as in ``fit``."""
        outputs = self._outputs(X)
        if self.model_.task == "labels":
            return np.asarray(outputs >= 0.0, dtype=np.int64)
        return np.asarray(self.classes_[predicted_classes(outputs)])

    @available_if(_probabilistic)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, C) of the classes, or (n, L) of the labels, for inputs X as in ``fit``."""
        outputs = self._outputs(X)
        return self.model_.probabilities_of(outputs)

    @available_if(_probabilistic)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of ``predict_proba``."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def _restore(self, model: Model, about: dict[str, Any]) -> None:
        super()._restore(model, about)
        self.classes_ = np.array(model.classes) if model.task == "classes" else np.arange(self.n_outputs_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags
