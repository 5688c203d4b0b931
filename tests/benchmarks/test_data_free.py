"""The protocols of issue 20's first half: arms, their pairing, what they report."""

import pytest
import torch
from torch_geometric.datasets import FakeDataset
from torch_geometric.transforms import RandomNodeSplit

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.lenet import Images, lenet, lenet5
from benchmarks.protocols import data_free, data_free_graphs, one_stage
from graphkit.distill import GraphGenerator

TRAIN = {"epochs": 1, "lr": 0.002, "monitor": None}


def test_images_are_standardised_and_parts_disjoint():
    images = Images("digits")
    every = torch.cat([images.x, images.val])
    assert every.mean().abs() < 1e-5
    assert (every.std() - 1).abs() < 1e-5
    assert len(images.val) == round(0.1 * len(every))
    assert len(every) + len(images.test) == 1797
    with pytest.raises(ValueError, match="'digits' or 'mnist', got 'cifar'"):
        Images("cifar")


def test_networks_have_a_share_of_the_channels():
    assert lenet5()(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert lenet5()[0].out_channels == 6
    assert lenet5(0.5)[0].out_channels == 3
    assert lenet(0.5)(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_arms_of_data_free_distillation_and_their_differences():
    fit = Fitter(TRAIN, 0)
    found = data_free.run(
        {"name": "digits"}, seed=0, fit=fit, epochs=2, steps=1, batch_size=16, hidden_channels=4
    )
    assert found["test_accuracy"] == found["dfad"]
    for arm in ("noise", "untrained", "data"):
        assert found[f"over_{arm}"] == pytest.approx(found["dfad"] - found[arm])
        assert 0 <= found[f"{arm}_best"] <= 1
        assert 0 <= found[f"{arm}_last"] <= 1
    assert found["gap"] == pytest.approx(found["teacher"] - found["dfad"])
    assert {"label_entropy", "discrepancy", "gradient_ratio", "warnings"} <= set(found)
    assert fit.parameters > 0


def test_the_student_handed_over_is_the_averaged_one_or_the_last():
    """The same run: only which of its students counts differs."""
    small = {"epochs": 2, "steps": 3, "batch_size": 16, "arms": ("noise",)}
    averaged, last = (
        data_free.run({"name": "digits"}, seed=0, fit=Fitter(TRAIN, 0), averaged=one, **small)
        for one in (True, False)
    )
    assert last["noise"] == last["noise_last"] == averaged["noise_last"] != averaged["noise"]
    assert last["test_accuracy"] == last["noise"]
    assert averaged["test_accuracy"] == averaged["noise"]


def test_a_schedule_slows_both_players(monkeypatch):
    """Rates of the student and of the generator fall together, in every epoch's end."""
    seen, play = [], data_free.play

    def watched(fit, game, optimizer, task, epochs, seed, callbacks, tag, scheduler=None):
        history = play(fit, game, optimizer, task, epochs, seed, callbacks, tag, scheduler)
        players = [optimizer, *(c.optimizer for c in callbacks if hasattr(c, "optimizer"))]
        seen.append([group["lr"] for player in players for group in player.param_groups])
        return history

    monkeypatch.setattr(data_free, "play", watched)
    small = {"epochs": 2, "steps": 1, "batch_size": 16, "hidden_channels": 4}
    for lr_step in (None, 1):
        data_free.run(
            {"name": "digits"},
            seed=0,
            fit=Fitter(TRAIN, 0),
            lr_step=lr_step,
            **small,
            lr=0.02,
            generator_lr=0.001,
            arms=("dfad", "noise"),
        )
    assert seen == [
        [0.02, 0.001],
        [0.02],
        pytest.approx([0.0002, 0.00001]),
        pytest.approx([0.0002]),
    ]


def test_a_dealer_deals_the_real_images_and_pixels_are_noise():
    images = torch.rand(5, 1, 8, 8)
    dealer = data_free.Dealer(images)
    number = dealer.noise(7, torch.Generator().manual_seed(0))
    assert torch.equal(dealer(number), images[number[:, 0].long()])
    z = torch.randn(3, 64)
    assert torch.equal(data_free.Pixels(8)(z).flatten(1), z)


@pytest.fixture
def game():
    torch.manual_seed(0)
    return one_stage.images(Fitter(TRAIN, 0), batch_size=8, width=8)


def test_stages_run_their_networks_as_often_as_they_say(game):
    calls, weights = {}, {}
    for key, step in one_stage.STEPS.items():
        torch.manual_seed(0)
        arm = one_stage.Arm(game, "bce", (0.01, 0.01), step)
        counts = [0, 0]
        for place, net in enumerate((arm.generator, arm.judge)):
            net.register_forward_hook(
                lambda *_, counts=counts, place=place: counts.__setitem__(place, counts[place] + 1)
            )
        before = [
            p.detach().clone() for p in (*arm.generator.parameters(), *arm.judge.parameters())
        ]
        arm.step()
        after = [*arm.generator.parameters(), *arm.judge.parameters()]
        assert any((a != b).any() for a, b in zip(before, after, strict=True))
        calls[key], weights[key] = counts, after
    assert calls == {"one": [1, 2], "two": [2, 3], "careful": [2, 3], "shared": [1, 3]}
    # Care spares gradients that nobody uses: nothing else differs.
    assert all(map(torch.equal, weights["two"], weights["careful"]))


@pytest.mark.parametrize("loss", ["bce", "lsgan", "hinge", "wgan", "saturating"])
def test_the_error_that_a_recipe_reports_is_one_of_rounding(game, loss):
    assert one_stage.error(game, loss) < 1e-12


def test_one_stage_on_digits():
    found = one_stage.run(
        {"name": "digits"}, seed=0, fit=Fitter(TRAIN, 0), steps=20, batch_size=8, hidden_channels=8
    )
    assert found["speedup"] > 0 < found["speedup_shared"]
    assert found["frechet_ratio"] == pytest.approx(found["frechet_one"] / found["frechet_two"])
    assert 0 <= found["entropy_one"] <= 1


@pytest.mark.parametrize("features", ["normal", "one_hot", "bag"])
def test_random_graphs_are_of_the_same_kind_and_depend_on_no_network(features):
    told = {"num_features": 6, "num_nodes": 8, "degree": 3.0, "features": features, "words": 2}
    noise, edges = (
        kind(4, **told) for kind in (data_free_graphs.RandomGraphs, data_free_graphs.RandomEdges)
    )
    learned = GraphGenerator(4, **told)
    made = [one(one.noise(3)) for one in (noise, edges, learned)]
    assert len({one.edge_index.shape for one in made}) == 1
    assert not made[0].x.requires_grad
    assert made[1].x.requires_grad
    assert not any(one.gate.requires_grad for one in made[:2])
    assert made[2].gate.requires_grad


def test_the_interval_of_a_paired_difference():
    ours, theirs = torch.ones(100), torch.ones(100)
    theirs[:30] = 0
    found = data_free_graphs.interval("noise", ours, theirs, 0)
    assert found["over_noise"] == pytest.approx(0.3)
    assert 0.2 < found["over_noise_low"] < 0.3 < found["over_noise_high"] < 0.4
    same = data_free_graphs.interval("noise", ours, ours, 0)
    assert same == {"over_noise": 0.0, "over_noise_low": 0.0, "over_noise_high": 0.0}


def test_arms_of_graph_networks_on_a_made_up_problem(monkeypatch):
    """All arms, with the problem's own data sets left out."""
    torch.manual_seed(0)
    data = RandomNodeSplit("random", num_train_per_class=5, num_val=10, num_test=20)(
        FakeDataset(1, 60, 4.0, 12, num_classes=3)[0]
    )
    monkeypatch.setattr(data_free_graphs.node_sets, "load", lambda name: data)
    found = data_free_graphs.run(
        {"name": "made-up"}, seed=0, fit=Fitter(TRAIN, 0), iterations=2, hidden_channels=8
    )
    assert found["test_accuracy"] == found["dfad"]
    for arm in ("features", "untrained", "noise", "data"):
        assert found[f"over_{arm}"] == pytest.approx(found["dfad"] - found[arm], abs=1e-6)
        assert found[f"over_{arm}_low"] <= found[f"over_{arm}"] <= found[f"over_{arm}_high"]


@pytest.mark.data
def test_molecules_as_they_are_told():
    problem = data_free_graphs.load("MUTAG", seed=3)
    assert problem.told["num_features"] == 7
    assert 15 < problem.told["num_nodes"] < 21
    assert 2.0 < problem.told["degree"] < 2.5
    network = problem.network(4)
    assert network(*problem.real()).shape == (32, 2)
    assert len(problem.correct(network)) in (18, 19)
