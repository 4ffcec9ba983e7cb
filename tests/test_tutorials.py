"""The tutorials run on fewer data and for less time, and what their pages say holds there too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"


def tutorial(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tutorial_{name}", EXAMPLES / f"tutorial_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


# -- is my Adam-trained network optimal? -----------------------------------------------------------


def test_the_audit_of_a_network_within_reach_of_proofs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = tutorial("adam")
    trials = module.main(["--components", "2", "--epochs", "80", "--out", str(tmp_path)])
    assert [trial.output_bias for trial in trials] == [True, False]
    for trial in trials:
        audit, better = trial.audit, trial.better
        assert (audit.scope, audit.proof) == ("global", "branch and bound")
        # The bound is of the problem: no epoch of any run is below it.
        assert audit.torch_bound <= better.torch_objective <= audit.torch_objective
        assert all(audit.torch_bound <= min(curve) for curve in trial.curves.values())
        assert better.improved
        assert better.network.width < module.WIDTH
        # In the arithmetic of torch, written down a second time in the example.
        (X, y), _ = module.data(2)
        with torch.no_grad():
            assert module.objective(better.model, X, y) == pytest.approx(better.measured, rel=1e-12)
        assert trial.curves[module.RATE][-1] == pytest.approx(better.measured_before, rel=1e-12)
    # Without an output bias nothing is lost between the objective of torch and ours.
    assert trials[1].better.gap <= 1.01e-4 < trials[0].better.gap
    assert trials[1].audit.gap == pytest.approx(trials[1].audit.certificate.gap, rel=1e-9)
    text = capsys.readouterr().out
    assert text.count("scope global, proof branch and bound") >= 4
    assert text.count("| branch and bound, scope global |") == 2
    assert (tmp_path / "tutorial-adam.png").stat().st_size > 0


def test_the_audit_of_a_network_out_of_reach(capsys: pytest.CaptureFixture[str]) -> None:
    module = tutorial("adam")
    (trial,) = module.main(["--components", "15", "--epochs", "80", "--seconds", "1"])
    assert (trial.audit.scope, trial.audit.proof) == ("global", "relaxation")
    assert trial.audit.torch_bound <= trial.better.measured <= trial.better.measured_before
    assert trial.audit.gap > 0.1
    assert "proof relaxation" in capsys.readouterr().out


# -- a network without tuning ----------------------------------------------------------------------


def test_a_network_without_tuning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = tutorial("tuning")
    sizes = ["--samples", "80", "--splits", "1", "--seeds", "2", "--betas", "7"]
    tasks, results, path = module.main([*sizes, "--quick", "--out", str(tmp_path)])
    assert [task.name for task in tasks] == list(module.TASKS)
    for splits in results:
        for split in splits:
            assert list(split.scores) == list(split.seconds) == list(module.WAYS)
            chosen = split.chosen
            means = chosen.validation_path_.mean(axis=1)
            # The largest of the betas with the least loss on the folds left out.
            assert chosen.beta_ == chosen.betas_[np.argmin(means)]
            assert np.all(np.diff(chosen.betas_) < 0.0)
            assert split.searched["alpha"] in (1.0, 10.0)
            assert split.scores["MLP, grid"] == pytest.approx(np.mean(split.seeds["MLP, grid"]))
            # Ours hardly depends on luck.
            assert np.ptp(split.seeds["ours, CV"]) <= 0.02
    assert np.all(np.diff(path.objectives) < 0.0)
    assert np.all(path.bounds <= path.objectives)
    assert path.widths[0] == 0 < path.widths[-1]
    assert path.best.validation == min(path.validation)
    assert path.betas[-1] < path.best.beta < path.betas[0]
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith(tuple(f"| {way} |" for way in module.WAYS))]
    assert len(rows) == 2 * len(module.WAYS)
    assert all((tmp_path / name).stat().st_size > 0 for name in ("tutorial-tuning.png", "tutorial-path.png"))


# -- which neurons does my data need? --------------------------------------------------------------


def bends(network: object, step: float = 1e-3) -> np.ndarray:
    """Where the slope of a function of one number changes, from its outputs alone; neighbours count once."""
    grid = np.arange(-6.0, 6.0, step)
    bent = grid[1:-1][np.abs(np.diff(network(grid[:, None]), 2)) > 1e-2 * step]  # type: ignore[operator]
    return bent[np.diff(bent, prepend=-np.inf) > 1e-2]


def test_which_neurons(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = tutorial("neurons")
    betas = ["1", "0.3", "0.1"]
    seen = module.main(["--betas", *betas, "--out", str(tmp_path)])
    X, y = module.line()
    grid = np.linspace(-6.0, 6.0, 2401)
    for point in (*seen.on_line, *seen.in_plane):
        certificate = point.result.certificate
        assert (certificate.scope, certificate.proof) == ("global", "branch and bound")
        assert certificate.lower_bound <= certificate.objective <= certificate.lower_bound * (1.0 + 2.0 * module.TOL)
    for point in seen.on_line:
        network, places = point.result.network, module.kinks(point.result.network)
        assert len(places) <= network.width
        np.testing.assert_allclose(bends(network), places, atol=5e-3)
        # No neuron is worth more than it costs, and those in use are worth that.
        worth = module.prices(network, X, y, grid) / point.beta
        assert worth.max() <= 1.0 + 1e-2
        np.testing.assert_allclose(module.prices(network, X, y, places).max(axis=0), point.beta, rtol=1e-2)
    counts = [len(module.kinks(point.result.network)) for point in seen.on_line]
    assert counts[0] < counts[-1]

    # At the critical beta the price of the best neuron passes beta.
    for factor in (1.01, 0.99):
        found = module.worth(factor * seen.critical[0], X, y)
        assert found.price == pytest.approx(seen.critical[0], rel=1e-6)
        assert found.violated == (factor < 1.0)

    beta, lacking = module.STALLED_BETA, seen.lacking
    worth = module.prices(seen.stalled, X, y, grid)
    assert lacking.violated
    assert lacking.price == pytest.approx(worth.max(), rel=1e-4)
    assert -lacking.direction[1] / lacking.direction[0] == pytest.approx(grid[worth.max(axis=0).argmax()], abs=1e-2)
    before = seen.stalled.objective(X, y, beta=beta)
    assert lacking.result.certificate.lower_bound <= lacking.result.certificate.objective < 0.95 * before

    pruning = seen.pruning
    assert pruning.pruned.width <= len(y) < pruning.wide.width
    assert pruning.at_samples <= 1e-12
    assert pruning.objectives[1] <= pruning.objectives[0]
    assert pruning.between > 1e-4

    assert "a neuron pays" in capsys.readouterr().out
    assert all((tmp_path / name).stat().st_size > 0 for name in ("tutorial-kinks.png", "tutorial-lines.png"))
