"""What the networks on skeletons share: what they take, and what is in front and behind."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.skeletons.joint_mixing import JointMixing
from graphkit.ops.dtypes import is_half
from graphkit.refusals import refuse_infinite

__all__ = ["SkeletonModel"]

Model = TypeVar("Model", bound="SkeletonModel")


class SkeletonModel(nn.Module):
    """Normalises clips, folds persons into the batch, and classifies pooled features.

    Subclasses fill :attr:`blocks`, which work on ``[N, C, V, T]``, channels last.

    Args:
        in_channels (int): Numbers per joint and frame.
        num_classes (int): Number of scores.
        graph (SkeletonGraph): The skeleton.
        hidden_channels (int): Width of the first stage; each further one doubles it.
        num_layers (sequence of int): Blocks per stage.
        num_person (int): Most persons in a clip.
        dropout (float): In front of the classifier.
        norm (str): :obj:`"MVC"` normalises every person, joint and coordinate on its own,
            :obj:`"VC"` all persons alike.
        min_frames (int): Fewer are refused.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        graph: SkeletonGraph,
        hidden_channels: int,
        num_layers: tuple[int, ...] | list[int],
        num_person: int,
        dropout: float,
        norm: Literal["MVC", "VC"],
        min_frames: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(graph, SkeletonGraph):
            raise ValueError(f"'graph' must be a SkeletonGraph, got {type(graph).__name__}")
        sizes = {"in_channels": in_channels, "num_classes": num_classes, "num_person": num_person}
        for name, size in {**sizes, "hidden_channels": hidden_channels}.items():
            if size < 1:
                raise ValueError(f"{name!r} must be at least 1, got {size}")
        if not num_layers or min(num_layers) < 1:
            raise ValueError(f"'num_layers' must name blocks per stage, got {num_layers}")
        self.in_channels, self.num_classes, self.graph = in_channels, num_classes, graph
        self.num_person, self.per_person, self.min_frames = num_person, norm == "MVC", min_frames
        self.widths = [
            hidden_channels << s for s, count in enumerate(num_layers) for _ in range(count)
        ]
        columns = graph.num_joints * in_channels * (num_person if self.per_person else 1)
        self.at_once: int | None = None
        self.data_norm = nn.BatchNorm1d(columns)
        self.blocks = nn.ModuleList()
        self.dropout = nn.Dropout(dropout)
        self.lin = nn.Linear(self.widths[-1], num_classes)
        self.start_classifier()

    def start_classifier(self) -> None:
        """Normal weights by the number of classes, and no bias."""
        nn.init.normal_(self.lin.weight, 0, math.sqrt(2 / self.num_classes))
        nn.init.zeros_(self.lin.bias)

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        self.data_norm.reset_parameters()
        for block in self.blocks:
            block.reset_parameters()  # type: ignore[operator]
        self.start_classifier()

    def forward(self, x: Tensor | Data) -> Tensor:
        """Scores clips.

        Args:
            x (torch.Tensor or Data): Clips ``[B, C, T, V, M]``, or graphs as
                :meth:`SkeletonGraph.to_data` makes them, one or a batch.
        """
        clips = self.clips(x)
        if self.at_once is None or torch.is_grad_enabled():
            return self.scores(clips)
        return torch.cat([self.scores(part) for part in clips.split(self.at_once)])

    def scores(self, clips: Tensor) -> Tensor:
        """The scores of clips that are as they should be."""
        features = self.features(self.people(clips))
        pooled = features.mean((2, 3)).unflatten(0, (-1, clips.size(-1))).mean(1)
        return self.lin(self.dropout(pooled))

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """Width of input and output, and stride, of every block."""
        width = self.in_channels
        for number, wider in enumerate(self.widths):
            yield width, wider, 2 if number and wider != width else 1
            width = wider

    def features(self, x: Tensor) -> Tensor:
        """The blocks, one after another."""
        for block in self.blocks:
            x = block(x)
        return x

    def clips(self, x: Tensor | Data) -> Tensor:
        """The input as ``[B, C, T, V, M]``, if it is one."""
        if isinstance(x, Data):
            size = int(getattr(x, "num_graphs", 1))
            batch = getattr(x, "batch", None)
            x = self.graph.to_dense(x.x, batch, size, self.num_person)
        if x.dim() != 5 or x.size(1) != self.in_channels or x.size(3) != self.graph.num_joints:
            raise ValueError(
                f"'x' must be [B, {self.in_channels}, T, {self.graph.num_joints}, M], "
                f"got {list(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"'x' must hold floats, got {x.dtype}")
        most = self.num_person if self.per_person else max(x.size(4), 1)
        if x.size(0) == 0 or x.size(2) < self.min_frames or x.size(4) != most:
            persons = self.num_person if self.per_person else "1 or more"
            raise ValueError(
                f"'x' must hold clips of {self.min_frames} or more frames and {persons} persons, "
                f"got {list(x.shape)}"
            )
        if is_half(x):
            refuse_infinite("x", x)
        elif not torch.compiler.is_compiling() and not x.sum().isfinite():
            raise ValueError("'x' holds NaN or infinite values")
        return x

    def people(self, clips: Tensor) -> Tensor:
        """Normalised, one person per row: ``[B M, C, V, T]``, channels last."""
        size, channels, frames, joints, persons = clips.shape
        x = clips.permute(0, 4, 3, 1, 2)
        rows = size if self.per_person else size * persons
        x = self.data_norm(x.reshape(rows, -1, frames))
        x = x.view(size * persons, joints, channels, frames)
        return x.transpose(2, 3).contiguous().permute(0, 3, 1, 2)

    def use_messages(self: Model, on: bool = True) -> Model:
        """Lets joints hear each other by messages along edges instead of by dense products.

        The numbers are the same; it is slower, and what PyG's explainers understand.
        """
        for module in self.modules():
            if isinstance(module, JointMixing):
                module.dense = not on
        return self

    def fuse(self: Model, at_once: int | None = 8) -> Model:
        """A copy for inference that gives the same scores in less time.

        Batch normalisation is folded into convolutions, and without gradients ``at_once`` few
        clips are seen at a time, so that features stay in the processor's cache; :obj:`None`
        takes all, which suits a GPU.
        """
        model = copy.deepcopy(self).eval().requires_grad_(False)
        model.at_once = at_once
        for module in list(model.modules()):
            fold = getattr(module, "fold", None)
            if fold is not None:
                fold()
        return model

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.num_classes}, {self.graph}, "
            f"widths={self.widths})"
        )
