import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN

from graphkit.adapters import TrustGraphAdapter
from graphkit.distill import CustomizedStudent
from graphkit.testing import AdapterSuite

COVERS = [{"kind": [0, 1, 2]}, {"age": [0, 1]}, {"kind": [1, 0, 2], "age": [3, 4]}]


def network(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Dropout(), nn.Linear(5, classes))


def make(task="kind", **options):
    sources = [network(3), network(2), network(5)]
    model = CustomizedStudent(network(5), sources, COVERS, **options)
    return TrustGraphAdapter(model, task)


class TestTrustGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return (torch.rand(9, 1, 4, 4),)

    def degenerate(self):
        x = torch.rand(3, 1, 4, 4)
        return {
            "no image": (x[:0],),
            "one image": (x[:1],),
            "all the same": (x[:1].repeat(3, 1, 1, 1),),
        }

    not_claimed = {"no_edge": "every sample is linked to the sources of the task"}

    def recovered(self, graph, x):
        """Images, entropies, choices, and who covers what."""
        adapter, _ = self.build()
        trust = adapter.model.trust("kind", x)
        attr = graph["sample", "trusts", "source"].edge_attr.view(9, 2, 3)
        covers = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        return {
            "images": (graph["sample"].x, x.flatten(1)),
            "entropy": (attr[:, :, 0], trust.entropy),
            "choice": (attr[:, :, 2].argmax(1), trust.choice),
            "covers": (graph["source"].x, covers),
            "edges of covers": (graph["source", "covers", "task"].edge_index, covers.nonzero().t()),
        }


class TestGraphOfGNNs(AdapterSuite):
    not_claimed = {"no_edge": "every sample is linked to the sources of the task"}

    def make(self):
        sources = [GAT(8, 32, 2, 3), GCN(8, 24, 2, 3)]
        model = CustomizedStudent(GCN(8, 16, 2, 3), sources, [{"kind": range(3)}] * 2)
        return TrustGraphAdapter(model)

    def example(self):
        return torch.rand(12, 8), torch.randint(12, (2, 40))

    def degenerate(self):
        x, none = torch.rand(3, 8), torch.empty(2, 0, dtype=torch.long)
        return {"no node": (x[:0], none), "one": (x[:1], none), "isolated": (x, none)}

    def recovered(self, graph, x, edge_index):
        return {"features": (graph["sample"].x, x)}


def test_each_sample_trusts_one_source_and_shares_sum_to_one():
    adapter, x = make(), torch.rand(30, 1, 4, 4)
    graph, trust = adapter(x), adapter.model.trust("kind", x)
    attr = graph["sample", "trusts", "source"].edge_attr.view(30, 2, 3)
    torch.testing.assert_close(attr[:, :, 1].sum(1), torch.ones(30))
    assert attr[:, :, 2].sum(1).tolist() == [1.0] * 30
    assert torch.equal(attr[:, :, 1].argmax(1), trust.choice)
    assert graph["sample", "trusts", "source"].edge_index[1].unique().tolist() == [0, 2]
    learns = graph["component", "learns_from", "source"]
    assert learns.edge_index.tolist() == [[0, 0], [0, 2]]
    part = (trust.choice == 0).float().mean()
    torch.testing.assert_close(learns.edge_weight, torch.stack([part, 1 - part]))
    assert graph["component"].x.tolist() == [[1.0, 0.0]]
    assert graph["target"].x.tolist() == [[1.0, 1.0]]
    assert graph["target", "learns_from", "component"].edge_index.tolist() == [[0], [0]]
    assert make("age")(x)["component"].x.tolist() == [[0.0, 1.0]]


def test_low_temperatures_trust_one_source():
    adapter, x = make(), torch.rand(5, 1, 4, 4)
    cold = TrustGraphAdapter(adapter.model, temperature=1e-6)(x)
    attr = cold["sample", "trusts", "source"].edge_attr
    torch.testing.assert_close(attr[:, 1], attr[:, 2])


def test_where_classes_are_given_sources_are_right_or_wrong():
    adapter, x = make(), torch.rand(4, 1, 4, 4)
    trust = adapter.model.trust("kind", x)
    y = trust.logits[:, 1].argmax(1)
    y[0] = -1
    store = adapter(x, y=y)["sample", "trusts", "source"]
    right = store.correct.view(4, 2)
    assert right[0].tolist() == [-1, -1]
    assert right[1:, 1].tolist() == [1, 1, 1]
    assert torch.equal(right[1:, 0].bool(), trust.logits[1:, 0].argmax(1) == y[1:])


def test_wrong_arguments_are_named():
    adapter = make()
    with pytest.raises(ValueError, match="'y' of shape"):
        adapter(torch.rand(4, 1, 4, 4), y=torch.zeros(3).long())
    with pytest.raises(ValueError, match="'temperature'"):
        TrustGraphAdapter(adapter.model, temperature=0.0)
    with pytest.raises(ValueError, match="'task' is 'colour'"):
        make("colour")
