"""Messages of the library in the words of the command line: options in the place of Python arguments."""

from __future__ import annotations

import re

NAMES = (
    "beta", "bias", "cone_penalty", "depth", "dilation", "gated", "intercept", "kernel_size", "loss", "max_time",
    "normalisation", "padding", "pooling", "prove", "ratio", "readout", "slope", "solver", "stride", "target",
    "test_size", "tied", "tol", "window",
)  # fmt: skip
"""Arguments whose options have their names."""

OTHERS = {"architecture": "--arch", "arrangements": "--cells", "betas": "--count", "random_state": "--seed"}
FLAGS = {name: "--" + name.replace("_", "-") for name in NAMES} | OTHERS
SWITCHES = ("gated", "intercept")
"""Options without a value."""

_GIVEN = re.compile(rf"\b({'|'.join(FLAGS)})=('[^']*'|\"[^\"]*\"|\([^)]*\)|[\w.+-]*\w)")


def in_flags(message: str) -> str:
    """The message of an error, "what: got ..., expected ...; remedy"."""
    what, colon, rest = message.partition(":")
    return FLAGS.get(what, what) + colon + _GIVEN.sub(_flag, rest)


def _flag(found: re.Match[str]) -> str:
    name, value = found.group(1), found.group(2).strip("'\"()").replace(",", "")
    if name in SWITCHES:
        return FLAGS[name] if value == "True" else f"no {FLAGS[name]}"
    return f"{FLAGS[name]} {value.lower() if value in ('True', 'False') else value}"
