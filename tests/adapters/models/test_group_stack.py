import pytest
import torch
from torch import nn

from graphkit.adapters import AmalgamationGraphAdapter, LabelGraphAdapter
from graphkit.distill import GroupStackAmalgamation
from graphkit.testing import AdapterSuite

KNOWN = [["a", "b", "c"], ["d", "e"]]


def network(classes):
    """The first label is rare and the last one common, so that edges have a direction."""
    head = nn.Linear(4, classes)
    with torch.no_grad():
        head.bias.copy_(torch.linspace(-3, 3, classes))
    return [nn.Linear(6, 4), nn.Sequential(nn.Dropout(), head)]


def make(threshold=0.3, teachers=None):
    generator = [nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 6))]
    teachers = [network(3), network(2)] if teachers is None else teachers
    model = GroupStackAmalgamation(
        generator, teachers, network(2), KNOWN, ["d", "a"], torch.rand(2, 3)
    )
    return LabelGraphAdapter(model, threshold)


class TestLabelGraphAdapter(AdapterSuite):
    not_claimed = {
        "no_node": "teachers have labels",
        "single_node": "the number of labels is the teachers'",
    }

    def make(self):
        return make()

    def example(self):
        return (torch.randn(40, 3),)

    def degenerate(self):
        return {"no sample": (torch.randn(0, 3),), "one sample": (torch.randn(1, 3),)}

    def recovered(self, graph, z):
        """Weights, priors, conditional probabilities, teachers."""
        adapter, _ = self.build()
        model = adapter.model.eval()
        sample = model.generate(z)[-1]
        y = torch.cat(model.enter(0, sample, model.gates, {})[0], 1).sigmoid().detach()
        source, target = graph.edge_index
        given = (y[:, source] * y[:, target]).sum(0) / y[:, source].sum(0)
        weights = torch.cat([teacher[1][1].weight for teacher in model.teachers]).detach()
        return {
            "weights": (graph.x, weights),
            "prior": (graph.prior, y.mean(0)),
            "given": (graph.edge_weight, given),
            "teacher": (graph.y, torch.tensor([0, 0, 0, 1, 1])),
        }


def test_conditional_probabilities_are_of_one_joint():
    graph = make(threshold=1e-6)(torch.randn(50, 3))
    table = torch.zeros(5, 5).index_put(tuple(graph.edge_index), graph.edge_weight)
    assert ((graph.edge_weight >= 0) & (graph.edge_weight <= 1)).all()
    joint = table * graph.prior.unsqueeze(1)
    torch.testing.assert_close(joint, joint.t(), atol=1e-5, rtol=0)
    assert graph.num_edges == 20


def test_narrow_teachers_are_padded():
    wide = [nn.Linear(6, 4), nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 2))]
    adapter = make(teachers=[network(3), wide])
    x = adapter(torch.randn(4, 3)).x
    assert x.shape == (5, 7)
    assert x[:3, 4:].abs().sum() == 0


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'threshold'"):
        make(threshold=0.0)
    bare = [nn.Linear(6, 3), nn.Identity()]
    generator = [nn.Linear(3, 3), nn.Linear(3, 6)]
    model = GroupStackAmalgamation(
        generator,
        [bare],
        [nn.Linear(6, 3), nn.Linear(3, 1)],
        [["a", "b", "c"]],
        ["a"],
        torch.rand(2, 3),
    )
    with pytest.raises(ValueError, match="teacher 0 has no weight of 3 rows"):
        LabelGraphAdapter(model)


class TestAmalgamationGraphAdapter(AdapterSuite):
    not_claimed = {
        "no_node": "networks have parts",
        "single_node": "the number of parts is the networks'",
        "no_edge": "parts are linked whatever the noise",
    }

    def make(self):
        return AmalgamationGraphAdapter(make().model)

    def example(self):
        return (torch.randn(40, 3),)

    def degenerate(self):
        return {"no sample": (torch.randn(0, 3),), "one sample": (torch.randn(1, 3),)}

    def recovered(self, graph, z):
        """What parts give, gates, predictions, by hand."""
        adapter, _ = self.build()
        model = adapter.model.eval()
        first = model.generator[0](z)
        sample = model.generator[1](first)
        ours = model.student[0](sample)
        taught = [teacher[0](sample) for teacher in model.teachers]
        parts = [taught[0], model.teachers[0][1](taught[0])]
        parts += [taught[1], model.teachers[1][1](taught[1])]
        prior = torch.cat([parts[1], parts[3]], 1).sigmoid().mean(0)
        gates = [own[1].layers(first).mean() for own in model.gates]
        judged = graph["generator_group", "teacher_block"].edge_attr[:, 0]
        mine = graph["student_block", "teacher_block"].edge_attr[:, 0]
        kept = [own[1].layers(ours).mean() for own in model.filters]
        return {
            "groups": (graph["generator_group"].x[:, 0], stacked(first.mean(), sample.mean())),
            "blocks": (graph["teacher_block"].x[:, 0], stacked(*(p.mean() for p in parts))),
            "spread": (graph["student_block"].x[0, 1], ours.std(correction=0).detach()),
            "prior": (graph["label"].x[:, 0], prior.detach()),
            # The first group enters the last blocks; samples enter the first ones as they are.
            "gates": (judged, stacked(*gates, torch.ones(()), torch.ones(()))),
            "filters": (mine, stacked(*kept)),
        }


def stacked(*values):
    return torch.stack(values).detach()


def test_parts_are_linked_as_they_feed_and_judge_each_other():
    graph = AmalgamationGraphAdapter(make().model)(torch.randn(9, 3))
    links = {
        (kind[0], kind[1], kind[2]): graph[kind].edge_index.t().tolist()
        for kind in graph.edge_types
    }
    chains = {"generator_group": [[0, 1]], "student_block": [[0, 1]]}
    for kind, chain in {**chains, "teacher_block": [[0, 1], [2, 3]]}.items():
        assert links[kind, "feeds", kind] == chain
    assert links["generator_group", "feeds", "student_block"] == [[0, 1], [1, 0]]
    judged = links["generator_group", "judged_by", "teacher_block"]
    assert judged == [[0, 1], [0, 3], [1, 0], [1, 2]]
    assert links["student_block", "judged_by", "teacher_block"] == [[0, 1], [0, 3]]
    predicted = links["teacher_block", "predicts", "label"]
    assert predicted == [[1, 0], [1, 1], [1, 2], [3, 3], [3, 4]]
    assert links["student_block", "predicts", "label"] == [[1, 0], [1, 3]]
    assert graph["label"].wanted.tolist() == [1, -1, -1, 0, -1]
    assert graph["teacher_block"].y.tolist() == [0, 0, 1, 1]
