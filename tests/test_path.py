"""Paths: warm starts reach what cold starts reach, figures are those of the certificates, files appear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = np.abs(X[:, 0]) - X[:, 1] + 0.1 * RNG.standard_normal(60)
CLASSES = np.digitize(Y, [-0.3, 1.0])
OPTIONS: dict[str, Any] = {"betas": 6, "ratio": 0.01, "tol": 1e-3}


@pytest.mark.parametrize(
    ("architecture", "targets", "loss"),
    [
        (zg.MLP(), Y, "squared"),
        (zg.MLP(intercept=True), np.sign(Y), "logistic"),
        (zg.MLP(bias=False), np.sign(Y), "hinge"),
        (zg.MLP(), np.stack([Y, -Y], axis=1), "squared"),
        (zg.MLP(), CLASSES, "cross_entropy"),
        (zg.CNN(2, pooling="max"), Y, "squared"),
        (zg.LinearCNN(2), Y, "squared"),
    ],
    ids=["squared", "logistic", "hinge", "outputs", "classes", "maximum", "linear"],
)
def test_every_point_is_as_good_as_a_cold_start(architecture: Any, targets: Any, loss: str) -> None:
    found = zg.path(architecture, X, targets, loss=loss, **OPTIONS)
    assert len(found) == 6
    assert found.betas[-1] == pytest.approx(0.01 * found.betas[0])
    assert np.all(np.diff(found.objectives) < 0.0)
    # At the critical beta no neuron helps.
    assert found.points[0].result.network.width <= 1
    assert np.all(found.bounds <= found.objectives)
    for point in found.points[1::2]:
        cold = zg.train(architecture, X, targets, loss=loss, beta=point.beta, tol=1e-3, prove=False)
        assert point.result.certificate.objective <= cold.certificate.objective * (1.0 + 5e-3)
        assert point.result.certificate.beta == point.beta
        again = point.result.network.objective(X, targets, loss=loss, beta=point.beta)
        assert point.result.certificate.objective == pytest.approx(again, rel=1e-9)


def test_given_betas_fall_and_are_judged_on_other_data() -> None:
    found = zg.path(zg.MLP(), X[:40], Y[:40], betas=[1.0, 10.0, 0.1], tol=1e-2, validation=(X[40:], Y[40:]))
    assert found.betas.tolist() == [10.0, 1.0, 0.1]
    losses = [0.5 * np.mean((point.result.network(X[40:]) - Y[40:]) ** 2) for point in found]
    np.testing.assert_allclose(found.validation, losses)
    assert found.best is found.points[int(np.argmin(losses))]
    assert found.widths.tolist() == [point.result.network.width for point in found]
    assert np.all(found.estimates <= found.objectives)
    with pytest.raises(zg.InputError, match="validation"):
        _ = zg.path(zg.MLP(), X, Y, betas=[1.0], tol=1e-1).best


def test_cells_that_are_listed_are_the_same_all_along() -> None:
    found = zg.path(zg.MLP(bias=False), X[:8, :2], Y[:8], betas=4, arrangements="enumerate", tol=1e-6)
    assert {point.result.certificate.proof for point in found} == {"enumeration"}
    assert max(point.result.certificate.gap for point in found) <= 1e-6
    gated = zg.path(zg.MLP(gated=True), X, Y, betas=3, arrangements=20, tol=1e-3)
    assert {point.result.certificate.scope for point in gated} == {"gated"}


def test_a_path_ends_early() -> None:
    seen: list[float] = []

    def stop(point: zg.PathPoint) -> bool:
        seen.append(point.beta)
        return len(seen) == 2

    assert len(zg.path(zg.MLP(), X, Y, **OPTIONS, callback=stop)) == 2
    assert len(zg.path(zg.MLP(), X, Y, **OPTIONS, max_time=1e-9)) == 1
    # Without anything to learn there is nothing to follow.
    assert zg.path(zg.MLP(), X, np.zeros(60), **OPTIONS).objectives.tolist() == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"betas": 0}, "betas"),
        ({"betas": [1.0, 0.0]}, "betas"),
        ({"betas": "many"}, "betas"),
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.0}, "ratio"),
        ({"validation": X}, "validation"),
        ({"validation": (X, Y[:5])}, "y"),
        ({"callback": 1}, "callback"),
        ({"max_time": 0.0}, "max_time"),
        ({"tol": -1.0}, "tol"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], match: str) -> None:
    with pytest.raises(zg.InputError, match=match):
        zg.path(zg.MLP(), X, Y, **options)


def test_the_command_prints_a_table_and_writes_files(tmp_path: Path, run: Any) -> None:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    common = ("path", "iris:setosa,virginica", "--count", "3", "--ratio", "0.1", "--intercept", "--tol", "1e-2")
    code, text, _ = run(*common, "--out", str(out), "--json", str(figures))
    assert code == 0
    assert "least validation loss at beta" in text
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "path.json", "path.png"]
    contents = json.loads(figures.read_text())
    assert contents == json.loads((out / "path.json").read_text())
    assert [point["beta"] for point in contents["points"]] == sorted(
        (point["beta"] for point in contents["points"]), reverse=True
    )
    model = zg.Model.load(out / "model.safetensors")
    data = zg.load_dataset("iris:setosa,virginica")
    assert np.mean(model.predict(data.X) == np.where(data.y > 0, "virginica", "setosa")) > 0.9
    code, _, error = run("path", "iris", "--count", "0")
    assert code == 2
    assert "--count: got 0" in error


def test_the_picture_has_a_panel_for_validation(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = zg.path(zg.MLP(), X[:40], Y[:40], betas=3, tol=1e-2, validation=(X[40:], Y[40:]))
    found.plot(tmp_path / "with.png")
    zg.path(zg.MLP(), X, Y, betas=3, tol=1e-2).plot(tmp_path / "without.svg")
    assert (tmp_path / "with.png").stat().st_size > 10_000
    assert b"<svg" in (tmp_path / "without.svg").read_bytes()
    with pytest.raises(zg.DataFileError):
        found.plot(tmp_path / "missing" / "path.png")
    with pytest.raises(zg.DataFileError, match="suffix"):
        found.plot(tmp_path / "path.doc")
    assert found[0] is found.points[0]
    assert repr(found).startswith("Path(3 points")
    with pytest.raises(zg.InputError, match="architecture"):
        zg.path("MLP", X, Y)  # type: ignore[arg-type]
