import pytest
import torch

from graphkit.adapters import ClassTransferGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import AherNet


def weights(levels=2, classes=6, width=5):
    generator = torch.Generator().manual_seed(levels + classes)
    shape = (levels, classes, width)
    known = torch.arange(classes) < classes - 2
    return (*(torch.randn(shape, generator=generator) for _ in range(2)), known)


class TestClassTransferGraphAdapter(AdapterSuite):
    not_claimed = {"no_edge": "each class has a head at each level"}

    def make(self):
        return ClassTransferGraphAdapter(k=2)

    def example(self):
        return weights()

    def degenerate(self):
        return {
            "no class": weights(classes=0),
            "one class": weights(classes=1),
            "two classes": weights(classes=2),
        }

    def recovered(self, graph, classified, located, known):
        head = graph["head"]
        kind = torch.empty(head.num_nodes, dtype=torch.long)
        kind[graph["generates"].edge_index[1]] = graph["generates"].edge_index[0]
        level = torch.empty_like(kind)
        level[graph["holds"].edge_index[1]] = graph["holds"].edge_index[0]
        one, other = graph["class", "similar", "class"].edge_index
        cosine = torch.cosine_similarity(graph["class"].x[one], graph["class"].x[other])
        return {
            "features": (head.x, classified[level, kind]),
            "labels": (head.y[head.known], located[level, kind][known[kind]]),
            "unknown": (head.y[~head.known].abs().sum(), torch.zeros(())),
            "known": (head.known, known[kind]),
            "cosine": (graph["class", "similar", "class"].edge_weight, cosine),
            "classes": (graph["class"].x.view(6, 2, 5).transpose(0, 1), classified),
        }


def test_levels_lie_evenly_from_zero_to_one():
    classified, located, known = weights()
    for levels, depths in ((1, [0.0]), (2, [0.0, 1.0]), (3, [0.0, 0.5, 1.0])):
        more = [x[:1].repeat(levels, *[1] * (x.dim() - 1)) for x in (classified, located)]
        graph = ClassTransferGraphAdapter(k=2)(*more, known)
        assert graph["level"].x.flatten().tolist() == depths


def test_heads_are_linked_as_their_classes_are_and_within_a_level():
    graph = ClassTransferGraphAdapter(k=2)(*weights())
    classes = set(map(tuple, graph["class", "similar", "class"].edge_index.t().tolist()))
    heads = graph["head", "similar", "head"].edge_index
    assert heads.size(1) == 2 * len(classes)
    assert torch.equal(heads[0] // 6, heads[1] // 6)
    assert set(map(tuple, (heads % 6).t().tolist())) == classes


def test_a_network_gives_its_weights():
    model = AherNet(4, base=3, target=2, channels=4, num_levels=2)
    classified, located, known = model.class_weights()
    graph = ClassTransferGraphAdapter(k=2)(classified, located, known)
    weight, bias = model.localizers("base")[1]
    rows = graph["head"].y[(graph["head"].level == 1) & graph["head"].known]
    assert torch.allclose(rows, torch.cat([weight, bias[:, None]], 1))
    assert known.tolist() == [True] * 3 + [False] * 2
    assert torch.equal(classified[0, 3:, :-1], model.classify_target[0].weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((torch.rand(2, 3), torch.rand(2, 3), torch.ones(3)), "classified"),
        ((torch.rand(1, 2, 3), torch.rand(1, 2, 4), torch.ones(2)), "located"),
        ((torch.rand(1, 2, 3), torch.rand(1, 2, 3), torch.ones(3)), "known"),
        ((torch.full((1, 2, 3), torch.nan), torch.rand(1, 2, 3), torch.ones(2)), "NaN"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ClassTransferGraphAdapter()(*change)


def test_k_must_be_positive():
    with pytest.raises(ValueError, match="'k'"):
        ClassTransferGraphAdapter(0)
