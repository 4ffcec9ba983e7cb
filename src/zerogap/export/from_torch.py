"""from_torch: a torch model as a network."""

from __future__ import annotations

from typing import Any

from zerogap.export.extras import needed_torch
from zerogap.network import Network


def from_torch(model: Any, *, input_shape: Any = None) -> Network:
    """A torch model with two layers of weights as a network, to be certified, improved, pruned or saved.

    Parameters
    ----------
    model : torch.nn.Module
        An ``nn.Sequential``, nested or not, or any module whose forward pass ``torch.fx`` can trace to a chain
        Linear, ReLU or LeakyReLU, Linear; or Conv1d or Conv2d, such an activation or none, at most one
        pooling (max, average, sum; windows side by side, adaptive, or ``x.mean((2, 3))``), Flatten, Linear. Identity
        and Dropout are left out, as in evaluation. It is not altered.
    input_shape : tuple of int, optional
        Of one input in the layout of torch, channels first: ``tuple(X.shape[1:])``. Needed where the layers do not
        tell it. If given, a window that covers all positions is read as a pooling of all positions.

    Returns
    -------
    Network
        With the same weights in float64, none of them scaled. A bias of the first layer makes ``bias=True``, one of
        the last layer ``intercept=True``. Convolutions take inputs with channels last, (n, length, channels) or
        (n, height, width, channels). One output unit is a network of one output, outputs (n,).

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    InputError
        If the model is none of these; the message names the layer. Also if the outputs of the network and of a copy of
        the model in float64 differ on random inputs.
    """
    needed_torch()
    from zerogap.export.reading import read

    return read(model, input_shape).network
