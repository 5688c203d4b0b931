import copy
import io
from functools import partial

import pytest
import rich.console
import torch
from torch import nn
from torch_geometric.nn import GCN

from graphkit.compress import EvolutionaryPruning
from graphkit.testing.asserts import assert_no_trace
from graphkit.train import load_checkpoint, save_checkpoint

torch.manual_seed(0)
X, EDGES = torch.randn(9, 6), torch.randint(9, (2, 30))


def model():
    torch.manual_seed(0)
    return GCN(6, 8, 3, 4)


def first(small):
    """As good as the first layer is wide."""
    return small.convs[0].out_channels / 8


def search(score=first, net=None, **options):
    options = {"population": 10, "generations": 6} | options
    return EvolutionaryPruning(net or model(), (X, EDGES), score, **options)


def test_the_best_fitness_never_falls_and_the_search_finds_what_counts():
    found = search(generations=25, segment=3)
    with assert_no_trace(found.dependency.model):
        mask = found.run()
    best = found.lineage.fitness.max(1).values
    assert (best.diff() >= 0).all()
    assert found.lineage.bits.shape == (25, 10, 16)
    # A channel of the first layer is worth an eighth, its removal a sixteenth.
    assert mask[:8].sum() > mask[8:].sum()
    assert best[-1] > 1.25
    value = first(found.compact()) + 1 - mask.double().mean()
    assert best[-1].item() == pytest.approx(value.item())


def test_all_ones_are_the_network():
    found = search(keep=1.0, generations=1)
    assert found.run().all()
    assert found.lineage.fitness.unique().tolist() == [1.0]
    assert torch.equal(found.compact()(X, EDGES), model()(X, EDGES))
    assert len(found.scores) == 1


def test_a_great_reward_leaves_the_least_network():
    found = search(reward=100.0, generations=60, segment=4, keep=0.5)
    assert found.run().sum() <= 3


def test_filters_or_parameters_are_rewarded():
    by_size = search(lambda small: 0.0, reward_of="parameters")
    mask = torch.arange(16) != 0
    size = [sum(p.numel() for p in n.parameters()) for n in (by_size.compact(mask), model())]
    assert by_size.fitness(mask) == pytest.approx(1 - size[0] / size[1])
    assert search(lambda small: 0.0).fitness(mask) == pytest.approx(1 / 16)


def test_a_mask_is_judged_once_in_evaluation_mode():
    judged = []

    def score(small):
        assert not small.training
        judged.append(sum(p.numel() for p in small.parameters()))
        return 1.0

    found = search(score)
    found.run()
    masks = {tuple(row) for row in found.lineage.bits.flatten(0, 1).tolist()}
    assert len(judged) == len(found.scores) == len(masks) < 60


def test_the_same_seed_gives_the_same_search():
    one, two, other = search(), search(), search(seed=1)
    for each in (one, two, other):
        each.run()
    assert torch.equal(one.lineage.bits, two.lineage.bits)
    assert not torch.equal(one.lineage.bits, other.lineage.bits)


class KilledError(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("when", [1, 11, 13])
def test_a_killed_search_goes_on_where_it_was(tmp_path, when):
    whole, calls = search(), []
    whole.run()

    def dying(small):
        calls.append(0)
        if len(calls) == when:
            raise KilledError
        return first(small)

    path = tmp_path / "search.pt"
    with pytest.raises(KilledError):
        search(dying, checkpoint=path).run()
    resumed = search(checkpoint=path)
    assert torch.equal(resumed.run(), whole.lineage.best())
    for part in ("bits", "fitness", "parents", "operator"):
        assert torch.equal(getattr(resumed.lineage, part), getattr(whole.lineage, part))
    # A finished search is read, and a longer one goes on from it.
    again = search(lambda small: pytest.fail("judged again"), checkpoint=path)
    assert torch.equal(again.run(), whole.lineage.best())
    longer, straight = search(checkpoint=path, generations=8), search(generations=8)
    assert torch.equal(longer.run(), straight.run())


def test_another_searchs_checkpoint_is_refused(tmp_path):
    path = tmp_path / "search.pt"
    search(checkpoint=path).run()
    other = copy.deepcopy(model())
    with torch.no_grad():
        other.convs[0].lin.weight[0, 0] += 1
    for each in (search(checkpoint=path, reward=2.0), search(net=other, checkpoint=path)):
        with pytest.raises(ValueError, match="belongs to another search"):
            each.run()


def test_a_checkpoint_that_no_search_wrote_is_refused(tmp_path):
    path = tmp_path / "search.pt"
    search(checkpoint=path).run()
    state = load_checkpoint(path)
    bits, fitness, parents, operator = state["history"][-1]
    for wrong in (
        (bits.long(), fitness, parents, operator),
        (bits[:, 1:], fitness, parents, operator),
        (bits, fitness.masked_fill(fitness > 0, torch.nan), parents, operator),
        (bits, -fitness - 1, parents, operator),
        (bits, fitness, parents + 10, operator),
        (bits, fitness, parents, operator + 3),
        (bits, fitness, parents),
    ):
        save_checkpoint({**state, "history": [*state["history"], wrong]}, path)
        with pytest.raises(ValueError, match=r"search\.pt': .*the search starts anew"):
            search(checkpoint=path).run()
    for wrong in (-1.0, float("nan"), 1e308, "1"):
        save_checkpoint({**state, "scores": {"ab": (wrong, 0.5)}}, path)
        with pytest.raises(ValueError, match=r"search\.pt': .*the search starts anew"):
            search(checkpoint=path).run()


def test_wrong_arguments_are_named():
    for name, value in (
        ("reward", -1.0),
        ("reward", torch.nan),
        ("population", 0),
        ("generations", 0),
        ("segment", 0),
        ("keep", 0.0),
        ("reward_of", "size"),
        ("chances", (0.0, 0.0, 0.0)),
    ):
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            search(**{name: value})
    for value in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="'score' must give numbers"):
            search(lambda small, value=value: value).run()
    with pytest.raises(ValueError, match=r"call run\(\) first"):
        search().compact()
    with pytest.raises(ValueError, match="no channel of 'model'"):
        EvolutionaryPruning(nn.Linear(6, 2), (X,), first)


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_terminals_that_want_one(monkeypatch, wanted, terminal):
    text = io.StringIO()
    console = partial(rich.console.Console, file=text, force_terminal=terminal)
    monkeypatch.setattr(rich.console, "Console", console)
    search(generations=1, progress=wanted).run()
    assert ("evolution" in text.getvalue()) == (wanted and terminal)
