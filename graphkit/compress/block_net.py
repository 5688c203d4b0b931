"""Networks as chains of blocks, of images or of graphs."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.models.basic_gnn import BasicGNN

from graphkit.catalog import no_method
from graphkit.words import refuse_class

__all__ = ["BlockNet", "GraphBlock", "cut_gnn"]


@no_method("a chain of blocks, what NetGraft takes and gives")
class BlockNet(nn.Sequential):
    r"""A network as a chain of blocks, each a map of features to features.

    What comes beside the features (``edge_index``, ``batch``, …) reaches every block whose
    ``forward`` has an argument of that name, so message passing and plain layers can be mixed.

    Args:
        *blocks (torch.nn.Module): The blocks.

    Shapes:
        - **input:** what the first block takes
        - **output:** what the last block gives

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCNConv
        >>> net = BlockNet(GCNConv(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> net(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        if not len(self):
            raise ValueError("'blocks' is empty")
        self.takes = [extra_arguments(block) for block in self]

    def step(self, level: int, x: Tensor, context: dict[str, Any]) -> Tensor:
        """The output of one block; it gets a copy, since it may begin by writing into it."""
        names = self.takes[level]
        x = x.clone()
        return self[level](x, **{n: v for n, v in context.items() if names is None or n in names})

    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor | None = None, **context: Any
    ) -> Tensor:
        """The output of the last block."""
        context = beside(edge_index, context)
        for level in range(len(self)):
            x = self.step(level, x, context)
        return x


def beside(edge_index: Tensor | None, context: dict[str, Any]) -> dict[str, Any]:
    """What comes beside the features, by name."""
    return context if edge_index is None else {"edge_index": edge_index, **context}


def extra_arguments(block: nn.Module) -> frozenset[str] | None:
    """Names that ``forward`` takes after the features; :obj:`None` if it takes any."""
    parameters = list(inspect.signature(block.forward).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters[1:])


@no_method("a layer and what follows it, a block of BlockNet")
class GraphBlock(nn.Module):
    """A message-passing layer and what follows it.

    Args:
        conv (torch_geometric.nn.MessagePassing): The layer.
        *after (torch.nn.Module): Activation, normalisation, dropout, …

    Shapes:
        - **input:** node features :math:`(N, F)`, edges :math:`(2, E)`, their weights :math:`(E)`
          (optional)
        - **output:** node features :math:`(N, F')`

    Example:
        >>> import torch
        >>> from torch_geometric.nn import SAGEConv
        >>> block = GraphBlock(SAGEConv(4, 8), nn.ReLU())
        >>> block(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """

    def __init__(self, conv: MessagePassing, *after: nn.Module) -> None:
        super().__init__()
        self.conv, self.after = conv, nn.Sequential(*after)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """The new node features."""
        if edge_weight is None:
            return self.after(self.conv(x, edge_index))
        return self.after(self.conv(x, edge_index, edge_weight))


def cut_gnn(model: BasicGNN) -> BlockNet:
    """A PyG model (``GCN``, ``GraphSAGE``, ``GAT``, ``GIN``, …) cut behind every layer.

    The blocks share the model's weights and give the same output.

    Args:
        model (torch_geometric.nn.models.basic_gnn.BasicGNN): The model.

    Raises:
        ValueError: If it joins the outputs of several layers, or normalises graph by graph.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> len(cut_gnn(GCN(8, 16, num_layers=3, out_channels=4)))
        3
    """
    refuse_class("model", model)
    if model.jk_mode is not None:
        raise ValueError(f"'model' joins its layers (jk={model.jk_mode!r}); it is no chain")
    if model.supports_norm_batch:
        raise ValueError(f"'model' normalises graph by graph ({model.norms[0]})")
    act = model.act or nn.Identity()
    blocks = []
    for conv, norm in zip(model.convs[:-1], model.norms, strict=False):
        inner = [act, norm] if model.act_first else [norm, act]
        blocks.append(GraphBlock(conv, *inner, model.dropout))
    return BlockNet(*blocks, GraphBlock(model.convs[-1]))
