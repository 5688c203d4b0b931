"""Networks that share a feature space as a graph: who sees what, and how alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.distill.amalgamation.common_features import CommonFeatureLearning
from graphkit.distill.losses.multi_kernel import multi_kernel, unit_rows
from graphkit.words import refuse_class

__all__ = ["CommonSpaceGraphAdapter"]


class CommonSpaceGraphAdapter(GraphAdapter):
    r"""The networks of a :class:`~graphkit.distill.CommonFeatureLearning` as a graph.

    Each network is a node type with a node per sample, in the order of the samples, and ``x`` is
    what the sample is to that network in the common space: widths agree, so any layer may read
    two networks at once, and local structure be distilled from one to the other. With
    ``kernel=True`` the method's discrepancy is a statistic of the graph:

    .. math::
        \mathrm{MMD}^2(h_s, h_m) = \overline{w}(s, s) + \overline{w}(m, m) - 2\, \overline{w}(m, s)

    with the mean weights of its dense ``kernel`` edges, self loops included. Time grows with
    :math:`M N^2`, memory with :math:`M N k`, with ``kernel=True`` with :math:`M N^2`.

    Args:
        model (CommonFeatureLearning): The student, its teachers and the common space.
        k (int, optional): Neighbours of a sample within a network. (default: :obj:`5`)
        kernel (bool, optional): Links all samples, by kernel value. (default: :obj:`False`)

    Shapes:
        - **input:** what the networks take, and classes :math:`(N)` (optional)
        - **output:** ``x`` :math:`(N, D)`, maps flattened; ``guess`` :math:`(N)`: the class of
          the network's largest logit, counted over all label sets; ``edge_weight`` of ``near``:
          the cosine, of ``kernel``: :math:`k(u, v)`

    Raises:
        ValueError: If ``k`` is below 1, or ``y`` does not fit.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT, GCN
        >>> from graphkit.adapters import CommonSpaceGraphAdapter
        >>> from graphkit.distill import CommonFeatureLearning
        >>> student, teachers = GCN(8, 16, 2, 5), [GAT(8, 32, 2, 3), GCN(8, 24, 2, 2)]
        >>> model = CommonFeatureLearning(
        ...     student, teachers, ["convs.0"] * 3, [16, 32, 24], 12, spatial=False)
        >>> x, edge_index = torch.rand(9, 8), torch.randint(9, (2, 30))
        >>> graph = CommonSpaceGraphAdapter(model, k=3)(x, edge_index)
        >>> graph.node_types
        ['student', 'teacher_0', 'teacher_1']
        >>> graph["teacher_0", "same_sample", "student"].edge_index.shape
        torch.Size([2, 9])
    """

    def __init__(self, model: CommonFeatureLearning, k: int = 5, kernel: bool = False) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.model, self.k, self.kernel = model, k, kernel
        self.kinds = ["student", *(f"teacher_{i}" for i in range(len(model.pairs) - 1))]
        self.schema = self.describe()

    def describe(self) -> Schema:
        """The schema for so many teachers."""
        words = {
            "same_sample": "the same sample in the teacher and in the student",
            "near": "nearest neighbours in the common space; weight: cosine",
            "kernel": "all samples of both; weight: sum of Gaussian kernels",
        }
        edges = {".".join(kind): words[kind[1]] for kind in self.relations()}
        attributes: dict[str, tuple[int | str, ...]] = {}
        for kind in self.kinds:
            attributes |= {f"{kind}.x": ("N", "D"), f"{kind}.y": ("N",), f"{kind}.guess": ("N",)}
        for edge in edges:
            attributes[f"{edge}.edge_index"] = (2, "E")
            if ".same_sample." not in edge:
                attributes[f"{edge}.edge_weight"] = ("E",)
        return Schema(
            node={kind: f"a sample as the {kind.replace('_', ' ')} sees it" for kind in self.kinds},
            edge=edges,
            attributes=attributes,
            undirected={".".join((a, r, b)): a == b for a, r, b in self.relations()},
            y="the class over all label sets as the caller gives it, -1 where it is not given",
        )

    def relations(self) -> Iterator[tuple[str, str, str]]:
        """The types of edges."""
        for kind in self.kinds:
            yield kind, "near", kind
            if self.kernel:
                yield kind, "kernel", kind
        for kind in self.kinds[1:]:
            yield kind, "same_sample", "student"
            if self.kernel:
                yield kind, "kernel", "student"

    @torch.no_grad()
    def forward(self, *args: Any, y: Tensor | None = None, **kwargs: Any) -> HeteroData:
        """The graph of some samples, by what student and teachers take."""
        seen = self.model.common(*args, **kwargs)
        common = dict(zip(self.kinds, seen.common, strict=True))
        number = torch.arange(len(common["student"]), device=common["student"].device)
        y = torch.full_like(number, -1) if y is None else y
        if y.shape != number.shape:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(number)} samples")
        data, first = HeteroData(), 0
        for kind, logits in zip(self.kinds, seen.logits, strict=True):
            x, guess = common[kind].flatten(1).float(), logits.argmax(1)
            data[kind].update({"x": x, "y": y, "guess": guess + first, "num_nodes": len(number)})
            first += logits.size(1) if kind != "student" else 0
        for source, relation, target in self.relations():
            store = data[source, relation, target]
            if relation == "same_sample":
                store.edge_index = torch.stack([number, number])
            elif relation == "near":
                unit = unit_rows(common[source])
                ends = knn_edges(unit, self.k)
                store.edge_index = ends
                cosine = (unit[ends[0]] * unit[ends[1]]).sum(1)
                store.edge_weight = cosine.clamp(0, 1).float()
            else:
                weight = multi_kernel(common[source], common[target], self.model.sigmas)
                store.edge_index = torch.ones_like(weight).nonzero().t().contiguous()
                store.edge_weight = weight.flatten().float()
        return data
