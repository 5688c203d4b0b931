import pytest
import torch

from graphkit.train import Trainer
from graphkit.vision import SSKD, ClusteringRounds, PseudoLabelTask


def same(x, generator):
    return x


def noisy(x, generator):
    return x + torch.randn(x.shape, generator=generator)


Y = torch.tensor([0, 0, 0, 0, 1, 1, 5, -1, -1])


def test_batches_hold_classes_and_images_of_each():
    x = torch.arange(9.0).unsqueeze(1)
    task = PseudoLabelTask(x, same, Y, views=3, classes=2, images=3, steps=20)
    seen = set()
    for views, y, rows in task.batches(3):
        assert views.shape == (6, 3, 1)
        assert torch.equal(views, x[rows].unsqueeze(1).expand(6, 3, 1))
        assert torch.equal(y, Y[rows])
        names, count = y.unique(return_counts=True)
        assert count.tolist() == [3, 3]
        if 0 in names:
            assert len(rows[y == 0].unique()) == 3, "an image twice, though there are enough"
        seen |= set(names.tolist())
    assert seen == {0, 1, 5}, "an outlier was drawn, or a class never"


def test_the_same_seed_gives_the_same_batches_and_shares_make_the_whole():
    x = torch.rand(9, 2)
    task = PseudoLabelTask(x, noisy, Y, classes=2, images=3, steps=2)
    whole, again = list(task.batches(1)), list(task.batches(1))
    assert all(
        torch.equal(a, b)
        for one, two in zip(whole, again, strict=True)
        for a, b in zip(one, two, strict=True)
    )
    parts = [list(task.shard(rank, 2).batches(1)) for rank in range(2)]
    for i, (views, y, rows) in enumerate(whole):
        for rank in range(2):
            assert torch.equal(parts[rank][i][0], views[rank::2])
            assert torch.equal(parts[rank][i][1], y[rank::2])
            assert torch.equal(parts[rank][i][2], rows[rank::2])


def test_wrong_arguments_are_named():
    x = torch.rand(9, 2)
    for name in ("views", "classes", "images", "steps"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            PseudoLabelTask(x, same, Y, **{name: 0})
    with pytest.raises(ValueError, match="'labels'"):
        PseudoLabelTask(x, same, Y[:3])
    for labels in (None, torch.full((9,), -1)):
        with pytest.raises(ValueError, match="no image has a label"):
            next(PseudoLabelTask(x, same, labels).batches(0))
    with pytest.raises(ValueError, match="'rounds'"):
        ClusteringRounds(lambda x: Y, rounds=0)


def fit(cluster, rounds=2):
    torch.manual_seed(0)
    x = torch.rand(9, 2)
    model = SSKD(torch.nn.Linear(2, 3), 3, max_clusters=4, peers=1)
    callback = ClusteringRounds(cluster, rounds)
    optimizer = torch.optim.Adam(model.peers.parameters(), lr=0.01)
    trainer = Trainer(1, monitor=None, seed=0, callbacks=[callback], progress=False)
    trainer.fit(model, optimizer, PseudoLabelTask(x, same, classes=2, images=2, steps=2))
    return model, callback, optimizer


def test_clusters_keep_their_numbers_and_the_optimizer_forgets():
    turns = iter(
        [torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, -1]), torch.tensor([2, 2, 2, 0, 0, 0, 0, 1, 1])]
    )
    _, rounds, optimizer = fit(lambda x: next(turns))
    assert rounds.history[1].tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert steps == {2}, "the moments of the first round are still there"


def test_a_first_clustering_without_a_cluster_is_refused():
    with pytest.raises(ValueError, match="round 1 calls all 9 samples outliers; raise 'eps'"):
        fit(lambda x: torch.full((9,), -1))


def test_a_later_one_is_warned_about_and_the_labels_stay():
    turns = iter([torch.arange(9) % 2, torch.full((9,), -1)])
    with pytest.warns(UserWarning, match="round 2 calls all 9 samples outliers"):
        _, rounds, _ = fit(lambda x: next(turns))
    assert torch.equal(rounds.history[0], rounds.history[1])


def test_too_many_clusters_for_the_model_are_refused():
    with pytest.raises(ValueError, match="9 clusters and room for 4; raise 'max_clusters'"):
        fit(lambda x: torch.arange(9))


def test_one_identity_is_learned_without_error():
    model, rounds, _ = fit(lambda x: torch.zeros(9, dtype=torch.long))
    assert rounds.history[-1].unique().tolist() == [0]
    assert all(p.isfinite().all() for p in model.parameters())
