import pytest
import torch
from torch_geometric.nn import GCNConv
from torch_geometric.utils import homophily

from graphkit.adapters import CausalPairGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import CausalAdv


def make(k=3):
    features = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 6), torch.nn.ReLU())
    return CausalPairGraphAdapter(CausalAdv(features, 6, num_classes=3), k)


def pairs(count):
    x = torch.rand(count, 3, 3)
    return x, (x + 0.1 * torch.randn(count, 3, 3)).clamp(0, 1), torch.arange(count) % 3


class TestCausalPairGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return pairs(14)

    def degenerate(self):
        return {"one sample": pairs(1), "three samples": pairs(3), "no sample": pairs(0)}

    not_claimed = {"no_edge": "a sample always has an attacked twin"}

    def recovered(self, graph, x, adversarial, y):
        adapter, _ = self.build()
        model = adapter.model.eval()
        before, after = model(x).detach(), model(adversarial).detach()
        row = torch.arange(len(y))
        return {
            "labels": (graph["natural"].y, y),
            "content": (graph["natural"].x[:, :3], before),
            "attacked content": (graph["adversarial"].x[:, :3], after),
            "style": (graph["natural"].x[:, 3:], model.style(model.features(x)).detach()),
            "robust": (graph["natural"].robust, after.argmax(1) == y),
            "predictions": (graph["adversarial"].pred, after.argmax(1)),
            "twins": (graph["attacked_to"].edge_index, torch.stack([row, row])),
        }


def test_edges_say_how_far_the_attack_went():
    adapter, (x, adversarial, y) = make(), pairs(9)
    graph = adapter(x, adversarial, y)
    found = graph["attacked_to"].edge_attr
    model = adapter.model.eval()
    logits = [model(z).detach() for z in (x, adversarial)]
    styles = [model.style(model.features(z)).detach() for z in (x, adversarial)]
    for i in range(9):
        assert found[i, 0] == (adversarial[i] - x[i]).abs().max()
        for column, z in ((1, logits[0]), (2, logits[1])):
            others = [float(z[i, j]) for j in range(3) if j != y[i]]
            assert float(found[i, column]) == pytest.approx(float(z[i, y[i]]) - max(others))
        assert torch.allclose(found[i, 3], (styles[1][i] - styles[0][i]).norm())
        assert torch.allclose(found[i, 4], (logits[1][i] - logits[0][i]).norm())


def test_relations_are_nearest_neighbours_of_their_own_part():
    x, adversarial, y = pairs(12)
    graph = make(k=2)(x, adversarial, y)
    for kind in ("natural", "adversarial"):
        for name, part in (("content", slice(3)), ("style", slice(3, None))):
            points = graph[kind].x[:, part]
            cosine = torch.cosine_similarity(points[:, None], points[None], dim=2)
            near = cosine.fill_diagonal_(-2).topk(2).indices
            expected = torch.zeros(12, 12, dtype=torch.bool).scatter(1, near, True)
            expected |= expected.t().clone()
            edges = graph[kind, f"{name}_near", kind].edge_index
            assert torch.equal(edges, expected.nonzero().t())
            assert 0 <= homophily(edges, y) <= 1


class Nodes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GCNConv(4, 6)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)


def test_nodes_of_a_graph():
    adapter = CausalPairGraphAdapter(CausalAdv(Nodes(), 6, 3), k=2)
    x, edge_index = torch.rand(8, 4), torch.randint(8, (2, 20))
    rows, y = torch.tensor([1, 3, 6]), torch.tensor([0, 2, 1])
    graph = adapter(x, x, y, edge_index, rows=rows)
    assert graph["natural"].num_nodes == 3
    expected = adapter.model.eval()(x, edge_index)[rows]
    assert torch.allclose(graph["natural"].x[:, :3], expected)
    assert not graph["attacked_to"].edge_attr[:, [0, 3, 4]].any()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    x, adversarial, y = pairs(4)
    with pytest.raises(ValueError, match="'adversarial'"):
        make()(x, adversarial[:3], y)
    with pytest.raises(ValueError, match="'y'"):
        make()(x, adversarial, y[:3])
