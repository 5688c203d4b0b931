import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.train import Trainer
from graphkit.vision import (
    SSKD,
    ClusteringRounds,
    DensityClusters,
    PseudoLabelTask,
    batch_nuclear_norm,
    multi_similarity_loss,
)
from graphkit.vision.reid.sskd import EmbeddingAverage


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


def make(**options):
    torch.manual_seed(0)
    return SSKD(network(), 4, max_clusters=7, **options)


def images(count=36, groups=6):
    """Clusters of vectors, and which one each is of."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(count) % groups
    centre = 3 * torch.randn(groups, 6, generator=generator)
    return centre[y] + 0.1 * torch.randn(count, 6, generator=generator), y


def views_of(model, x):
    return tuple(x + 0.1 * k for k in range(model.views))


@pytest.mark.parametrize("peers", [1, 2, 3])
def test_the_loss_is_the_sum_written_in_the_docstring(peers):
    model, (x, y) = make(peers=peers), images()
    model.start_round(model.embed(x), y)
    for _ in range(3):
        model.after_step()
    views = views_of(model, x)
    twin = copy.deepcopy(model)
    loss, expected = model.loss(views, y), 0.0
    for k in range(peers):
        f = twin.peers[k].encoder(views[k])
        z = (f @ twin.peers[k].head.weight.t())[:, :6]
        teacher = twin.averages[(k + 1) % peers].module
        view = views[(k + 1) % max(peers, 2)]
        target = (teacher.encoder(view) @ teacher.head.weight.t())[:, :6].softmax(1).detach()
        expected += 0.5 * F.cross_entropy(z, y, label_smoothing=0.1)
        expected += 0.5 * F.cross_entropy(z, target)
        expected += 3 * multi_similarity_loss(f, y) + 1.5 * batch_nuclear_norm(z)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for model_part in model.peers:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model_part.parameters())
    assert all(p.grad is None for p in model.averages.parameters())


def test_before_the_first_round_the_loss_is_that_of_the_source():
    model, (x, y) = make(peers=2), images()
    with pytest.raises(ValueError, match="call open"):
        model.loss((x, x), y)
    model.open(6)
    loss, expected = model.loss((x, x), y), 0.0
    for peer in model.peers:
        f = peer.encoder(x)
        z = f @ peer.head.weight[:6].t()
        expected += F.cross_entropy(z, y, label_smoothing=0.1) + multi_similarity_loss(f, y)
        expected += 2 * batch_nuclear_norm(z)
    torch.testing.assert_close(loss, expected)
    before = [p.clone() for p in model.averages.parameters()]
    model.after_step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.averages.parameters(), strict=True))


@pytest.mark.parametrize(("decay", "moved"), [(0.0, 1.0), (1.0, 0.0), (0.9, 0.1)])
def test_averages_follow_as_their_schedule_says(decay, moved):
    model = nn.Linear(3, 2)
    average = EmbeddingAverage(model, decay, "own")
    average.update_parameters(model)
    start = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    # Step 0 copies whatever the decay, step 1 keeps one half at most.
    average.update_parameters(model)
    torch.testing.assert_close(average.module.weight, start + 1)
    with torch.no_grad():
        model.weight.add_(1.0)
    average.update_parameters(model)
    torch.testing.assert_close(average.module.weight, start + 1 + max(moved, 0.5))
    for _ in range(60):
        average.update_parameters(model)
    if decay < 1:
        torch.testing.assert_close(average.module.weight, start + 2, atol=0.05, rtol=0)


@pytest.mark.parametrize("statistics", ["own", "copied"])
def test_statistics_of_the_averages_are_their_own_or_copied(statistics):
    model, (x, y) = make(peers=1, statistics=statistics), images()
    model.start_round(model.embed(x), y)
    for step in range(3):
        model.loss((x + step, 2 * x), y).backward()
        with torch.no_grad():
            for p in model.peers.parameters():
                p.add_(0.1 * torch.randn_like(p))
        model.after_step()
    mean = model.averages[0].module.encoder[1].running_mean
    same = torch.equal(mean, model.peers[0].encoder[1].running_mean)
    assert same == (statistics == "copied")
    model.loss((x, x), y)
    assert not torch.equal(mean, model.peers[0].encoder[1].running_mean)


def test_averages_that_teach_nobody_take_the_statistics_of_their_networks():
    """Else clustering alone would see its images through what the source left."""
    model, (x, y) = make(peers=1, soft_weight=0.0, decay=0.0), images()
    model.start_round(model.embed(x), y)
    model.loss((x + 5, x), y).backward()
    with torch.no_grad():
        model.peers[0].encoder[0].weight.mul_(1.5)
    model.after_step()
    plain = F.normalize(copy.deepcopy(model.peers[0].encoder).eval()(x), dim=1)
    torch.testing.assert_close(model.embed(x), plain)


def test_numbers_of_the_clusters_do_not_matter():
    x, y = images()
    losses = []
    for numbers in (torch.arange(6), torch.tensor([6, 0, 2, 1, 4, 3])):
        model = make(peers=2)
        label = numbers[y]
        model.start_round(model.embed(x), label)
        losses.append(model.loss(views_of(model, x), label))
    torch.testing.assert_close(*losses)


def test_embeddings_are_the_mean_of_unit_vectors_and_leave_modes_alone():
    model, (x, _) = make(peers=3), images()
    model.peers[1].eval()
    modes = [m.training for m in model.modules()]
    f = model.embed(x, batch_size=7)
    assert [m.training for m in model.modules()] == modes
    single = [F.normalize(copy.deepcopy(p.encoder).eval()(x), dim=1) for p in model.peers]
    torch.testing.assert_close(f, F.normalize(sum(single) / 3, dim=1))
    assert not torch.allclose(single[0], single[1])


def test_soft_labels_are_shares_of_the_clusters_in_use():
    model, (x, y) = make(peers=2), images()
    model.start_round(model.embed(x), y)
    shares = model.soft_labels(x, batch_size=5)
    torch.testing.assert_close(shares.sum(1), torch.ones(len(x)))
    assert shares[:, 6].abs().max() == 0
    assert model.clusters.tolist() == list(range(6))


def test_one_cluster_has_no_wrong_class():
    model, (x, y) = make(peers=2), images()
    model.start_round(model.embed(x), y * 0)
    loss = model.loss(views_of(model, x), y * 0)
    loss.backward()
    expected = 2 * 1.5 * batch_nuclear_norm(torch.zeros(len(x), 1))
    torch.testing.assert_close(loss, expected)
    assert all(p.grad.isfinite().all() for p in model.peers.parameters() if p.grad is not None)


def test_peers_may_be_given_one_by_one():
    networks = [network(), network()]
    model = SSKD(networks, 4, 3, peers=2)
    assert [peer.encoder for peer in model.peers] == networks
    with pytest.raises(ValueError, match="2 networks for 3 peers"):
        SSKD(networks, 4, 3)


def test_wrong_arguments_are_named():
    for name, options in (
        ("'peers'", {"peers": 0}),
        ("'soft_weight'", {"soft_weight": 1.5}),
        ("'decay'", {"decay": -0.1}),
        ("'statistics'", {"statistics": "mine"}),
        ("'variant'", {"variant": "code"}),
        ("'max_clusters'", {"peers": 1}),
    ):
        with pytest.raises(ValueError, match=name):
            SSKD(network(), 4, 0 if name == "'max_clusters'" else 3, **options)
    model, (x, y) = make(peers=3), images()
    model.start_round(model.embed(x), y)
    with pytest.raises(ValueError, match="'views' holds 2, and 3 peers take 3"):
        model.loss((x, x), y)


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def adapt(folder=None, resume=False, stop=None, epochs=2):
    """Three rounds of two epochs; ``stop`` ends it after so many epochs with an error."""
    x, _ = images()
    model = make(peers=2)

    class Killer(ClusteringRounds):
        def on_epoch_end(self, run):
            if stop is not None and len(run.history) == stop:
                raise KeyboardInterrupt

    rounds = Killer(DensityClusters(eps=0.6, k1=6, k2=2), rounds=3)
    task = PseudoLabelTask(x, noisy, views=2, classes=4, images=3, steps=4)
    optimizer = torch.optim.Adam(model.peers.parameters(), lr=0.01)
    trainer = Trainer(
        epochs,
        monitor=None,
        seed=0,
        callbacks=[rounds],
        checkpoint=folder,
        checkpoint_seconds=0,
        resume=resume,
        progress=False,
    )
    result = trainer.fit(model, optimizer, task)
    return model, rounds, result


def test_rounds_find_the_clusters_and_train():
    model, rounds, result = adapt()
    x, y = images()
    assert result.stages == len(rounds.history) == 3
    assert len(torch.unique(torch.stack([rounds.history[-1], y], 1), dim=0)) == 6
    assert (model.embed(x) @ model.embed(x).t())[0, 6] > 0.9


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_killed_in_a_round_ends_where_the_whole_one_ends(tmp_path, stop):
    whole, rounds, _ = adapt()
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        adapt(path, stop=stop)
    again, other, _ = adapt(path, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(rounds.history, other.history, strict=True))
    for (name, a), b in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
