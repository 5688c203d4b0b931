import inspect

import pytest
import torch
from torch_geometric.loader import LinkNeighborLoader as PyGLinkNeighborLoader
from torch_geometric.sampler import NegativeSampling

from graphkit.sampling import LinkNeighborLoader
from tests.sampling.graphs import TYPES, graph, hetero


def test_arguments_are_those_of_pyg():
    ours, theirs = (
        inspect.signature(kind.__init__).parameters
        for kind in (LinkNeighborLoader, PyGLinkNeighborLoader)
    )
    assert list(ours) == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in ours)


@pytest.mark.parametrize("disjoint", [False, True])
@pytest.mark.parametrize("amount", [1, 2, 0.5])
def test_binary_negatives(disjoint, amount):
    data = graph()
    sampling = NegativeSampling("binary", amount)
    loader = LinkNeighborLoader(
        data,
        [3, 2],
        neg_sampling=sampling,
        batch_size=7,
        disjoint=disjoint,
        edge_label=torch.arange(400) % 2,
    )
    batch = next(iter(loader))
    num_neg = int(-(-7 * amount // 1))
    assert batch.edge_label_index.shape == (2, 7 + num_neg)
    assert torch.equal(batch.n_id[batch.edge_label_index[:, :7]], data.edge_index[:, :7])
    assert batch.edge_label.tolist() == [1, 2, 1, 2, 1, 2, 1] + [0] * num_neg
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    assert batch.input_id.tolist() == list(range(7))
    if disjoint:
        links = torch.arange(7 + num_neg) % 7
        for end in batch.edge_label_index:
            assert torch.equal(batch.batch[end], links)


@pytest.mark.parametrize("disjoint", [False, True])
def test_triplets(disjoint):
    data = graph()
    loader = LinkNeighborLoader(
        data, [2], neg_sampling=NegativeSampling("triplet", 3), batch_size=5, disjoint=disjoint
    )
    batch = next(iter(loader))
    assert torch.equal(batch.n_id[batch.src_index], data.edge_index[0, :5])
    assert torch.equal(batch.n_id[batch.dst_pos_index], data.edge_index[1, :5])
    assert batch.dst_neg_index.shape == (5, 3)
    if disjoint:
        assert torch.equal(
            batch.batch[batch.dst_neg_index], torch.arange(5).view(-1, 1).expand(5, 3)
        )


def test_negatives_follow_their_weights_and_the_generator():
    data, weight = graph(), torch.zeros(60)
    weight[[4, 9]] = 1
    sampling = NegativeSampling("triplet", 2, dst_weight=weight)
    passes = []
    for workers in (0, 2):
        loader = LinkNeighborLoader(
            data,
            [2, 1],
            neg_sampling=sampling,
            batch_size=100,
            num_workers=workers,
            shuffle=True,
            generator=torch.Generator().manual_seed(1),
        )
        passes.append(
            [(b.n_id.tolist(), b.e_id.tolist(), b.n_id[b.dst_neg_index].tolist()) for b in loader]
        )
    assert passes[0] == passes[1]
    drawn = torch.tensor([batch[2] for batch in passes[0]]).view(-1)
    assert set(drawn.tolist()) == {4, 9}
    before = torch.random.get_rng_state()
    next(
        iter(
            LinkNeighborLoader(
                data, [2], neg_sampling="binary", batch_size=4, generator=torch.Generator()
            )
        )
    )
    assert torch.equal(before, torch.random.get_rng_state())


def test_times_of_links():
    data = graph()
    data.time = torch.randint(30, (60,))
    times = torch.randint(10, 30, (400,))
    loader = LinkNeighborLoader(
        data,
        [4, 3],
        edge_label_time=times,
        time_attr="time",
        batch_size=30,
        neg_sampling=NegativeSampling("binary", 0.5),
    )
    batch = next(iter(loader))
    limit = times[:30][batch.batch]
    sources = batch.edge_index[0]
    assert bool((data.time[batch.n_id] <= limit)[sources].all())
    negatives = batch.edge_label_index[:, 30:]
    assert bool((data.time[batch.n_id] <= limit)[negatives].all())
    for given in ({"time_attr": "time"}, {"edge_label_time": times}):
        with pytest.raises(ValueError, match="times need both"):
            LinkNeighborLoader(data, [1], **given)


@pytest.mark.parametrize("key", TYPES)
@pytest.mark.parametrize("mode", ["binary", "triplet"])
@pytest.mark.parametrize("disjoint", [False, True])
def test_typed_links(key, mode, disjoint):
    data = hetero()
    loader = LinkNeighborLoader(
        data, [2, 2], key, neg_sampling=mode, batch_size=6, disjoint=disjoint
    )
    batch = next(iter(loader))
    if mode == "binary":
        ends = batch[key].edge_label_index[:, :6]
        pair = torch.stack([batch[key[0]].n_id[ends[0]], batch[key[2]].n_id[ends[1]]])
    else:
        pair = torch.stack(
            [
                batch[key[0]].n_id[batch[key[0]].src_index],
                batch[key[2]].n_id[batch[key[2]].dst_pos_index],
            ]
        )
    assert torch.equal(pair, data[key].edge_index[:, :6])


def test_links_of_no_type_are_refused():
    data = hetero()
    wrong = ("author", "reads", "paper")
    for links in (None, wrong, (wrong, None), torch.zeros(2, 3).long(), (data["author"].x, None)):
        with pytest.raises(ValueError, match="'edge_label_index' must"):
            LinkNeighborLoader(data, [2], links)
    ends = data["writes"].edge_index
    for links in (TYPES[0], ("author", "paper"), (TYPES[0], None), (TYPES[0], ends)):
        assert len(LinkNeighborLoader(data, [2], links)) == ends.size(1)
