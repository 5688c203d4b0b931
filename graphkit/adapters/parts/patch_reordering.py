"""Blocks of feature maps as nodes, with the order that patch reordering gives them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import chain_edges, grid_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.vision.patch_reordering import PatchReorder

__all__ = ["PatchGraphAdapter"]

HAS = ("image", "has", "block")
ADJACENT = ("block", "adjacent", "block")
CONTAINS = ("block", "contains", "block")
NEXT = ("block", "next_in_rank", "block")


class PatchGraphAdapter(GraphAdapter):
    r"""The blocks of :class:`~graphkit.vision.PatchReorder`, of every level, as a graph.

    Patch reordering is a sort pooling of this graph: the energy is the last column of
    ``block.x``, so that ``SortAggregation(k=n * n)`` on the blocks of level 1 gives them in the
    order of the layer. Blocks are numbered level by level, in each by image and row by row.
    Time and memory grow with the number of blocks, :math:`B \sum_l n^{2l}`.

    Args:
        reorder (PatchReorder): The layer, with one order for all channels.

    Shapes:
        - **input:** feature maps :math:`(B, C, H, W)`, classes :math:`(B)` (optional)
        - **output:** ``image.x`` :math:`(B, C)`; ``block.x`` :math:`(N, C + 4)`: mean of each
          channel, level, row and column as shares of the map, energy per cell; ``block.rank``
          among the blocks of the same parent; ``block.moved_to``, where it comes to in its
          level's grid; ``block.pos`` in cells; ``edge_attr`` of ``adjacent`` :math:`(E, 2)`: step
          in rows and columns; ``edge_weight`` of ``next_in_rank`` :math:`(E)`: the energy by
          which the order holds

    Raises:
        ValueError: If the layer has an order per channel or no level, or the maps do not fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import PatchGraphAdapter
        >>> from graphkit.vision import PatchReorder
        >>> graph = PatchGraphAdapter(PatchReorder(n=2, levels=2))(torch.rand(3, 8, 8, 8))
        >>> graph["block"].num_nodes, graph["contains"].num_edges, graph["next_in_rank"].num_edges
        (60, 48, 45)
    """

    takes: ClassVar[dict[str, int]] = {"maps": 4}

    def __init__(self, reorder: PatchReorder) -> None:
        super().__init__()
        if not reorder.consistent or reorder.levels < 1:
            raise ValueError(f"'reorder' must be consistent and have a level, got {reorder}")
        self.reorder = reorder
        # Ranks follow from sorting and have no gradient; the energies that are sorted do, and
        # leave as weights of `next_in_rank`.
        self.schema = Schema(
            node={"image": "an image", "block": "a block of its feature map"},
            edge={
                "image.has.block": "an image and its largest blocks",
                "block.adjacent.block": "side by side in the same level of the same image",
                "block.contains.block": "from a block to those of the next level inside it",
                "block.next_in_rank.block": "from a block to the one that is sorted behind it",
            },
            attributes={
                "image.x": ("N", "C"),
                "image.y": ("N",),
                "block.x": ("N", "D"),
                "block.pos": ("N", 2),
                "block.level": ("N",),
                "block.image": ("N",),
                "block.rank": ("N",),
                "block.moved_to": ("N",),
                "image.has.block.edge_index": (2, "E"),
                "block.adjacent.block.edge_index": (2, "E"),
                "block.adjacent.block.edge_attr": ("E", 2),
                "block.contains.block.edge_index": (2, "E"),
                "block.next_in_rank.block.edge_index": (2, "E"),
                "block.next_in_rank.block.edge_weight": ("E",),
            },
            undirected={
                "image.has.block": False,
                "block.adjacent.block": True,
                "block.contains.block": False,
                "block.next_in_rank.block": False,
            },
            y="the image's class as the caller gives it, -1 where it is not given",
            differentiable=("image.x", "block.x", "block.next_in_rank.block.edge_weight"),
        )

    def forward(self, maps: Tensor, y: Tensor | None = None) -> HeteroData:
        """The graph of all images, disjoint but for its numbering."""
        blocks = self.reorder.blocks(maps)
        images = len(maps)
        y = torch.full((images,), -1, device=maps.device) if y is None else y
        if y.shape != (images,):
            raise ValueError(f"'y' has shape {list(y.shape)} for {images} images")
        energy = self.reorder.energy(blocks)[:, 0]
        arrived = self.reorder.order(energy.unsqueeze(1)).flatten(1).argsort(1)
        mean, cells = blocks.mean(3), blocks.size(1) * blocks.size(3)
        levels = [
            self.level(level, mean, energy / cells, arrived, maps.shape[2:])
            for level in range(1, self.reorder.levels + 1)
        ]
        merged = {key: torch.cat([level[key] for level in levels]) for key in levels[0]}
        data = HeteroData()
        data["image"].update({"x": mean.mean(2).float(), "y": y, "num_nodes": images})
        data["block"].update({**merged, "num_nodes": len(merged["x"])})
        self.link(data)
        return data

    def level(
        self, level: int, mean: Tensor, energy: Tensor, arrived: Tensor, extent: torch.Size
    ) -> dict[str, Tensor]:
        """Node attributes of the blocks of one level."""
        n, side = self.reorder.n, self.reorder.n**level
        inner, images = self.reorder.side // side, len(mean)

        def coarse(fine: Tensor) -> Tensor:
            squares = fine.unflatten(-1, (side, inner, side, inner)).transpose(-3, -2)
            return squares.flatten(-4, -3)

        moved = coarse(arrived)[:, :, 0, 0]
        row, col = moved // self.reorder.side // inner, moved % self.reorder.side // inner
        strength = coarse(energy.flatten(1)).mean((2, 3)).flatten()
        means = coarse(mean).mean((3, 4)).transpose(1, 2).flatten(0, 1)
        step = strength.new_tensor([size // self.reorder.side * inner for size in extent])
        grid = torch.arange(side, device=mean.device)
        pos = (torch.cartesian_prod(grid, grid) + 0.5) * step - 0.5
        pos = pos.repeat(images, 1)
        place = (pos + 0.5) / strength.new_tensor(tuple(extent))
        depth = strength.new_full((len(pos), 1), level)
        return {
            "x": torch.cat([means, depth, place, strength.unsqueeze(1)], 1).float(),
            "pos": pos.float(),
            "level": torch.full_like(moved.flatten(), level),
            "image": torch.arange(images, device=mean.device).repeat_interleave(side**2),
            "rank": (row % n * n + col % n).flatten(),
            "moved_to": (row * side + col).flatten(),
        }

    def link(self, data: HeteroData) -> None:
        """Adds the edges."""
        n, node = self.reorder.n, data["block"]
        device, images = node.level.device, data["image"].num_nodes
        first, beside, parents = 0, [], []
        for level in range(1, self.reorder.levels + 1):
            side = n**level
            starts = first + torch.arange(images, device=device) * side**2
            base = grid_edges(side, side, device=device)
            beside.append((base[:, None] + starts[:, None]).flatten(1))
            cell = torch.arange(side**2, device=device)
            over = cell // side // n * (side // n) + cell % side // n
            above = first - images * (side // n) ** 2
            begin = above + torch.arange(images, device=device) * (side // n) ** 2
            parents.append((over + begin[:, None]).flatten())
            first += images * side**2
        has, edges = torch.arange(len(parents[0]), device=device), torch.cat(beside, 1)
        data[HAS].edge_index = torch.stack([has // n**2, has])
        data[ADJACENT].edge_index = edges
        data[ADJACENT].edge_attr = (node.pos[edges[1]] - node.pos[edges[0]]).sign()
        parent = torch.cat(parents)
        child = torch.arange(len(parent), device=device)
        inside = (node.level > 1).nonzero().squeeze(1)
        inside = inside[parent[inside].argsort(stable=True)]
        data[CONTAINS].edge_index = torch.stack([parent[inside], child[inside]])
        chain = chain_edges(parent - parent.min() if len(parent) else parent, node.rank)
        energy = node.x[:, -1]
        data[NEXT].edge_index = chain
        data[NEXT].edge_weight = energy[chain[0]] - energy[chain[1]]
