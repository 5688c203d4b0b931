"""The protocols of causal methods: what they compare, and that they run."""

import pytest
import torch
from torch_geometric.datasets import FakeDataset
from torch_geometric.transforms import RandomNodeSplit

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import (
    causal_adv,
    causal_adv_nodes,
    domain_correlation,
    domain_correlation_nodes,
)
from graphkit.datasets import ReIDImages
from graphkit.vision import CausalAdv

TRAIN = {"epochs": 1, "lr": 0.003, "monitor": None}


def test_images_beside_natural_training_and_madry():
    found = causal_adv.run(
        {"name": "digits", "train": 60, "test": 40},
        seed=0,
        fit=Fitter(TRAIN, 0),
        channels=16,
        steps=1,
        test_steps=2,
        warm=1,
        arms=("natural", "madry", "causal", "causal_t"),
    )
    assert found["pgd_accuracy"] == found["pgd_causal"]
    assert found["over_madry"] == pytest.approx(found["pgd_causal"] - found["pgd_madry"])
    assert found["orthogonal"] < 1e-5
    for arm in ("natural", "madry", "causal", "causal_t"):
        assert 0 <= found[f"all_{arm}"] <= found[f"pgd_{arm}"] <= 1
    assert {"style_adversarial_causal", "content_natural_madry"} <= set(found)


def test_content_and_style_are_measured_apart():
    model = CausalAdv(torch.nn.Identity(), 6, 2, bounds=None)
    model.moments.update(torch.randn(50, 6))
    model.refresh()
    assert causal_adv.correlation(model) < 1e-5
    model.basis.copy_(torch.eye(6))
    assert causal_adv.correlation(model) > 0.1


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="'cifar10'"):
        causal_adv.load("cifar10")


def test_nodes_beside_natural_training_and_madry(monkeypatch):
    torch.manual_seed(0)
    data = RandomNodeSplit("random", num_train_per_class=5, num_val=10, num_test=20)(
        FakeDataset(1, 60, 4.0, 12, num_classes=3)[0]
    )
    data.x = data.x.sigmoid()
    monkeypatch.setattr(causal_adv_nodes.nodes, "load", lambda *_, **__: data)
    train = TRAIN | {"epochs": 2, "monitor": "val_accuracy"}
    found = causal_adv_nodes.run(
        {"name": "made-up"},
        seed=0,
        fit=Fitter(train, 0),
        hidden_channels=8,
        channels=6,
        steps=1,
        test_steps=2,
        arms=("natural", "madry", "causal"),
    )
    assert found["over_natural"] == pytest.approx(found["pgd_causal"] - found["pgd_natural"])
    assert all(0 <= value <= 1 for name, value in found.items() if name.startswith("all_"))
    attacked = causal_adv_nodes.validation_attack(
        CausalAdv(causal_adv_nodes.Features(data.num_features, 8, 6, 0.5), 6, 3),
        data,
        torch.arange(5),
        0.01,
    )
    assert 0 < (attacked - data.x).abs().max() <= 0.01 + 1e-6


def test_digits_are_trained_on_in_one_domain_and_judged_in_others():
    data = domain_correlation.load("digits", identities=5)
    for part in (data.train, data.swapped):
        assert part.identity.unique().tolist() == list(range(15))
    own = {int(i): int(d) for i, d in zip(data.train.identity, data.train.domain, strict=True)}
    assert (
        len(set(zip(data.train.identity.tolist(), data.train.domain.tolist(), strict=True))) == 15
    )
    swapped = zip(data.swapped.identity.tolist(), data.swapped.domain.tolist(), strict=True)
    assert all(own[i] != d and d < 3 for i, d in swapped)
    assert set(data.unseen.domain.tolist()) == {3}
    assert len(data.unseen.identity.unique()) == 5
    with pytest.raises(ValueError, match="'market'"):
        domain_correlation.load("market")


def test_batches_hold_some_images_of_some_identities():
    data = domain_correlation.load("digits", identities=5)
    task = domain_correlation.IdentityTask(data.train, 4, 3, 2, moved=False)
    x, y, d = next(iter(task.batches(0)))
    assert (x.shape, y.shape) == ((12, 1, 12, 12), (12,))
    assert sorted(y.bincount()[y.unique()].tolist()) == [3, 3, 3, 3]
    for image, identity, domain in zip(x, y, d, strict=True):
        rows = data.train.identity == identity
        assert (data.train.x[rows] == image).flatten(1).all(1).any()
        assert domain == data.train.domain[rows][0]


def test_interventions_beside_plain_training():
    found = domain_correlation.run(
        {"name": "digits", "identities": 4},
        seed=0,
        fit=Fitter(TRAIN, 0),
        steps=3,
        classes=4,
        warm=1,
        arms=("erm", "dann", "dccd_adv", "order1"),
    )
    plain = max(found["swapped_accuracy_erm"], 1e-3)
    assert found["swapped_accuracy_ratio"] == found["swapped_accuracy_dccd_adv"] / plain
    gain = found["swapped_map_dccd_adv"] - found["swapped_map_erm"]
    assert found["map_gain"] == pytest.approx(100 * gain)
    assert {"ratio_dann", "unseen_rank1_order1"} <= set(found)


def test_drawers_are_parted_by_how_large_they_write():
    camera = torch.arange(12).repeat(5)
    domain = camera // 6
    x = torch.zeros(60, 1, 14, 14)
    # In the first alphabet sizes rise with the number of the drawer, in the second they fall.
    for image, drawer in zip(x, camera.tolist(), strict=True):
        side = drawer + 2 if drawer < 6 else 14 - drawer
        image[0, :side, :side] = 1
    part = domain_correlation.parts_by_size(ReIDImages(x, camera, camera, domain))
    assert part[:12].tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0]
    assert torch.equal(part, part[:12].repeat(5))


@pytest.fixture
def words(monkeypatch):
    """A small graph of bags of words in place of Cora."""
    torch.manual_seed(0)
    data = FakeDataset(1, 60, 4.0, 120, num_classes=4)[0]
    data.x = (torch.rand(data.num_nodes, 120) < 0.1).float()
    monkeypatch.setattr(domain_correlation_nodes.nodes, "load", lambda *_, **__: data)
    return data


def test_environments_show_the_same_nodes_otherwise(words):
    problem = domain_correlation_nodes.load("made-up", identities=5)
    generator = torch.Generator().manual_seed(0)
    x, edge_index, rows, y, d, shown = problem.train(generator)
    assert x.shape == (6 * words.num_nodes, 120)
    assert torch.allclose(x.to_dense().sum(1), torch.ones(len(x)))
    assert int(edge_index.max()) < len(x)
    assert torch.equal(rows // words.num_nodes % 3, d)
    assert torch.equal(shown[rows], d)
    assert shown.bincount().tolist() == [2 * words.num_nodes] * 3
    assert y.bincount().tolist() == [2] * 15
    home = dict(
        zip(
            y.tolist(), zip((rows % words.num_nodes).tolist(), d.tolist(), strict=True), strict=True
        )
    )
    _, _, rows, y, d, _ = problem.swapped(generator)
    for row, identity, environment in zip(rows % words.num_nodes, y, d, strict=True):
        assert home[int(identity)][0] == row
        assert home[int(identity)][1] != environment
    _, _, rows, _, d, shown = problem.unseen(generator)
    assert set(d.tolist()) == {3}
    assert (shown == -1).all()
    assert not set((rows % words.num_nodes).tolist()) & {row for row, _ in home.values()}


def test_classes_are_seen_in_one_quarter_of_degrees(words):
    problem = domain_correlation_nodes.load("made-up", task="classify")
    x, _, rows, y, d, shown = problem.train(None)
    assert torch.equal(shown[rows], d)
    assert shown.unique().tolist() == [-1, 0, 1, 2]
    assert x.shape == words.x.shape
    pairs = set(zip(y.tolist(), d.tolist(), strict=True))
    assert len(pairs) == len(y.unique())
    assert not pairs & set(
        zip(*(part.tolist() for part in problem.swapped(None)[3:5]), strict=True)
    )
    assert set(problem.unseen(None)[4].tolist()) == {3}
    with pytest.raises(ValueError, match="'task'"):
        domain_correlation_nodes.load("made-up", task="cluster")


@pytest.mark.parametrize("task", ["reidentify", "classify"])
def test_interventions_on_nodes_beside_plain_training(words, task):
    found = domain_correlation_nodes.run(
        {"name": "made-up", "task": task, "identities": 5},
        seed=0,
        fit=Fitter(TRAIN, 0),
        hidden_channels=8,
        channels=6,
        steps=2,
        warm=1,
        arms=("erm", "dccd_adv"),
    )
    plain = max(found["swapped_accuracy_erm"], 1e-3)
    assert found["swapped_accuracy_ratio"] == found["swapped_accuracy_dccd_adv"] / plain
    assert ("unseen_accuracy_erm" in found) == (task == "classify")
    assert 0 <= found["unseen_map_dccd_adv"] <= 1
