"""Small networks cut into blocks, of images and of graphs."""

import torch
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, GraphConv, SAGEConv, TAGConv

from graphkit.compress import BlockNet, GraphBlock


def conv_blocks(width, depth=3, norm=False, padding=1, **options):
    """Convolutions, the last with average pooling and a linear layer behind it."""
    blocks, inside = [], 1
    for level in range(depth):
        outside = width * (level + 1)
        layers = [nn.Conv2d(inside, outside, 3, padding=padding, **options)]
        layers += [nn.BatchNorm2d(outside)] if norm else []
        blocks.append(nn.Sequential(*layers, nn.ReLU()))
        inside = outside
    blocks[-1].extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 5)])
    return blocks


def make_conv(kind, inside, outside):
    if kind == "gat":
        return GATConv(inside, outside, heads=2, concat=False)
    if kind == "gin":
        own = nn.Sequential(nn.Linear(inside, outside), nn.ReLU(), nn.Linear(outside, outside))
        return GINConv(own)
    return {"gcn": GCNConv, "sage": SAGEConv, "graph": GraphConv, "tag": TAGConv}[kind](
        inside, outside
    )


def graph_blocks(width, kind="gcn", classes=3):
    """Two message-passing layers and a linear layer."""
    return BlockNet(
        GraphBlock(make_conv(kind, 6, width), nn.ReLU()),
        GraphBlock(make_conv(kind, width, width), nn.ReLU()),
        nn.Linear(width, classes),
    )


def images(count=6, size=8):
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(3))


def graph(nodes=12):
    """Node features and edges, with an isolated node."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(nodes, 6, generator=generator)
    return x, torch.randint(nodes - 1, (2, 40), generator=generator)
