"""The part of a batch that some of its seeds need."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor
from torch_geometric.sampler import SamplerOutput

from graphkit.sampling.kernels import places


def pruned(out: SamplerOutput, own: Tensor, num_seeds: int) -> SamplerOutput:
    """What lies behind some seeds of a batch, drawn as it was for all of them.

    Processes that share a batch sample all of it, alike, and keep their part: whatever the numbers
    of neighbours are, the seeds of all parts together see what one process would show them.

    Args:
        out (SamplerOutput): A directional batch of a homogeneous graph.
        own (torch.Tensor): Places of seeds in it.
        num_seeds (int): Number of its seeds.
    """
    if out.num_sampled_nodes is None or out.num_sampled_edges is None:
        raise ValueError("only directional batches can be shared among processes")
    node = np.zeros(out.node.numel(), np.bool_)
    edge = np.zeros(out.row.numel(), np.bool_)
    hops = len(out.num_sampled_edges)
    places.parts(node, edge, out.row.numpy(), out.col.numpy(), own.numpy(), hops)
    rest = torch.from_numpy(node)
    rest[own] = False
    order = torch.cat([own, rest.nonzero().view(-1)])
    place = torch.full((node.size,), -1)
    place[order] = torch.arange(order.numel())
    held = torch.from_numpy(edge)
    part = copy.copy(out)
    part.node, part.edge = out.node[order], None if out.edge is None else out.edge[held]
    part.row, part.col = place[out.row[held]], place[out.col[held]]
    part.batch = None if out.batch is None else place[:num_seeds][out.batch[order]]
    # Other seeds that are met as neighbours stay in the first hop, behind one's own.
    rest[own] = True
    part.num_sampled_nodes = [int(each.sum()) for each in rest.split(out.num_sampled_nodes)]
    part.num_sampled_edges = [int(each.sum()) for each in held.split(out.num_sampled_edges)]
    input_id, time = out.metadata
    part.metadata = (input_id[own], None if time is None else time[own])
    return part
