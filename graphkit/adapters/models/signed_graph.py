"""A network with weights of few levels as a signed graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.compress.quantization_network import LAYERS, QuantizationNetwork
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.words import did_you_mean, refuse_class

__all__ = ["SignedGraphAdapter"]


class SignedGraphAdapter(GraphAdapter):
    r"""The quantised layers of a :class:`~graphkit.compress.QuantizationNetwork`: positive weights
    are positive edges, negative ones negative, and zeros are none.

    Every layer is a block: its input channels, then its output channels.  An edge of a convolution
    stands for all places of its kernel.  For a linear layer with levels -1, 0 and 1 the sum over
    positive edges less that over negative ones, times :math:`\alpha`, is the layer:
    ``SimpleConv(aggr="sum")`` on ``pos_edge_index`` and ``neg_edge_index``.
    :class:`torch_geometric.nn.SignedConv` takes the same two.  Time is a forward pass; memory
    grows with the number of weights.

    Args:
        network (QuantizationNetwork): The network.
        layers (sequence of str, optional): Some of its quantised layers. (default: all)

    Shapes:
        - **input:** what the network takes
        - **output:** ``x`` :math:`(N, 5)`: the layer's index, 0 for an input and 1 for an
          output, :math:`\alpha`, the mean response to the samples, and the share of its weights
          that are zero; ``edge_weight``: the sum over the kernel; ``edge_attr``: how many of its
          weights are positive, and negative; ``channel``: its number in its layer

    Raises:
        ValueError: If a name is not that of a quantised layer.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.adapters import SignedGraphAdapter
        >>> from graphkit.compress import QuantizationNetwork
        >>> net = QuantizationNetwork(GCN(8, 16, 2, 3), layers=["convs.0.lin"])
        >>> graph = SignedGraphAdapter(net)(torch.rand(4, 8), torch.tensor([[0, 1], [1, 2]]))
        >>> graph.num_nodes, graph.x.size(1)
        (24, 5)
    """

    schema = Schema(
        node="a channel that goes into a quantised layer, or comes out of it",
        edge="the output channel has a weight that is not zero for the input channel",
        attributes={
            "x": ("N", 5),
            "channel": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "edge_attr": ("E", 2),
            "pos_edge_index": (2, "P"),
            "neg_edge_index": (2, "M"),
        },
    )

    def __init__(self, network: QuantizationNetwork, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        refuse_class("network", network)
        known = [
            path
            for path, name in network.places
            if name == "weight" and isinstance(network.model.get_submodule(path), LAYERS)
        ]
        for name in layers or ():
            if name not in known:
                raise ValueError(f"no quantised layer is {name!r}; {did_you_mean(name, known)}")
        self.network, self.layers = network, list(known if layers is None else layers)
        if not self.layers:
            raise ValueError("'network' has no quantised linear or convolution layer")

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Data:
        """The signed graph, with the mean responses to some samples."""
        with evaluating(self.network):
            with tap(self.network.model, *self.layers) as record:
                self.network(*args, **kwargs)
            blocks = [self.block(name, record[name]) for name in self.layers]
        start, x, channel, edges, numbers = 0, [], [], [], []
        for index, (nodes, own, counts, weight) in enumerate(blocks):
            place = torch.full_like(nodes[:, :1], index)
            x.append(torch.cat([place, nodes], 1))
            channel.append(own)
            target, source = (counts.sum(-1) > 0).nonzero().unbind(1)
            values = torch.cat([weight.unsqueeze(-1), counts], -1)[target, source]
            edges.append(torch.stack([source, target + counts.size(1)]) + start)
            numbers.append(values)
            start += len(nodes)
        edge_index, value = torch.cat(edges, 1), torch.cat(numbers)
        # Sorted by source: blocks come one after the other, but targets ran first within them.
        order = (edge_index[0] * start + edge_index[1]).argsort()
        edge_index, value = edge_index[:, order], value[order].float()
        return Data(
            x=torch.cat(x).float(),
            channel=torch.cat(channel),
            edge_index=edge_index,
            edge_weight=value[:, 0],
            edge_attr=value[:, 1:],
            pos_edge_index=edge_index[:, value[:, 1] > 0],
            neg_edge_index=edge_index[:, value[:, 2] > 0],
            num_nodes=start,
        )

    def block(self, name: str, call: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Nodes of a layer, their numbers, and by output and input how often a weight is
        positive and negative, and the sum.
        """
        layer: Any = self.network.model.get_submodule(name)
        quantizer = layer.parametrizations["weight"][0]
        weight = full_width(layer)
        counts = torch.stack([(weight > 0).sum(2), (weight < 0).sum(2)], -1).to(weight.dtype)
        zero = weight == 0
        shares = [zero.double().mean((0, 2)), zero.double().mean((1, 2))]
        if getattr(layer, "groups", 1) > 1:
            # Zeros between groups are no weights.
            linked = weight.size(1) // layer.groups / weight.size(1)
            shares = [1 - (1 - share) / linked for share in shares]
        at = 1 if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) else -1
        means = [mean_response(value, at) for value in (call.args[0], call.output)]
        rows, numbers = [], []
        for side, (share, mean) in enumerate(zip(shares, means, strict=True)):
            own = torch.ones_like(mean)
            rows.append(torch.stack([side * own, quantizer.alpha * own, mean, share.to(mean)], 1))
            numbers.append(torch.arange(len(mean), device=mean.device))
        return torch.cat(rows), torch.cat(numbers), counts, weight.sum(2)


def full_width(layer: Any) -> Tensor:
    """The weights ``[O, I, K]``, with zeros between channels of different groups."""
    weight = layer.weight.flatten(2) if layer.weight.dim() > 2 else layer.weight.unsqueeze(2)
    groups = getattr(layer, "groups", 1)
    if groups == 1:
        return weight
    parts = weight.unflatten(0, (groups, -1))
    wide = parts.new_zeros(groups, parts.size(1), groups, *parts.shape[2:])
    number = torch.arange(groups, device=weight.device)
    wide[number, :, number] = parts
    return wide.flatten(2, 3).flatten(0, 1)


def mean_response(value: Tensor, at: int) -> Tensor:
    """The mean over everything but channels; zero where there is no sample."""
    dense = value if value.layout == torch.strided else value.to_dense()
    rows = dense.movedim(at, -1).flatten(0, -2)
    return rows.sum(0) / max(len(rows), 1)
