"""Fused twins in the place of a model's PyG layers, and back."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import cast

from torch import nn
from torch_geometric.nn import (
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    MessagePassing,
    SAGEConv,
    TransformerConv,
)

from graphkit.catalog import no_method
from graphkit.named_modules import refuse_compiled
from graphkit.nn.conv.fused.gat_conv import FusedGATConv
from graphkit.nn.conv.fused.gatv2_conv import FusedGATv2Conv
from graphkit.nn.conv.fused.gcn_conv import FusedGCNConv
from graphkit.nn.conv.fused.gin_conv import FusedGINConv
from graphkit.nn.conv.fused.sage_conv import FusedSAGEConv
from graphkit.nn.conv.fused.transformer_conv import FusedTransformerConv
from graphkit.nn.fast_path import FastPath
from graphkit.words import refuse_class

__all__ = ["Acceleration", "accelerate"]

TWINS: dict[type[MessagePassing], type[FastPath]] = {
    GATConv: FusedGATConv,
    GATv2Conv: FusedGATv2Conv,
    GCNConv: FusedGCNConv,
    GINConv: FusedGINConv,
    SAGEConv: FusedSAGEConv,
    TransformerConv: FusedTransformerConv,
}
HOOKED = ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")


@no_method("what was swapped in a model, no method of its own")
@dataclass
class Acceleration:
    """A model whose PyG layers have become their fused twins; see :func:`accelerate`.

    Args:
        model (torch.nn.Module): The model.
        swapped (dict): The class that each layer had, by its name in the model.
        left (dict): Why a message-passing layer was left as it is, by its name.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> with accelerate(GCNConv(8, 4)) as layer:
        ...     print(type(layer).__name__)
        FusedGCNConv
        >>> type(layer).__name__
        'GCNConv'
    """

    model: nn.Module
    swapped: dict[str, type[MessagePassing]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def undo(self) -> nn.Module:
        """Gives every layer its own class back, and returns the model."""
        modules = dict(self.model.named_modules(remove_duplicate=False))
        for name, kind in self.swapped.items():
            take_back(modules[name], kind)
        self.swapped = {}
        return self.model

    def __enter__(self) -> nn.Module:
        return self.model

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.undo()

    def __str__(self) -> str:
        lines = [f"{name}: {kind.__name__} is fused" for name, kind in self.swapped.items()]
        lines += [f"{name}: left as it is; {reason}" for name, reason in self.left.items()]
        return "\n".join(lines) if lines else "no message-passing layer"


def accelerate(model: nn.Module, copy: bool = False) -> Acceleration:
    """Swaps every PyG layer that has a fused twin for it, in place.

    The layers stay the same objects with the same parameters, buffers, names and hooks; only their
    class changes, so that optimizers, shared layers and state dicts notice nothing.  Values are
    those of before; dropout of attention draws other masks.  ``GCNConv(cached=True)`` keeps the
    first graph that comes afterwards.  Costs nothing that grows with the model's width.

    Args:
        model (torch.nn.Module): Any model: PyG's own, yours, heterogeneous, sequential.
        copy (bool, optional): Works on a deep copy of the model. (default: :obj:`False`)

    Returns:
        Acceleration: The model, what was swapped in it, and what was left and why.  ``undo()``
        takes all back; as a context it does so at the end.

    Raises:
        TypeError: If the model is a class, or compiled already: compile it afterwards.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.nn import accelerate
        >>> model = GCN(8, 16, num_layers=2)
        >>> print(accelerate(model))
        convs.0: GCNConv is fused
        convs.1: GCNConv is fused
    """
    refuse_class("model", model)
    refuse_compiled(model, list(model.modules()))
    result = Acceleration(copying.deepcopy(model) if copy else model)
    for name, layer in message_passing(result.model):
        kind = type(layer)
        if isinstance(layer, FastPath):
            continue
        reason = swap(layer)
        if reason:
            result.left[name] = reason
        else:
            result.swapped[name] = kind
    return result


def message_passing(model: nn.Module) -> Iterator[tuple[str, MessagePassing]]:
    """The message-passing layers of a model, each once."""
    for name, module in model.named_modules():
        if isinstance(module, MessagePassing):
            yield name, module


def swap(layer: MessagePassing) -> str:
    """Makes a layer its fused twin, or says why not."""
    kind = type(layer)
    twin = TWINS.get(kind)
    if twin is None:
        parents = [parent.__name__ for parent in kind.__mro__[1:] if parent in TWINS]
        hint = f"a subclass of {parents[0]} may mean something else" if parents else ""
        return hint or f"{kind.__name__} has no fused twin"
    layer.__class__ = twin
    fused = cast("FastPath", layer)
    watch_all(fused)
    if not fused.is_as_written():
        take_back(fused, kind)
        return "its aggregation or its messages are not those of the class"
    return ""


def take_back(layer: nn.Module, kind: type[nn.Module]) -> None:
    """Gives a layer its own class back, without what only the twin kept on it."""
    twin = type(layer)
    layer.__class__ = kind
    for name in [name for name in vars(layer) if hasattr(twin, name) and not hasattr(kind, name)]:
        delattr(layer, name)


def watch_all(layer: FastPath) -> None:
    """Lets the layer see hooks that were there before it was swapped."""
    for part in HOOKED:
        for when in ("forward_pre_hook", "forward_hook"):
            # The handle of a hook that goes at once leads to the dictionary of the others.
            getattr(layer, f"register_{part}_{when}")(lambda *_: None).remove()
