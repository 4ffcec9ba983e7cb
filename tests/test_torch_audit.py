"""Audits of torch models: conversions of objectives, bounds that no model beats, better models, certified heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import zerogap as zg
from zerogap.export import better as better_module

Array = NDArray[np.float64]

torch.set_num_threads(1)


def seeded(*layers: nn.Module, seed: int = 0, scale: float = 0.5) -> nn.Sequential:
    """Layers in float64 with weights that do not depend on what ran before."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def mlp(outputs: int = 1, *, width: int = 8, bias: bool = True, last: bool = True, seed: int = 0) -> nn.Sequential:
    return seeded(nn.Linear(2, width, bias=bias), nn.ReLU(), nn.Linear(width, outputs, bias=last), seed=seed)


def layers_of(model: nn.Module) -> list[Any]:
    """The layers with weights."""
    return [layer for layer in model.modules() if hasattr(layer, "weight")]


def torch_objective(
    model: nn.Module, X: Any, y: Any, criterion: nn.Module, decays: tuple[float, float], biases: tuple[bool, bool]
) -> Any:
    """criterion + weight_decay/2 ||p||^2, written as a user of torch would."""
    total = criterion(model(X), y)
    for layer, decay, biased in zip(layers_of(model), decays, biases, strict=True):
        total = total + 0.5 * decay * (layer.weight**2).sum()
        if biased and layer.bias is not None:
            total = total + 0.5 * decay * (layer.bias**2).sum()
    return total


def descended(model: nn.Module, loss: Any, steps: int = 200) -> float:
    """The objective after L-BFGS."""
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    return float(loss().detach())


def adam(model: nn.Module, criterion: nn.Module, X: Any, y: Any, weight_decay: float, epochs: int = 300) -> None:
    """Full batches."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=weight_decay)
    for _ in range(epochs):
        optimiser.zero_grad()
        criterion(model(X), y).backward()
        optimiser.step()


RNG = np.random.default_rng(0)
X2 = RNG.standard_normal((14, 2))
CLASSES = np.arange(14) % 3
REAL = np.abs(X2[:, 0]) + X2[:, 1] + 2.0
CRITERIA: dict[str, tuple[Any, int, Any, float]] = {
    "MSE mean": (nn.MSELoss(), 1, REAL[:, None], 2.0 / 14),
    "MSE sum": (nn.MSELoss(reduction="sum"), 1, REAL[:, None], 2.0),
    "MSE mean of two": (nn.MSELoss(), 2, np.stack([REAL, X2[:, 0]], axis=1), 2.0 / 28),
    "cross-entropy mean": (nn.CrossEntropyLoss(), 3, CLASSES, 1.0 / 14),
    "cross-entropy sum": (nn.CrossEntropyLoss(reduction="sum"), 3, CLASSES, 1.0),
    "cross-entropy one-hot": (nn.CrossEntropyLoss(), 3, np.eye(3)[CLASSES], 1.0 / 14),
    "class weights mean": (
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)),
        3,
        CLASSES,
        1.0 / (5 * 1.0 + 5 * 2.0 + 4 * 0.5),
    ),
    "class weights one-hot": (
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)),
        3,
        np.eye(3)[CLASSES],
        1.0 / 14,
    ),
    "class weights sum": (
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), reduction="sum"),
        3,
        CLASSES,
        1.0,
    ),
    "logits mean": (nn.BCEWithLogitsLoss(), 1, (REAL[:, None] > 2.5) * 1.0, 1.0 / 14),
    "logits sum": (nn.BCEWithLogitsLoss(reduction="sum"), 1, (REAL[:, None] > 2.5) * 1.0, 1.0),
    "logits mean of two": (nn.BCEWithLogitsLoss(), 2, np.stack([REAL > 2.5, X2[:, 0] > 0], axis=1) * 1.0, 1.0 / 28),
    "soft margin": (nn.SoftMarginLoss(), 1, np.where(REAL[:, None] > 2.5, 1.0, -1.0), 1.0 / 14),
}
"""Criterion, outputs, targets, and what a sum of our losses is multiplied by."""

DECAYS = {
    "all": ((0.02, 0.02), (True, True)),
    "a pair": ((0.02, 0.3), (True, True)),
    "output bias free": ((0.3, 0.02), (True, False)),
    "weights only": ((0.02, 0.05), (False, False)),
}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("name", CRITERIA)
def test_the_objective_of_torch_is_a_multiple_of_ours(name: str, decay: str) -> None:
    criterion, outputs, y, factor = CRITERIA[name]
    decays, biases = DECAYS[decay]
    model = mlp(outputs)
    theirs = float(torch_objective(model, torch.tensor(X2), torch.tensor(y), criterion, decays, biases).detach())
    found = zg.objective_of(criterion, y, outputs=outputs, weight_decay=decays, decay_biases=biases)
    assert found.factor == pytest.approx(factor, rel=1e-14)
    assert found.beta == pytest.approx(np.sqrt(decays[0] * decays[1]) / factor, rel=1e-14)
    network = zg.from_torch(model)
    if not biases[0]:
        free = zg.MLP(bias="free")
        network = zg.Network(free, network.first, network.second, offset=network.offset)
    rescaled = found.rescaled(network)
    np.testing.assert_allclose(rescaled(X2), network(X2), rtol=1e-12)
    ours = rescaled.objective(X2, found.targets, loss=found.loss, beta=found.beta, sample_weight=found.sample_weight)
    constant = 0.5 * decays[1] * float(np.sum(np.square(network.offset))) if biases[1] else 0.0
    assert factor * ours + constant == pytest.approx(theirs, rel=1e-12)
    above = found.above(ours, network)
    assert above >= theirs * (1.0 - 1e-15)
    assert above == pytest.approx(theirs, rel=1e-10)
    back = found.restored(rescaled)
    np.testing.assert_allclose(back.first, network.first, rtol=1e-14)
    np.testing.assert_allclose(back.second, network.second, rtol=1e-14)


def test_weight_decay_of_the_optimisers_is_that_of_the_objective() -> None:
    model = mlp()
    X, y = torch.tensor(X2), torch.tensor(REAL[:, None])
    torch_objective(model, X, y, nn.MSELoss(), (0.1, 0.1), (True, True)).backward()
    wanted = [parameter.detach() - 1e-3 * parameter.grad for parameter in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, weight_decay=0.1)
    optimiser.zero_grad()
    nn.MSELoss()(model(X), y).backward()
    optimiser.step()
    for found, expected in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-12, atol=1e-14)


def test_a_conversion_prints_its_figures() -> None:
    text = str(zg.objective_of(nn.MSELoss(), np.arange(569.0), weight_decay=1e-3))
    assert text == (
        "MSELoss, mean over n = 569 samples and C = 1 output, coupled weight decay lambda = 0.001 (as in SGD and Adam, "
        "not AdamW), biases included: squared loss with beta = n C lambda / 2 = 0.2845; the torch objective is "
        "2 / (n C) = 0.003514938 times ours, plus lambda / 2 c^2 of an output bias c"
    )
    text = str(zg.objective_of(nn.CrossEntropyLoss(), CLASSES, weight_decay=(1e-3, 4e-3), decay_biases=False))
    for words in ("n sqrt(lambda_1 lambda_2) = 0.028;", "1 / n = 0.07142857", "biases not included", "rescaling"):
        assert words in text
    assert "c^2" not in text
    assert "beta = 0.5;" in str(zg.objective_of("squared", REAL, beta=0.5))


@pytest.mark.parametrize(
    ("criterion", "y", "options", "words"),
    [
        (nn.L1Loss(), REAL, {}, ("L1Loss", "MSELoss")),
        ("mse", REAL, {}, ("'mse'", "squared")),
        (nn.MSELoss(reduction="none"), REAL, {}, ("'none'", "'mean'")),
        (nn.CrossEntropyLoss(label_smoothing=0.1), CLASSES, {}, ("label_smoothing=0.1",)),
        (nn.CrossEntropyLoss(ignore_index=1), CLASSES, {}, ("5 samples", "ignore_index 1")),
        (nn.CrossEntropyLoss(weight=torch.ones(2)), CLASSES, {}, ("3 non-negative weights",)),
        (nn.CrossEntropyLoss(), CLASSES, {"outputs": 2}, ("class 2", "2 classes")),
        (nn.CrossEntropyLoss(), np.eye(3)[CLASSES], {"outputs": 4}, ("(14, 3)", "4 classes")),
        (nn.CrossEntropyLoss(), CLASSES, {"outputs": 1}, ("one output", "BCEWithLogitsLoss")),
        (nn.CrossEntropyLoss(), np.full((14, 3), 1.0 / 3.0), {}, ("one-hot",)),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(1)), CLASSES, {}, ("pos_weight", "sample_weight")),
        (nn.BCEWithLogitsLoss(weight=torch.ones(1)), CLASSES, {}, ("a weight",)),
        (nn.BCEWithLogitsLoss(), REAL, {}, ("0 and 1",)),
        (nn.MSELoss(), REAL, {"outputs": 2}, ("(n, 2)",)),
        (nn.MSELoss(), REAL[:, None, None], {}, ("(14, 1, 1)",)),
        (nn.MSELoss(), REAL, {"weight_decay": 0.0}, ("> 0", "bound 0")),
        (nn.MSELoss(), REAL, {"weight_decay": (0.1, 0)}, ("> 0", "bound 0")),
        (nn.MSELoss(), REAL, {"weight_decay": (0.1, 0.1, 0.1)}, ("a pair",)),
        (nn.MSELoss(), REAL, {"weight_decay": -1.0}, ("weight_decay", "-1.0")),
        (nn.MSELoss(), REAL, {"weight_decay": None}, ("neither", "lambda")),
        (nn.MSELoss(), REAL, {"beta": 2.0}, ("both",)),
        (nn.MSELoss(), REAL, {"decay_biases": "yes"}, ("decay_biases", "'yes'")),
    ],
)
def test_objectives_without_counterpart(criterion: Any, y: Any, options: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(zg.InputError) as caught:
        zg.objective_of(criterion, y, **{"weight_decay": 0.1, **options})
    for word in words:
        assert word in str(caught.value)


MODELS = {
    "biases": {"bias": True, "last": True},
    "first bias only": {"bias": True, "last": False},
    "output bias only": {"bias": False, "last": True},
    "no bias": {"bias": False, "last": False},
}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("name", ["MSE mean", "logits mean", "cross-entropy mean", "class weights one-hot"])
@pytest.mark.parametrize("form", MODELS)
def test_no_model_beats_the_bound(form: str, name: str, decay: str) -> None:
    criterion, outputs, y, _ = CRITERIA[name]
    decays, biases = DECAYS[decay]
    X, targets = torch.tensor(X2), torch.tensor(y)
    asked = {"loss": criterion, "weight_decay": decays, "decay_biases": biases}
    model = mlp(outputs, **MODELS[form])
    audit = zg.certify(model, X2, y, **asked, prove=0.1)
    theirs = float(torch_objective(model, X, targets, criterion, decays, biases).detach())
    assert audit.torch_objective == pytest.approx(theirs, rel=1e-9)
    assert audit.scope == "global"
    assert audit.proved
    assert audit.torch_bound <= audit.torch_objective
    assert audit.gap == pytest.approx(1.0 - audit.torch_bound / theirs, rel=1e-9)
    for seed in range(2):
        other = mlp(outputs, **MODELS[form], width=20, seed=seed)
        value = descended(other, lambda other=other: torch_objective(other, X, targets, criterion, decays, biases), 30)
        assert value >= audit.torch_bound


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("name", ["MSE mean", "logits mean"])
def test_better_models_reach_the_bound(name: str, decay: str) -> None:
    criterion, outputs, y, _ = CRITERIA[name]
    decays, biases = DECAYS[decay]
    model = mlp(outputs)
    found = zg.certify(model, X2, y, loss=criterion, weight_decay=decays, decay_biases=biases, prove=1.0).better(
        max_time=2.0, prove=1.0
    )
    assert found.improved
    theirs = torch_objective(found.model, torch.tensor(X2), torch.tensor(y), criterion, decays, biases)
    assert found.measured == pytest.approx(float(theirs.detach()), rel=1e-12)
    assert found.measured <= found.torch_objective
    # The bound counts a decayed output bias as a neuron or as free: it loses half the decay of the first layer at most.
    slack = 0.5 * decays[0] if biases[1] else 0.0
    assert 0.0 <= found.torch_objective - found.torch_bound <= slack + 2e-4 * found.torch_objective
    assert found.certificate.lower_bound <= found.certificate.objective
    for words in ("before", "in torch", "in ours", "scope global"):
        assert words in str(found)


@pytest.mark.parametrize("name", ["logits mean", "cross-entropy mean", "class weights one-hot"])
@pytest.mark.parametrize("biases", [(True, True), (False, True)])
def test_descent_from_the_given_model_is_no_better_than_better(name: str, biases: tuple[bool, bool]) -> None:
    criterion, outputs, y, _ = CRITERIA[name]
    X, targets, model = torch.tensor(X2), torch.tensor(y), mlp(outputs, width=20)
    asked = {"loss": criterion, "weight_decay": 0.02, "decay_biases": biases}
    found = zg.certify(model, X2, y, **asked, prove=False).better(max_time=8.0, prove=False)

    def loss() -> Any:
        return torch_objective(model, X, targets, criterion, (0.02, 0.02), biases)

    assert found.measured_before == pytest.approx(float(loss().detach()), rel=1e-12)
    assert found.measured <= descended(model, loss, 1000) * (1.0 + 1e-4)


def test_the_better_model_stays_where_the_given_one_is() -> None:
    asked = {"loss": nn.MSELoss(), "weight_decay": 0.05, "prove": False}
    for training in (True, False):
        found = zg.certify(mlp().train(training), X2, REAL, **asked).better(max_time=1.0, prove=False)
        assert found.model.training is training
    usual = found.measured
    for setting in (torch.inference_mode(), torch.no_grad(), torch.autocast("cpu"), torch.device("meta")):
        model = mlp()
        with setting:
            again = zg.certify(model, torch.tensor(X2, device="cpu"), REAL, **asked).better(max_time=1.0, prove=False)
        assert again.measured == pytest.approx(usual, rel=1e-3)


def test_tensors_are_data_wherever_arrays_are() -> None:
    y = torch.tensor(REAL, requires_grad=True)
    X = torch.tensor(X2, requires_grad=True)
    found = zg.train(zg.MLP(), X, y, beta=0.5, max_time=1.0, prove=False)
    assert (
        found.certificate.objective
        == zg.train(zg.MLP(), X2, REAL, beta=0.5, max_time=1.0, prove=False).certificate.objective
    )
    np.testing.assert_array_equal(found.network(X), found.network(X2))
    short = torch.tensor(X2).bfloat16()
    np.testing.assert_array_equal(found.network(short), found.network(short.double().numpy()))
    np.testing.assert_array_equal(found.network(torch.tensor(X2).to_sparse()), found.network(X2))


def test_an_optimiser_tells_its_decay() -> None:
    model = mlp()
    first, last = layers_of(model)
    groups = [
        {"params": first.parameters(), "weight_decay": 0.1},
        {"params": [last.weight], "weight_decay": 0.02},
        {"params": [last.bias], "weight_decay": 0.0},
    ]
    asked = {"loss": nn.MSELoss(), "prove": False}
    found = zg.certify(model, X2, REAL, **asked, weight_decay=torch.optim.SGD(groups, lr=0.1))
    wanted = zg.certify(model, X2, REAL, **asked, weight_decay=(0.1, 0.02), decay_biases=(True, False))
    assert (found.torch_objective, found.torch_bound) == (wanted.torch_objective, wanted.torch_bound)
    whole = zg.certify(model, X2, REAL, **asked, weight_decay=torch.optim.Adam(model.parameters(), weight_decay=0.1))
    assert whole.objective.decays == (0.1, 0.1)
    assert whole.objective.decay_biases == (True, True)
    double = torch.tensor(0.1, dtype=torch.float64)
    number = zg.certify(model, X2, REAL, **asked, weight_decay=double, decay_biases=np.True_)
    assert number.torch_objective == whole.torch_objective


@pytest.mark.parametrize(
    ("optimiser", "words"),
    [
        (lambda p: torch.optim.AdamW(p, weight_decay=0.1), ("got AdamW", "coupled", "decoupled")),
        (lambda p: torch.optim.Adam(p, decoupled_weight_decay=True), ("decoupled_weight_decay=True",)),
        (lambda p: torch.optim.SparseAdam(p), ("SparseAdam", "as a number")),
        (lambda p: torch.optim.SGD(mlp().parameters(), weight_decay=0.1), ("other parameters", "layer '0'")),
        (lambda p: torch.optim.Adam(p), ("> 0", "bound 0")),
        (
            lambda p: torch.optim.SGD(
                [{"params": [p[0], *p[2:]]}, {"params": p[1:2], "weight_decay": 0.3}], weight_decay=0.1
            ),
            ("0.3 for the bias of layer '0' and 0.1",),
        ),
    ],
)
def test_optimisers_without_an_objective_of_ours(optimiser: Any, words: tuple[str, ...]) -> None:
    model = mlp()
    with pytest.raises(zg.InputError) as caught:
        zg.certify(model, X2, REAL, loss=nn.MSELoss(), weight_decay=optimiser(list(model.parameters())))
    for word in words:
        assert word in str(caught.value)


def test_the_better_model_of_an_optimal_one_is_not_worse() -> None:
    asked = {"loss": nn.MSELoss(), "weight_decay": 0.05}
    once = zg.certify(mlp(), X2, REAL, **asked, prove=False).better(max_time=1.0, prove=False)
    again = zg.certify(once.model, X2, REAL, **asked, prove=False).better(max_time=0.5, prove=False)
    assert again.measured <= again.measured_before
    assert again.measured_before == once.measured


def test_without_progress_a_copy_of_the_given_model_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def useless(architecture: Any, X: Any, y: Any, **options: Any) -> Any:
        result = zg.train(architecture, X, y, loss=options["loss"], beta=options["beta"], max_time=0.1, prove=False)
        return replace(result, network=result.network.neurons_where(np.zeros(result.network.width, dtype=bool)))

    audit = zg.certify(
        mlp(), X2, REAL, loss=nn.MSELoss(reduction="sum"), weight_decay=0.05, decay_biases=(True, False), prove=False
    )
    best = audit.better(max_time=1.0, prove=False)
    monkeypatch.setattr(better_module, "train", useless)
    given = zg.certify(
        best.model,
        X2,
        REAL,
        loss=nn.MSELoss(reduction="sum"),
        weight_decay=0.05,
        decay_biases=(True, False),
        prove=False,
    )
    found = given.better(prove=False)
    assert not found.improved
    assert found.measured == found.measured_before
    assert found.model is not best.model
    X = torch.tensor(X2)
    assert torch.equal(found.model(X), best.model(X))
    assert "copy of the given one" in str(found)
    assert found.certificate.objective == given.certificate.objective


def test_adam_on_breast_cancer() -> None:
    data = zg.load_dataset("breast_cancer")
    X = torch.tensor((data.X - data.X.mean(axis=0)) / data.X.std(axis=0), dtype=torch.float32)
    y = torch.tensor((data.y + 1.0) / 2.0, dtype=torch.float32)
    model = seeded(nn.Linear(30, 200), nn.ReLU(), nn.Linear(200, 1), nn.Flatten(0), scale=0.1).float()
    criterion = nn.BCEWithLogitsLoss()
    adam(model, criterion, X, y, 1e-3)
    check_audit(model, X, y, criterion)


def test_adam_on_digits() -> None:
    data = zg.load_dataset("digits")
    chosen = np.random.default_rng(0).permutation(len(data.y))[:300]
    X = torch.tensor(data.X[chosen].reshape(300, 64), dtype=torch.float32)
    y = torch.tensor(data.y[chosen].astype(np.int64))
    model = seeded(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 10), scale=0.1).float()
    criterion = nn.CrossEntropyLoss()
    adam(model, criterion, X, y, 1e-3)
    check_audit(model, X, y, criterion)


def check_audit(model: nn.Module, X: Any, y: Any, criterion: nn.Module) -> None:
    """The audit of a model that Adam trained with weight decay 1e-3, and a better one."""
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    audit = zg.certify(model, X, y, loss=criterion, weight_decay=1e-3, prove=False)
    print(audit)
    assert 0.0 < audit.torch_bound < audit.torch_objective
    assert 0.0 < audit.gap < 1.0
    before = float(torch_objective(model, X, y, criterion, (1e-3, 1e-3), (True, True)).detach())
    assert audit.torch_objective == pytest.approx(before, rel=1e-5)
    found = audit.better(max_time=3.0, prove=False)
    print(found)
    after = float(torch_objective(found.model, X, y, criterion, (1e-3, 1e-3), (True, True)).detach())
    assert after < before
    assert found.improved
    assert found.measured == pytest.approx(after, rel=1e-6)
    assert audit.torch_bound <= found.torch_bound <= after
    assert found.model(X).shape == model(X).shape
    assert {parameter.dtype for parameter in found.model.parameters()} == {torch.float32}
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key])


class Net(nn.Module):
    """Images in a row of pixels, outputs (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6 * 9, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.conv(x.view(-1, 1, 8, 8))), 2)
        return self.fc(self.drop(x.flatten(1))).squeeze(-1)


def test_a_convolutional_model_keeps_its_inputs_and_outputs() -> None:
    data = zg.load_dataset("digits:3,8")
    X, y = data.X[:40].reshape(40, 64), data.y[:40]
    model = Net()
    model.load_state_dict({key: value.float() for key, value in seeded(Net())[0].state_dict().items()})
    audit = zg.certify(model, X, torch.tensor(y), loss=nn.SoftMarginLoss(), weight_decay=0.05, prove=False)
    assert model.training
    assert repr(audit.network.architecture).startswith("CNN(")
    found = audit.better(max_time=1.0, prove=False)
    assert found.improved
    outputs = found.model(torch.tensor(X, dtype=torch.float32))
    assert outputs.shape == (40,)
    inputs = X.reshape(40, 8, 8)
    np.testing.assert_allclose(outputs.detach().numpy(), found.network(inputs), atol=1e-5)
    # The outputs of what is certified are those of the model, whose output bias is a neuron there.
    with torch.no_grad():
        theirs = model.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(audit.network(inputs), theirs, atol=1e-5)


POOLINGS = {
    "sum": (nn.AvgPool2d(3, divisor_override=1), 2),
    "average": (nn.AdaptiveAvgPool2d(1), 2),
    "maximum": (nn.AdaptiveMaxPool2d(1), 2),
    "windows": (nn.AvgPool2d((3, 1)), 6),
    "none": (nn.Identity(), 18),
}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_output_bias_is_a_neuron_of_every_pooling(pooling: str) -> None:
    layer, features = POOLINGS[pooling]
    images = np.random.default_rng(3).standard_normal((6, 1, 4, 4))
    model = seeded(nn.Conv2d(1, 2, 2), nn.ReLU(), layer, nn.Flatten(), nn.Linear(features, 2))
    y = np.random.default_rng(4).standard_normal((6, 2))
    audit = zg.certify(model, images, y, loss=nn.MSELoss(), weight_decay=0.1, prove=False)
    theirs = torch_objective(model, torch.tensor(images), torch.tensor(y), nn.MSELoss(), (0.1, 0.1), (True, True))
    assert audit.torch_objective == pytest.approx(float(theirs.detach()), rel=1e-12)
    network = zg.from_torch(model, input_shape=(1, 4, 4))
    objective = zg.objective_of(nn.MSELoss(), y, weight_decay=0.1)
    from zerogap.export.output_bias import OutputBias

    way = OutputBias.ways(objective, network.architecture)[0]
    assert way.is_neuron
    rows = network.architecture.rows(images[:, 0])
    counted = way.counted(network, rows)
    assert not counted.architecture.offset
    np.testing.assert_allclose(counted(images[:, 0]), network(images[:, 0]), rtol=1e-12)
    # At most half the decay of the first layer more.
    ours = counted.objective(images[:, 0], y, beta=objective.beta)
    assert objective.factor * ours <= audit.torch_objective + 0.05 * (1.0 + 1e-12)


def test_a_class_without_samples_needs_no_best_constant() -> None:
    y = np.arange(14) % 2
    audit = zg.certify(mlp(3), X2, y, loss=nn.CrossEntropyLoss(), weight_decay=0.05, prove=0.3)
    assert audit.output_bias.is_neuron
    assert 0.0 < audit.torch_bound < audit.torch_objective
    found = audit.better(max_time=2.0, prove=False)
    assert audit.torch_bound <= found.measured < found.measured_before


def test_our_own_losses_and_beta() -> None:
    model = mlp()
    audit = zg.certify(model, X2, REAL, loss="squared", beta=0.3, prove=0.3)
    network = zg.from_torch(model)
    certificate = zg.certify(network, X2, REAL, beta=0.3, prove=0.3)
    assert audit.certificate.objective == certificate.objective
    assert audit.torch_objective == pytest.approx(certificate.objective, rel=1e-12)
    assert audit.torch_bound == pytest.approx(audit.lower_bound, rel=1e-12)
    assert audit.proof == certificate.proof
    assert str(audit.output_bias) == "free in torch as in ours"
    for words in ("model", "Linear, ReLU, Linear", "width 8", "beta = 0.3", "in torch", "scope global"):
        assert words in str(audit)


def test_tensors_and_arrays_are_the_same_data() -> None:
    asked = {"loss": nn.MSELoss(), "weight_decay": 0.1, "prove": False}
    first = zg.certify(mlp(), X2, REAL, **asked)
    second = zg.certify(mlp(), torch.tensor(X2), torch.tensor(REAL[:, None], requires_grad=True), **asked)
    assert (first.torch_objective, first.torch_bound) == (second.torch_objective, second.torch_bound)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zg.certify(mlp(), X2, REAL, loss=nn.MSELoss(), weight_decay=0.1, beta=0.5), ("both",)),
        (lambda: zg.certify(mlp(), X2, REAL, loss=nn.MSELoss(), weight_decay=0.0), ("bound 0",)),
        (
            lambda: zg.certify(mlp(), X2, REAL, loss=nn.MSELoss(), weight_decay=0.1, sample_weight=np.ones(14)),
            ("sample_weight", "class weights"),
        ),
        (lambda: zg.certify(mlp(), X2, REAL, weight_decay=0.1), ("loss: got nothing", "MSELoss")),
        (
            lambda: zg.certify(mlp(3, bias=False), X2, CLASSES % 2, loss=nn.CrossEntropyLoss(), weight_decay=0.1),
            ("no sample of class 2", "constant", "first layer"),
        ),
        (lambda: zg.certify(mlp().state_dict(), X2, REAL), ("OrderedDict", "torch.nn.Module")),
        (
            lambda: zg.certify(mlp(), torch.tensor(X2, device="meta"), REAL, loss=nn.MSELoss(), weight_decay=0.1),
            ("X: got a tensor on the meta device",),
        ),
        (
            lambda: zg.objective_of(nn.CrossEntropyLoss(weight=torch.zeros(3)), CLASSES, weight_decay=0.1),
            ("weight of CrossEntropyLoss", "positive"),
        ),
        (
            lambda: zg.certify(
                mlp(), X2, REAL, loss=nn.MSELoss(), weight_decay=torch.optim.SGD(mlp().parameters()), decay_biases=True
            ),
            ("decay_biases", "groups"),
        ),
        (lambda: zg.objective_of("squared", REAL, weight_decay=torch.optim.SGD(mlp().parameters())), ("zg.certify",)),
        (lambda: zg.certify(mlp(), X2[:, 0], REAL, loss=nn.MSELoss(), weight_decay=0.1), ("X", "reshape")),
        (lambda: zg.certify(mlp(), X2[:5], REAL, loss=nn.MSELoss(), weight_decay=0.1), ("14 targets",)),
        (lambda: zg.certify(mlp(2), X2, REAL, loss=nn.MSELoss(), weight_decay=0.1), ("(n, 2)",)),
        (lambda: zg.certify(mlp(), X2, CLASSES, loss=nn.CrossEntropyLoss(), weight_decay=0.1), ("one output",)),
        (lambda: zg.certify(nn.Linear(2, 1), X2, REAL, loss=nn.MSELoss(), weight_decay=0.1), ("one layer",)),
        (lambda: zg.certify(zg.from_torch(mlp()), X2, REAL, weight_decay=0.1), ("weight_decay", "zg.objective_of")),
        (lambda: zg.certify(zg.from_torch(mlp()), X2, REAL, decay_biases=True), ("weight_decay", "beta")),
        (
            lambda: zg.certify(mlp(), X2, REAL, loss=nn.MSELoss(), weight_decay=0.1, prove=False).better(max_time=-1),
            ("max_time",),
        ),
    ],
)
def test_audits_that_cannot_be_made(call: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(zg.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def backbone() -> nn.Sequential:
    """A convolutional one with parts that behave differently in training, one of them already in evaluation."""
    model = seeded(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)).float().train()
    model[1].eval()
    return model


DIGITS = zg.load_dataset("digits:3,8")
IMAGES, SIGNS = DIGITS.X[:50, None], DIGITS.y[:50]


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(
    "architecture", [None, zg.MLP(bias=False), zg.CNN(2, pooling="none"), zg.LinearCNN(2), zg.CNN(2, padding=1)]
)
def test_a_head_is_put_back_on_its_backbone(architecture: Any, standardise: bool) -> None:
    standardise = standardise and getattr(architecture, "padding", 0) == 0
    base = backbone()
    found = zg.train_head(
        base,
        IMAGES,
        SIGNS,
        architecture=architecture,
        loss="logistic",
        beta=1.0,
        standardise=standardise,
        batch_size=20,
        tol=1e-2,
        max_time=0.3,
        prove=False,
    )
    assert (base.training, base[1].training, base[3].training) == (True, False, True)
    assert all(parameter.grad is None for parameter in base.parameters())
    assert found.model.backbone is base
    with torch.no_grad():
        outputs = found.model.eval()(torch.tensor(IMAGES, dtype=torch.float32)).numpy()[:, 0]
    ours = found.head(found.features)
    assert np.abs(outputs - ours).max() <= 1e-5 * np.abs(ours).max()
    if standardise:
        flat = found.features.reshape(-1, found.features.shape[-1])
        np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=1e-12)
        assert np.all((np.abs(flat.std(axis=0) - 1.0) < 1e-12) | (flat.std(axis=0) < 1e-6))
    again = zg.certify(found.head, found.features, SIGNS, loss="logistic", beta=1.0, prove=False)
    assert again.objective == pytest.approx(found.certificate.objective, rel=1e-12)
    assert found.certificate.lower_bound <= again.objective


def test_a_head_of_classes_on_vectors() -> None:
    data = zg.load_dataset("iris")
    base = seeded(nn.Linear(4, 6), nn.Tanh()).float()
    found = zg.train_head(base, data.X, data.y, loss="cross_entropy", beta=1.0, tol=1e-2, max_time=0.5, prove=False)
    assert [name for name, _ in found.model.named_children()] == ["backbone", "head"]
    outputs = found.model(torch.tensor(data.X, dtype=torch.float32))
    assert outputs.shape == (150, 3)
    assert float((outputs.argmax(dim=1).numpy() == data.y).mean()) > 0.9


def test_a_head_takes_a_criterion_and_a_decay_of_torch() -> None:
    data = zg.load_dataset("iris")
    base = seeded(nn.Linear(4, 6), nn.Tanh())
    criterion, decays = nn.CrossEntropyLoss(), (0.01, 0.04)
    asked = {"tol": 1e-2, "max_time": 2.0, "prove": False, "standardise": False}
    found = zg.train_head(base, data.X, torch.tensor(data.y), loss=criterion, weight_decay=decays, **asked)
    X, y = torch.tensor(data.X), torch.tensor(data.y).long()
    first, last = layers_of(found.model.get_submodule("head"))
    with torch.no_grad():
        value = criterion(found.model(X), y) + 0.5 * decays[1] * last.weight.square().sum()
        value += 0.5 * decays[0] * (first.weight.square().sum() + first.bias.square().sum())
    assert float(value) == pytest.approx(found.certificate.objective / len(y), rel=1e-9)
    audit = zg.certify(
        found.model.get_submodule("head"),
        found.features,
        y,
        loss=criterion,
        weight_decay=decays,
        decay_biases=(True, False),
        prove=False,
    )
    assert audit.torch_objective == pytest.approx(float(value), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: zg.train_head(
                backbone(), IMAGES, SIGNS, loss=nn.SoftMarginLoss(), weight_decay=0.1, sample_weight=np.ones(50)
            ),
            ("sample_weight", "criterion"),
        ),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, loss=nn.SoftMarginLoss()), ("neither",)),
        (lambda: zg.train_head(backbone(), IMAGES.astype(np.uint8), SIGNS), ("torch.uint8", "X.float()")),
        (lambda: zg.train_head(backbone().to("meta"), IMAGES, SIGNS), ("backbone", "meta device")),
        (lambda: zg.train_head(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), IMAGES, SIGNS), ("call it on data",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, beta=1.0, weight_decay=0.1), ("both",)),
        (lambda: zg.train_head("backbone", IMAGES, SIGNS), ("torch.nn.Module",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, architecture="mlp"), ("zg.MLP()",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, architecture=zg.ThreeLayerCNN(2)), ("two ReLUs",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, architecture=zg.MLP(gated=True)), ("gated",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, architecture=zg.CNN(2, padding=1)), ("standardise=False",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, architecture=zg.CNN((2,))), ("maps", "kernel_size")),
        (lambda: zg.train_head(nn.Flatten(), IMAGES, SIGNS, architecture=zg.CNN(2)), ("(50, 64)", "maps")),
        (lambda: zg.train_head(nn.Flatten(0), IMAGES, SIGNS), ("backbone", "(n, ...)")),
        (lambda: zg.train_head(nn.LSTM(8, 2), IMAGES[:, 0], SIGNS), ("one tensor", "wrap")),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, standardise=1), ("standardise",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, batch_size=0), ("batch_size",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS[:9]), ("9 targets",)),
        (lambda: zg.train_head(backbone(), IMAGES, SIGNS, beta=-1.0), ("beta",)),
    ],
)
def test_heads_that_cannot_be_trained(call: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(zg.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_a_backbone_that_fails_gets_its_modes_back() -> None:
    base = backbone()
    with pytest.raises(zg.InputError, match=r"backbone: got torch.float32 of shape \(50, 8\), which it cannot take"):
        zg.train_head(base, IMAGES[:, 0, 0], SIGNS)
    assert (base.training, base[1].training, base[3].training) == (True, False, True)
