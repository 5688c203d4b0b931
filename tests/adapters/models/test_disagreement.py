import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCN, LabelPropagation

from graphkit.adapters import DisagreementGraphAdapter
from graphkit.distill import DFAD, GraphGenerator, ImageGenerator, LocalStructureLoss
from graphkit.testing import AdapterSuite, assert_no_trace


def network(width):
    return nn.Sequential(nn.Conv2d(1, width, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(width, 3))


def make(k=3):
    dfad = DFAD(network(2), network(5), ImageGenerator(4, size=4, hidden_channels=4))
    return DisagreementGraphAdapter(dfad, ("1", "2"), k)


class TestDisagreementGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return (torch.randn(9, 1, 4, 4),)

    def degenerate(self):
        x = torch.randn(3, 1, 4, 4)
        return {
            "no sample": (x[:0],),
            "one sample": (x[:1],),
            "fewer than k": (x,),
            "all the same": (x[:1].expand(3, 1, 4, 4).clone(),),
        }

    def recovered(self, graph, x):
        """Features, classes and gaps, from the networks themselves."""
        adapter, _ = self.build()
        student, teacher = adapter.model.student.eval(), adapter.model.teacher.eval()
        return {
            "teacher": (graph.x, teacher[:3](x)),
            "student": (graph.x_student, student[:2](x).flatten(1)),
            "gap": (graph.gap, (student(x) - teacher(x)).abs().mean(1)),
            "class": (graph.y, teacher(x).argmax(1)),
            "soft": (graph.soft, teacher(x).softmax(1)),
        }


class TestDisagreementOfGraphNetworks(AdapterSuite):
    not_claimed = {
        "no_node": "a graph generator makes at least one graph of two nodes",
        "single_node": "a graph generator makes at least one graph of two nodes",
        "no_edge": "a graph generator makes at least one graph of two nodes, which are neighbours",
        "large_k": "a graph generator makes graphs of one size",
        "degenerate": "a graph generator makes graphs of one size",
    }

    def make(self):
        generator = GraphGenerator(4, 5, num_nodes=8, degree=2.0, hidden_channels=4)
        dfad = DFAD(GCN(5, 3, 2, 4), GCN(5, 6, 2, 4), generator)
        return DisagreementGraphAdapter(dfad, ("convs.0", "convs.0"), 3)

    def example(self):
        adapter = self.make()
        with torch.no_grad():
            made = adapter.model.generator(adapter.model.noise(2))
        return (made,)

    def degenerate(self):
        return {"ordinary": self.example()}

    def recovered(self, graph, made):
        adapter, _ = self.build()
        teacher = adapter.model.teacher.eval()
        return {"class": (graph.y, teacher(made.x, made.edge_index).argmax(1))}


def test_neighbours_by_cosine_and_their_weights():
    adapter, x = make(k=2), torch.randn(12, 1, 4, 4)
    graph = adapter(x)
    unit = F.normalize(graph.x, dim=1)
    cosine = unit @ unit.t()
    best = cosine.clone().fill_diagonal_(-2).topk(2).indices
    linked = torch.zeros(12, 12, dtype=torch.bool).scatter(1, best, True)
    linked |= linked.t().clone()
    assert torch.equal(graph.edge_index, linked.nonzero().t())
    torch.testing.assert_close(graph.edge_weight, ((1 + cosine) / 2)[linked])
    assert graph.gap.min() >= 0
    assert graph.y.max() < 3


def test_the_modes_of_networks_that_are_no_submodules_stay():
    adapter = make()
    adapter.model.teacher.train()
    with assert_no_trace(adapter.model.teacher), assert_no_trace(adapter.model.student):
        adapter(torch.randn(5, 1, 4, 4))


def test_what_the_graph_is_for():
    """Structure from teacher to student, and labels spread to samples without one."""
    torch.manual_seed(0)
    graph = make()(torch.randn(40, 1, 4, 4))
    student = graph.x_student.requires_grad_()
    LocalStructureLoss()(student, graph.x, graph.edge_index).backward()
    assert student.grad.any()
    spread = LabelPropagation(10, 0.9)(graph.y, graph.edge_index, torch.arange(40) % 2 == 0)
    assert (spread.argmax(1) == graph.y)[1::2].float().mean() > 0.6


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    model = make().model
    with pytest.raises(ValueError, match="'layers' must name two"):
        DisagreementGraphAdapter(model, ("1",))
    with pytest.raises(ValueError, match="no submodule '9'"):
        DisagreementGraphAdapter(model, ("1", "9"))
    with pytest.raises(RuntimeError, match="the student does not take"):
        make()(torch.randn(2, 3, 4, 4))
