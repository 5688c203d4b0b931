import math

import pytest
import torch

from graphkit.datasets import SceneBatch
from graphkit.nn import SceneGraphEnricher
from graphkit.nn.models.scene_graph_enricher import joined, likely_links
from graphkit.testing import assert_close, assert_grows_linearly
from tests.nn.scenes.problems import OBJECTS, PREDICATES, enricher, scene, some_scenes, union


def contains(richer, data):
    """Whether a scene begins with another, node by node and triple by triple."""
    nodes, edges = data.num_nodes, data.num_edges
    same = torch.equal(richer.x[:nodes], data.x)
    same &= torch.equal(richer.edge_index[:, :edges], data.edge_index)
    return same and torch.equal(richer.edge_attr[:edges], data.edge_attr)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_what_came_in_is_kept_and_new_triples_touch_new_objects(steps):
    parts = some_scenes()
    enriched = enricher().enrich(parts, steps, stop=False)
    place = 0
    for data, richer in zip(parts, enriched.scenes.to_data_list(), strict=True):
        assert contains(richer, data)
        assert richer.num_nodes == data.num_nodes + steps
        added = richer.edge_index[:, data.num_edges :]
        assert (added >= data.num_nodes).any(0).all()
        mine = enriched.is_new[place : place + richer.num_nodes]
        assert mine.tolist() == [False] * data.num_nodes + [True] * steps
        place += richer.num_nodes
        assert richer.num_edges - data.num_edges <= 5 * steps
        first = data.num_nodes + (0 if data.num_nodes else 1)
        linked = set(added.flatten().tolist())
        assert set(range(first, richer.num_nodes)) <= linked
    enriched.scenes.check_names(OBJECTS, PREDICATES)
    assert len(enriched.object_logits) == steps


def test_no_steps_give_the_input_back():
    parts = some_scenes()
    enriched = enricher().enrich(parts, steps=0)
    for data, same in zip(parts, enriched.scenes.to_data_list(), strict=True):
        assert contains(same, data)
        assert (same.num_nodes, same.num_edges) == (data.num_nodes, data.num_edges)
    assert not enriched.is_new.any()


def test_a_batch_is_enriched_like_its_scenes_one_by_one():
    model, parts = enricher(), some_scenes()
    together = model.enrich(parts, 3, sample=False, stop=False)
    for i, data in enumerate(parts):
        alone = model.enrich(data, 3, sample=False, stop=False)
        richer = together.scenes.to_data_list()[i]
        assert contains(richer, alone.scenes.to_data_list()[0])
        assert richer.num_edges == alone.scenes.edge_attr.numel()
        for one, other in zip(together.object_logits, alone.object_logits, strict=True):
            assert_close(one[i], other[0])


def test_scores_of_a_batch_are_those_of_its_scenes():
    model, parts = enricher(), some_scenes()
    category = torch.arange(len(parts))
    together = model(SceneBatch.from_data(parts), category)
    place = 0
    for i, data in enumerate(parts):
        alone = model(SceneBatch.from_data(data), category[i : i + 1])
        assert_close(together.object_logits[i], alone.object_logits[0])
        rows = together.relation_logits[place : place + data.num_nodes]
        assert_close(rows, alone.relation_logits)
        place += data.num_nodes


def test_the_stop_token_ends_a_scene_for_good():
    model = enricher()
    with torch.no_grad():
        model.object_head.lins[-1].bias[-1] = 1e3
    enriched = model.enrich(some_scenes(), 3)
    assert not enriched.is_new.any()
    forced = model.enrich(some_scenes(), 3, stop=False)
    assert int(forced.is_new.sum()) == 3 * len(some_scenes())


def test_gradients_reach_the_enricher_through_its_samples():
    model = enricher().train()
    scenes = model.enrich(some_scenes(), 2, stop=False).scenes
    weight = torch.randn_like(scenes.x_soft)
    ((scenes.x_soft * weight).sum() + scenes.edge_soft.square().sum()).backward()
    for part in (model.encoder, model.object_head, model.relation_head, model.lin_noise):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert model.new.grad.abs().sum() > 0


def test_samples_vary_and_a_generator_repeats_them():
    model, parts = enricher(), some_scenes()
    seeds = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    one, same, other = (model.enrich(parts, 2, generator=each).scenes.x for each in seeds)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_links_are_the_likely_ones_and_at_least_one():
    odds = torch.tensor([[-1.0, -3], [-2, -4], [1, 2], [3, -1], [5, 5]])
    batch = torch.tensor([0, 0, 1, 1, 2])
    alive = torch.tensor([True, True, False])
    links = likely_links(odds, batch, alive, max_links=2)
    kept = {(0, 0), (2, 1), (3, 0)}
    assert {tuple(place) for place in links.nonzero().tolist()} == kept


def test_joining_by_hand():
    scenes = SceneBatch.from_data([scene([3, 4], [(0, 1, 1)]), scene([], []), scene([6], [])])
    chosen = torch.eye(10)[[7, 8, 9]]
    links = torch.tensor([[True, False], [True, True], [False, True]])
    soft = torch.eye(5)[[0, 2, 3, 4]]
    alive = torch.tensor([True, True, True])
    grown, is_new = joined(scenes, torch.zeros(3, dtype=torch.bool), chosen, alive, links, soft)
    one, two, three = grown.to_data_list()
    assert one.x.tolist() == [3, 4, 7]
    assert list(zip(*one.edge_index.tolist(), one.edge_attr.tolist(), strict=True)) == [
        (0, 1, 1),
        (2, 0, 0),
        (2, 1, 2),
        (1, 2, 3),
    ]
    assert (two.x.tolist(), two.num_edges) == ([8], 0)
    assert three.x.tolist() == [6, 9]
    assert (three.edge_index.tolist(), three.edge_attr.tolist()) == ([[0], [1]], [4])
    assert is_new.tolist() == [False, False, True, True, False, True]
    assert torch.equal(grown.x_soft.argmax(1), grown.x)
    assert torch.equal(grown.edge_soft.argmax(1), grown.edge_attr)


def test_log_odds_of_present_categories_are_added_once_each():
    plain, model = enricher(), enricher(cooccurrence=True)
    model.load_state_dict(plain.state_dict(), strict=False)
    scenes = SceneBatch.from_data([scene([3, 3, 7], []), scene([], [])])
    before = plain(scenes).object_logits
    assert torch.equal(model(scenes).object_logits, before)
    torch.nn.init.normal_(model.log_odds)
    added = model(scenes).object_logits - before
    assert_close(added[0], model.log_odds[3] + model.log_odds[7])
    assert_close(added[1], torch.zeros_like(added[1]))


def test_log_odds_can_begin_at_naive_bayes():
    model = enricher(cooccurrence=True)
    parts = [scene([0, 1], [])] * 6 + [scene([2, 3, 3], [])] * 3
    model.fit_cooccurrence(SceneBatch.from_data(parts).leave_one_out(), alpha=0.5, power=2.0)
    copies = 6 * 2 + 3 * 3
    counts = {0: {1: 6}, 1: {0: 6}, 2: {3: 3}, 3: {2: 6, 3: 6}}
    there = {o: sum(counts[c].get(o, 0) for c in counts) / copies for o in range(4)}
    total = sum(there.values())
    for c in range(4):
        whole = sum(counts[c].values()) + 0.5 * total
        for o in range(4):
            given = (counts[c].get(o, 0) + 0.5 * there[o]) / whole
            expected = 2.0 * math.log(given / (there[o] / total))
            assert float(model.log_odds[o, c].detach()) == pytest.approx(expected, abs=1e-2)
    bias = model.object_head.lins[-1].bias.detach().exp()
    assert bias[:5].tolist() == pytest.approx([n / (21 + OBJECTS) for n in (7, 7, 4, 7, 1)])
    with pytest.raises(ValueError, match="cooccurrence=True"):
        enricher().fit_cooccurrence(SceneBatch.from_data(parts).leave_one_out())


def test_noise_is_drawn_in_training_alone():
    model, scenes = enricher(), union()
    assert torch.equal(model(scenes).object_logits, model(scenes).object_logits)
    model.train()
    assert not torch.equal(model(scenes).object_logits, model(scenes).object_logits)
    still = enricher(noise_channels=0).train()
    assert torch.equal(still(scenes).object_logits, still(scenes).object_logits)


def test_state_goes_round_and_reset_renews():
    model, other, scenes = enricher(), enricher(), union()
    other.reset_parameters()
    assert not torch.equal(model(scenes).object_logits, other(scenes).object_logits)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(scenes).object_logits, other(scenes).object_logits)


def chain_of_objects(size):
    triples = [(i, 0, i + 1) for i in range(size - 1)]
    return scene([i % OBJECTS for i in range(size)], triples)


def test_ten_thousand_objects_are_enriched():
    data = chain_of_objects(10_000)
    enriched = enricher().enrich(data, 1, stop=False)
    assert enriched.scenes.num_nodes == 10_001
    assert contains(enriched.scenes.to_data_list()[0], data)


def test_the_cost_grows_linearly_with_the_objects():
    model = enricher()

    def enriching(size):
        data = chain_of_objects(size)
        return lambda: model.enrich(data, 1, stop=False)

    assert_grows_linearly(enriching, 200)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (scene([99], []), ValueError, "'x' must lie between 0 and 27"),
        (scene([0], [(0, 50, 0)]), ValueError, "'edge_attr' must lie between"),
        (scene([0], [(0, 1, 3)]), IndexError, "names object 3, but there are 1"),
        ([], ValueError, "holds no scene graph"),
    ],
)
def test_malformed_scenes_are_refused(data, kind, message):
    with pytest.raises(kind, match=message):
        enricher().enrich(data)


def test_wrong_options_are_refused():
    for options in ({"noise_channels": -1}, {"max_links": 0}):
        with pytest.raises(ValueError, match="'noise_channels' must not be negative"):
            SceneGraphEnricher(3, 2, **options)
    with pytest.raises(ValueError, match="'steps' must not be negative, got -1"):
        enricher().enrich(some_scenes(), -1)


def test_what_scenes_have_once_is_not_added_again():
    """Training saw at most one of 0 and 1, two of 2, and never the rest."""
    model = enricher().train()
    rest = SceneBatch.from_data([scene([0, 2], []), scene([2], [])])
    model(rest, torch.tensor([1, 2]))
    assert model.most[:4].tolist() == [1, 1, 2, 0]
    assert model.most.sum() == 4
    model(rest)
    model.eval()(rest, torch.tensor([3, 3]))
    assert model.most.sum() == 4
    # The first lacks a 1 and a 2, the second a 0, a 1 and a 2; then the best is taken.
    richer = model.enrich(rest, steps=3, stop=False).scenes.to_data_list()
    assert sorted(richer[0].x.tolist()[:4]) == sorted(richer[1].x.tolist()) == [0, 1, 2, 2]
    for data in model.enrich(rest, steps=9).scenes.to_data_list():
        assert (data.x.bincount(minlength=OBJECTS) <= model.most).all()


def test_an_untrained_model_may_add_anything():
    model = enricher()
    scores = torch.randn(2, OBJECTS + 1)
    rest = SceneBatch.from_data([scene([0], []), scene([0], [])])
    assert torch.equal(model.allowed(scores, rest), scores)
