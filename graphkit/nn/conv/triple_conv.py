"""Graph convolution over subject-predicate-object triples."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn import Linear
from torch_geometric.utils import is_sparse

from graphkit.catalog import method
from graphkit.nn.edges import by_flow
from graphkit.nn.fast_path import FastPath
from graphkit.ops.autograd import sums
from graphkit.ops.backends import active_backend
from graphkit.ops.checks import as_edge_index, check_tensors
from graphkit.ops.dtypes import is_half, widened
from graphkit.ops.layout.memo import remember


@method(
    paper="arXiv:1804.01622",
    title="Image Generation from Scene Graphs",
    authors="Justin Johnson, Agrim Gupta, Li Fei-Fei",
    venue="CVPR 2018",
    year=2018,
    code="https://github.com/google/sg2im",
    licence="Apache-2.0",
    takes="object features, triples with predicate features",
    gives="new features of objects and of predicates",
    deviations=[
        "the widths of objects and predicates may differ; the paper has one width",
        "a batch norm inside the two networks, off in the released models, is not offered",
    ],
    verified_by="tests/nn/conv/test_triple_conv.py",
)
class TripleConv(FastPath, fast=True):
    r"""The scene-graph convolution of the `"Image Generation from Scene Graphs"
    <https://arxiv.org/abs/1804.01622>`_ paper: objects and predicates are updated together.

    .. math::
        (\mathbf{u}^s_t, \mathbf{p}^{\prime}_t, \mathbf{u}^o_t) &= \sigma\left( \mathbf{W}_2 \,
        \sigma\left( \mathbf{W}_s \mathbf{x}_{s_t} + \mathbf{W}_p \mathbf{p}_t +
        \mathbf{W}_o \mathbf{x}_{o_t} + \mathbf{b}_1 \right) + \mathbf{b}_2 \right)

        \mathbf{x}^{\prime}_i &= \sigma\left( \mathbf{W}_4 \, \sigma\left( \mathbf{W}_3
        \operatorname*{mean} \left( \{\mathbf{u}^s_t : s_t = i\} \cup
        \{\mathbf{u}^o_t : o_t = i\} \right) + \mathbf{b}_3 \right) + \mathbf{b}_4 \right)

    for triples :math:`t` of a subject :math:`s_t`, a predicate and an object :math:`o_t`, with
    :math:`\sigma` a ReLU.  Each object pools what it gets in both roles; without triples it
    pools zero.  There is no connection from an object to itself except through its triples.

    The first product is taken per object, not per triple, and gathered: time grows with
    :math:`(N F + T F_p) H + T H (2 H + F_{out}) + N H (H + F_{out})`, memory with
    :math:`T (2H + F_{out})`.

    Args:
        in_channels (int): Width of the objects; :obj:`-1` takes it from the first input.
        out_channels (int): Width of objects and predicates that come out.
        hidden_channels (int, optional): The width :math:`H`. (default: :obj:`512`)
        edge_channels (int, optional): Width of the predicates; :obj:`-1` takes it from the first
            input. (default: :obj:`in_channels`)
        pooling (str, optional): :obj:`"mean"` or :obj:`"sum"`. (default: :obj:`"mean"`)
        **kwargs (optional): :obj:`flow` of :class:`torch_geometric.nn.MessagePassing`; against
            it, triples are (object, subject).

    Shapes:
        - **input:** objects :math:`(N, F)` or a static batch :math:`(B, N, F)`; triples
          :math:`(2, T)`, subjects first; predicates :math:`(T, F_p)`
        - **output:** objects :math:`(N, F_{out})` and predicates :math:`(T, F_{out})`, each with
          the dimension of a static batch in front

    Raises:
        ValueError: If an option or a shape is wrong.
        TypeError: If the triples are not integers.
        IndexError: If a triple names an object that is not there.

    Example:
        >>> import torch
        >>> from graphkit.nn import TripleConv
        >>> conv = TripleConv(8, 6, hidden_channels=16)
        >>> triples = torch.tensor([[0, 1], [1, 2]])
        >>> x, predicates = conv(torch.rand(3, 8), triples, torch.rand(2, 8))
        >>> x.shape, predicates.shape
        (torch.Size([3, 6]), torch.Size([2, 6]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 512,
        edge_channels: int | None = None,
        pooling: Literal["mean", "sum"] = "mean",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-2, **kwargs)
        self.refuse_keywords("'pooling' says how objects pool what they get")
        if pooling not in ("mean", "sum"):
            raise ValueError(f"'pooling' must be 'mean' or 'sum', got {pooling!r}")
        for name, value in (("out_channels", out_channels), ("hidden_channels", hidden_channels)):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        edge_channels = in_channels if edge_channels is None else edge_channels
        self.in_channels, self.out_channels = in_channels, out_channels
        self.hidden_channels, self.pooling = hidden_channels, pooling
        self.lin_subject = Linear(in_channels, hidden_channels, bias=False)
        self.lin_predicate = Linear(edge_channels, hidden_channels)
        self.lin_object = Linear(in_channels, hidden_channels, bias=False)
        self.lin_triple = nn.Linear(hidden_channels, 2 * hidden_channels + out_channels)
        self.lin_pooled = nn.Linear(hidden_channels, hidden_channels)
        self.lin_out = nn.Linear(hidden_channels, out_channels)
        self.reset_parameters()

    @property
    def inputs(self) -> tuple[Linear, Linear, Linear]:
        """The three parts of the first product."""
        return self.lin_subject, self.lin_predicate, self.lin_object

    def reset_parameters(self) -> None:
        """Draws all parameters anew: normal weights of variance two over the inputs."""
        super().reset_parameters()
        for lin in (*self.inputs, self.lin_triple, self.lin_pooled, self.lin_out):
            lin.reset_parameters()
        if any(isinstance(lin.weight, UninitializedParameter) for lin in self.inputs):
            return
        fan_in = sum(lin.weight.size(1) for lin in self.inputs)
        for lin in self.inputs:
            nn.init.normal_(lin.weight, std=(2 / max(fan_in, 1)) ** 0.5)
        for layer in (self.lin_triple, self.lin_pooled, self.lin_out):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> tuple[Tensor, Tensor]:
        """Updates objects and predicates.

        Args:
            x (torch.Tensor): Object features.
            edge_index (torch.Tensor): Subjects and objects of the triples.
            edge_attr (torch.Tensor): Predicate features.
        """
        if is_sparse(edge_index):
            raise TypeError(
                "'edge_index' must be a tensor [2, T], not a sparse adjacency: each triple has a "
                "row in 'edge_attr', and an adjacency sorts and joins its entries"
            )
        if not isinstance(x, Tensor):
            raise TypeError(
                f"'x' must be one tensor, got a {type(x).__name__}: subjects and objects are the "
                "same set, and every object is updated"
            )
        check_tensors(edge_attr=edge_attr)
        edges = by_flow(as_edge_index(edge_index), self.flow)
        self.check(x, edges, edge_attr)
        rows = x if x.dim() == 3 else x.unsqueeze(0)
        links = edge_attr if edge_attr.dim() == 3 else edge_attr.unsqueeze(0)
        backend = active_backend()
        first = sums.gather(edges, 0, self.lin_subject(rows), backend)
        first = first + sums.gather(edges, 1, self.lin_object(rows), backend)
        triples = self.lin_triple((first + self.lin_predicate(links)).relu()).relu()
        width = [self.hidden_channels, self.out_channels, self.hidden_channels]
        as_subject, predicates, as_object = triples.split(width, dim=-1)
        pooled = self.pool(as_subject, as_object, edges, rows.size(1))
        out = self.lin_out(self.lin_pooled(pooled).relu()).relu()
        return (out, predicates) if x.dim() == 3 else (out[0], predicates[0])

    def pool(self, as_subject: Tensor, as_object: Tensor, edges: Tensor, num_nodes: int) -> Tensor:
        """What each object gets in both roles; through :meth:`message` unless fast."""
        if is_half(as_subject):
            wider = self.pool(widened(as_subject), widened(as_object), edges, num_nodes)
            return wider.to(as_subject.dtype)
        backend = active_backend()
        if self.may_be_fast():
            pooled = sums.segment_sum(edges, 0, as_subject, num_nodes, backend)
            pooled = pooled + sums.segment_sum(edges, 1, as_object, num_nodes, backend)
        else:
            # Objects are the second row here; PyG looks for them where its flow says.
            to_object = edges.long() if self.flow == "source_to_target" else edges.long().flip(0)
            size = (num_nodes, num_nodes)
            pooled = self.propagate(to_object, size=size, vector=as_object)
            pooled = pooled + self.propagate(to_object.flip(0), size=size, vector=as_subject)
        if self.pooling == "mean":
            pooled = pooled / mentions(edges, num_nodes).to(pooled.dtype)
        return pooled

    def message(self, vector: Tensor) -> Tensor:
        """The vector that a triple holds for the role in question."""
        return vector

    def check(self, x: Tensor, edges: Tensor, edge_attr: Tensor) -> None:
        """Refuses wrong shapes, and fills in widths that are not known yet."""
        if x.dim() not in (2, 3) or not x.is_floating_point():
            raise ValueError(f"'x' must hold floats in 2 or 3 dimensions, got {list(x.shape)}")
        if edge_attr.dim() not in (2, x.dim()) or edge_attr.size(-2) != edges.size(1):
            raise ValueError(
                f"'edge_attr' must have a row for each of the {edges.size(1)} triples, got "
                f"{list(edge_attr.shape)}"
            )
        if isinstance(self.lin_subject.weight, UninitializedParameter) or isinstance(
            self.lin_predicate.weight, UninitializedParameter
        ):
            for lin, value in zip(self.inputs, (x, edge_attr, x), strict=True):
                if isinstance(lin.weight, UninitializedParameter):
                    lin.initialize_parameters(lin, (value,))
            self.in_channels = x.size(-1)
            self.reset_parameters()
        for name, value, lin in (
            ("x", x, self.lin_subject),
            ("edge_attr", edge_attr, self.lin_predicate),
        ):
            if value.size(-1) != lin.in_channels:
                raise ValueError(
                    f"'{name}' must have {lin.in_channels} channels, got {list(value.shape)}"
                )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"hidden_channels={self.hidden_channels}, pooling={self.pooling})"
        )


def mentions(edges: Tensor, num_nodes: int) -> Tensor:
    """How many triples name each object, at least 1, ``[N, 1]``, kept with ``edges``."""

    def count() -> Tensor:
        ones = torch.ones(1, edges.size(1), 1, dtype=torch.float32, device=edges.device)
        ends = [sums.segment_sum(edges, row, ones, num_nodes, active_backend()) for row in (0, 1)]
        return (ends[0] + ends[1])[0].clamp(min=1)

    return remember(edges, ("mentions", num_nodes), count)


def from_sg2im(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of the released code's layer (``net1.0``, ``net1.2``, …) by the names here."""
    subject, predicate, object_ = state["net1.0.weight"].chunk(3, dim=1)
    renamed = {
        "lin_subject.weight": subject,
        "lin_predicate.weight": predicate,
        "lin_predicate.bias": state["net1.0.bias"],
        "lin_object.weight": object_,
    }
    for old, new in (("net1.2", "lin_triple"), ("net2.0", "lin_pooled"), ("net2.2", "lin_out")):
        renamed |= {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias")}
    return renamed
