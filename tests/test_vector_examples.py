"""The examples with several outputs run, on fewer data and for less time than when their pictures were made."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text: str) -> dict[str, list[str]]:
    """The rows of all tables, by their first entry."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines if line[0]}


def relative(found: dict[str, list[str]], name: str) -> list[float]:
    """How far the values of a row are from the optimum."""
    return [float(value) for value in re.split(" to ", found[name][1])]


def test_random_outputs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = example("random_outputs")
    X, Y = module.data()
    monkeypatch.setattr(module, "data", lambda: (X[:8], Y[:8]))
    monkeypatch.setattr(module, "METHODS", {"sgd": (1e-4, (2, 5)), "adam": (0.1, (2, 5))})
    monkeypatch.setattr(module, "WIDTHS", (3,))
    monkeypatch.setattr(module, "SEEDS", 2)
    picture = tmp_path / "random.png"
    monkeypatch.setattr(sys, "argv", ["random_outputs", "--picture", str(picture), "--limit", "0.1", "--beta", "1"])
    module.main()
    found = rows(capsys.readouterr().out)
    for name in ('zg.train, "enumerate", tol 1e-4', 'zg.train, "generate", tol 1e-4', "program, doubly_nonnegative"):
        assert abs(relative(found, name)[0]) <= 1e-4
    assert relative(found, "program, psd")[0] < 0.0
    assert min(relative(found, "SGD, 3 neurons, best and worst of 2")) > 0.0
    assert sum(name.startswith("Frank-Wolfe") for name in found) == 3
    assert picture.stat().st_size > 0


def test_the_spiral(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = example("spiral")
    X, classes = module.data()
    monkeypatch.setattr(module, "data", lambda: (X[::6], classes[::6]))
    for name, value in {"BETAS": (0.1,), "WIDTHS": (3,), "SEEDS": 2, "EPOCHS": 5, "CLOSE": 0.1}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(sys, "argv", ["spiral", "--picture", str(tmp_path / "spiral.png"), "--limit", "1"])
    module.main()
    text = capsys.readouterr().out
    found = rows(text)
    for name in found:
        if name.startswith(("zg.train", "program, doubly")):
            assert abs(relative(found, name)[0]) <= 1e-4
        elif name.startswith(("Frank-Wolfe", "SGD")):
            assert min(relative(found, name)) > 0.0
    assert len(found) == 7
    assert "cross-entropy, with bias" in text
    assert (tmp_path / "spiral.png").stat().st_size > 0


def test_image_classes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = example("image_classes")
    for name, value in {"BETAS": (1.0,), "RATES": (0.03,), "WIDTHS": (5,), "PASSES": 9}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setitem(module.CASES, "digits, MLP", (*module.CASES["digits, MLP"][:3], (3, 1)))
    grid = {"hidden_layer_sizes": [(5,)], "alpha": [1.0], "learning_rate_init": [1e-2]}
    monkeypatch.setattr(module, "GRID", grid)
    output = tmp_path / "classes.json"
    arguments = ["--quick", "--seconds", "0.1", "--json", str(output), "--only", "digits, MLP"]
    monkeypatch.setattr(sys, "argv", ["image_classes", *arguments])
    module.main()
    found = rows(capsys.readouterr().out)
    assert len(found["digits, MLP"]) == module.HEADER.count("|") - 2
    assert found["MLPClassifier"][0] == "alpha 1.0, hidden_layer_sizes (5,), learning_rate_init 0.01"
    assert output.stat().st_size > 0
