import dataclasses

import pytest
import torch

from graphkit.adapters import ProposalGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import GTAN, AherNet, segment_iou

TRUTH = torch.tensor([[0.1, 0.4], [0.5, 0.9]]), torch.tensor([1, 0])


def proposals(group_threshold=0.7):
    torch.manual_seed(0)
    model = GTAN(6, 2, channels=8, num_levels=3, group_threshold=group_threshold).eval()
    with torch.no_grad():
        return model(torch.rand(1, 6, 32))


def only(found, count):
    """The same with its first anchors alone."""
    whole = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    cut = {name: t[:count] if t.dim() == 1 else t[:, :count] for name, t in whole.items()}
    return dataclasses.replace(found, **cut)


class TestProposalGraphAdapter(AdapterSuite):
    def make(self):
        return ProposalGraphAdapter(8, 2, keep=20)

    def example(self):
        return proposals(), TRUTH

    def degenerate(self):
        found = proposals()
        nobody = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
        return {
            "no proposal": (only(found, 0), TRUTH),
            "one proposal": (only(found, 1), TRUTH),
            "no action": (found, nobody),
            "nothing known": (found,),
        }

    def recovered(self, graph, found, truth):
        best = found.scores()[0].amax(1).topk(20).indices.sort().values
        overlap = segment_iou(graph.span, truth[0]).max(1)
        right = torch.where(overlap.values >= 0.5, truth[1][overlap.indices], 2)
        return {
            "spans": (graph.span, found.segments()[0, best]),
            "scores": (graph.x[:, 8:10], found.logits[0, best].softmax(1)[:, :2]),
            "actions": (graph.y, right),
        }


def test_edges_are_those_of_the_definition():
    graph = ProposalGraphAdapter(8, 2, keep=30, theta=0.4, phi=0.6)(proposals())
    span = graph.span
    expected = torch.zeros(30, 30, dtype=torch.bool)
    for i in range(30):
        for j in range(30):
            shared = min(span[i, 1], span[j, 1]) - max(span[i, 0], span[j, 0])
            whole = max(span[i, 1], span[j, 1]) - min(span[i, 0], span[j, 0])
            lengths = span[i, 1] - span[i, 0] + span[j, 1] - span[j, 0]
            overlap = max(shared, 0) / (lengths - max(shared, 0))
            near = shared <= 0 and abs(span[i].mean() - span[j].mean()) < 0.6 * whole
            expected[i, j] = i != j and (overlap > 0.4 or near)
    kind = graph.edge_attr[:, 3:].bool()
    plain = kind[:, :2].any(1)
    found = torch.zeros(30, 30, dtype=torch.bool)
    found[tuple(graph.edge_index[:, plain])] = True
    assert torch.equal(found, expected)
    source, target = graph.edge_index[:, kind[:, 2]]
    assert ((graph.level[source] - graph.level[target]).abs() == 1).all()


def test_overlaps_are_edge_attributes():
    graph = ProposalGraphAdapter(8, 2)(proposals(), TRUTH)
    source, target = graph.edge_index
    overlap = segment_iou(graph.span, graph.span)[source, target]
    assert torch.allclose(graph.edge_attr[:, 0], overlap)


def test_distances_are_in_widths_of_the_source_and_widths_in_logarithms():
    graph = ProposalGraphAdapter(8, 2)(proposals(), TRUTH)
    source, target = graph.edge_index
    centre, width = graph.span.mean(1), graph.span.diff(dim=1)[:, 0]
    away = (centre[target] - centre[source]) / width[source]
    torch.testing.assert_close(graph.edge_attr[:, 1], away)
    torch.testing.assert_close(graph.edge_attr[:, 2], width[target].log() - width[source].log())
    assert away.abs().max() > 0.1


def test_nothing_known_is_no_label():
    graph = ProposalGraphAdapter(8, 2)(proposals())
    assert (graph.y == -1).all()


def test_wrong_arguments_are_named():
    found = proposals()
    pair = dataclasses.replace(found, centre=found.centre.repeat(2, 1))
    with pytest.raises(ValueError, match="found"):
        ProposalGraphAdapter(8, 2)(pair)
    with pytest.raises(ValueError, match="theta"):
        ProposalGraphAdapter(8, 2, theta=1.0)


def test_proposals_of_aher_net_make_the_same_graph():
    torch.manual_seed(0)
    model = AherNet(6, base=3, target=2, channels=8, num_levels=3)
    found = model(torch.rand(1, 6, 32))
    graph = ProposalGraphAdapter(8, 2, keep=20)(found, TRUTH)
    best = found.scores()[0].amax(1).topk(20).indices.sort().values
    assert torch.allclose(graph.span, found.segments()[0, best])
    assert torch.allclose(graph.x[:, 8:10], found.logits[0, best].softmax(1)[:, :2])
    assert graph.validate()
