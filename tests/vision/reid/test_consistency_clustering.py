import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCN

from graphkit.train import Trainer
from graphkit.vision import (
    ClusteringRounds,
    ConsistencyClustering,
    MeansClusters,
    PseudoLabelTask,
    embedding_spread,
)
from graphkit.vision.reid.consistency_clustering import agreement


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


def make(**options):
    torch.manual_seed(0)
    return ConsistencyClustering(network(), 4, 7, num_samples=36, **options)


def images():
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(36) % 6
    centre = 3 * torch.randn(6, 6, generator=generator)
    return centre[y] + 0.1 * torch.randn(36, 6, generator=generator), y


def started(**options):
    model, (x, y) = make(**options), images()
    model.start_round(model.embed(x), y)
    return model, (x, x + 0.3 * torch.randn(x.shape)), y


def clusters(model, views, y):
    """Clustering alone, written out."""
    total = 0.0
    for view in views:
        f = F.normalize(model.encoder(view), dim=1)
        z = 10 * f @ F.normalize(model.head.weight[:6], dim=1).t()
        total = total + F.cross_entropy(z, y)
    return total


def test_without_weights_it_is_clustering_alone_bit_for_bit():
    losses, grads = [], []
    for options in (
        {"visual": False, "temporal": None},
        {"visual_weight": 0.0, "temporal_weight": 0.0},
        {"visual_weight": 0.0, "temporal_weight": 0.0, "temporal": "ensemble"},
    ):
        model, views, y = started(**options)
        losses.append(model.loss(views, y, torch.arange(36)))
        losses[-1].backward()
        grads.append(model.encoder[0].weight.grad)
    assert all(torch.equal(losses[0], other) for other in losses)
    assert all(torch.equal(grads[0], other) for other in grads)
    model, views, y = started(visual=False, temporal=None)
    torch.testing.assert_close(losses[0], clusters(model, views, y))


def test_views_agree_by_the_cosine_of_prediction_and_the_other_projection():
    model, views, y = started(temporal=None, visual_weight=0.7)
    twin = copy.deepcopy(model)
    z = [twin.projector(twin.encoder(view)) for view in views]
    p = [twin.predictor(one) for one in z]
    cosine = sum(F.cosine_similarity(p[i], z[1 - i].detach()).mean() for i in (0, 1)) / 2
    expected = clusters(copy.deepcopy(model), views, y) - 0.7 * cosine
    torch.testing.assert_close(model.loss(views, y), expected)


def test_agreement_is_at_most_complete_and_stops_the_gradient():
    z = [torch.randn(5, 3, requires_grad=True) for _ in range(2)]
    p = [torch.randn(5, 3, requires_grad=True) for _ in range(2)]
    torch.testing.assert_close(agreement(z, z[::-1]), torch.tensor(-1.0))
    loss = agreement(p, z)
    assert -1 <= loss <= 1
    loss.backward()
    assert z[0].grad is None
    assert p[0].grad.abs().sum() > 0


def test_an_average_that_copies_makes_both_consistencies_equal():
    alone, views, y = started(visual=False, temporal=None)
    base = alone.loss(views, y)
    terms = []
    for options in (
        {"temporal": None},
        {"visual": False, "temporal": "ema", "decay": 0.0},
    ):
        model, _, _ = started(**options)
        model.after_step()
        model.after_step()
        terms.append(model.loss(views, y) - base)
    torch.testing.assert_close(*terms)
    assert terms[0].abs() > 0.01


def test_the_average_moves_slowly_and_gets_no_gradient():
    model, views, y = started(decay=0.9)
    for _ in range(30):
        model.after_step()
    old = model.average.module[0][0].weight.clone()
    model.loss(views, y).backward()
    assert all(p.grad is None for p in model.average.parameters())
    with torch.no_grad():
        model.encoder[0].weight.add_(1.0)
    model.after_step()
    torch.testing.assert_close(model.average.module[0][0].weight, old + 0.1)


def test_predictions_are_remembered_from_round_to_round():
    model, views, y = started(visual=False, temporal="ensemble", decay=0.25)
    rows, x = torch.arange(36), images()[0]
    assert model.past.abs().sum() == 0
    torch.testing.assert_close(model.loss(views, y, rows), clusters(model, views, y))
    f = model.embed(x)
    first = model.head(f).softmax(1)
    model.start_round(f, y)
    torch.testing.assert_close(model.past, first)
    with torch.no_grad():
        model.head.weight.add_(torch.randn_like(model.head.weight))
    second = model.head(f).softmax(1)
    model.start_round(f, y)
    expected = 0.25 * first + 0.75 * second
    torch.testing.assert_close(model.past, expected)
    past = expected[:, :6]
    gaps = [
        F.kl_div(model.head(model.encoder(view))[:, :6].log_softmax(1), past, reduction="batchmean")
        for view in views
    ]
    loss = model.loss(views, y, rows)
    torch.testing.assert_close(loss, clusters(model, views, y) + (gaps[0] + gaps[1]) / 2)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.encoder.parameters())
    with pytest.raises(ValueError, match="'rows'"):
        model.loss(views, y)


def test_a_cluster_that_is_gone_is_forgotten():
    model, views, y = started(visual=False, temporal="ensemble")
    f = model.embed(images()[0])
    model.start_round(f, y)
    model.start_round(f, torch.where(y == 3, -1, y))
    known = torch.where(y == 3, -1, y)
    loss = model.loss(views, known, torch.arange(36))
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.encoder.parameters())


def test_samples_in_no_cluster_count_for_the_consistencies_alone():
    model, views, y = started(temporal=None)
    none = model.loss(views, torch.full_like(y, -1))
    twin, _, _ = started(temporal=None)
    only_views = twin.loss(views, y) - clusters(twin, views, y)
    torch.testing.assert_close(none, only_views)


def test_numbers_of_the_clusters_do_not_matter():
    x, y = images()
    losses = []
    for numbers in (torch.arange(6), torch.tensor([6, 0, 2, 1, 4, 3])):
        model = make()
        model.start_round(model.embed(x), numbers[y])
        losses.append(model.loss((x, x + 0.1), numbers[y]))
    torch.testing.assert_close(*losses)


def test_spread_shows_a_collapse():
    x = torch.randn(2000, 16)
    assert 0.95 < embedding_spread(x) <= 1
    assert embedding_spread(torch.ones(5, 1) * torch.randn(1, 16)) < 1e-6
    assert embedding_spread(10 * x) == pytest.approx(float(embedding_spread(x)), rel=1e-5)
    with pytest.raises(ValueError, match="'x'"):
        embedding_spread(x[:0])


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


class Killer(ClusteringRounds):
    """Rounds that end with an error after some epochs."""

    stop = None

    def on_epoch_end(self, run):
        if len(run.history) == self.stop:
            raise KeyboardInterrupt


def trained(path=None, stop=None, epochs=1, **options):
    model = make(**options)
    rounds = Killer(MeansClusters(6), rounds=3)
    rounds.stop = stop
    task = PseudoLabelTask(images()[0], noisy, classes=4, images=3, steps=5)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01)
    trainer = Trainer(
        epochs,
        monitor=None,
        seed=0,
        callbacks=[rounds],
        checkpoint=path,
        checkpoint_seconds=0,
        resume=path is not None,
        progress=False,
    )
    trainer.fit(model, optimizer, task)
    return model, rounds


@pytest.mark.parametrize(
    "options", [{}, {"temporal": "ensemble"}, {"visual": False, "temporal": None}]
)
def test_rounds_train_every_variant_and_do_not_collapse(options):
    model, rounds = trained(**options)
    x, y = images()
    assert len(torch.unique(torch.stack([rounds.history[-1], y], 1), dim=0)) == 6
    assert embedding_spread(model.embed(x)) > 0.5


@pytest.mark.parametrize("temporal", ["ema", "ensemble"])
def test_a_run_killed_in_a_round_ends_where_the_whole_one_ends(tmp_path, temporal):
    whole, rounds = trained(epochs=2, temporal=temporal)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(path, stop=4, epochs=2, temporal=temporal)
    again, other = trained(path, epochs=2, temporal=temporal)
    assert all(torch.equal(a, b) for a, b in zip(rounds.history, other.history, strict=True))
    for (name, a), b in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_nodes_of_a_graph_are_clustered_by_tuples_of_arguments():
    torch.manual_seed(0)
    x, edge_index = torch.randn(20, 5), torch.randint(20, (2, 60))
    model = ConsistencyClustering(GCN(5, 8, 2, 4), 4, 3)
    label = MeansClusters(3)(model.embed(x, edge_index))
    model.start_round(model.embed(x, edge_index), label)
    label[:4] = -1
    loss = model.loss(((x, edge_index), (x, edge_index[:, ::2])), label)
    loss.backward()
    model.after_step()
    assert all(p.grad.isfinite().all() for p in model.encoder.parameters())
    torch.testing.assert_close(model.embed(x, edge_index), model(x, edge_index))


def test_wrong_arguments_are_named():
    for name, options in (
        ("'temporal'", {"temporal": "never"}),
        ("'decay'", {"decay": 1.5}),
        ("'decay'", {"visual_weight": -1.0}),
    ):
        with pytest.raises(ValueError, match=name):
            make(**options)
    with pytest.raises(ValueError, match="'num_samples'"):
        ConsistencyClustering(network(), 4, 7, temporal="ensemble")
    model, (x, y) = make(temporal="ensemble"), images()
    with pytest.raises(ValueError, match="call start_round"):
        model.loss((x, x), y)
    with pytest.raises(ValueError, match="'num_samples' was 36"):
        model.start_round(model.embed(x[:5]), y[:5])
    model.start_round(model.embed(x), y)
    with pytest.raises(ValueError, match="'views'"):
        model.loss((x,), y)
