"""Networks as torch models and back: outputs, weights, layouts, and errors that name a layer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

import zerogap as zg
from plain_networks import CASES, COMPOSITE, channels_first, difference, network_of

Array = NDArray[np.float64]

torch.set_num_threads(1)

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def run(model: nn.Module, X: Array, dtype: torch.dtype = torch.float64) -> Array:
    """Outputs of a model in evaluation mode, in float64."""
    with torch.no_grad():
        return model.eval()(torch.as_tensor(X, dtype=dtype)).to(torch.float64).numpy()


def random_model(*layers: nn.Module, seed: int = 0) -> nn.Sequential:
    """Layers with weights that do not depend on what ran before."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2.0)
    return model


def trained(model: nn.Module, X: Array, steps: int = 20) -> nn.Module:
    """A few steps of Adam towards random targets."""
    inputs = torch.as_tensor(X, dtype=torch.float64)
    targets = torch.as_tensor(np.random.default_rng(1).standard_normal(model(inputs).shape))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.mse_loss(model(inputs), targets).backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_a_network_as_a_torch_model(case: str, dtype: torch.dtype) -> None:
    network, X = network_of(case)
    model = network.to_torch(input_shape=X.shape[1:], dtype=dtype)
    outputs = run(model, channels_first(network.architecture, X), dtype)
    assert outputs.shape == (len(X), network.targets or 1)
    assert difference(network(X), outputs) <= TOLERANCE[dtype]
    plain = (nn.Linear, nn.ReLU, nn.LeakyReLU, nn.Conv1d, nn.Conv2d, nn.Flatten, nn.Unflatten, nn.CircularPad1d)
    assert all(isinstance(layer, plain) or "Pool" in type(layer).__name__ for layer in model)


@pytest.mark.parametrize("case", [case for case in CASES if case not in COMPOSITE])
def test_weight_decay_is_the_same_on_both_sides(case: str) -> None:
    network, X = network_of(case)
    model = network.to_torch(input_shape=X.shape[1:], dtype=torch.float64)
    squares = sum(float(parameter.detach().square().sum()) for parameter in model.parameters())
    ours = np.sum(network.first**2) + np.sum(network.second**2) + np.sum(np.square(network.offset))
    np.testing.assert_allclose(squares, ours, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_round_trip_of_trained_models(case: str) -> None:
    network, X = network_of(case)
    inputs = channels_first(network.architecture, X)
    model = trained(network.to_torch(input_shape=X.shape[1:], dtype=torch.float64), inputs)
    back = zg.from_torch(model, input_shape=inputs.shape[1:])
    assert difference(back(X), run(model, inputs)) <= 1e-12
    again = back.to_torch(input_shape=X.shape[1:], dtype=torch.float64)
    assert difference(back(X), run(again, inputs)) <= 1e-12
    for ours, theirs in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    if case not in COMPOSITE:
        assert back.first.shape == network.first.shape
        assert back.second.shape == network.second.shape
        assert (
            difference(network(X), run(network.to_torch(input_shape=X.shape[1:], dtype=torch.float64), inputs)) < 1e-12
        )


@pytest.mark.parametrize(
    "case",
    [case for case, (architecture, _, _) in CASES.items() if architecture.bias != "free" and case not in COMPOSITE],
)
def test_the_architecture_survives(case: str) -> None:
    network, X = network_of(case)
    inputs = channels_first(network.architecture, X)
    back = zg.from_torch(network.to_torch(input_shape=X.shape[1:], dtype=torch.float64), input_shape=inputs.shape[1:])
    y = np.linspace(-1.0, 1.0, X.shape[0] * (network.targets or 1)).reshape(network(X).shape)
    assert back.objective(X, y, beta=0.3) == pytest.approx(network.objective(X, y, beta=0.3), rel=1e-12)
    for name in ("pooling", "window", "readout", "slope", "bias", "intercept", "depth", "stride", "padding"):
        assert getattr(back.architecture, name, None) == getattr(network.architecture, name, None)


@pytest.mark.parametrize(
    ("architecture", "images"),
    [(zg.MLP(intercept=True), False), (zg.CNN(2, pooling="max"), True), (zg.LinearCNN(2), True)],
)
def test_networks_of_ours_after_training(architecture: Any, images: bool) -> None:
    data = zg.load_dataset("digits:3,8" if images else "wine:class_0,class_1")
    X, y = data.X[:80:2], data.y[:80:2]
    X = X if images else (X - X.mean(axis=0)) / X.std(axis=0)
    network = zg.train(architecture, X, y, beta=0.5, tol=1e-2, max_time=1.0, prove=False).network
    assert network.width > 0
    for dtype, tolerance in TOLERANCE.items():
        model = network.to_torch(dtype=dtype)
        assert difference(network(X), run(model, channels_first(architecture, X), dtype)) <= tolerance
    back = zg.from_torch(network.to_torch(dtype=torch.float64))
    assert difference(network(X), back(X)) <= 1e-12


def test_float32_is_the_default_and_weights_are_parameters() -> None:
    network, _ = network_of("mlp")
    model = network.to_torch()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())


def test_the_random_numbers_of_the_user_stay_where_they_are() -> None:
    network, X = network_of("maximum of images")
    state = torch.get_rng_state()
    zg.from_torch(network.to_torch(input_shape=X.shape[1:]))
    assert torch.equal(state, torch.get_rng_state())


def test_networks_without_neurons() -> None:
    for architecture, shape in (
        (zg.MLP(intercept=True), (3,)),
        (zg.CNN(2, pooling="none"), (4, 4)),
        (zg.CircularCNN(), (5,)),
    ):
        X = np.random.default_rng(0).standard_normal((8, *shape))
        network = zg.train(architecture, X, np.arange(8.0), beta=1e4).network
        assert network.width == 0
        model = network.to_torch(input_shape=shape, dtype=torch.float64)
        np.testing.assert_allclose(run(model, channels_first(architecture, X))[:, 0], network(X), atol=1e-14)
        assert model[-1].in_features >= 1


@pytest.mark.parametrize(
    "case", ["no pooling", "windows of maxima", "average of images", "sum of series", "circular", "linear"]
)
def test_the_shape_of_inputs_is_found(case: str) -> None:
    network, X = network_of(case)
    inputs = channels_first(network.architecture, X)
    back = zg.from_torch(network.to_torch(input_shape=X.shape[1:], dtype=torch.float64))
    assert difference(network(X), back(X)) <= 1e-12
    assert difference(back(X), run(network.to_torch(input_shape=X.shape[1:], dtype=torch.float64), inputs)) <= 1e-12


class Views(nn.Module):
    """As in the tutorials of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4 * 2 * 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = x.view(x.size(0), -1)
        return self.fc(functional.dropout(self.drop(x), training=self.training))


class Means(nn.Module):
    """Means over positions, methods in the place of modules, one output without its axis."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.Sequential(nn.Identity()))
        self.fc = nn.Linear(4, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).relu()
        x = torch.mean(x, dim=(-2, -1))
        b, c = x.shape
        return self.fc(x.reshape(b, c)).squeeze(1)


class Maxima(nn.Module):
    """The maximum before the activation, over everything; leaky."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, bias=False)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(functional.adaptive_max_pool2d(self.conv(x), 1), 0.1)
        return self.fc(torch.flatten(x, 1))


class Sums(nn.Module):
    """Sums over positions, of an image in one row."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, (2, 3))
        self.fc = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x.view(-1, 2, 6, 6))).sum((2, 3)))[:, 0]


MODULES: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "views": (Views, (2, 6, 6), "CNN(intercept=True, kernel_size=3, pooling='max', window=2)"),
    "means": (Means, (2, 6, 6), "CNN(kernel_size=3, padding=1, pooling='average')"),
    "maxima": (Maxima, (2, 6, 6), "CNN(bias=False, intercept=True, slope=0.1, kernel_size=3, pooling='max')"),
    "sums": (Sums, (72,), "CNN(intercept=True, kernel_size=(2, 3))"),
    "images as vectors": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.ReLU(), nn.Linear(5, 3)),
        (2, 6, 6),
        "MLP(intercept=True)",
    ),
    "adaptive windows": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(12, 1)
        ),
        (2, 6, 6),
        "CNN(intercept=True, kernel_size=3, pooling='average', window=2)",
    ),
    "pooled everything": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(4, stride=1), nn.Flatten(), nn.Linear(3, 1)),
        (2, 6, 6),
        "CNN(intercept=True, kernel_size=3, pooling='average')",
    ),
    "one position": (
        lambda: nn.Sequential(nn.Conv1d(2, 3, 6), nn.ReLU(), nn.Flatten(), nn.Linear(3, 1)),
        (2, 6),
        "CNN(intercept=True, kernel_size=(6,))",
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_forward_passes_are_traced(name: str) -> None:
    build, shape, architecture = MODULES[name]
    model = random_model(build(), seed=1)[0].float().train()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    network = zg.from_torch(model, input_shape=shape)
    assert repr(network.architecture) == architecture
    assert model.training
    assert all(part.training for part in model.modules())
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key])
        assert value.dtype == torch.float32
    X = np.random.default_rng(0).standard_normal((11, *shape))
    flat = network.architecture.flat
    inner = (2, 6, 6) if len(shape) != 2 else shape
    inputs = X.reshape(11, -1) if flat else np.moveaxis(X.reshape(11, *inner), 1, -1)
    assert difference(network(inputs), run(model.double(), X)) <= 1e-12


def test_float32_weights_are_taken_over_exactly() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network = zg.from_torch(model)
    assert np.array_equal(network.first[:, :3].astype(np.float32), model[0].weight.detach().numpy())
    assert np.array_equal(network.first[:, :3], model[0].weight.detach().double().numpy())
    assert np.array_equal(network.offset, model[2].bias.detach().double().numpy())


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(functional.relu(self.a(x) + self.b(x)))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(functional.relu(self.fc(x)))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(functional.relu(2.0 * self.a(x)))


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    model[0].register_forward_hook(lambda module, inputs, output: 2.0 * output)
    return model


def conv(*layers: nn.Module, features: int = 27, **options: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3, **options), *layers, nn.Flatten(), nn.Linear(features, 1))


def clipped(way: str) -> nn.Module:
    """A model that is its layers on small inputs only."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    if way == "hook":
        model[1].register_forward_hook(lambda module, inputs, output: output.clamp(max=100.0))
    else:
        model[1].forward = lambda x: x.clamp(0.0, 100.0)  # type: ignore[method-assign]
    return model


IMAGES = (2, 5, 5)
UNSUPPORTED: dict[str, tuple[Any, tuple[int, ...] | None, tuple[str, ...]]] = {
    "three layers": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)),
        (3,),
        ("'3'", "ReLU", "train_head"),
    ),
    "two convolutions": (
        lambda: conv(nn.ReLU(), nn.Conv2d(3, 3, 1)),
        IMAGES,
        ("'2'", "Conv2d", "train_head"),
    ),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)),
        (3,),
        ("'1'", "BatchNorm1d", "train_head", "fold"),
    ),
    "another activation": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)),
        (3,),
        ("'1'", "Tanh", "LeakyReLU"),
    ),
    "a steep slope": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(1.5), nn.Linear(4, 1)),
        (3,),
        ("'1'", "negative_slope 1.5"),
    ),
    "softmax": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(1)),
        (3,),
        ("'3'", "Softmax", "CrossEntropyLoss"),
    ),
    "one layer": (lambda: nn.Linear(3, 1), (3,), ("one layer", "convex")),
    "no activation": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), (3,), ("'1'", "Linear", "ReLU")),
    "activation of the inputs": (lambda: nn.Sequential(nn.ReLU(), nn.Linear(3, 1)), (3,), ("'0'", "of the inputs")),
    "groups": (lambda: conv(nn.ReLU(), features=36, groups=1, padding_mode="reflect"), IMAGES, ("'0'", "reflect")),
    "overlapping windows": (
        lambda: conv(nn.ReLU(), nn.MaxPool2d(2, stride=1), features=12),
        IMAGES,
        ("'2'", "MaxPool2d", "stride = kernel_size"),
    ),
    "two poolings": (
        lambda: conv(nn.ReLU(), nn.MaxPool2d(3), nn.MaxPool2d(1), nn.AdaptiveAvgPool2d(1), features=3),
        (2, 8, 8),
        ("'4'", "AdaptiveAvgPool2d", "one pooling"),
    ),
    "an average before the activation": (
        lambda: conv(nn.AvgPool2d(3), nn.ReLU(), features=3),
        IMAGES,
        ("'2'", "ReLU", "before the pooling"),
    ),
    "a maximum without activation": (lambda: conv(nn.MaxPool2d(3), features=3), IMAGES, ("'0'", "Conv2d", "ReLU")),
    "windows that do not fit": (
        lambda: conv(nn.ReLU(), nn.AdaptiveAvgPool2d(2), features=12),
        IMAGES,
        ("'2'", "overlap"),
    ),
    "parametrised": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 1)),
        (3,),
        ("'0'", "remove_parametrizations"),
    ),
    "branches": (Branches, (3,), ("'b'", "Linear", "layer before")),
    "control flow": (Branching, (3,), ("Branching", "torch.fx", "nn.Sequential")),
    "a layer twice": (Twice, (3,), ("'fc'", "earlier layer")),
    "arithmetic": (Scaled, (3,), ("mul", "operation")),
    "a circular padding of vectors": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 3)), nn.CircularPad1d((0, 1)), nn.Flatten(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1)
        ),
        (3,),
        ("'3'", "circular padding"),
    ),
    "hooks": (hooked, (3,), ("'0'", "hooks", "handle.remove()")),
    "hooks that show on large inputs only": (lambda: clipped("hook"), (3,), ("'1'", "ReLU", "hooks")),
    "a replaced forward": (lambda: clipped("forward"), (3,), ("'1'", "ReLU", "replaced forward")),
    "complex weights": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).to(torch.complex64),
        (3,),
        ("'0'", "complex"),
    ),
    "no units": (lambda: nn.Sequential(nn.Linear(3, 0), nn.ReLU(), nn.Linear(0, 1)), (3,), ("'0'", "empty weight")),
    "lazy layers": (
        lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1)),
        (3,),
        ("'0'", "LazyLinear", "call the model"),
    ),
    "windows beyond the grid": (
        lambda: conv(nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), features=12),
        None,
        ("'2'", "ceil_mode=True"),
    ),
    "an embedding": (
        lambda: nn.Sequential(nn.Embedding(3, 4), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 1)),
        (3,),
        ("'0'", "Embedding", "train_head"),
    ),
    "a recurrent layer": (lambda: nn.LSTM(3, 2), (3,), ("LSTM",)),
    "a wrong shape": (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), (4,), ("'0'", "input_shape")),
    "windows of unknown size": (
        lambda: conv(nn.ReLU(), nn.AdaptiveAvgPool2d(2), features=12),
        None,
        ("'2'", "AdaptiveAvgPool2d", "input_shape"),
    ),
    "no shape": (lambda: conv(nn.ReLU(), features=3 * 61 * 59), None, ("input_shape", "channels first")),
    "three dimensions": (
        lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1)),
        (1, 2, 2, 2),
        ("'0'", "Conv3d"),
    ),
}


@pytest.mark.filterwarnings("ignore:Complex modules", "ignore:Initializing zero-element")
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_models_are_refused_by_the_name_of_the_layer(name: str) -> None:
    build, shape, words = UNSUPPORTED[name]
    with pytest.raises(zg.InputError) as caught:
        zg.from_torch(build(), input_shape=shape)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zg.from_torch("model"), ("torch.nn.Module",)),
        (lambda: zg.from_torch(Views(), input_shape=3), ("input_shape", "tuple(X.shape[1:])")),
        (lambda: network_of("mlp")[0].to_torch(dtype=np.float32), ("dtype", "torch.float64")),
        (lambda: network_of("mlp")[0].to_torch(dtype=torch.int64), ("dtype", "floating-point")),
        (lambda: network_of("mlp")[0].to_torch(input_shape=(4,)), ("inputs for neurons with 5",)),
        (lambda: network_of("sum of images")[0].to_torch(), ("input_shape", "count")),
        (lambda: network_of("sum of images")[0].to_torch(input_shape="wide"), ("input_shape", "integers")),
        (lambda: zg.Network(zg.MLP(), [[1e300, 1.0]], [1.0]).to_torch(), ("dtype", "1e+300")),
        (lambda: zg.Network(zg.CNN(1, bias=False), [[1.0]], [1.0]).to_torch(), ("input_shape", "series and images")),
        (lambda: zg.Network(zg.CNN(2, pooling="none"), np.ones((0, 5)), []).to_torch(), ("without neurons",)),
        (
            lambda: zg.Network(zg.MLP(gated=True), [[1.0, 1.0]], [1.0], gates=[[1.0, 0.0]]).to_torch(),
            ("gated", "pattern", "Network.save"),
        ),
        (
            lambda: zg.Network(zg.ThreeLayerCNN(1, bias=False), [[1.0]], [1.0], filters=[[[1.0]]]).to_torch(),
            ("ThreeLayerCNN", "two ReLUs"),
        ),
    ],
)
def test_what_cannot_be_exported(call: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(zg.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "onnxruntime"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import numpy as np
import zerogap as zg
from zerogap import *

X = np.arange(12.0).reshape(6, 2)
network = zg.train(zg.MLP(), X, X[:, 0], beta=1.0, arrangements=5).network
assert zg.certify(network, X, X[:, 0], beta=1.0, prove=False).objective > 0.0
for call, extra in (
    (lambda: network.to_torch(), "torch"),
    (lambda: zg.from_torch(None), "torch"),
    (lambda: zg.train_head(None, X, X[:, 0]), "torch"),
    (lambda: zg.objective_of(object(), X[:, 0], weight_decay=1.0), "torch"),
    (lambda: network.to_onnx("network.onnx"), "onnx"),
):
    try:
        call()
    except zg.MissingExtraError as error:
        assert f"pip install 'zerogap[{extra}]'" in str(error), error
    else:
        raise SystemExit(f"no error without {extra}")
print(zg.objective_of("squared", X[:, 0], beta=1.0))
"""


def test_everything_else_works_without_torch_and_onnx() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "squared loss with beta = 1" in done.stdout


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, zerogap as zg; zg.certify, zg.Network, zg.from_torch, zg.Audit, zg.train_head; "
    code += "print([name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
