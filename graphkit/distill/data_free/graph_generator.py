"""A network that turns noise into graphs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit.catalog import no_method
from graphkit.distill.data_free.generator import check_noise
from graphkit.distill.loss import check_choice
from graphkit.nn.straight_through import gumbel, straight_through

__all__ = ["GeneratedGraph", "GraphGenerator", "gated"]


class GeneratedGraph(NamedTuple):
    """Graphs as one disjoint union.

    Args:
        x (torch.Tensor): Node features :math:`(N, F)`.
        edge_index (torch.Tensor): Edges in both directions :math:`(2, E)`.
        gate (torch.Tensor): Ones :math:`(E)` that carry the gradient of the edges.
        batch (torch.Tensor): The graph of each node :math:`(N)`.
    """

    x: Tensor
    edge_index: Tensor
    gate: Tensor
    batch: Tensor


@no_method("noise to graphs, an input of DFAD")
class GraphGenerator(nn.Module):
    r"""Noise to sparse graphs, features and edges, both with gradients.

    .. math::
        \mathbf{h}_i = \mathrm{MLP}(\mathbf{z}_i), \qquad
        s_{ij} = \frac{\mathbf{q}_i^{\top} \mathbf{q}_j}{\sqrt{d}}, \qquad
        E = \operatorname{top}_M (s_{ij} + g_{ij}), \qquad
        \mathbf{x}_i = \mathrm{out}(\mathbf{h}_i)

    Within each graph the :math:`M` pairs with the largest score and Gumbel noise :math:`g` become
    edges: a draw without replacement, and every graph has the same number of them. What comes out
    is an ordinary ``edge_index``. The gradient reaches :math:`s` by a gate on every message,
    which is 1 and has the derivative of :math:`\sigma(s)`: see :func:`gated`. So any
    :class:`~torch_geometric.nn.MessagePassing` layer can be the teacher, whether it knows edge
    weights or not. Pairs that were not drawn have no gradient in that step.

    Features are ``"normal"``, standardised over the batch; ``"one_hot"``, one of :math:`F` kinds;
    or ``"bag"``, the ``words`` largest of :math:`F` words, each :math:`1 / w`, as in bags of
    words after ``NormalizeFeatures``. The last two are exact, with the gradients of a softmax.
    What kind of features the teacher takes, their number and the mean degree are all that is told
    about the data.

    Time grows with :math:`B n^2 d`, memory with :math:`B n^2`, in the networks that look at the
    graphs with the number of edges.

    Args:
        noise_channels (int): Width of each node's noise; half of it is one for all nodes of a
            graph.
        num_features (int): :math:`F`.
        num_nodes (int, optional): Nodes of a graph, :math:`n`. (default: :obj:`256`)
        degree (float, optional): Mean degree. (default: :obj:`4.0`)
        hidden_channels (int, optional): Width :math:`d`. (default: :obj:`64`)
        features (str, optional): ``"normal"``, ``"one_hot"`` or ``"bag"``.
            (default: ``"normal"``)
        words (int, optional): Words of a bag. (default: :obj:`16`)
        pooled (bool, optional): Networks take ``(x, edge_index, batch)`` and answer for graphs,
            in place of ``(x, edge_index)`` and nodes. (default: :obj:`False`)

    Shapes:
        - **input:** noise :math:`(B, n, Z)`
        - **output:** graphs with :math:`B n` nodes and :math:`2 B M` directed edges,
          :math:`M = n \cdot \text{degree} / 2`

    Raises:
        ValueError: If an option is out of range, or the noise does not fit.

    Example:
        >>> from graphkit.distill import GraphGenerator
        >>> generator = GraphGenerator(8, num_features=5, num_nodes=10, degree=3.0)
        >>> made = generator(generator.noise(4))
        >>> made.x.shape, made.edge_index.shape
        (torch.Size([40, 5]), torch.Size([2, 120]))
    """

    pairs: Tensor

    def __init__(
        self,
        noise_channels: int,
        num_features: int,
        num_nodes: int = 256,
        degree: float = 4.0,
        hidden_channels: int = 64,
        features: str = "normal",
        words: int = 16,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        check_choice("features", features, ("normal", "one_hot", "bag"))
        for name, value, least in (
            ("noise_channels", noise_channels, 2),
            ("num_features", num_features, 1),
            ("num_nodes", num_nodes, 2),
            ("hidden_channels", hidden_channels, 1),
            ("words", words, 1),
        ):
            if value < least:
                raise ValueError(f"'{name}' must be at least {least}, got {value}")
        if not 0 < degree <= num_nodes - 1:
            raise ValueError(f"'degree' must be above 0 and below 'num_nodes', got {degree}")
        if features == "bag" and words > num_features:
            raise ValueError(f"'words' is {words}, and there are {num_features} features")
        self.noise_channels, self.num_nodes, self.degree = noise_channels, num_nodes, degree
        self.features, self.words, self.pooled = features, words, pooled
        self.num_pairs = max(round(num_nodes * degree / 2), 1)
        self.register_buffer("pairs", torch.triu_indices(num_nodes, num_nodes, 1), False)
        self.body = nn.Sequential(
            nn.Linear(noise_channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden_channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.LeakyReLU(0.2),
        )
        self.query = nn.Linear(hidden_channels, hidden_channels)
        self.head = nn.Linear(hidden_channels, num_features)
        self.norm = nn.BatchNorm1d(num_features, affine=False) if features == "normal" else None

    def noise(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise of so many graphs.

        Args:
            count (int): Graphs.
            generator (torch.Generator, optional): Where it is drawn from.
        """
        z = torch.randn(count, self.num_nodes, self.noise_channels, generator=generator)
        half = self.noise_channels // 2
        z[..., :half] = z[:, :1, :half]
        return z

    def forward(self, z: Tensor) -> GeneratedGraph:
        """Graphs of the noise.

        Args:
            z (torch.Tensor): Noise.
        """
        check_noise(z, self.noise_channels)
        if z.dim() != 3 or z.size(1) != self.num_nodes:
            raise ValueError(
                f"'z' must have shape [B, {self.num_nodes}, {self.noise_channels}], "
                f"got {list(z.shape)}"
            )
        hidden = self.body(z.flatten(0, 1))
        edge_index, gate = self.link(self.query(hidden).view(*z.shape[:2], -1))
        batch = torch.arange(len(z), device=z.device).repeat_interleave(self.num_nodes)
        return GeneratedGraph(self.attributes(self.head(hidden)), edge_index, gate, batch)

    def link(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Edges in both directions, and their gates, from what each node looks for."""
        count, nodes, width = query.shape
        scores = (query @ query.transpose(1, 2)) / width**0.5
        first, second = self.pairs
        scores = scores[:, first, second]
        likeliest = (scores + gumbel(scores)).topk(min(self.num_pairs, scores.size(1)), 1).indices
        soft = scores.gather(1, likeliest).sigmoid()
        gate = (soft - soft.detach() + 1).flatten()
        offset = torch.arange(count, device=query.device).unsqueeze(1) * nodes
        ends = torch.stack(
            [(first[likeliest] + offset).flatten(), (second[likeliest] + offset).flatten()]
        )
        return torch.cat([ends, ends.flip(0)], 1), torch.cat([gate, gate])

    def attributes(self, out: Tensor) -> Tensor:
        """Node features of the asked kind."""
        if self.features == "one_hot":
            return straight_through(out)
        if self.features == "bag":
            soft = out.softmax(1)
            top = (out + gumbel(out)).topk(self.words, 1).indices
            hard = torch.zeros_like(out).scatter(1, top, 1 / self.words)
            return hard + (soft - soft.detach())
        assert self.norm is not None
        return self.norm(out)

    def call(self, model: nn.Module, made: GeneratedGraph) -> Tensor:
        """What a graph network makes of the graphs, with gradients to the edges.

        Args:
            model (torch.nn.Module): It takes ``(x, edge_index)``, or ``batch`` as well.
            made (GeneratedGraph): The graphs.
        """
        refuse_cached(model)
        extra = (made.batch,) if self.pooled else ()
        if not made.gate.requires_grad:
            return model(made.x, made.edge_index, *extra)
        with gated(model, made.gate):
            return model(made.x, made.edge_index, *extra)


def refuse_cached(model: nn.Module) -> None:
    """Raises if a layer keeps the edges of the first graph that it saw."""
    for name, module in model.named_modules():
        if isinstance(module, MessagePassing) and getattr(module, "cached", False):
            raise ValueError(
                f"{name or 'the layer'!r} is cached: it would answer for another graph's edges; "
                "set its 'cached' to False"
            )


@contextmanager
def gated(model: nn.Module, gate: Tensor) -> Iterator[None]:
    """Multiplies every message of every layer by its edge's gate inside the block.

    It is PyG's way of explaining messages, with gates in place of an explainer's mask, so it
    serves any :class:`~torch_geometric.nn.MessagePassing` layer, fused ones included. Self loops
    that a layer adds behind the edges are left alone.

    Args:
        model (torch.nn.Module): A graph network.
        gate (torch.Tensor): A factor per edge :math:`(E)`.

    Raises:
        ValueError: If there is no message-passing layer, or one drops edges.
        RuntimeError: If no layer passed messages while the block ran.
    """
    layers = [module for module in model.modules() if isinstance(module, MessagePassing)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no message-passing layer to reach edges by")
    heard: list[int] = []

    # PyG finds the arguments of what replaces this method by its name.
    def explain_message(layer: MessagePassing, inputs: Tensor, dim_size: int | None) -> Tensor:
        extra = inputs.size(layer.node_dim) - len(gate)
        if extra < 0:
            raise ValueError(f"{type(layer).__name__} dropped edges; their gates are unknown")
        heard.append(1)
        shape = [1] * inputs.dim()
        shape[layer.node_dim] = -1
        return inputs * F.pad(gate, (0, extra), value=1.0).view(shape)

    before = [layer.explain for layer in layers]
    try:
        for layer in layers:
            layer.explain_message = MethodType(explain_message, layer)
            layer.explain = True
        yield
    finally:
        for layer, explain in zip(layers, before, strict=True):
            del layer.explain_message
            layer.explain = explain
    if not heard:
        raise RuntimeError(f"no layer of {type(model).__name__} passed messages edge by edge")
