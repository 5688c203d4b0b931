"""The bones of faces as a graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.vision.faces.bones import FaceBones
from graphkit.vision.faces.rig import FREEDOMS
from graphkit.words import refuse_class

__all__ = ["FaceGraphAdapter"]

KINDS = ("parent", "mirror", "next")


class FaceGraphAdapter(GraphAdapter):
    r"""Bones of a :class:`~graphkit.vision.FaceBones`, the actions that drive them, the traits
    that shape them; several faces are the frames of one person.

    Bones are numbered by frame, then as the face numbers them; so are actions and traits.
    Left-right pairs are read off the bones' places. :meth:`clip` gives the same bones as a
    :class:`~graphkit.nn.SkeletonGraph` of layout ``"face-17"`` has them, for networks on
    skeletons. Time and memory grow with the number of edges.

    Args:
        face (FaceBones): The face.
        least (float, optional): Length of a parameter's move of a bone above which they are
            linked. (default: :obj:`0.001`)

    Shapes:
        - **input:** parameters :math:`(T, P)` of the frames; true intensities of the actions
          :math:`(T, A)` if known
        - **output:** ``bone.x`` :math:`(N, 10)`: place at rest, move of the place, turn,
          logarithm of the growth; ``action.x`` and ``identity.x`` :math:`(N, 1)`; ``edge_attr``
          of ``drives`` and ``shapes`` :math:`(E, 7)`: shift, turn and growth at 1, and its
          length as ``edge_weight``

    Raises:
        ValueError: If parameters or intensities do not fit or are not finite.

    Example:
        >>> import torch
        >>> from graphkit.adapters import FaceGraphAdapter
        >>> from graphkit.vision import FaceBones
        >>> graph = FaceGraphAdapter(FaceBones.standard())(torch.zeros(1, 19))
        >>> graph["bone"].num_nodes, graph["parent"].num_edges, graph["mirror"].num_edges
        (17, 16, 12)
    """

    schema = Schema(
        node={
            "bone": "a bone of the face in a frame",
            "action": "an action unit in a frame",
            "identity": "a trait of the person, in a frame",
        },
        edge={
            "bone.parent.bone": "hangs on",
            "bone.mirror.bone": "is the same bone on the other side",
            "bone.next.bone": "is the same bone in the next frame",
            "action.drives.bone": "moves the bone; edge_attr: how",
            "identity.shapes.bone": "moves the bone; edge_attr: how",
        },
        attributes={
            "bone.x": ("N", 10),
            "bone.pos": ("N", 2),
            "bone.time": ("N",),
            "action.x": ("N", 1),
            "action.y": ("N",),
            "identity.x": ("N", 1),
            **{f"bone.{kind}.bone.edge_index": (2, "E") for kind in KINDS},
            "action.drives.bone.edge_index": (2, "E"),
            "action.drives.bone.edge_attr": ("E", FREEDOMS),
            "action.drives.bone.edge_weight": ("E",),
            "identity.shapes.bone.edge_index": (2, "E"),
            "identity.shapes.bone.edge_attr": ("E", FREEDOMS),
            "identity.shapes.bone.edge_weight": ("E",),
        },
        undirected={
            "bone.parent.bone": False,
            "bone.mirror.bone": True,
            "bone.next.bone": False,
            "action.drives.bone": False,
            "identity.shapes.bone": False,
        },
        y="the true intensity of an action, -1 where it is not known",
        differentiable=("bone.x", "bone.pos", "action.x", "identity.x"),
    )

    def __init__(self, face: FaceBones, least: float = 1e-3) -> None:
        super().__init__()
        refuse_class("face", face)
        if least < 0:
            raise ValueError(f"'least' must not be negative, got {least}")
        self.face, self.least = face, least

    def forward(self, parameters: Tensor, intensities: Tensor | None = None) -> HeteroData:
        """The graph of one person's frames."""
        told = self.face.split(parameters)
        frames, bones = len(parameters), len(self.face.places)
        if intensities is None:
            intensities = torch.full_like(told.action, -1.0)
        if intensities.shape != told.action.shape or not intensities.isfinite().all():
            raise ValueError(
                f"'intensities' must be finite and {list(told.action.shape)}, got "
                f"{list(intensities.shape)}"
            )
        moves = self.face.offsets(parameters)
        place = self.face.bones(parameters)
        rest = self.face.places.expand_as(place)
        # Rows before columns, as images have them.
        seen = self.face.project(place, parameters).flip(2)
        x = torch.cat([rest, place - rest, moves[..., 3:]], 2).flatten(0, 1)
        time = torch.arange(frames, device=parameters.device)
        data = HeteroData()
        data["bone"].update(
            {
                "x": x.float(),
                "pos": seen.flatten(0, 1).float(),
                "time": time.repeat_interleave(bones),
                "num_nodes": frames * bones,
            }
        )
        data["action"].update(
            {
                "x": told.action.reshape(-1, 1).float(),
                "y": intensities.detach().flatten().float(),
                "num_nodes": told.action.numel(),
            }
        )
        data["identity"].update(
            {"x": told.identity.reshape(-1, 1).float(), "num_nodes": told.identity.numel()}
        )
        for kind, edges in self.links(frames).items():
            data["bone", kind, "bone"].edge_index = edges
        # Levers depend on the face alone: they carry no gradient.
        for source, kind, table in (
            ("action", "drives", self.face.actions),
            ("identity", "shapes", self.face.identities),
        ):
            data[source, kind, "bone"].update(self.levers(table.detach(), frames))
        return data

    def links(self, frames: int) -> dict[str, Tensor]:
        """Edges between bones: the tree, both sides, successive frames."""
        places, parents = self.face.places, self.face.parents
        bones = torch.arange(len(places), device=places.device)
        turned = places * places.new_tensor([-1.0, 1.0, 1.0])
        apart = torch.cdist(turned, places)
        twin = apart.argmin(1)
        paired = (twin != bones) & (apart.amin(1) < 1e-3 * places.norm(dim=1).amax())
        child = bones[parents != bones]
        trees = torch.stack([child, parents[child]])
        pairs = torch.stack([bones[paired], twin[paired]])
        count = len(bones) * max(frames - 1, 0)
        first = torch.arange(count, device=places.device)
        return {
            "parent": repeated(trees, frames, len(bones), len(bones)),
            "mirror": repeated(pairs, frames, len(bones), len(bones)),
            "next": torch.stack([first, first + len(bones)]),
        }

    def levers(self, table: Tensor, frames: int) -> dict[str, Tensor]:
        """Edges from parameters to the bones that they move, and how they do."""
        length = table.norm(dim=2)
        row, bone = (length > self.least).nonzero().t()
        return {
            "edge_index": repeated(torch.stack([row, bone]), frames, len(table), table.size(1)),
            "edge_attr": table[row, bone].float().repeat(frames, 1),
            "edge_weight": length[row, bone].float().repeat(frames),
        }

    def clip(self, parameters: Tensor) -> Data:
        """The bones over time as skeleton networks take them: ``x`` is ``[17, 3, T]``."""
        place = self.face.bones(parameters)
        return SkeletonGraph("face-17").to_data(place.permute(2, 0, 1).float())


def repeated(edges: Tensor, times: int, sources: int, targets: int) -> Tensor:
    """The edges of one frame in every frame, whose nodes follow one another."""
    frame = torch.arange(times, device=edges.device).view(-1, 1)
    return torch.stack(
        [(edges[0] + frame * sources).flatten(), (edges[1] + frame * targets).flatten()]
    )
