"""How a model weighs the edges of its graph, read off any layer while the model runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit.ops import edge_softmax, sddmm, segment_reduce
from graphkit.taps import Record, attention, tap


@dataclass(frozen=True)
class EdgeScores:
    r"""Scores of the edges of one layer.

    Args:
        target (torch.Tensor): The node each edge leads to.
        score (torch.Tensor): One row per edge, one column per head.
        num_nodes (int): Number of nodes.
    """

    target: Tensor
    score: Tensor
    num_nodes: int

    def energy(self) -> Tensor:
        r""":math:`\sum_i \|\mathbf{e}_i\|_2^4` over all centres, heads together, in float64."""
        per_edge = self.score.double().square().sum(dim=1, keepdim=True)
        return segment_reduce(per_edge, self.target, self.num_nodes).square().sum()


class Structure:
    """What :func:`structure` collects: the calls of the layers in the last run of the model."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        modules = dict(model.named_modules())
        self.attending = [name for name in names if attends(modules[name])]
        self.names = list(names)
        self.weights: Record[Any] | None = None
        self.calls: Record[Any] | None = None
        self.sent: dict[str, tuple[Tensor, Any]] = {}

    def scores(self, softmax: bool = False) -> list[EdgeScores]:
        r"""The scores of every layer, in the order the model holds them.

        Args:
            softmax (bool, optional): Normalise the scores of layers without attention over the
                edges of a target, after LeakyReLU, as the released program does.
                (default: :obj:`False`)

        Raises:
            ValueError: If a layer has not run.
        """
        return [self.score(name, softmax) for name in self.names]

    def score(self, name: str, softmax: bool) -> EdgeScores:
        """The scores of one layer: its own attention, or the paper's form without parameters."""
        assert self.calls is not None
        if not self.calls.calls[name]:
            raise ValueError(f"layer '{name}' did not run; leave it out of 'layers'")
        if name in self.attending:
            assert self.weights is not None
            found = self.weights[name]
            alpha = found.layer_alpha.reshape(found.layer_alpha.size(0), -1)
            target = plain(found.layer_edge_index)[1]
            return EdgeScores(target, alpha, rows_of(self.calls[name].output))
        edge_index, x = self.sent[name]
        source, centre = self.transformed(name, x)
        score = sddmm(edge_index, source.tanh(), centre)
        if softmax:
            score = edge_softmax(
                edge_index, nn.functional.leaky_relu(score, 0.2), num_nodes=centre.size(0)
            )
        return EdgeScores(edge_index[1], score.view(-1, 1), centre.size(0))

    def transformed(self, name: str, x: Any) -> tuple[Tensor, Tensor]:
        """What the layer made of sources and centres before it sends messages.

        A layer that sends its raw input on has its parameters after the sum; then its output
        stands for both.
        """
        assert self.calls is not None
        call = self.calls[name]
        source, centre = x if isinstance(x, tuple) else (x, x)
        centre = source if centre is None else centre
        given = call.input if isinstance(call.input, tuple) else (call.input,)
        if not isinstance(source, Tensor) or any(source is part for part in given):
            out = call.output[0] if isinstance(call.output, tuple) else call.output
            source = centre = out
        return source.reshape(source.size(0), -1), centre.reshape(centre.size(0), -1)


@contextmanager
def structure(model: nn.Module, layers: Sequence[str] | None = None) -> Iterator[Structure]:
    r"""Collects the edge scores of a model's layers while the ``with`` block runs.

    Layers with attention give their own weights.  Every other
    :class:`~torch_geometric.nn.MessagePassing` layer gives
    :math:`e_{ij} = (\mathbf{W} \mathbf{h}_i)^{\top} \tanh(\mathbf{W} \mathbf{h}_j)`.

    Args:
        model (torch.nn.Module): Any model with message passing.
        layers (list of str, optional): Names of layers, as in
            :meth:`torch.nn.Module.named_modules`. (default: all message passing layers)

    Raises:
        ValueError: If there is no such layer.
    """
    names = layer_names(model) if layers is None else list(layers)
    with ExitStack() as stack:
        calls = stack.enter_context(tap(model, *names))
        found = Structure(model, names)
        found.calls = calls
        if found.attending:
            found.weights = stack.enter_context(attention(model, *found.attending))
        for name, module in model.named_modules():
            if name in names and name not in found.attending:
                stack.callback(listen(module, name, found.sent))
        yield found


def listen(module: nn.Module, name: str, sent: dict[str, tuple[Tensor, Any]]) -> Any:
    """Keeps what a layer sends along its edges first; returns how to stop listening."""
    if not isinstance(module, MessagePassing):
        raise ValueError(f"layer '{name}' is a {type(module).__name__}, not a MessagePassing layer")

    def start(*_: Any) -> None:
        sent.pop(name, None)

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        edge_index, _, given = inputs
        if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
            raise TypeError(f"layer '{name}' must get edge_index as a [2, E] tensor")
        sent.setdefault(name, (plain(edge_index), given.get("x")))

    handles = [
        module.register_forward_pre_hook(start),
        module.register_propagate_forward_pre_hook(hook),
    ]
    return lambda: [handle.remove() for handle in handles]


def layer_names(model: nn.Module) -> list[str]:
    """Names of all message passing layers of a model."""
    names = [name for name, m in model.named_modules() if isinstance(m, MessagePassing)]
    if not names:
        raise ValueError(
            f"{type(model).__name__} has no MessagePassing layer, so it has no topology; "
            "set topology_weight=0"
        )
    return names


def attends(module: nn.Module) -> bool:
    """Whether a layer gives attention weights of its own."""
    if "return_attention_weights" in inspect.signature(module.forward).parameters:
        return True
    return (
        isinstance(module, MessagePassing)
        and "alpha" in inspect.signature(module.message).parameters
    )


def rows_of(output: Any) -> int:
    """Number of nodes in a layer's output."""
    return (output[0] if isinstance(output, tuple) else output).size(0)


def plain(edge_index: Tensor) -> Tensor:
    """An ordinary tensor in place of PyG's ``EdgeIndex``."""
    return edge_index.as_tensor() if hasattr(edge_index, "as_tensor") else edge_index
