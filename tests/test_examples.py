"""The examples run, on fewer data and for less time than when their pictures were made."""

from __future__ import annotations

import importlib.util
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


def test_the_circular_toy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = example("circular_toy")
    monkeypatch.setattr(module, "EPOCHS", (5, 10))
    monkeypatch.setattr(module, "WIDTHS", (3,))
    monkeypatch.setattr(sys, "argv", ["circular_toy", "--picture", str(tmp_path / "toy.png"), "--limit", "5"])
    module.main()
    text = capsys.readouterr().out
    assert "proof enumeration" in text
    assert "proof relaxation" in text
    assert (tmp_path / "toy.png").stat().st_size > 0


def test_circular_images(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = example("circular_images")
    monkeypatch.setattr(module, "STEPS", (3, 10))
    monkeypatch.setattr(sys, "argv", ["circular_images", "--limit", "2", "--picture", str(tmp_path / "images.png")])
    module.main()
    assert capsys.readouterr().out.count("test accuracy") == 4
    assert (tmp_path / "images.png").stat().st_size > 0


def test_every_cnn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = example("every_cnn")
    names = ["D linear, sum", "E circular, linear", "B max over 2 x 2"]
    arguments = ["--limit", "3", "--descent", "0.3", "--data", "digits:3,8", "--json", str(tmp_path / "table.json")]
    monkeypatch.setattr(sys, "argv", ["every_cnn", "--only", *names, *arguments])
    module.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ") and "objective" not in line]
    assert [line.split(" | ")[0] for line in lines] == [f"| {name}" for name in names]
