"""Parts of a graph with few edges between them: METIS where it is installed, else a greedy way."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import coalesce, remove_self_loops, to_undirected

from graphkit.ops.cpu.kernels import sorting
from graphkit.sampling.kernels import cutting

ROUNDS = 12
SLACK = 1.05
ALGORITHMS = ("metis", "greedy")


def partition(
    edge_index: Tensor,
    num_nodes: int,
    num_parts: int,
    recursive: bool = False,
    algorithm: str | None = None,
) -> Tensor:
    r"""The part of each node, so that parts are of about equal size and few edges lie between them.

    ``"metis"`` is METIS through pymetis, on the graph in both directions and without loops.
    ``"greedy"`` streams the nodes in breadth-first order to the part :math:`p` with the largest
    :math:`|\mathcal{N}(i) \cap p| \, (1 - |p| / r)`, where :math:`r` is the mean size, and then
    moves nodes to the part of most of their neighbours for at most 12 rounds, which may enlarge a
    part by 5 %, :math:`\mathcal{O}(E)` each. Both are deterministic, and no part is empty.

    Args:
        edge_index (torch.Tensor): Edges ``[2, E]``; their direction does not matter.
        num_nodes (int): Number of nodes.
        num_parts (int): Number of parts, at most :obj:`num_nodes`.
        recursive (bool, optional): METIS' recursive bisection. (default: :obj:`False`)
        algorithm (str, optional): One of both. (default: METIS if pymetis is installed)

    Returns:
        The part of each node, ``[num_nodes]``.

    Raises:
        ValueError: If there are more parts than nodes, an edge ends at no node, the algorithm is
            unknown, or :obj:`recursive` is asked of ``"greedy"``.
        ImportError: If METIS is asked for and pymetis is missing.

    Example:
        >>> import torch
        >>> from graphkit.sampling import partition
        >>> edge_index = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
        >>> part = partition(edge_index, num_nodes=6, num_parts=2, algorithm="greedy")
        >>> part.tolist()
        [0, 0, 0, 1, 1, 1]
    """
    if not 1 <= num_parts <= max(num_nodes, 1):
        raise ValueError(f"'num_parts' must be from 1 to {num_nodes}, got {num_parts}")
    algorithm = algorithm_of(algorithm)
    if recursive and algorithm == "greedy":
        raise ValueError("'recursive' needs METIS; the greedy algorithm has no such form")
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise ValueError(f"'edge_index' must hold nodes from 0 to {num_nodes - 1}")
    edges = coalesce(to_undirected(remove_self_loops(edge_index.cpu())[0], num_nodes=num_nodes))
    colptr, row = np.empty(num_nodes + 1, np.int64), edges[1].contiguous().numpy()
    sorting.count_groups(edges[0].contiguous().numpy(), colptr)
    if num_parts == 1:
        return torch.zeros(num_nodes, dtype=torch.long)
    if algorithm == "greedy":
        return greedy(colptr, row, num_parts)
    try:
        import pymetis
    except ImportError as error:
        raise ImportError('METIS needs pymetis: pip install "graphkit[metis]"') from error
    graph = pymetis.CSRAdjacency(colptr, row)
    part = torch.as_tensor(pymetis.part_graph(num_parts, graph, recursive=recursive)[1])
    return without_gaps(part.long(), num_parts)


def greedy(colptr: np.ndarray, row: np.ndarray, num_parts: int) -> Tensor:
    """The streamed and refined parts of a graph in both directions."""
    num_nodes = colptr.size - 1
    order, part = np.empty(num_nodes, np.int64), np.full(num_nodes, -1, np.int64)
    sizes = np.zeros(num_parts, np.int64)
    cutting.breadth_first(colptr, row, order)
    # Parts are filled evenly at first; only refinement may use the slack.
    mean = -(-num_nodes // num_parts)
    cutting.stream(colptr, row, order, mean, part, sizes)
    part = without_gaps(torch.from_numpy(part), num_parts).numpy()
    sizes = np.bincount(part, minlength=num_parts)
    room = max(mean, int(SLACK * num_nodes / num_parts))
    least = max(1, int(num_nodes / num_parts / SLACK))
    for _ in range(ROUNDS):
        if cutting.refine(colptr, row, order, least, room, part, sizes) == 0:
            break
    return torch.from_numpy(part)


def without_gaps(part: Tensor, num_parts: int) -> Tensor:
    """The parts, of which the empty ones have taken nodes of the largest."""
    sizes = torch.bincount(part, minlength=num_parts)
    for empty in (sizes == 0).nonzero().view(-1).tolist():
        largest = int(sizes.argmax())
        half = (part == largest).nonzero().view(-1)[: max(1, int(sizes[largest]) // 2)]
        part[half] = empty
        sizes[largest] -= half.numel()
        sizes[empty] = half.numel()
    return part


def algorithm_of(name: str | None) -> str:
    """The algorithm of this name, or the one that is taken where none is named."""
    if name is None:
        return "metis" if find_spec("pymetis") else "greedy"
    if name not in ALGORITHMS:
        raise ValueError(f"'algorithm' must be 'metis' or 'greedy', not '{name}'")
    return name
