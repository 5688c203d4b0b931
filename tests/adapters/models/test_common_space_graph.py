import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GAT, GCN, RGCNConv

from graphkit.adapters import CommonSpaceGraphAdapter
from graphkit.distill import CommonFeatureLearning, LocalStructureLoss
from graphkit.testing import AdapterSuite

EVERYWHERE = "a sample is in every network, and so linked to itself"


def network(width, classes):
    conv = nn.Conv2d(1, width, 3, 2, 1)
    return nn.Sequential(
        conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
    )


def make(k=3, kernel=False, **options):
    student, *teachers = (network(w, c) for w, c in ((5, 5), (7, 3), (6, 2)))
    model = CommonFeatureLearning(student, teachers, ["1"] * 3, (5, 7, 6), 4, **options)
    return CommonSpaceGraphAdapter(model, k, kernel)


class TestCommonSpaceGraphAdapter(AdapterSuite):
    not_claimed = {"no_edge": EVERYWHERE}
    kernel = False

    def make(self):
        return make(kernel=self.kernel)

    def example(self):
        return (torch.rand(9, 1, 4, 4),)

    def degenerate(self):
        x = torch.rand(3, 1, 4, 4)
        return {
            "no image": (x[:0],),
            "one image": (x[:1],),
            "fewer than k": (x,),
            "all the same": (x[:1].expand(3, 1, 4, 4).clone(),),
        }

    def recovered(self, graph, x):
        """Common features, predictions, alignment."""
        adapter, _ = self.build()
        seen = adapter.model.common(x)
        joint = torch.cat(seen.logits[1:], 1)
        second = graph["teacher_1"].guess
        return {
            "student": (graph["student"].x, seen.common[0].flatten(1)),
            "teacher": (graph["teacher_1"].x, seen.common[2].flatten(1)),
            "guess": (graph["student"].guess, seen.logits[0].argmax(1)),
            "guess of a teacher": (second, joint[:, 3:].argmax(1) + 3),
            "order": (graph["teacher_0", "same_sample", "student"].edge_index[0], torch.arange(9)),
        }


class TestKernelGraph(TestCommonSpaceGraphAdapter):
    kernel = True


class TestGraphOfGNNs(AdapterSuite):
    not_claimed = {"no_edge": EVERYWHERE}

    def make(self):
        student, teachers = GCN(8, 16, 2, 5), [GAT(8, 32, 2, 3), GCN(8, 24, 2, 2)]
        layers = ["convs.0"] * 3
        model = CommonFeatureLearning(student, teachers, layers, [16, 32, 24], 6, spatial=False)
        return CommonSpaceGraphAdapter(model, 4)

    def example(self):
        return torch.rand(12, 8), torch.randint(12, (2, 40))

    def degenerate(self):
        x, none = torch.rand(3, 8), torch.empty(2, 0, dtype=torch.long)
        return {"no node": (x[:0], none), "one": (x[:1], none), "isolated": (x, none)}

    def recovered(self, graph, x, edge_index):
        adapter, _ = self.build()
        seen = adapter.model.common(x, edge_index)
        return {"student": (graph["student"].x, seen.common[0])}


def test_the_discrepancy_is_a_statistic_of_the_kernel_edges():
    adapter, x = make(kernel=True, sigmas=[0.05, 0.3, 1.0]), torch.rand(11, 1, 4, 4)
    graph, common = adapter(x), adapter.model.common(x).common
    mean = {kind: graph[kind].edge_weight.mean() for kind in graph.edge_types if "kernel" in kind}
    for number, teacher in enumerate(("teacher_0", "teacher_1"), 1):
        gap = mean["student", "kernel", "student"] + mean[teacher, "kernel", teacher]
        gap = gap - 2 * mean[teacher, "kernel", "student"]
        expected = adapter.model.losses[number](common[0], common[number])
        assert expected > 0.01
        torch.testing.assert_close(gap, expected, rtol=0, atol=1e-6)


def test_the_nearest_by_cosine_and_their_weights():
    adapter, x = make(k=2), torch.rand(15, 1, 4, 4)
    graph = adapter(x)
    for kind in graph.node_types:
        unit = F.normalize(graph[kind].x, dim=1)
        near = (unit @ unit.t()).fill_diagonal_(-2).topk(2).indices
        expected = torch.zeros(15, 15, dtype=torch.bool).scatter(1, near, True)
        expected |= expected.t().clone()
        store = graph[kind, "near", kind]
        assert torch.equal(store.edge_index, expected.nonzero().t())
        torch.testing.assert_close(store.edge_weight, (unit @ unit.t())[expected])


def test_classes_as_the_caller_gives_them():
    adapter, x = make(), torch.rand(4, 1, 4, 4)
    y = torch.tensor([4, 0, 3, 3])
    graph = adapter(x, y=y)
    assert all(torch.equal(graph[kind].y, y) for kind in graph.node_types)
    assert adapter(x)["student"].y.tolist() == [-1] * 4
    assert graph["teacher_0"].guess.max() < 3 <= graph["teacher_1"].guess.min()


def test_structure_passes_from_one_network_to_another():
    graph = make()(torch.rand(9, 1, 4, 4))
    loss = LocalStructureLoss()
    student, teacher = graph["student"].x.requires_grad_(), graph["teacher_0"].x
    edges = graph["teacher_0", "near", "teacher_0"].edge_index
    loss(student, teacher, edges).backward()
    assert student.grad.abs().sum() > 0
    assert loss(teacher, teacher, edges) < 1e-6


def test_one_layer_reads_all_networks():
    graph = make()(torch.rand(9, 1, 4, 4))
    flat = graph.to_homogeneous()
    conv = RGCNConv(graph["student"].num_features, 3, len(graph.edge_types))
    assert conv(flat.x, flat.edge_index, flat.edge_type).shape == (27, 3)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    with pytest.raises(ValueError, match="'y'"):
        make()(torch.rand(4, 1, 4, 4), y=torch.zeros(3).long())
