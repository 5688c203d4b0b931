"""A linear map of the channels, taken up by the layers that read it."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense import Linear

from graphkit.words import refuse_class

__all__ = ["fold"]

READERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, Linear)
OF_EDGES = ("lin_edge",)


@torch.no_grad()
def fold(block: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    """Changes a block in place so that it maps :math:`x` to what it gave for :math:`Ax + b`.

    Nothing is checked: it is right for blocks whose first layers are linear in the channels,
    such as average pooling, flattening and at last a convolution, a linear layer or a
    message-passing layer; with a bias also only without zero padding.

    Args:
        block (torch.nn.Module): The block.
        weight (torch.Tensor): :math:`A`.
        bias (torch.Tensor, optional): :math:`b`.

    Shapes:
        - **input:** :math:`(C, C)`, :math:`(C)`

    Raises:
        ValueError: If the first layer with weights is neither a convolution in one group nor
            linear.

    Example:
        >>> import torch
        >>> from graphkit.compress import fold
        >>> layer, x = torch.nn.Linear(2, 3), torch.rand(4, 2)
        >>> A = torch.rand(2, 2)
        >>> before = layer(x @ A.t())
        >>> fold(layer, A)
        >>> torch.allclose(layer(x), before, atol=1e-6)
        True
    """
    refuse_class("block", block)
    for layer in readers(block, len(weight)):
        spread = layer.weight.reshape(len(layer.weight), len(weight), -1)
        if bias is not None:
            shift = torch.einsum("ocp,c->o", spread, bias)
            layer.bias = nn.Parameter(shift if layer.bias is None else layer.bias + shift)
        folded = torch.einsum("ocp,cd->odp", spread, weight)
        layer.weight.copy_(folded.reshape(layer.weight.shape))


def readers(block: Any, channels: int) -> list[Any]:
    """The convolutions and linear layers that read the input of a block."""
    if isinstance(block, READERS):
        width, groups = block.weight.size(1), getattr(block, "groups", 1)
        if width % channels or groups != 1:
            raise ValueError(f"{block} cannot take up a map of {channels} channels")
        return [block]
    weighty = {n: c for n, c in block.named_children() if any(True for _ in c.parameters())}
    if isinstance(block, MessagePassing):
        inner = [child for name, child in weighty.items() if name not in OF_EDGES]
        lists = ([*child] if isinstance(child, nn.ModuleList) else [child] for child in inner)
        return [layer for child in chain(*lists) for layer in readers(child, channels)]
    if not weighty or any(True for _ in block.parameters(recurse=False)):
        raise ValueError(f"{type(block).__name__} does not begin with a linear layer")
    return readers(next(iter(weighty.values())), channels)
