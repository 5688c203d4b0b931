"""The protocols of re-identification: parts, arms, what they report."""

import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import reid
from benchmarks.protocols import domain_adaptive_reid, unsupervised_reid
from graphkit.datasets import digits_reid

TRAIN = {"epochs": 1, "lr": 0.002, "monitor": None}


@pytest.fixture
def small(monkeypatch):
    """A problem of a few identities in place of the data set."""
    source, other = digits_reid(0, 12), digits_reid(1, 20)
    parts = reid.Domains(source, *other.split(0.6))
    for protocol in (domain_adaptive_reid, unsupervised_reid):
        monkeypatch.setattr(protocol, "domains", lambda name, validation, seed: parts)


def test_parts_of_the_digits_share_no_identity_and_validation_swaps_the_cameras():
    data, other = reid.domains("digits"), reid.domains("digits", validation=True)
    assert [len(d.identity.unique()) for d in (data.source, data.target, data.test)] == [
        100,
        80,
        60,
    ]
    assert not torch.isin(data.target.identity, data.test.identity).any()
    assert data.source.domain[0] == other.target.domain[0] == 0
    assert data.target.domain[0] == other.source.domain[0] == 1
    with pytest.raises(ValueError, match="'digits' or 'omniglot', got 'faces'"):
        reid.domains("faces")


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_parts_of_omniglot_share_no_alphabet():
    data, other = reid.domains("omniglot"), reid.domains("omniglot", validation=True)
    assert len(data.source.identity.unique()) == 136
    assert len(data.target.identity.unique()) == round(0.6 * 106)
    assert not torch.isin(data.target.domain, data.source.domain).any()
    shown = torch.cat([other.source.identity, other.target.identity, other.test.identity])
    assert torch.equal(shown.unique(), data.source.identity.unique())


def test_augmented_images_are_other_images_of_the_same_kind():
    x = digits_reid(0, 10).x
    views = [reid.augment(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert views[0].shape == x.shape
    assert not torch.equal(views[0], views[2])
    pairs = torch.corrcoef(torch.cat([x, views[0]]).flatten(1))
    same = pairs[:120, 120:].diagonal().mean()
    assert same > 1.5 * pairs[:120, 120:].mean()


def test_outliers_agree_with_nobody():
    truth = torch.arange(5).repeat_interleave(4)
    assert reid.agreement_with(truth, truth) == pytest.approx(1.0)
    half = torch.where(torch.arange(20) % 4 < 2, truth, -1)
    assert 0.3 < reid.agreement_with(half, truth) < 0.9
    assert reid.agreement_with(torch.full((20,), -1), truth) == pytest.approx(0.0, abs=1e-6)


def test_arms_of_adaptation_and_their_differences(small):
    metrics = domain_adaptive_reid.run(
        {}, seed=0, fit=Fitter(TRAIN, 0), source_epochs=1, steps=3, rounds=2, share=0.05, k1=8
    )
    for arm in ("direct", "cluster", "teacher", "sskd"):
        assert 0 < metrics[f"map_{arm}"] <= 1
    assert metrics["map"] == metrics["map_sskd"]
    for key in ("map", "rank1", "ami"):
        gain = metrics[f"{key}_sskd"] - metrics[f"{key}_cluster"]
        assert metrics[f"gain_{key}"] == pytest.approx(gain)
    assert metrics["repair"] == pytest.approx(metrics["labels_repaired"] - metrics["labels_hard"])
    gain = metrics["labels_relational"] - metrics["labels_hard"]
    assert metrics["repair_relational"] == pytest.approx(gain)
    assert metrics.get("outlier_hard", 0.0) == 0.0
    assert 0 <= metrics["homophily_k_reciprocal"] <= 1


def test_a_cluster_stands_for_what_it_holds_most_of():
    label = torch.tensor([0, 0, 0, 3, 3, -1])
    truth = torch.tensor([5, 5, 7, 7, 7, 9])
    assert domain_adaptive_reid.majority(label, truth, 4).tolist() == [5, -1, -1, 7]


def test_arms_without_labels_and_their_differences(small):
    metrics = unsupervised_reid.run(
        {}, seed=0, fit=Fitter(TRAIN, 0), steps=3, rounds=2, share=0.05, k1=8
    )
    arms = ("cluster", "visual", "temporal", "both", "ensemble")
    for arm in ("none", *arms):
        assert 0 < metrics[f"map_{arm}"] <= 1
        assert -1 <= metrics[f"views_{arm}"] <= 1
    least = min(metrics[f"map_{arm}"] for arm in arms)
    assert metrics["over_none"] == pytest.approx(least - metrics["map_none"])
    assert metrics["map"] == metrics["map_both"]
    assert metrics["over_cluster_visual"] == pytest.approx(
        metrics["map_visual"] - metrics["map_cluster"]
    )
    assert all(metrics[f"spread_{arm}"] > 0.1 for arm in arms)
