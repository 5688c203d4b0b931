import dataclasses

import pytest
import torch
from torch_geometric.nn import SimpleConv

from graphkit.adapters import ProvenanceGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import SnapMix
from tests.vision.test_snapmix import batch, network


def mixed_batch(count, seed=0, **options):
    x, y = batch(count)
    snapmix = SnapMix(network(), "2", "5", generator=torch.Generator().manual_seed(seed), **options)
    return x, snapmix.mix(x, y)


class TestProvenanceGraphAdapter(AdapterSuite):
    not_claimed = {
        "single_node": "every image stands beside its mixed one",
        "no_edge": "a mixed image has an edge from where it comes from",
    }

    def make(self):
        return ProvenanceGraphAdapter(network(), "2", 5)

    def example(self):
        return mixed_batch(6)

    def degenerate(self):
        return {
            "no image": mixed_batch(0),
            "one image": mixed_batch(1),
            "nothing mixed": mixed_batch(3, p=0.0),
        }

    def recovered(self, graph, x, mixed):
        hot = torch.eye(5)
        soft = mixed.weight_a[:, None] * hot[mixed.y_a] + mixed.weight_b[:, None] * hot[mixed.y_b]
        labels = torch.cat([hot[mixed.y_a], torch.zeros(6, 5)])
        passed = SimpleConv(aggr="sum")(labels, graph.edge_index, graph.edge_weight)
        adapter, _ = self.build()
        return {
            "one message pass of the labels": (passed[6:], soft),
            "soft labels": (graph.y[6:], soft),
            "labels": (graph.y[:6], hot[mixed.y_a]),
            "features": (
                graph.x,
                adapter.model.eval()[:3](torch.cat([x, mixed.x])).mean((2, 3)),
            ),
        }


def test_the_message_pass_is_exact_for_many_seeds():
    for seed in range(20):
        x, mixed = mixed_batch(7, seed)
        graph = ProvenanceGraphAdapter(network(), "2", 5)(x, mixed)
        labels = torch.where(graph.mixed[:, None], 0.0, graph.y)
        passed = SimpleConv(aggr="sum")(labels, graph.edge_index, graph.edge_weight)
        assert (passed - graph.y)[7:].abs().max() < 1e-6


def test_its_own_donor_has_one_edge_of_both_weights():
    x, mixed = mixed_batch(4)
    mixed = dataclasses.replace(mixed, donor=torch.tensor([0, 2, 1, 3]))
    graph = ProvenanceGraphAdapter(network(), "2", 5)(x, mixed)
    pairs = graph.edge_index.t().tolist()
    assert pairs == [[0, 4], [1, 5], [1, 6], [2, 5], [2, 6], [3, 7]]
    assert torch.allclose(graph.edge_weight[0], mixed.weight_a[0] + mixed.weight_b[0])
    wanted = [[1, 1], [1, 0], [0, 1], [0, 1], [1, 0], [1, 1]]
    assert graph.edge_attr[:, :2].tolist() == wanted
    boxes = graph.edge_attr[0, 2:10] * torch.tensor([12.0, 14.0] * 4)
    assert boxes.round().tolist() == [*mixed.box_a, *mixed.box_b]
    sizes = [(b - t) * (r - left) for t, left, b, r in (mixed.box_a, mixed.box_b)]
    assert graph.edge_attr[0, 10] == pytest.approx(sizes[1] / sizes[0])


def test_wrong_arguments_are_named():
    x, mixed = mixed_batch(4)
    with pytest.raises(ValueError, match="num_classes"):
        ProvenanceGraphAdapter(network(), "2", 0)
    with pytest.raises(ValueError, match="'mixed'"):
        ProvenanceGraphAdapter(network(), "2", 5)(x[:2], mixed)
