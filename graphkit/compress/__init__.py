"""Compression: smaller networks out of trained ones."""

from graphkit.compress.block_net import BlockNet, GraphBlock, cut_gnn
from graphkit.compress.folding import fold
from graphkit.compress.graft_task import GraftTask
from graphkit.compress.netgraft import NetGraft, graft_loss

__all__ = [
    "BlockNet",
    "GraftTask",
    "GraphBlock",
    "NetGraft",
    "cut_gnn",
    "fold",
    "graft_loss",
]
