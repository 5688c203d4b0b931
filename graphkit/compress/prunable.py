"""Layers whose channels can be taken out: how wide they are, and what is cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv
from torch_geometric.nn.dense import Linear

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Rule(ABC):
    """What is known about one kind of layer."""

    at: int
    """The dimension of channels, in inputs and outputs."""

    @abstractmethod
    def width(self, layer: Any) -> int:
        """How many output channels there are to choose from."""

    @abstractmethod
    def channels(self, layer: Any) -> Tensor:
        """The channel that each place of the output belongs to."""

    @abstractmethod
    def cut(self, layer: Any, out: Tensor, into: Tensor) -> None:
        """Leaves some output channels and some places of the input."""

    @abstractmethod
    def kernels(self, layer: Any) -> Tensor:
        """The weights by output channel and place of the input, ``[O, I, K]``."""


class Plain(Rule):
    """Linear layers and convolutions in one group."""

    def __init__(self, at: int) -> None:
        self.at = at

    def width(self, layer: Any) -> int:
        return int(layer.weight.size(0))

    def channels(self, layer: Any) -> Tensor:
        return torch.arange(self.width(layer), device=layer.weight.device)

    def cut(self, layer: Any, out: Tensor, into: Tensor) -> None:
        replace(layer, "weight", layer.weight[out][:, into])
        replace(layer, "bias", None if layer.bias is None else layer.bias[out])
        note_width(layer, len(out), len(into))

    def kernels(self, layer: Any) -> Tensor:
        return layer.weight.flatten(2) if layer.weight.dim() > 2 else layer.weight.unsqueeze(2)


class Attention(Rule):
    """GATConv: a channel is taken out of every head, and out of the scores."""

    at = -1

    def width(self, layer: Any) -> int:
        return int(layer.out_channels)

    def channels(self, layer: Any) -> Tensor:
        own = torch.arange(self.width(layer), device=layer.att_src.device)
        return own.repeat(layer.heads) if layer.concat else own

    def rows(self, layer: Any, out: Tensor) -> Tensor:
        """Rows of the projection: all heads, one after the other."""
        first = torch.arange(layer.heads, device=out.device).unsqueeze(1) * layer.out_channels
        return (first + out).flatten()

    def cut(self, layer: Any, out: Tensor, into: Tensor) -> None:
        rows = self.rows(layer, out)
        after = rows if layer.concat else out
        everything = {"lin": (rows, into), "res": (after, into), "lin_edge": (rows, None)}
        for name, (first, second) in everything.items():
            lin = getattr(layer, name)
            if lin is not None:
                weight = lin.weight[first]
                replace(lin, "weight", weight if second is None else weight[:, second])
                note_width(lin, len(first), lin.weight.size(1))
        for name in ("att_src", "att_dst", "att_edge"):
            scores = getattr(layer, name)
            replace(layer, name, None if scores is None else scores[:, :, out])
        replace(layer, "bias", None if layer.bias is None else layer.bias[after])
        note_width(layer, len(out), len(into))

    def kernels(self, layer: Any) -> Tensor:
        weight = layer.lin.weight
        return weight.view(layer.heads, layer.out_channels, -1).permute(1, 2, 0)


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer whose channels can be chosen; none for all others."""
    if isinstance(layer, nn.Linear | Linear):
        return Plain(-1)
    if isinstance(layer, CONVOLUTIONS):
        return Plain(1) if layer.groups == 1 else None
    if isinstance(layer, GATConv):
        return Attention() if layer.lin is not None else None
    return None


def follows(layer: nn.Module, width: int) -> list[str] | None:
    """Names of a layer's own tensors with an entry per channel, for a layer that keeps channels
    apart; :obj:`None` if something of it has another shape.
    """
    named = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
    grouped = isinstance(layer, CONVOLUTIONS) and layer.groups == layer.out_channels == width
    names = []
    for name, value in named:
        if grouped or (value.dim() == 1 and len(value) == width):
            names.append(name)
        elif value.numel() > 1:
            return None
    return names


def cut_follower(layer: Any, names: list[str], keep: Tensor) -> None:
    """Leaves some channels of a batch norm, a depthwise convolution, or a bias."""
    for name in names:
        replace(layer, name, getattr(layer, name)[keep])
    if isinstance(layer, CONVOLUTIONS):
        layer.groups = len(keep)
    note_width(layer, len(keep), len(keep) if isinstance(layer, (*CONVOLUTIONS, *NORMS)) else None)
    if hasattr(layer, "num_features"):
        layer.num_features = len(keep)


def replace(layer: Any, name: str, value: Tensor | None) -> None:
    """A smaller tensor in place of a parameter or buffer."""
    if value is None:
        return
    before = getattr(layer, name)
    value = value.detach().clone()
    if isinstance(before, nn.Parameter):
        value = nn.Parameter(value, requires_grad=before.requires_grad)
    setattr(layer, name, value)


def note_width(layer: Any, out: int, into: int | None) -> None:
    """Corrects what a layer says about its widths."""
    for name, size in (("out_channels", out), ("in_channels", into)):
        if size is not None and isinstance(getattr(layer, name, None), int):
            setattr(layer, name, size)
    for name, size in (("out_features", out), ("in_features", into)):
        if size is not None and hasattr(layer, name):
            setattr(layer, name, size)
