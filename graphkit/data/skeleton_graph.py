"""The joints and bones of a body as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_dense_batch, to_undirected

from graphkit.data.skeleton_layouts import LAYOUTS
from graphkit.words import did_you_mean

__all__ = ["SkeletonGraph"]

Strategy = Literal["uniform", "distance", "spatial", "stgcn_spatial"]
STRATEGIES = ("uniform", "distance", "spatial", "stgcn_spatial")


class SkeletonGraph:
    r"""The graph of a skeleton and its partition into subsets of neighbours, as in the
    `"Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition"
    <https://arxiv.org/abs/1801.07455>`_ paper.

    .. math::
        \mathbf{x}^{\prime}_w = \sum_{k} \mathbf{W}_k \sum_v \mathbf{x}_v \mathbf{A}^k_{vw},
        \qquad \sum_v \mathbf{A}_{vw} = 1

    * :obj:`"uniform"`: one subset, all neighbours and the joint itself;
    * :obj:`"distance"`: one subset for each number of hops :math:`0, 1, \dots`;
    * :obj:`"spatial"`: the joint itself, its parents, its children, each subset averaged on its
      own, as in everything since 2s-AGCN;
    * :obj:`"stgcn_spatial"`: ST-GCN's own: neighbours as near to the centre, those further
      from it, those nearer to it, averaged together.

    Rows of ``adjacency[k]`` are sources, columns are targets, as in ``edge_index``.

    Args:
        layout (str or sequence): :obj:`"ntu-25"`, :obj:`"kinect-20"` (Kinect SDK 1 and
            NW-UCLA), :obj:`"utd-mhad-20"` (the same joints in UTD-MHAD's order),
            :obj:`"coco-17"`, :obj:`"openpose-18"`, :obj:`"mediapipe-33"` (the tree in MediaPipe's
            connections, the face hung on the nose), :obj:`"face-17"` (the bones of
            :class:`~graphkit.vision.FaceBones`), or pairs of joints ``(child, parent)``,
            counted from 0 or by name.
        strategy (str, optional): See above. (default: :obj:`"spatial"`)
        max_hop (int, optional): How far neighbours are, for :obj:`"uniform"`,
            :obj:`"distance"` and :obj:`"stgcn_spatial"`. (default: :obj:`1`)
        center (int, optional): The middle of the body. (default: the joint without parent)
        joints (sequence of str, optional): Names for your own pairs, in the order of the data;
            ``left_…`` and ``right_…`` make two joints each other's mirror image.
            (default: :obj:`None`)

    Shapes:
        - **edge_index:** :math:`(2, 2 (V - 1))` for a tree, both directions
        - **adjacency:** :math:`(K, V, V)`, float32
        - **parents, mirror:** :math:`(V)`
        - **towards:** :math:`(V)`, what the stream of bones takes each joint relative to: its
          parent, or what PYSKL published for COCO's hips and OpenPose's root

    Raises:
        ValueError: If a layout, a strategy or a pair of joints is wrong.

    Example:
        >>> from graphkit.nn import SkeletonGraph
        >>> graph = SkeletonGraph("ntu-25")
        >>> graph.num_joints, graph.joints[graph.center], graph.adjacency.shape
        (25, 'spine_shoulder', torch.Size([3, 25, 25]))
        >>> chain = SkeletonGraph([(1, 0), (2, 1)], strategy="distance")
        >>> chain.parents.tolist(), chain.edge_index.tolist()
        ([0, 0, 1], [[0, 1, 1, 2], [1, 0, 2, 1]])
    """

    def __init__(
        self,
        layout: str | Sequence[tuple[int, int]] | Sequence[tuple[str, str]],
        strategy: Strategy = "spatial",
        max_hop: int = 1,
        center: int | None = None,
        joints: Sequence[str] | None = None,
    ) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(f"'strategy' must be one of {STRATEGIES}, got {strategy!r}")
        if max_hop < 1:
            raise ValueError(f"'max_hop' must be at least 1, got {max_hop}")
        towards: tuple[int, ...] | None = None
        if isinstance(layout, str):
            if layout not in LAYOUTS:
                raise ValueError(f"'layout' must be one of {sorted(LAYOUTS)}, got {layout!r}")
            joints, parents, towards = LAYOUTS[layout]
            layout_name, pairs = layout, [(v, p) for v, p in enumerate(parents) if v != p]
        else:
            layout_name, pairs = "own", numbered(layout, joints)
        self.layout, self.strategy, self.max_hop = layout_name, strategy, max_hop
        self.bones = checked(pairs)
        self.num_joints = max(max(pair) for pair in pairs) + 1
        self.joints = tuple(joints) if joints else tuple(map(str, range(self.num_joints)))
        if len(self.joints) != self.num_joints:
            raise ValueError(f"'joints' has {len(self.joints)} names for {self.num_joints} joints")
        self.center = self.find_center() if center is None else center
        if not 0 <= self.center < self.num_joints:
            raise ValueError(f"'center' must be a joint of {self.num_joints}, got {center}")
        self.parents = self.find_parents()
        self.towards = self.parents if towards is None else torch.tensor(towards)
        self.mirror = torch.tensor(
            [self.joints.index(mirrored(n, self.joints)) for n in self.joints]
        )
        self.edge_index = coalesce(to_undirected(torch.tensor(self.bones).t()))
        self.adjacency = self.partition()

    def find_center(self) -> int:
        """The one joint that is nobody's child."""
        roots = set(range(self.num_joints)) - {child for child, _ in self.bones}
        if len(roots) != 1:
            raise ValueError(f"give 'center': joints without a parent are {sorted(roots)}")
        return roots.pop()

    def find_parents(self) -> Tensor:
        """The parent of each joint, the first one named; roots are their own."""
        parents = dict(reversed(self.bones)) | {self.center: self.center}
        return torch.tensor([parents.get(joint, joint) for joint in range(self.num_joints)])

    def hops(self) -> Tensor:
        """The number of bones between any two joints, infinite without a path."""
        source, target = self.edge_index.tolist()
        shape = (self.num_joints, self.num_joints)
        bones = coo_array(([1.0] * len(source), (source, target)), shape=shape).tocsr()
        return torch.from_numpy(shortest_path(bones, unweighted=True))

    def partition(self) -> Tensor:
        """The adjacency of each subset."""
        eye = torch.eye(self.num_joints, dtype=torch.double)
        if self.strategy == "spatial":
            child, parent = torch.tensor(self.bones).t()
            down = torch.zeros_like(eye)
            down[parent, child] = 1.0
            return torch.stack([eye, averaged(down), averaged(down.t())]).float()
        hops = self.hops()
        whole = averaged((hops <= self.max_hop).double())
        if self.strategy == "uniform":
            return whole.unsqueeze(0).float()
        subsets = [whole * (hops == hop) for hop in range(self.max_hop + 1)]
        if self.strategy == "stgcn_spatial":
            source, target = hops[self.center].unsqueeze(1), hops[self.center].unsqueeze(0)
            subsets = [
                whole * near for near in (source == target, source > target, source < target)
            ]
        return torch.stack(subsets).float()

    def to_data(self, x: Tensor) -> Data:
        r"""One clip as a graph: a node per person and joint, features over time.

        Shapes:
            - **input:** :math:`(C, T, V)` or :math:`(C, T, V, M)`
            - **output:** ``x`` :math:`(M V, C, T)`, persons one after another
        """
        if x.dim() not in (3, 4) or x.size(2) != self.num_joints:
            raise ValueError(
                f"'x' must be [C, T, {self.num_joints}] or [C, T, {self.num_joints}, M], "
                f"got {list(x.shape)}"
            )
        nodes = (x if x.dim() == 4 else x.unsqueeze(3)).permute(3, 2, 0, 1)
        persons = torch.arange(nodes.size(0), device=self.edge_index.device).view(-1, 1)
        persons = persons * self.num_joints
        edges = (self.edge_index.unsqueeze(1) + persons).flatten(1)
        return Data(
            x=nodes.flatten(0, 1).contiguous(),
            edge_index=edges.to(x.device),
            num_nodes=nodes.size(0) * self.num_joints,
        )

    def to_dense(self, x: Tensor, batch: Tensor | None, batch_size: int, num_person: int) -> Tensor:
        r"""The opposite of :meth:`to_data` for a batch; persons that are not there are zero.

        Shapes:
            - **input:** ``x`` :math:`(N, C, T)`, ``batch`` :math:`(N)`, sorted
            - **output:** :math:`(B, C, T, V, M)`
        """
        if x.dim() != 3:
            raise ValueError(f"'x' of a graph must be [nodes, C, T], got {list(x.shape)}")
        if batch is None:
            batch = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        sizes = batch.bincount(minlength=batch_size)
        most = num_person * self.num_joints
        if ((sizes % self.num_joints != 0) | (sizes > most)).any():
            raise ValueError(
                f"'batch' holds graphs of {sizes.unique().tolist()} nodes; each must have "
                f"{self.num_joints} per person, and {num_person} persons at most"
            )
        dense, _ = to_dense_batch(x, batch, max_num_nodes=most, batch_size=batch_size)
        return dense.unflatten(1, (num_person, self.num_joints)).permute(0, 3, 4, 2, 1)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.layout!r}, strategy={self.strategy!r}, "
            f"num_joints={self.num_joints})"
        )


def numbered(
    pairs: Sequence[tuple[int, int]] | Sequence[tuple[str, str]], joints: Sequence[str] | None
) -> list[tuple[int, int]]:
    """Pairs of numbers, also from pairs of names."""
    names = {name: number for number, name in enumerate(joints or ())}
    if joints and len(names) != len(joints):
        raise ValueError(f"'joints' must hold different names, got {list(joints)}")
    numbers = []
    for child, parent in pairs:
        for end in (child, parent):
            if isinstance(end, str) and end not in names:
                raise ValueError(
                    f"'layout' names a joint {end!r}; {did_you_mean(end, names)}"
                    if names
                    else "'layout' holds names: give 'joints', all names in the order of the data"
                )
        ends = [names[end] if isinstance(end, str) else int(end) for end in (child, parent)]
        numbers.append((ends[0], ends[1]))
    return numbers


def checked(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs, if they are bones of a skeleton without gaps in the numbers of joints."""
    if not pairs:
        raise ValueError("'layout' holds no pair of joints")
    loops = [pair for pair in pairs if pair[0] == pair[1]]
    twice = [pair for pair in pairs if pairs.count(pair) > 1]
    named = {joint for pair in pairs for joint in pair}
    missing = sorted(set(range(max(named) + 1)) ^ named)
    for what, wrong in (("loops", loops), ("repeated pairs", twice), ("gaps at joints", missing)):
        if wrong:
            raise ValueError(f"'layout' has {what}: {wrong}")
    return pairs


def mirrored(name: str, joints: Sequence[str]) -> str:
    """The name of the same joint on the other side."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        twin = other + name.removeprefix(side)
        if name.startswith(side) and twin in joints:
            return twin
    return name


def averaged(adjacency: Tensor) -> Tensor:
    """Columns that sum to 1, or to 0 where there is no neighbour."""
    return adjacency / adjacency.sum(dim=0).clamp(min=1)
