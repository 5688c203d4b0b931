"""Moments and what is around them as a chain of frames."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.builders import chain_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema

__all__ = ["MomentContextGraphAdapter"]


class MomentContextGraphAdapter(GraphAdapter):
    r"""Frames in a row, each before, inside or after a moment: a sequence that
    :func:`~graphkit.vision.surround` made, or a real one whose action is known.

    A frame is inside if its middle is. Time grows with frames.

    Shapes:
        - **input:** features of frames :math:`(F, T)`; the moment's start and end as shares of
          them :math:`(2)`
        - **output:** ``x`` :math:`(T, F)`; ``edge_attr`` :math:`(E, 2)`: whether an edge leads
          ahead, and whether it crosses a boundary of the moment

    Args:
        undirected (bool, optional): Whether edges lead back as well. (default: :obj:`True`)

    Raises:
        ValueError: If shapes do not fit, or the moment ends before it starts.

    Example:
        >>> import torch
        >>> from graphkit.adapters import MomentContextGraphAdapter
        >>> graph = MomentContextGraphAdapter()(torch.rand(3, 4), torch.tensor([0.25, 0.75]))
        >>> graph.y.tolist(), graph.num_edges
        ([0, 1, 1, 2], 6)
    """

    takes: ClassVar[dict[str, int]] = {"x": 2}

    def __init__(self, undirected: bool = True) -> None:
        super().__init__()
        self.undirected = undirected
        self.schema = Schema(
            node="a frame",
            edge="is next to",
            attributes={
                "x": ("N", "F"),
                "time": ("N",),
                "y": ("N",),
                "edge_index": (2, "E"),
                "edge_attr": ("E", 2),
            },
            undirected=undirected,
            y="0 before the moment, 1 inside, 2 after it",
            differentiable=("x",),
        )

    def forward(self, x: Tensor, segment: Tensor) -> Data:
        """The graph of one sequence."""
        if segment.shape != (2,) or not segment[0] <= segment[1]:
            raise ValueError(f"'segment' must be a start and an end, got {segment.tolist()}")
        frames = x.size(1)
        time = torch.arange(frames, device=x.device)
        middle = (time + 0.5) / max(frames, 1)
        start, end = segment.detach().to(middle)
        kind = (middle >= start).long() + (middle >= end).long()
        edges = chain_edges(torch.zeros_like(time), undirected=self.undirected)
        source, target = edges
        ahead, crosses = target > source, kind[source] != kind[target]
        return Data(
            x=x.t().float().contiguous(),
            time=time,
            y=kind,
            edge_index=edges,
            edge_attr=torch.stack([ahead, crosses], 1).float(),
            num_nodes=frames,
        )
