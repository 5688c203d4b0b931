"""What PyG's own tests ask of its attention layers and of what uses them, asked of ours.

Written anew from their meaning. TorchScript is left out: it has no place here.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.explain import AttentionExplainer, Explainer, Explanation, HeteroExplanation
from torch_geometric.explain.config import ExplanationType, MaskType
from torch_geometric.nn import GCNConv, HeteroConv, SAGEConv, to_hetero
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

import graphkit.nn
from graphkit.nn import DisenConv, FactorConv, SPAGANConv
from graphkit.testing import assert_same_signature

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")


@dataclass(frozen=True)
class Family:
    """One of our layers and the PyG layer it stands for."""

    ours: str
    theirs: str
    sized: bool = True
    looped: bool = True
    targets_may_miss: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> type[nn.Module]:
        return getattr(graphkit.nn, self.ours)

    def make(self, *args: Any, **options: Any) -> nn.Module:
        torch.manual_seed(0)
        return self.kind(*args, **{**self.options, **options}).eval()

    def twin(self, layer: nn.Module, *args: Any, **options: Any) -> nn.Module:
        """PyG's layer with the weights of ours."""
        other = getattr(pyg, self.theirs)(*args, **{**self.options, **options}).eval()
        other.load_state_dict(layer.state_dict())
        return other


KNOWN = [
    Family("FusedGATConv", "GATConv"),
    Family("FusedGATConv", "GATConv", options={"residual": True}),
    Family("FusedGATv2Conv", "GATv2Conv", sized=False, targets_may_miss=False),
    Family(
        "FusedGATv2Conv",
        "GATv2Conv",
        sized=False,
        targets_may_miss=False,
        options={"residual": True, "share_weights": True},
    ),
    Family(
        "FusedTransformerConv",
        "TransformerConv",
        sized=False,
        looped=False,
        targets_may_miss=False,
    ),
    Family(
        "FusedTransformerConv",
        "TransformerConv",
        sized=False,
        looped=False,
        targets_may_miss=False,
        options={"beta": True},
    ),
]
FAMILIES = [family for family in KNOWN if hasattr(graphkit.nn, family.ours)]
EDGES = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1]])


def name_of(family: Family) -> str:
    return "-".join([family.ours, *family.options])


each_family = pytest.mark.parametrize("family", FAMILIES, ids=name_of)
# One matrix for both ends cannot take two widths.
PAIRED = [family for family in FAMILIES if "share_weights" not in family.options]
each_paired = pytest.mark.parametrize("family", PAIRED, ids=name_of)


def close(out, expected):
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


@each_family
def test_one_set_of_nodes(family):
    layer = family.make(8, 32, heads=2)
    twin = family.twin(layer, 8, 32, heads=2)
    x, adjacency = torch.randn(4, 8), to_torch_csc_tensor(EDGES, size=(4, 4))
    assert str(layer) == str(twin).replace(family.theirs, family.ours)
    assert_same_signature(family.kind, getattr(pyg, family.theirs))
    out = layer(x, EDGES)
    assert out.size() == (4, 64)
    close(out, twin(x, EDGES))
    close(layer(x, adjacency.t()), twin(x, adjacency.t()))
    close(layer(x, adjacency.t()), out)
    if family.sized:
        close(layer(x, EDGES, size=(4, 4)), out)


@each_family
def test_attention_weights_of_one_set(family):
    layer = family.make(8, 32, heads=2)
    x, adjacency = torch.randn(4, 8), to_torch_csc_tensor(EDGES, size=(4, 4))
    out, (edges, alpha) = layer(x, EDGES, return_attention_weights=True)
    rows = 7 if family.looped else 4
    close(out, layer(x, EDGES))
    assert edges.size() == (2, rows)
    assert alpha.size() == (rows, 2)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    out_adj, (weighted, alpha_adj) = layer(x, adjacency.t(), return_attention_weights=True)
    close(out_adj, out)
    twin = family.twin(layer, 8, 32, heads=2)
    _, (expected, their_alpha) = twin(x, adjacency.t(), return_attention_weights=True)
    assert weighted.size() == expected.size()
    close(alpha_adj, their_alpha)
    assert alpha_adj.size() == (rows, 2)


@each_paired
def test_two_sets_of_nodes(family):
    layer = family.make(
        (8, 16), 32, heads=2, **({"add_self_loops": False} if family.looped else {})
    )
    twin = family.twin(
        layer, (8, 16), 32, heads=2, **({"add_self_loops": False} if family.looped else {})
    )
    pair = torch.randn(4, 8), torch.randn(2, 16)
    adjacency = to_torch_csc_tensor(EDGES, size=(4, 2))
    out = layer(pair, EDGES)
    assert out.size() == (2, 64)
    close(out, twin(pair, EDGES))
    close(layer(pair, adjacency.t()), out)
    if family.sized:
        close(layer(pair, EDGES, size=(4, 2)), out)
    if family.targets_may_miss:
        alone = (pair[0], None)
        expected = twin(alone, EDGES, size=(4, 2))
        assert expected.size() == (2, 64)
        close(layer(alone, EDGES, size=(4, 2)), expected)
        close(layer(alone, adjacency.t()), expected)


FILLS = [(1, 0.5), (1, "mean"), (4, 0.5), (4, "mean"), (4, "add"), (4, torch.rand(4))]


@each_family
@pytest.mark.parametrize(("edge_dim", "fill_value"), FILLS)
def test_edge_features(family, edge_dim, fill_value):
    fill = {"fill_value": fill_value} if family.looped else {}
    layer = family.make(8, 32, heads=2, edge_dim=edge_dim, **fill)
    twin = family.twin(layer, 8, 32, heads=2, edge_dim=edge_dim, **fill)
    x, edges = torch.randn(4, 8), torch.tensor([[0, 1, 2, 3], [1, 0, 1, 1]])
    flat = family.looped and edge_dim == 1
    attr = torch.randn(4) if flat else torch.randn(4, edge_dim)
    out = layer(x, edges, attr)
    assert out.size() == (4, 64)
    close(out, twin(x, edges, attr))


@each_family
def test_no_nodes_and_no_edges(family):
    layer = family.make(8, 32, heads=2)
    out = layer(torch.empty(0, 8), torch.empty(2, 0, dtype=torch.long))
    assert out.size() == (0, 64)


@each_family
def test_loops_in_an_adjacency_are_not_counted_twice(family):
    edges = torch.tensor([[0, 1, 1, 2], [1, 1, 0, 2]])
    layer, x = family.make(8, 4), torch.randn(3, 8)
    for build in (to_torch_coo_tensor, to_torch_csr_tensor):
        close(layer(x, build(edges.flip(0), size=3)), layer(x, edges))


@pytest.mark.parametrize("aggr", [None, "sum", "mean", "min", "max", "cat"])
@each_paired
def test_hetero_conv(family, aggr):
    no_loops = {"add_self_loops": False} if family.looped else {}
    x = {"paper": torch.randn(50, 32), "author": torch.randn(30, 64)}
    edges = {
        ("paper", "cites", "paper"): torch.stack([torch.randint(50, (200,)) for _ in range(2)]),
        ("paper", "by", "author"): torch.stack(
            [torch.randint(50, (100,)), torch.randint(30, (100,))]
        ),
        ("author", "of", "paper"): torch.stack(
            [torch.randint(30, (100,)), torch.randint(50, (100,))]
        ),
    }
    attr = {("paper", "by", "author"): torch.randn(100, 3)}
    torch.manual_seed(0)
    conv = HeteroConv(
        {
            ("paper", "cites", "paper"): GCNConv(-1, 16),
            ("author", "of", "paper"): SAGEConv((-1, -1), 16),
            ("paper", "by", "author"): family.make((-1, -1), 16, edge_dim=3, **no_loops),
        },
        aggr=aggr,
    )
    assert len(conv.convs) == 3
    assert str(conv) == "HeteroConv(num_relations=3)"
    out = conv(x, edges, edge_attr_dict=attr)
    assert set(out) == {"paper", "author"}
    shapes = {None: ((50, 2, 16), (30, 1, 16)), "cat": ((50, 32), (30, 16))}
    assert (out["paper"].shape, out["author"].shape) == shapes.get(aggr, ((50, 16), (30, 16)))
    layer = conv.convs["paper", "by", "author"]
    expected = family.twin(layer, (32, 64), 16, edge_dim=3, **no_loops)(
        (x["paper"], x["author"]), edges["paper", "by", "author"], attr["paper", "by", "author"]
    )
    close(out["author"].reshape_as(expected), expected)


@pytest.mark.parametrize("kind", [graphkit.nn.FusedGATConv, SPAGANConv])
def test_hetero_conv_refuses_self_loops_between_two_sets(kind):
    with pytest.raises(ValueError, match="incorrect message passing"):
        HeteroConv({("a", "to", "b"): kind((-1, -1), 4)})


TWO_TYPES = {("a", "to", "a"), ("a", "to", "b"), ("b", "to", "a")}
OTHERS = {
    "FactorConv": lambda: FactorConv((-1, -1), 8, 2),
    "DisenConv": lambda: DisenConv((-1, -1), 8, 2),
    "SPAGANConv": lambda: SPAGANConv((-1, -1), 8, lengths=(2,), add_self_loops=False),
}
LAYERS = OTHERS | {
    name_of(family): lambda family=family: family.make(
        (-1, -1), 8, **({"add_self_loops": False} if family.looped else {})
    )
    for family in PAIRED
}
each_layer = pytest.mark.parametrize("name", LAYERS)


def two_types() -> tuple[dict[str, torch.Tensor], dict[tuple[str, str, str], torch.Tensor]]:
    sizes = {"a": 10, "b": 6}
    x = {"a": torch.randn(10, 4), "b": torch.randn(6, 5)}
    edges = {
        (s, r, t): torch.stack([torch.randint(sizes[s], (30,)), torch.randint(sizes[t], (30,))])
        for s, r, t in sorted(TWO_TYPES)
    }
    return x, edges


class Net(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.first, self.second = LAYERS[name](), LAYERS[name]()

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


@each_layer
def test_to_hetero_is_a_layer_per_relation(name):
    x, edges = two_types()
    model = to_hetero(Net(name), (["a", "b"], sorted(TWO_TYPES)), aggr="sum").eval()
    with torch.no_grad():
        out = model(x, edges)
    assert {kind: value.shape for kind, value in out.items()} == {"a": (10, 8), "b": (6, 8)}
    hidden = x
    for step in ("first", "second"):
        sums: dict[str, torch.Tensor] = {}
        for s, r, t in sorted(TWO_TYPES):
            layer = getattr(model, step)[f"{s}__{r}__{t}"]
            one = layer((hidden[s], hidden[t]), edges[s, r, t])
            sums[t] = sums[t] + one if t in sums else one
        hidden = {kind: value.relu() if step == "first" else value for kind, value in sums.items()}
    for kind, value in out.items():
        close(value, hidden[kind])


@each_layer
def test_to_hetero_trains_every_weight(name):
    x, edges = two_types()
    model = to_hetero(Net(name), (["a", "b"], sorted(TWO_TYPES)))
    with torch.no_grad():
        model(x, edges)
    sum(value.square().sum() for value in model(x, edges).values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


class AttentionNet(nn.Module):
    """One layer of each family on top of another."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        width = 3
        for family in FAMILIES:
            self.layers.append(family.make(width, 8, heads=2))
            width = 16
        self.layers.append(FactorConv(width, 8, 2))
        self.layers.append(SPAGANConv(8, 7, lengths=(2,)))

    def forward(self, x, edge_index):
        for layer in self.layers:
            x = layer(x, edge_index).relu()
        return x


HOMOGENEOUS = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7],
                            [1, 0, 2, 1, 3, 2, 4, 3, 5, 4, 6, 5, 7, 6]])  # fmt: skip


def explained(model: nn.Module, **options: Any) -> Explainer:
    return Explainer(
        model,
        algorithm=AttentionExplainer(options.pop("reduce", "max")),
        explanation_type=options.pop("explanation_type", "model"),
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
        **options,
    )


@pytest.mark.parametrize("index", [None, 2, torch.arange(3)], ids=["all", "one", "some"])
@pytest.mark.parametrize("reduce", ["max", "mean", "min"])
def test_attention_explainer(index, reduce):
    explanation = explained(AttentionNet(), reduce=reduce)(
        torch.randn(8, 3), HOMOGENEOUS, index=index
    )
    assert isinstance(explanation, Explanation)
    mask = explanation.edge_mask
    assert mask.size() == (HOMOGENEOUS.size(1),)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask.max() > 0


@pytest.mark.parametrize("index", [None, 1])
def test_attention_explainer_gives_the_masks_of_pyg(index):
    ours = graphkit.nn.FusedGATConv(3, 7, heads=2)
    theirs = pyg.GATConv(3, 7, heads=2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(8, 3)
    masks = [explained(copy.deepcopy(one))(x, HOMOGENEOUS, index=index).edge_mask
             for one in (ours, theirs)]  # fmt: skip
    close(*masks)


def test_attention_explainer_refuses_what_it_refuses_in_pyg():
    for wrong in (
        {"explanation_type": ExplanationType.phenomenon},
        {"node_mask_type": MaskType.object},
    ):
        with pytest.raises(ValueError, match="not support the given explanation settings"):
            explained(AttentionNet(), **wrong)


class HeteroAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = HeteroConv({kind: LAYERS["FusedGATConv"]() for kind in sorted(TWO_TYPES)})

    def forward(self, x_dict, edge_index_dict):
        return self.conv(x_dict, edge_index_dict)["a"]


def test_attention_explainer_on_relations():
    x, edges = two_types()
    explanation = explained(HeteroAttention())(x, edges)
    assert isinstance(explanation, HeteroExplanation)
    for kind, index in edges.items():
        mask = explanation[kind].edge_mask
        assert mask.size() == (index.size(1),)
        assert mask.min() >= 0
        assert mask.max() <= 1
