"""The models that recipes name: PyG baselines, and everything in ``graphkit.nn``."""

# fingerprint: not counted

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv, global_add_pool
from torch_geometric.nn import models as pyg_models
from torch_geometric.utils import degree

from benchmarks.harness import references
from benchmarks.harness.errors import RecipeError
from benchmarks.rivals.graphs import PooledGNN
from graphkit.nn import accelerate
from graphkit.nn.head_linear import HeadLinear, feature_dropout
from graphkit.ops import spmm
from graphkit.ops.layout.memo import remember
from graphkit.words import did_you_mean


class MLP(nn.Module):
    """Two linear layers that see no edges: what the features alone can do."""

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = nn.Linear(in_channels, hidden_channels)
        self.lin2 = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = feature_dropout(x, self.dropout, self.training)
        x = F.dropout(self.lin1(x).relu(), self.dropout, self.training)
        return self.lin2(x)


class GCN(nn.Module):
    """PyG's ``GCNConv`` twice, with the settings of PyG's citation benchmark."""

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = GCNConv(in_channels, hidden_channels)
        self.conv2 = GCNConv(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.conv1(x, edge_index).relu()
        return self.conv2(F.dropout(x, self.dropout, self.training), edge_index)


class GAT(nn.Module):
    """PyG's ``GATConv`` twice, with the settings of PyG's citation benchmark."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        heads: int = 8,
        out_heads: int = 1,
        dropout: float = 0.6,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = GATConv(in_channels, hidden_channels, heads, dropout=dropout)
        self.conv2 = GATConv(
            heads * hidden_channels, out_channels, out_heads, concat=False, dropout=dropout
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.conv1(feature_dropout(x, self.dropout, self.training), edge_index)
        return self.conv2(F.dropout(F.elu(x), self.dropout, self.training), edge_index)


class ResidualGAT(nn.Module):
    """``GATConv`` with skip connections in every layer: the model of GAT's paper for PPI."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 3,
        heads: int = 4,
        out_heads: int = 6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [heads * hidden_channels] * (num_layers - 1)
        shared: dict[str, Any] = {"dropout": dropout, "residual": True}
        self.convs = nn.ModuleList(
            GATConv(w, hidden_channels, heads, **shared) for w in widths[:-1]
        )
        self.last = GATConv(widths[-1], out_channels, out_heads, concat=False, **shared)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.elu(conv(x, edge_index))
        return self.last(x, edge_index)


class GraphSAGE(nn.Module):
    """PyG's ``SAGEConv`` twice."""

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = SAGEConv(in_channels, hidden_channels)
        self.conv2 = SAGEConv(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.conv1(x, edge_index).relu()
        return self.conv2(F.dropout(x, self.dropout, self.training), edge_index)


class SparseSAGE(nn.Module):
    """Two layers that multiply before they average: SAGE's mathematics, and words stay sparse."""

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = dropout
        widths = ((in_channels, hidden_channels), (hidden_channels, out_channels))
        self.near = nn.ModuleList(HeadLinear(*width, bias=False) for width in widths)
        self.root = nn.ModuleList(HeadLinear(*width) for width in widths)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        share = 1.0 / degree(edge_index[1], x.size(0)).clamp(min=1.0)
        weight = share[edge_index[1]].view(-1, 1)
        for number, (near, root) in enumerate(zip(self.near, self.root, strict=True)):
            if number:
                x = F.dropout(x.relu(), self.dropout, self.training)
            mean = spmm(edge_index, weight, near(x).unsqueeze(1)).squeeze(1)
            x = mean + root(x)
        return x


def mlp(in_channels: int, hidden_channels: int) -> nn.Sequential:
    """GIN's update: two linear layers with batch normalisation."""
    return nn.Sequential(
        nn.Linear(in_channels, hidden_channels),
        nn.BatchNorm1d(hidden_channels),
        nn.ReLU(),
        nn.Linear(hidden_channels, hidden_channels),
        nn.BatchNorm1d(hidden_channels),
        nn.ReLU(),
    )


class GIN(nn.Module):
    """PyG's ``GINConv`` with a linear read-out of the sum after every layer, as in GIN's paper."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 4,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        widths = [in_channels] + [hidden_channels] * num_layers
        self.convs = nn.ModuleList(GINConv(mlp(w, hidden_channels)) for w in widths[:-1])
        self.reads = nn.ModuleList(nn.Linear(w, out_channels) for w in widths)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        size = int(batch.max()) + 1
        states = [x]
        for conv in self.convs:
            states.append(conv(states[-1], edge_index))
        scores = [
            F.dropout(read(global_add_pool(state, batch, size)), self.dropout, self.training)
            for read, state in zip(self.reads, states, strict=True)
        ]
        return torch.stack(scores).sum(dim=0)


BASELINES: dict[str, type[nn.Module]] = {
    cls.__name__: cls for cls in (MLP, GCN, GAT, ResidualGAT, GraphSAGE, SparseSAGE, GIN, PooledGNN)
} | {"NodeGIN": pyg_models.GIN}


ACCELERATE, SPARSE = "accelerate", "sparse_features"
"""Keys of the ``model`` section, beside the arguments of a baseline."""


def model_class(name: str, where: str = "recipe") -> type[nn.Module]:
    """The model called :obj:`name`: a baseline, one of ``graphkit.nn``, or ``module:Class``."""
    import graphkit.nn

    if references.is_reference(name):
        return references.imported(name, where)
    if name in BASELINES:
        return BASELINES[name]
    if name in graphkit.nn.__all__:
        return getattr(graphkit.nn, name)
    known = [*BASELINES, *graphkit.nn.__all__]
    hint = did_you_mean(str(name), known)
    raise RecipeError(f"{where}: unknown model '{name}'; {hint} One of your own is module:Class")


def build(settings: dict[str, Any], in_channels: int, out_channels: int) -> nn.Module:
    """The model of a recipe's ``model`` section.

    ``accelerate: true`` runs a baseline's layers on graphkit's kernels: the same network, for
    graphs whose edges PyG's own layers take minutes for. With ``sparse_features: true`` these
    read bags of words as sparse CSR, whose zeros need neither a product nor a draw of dropout.
    """
    settings = dict(settings)
    name = settings.pop("name")
    fused = name in BASELINES and settings.pop(ACCELERATE, False)
    sparse = name in BASELINES and settings.pop(SPARSE, False)
    cls = model_class(name)
    model = cls(in_channels=in_channels, out_channels=out_channels, **settings)
    if fused:
        model = accelerate(model).model
    if sparse:
        model.register_forward_pre_hook(without_zeros)
    return model


def without_zeros(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of a model with sparse features, made once for each tensor of features."""
    x, *rest = inputs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return remember(x, SPARSE, x.to_sparse_csr), *rest
