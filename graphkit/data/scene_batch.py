"""Several scene graphs as one disjoint union, and objects taken out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch_geometric.data import Data

__all__ = ["KnockOut", "SceneBatch"]


@dataclass
class SceneBatch:
    r"""Scene graphs as one disjoint union, nodes and triples ordered by graph.

    Args:
        x (torch.Tensor): Object categories.
        edge_index (torch.Tensor): Subjects and objects of the triples.
        edge_attr (torch.Tensor): Predicates.
        batch (torch.Tensor): The graph of each node, ascending.
        num_graphs (int): Number of graphs; the last ones may be empty.
        x_soft (torch.Tensor, optional): One-hot rows of :obj:`x` that carry a gradient.
        edge_soft (torch.Tensor, optional): The same for :obj:`edge_attr`.

    Shapes:
        - **input:** categories :math:`(N)`, triples :math:`(2, T)`, predicates :math:`(T)`,
          graphs :math:`(N)`

    Raises:
        ValueError: If shapes do not fit, nodes are not ordered by graph, or a triple joins two
            graphs.
        IndexError: If a triple names an object that is not there.

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> scenes = SceneBatch.from_data(list(SyntheticScenes(num_graphs=3)))
        >>> scenes.num_graphs, scenes.select(torch.tensor([1, 1])).x.tolist()
        (3, [6, 3, 9, 21, 6, 3, 9, 21])
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    batch: Tensor
    num_graphs: int
    x_soft: Tensor | None = None
    edge_soft: Tensor | None = None
    node_ptr: Tensor = field(init=False, repr=False)
    edge_ptr: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        nodes = self.x.numel()
        if self.x.dim() != 1 or self.batch.shape != self.x.shape:
            raise ValueError(
                f"'x' and 'batch' must have shape [N], got {list(self.x.shape)} and "
                f"{list(self.batch.shape)}"
            )
        if self.edge_index.dim() != 2 or self.edge_index.size(0) != 2:
            raise ValueError(f"'edge_index' must be [2, T], got {list(self.edge_index.shape)}")
        if self.edge_attr.shape != self.edge_index.shape[1:]:
            raise ValueError(
                f"'edge_attr' must have a predicate for each of the {self.edge_index.size(1)} "
                f"triples, got {list(self.edge_attr.shape)}"
            )
        if self.edge_attr.numel():
            low, high = self.edge_index.aminmax()
            if low < 0 or high >= nodes:
                wrong = int(low) if low < 0 else int(high)
                raise IndexError(f"'edge_index' names object {wrong}, but there are {nodes}")
        ends = self.batch[self.edge_index]
        if (ends[0] != ends[1]).any() or (self.batch.diff() < 0).any():
            raise ValueError("'batch' must ascend, and a triple must stay in one graph")
        self.node_ptr = pointer(self.batch, self.num_graphs)
        # Triples of a graph stand together, so that they are a slice as well as its nodes are.
        if (ends[0].diff() < 0).any():
            order = ends[0].argsort(stable=True)
            self.edge_index, self.edge_attr = self.edge_index[:, order], self.edge_attr[order]
            self.edge_soft = None if self.edge_soft is None else self.edge_soft[order]
            ends = ends[:, order]
        self.edge_ptr = pointer(ends[0], self.num_graphs)

    @classmethod
    def from_data(cls, scenes: Data | SceneBatch | Sequence[Data]) -> SceneBatch:
        """The union of scene graphs: one, a list, a data set, or a PyG batch of them."""
        if isinstance(scenes, SceneBatch):
            return scenes
        if isinstance(scenes, Data):
            for name in ("x", "edge_index", "edge_attr"):
                if not isinstance(scenes.get(name, None), Tensor):
                    raise ValueError(f"a scene graph needs '{name}'")
            batch = scenes.get("batch", None)
            if batch is None:
                batch = torch.zeros_like(scenes.x)
            graphs = getattr(scenes, "num_graphs", None) if "ptr" in scenes else None
            count = graphs or (int(batch.max()) + 1 if batch.numel() else 1)
            return cls(scenes.x, scenes.edge_index, scenes.edge_attr, batch, count)
        parts = list(scenes)
        if not parts:
            raise ValueError("'scenes' holds no scene graph")
        device = parts[0].x.device
        sizes = torch.tensor([part.x.numel() for part in parts], device=device)
        first = (sizes.cumsum(0) - sizes).tolist()
        return cls(
            torch.cat([part.x for part in parts]),
            torch.cat([p.edge_index + shift for p, shift in zip(parts, first, strict=True)], 1),
            torch.cat([part.edge_attr for part in parts]),
            torch.arange(len(parts), device=device).repeat_interleave(sizes),
            len(parts),
        )

    @property
    def edge_batch(self) -> Tensor:
        """The graph of each triple."""
        return self.batch[self.edge_index[0]]

    @property
    def num_nodes(self) -> int:
        """Number of objects in all graphs."""
        return self.x.numel()

    def check_names(self, num_objects: int, num_predicates: int) -> None:
        """Raises unless every category and every predicate is known."""
        for name, values, limit in (
            ("x", self.x, num_objects),
            ("edge_attr", self.edge_attr, num_predicates),
        ):
            if values.dtype != torch.int64:
                raise TypeError(f"'{name}' must hold int64 numbers, got {values.dtype}")
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < limit:
                raise ValueError(
                    f"'{name}' must lie between 0 and {limit - 1}, got values from "
                    f"{int(values.min())} to {int(values.max())}"
                )

    def to(self, device: torch.device | str) -> SceneBatch:
        """The same graphs on a device."""
        return SceneBatch(
            self.x.to(device),
            self.edge_index.to(device),
            self.edge_attr.to(device),
            self.batch.to(device),
            self.num_graphs,
            None if self.x_soft is None else self.x_soft.to(device),
            None if self.edge_soft is None else self.edge_soft.to(device),
        )

    def to_data_list(self) -> list[Data]:
        """The graphs one by one."""
        parts = []
        for graph in range(self.num_graphs):
            nodes = slice(int(self.node_ptr[graph]), int(self.node_ptr[graph + 1]))
            edges = slice(int(self.edge_ptr[graph]), int(self.edge_ptr[graph + 1]))
            parts.append(
                Data(
                    x=self.x[nodes],
                    edge_index=self.edge_index[:, edges] - nodes.start,
                    edge_attr=self.edge_attr[edges],
                    num_nodes=nodes.stop - nodes.start,
                )
            )
        return parts

    def select(self, graphs: Tensor) -> SceneBatch:
        """Some of the graphs, in the order asked for, also several times."""
        nodes, batch = spans(self.node_ptr, graphs)
        edges, owner = spans(self.edge_ptr, graphs)
        sizes = self.node_ptr.diff()[graphs]
        # Triples name objects by their number in the union: from where the graph was to where
        # it goes.  A graph asked for twice has two shifts, so they belong to the choice.
        shift = (sizes.cumsum(0) - sizes) - self.node_ptr[graphs]
        return SceneBatch(
            self.x[nodes],
            self.edge_index[:, edges] + shift[owner],
            self.edge_attr[edges],
            batch,
            graphs.numel(),
        )

    def keep(self, mask: Tensor) -> SceneBatch:
        """The graphs with some of their objects and the triples between them."""
        number = mask.cumsum(0) - 1
        edges = mask[self.edge_index].all(0)
        return SceneBatch(
            self.x[mask],
            number[self.edge_index[:, edges]],
            self.edge_attr[edges],
            self.batch[mask],
            self.num_graphs,
        )

    def knock_out(self, node: Tensor, drop_orphans: bool = False) -> KnockOut:
        """Takes one object out of each graph, :obj:`node` ``[B]``; -1 leaves a graph whole.

        Args:
            node (torch.Tensor): Numbers of the objects in the union.
            drop_orphans (bool, optional): Takes objects out as well that have lost their only
                triples, so that they do not tell how well connected the missing one was.
                (default: :obj:`False`)
        """
        stays = torch.ones(self.num_nodes, dtype=torch.bool, device=self.x.device)
        stays[node[node >= 0]] = False
        if drop_orphans:
            # Orphans had a triple before and have none after; lone objects never had one.
            inner = stays[self.edge_index].all(0)
            before, after = (torch.zeros_like(stays) for _ in range(2))
            before[self.edge_index.flatten()] = True
            after[self.edge_index[:, inner].flatten()] = True
            stays &= after | ~before
        # The place of an object among those that stay, which is its number in the rest.
        number = stays.cumsum(0) - 1
        # Per triple the object that is taken from its graph; -1 equals no end of a triple.
        taken = node[self.edge_batch]
        rows, directions, predicates = [], [], []
        for direction in (0, 1):
            mine = self.edge_index[direction] == taken
            other = self.edge_index[1 - direction, mine]
            there = stays[other]
            rows.append(number[other[there]])
            directions.append(torch.full_like(rows[-1], direction))
            predicates.append(self.edge_attr[mine][there])
        category = self.x.new_full(node.shape, -1)
        category[node >= 0] = self.x[node[node >= 0]]
        links = torch.stack([torch.cat(rows), torch.cat(directions), torch.cat(predicates)])
        return KnockOut(self.keep(stays), category, links, self, node)

    def leave_one_out(self, drop_orphans: bool = False) -> KnockOut:
        """Every object of every graph taken out once, each out of its own copy of the graph."""
        # ``batch`` names the graph of each object: a copy of the graph for every one of them.
        copies = self.select(self.batch)
        place = torch.arange(self.num_nodes, device=self.x.device) - self.node_ptr[self.batch]
        return copies.knock_out(copies.node_ptr[:-1] + place, drop_orphans)


@dataclass
class KnockOut:
    """Scene graphs without one object each, and what was taken.

    Args:
        rest (SceneBatch): What is left.
        category (torch.Tensor): The category taken out of each graph, -1 where none was.
        links (torch.Tensor): The triples taken with it: the object of the rest, 0 where the
            taken object was the subject and 1 where it was the object, the predicate.
        whole (SceneBatch): The graphs before.
        node (torch.Tensor): The objects taken, by their number in the whole graphs.

    Shapes:
        - **output:** categories :math:`(B)`, links :math:`(3, L)`, objects :math:`(B)`
    """

    rest: SceneBatch
    category: Tensor
    links: Tensor
    whole: SceneBatch
    node: Tensor

    def to(self, device: torch.device | str) -> KnockOut:
        """The same on a device."""
        return KnockOut(
            self.rest.to(device),
            self.category.to(device),
            self.links.to(device),
            self.whole.to(device),
            self.node.to(device),
        )

    def choose(self, mask: Tensor) -> KnockOut:
        """Those of some graphs, ``mask [B]``."""
        graphs = mask.nonzero()[:, 0]
        rest, whole = self.rest.select(graphs), self.whole.select(graphs)
        old, direction, predicate = self.links
        owner = self.rest.batch[old]
        mine = mask[owner]
        # A graph's place among those asked for; of the others it is wrong, and never read.
        place = mask.cumsum(0) - 1
        shift = rest.node_ptr[place] - self.rest.node_ptr[:-1]
        node = self.node + (whole.node_ptr[place] - self.whole.node_ptr[:-1])
        node = torch.where(self.node < 0, -1, node)[graphs]
        links = torch.stack([old + shift[owner], direction, predicate])[:, mine]
        return KnockOut(rest, self.category[graphs], links, whole, node)

    def split(self, size: int = 256) -> list[KnockOut]:
        """Parts of so many graphs, whose features fit into a processor's cache."""
        number = torch.arange(self.category.numel(), device=self.node.device)
        return [
            self.choose((number >= start) & (number < start + size))
            for start in range(0, number.numel(), size)
        ]


def pointer(group: Tensor, num_groups: int) -> Tensor:
    """Where each group begins in an ascending list, and where the last one ends."""
    sizes = torch.bincount(group, minlength=num_groups)
    if sizes.numel() > num_groups:
        raise ValueError(f"'batch' names graph {int(group.max())}, but there are {num_groups}")
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def spans(ptr: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """The entries of some groups, and for each the position of its group in the choice."""
    # Counting through all entries, with a jump to the group's own place where one begins.
    sizes = ptr.diff()[groups]
    owner = torch.arange(groups.numel(), device=ptr.device).repeat_interleave(sizes)
    first = ptr[groups] - (sizes.cumsum(0) - sizes)
    return torch.arange(owner.numel(), device=ptr.device) + first[owner], owner
