"""Features: what one neuron of an architecture contributes to the outputs, on one data set."""

from zerogap.features.base import Back, Features

__all__ = ["Back", "Features"]
