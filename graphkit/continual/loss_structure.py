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
from graphkit.taps import Attention, Call, Record, attention, tap
from graphkit.words import refuse_class


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


@dataclass
class LayerCall:
    """One call of one layer: what came in and out, and what its edges carried.

    Args:
        name (str): The layer.
        call (Call): Arguments and output.
        weights (Attention, optional): The attention of a layer that has its own.
        sent (tuple, optional): The edges and the features of the first messages of one that has
            none.
    """

    name: str
    call: Call
    weights: Attention | None = None
    sent: tuple[Tensor, Any] | None = None


class Structure:
    """What :func:`structure` collects: every call of the layers, in all runs of the model."""

    def __init__(
        self, names: Sequence[str], calls: Record[Call], weights: Record[Attention] | None
    ) -> None:
        self.names, self.tapped, self.weights = list(names), calls, weights
        self.sent: dict[str, list[tuple[Tensor, Any] | None]] = {name: [] for name in names}
        self.calls: dict[str, list[LayerCall]] = {name: [] for name in names}

    def take(self) -> None:
        """Takes over what the taps hold, which they forget when the model runs again."""
        for name in self.names:
            calls = self.tapped.calls[name]
            if self.weights is not None and name in self.weights.names:
                self.calls[name] += [
                    LayerCall(name, call, weights=one)
                    for call, one in zip(calls, self.weights.calls[name], strict=True)
                ]
            else:
                self.calls[name] += [
                    LayerCall(name, call, sent=one)
                    for call, one in zip(calls, self.sent[name], strict=True)
                ]
            self.sent[name].clear()
        self.tapped.clear()
        if self.weights is not None:
            self.weights.clear()

    def scores(self, softmax: bool = False) -> list[EdgeScores]:
        r"""The scores of every layer, in the order the model holds them.

        A layer that was called several times, within a run of the model or because the model ran
        several times, has one entry per call.

        Args:
            softmax (bool, optional): Normalise the scores of layers without attention over the
                edges of a target, after LeakyReLU, as the released program does.
                (default: :obj:`False`)

        Raises:
            ValueError: If a layer has not run, or sent no messages.
        """
        self.take()
        for name, calls in self.calls.items():
            if not calls:
                raise ValueError(f"layer '{name}' did not run; leave it out of 'layers'")
        return [self.score(one, softmax) for calls in self.calls.values() for one in calls]

    def score(self, one: LayerCall, softmax: bool) -> EdgeScores:
        """The scores of one call: the layer's attention, or the paper's form without parameters."""
        if one.weights is not None:
            alpha = one.weights.layer_alpha
            target = plain(one.weights.layer_edge_index)[1]
            rows = rows_of(one.call.output)
            return EdgeScores(target, alpha.reshape(alpha.size(0), -1), rows)
        if one.sent is None:
            raise ValueError(
                f"layer '{one.name}' sent nothing through propagate; leave it out of 'layers'"
            )
        edge_index, x = one.sent
        source, centre = self.transformed(one.call, x)
        score = sddmm(edge_index, source.tanh(), centre)
        if softmax:
            score = edge_softmax(
                edge_index, nn.functional.leaky_relu(score, 0.2), num_nodes=centre.size(0)
            )
        return EdgeScores(edge_index[1], score.view(-1, 1), centre.size(0))

    def transformed(self, call: Call, x: Any) -> tuple[Tensor, Tensor]:
        """What the layer made of sources and centres before it sends messages.

        A layer that sends its raw input on has its parameters after the sum; then its output
        stands for both.
        """
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
    :math:`e_{ij} = (\mathbf{W} \mathbf{h}_i)^{\top} \tanh(\mathbf{W} \mathbf{h}_j)`.  Every call
    inside the block counts: layers that share their weights by running several times, and models
    that run several times for one loss.

    Args:
        model (torch.nn.Module): Any model with message passing.
        layers (list of str, optional): Names of layers, as in
            :meth:`torch.nn.Module.named_modules`. (default: all message passing layers)

    Raises:
        ValueError: If there is no such layer.
    """
    refuse_class("model", model)
    names = layer_names(model) if layers is None else list(layers)
    modules = dict(model.named_modules())
    with ExitStack() as stack:
        calls = stack.enter_context(tap(model, *names))
        attending = [name for name in names if attends(modules[name])]
        weights = stack.enter_context(attention(model, *attending)) if attending else None
        collected = Structure(names, calls, weights)
        for name in names:
            if name not in attending:
                stack.callback(listen(modules[name], name, collected.sent[name]))
        # In front of the taps' own hooks, which forget the run before.
        before = model.register_forward_pre_hook(lambda *_: collected.take(), prepend=True)
        stack.callback(before.remove)
        yield collected


def listen(module: nn.Module, name: str, sent: list[tuple[Tensor, Any] | None]) -> Any:
    """Keeps what each call of a layer sends along its edges first; returns how to stop."""
    if not isinstance(module, MessagePassing):
        raise ValueError(f"layer '{name}' is a {type(module).__name__}, not a MessagePassing layer")
    first: list[tuple[Tensor, Any]] = []

    def start(*_: Any) -> None:
        first.clear()

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        edge_index, _, given = inputs
        if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
            raise TypeError(f"layer '{name}' must get edge_index as a [2, E] tensor")
        first.append((plain(edge_index), given.get("x")))

    def end(*_: Any) -> None:
        sent.append(first[0] if first else None)

    handles = [
        module.register_forward_pre_hook(start),
        module.register_propagate_forward_pre_hook(hook),
        module.register_forward_hook(end),
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
