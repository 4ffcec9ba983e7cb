"""Model files from strangers: damaged, forged, or no model files at all.

Each is refused by a DataFileError, or it is a model: nothing else is raised, nothing is run, and no memory is taken
that the file does not hold.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zerogap as zg
from models import TABLE, model
from zerogap.cli import main

Header = dict[str, Any]


def parts(path: Path) -> tuple[Header, bytes]:
    """Header and body of a safetensors file."""
    contents = path.read_bytes()
    (size,) = struct.unpack("<Q", contents[:8])
    return json.loads(contents[8 : 8 + size]), contents[8 + size :]


def joined(header: Header | bytes, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def refused(path: Path) -> zg.DataFileError:
    """The error of a file that is refused, with all four parts."""
    with pytest.raises(zg.DataFileError) as caught:
        zg.Model.load(path)
    error = caught.value
    for part in (error.what, error.got, error.expected, error.remedy):
        assert part.strip()
        assert part in str(error)
    return error


def harmless(path: Path) -> bool:
    """Whether the file is a model; such a one predicts, or refuses the inputs."""
    try:
        read = zg.Model.load(path)
    except zg.DataFileError:
        return False
    try:
        read.predict(TABLE)
        if read.probabilistic:
            read.probabilities(TABLE)
    except zg.InputError:
        pass
    return True


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file with everything in it: classes, scaling, certificate."""
    model("a certificate").save(tmp_path / "good.safetensors")
    return tmp_path / "good.safetensors"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return tmp_path / "bad.safetensors"


# -- damage --------------------------------------------------------------------------------------------


def test_every_truncation_is_refused(good: Path, bad: Path) -> None:
    contents = good.read_bytes()
    for size in range(0, len(contents), 5):
        bad.write_bytes(contents[:size])
        refused(bad)
    bad.write_bytes(contents + b"\0" * 8)
    refused(bad)


@pytest.mark.parametrize("name", ["a certificate", "numbers", "classes by number", "images", "three layers", "gated"])
def test_flipped_bits_are_refused_or_leave_a_model(name: str, tmp_path: Path, bad: Path) -> None:
    model(name).save(tmp_path / "good.safetensors")
    contents, rng = (tmp_path / "good.safetensors").read_bytes(), np.random.default_rng(len(name))
    (size,) = struct.unpack("<Q", contents[:8])
    kept = {"header": 0, "body": 0}
    for place, start, stop in 120 * [("header", 0, 8 + size), ("body", 8 + size, len(contents))]:
        damaged = bytearray(contents)
        for position in rng.integers(start, stop, rng.choice([1, 1, 2, 8])):
            damaged[position] ^= 1 << int(rng.integers(8))
        bad.write_bytes(bytes(damaged))
        kept[place] += harmless(bad)
    # Most damage to the header shows; most of that to the weights cannot.
    assert kept["header"] < 60 < kept["body"]


# -- forgery -------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, 0, -1, 2, 3.5, 1e308, 10**30, 10**400, float("nan"), float("inf"), "", "squared", "labels", "\ud800",
    [], [1], [3, 1], ["a", "a"], ["a", "b", "c"], [True, False], [0.5, float("nan")], [2**63, 1], ["\ud800", "b"],
    [[1], [2]], {}, {"name": 1}, "x" * 100_000, [2] * 1000,
]  # fmt: skip
TEXTS = ["", "{", "[" * 100_000, '{"a":' * 100_000, "NaN", "1" * 5000, "\0", '"\\ud800"', "[1] 2"]
SECTIONS = ["architecture", "model", "certificate"]


@pytest.mark.parametrize("section", SECTIONS)
def test_any_value_in_any_place_of_the_header(section: str, good: Path, bad: Path) -> None:
    header, body = parts(good)
    fields = json.loads(header["__metadata__"][section])

    def written(text: str) -> bool:
        header["__metadata__"][section] = text
        bad.write_bytes(joined(header, body))
        return harmless(bad)

    assert written(json.dumps(fields))
    for name in [*fields, "unknown"]:
        for value in VALUES:
            written(json.dumps({**fields, name: value}))
    for name in fields:
        if name not in ("gap", "absolute_gap", "proved", "source", "kind") and section != "architecture":
            assert not written(json.dumps({key: value for key, value in fields.items() if key != name}))
    for value in VALUES:
        written(json.dumps(value))
    for text in TEXTS:
        assert not written(text)


def entry(**changes: Any) -> Callable[[Header], Any]:
    """Change keys of sections of the header: architecture, model or certificate."""

    def change(header: Header) -> None:
        for section, fields in changes.items():
            about = {**json.loads(header["__metadata__"][section]), **fields}
            header["__metadata__"][section] = json.dumps(about)

    return change


def meta(**changes: str) -> Callable[[Header], Any]:
    return lambda header: header["__metadata__"].update(changes)


def array(name: str, **changes: Any) -> Callable[[Header], Any]:
    return lambda header: header[name].update(changes)


def renamed(old: str, new: str) -> Callable[[Header], Any]:
    return lambda header: header.update({new: header.pop(old)})


FORGED: dict[str, tuple[Callable[[Header], Any], str]] = {
    "another format": (meta(format="pt"), "got format 'pt'"),
    "a later version": (meta(format="zerogap-model-2"), "expected zerogap-model-1"),
    "no metadata": (lambda header: header.pop("__metadata__"), "format None"),
    "no architecture": (lambda header: header["__metadata__"].pop("architecture"), "architecture"),
    "no model": (lambda header: header["__metadata__"].pop("model"), "model"),
    "no certificate": (lambda header: header["__metadata__"].pop("certificate"), "certificate"),
    "an unknown architecture": (entry(architecture={"kind": "Transformer"}), "Transformer"),
    "code as an architecture": (entry(architecture={"kind": "__import__('os').system('touch x')"}), "expected one of"),
    "an unknown option": (entry(architecture={"layers": 3}), "options of MLP"),
    "an unknown task": (entry(model={"task": "clustering"}), "clustering"),
    "classes that do not fit": (entry(model={"classes": ["a", "b", "c"]}), "as many as the network tells apart"),
    "classes as text": (entry(model={"classes": "ab"}), "a list"),
    "a loss of two outputs": (entry(model={"loss": "cross_entropy"}), "one output for each class"),
    "a bound above the objective": (entry(certificate={"lower_bound": 1e6}), "from 0 to the objective"),
    "a negative bound": (entry(certificate={"lower_bound": -1.0}), "from 0 to the objective"),
    "a proof of an unknown kind": (entry(certificate={"proof": "trust me"}), "trust me"),
    "a certificate of another network": (entry(certificate={"width": 10**6}), "the certificate of this network"),
    "a certificate of another loss": (entry(certificate={"loss": "hinge"}), "the certificate of this network"),
    "a certificate of another version": (entry(certificate={"format": "zerogap-certificate-99"}), "certificate-99"),
    "a misspelt scaling": (renamed("inputs.centre", "inputs.center"), "inputs.center"),
    "half a scaling": (renamed("inputs.scale", "targets.scale"), "inputs.scale"),
    "a scaling of targets": (renamed("offset", "targets.centre"), "targets.scale"),
    "no first": (renamed("first", "gates"), "first"),
    "an array of unknown use": (renamed("second", "third"), "third"),
    "weights beyond the file": (array("first", shape=[10**6, 10**6]), "readable"),
    "a type that NumPy lacks": (array("offset", dtype="F8_E4M3", shape=[8]), "readable"),
    "complex numbers": (array("offset", dtype="C64"), "complex64"),
    "a scalar offset": (array("offset", shape=[]), "complete contents"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_headers(name: str, good: Path, bad: Path) -> None:
    change, words = FORGED[name]
    header, body = parts(good)
    change(header)
    bad.write_bytes(joined(header, body))
    assert words in str(refused(bad))


NUMBERS: dict[str, tuple[str, Any]] = {
    "weights that are no numbers": ("first", np.nan),
    "infinite weights": ("second", np.inf),
    "a negative scale": ("inputs.scale", -1.0),
    "a scale of zero": ("inputs.scale", 0.0),
    "an infinite centre": ("inputs.centre", -np.inf),
    "an offset without an intercept": ("offset", 1.0),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_forged_numbers(name: str, good: Path, bad: Path) -> None:
    array_name, value = NUMBERS[name]
    header, body = parts(good)
    (start, _), forged = header[array_name]["data_offsets"], bytearray(body)
    forged[start : start + 8] = struct.pack("<d", value)
    bad.write_bytes(joined(header, bytes(forged)))
    assert array_name.split(".")[-1] in str(refused(bad))


def test_a_file_takes_no_more_memory_than_it_holds(bad: Path) -> None:
    """Networks without neurons may declare any number of outputs or layers in a few bytes."""
    about = {
        "task": "regression",
        "loss": None,
        "beta": None,
        "classes": [],
        "shape": [10**9, 10**9],
        "estimator": None,
    }
    deep = {"kind": "CircularCNN", "depth": 10**9, "kernel_size": 10**9, "bias": "free"}
    tracemalloc.start()
    try:
        for config, outputs, offset in (
            ({"kind": "MLP", "bias": "free"}, 10**12, []),
            (deep, 10**12, []),
            (deep, 1, [1]),
        ):
            header = {
                "__metadata__": {
                    "format": "zerogap-model-1",
                    "architecture": json.dumps(config),
                    "model": json.dumps(about),
                    "certificate": "null",
                },
                "first": {"dtype": "F64", "shape": [0, 10**9], "data_offsets": [0, 0]},
                "second": {"dtype": "F64", "shape": [0, outputs], "data_offsets": [0, 0]},
                "offset": {"dtype": "F64", "shape": offset, "data_offsets": [0, 8]},
            }
            bad.write_bytes(joined(header, bytes(8)))
            harmless(bad)
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


def padded(padding: int, stride: int) -> zg.Model:
    return zg.Model(zg.Network(zg.CNN(2, padding=padding, stride=stride), np.ones((1, 5)), np.ones(1)))


@pytest.mark.parametrize(("padding", "stride"), [(10**9, 1), (10**8, 10**8), (10**30, 1), (1, 10**30)])
def test_padding_without_end_is_refused_before_it_is_made(padding: int, stride: int) -> None:
    with pytest.raises(zg.InputError, match=r"padding|stride"):
        padded(padding, stride).predict(np.ones((2, 4, 4)))


# -- other files ---------------------------------------------------------------------------------------


def others(folder: Path, header: Header, body: bytes) -> dict[str, bytes]:
    np.savez(folder / "archive.npz", first=np.ones((2, 4)), second=np.ones(2), offset=np.zeros(1))
    np.save(folder / "array.npy", np.ones(3))
    return {
        "empty": b"",
        "zeros": bytes(1000),
        "text": b"class,x,y\n" * 50,
        "npz": (folder / "archive.npz").read_bytes(),
        "npy": (folder / "array.npy").read_bytes(),
        "a header beyond the file": struct.pack("<Q", 2**63) + json.dumps(header).encode() + body,
        "a header of a gigabyte": struct.pack("<Q", 10**9) + json.dumps(header).encode() + body,
        "a header of nothing": struct.pack("<Q", 0) + body,
        "a header that is no JSON": joined(b"{" * 64, body),
        "a nested header": joined(b'{"a":' * 100_000, body),
        "a header that is a list": joined(b"[]", body),
        "a header that is no text": joined(b"\xff\xfe" * 64, body),
        "metadata that are numbers": joined({**header, "__metadata__": {"format": 1}}, body),
        "a hole in the body": joined(header, body[:-8] + bytes(64)),
    }


def test_files_of_other_kinds(good: Path, bad: Path, tmp_path: Path) -> None:
    for name, contents in others(tmp_path, *parts(good)).items():
        bad.write_bytes(contents)
        assert refused(bad), name


def test_a_pickle_is_not_run(bad: Path, tmp_path: Path) -> None:
    goal = tmp_path / "made by the pickle"

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (goal,)

    for contents in (
        pickle.dumps(Touch()),
        pickle.dumps(Touch(), protocol=0),
        struct.pack("<Q", 200) + pickle.dumps(Touch()),
    ):
        bad.write_bytes(contents)
        refused(bad)
        assert not goal.exists()
    pickle.loads(pickle.dumps(Touch()))
    assert goal.exists()


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "device or pipe" in str(refused(tmp_path / "pipe"))
    assert "device or pipe" in str(refused(Path("/dev/zero")))
    assert "a folder" in str(refused(tmp_path))
    refused(tmp_path / "missing")
    with pytest.raises(zg.InputError):
        zg.Model.load(3)  # type: ignore[arg-type]
    with pytest.raises(zg.InputError):
        zg.Model.load("nul\0byte")


# -- the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["predict", "certify"])
def test_commands_refuse_with_one_message(
    command: str,
    good: Path,
    bad: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    header, body = parts(good)
    files = [*others(tmp_path, header, body).values(), pickle.dumps([1]), good.read_bytes()[:700]]
    for change, _ in FORGED.values():
        header, body = parts(good)
        change(header)
        files.append(joined(header, body))
    for contents in files:
        bad.write_bytes(contents)
        monkeypatch.setattr(sys, "argv", ["zerogap", command, str(bad), "planted:n=9,d=3"])
        with pytest.raises(SystemExit) as caught:
            main()
        out, error = capsys.readouterr()
        assert caught.value.code == 2
        assert out == ""
        assert error.startswith("error: model file")
        assert error.replace("\n", "").isprintable()
        assert "Traceback" not in error


def test_a_refusal_in_a_process_of_its_own(bad: Path) -> None:
    bad.write_bytes(pickle.dumps([1]))
    command = [sys.executable, "-m", "zerogap.cli", "predict", str(bad), "iris"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: model file")
    assert "Traceback" not in ended.stderr


def test_text_of_a_stranger_moves_no_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of classes may hold escape sequences of terminals, or markup."""
    odd = zg.Model(
        model("two classes by name").network, task="classes", classes=("\x1b[2J[bold]", "b\r\x9b1A"), loss="logistic"
    )
    odd.save(tmp_path / "odd.safetensors")
    monkeypatch.setattr(sys, "argv", ["zerogap", "predict", str(tmp_path / "odd.safetensors"), "planted:n=9,d=3"])
    with pytest.raises(SystemExit) as caught:
        main()
    out, error = capsys.readouterr()
    assert caught.value.code == 0
    assert "\\x1b[2J[bold]" in out
    assert not set("\x1b\x9b\r") & set(out + error)
