"""The channels of a network as a graph, and which of them pruning keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.builders import channel_responses
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.compress.channel_dependency import ChannelDependency
from graphkit.compress.channel_probe import INPUT
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.words import refuse_class

__all__ = ["PruningGraphAdapter"]


class PruningGraphAdapter(GraphAdapter):
    r"""Channels of a network, linked where a kernel leads from one to the other.

    Nodes are the channels of the input, then those of every layer in the order in which they run;
    edges are kernels, from the channel that is read to the channel that is made.  Where several
    channels are added before they are read, the edge comes from the layer that ran last, and
    ``group`` says which channels go together.  A layer behind a flattened map has one edge for
    all places.  So the subgraph that is induced by the channels that a mask keeps has one edge
    for every kernel of the smaller network.  Which channels can go is then node classification.
    Time is a forward pass; memory grows with the number of weights.

    Args:
        dependency (ChannelDependency): The network's channels, such as
            ``EvolutionaryPruning(...).dependency``.
        mask (torch.Tensor, optional): Whether each group stays, :math:`(K)`.
            (default: all do)

    Shapes:
        - **input:** what the network takes
        - **output:** ``x`` :math:`(N, 5)`: the layer's place from 0, the input, to 1, the norms
          :math:`\lVert W \rVert_1` and :math:`\lVert W \rVert_2` of the channel's filter, its
          mean size over samples, and the scale of its batch norm, 0 where there is none;
          ``edge_weight``: :math:`\lVert W_{oc} \rVert_2`; ``group``: the bit of the mask, -1
          for channels that always stay; ``layer``: the layer's number, 0 for the input

    Raises:
        ValueError: If the mask does not fit.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.adapters import PruningGraphAdapter
        >>> from graphkit.compress import ChannelDependency
        >>> args = (torch.rand(5, 4), torch.tensor([[0, 1], [1, 2]]))
        >>> dependency = ChannelDependency(GCN(4, 8, num_layers=2, out_channels=3), args)
        >>> graph = PruningGraphAdapter(dependency, torch.arange(8) < 5)(*args)
        >>> graph.num_nodes, graph.num_edges, graph.y.tolist()
        (15, 56, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1])
    """

    schema = Schema(
        node="a channel of the input or of a layer",
        edge="a kernel reads the source and makes the target",
        attributes={
            "x": ("N", 5),
            "y": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "group": ("N",),
            "layer": ("N",),
        },
        y="1: the channel stays, 0: it is pruned; as the mask says",
    )

    def __init__(self, dependency: ChannelDependency, mask: Tensor | None = None) -> None:
        super().__init__()
        refuse_class("dependency", dependency)
        groups = torch.ones(dependency.num_groups, dtype=torch.bool)
        dependency.spread(groups if mask is None else mask)
        self.dependency, self.mask = dependency, groups if mask is None else mask.clone()

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Data:
        """The graph of channels, with their mean responses to some samples."""
        dependency = self.dependency
        names = list(dependency.units)
        with evaluating(dependency.model), tap(dependency.model, *dependency.names) as record:
            dependency.model(*args, **kwargs)
        # Nodes are numbered layer by layer; a layer knows the channels it reads by these numbers.
        start, total = {}, 0
        for name in names:
            start[name], total = total, total + dependency.units[name].width
        x, edges, weights = [], [], []
        for index, name in enumerate(names):
            place = index / max(len(names) - 1, 1)
            call = None if name == INPUT else record[name]
            features = self.features(name, call, args)
            x.append(torch.cat([torch.full_like(features[:, :1], place), features], 1))
            source, norm = self.readers(name, start)
            own = torch.arange(len(norm), device=source.device) + start[name]
            target = own.repeat_interleave(len(source))
            edges.append(torch.stack([source.repeat(len(norm)), target]))
            weights.append(norm.flatten().cpu())
        edge_index, weight = torch.cat(edges, 1), torch.cat(weights)
        # Layers come one after the other; a coalesced graph is sorted by who is read.
        order = (edge_index[0] * total + edge_index[1]).argsort()
        keep = dependency.spread(self.mask)
        widths = torch.tensor([dependency.units[name].width for name in names], device="cpu")
        first = 0 if INPUT in names else 1
        numbers = torch.arange(first, first + len(names), device="cpu")
        values = torch.cat(x)
        graph = Data(
            x=values.float(),
            edge_index=edge_index[:, order],
            edge_weight=weight[order].float(),
            y=torch.cat([keep[name] for name in names]).long(),
            group=torch.cat([dependency.group[name] for name in names]),
            layer=numbers.repeat_interleave(widths),
            num_nodes=total,
        )
        return graph.to(values.device)

    def features(self, name: str, call: Any, args: tuple[Any, ...]) -> Tensor:
        """Norms of filters, mean responses and the scale of a batch norm, by channel."""
        dependency = self.dependency
        unit = dependency.units[name]
        if unit.rule is None:
            x = args[0]
            at = 1 if x.dim() == 2 or dependency.input_at == 1 else -1
            norms = x.new_zeros(unit.width, 2)
            return torch.cat([norms, responses(x, at), norms[:, :1]], 1)
        layer = dependency.model.get_submodule(name)
        kernels = unit.rule.kernels(layer).flatten(1)
        norms = torch.stack([kernels.abs().sum(1), kernels.norm(dim=1)], 1)
        mean = responses(call.output, unit.rule.at)
        # Channels of a layer with heads have a response in each.
        channel = unit.rule.channels(layer)
        mean = mean.new_zeros(unit.width, 1).index_add_(0, channel, mean)
        mean = mean / channel.bincount(minlength=unit.width).unsqueeze(1)
        return torch.cat([norms, mean, self.scales(name).to(norms)], 1)

    def scales(self, name: str) -> Tensor:
        """The scale of the batch norm that a layer's channels go through first."""
        scale = torch.zeros(self.dependency.units[name].width, 1, device="cpu")
        for follower, (tensors, sources) in self.dependency.followers.items():
            module: Any = self.dependency.model.get_submodule(follower)
            if name in sources and "running_mean" in tensors and module.affine:
                reached = sources[name] >= 0
                scale[sources[name][reached], 0] = module.weight.float().cpu()[reached]
                break
        return scale

    def readers(self, name: str, start: dict[str, int]) -> tuple[Tensor, Tensor]:
        """Numbers of the channels that a layer reads, and norms of its kernels ``[O, C]``."""
        unit = self.dependency.units[name]
        if unit.rule is None or not unit.sources:
            nothing = torch.zeros(unit.width, 0, device="cpu")
            return nothing[0].long(), nothing
        kernels = unit.rule.kernels(self.dependency.model.get_submodule(name))
        node = torch.full((kernels.size(1),), -1, device="cpu")
        for producer in self.dependency.units:
            if producer in unit.sources:
                channel = unit.sources[producer]
                node = torch.where(channel >= 0, start[producer] + channel, node)
        known = node >= 0
        source, place = node[known].unique(return_inverse=True)
        square = kernels.square().sum(2)[:, known.to(kernels.device)]
        total = square.new_zeros(len(square), len(source))
        return source, total.index_add_(1, place.to(square.device), square).sqrt()


def responses(x: Tensor, at: int) -> Tensor:
    """The mean size of every channel; zero where there is no sample."""
    if not x.numel():
        return x.new_zeros(x.size(at), 1)
    maps = x.abs().movedim(at, -1).flatten(0, -2)
    return channel_responses(maps).mean(1, keepdim=True)
