from collections import Counter

import pytest
import torch

from graphkit.datasets import SyntheticScenes, format_scene
from graphkit.datasets.scenes.synthetic import GRAMMAR
from graphkit.testing import DatasetSuite


class TestSyntheticScenes(DatasetSuite):
    not_claimed = {"raw_untouched": "generated, no raw files"}

    def make(self, cache):
        return SyntheticScenes(num_graphs=30)

    def raw_root(self):
        return None

    def splits(self, dataset):
        sizes = [len(part) for part in dataset.splits()]
        parts = torch.arange(len(dataset)).split(sizes)
        return dict(zip(("train", "val", "test"), parts, strict=True))


def whole(scenes):
    """Slots and categories of all scenes."""
    return torch.cat([data.slot for data in scenes]), torch.cat([data.x for data in scenes])


def remains(data, node, names):
    """What is left of a scene without a node, as sorted names and triples."""
    things = [names.objects[int(c)] for i, c in enumerate(data.x) if i != node]
    triples = [
        (names.objects[int(data.x[s])], names.predicates[int(p)], names.objects[int(data.x[o])])
        for s, o, p in zip(*data.edge_index, data.edge_attr, strict=True)
        if node not in (int(s), int(o))
    ]
    return tuple(sorted(things)), tuple(sorted(triples))


def scenes_of_one_anchor():
    """Every scene of one anchor with its probability, written out by hand."""
    for anchor, (grounds, actions) in GRAMMAR.items():
        for ground, p in grounds.items():
            for verb, (q, items) in actions.items():
                for item, r in items.items():
                    triples = [("person", verb, anchor), (anchor, "on", ground)]
                    triples += [("person", "hold", item)]
                    yield ["person", anchor, ground, item], triples, p * q * r / len(GRAMMAR)


def test_posterior_is_bayes_rule_over_all_scenes():
    table = {}
    for things, triples, share in scenes_of_one_anchor():
        for gone in (things[0], things[2], things[3]):
            rest = [one for one in things if one != gone]
            left = [one for one in triples if gone not in one]
            key = tuple(sorted(rest)), tuple(sorted(left))
            table.setdefault(key, Counter())[gone] += share
    scenes = SyntheticScenes(num_graphs=60, max_anchors=1)
    names = scenes.vocabulary
    for data in scenes:
        for node in (data.slot >= 0).nonzero().flatten().tolist():
            counts = table[remains(data, node, names)]
            total = sum(counts.values())
            for name, found in zip(names.objects, scenes.posterior[data.slot[node]], strict=True):
                assert float(found) == pytest.approx(counts[name] / total, abs=1e-6)


def test_frequencies_are_those_of_the_grammar():
    scenes = SyntheticScenes(num_graphs=6000)
    slot, x = whole(scenes)
    for row in range(len(scenes.posterior)):
        drawn = x[slot == row]
        found = drawn.bincount(minlength=scenes.num_classes) / drawn.numel()
        assert (found - scenes.posterior[row]).abs().max() < 0.05
    sizes = torch.tensor([data.num_nodes for data in scenes]).bincount() / len(scenes)
    assert sizes[[4, 8, 12]] == pytest.approx(1 / 3, abs=0.03)


def test_bayes_recall_is_reached_by_the_best_guess():
    scenes = SyntheticScenes(num_graphs=6000)
    slot, x = whole(scenes)
    slot, x = slot[slot >= 0], x[slot >= 0]
    for k in (1, 2):
        best = scenes.posterior[slot].topk(k).indices
        hits = (best == x[:, None]).any(1).float().mean()
        assert float(hits) == pytest.approx(scenes.bayes_recall(slot, k), abs=0.01)
    with pytest.raises(ValueError, match="anchors"):
        scenes.bayes_recall(torch.tensor([-1]))


def test_a_scene_reads_as_its_grammar():
    scenes = SyntheticScenes(num_graphs=50, seed=3)
    for data in scenes:
        anchors = (data.slot < 0).sum()
        assert data.num_nodes == 4 * anchors
        for name in ("on", "hold"):
            assert (data.edge_attr == scenes.vocabulary.predicate_id(name)).sum() == anchors
        assert format_scene(data, scenes.vocabulary).startswith("person ")


def test_seeds():
    one, same, other = (whole(SyntheticScenes(20, seed=seed))[1] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("options", [{"num_graphs": 0}, {"max_anchors": 0}, {"max_anchors": 9}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(ValueError, match=f"'{next(iter(options))}' must be"):
        SyntheticScenes(**options)
