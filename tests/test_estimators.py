"""Estimators: scikit-learn's contract, and what users of pipelines, searches, frames and pickles expect."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_linnerud
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import zerogap as zg

X, Y = load_diabetes(return_X_y=True)
CLASSES = load_iris()
QUICK: dict[str, Any] = {"tol": 0.1}
CHOICE: dict[str, Any] = {"betas": (3.0, 1.0), "cv": 2, "tol": 0.1}

PLAIN = [zg.ConvexMLPRegressor, zg.ConvexMLPClassifier, zg.ConvexCNNRegressor, zg.ConvexCNNClassifier]
CHOOSING = [zg.ConvexMLPRegressorCV, zg.ConvexMLPClassifierCV, zg.ConvexCNNRegressorCV, zg.ConvexCNNClassifierCV]


@parametrize_with_checks([*(kind() for kind in PLAIN), *(kind(**CHOICE) for kind in CHOOSING)])
def test_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    """Without an expected failure: series stand for images where samples are flat, and filters are cut to them."""
    with warnings.catch_warnings():
        # Of column vectors, and of scikit-learn's own checks.
        warnings.simplefilter("ignore")
        check(estimator)


# -- what is learned ---------------------------------------------------------------------------------


def test_the_certificate_is_that_of_the_scaled_problem() -> None:
    model = zg.ConvexMLPRegressor(beta=20.0).fit(X, Y)
    scaled, targets = (X - X.mean(0)) / X.std(0), (Y - Y.mean()) / Y.std()
    certificate = zg.certify(model.network_, scaled, targets, beta=20.0, prove=False)
    assert model.certificate_.objective == pytest.approx(certificate.objective, rel=1e-10)
    assert model.certificate_.lower_bound <= model.certificate_.estimate <= model.certificate_.objective
    assert 1.0 - model.certificate_.estimate / model.certificate_.objective <= model.tol
    np.testing.assert_allclose(model.predict(X), Y.mean() + Y.std() * model.network_(scaled), rtol=1e-9)
    assert model.n_iter_ == len(model.history_) > 0
    assert model.beta_ == 20.0
    assert model.status_ is zg.Status.SEARCHED


def test_few_features_are_proved() -> None:
    model = zg.ConvexMLPRegressor(prove=30.0).fit(X[:, [2, 8]], Y)
    assert model.certificate_.proof == "branch and bound"
    assert model.certificate_.gap <= model.tol
    assert model.status_ is zg.Status.OPTIMAL


def test_the_default_beta_grows_with_the_root_of_the_weights() -> None:
    model = zg.ConvexMLPRegressor(**QUICK).fit(X, Y)
    assert model.beta_ == pytest.approx(0.2 * np.sqrt(len(X)))
    doubled = zg.ConvexMLPRegressor(**QUICK).fit(X, Y, sample_weight=np.full(len(X), 2.0))
    assert doubled.beta_ == pytest.approx(0.2 * np.sqrt(2 * len(X)))
    raw = zg.ConvexMLPRegressor(standardise=False, **QUICK).fit(X, Y)
    assert raw.beta_ == pytest.approx(0.2 * np.sqrt(len(X)) * Y.std())


def test_units_and_the_order_of_samples_do_not_matter() -> None:
    model = zg.ConvexMLPRegressor(beta=20.0, **QUICK).fit(X, Y)
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = zg.ConvexMLPRegressor(beta=20.0, **QUICK).fit(X[order], Y[order])
    assert np.array_equal(shuffled.network_.first, model.network_.first)
    rescaled = zg.ConvexMLPRegressor(beta=20.0, **QUICK).fit(4.0 * X + 1.0, 8.0 * Y - 3.0)
    assert rescaled.certificate_.objective == pytest.approx(model.certificate_.objective, rel=2e-2)


def test_weights_equal_duplicates_and_zero_weights_absence() -> None:
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = zg.ConvexMLPRegressor(**QUICK).fit(X, Y, sample_weight=weights)
    repeated = zg.ConvexMLPRegressor(**QUICK).fit(np.repeat(X, weights, axis=0), np.repeat(Y, weights))
    assert np.array_equal(weighted.predict(X), repeated.predict(X))
    chosen = [zg.ConvexMLPRegressorCV(**CHOICE) for _ in range(2)]
    chosen[0].fit(X, Y, sample_weight=weights)
    chosen[1].fit(np.repeat(X, weights, axis=0), np.repeat(Y, weights))
    assert np.array_equal(chosen[0].validation_path_, chosen[1].validation_path_)


def test_several_outputs_are_trained_jointly() -> None:
    inputs, targets = load_linnerud(return_X_y=True)
    model = zg.ConvexMLPRegressor(beta=1.0).fit(inputs, targets)
    assert model.predict(inputs).shape == targets.shape
    assert model.n_outputs_ == 3
    assert model.certificate_.outputs == 3
    assert model.score(inputs, targets) > 0.3


# -- classes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["auto", "logistic", "cross_entropy", "squared", "hinge"])
def test_two_named_classes(loss: str) -> None:
    inputs, labels = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])[labels]
    model = zg.ConvexMLPClassifier(loss=loss, **QUICK).fit(inputs, names)
    assert list(model.classes_) == ["benign", "malignant"]
    assert model.score(inputs, names) > 0.97
    scores = model.decision_function(inputs)
    assert scores.shape == names.shape
    assert np.array_equal(model.predict(inputs) == "malignant", scores >= 0.0)
    if loss in ("squared", "hinge"):
        assert not hasattr(model, "predict_proba")
        return
    shares = model.predict_proba(inputs)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert np.array_equal(shares.argmax(axis=1), (names == "malignant").astype(int)) or model.score(inputs, names) < 1.0
    np.testing.assert_allclose(np.exp(model.predict_log_proba(inputs)), shares)
    np.testing.assert_allclose(shares[:, 1], 1.0 / (1.0 + np.exp(-scores)))


def test_more_classes_and_their_weights() -> None:
    inputs, labels = CLASSES.data, CLASSES.target_names[CLASSES.target]
    model = zg.ConvexMLPClassifier(**QUICK).fit(inputs, labels)
    assert model.loss_ == "cross_entropy"
    assert model.predict_proba(inputs).shape == (150, 3)
    assert model.score(inputs, labels) > 0.95
    rare = np.concatenate([np.arange(50), np.arange(50, 60), np.arange(100, 150)])
    plain = zg.ConvexMLPClassifier(beta=20.0, **QUICK).fit(inputs[rare], labels[rare])
    balanced = zg.ConvexMLPClassifier(beta=20.0, class_weight="balanced", **QUICK).fit(inputs[rare], labels[rare])
    share = [float(model.predict_proba(inputs)[:, 1].mean()) for model in (plain, balanced)]
    assert share[1] > share[0]


def test_labels_are_predicted_side_by_side() -> None:
    inputs = CLASSES.data
    labels = np.stack([CLASSES.target == 0, CLASSES.target != 1, inputs[:, 0] > 5.8], axis=1).astype(int)
    model = zg.ConvexMLPClassifier(**QUICK).fit(inputs, labels)
    assert model.loss_ == "logistic"
    assert model.predict(inputs).shape == labels.shape
    assert model.score(inputs, labels) > 0.9
    shares = model.predict_proba(inputs)
    assert np.array_equal(shares >= 0.5, model.predict(inputs) == 1)
    with pytest.raises(ValueError, match="hinge"):
        zg.ConvexMLPClassifier(loss="hinge").fit(inputs, labels)


# -- images ------------------------------------------------------------------------------------------


def test_images_as_they_are_flattened_or_with_channels() -> None:
    images, labels = load_digits(n_class=2, return_X_y=True)
    images, labels = images[:120], labels[:120]
    flat = zg.ConvexCNNClassifier(image_shape=(8, 8), kernel_size=2, **QUICK).fit(images, labels)
    shaped = zg.ConvexCNNClassifier(kernel_size=2, **QUICK).fit(images.reshape(-1, 8, 8), labels)
    channels = zg.ConvexCNNClassifier(image_shape=(8, 8, 1), kernel_size=2, **QUICK).fit(images, labels)
    for model, inputs in ((flat, images), (shaped, images.reshape(-1, 8, 8)), (channels, images)):
        assert np.array_equal(model.predict(inputs), flat.predict(images))
        assert model.score(inputs, labels) == 1.0
    assert flat.n_features_in_ == 64
    with pytest.raises(ValueError, match="image_shape"):
        zg.ConvexCNNClassifier(image_shape=(8, 9)).fit(images, labels)
    with pytest.raises(ValueError, match="kernel_size"):
        zg.ConvexCNNClassifier(kernel_size=(2, 2, 2)).fit(images.reshape(-1, 8, 8), labels)
    with pytest.raises(ValueError, match="shape"):
        shaped.predict(images[:, :56].reshape(-1, 8, 7))


@pytest.mark.parametrize("pooling", ["average", "sum", "max", "none"])
def test_series_with_every_pooling(pooling: str) -> None:
    rng = np.random.default_rng(0)
    series = rng.standard_normal((30, 6))
    model = zg.ConvexCNNRegressor(kernel_size=2, pooling=pooling, **QUICK).fit(series, series[:, 0])
    assert model.predict(series).shape == (30,)
    assert model.network_.architecture.pooling == pooling


# -- choice of beta ----------------------------------------------------------------------------------


def test_beta_is_chosen_on_a_path() -> None:
    model = zg.ConvexMLPRegressorCV(betas=6, ratio=0.02).fit(X, Y)
    assert np.all(np.diff(model.betas_) < 0.0)
    assert model.validation_path_.shape == (len(model.betas_), 5)
    assert model.beta_ == model.betas_[model.validation_path_.mean(axis=1).argmin()]
    # In units of half the variance: the mean alone has a loss of about one half.
    assert model.validation_path_.mean(axis=1).min() < 0.3 < model.validation_path_[0].mean()
    again = zg.ConvexMLPRegressor(beta=model.beta_).fit(X, Y)
    assert np.array_equal(again.predict(X), model.predict(X))


def test_folds_are_those_that_are_given() -> None:
    rows = np.arange(len(X))
    model = zg.ConvexMLPRegressorCV(betas=(20.0,), cv=KFold(3), **QUICK).fit(X, Y)
    training = rows[148:]
    scaled = zg.ConvexMLPRegressor(beta=20.0 * len(training) / len(X), **QUICK).fit(X[training], Y[training])
    error = (Y[:148] - scaled.predict(X[:148])) / Y[training].std()
    assert model.validation_path_[0, 0] == pytest.approx(0.5 * np.mean(error**2), rel=1e-9)
    given = [(rows[148:], rows[:148]), (rows[:148], rows[148:])]
    assert zg.ConvexMLPRegressorCV(betas=(20.0,), cv=given, **QUICK).fit(X, Y).validation_path_.shape == (1, 2)


def test_folds_that_cannot_be_used_and_masks_that_can() -> None:
    mask = np.arange(len(X)) < 300
    masks = zg.ConvexMLPRegressorCV(betas=(20.0,), cv=[(mask, ~mask)], **QUICK).fit(X, Y)
    indices = [(np.flatnonzero(mask), np.flatnonzero(~mask))]
    assert np.array_equal(
        masks.validation_path_,
        zg.ConvexMLPRegressorCV(betas=(20.0,), cv=indices, **QUICK).fit(X, Y).validation_path_,
    )
    for folds in ([], [(np.arange(500), np.arange(3))], [(np.arange(3), np.arange(0))]):
        with pytest.raises(ValueError, match="cv"):
            zg.ConvexMLPRegressorCV(betas=(20.0,), cv=folds, **QUICK).fit(X, Y)


def test_a_class_or_label_may_be_missing_in_a_fold() -> None:
    labels = np.array(["a"] * 221 + ["b"] * 220 + ["c"])
    model = zg.ConvexMLPClassifierCV(**CHOICE).fit(X, labels)
    assert model.network_.architecture.intercept
    assert np.isfinite(model.validation_path_).all()
    constant = np.stack([X[:, 0] > 0.0, np.ones(len(X))], axis=1).astype(int)
    assert zg.ConvexMLPClassifier(**QUICK).fit(X, constant).predict(X)[:, 1].all()


def test_a_callback_ends_a_path_and_ctrl_c_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(stop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = zg.ConvexMLPRegressorCV(betas=(30.0, 20.0, 10.0), cv=2, **QUICK).set_callbacks(watcher).fit(X, Y)
    assert len(model.betas_) == 1

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("zerogap.training.all_neurons.slide", interrupted)
    with pytest.raises(KeyboardInterrupt):
        zg.ConvexMLPRegressorCV(**CHOICE).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="Interrupted by the user"):
        zg.ConvexMLPRegressor(**QUICK).fit(X, Y)


def test_folds_may_be_trained_at_the_same_time() -> None:
    one = zg.ConvexMLPRegressorCV(**CHOICE).fit(X[:100], Y[:100])
    two = zg.ConvexMLPRegressorCV(**CHOICE, n_jobs=2).fit(X[:100], Y[:100])
    np.testing.assert_allclose(one.validation_path_, two.validation_path_, rtol=1e-6)


def test_warm_starts_continue_the_last_network() -> None:
    model = zg.ConvexMLPRegressor(beta=20.0, warm_start=True, tol=1e-2).fit(X, Y)
    cold = zg.ConvexMLPRegressor(beta=15.0, tol=1e-2).fit(X, Y)
    model.set_params(beta=15.0).fit(X, Y)
    assert model.certificate_.objective <= cold.certificate_.objective * 1.01
    assert model.n_iter_ < cold.n_iter_
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X[:, :4], Y)


# -- tools -------------------------------------------------------------------------------------------


def test_pipelines_searches_and_joblib() -> None:
    inputs, labels = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), zg.ConvexMLPClassifier(**QUICK)).set_output(transform="default")
    assert cross_val_score(pipeline, inputs, labels, cv=3, n_jobs=2).mean() > 0.95
    search = GridSearchCV(zg.ConvexMLPClassifier(**QUICK), {"beta": [1.0, 5.0, 200.0]}, cv=2).fit(inputs, labels)
    assert search.best_params_["beta"] < 200.0
    twin = clone(search.best_estimator_)
    assert twin.get_params() == search.best_estimator_.get_params()
    assert not hasattr(twin, "network_")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library: str) -> None:
    module = pytest.importorskip(library)
    frame = module.DataFrame({f"column {k}": X[:, k] for k in range(4)})
    targets = module.Series(Y)
    model = zg.ConvexMLPRegressor(**QUICK).fit(frame, targets)
    assert list(model.feature_names_in_) == [f"column {k}" for k in range(4)]
    assert np.array_equal(model.predict(frame), zg.ConvexMLPRegressor(**QUICK).fit(X[:, :4], Y).predict(X[:, :4]))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[[f"column {k}" for k in (1, 0, 2, 3)]])
    named = make_pipeline(StandardScaler(), zg.ConvexMLPRegressor(**QUICK)).set_output(transform=library)
    assert list(named.fit(frame, targets)[-1].feature_names_in_) == list(model.feature_names_in_)
    words = module.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]})
    with pytest.raises((ValueError, TypeError)):
        zg.ConvexMLPRegressor().fit(words, [1.0, 2.0])


class Watcher:
    """A callback of scikit-learn that writes down the tasks, and may stop them."""

    def __init__(self, stop: bool = False) -> None:
        self.stop, self.begun, self.ended = stop, [], 0

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        self.ended += 1
        return self.stop


def test_callbacks_see_the_digits_of_the_gap() -> None:
    watcher = Watcher()
    zg.ConvexMLPRegressor(tol=1e-2).set_callbacks(watcher).fit(X, Y)
    assert [name for name in watcher.begun if name.startswith("relative")] == [
        "relative gap 1e-01",
        "relative gap 1e-02",
    ]
    assert watcher.begun.count("step") == 20
    assert watcher.ended == len(watcher.begun)
    stopping = Watcher(stop=True)
    with pytest.warns(ConvergenceWarning, match="Stopped by the callback"):
        zg.ConvexMLPRegressor(tol=1e-6, beta=20.0).set_callbacks(stopping).fit(X, Y)
    path = Watcher()
    zg.ConvexMLPRegressorCV(**CHOICE).set_callbacks(path).fit(X, Y)
    assert path.begun.count("beta") == 2


def test_the_progress_bar_of_scikit_learn_shows_the_gap(capsys: pytest.CaptureFixture[str]) -> None:
    zg.ConvexMLPRegressor(tol=1e-2).set_callbacks(ProgressBar()).fit(X, Y)
    shown = capsys.readouterr().out
    assert "relative gap 1e-01" in shown
    assert "relative gap 1e-02" in shown
    assert "100%" in shown


def test_scores_are_monitored() -> None:
    pytest.importorskip("pandas")
    monitor = ScoringMonitor(scoring="r2")
    zg.ConvexMLPRegressor(**QUICK).set_callbacks(monitor).fit(X, Y)
    assert monitor.get_logs().data[-1]["r2"] > 0.5


# -- warnings and errors -----------------------------------------------------------------------------


def test_a_warning_names_gap_tolerance_and_three_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(ConvergenceWarning) as caught:
        zg.ConvexMLPRegressor(beta=0.5, tol=1e-5, max_time=0.2).fit(X, Y)
    text = str(caught[0].message)
    assert "relative gap of" in text
    assert "tolerance 1.0e-05" in text
    assert all(mark in text for mark in ("(1) raise max_time (now 0.2)", "(2) raise beta (now 0.5)", "(3) raise tol"))
    assert text.count("raise beta") == text.count("raise tol") == 1
    assert "solver" not in text
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="which proves nothing"):
        zg.ConvexMLPRegressor(beta=20.0, prove=0.5).fit(X, Y)
    monkeypatch.setattr("zerogap.training.rounds.PATIENCE", 0)
    with pytest.warns(ConvergenceWarning, match=r"\(1\) pass standardise=True"):
        zg.ConvexMLPRegressor(standardise=False).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"beta": 0.0}, "beta"),
        ({"beta": -1.0}, "beta"),
        ({"beta": "auto"}, "'scale'"),
        ({"beta": np.nan}, "beta"),
        ({"bias": "yes"}, "bias"),
        ({"intercept": 2}, "intercept"),
        ({"standardise": "no"}, "standardise"),
        ({"tol": 0.0}, "tol"),
        ({"max_time": -1.0}, "max_time"),
        ({"prove": "yes"}, "prove"),
        ({"warm_start": "yes"}, "warm_start"),
        ({"random_state": -3}, "random_state"),
    ],
)
def test_parameters_that_cannot_be_used(parameters: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        zg.ConvexMLPRegressor(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"betas": 0}, "betas"),
        ({"betas": (1.0, -1.0)}, "betas"),
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.0}, "ratio"),
        ({"patience": 0}, "patience"),
        ({"cv": 1}, "cv"),
        ({"cv": 10**6}, "cv"),
    ],
)
def test_choices_that_cannot_be_made(parameters: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        zg.ConvexMLPRegressorCV(**parameters).fit(X, Y)


def test_data_that_cannot_be_used() -> None:
    model = zg.ConvexMLPClassifier()
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match="one class"):
        model.fit(X, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="one class for each sample"):
        model.fit(X, np.stack([np.arange(len(X)) % 3] * 2, axis=1))
    with pytest.raises(ValueError, match="loss"):
        zg.ConvexMLPClassifier(loss="log").fit(X, np.arange(len(X)) % 2)
    with pytest.raises(ValueError, match="'hinge' for 3 classes"):
        zg.ConvexMLPClassifier(loss="hinge").fit(X, np.arange(len(X)) % 3)
    with pytest.raises(ValueError, match="NaN"):
        zg.ConvexMLPRegressor().fit(np.full((3, 2), np.nan), [1.0, 2.0, 3.0])


# -- files -------------------------------------------------------------------------------------------


def fitted() -> dict[str, tuple[Any, Any]]:
    """Estimators of all kinds with inputs to predict for."""
    images, labels = load_digits(n_class=3, return_X_y=True)
    names = CLASSES.target_names[CLASSES.target]
    return {
        "regression": (zg.ConvexMLPRegressor(**QUICK).fit(X, Y), X),
        "outputs": (zg.ConvexMLPRegressor(**QUICK).fit(X, np.stack([Y, -Y], axis=1)), X),
        "classes": (zg.ConvexMLPClassifier(**QUICK).fit(CLASSES.data, names), CLASSES.data),
        "labels": (zg.ConvexMLPClassifier(**QUICK).fit(X, (X[:, :2] > 0.0).astype(int)), X),
        "images": (zg.ConvexCNNClassifier(image_shape=(8, 8), **QUICK).fit(images[:60], labels[:60]), images),
        "chosen": (zg.ConvexMLPRegressorCV(**CHOICE).fit(X, Y), X),
    }


FRESH = """
import pickle, sys, numpy as np
models = pickle.load(open(sys.argv[1], "rb"))
np.savez(sys.argv[2], **{name: model.predict(inputs) for name, (model, inputs) in models.items()})
"""


def test_estimators_survive_pickles_joblib_and_files_across_processes(tmp_path: Path) -> None:
    models = fitted()
    (tmp_path / "models.pkl").write_bytes(pickle.dumps(models))
    paths = [str(tmp_path / part) for part in ("models.pkl", "outputs.npz")]
    subprocess.run([sys.executable, "-c", FRESH, *paths], check=True)
    elsewhere = np.load(tmp_path / "outputs.npz")
    for name, (model, inputs) in models.items():
        expected = model.predict(inputs)
        assert np.array_equal(elsewhere[name], expected), name
        joblib.dump(model, tmp_path / "model.joblib")
        assert np.array_equal(joblib.load(tmp_path / "model.joblib").predict(inputs), expected)
        model.save(tmp_path / "model.safetensors")
        loaded = type(model).load(tmp_path / "model.safetensors")
        assert np.array_equal(loaded.predict(inputs), expected)
        assert loaded.certificate_ == model.certificate_
        assert loaded.n_features_in_ == model.n_features_in_
        assert loaded.get_params() == model.get_params() or name == "chosen"
        assert loaded.score(inputs, expected) == 1.0
        raw = zg.Model.load(tmp_path / "model.safetensors")
        assert np.array_equal(raw.predict(inputs), expected)


def test_files_of_other_estimators_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    zg.ConvexMLPRegressor(**QUICK).fit(X, Y).save(path)
    with pytest.raises(zg.DataFileError, match="ConvexMLPClassifier"):
        zg.ConvexMLPClassifier.load(path)
    zg.ConvexMLPRegressor(**QUICK).fit(X, Y).network_.save(path)
    with pytest.raises(zg.DataFileError, match="ConvexMLPRegressor"):
        zg.ConvexMLPRegressor.load(path)
    with pytest.raises(NotFittedError):
        zg.ConvexMLPRegressor().save(path)


# -- odd data ------------------------------------------------------------------------------------------

NAMES = np.where(np.median(Y) < Y, "high", "low")


@pytest.mark.parametrize(
    "weights", [{"high": 1.0, "low": 5}, {"high": np.float64(2.0), "low": np.int64(1)}, "balanced"]
)
def test_class_weights_are_kept_in_files(weights: Any, tmp_path: Path) -> None:
    model = zg.ConvexMLPClassifier(class_weight=weights, **QUICK).fit(X, NAMES)
    model.save(tmp_path / "model.safetensors")
    loaded = zg.ConvexMLPClassifier.load(tmp_path / "model.safetensors")
    assert loaded.class_weight == weights
    numbers = zg.ConvexMLPClassifier(class_weight={0: 1.0, 1: 5.0}, **QUICK).fit(X, (NAMES == "low").astype(int))
    numbers.save(tmp_path / "numbers.safetensors")
    assert zg.ConvexMLPClassifier.load(tmp_path / "numbers.safetensors").class_weight == {0: 1.0, 1: 5.0}


def test_what_a_file_cannot_keep_is_named(tmp_path: Path) -> None:
    model = zg.ConvexMLPRegressorCV(**CHOICE | {"cv": KFold(2)}).fit(X, Y)
    with pytest.warns(UserWarning, match="^cv of ConvexMLPRegressorCV cannot be kept"):
        model.save(tmp_path / "model.safetensors")


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_array"])
def test_labels_may_be_sparse(form: str) -> None:
    labels = (X[:, :2] > 0.0).astype(int)
    dense = zg.ConvexMLPClassifier(**QUICK).fit(X, labels)
    found = zg.ConvexMLPClassifier(**QUICK).fit(X, getattr(scipy.sparse, form)(labels))
    np.testing.assert_array_equal(found.predict(X), dense.predict(X))


def test_weights_of_duplicates_are_summed_in_any_order() -> None:
    rng = np.random.default_rng(2)
    thrice, targets, weights = np.vstack([X[:40]] * 3), np.tile(Y[:40], 3), rng.random(120)
    first = zg.ConvexMLPRegressor(**QUICK).fit(thrice, targets, sample_weight=weights)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(120)
        again = zg.ConvexMLPRegressor(**QUICK).fit(thrice[order], targets[order], sample_weight=weights[order])
        np.testing.assert_array_equal(again.predict(X), first.predict(X))


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared", "cross_entropy"])
def test_networks_are_judged_on_folds_of_one_class(loss: str) -> None:
    chosen, labels = np.arange(8), np.where(np.arange(8) % 2 == 0, "a", "b")
    model = zg.ConvexMLPClassifierCV(**CHOICE | {"cv": LeaveOneOut()}, loss=loss).fit(X[chosen], labels)
    assert np.isfinite(model.validation_path_).all()


RARE = np.array(["a"] * (len(X) - 1) + ["z"])


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (lambda: zg.ConvexMLPClassifierCV(**CHOICE | {"cv": 3}).fit(X, RARE), ("cv: got a fold", "1 of", "stratified")),
        (lambda: zg.ConvexMLPRegressorCV(**CHOICE | {"cv": GroupKFold(2)}).fit(X, Y), ("GroupKFold", "cv=list(")),
        (
            lambda: zg.ConvexMLPClassifier().fit(X, NAMES, sample_weight=(NAMES == "low") * 1.0),
            ("sample_weight: got positive weights for the class 'low' alone",),
        ),
        (
            lambda: zg.ConvexMLPClassifier(class_weight={"high": 0, "low": 1}).fit(X, NAMES),
            ("class_weight: got positive weights for the class 'low' alone",),
        ),
        (lambda: zg.ConvexMLPClassifier(class_weight={"high": -1, "low": 1}).fit(X, NAMES), ("class_weight", ">= 0")),
        (
            lambda: zg.ConvexMLPRegressor(warm_start=True, **QUICK).fit(X, Y).fit(X[:, :2], Y),
            ("warm_start: got True", "set warm_start=False"),
        ),
    ],
)
def test_what_cannot_be_trained_is_named(fit: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(zg.InputError) as caught:
        fit()
    for word in words:
        assert word in str(caught.value)
