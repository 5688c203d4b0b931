"""Protocols of causal methods that are killed in the middle of an epoch and started again."""

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
from graphkit.train import Callback

TRAIN = {"epochs": 3, "lr": 0.003, "monitor": None, "checkpoint_seconds": 0.0}
ATTACK = {"channels": 12, "steps": 1, "test_steps": 2}


class Watch(Callback):
    """Counts epochs; may kill a fit after some steps of one of its epochs.

    Args:
        at (tuple of int, optional): Number of the fit, its epoch, and the step after which.
    """

    def __init__(self, at: tuple[int, int, int] | None = None) -> None:
        self.at, self.fits, self.steps, self.epochs = at, 0, 0, 0

    def on_fit_start(self, run):
        self.fits += 1
        self.steps = 0

    def on_step_end(self, run):
        self.steps += 1
        if (self.fits, run.epoch, self.steps) == self.at:
            raise KeyboardInterrupt

    def on_epoch_end(self, run):
        self.steps = 0
        self.epochs += 1


@pytest.fixture
def graph(monkeypatch):
    """A small graph of bags of words in place of Cora."""
    torch.manual_seed(0)
    split = RandomNodeSplit("random", num_train_per_class=4, num_val=10, num_test=20)
    data = split(FakeDataset(1, 60, 4.0, 120, num_classes=3)[0])
    data.x = (torch.rand(data.num_nodes, 120) < 0.1).float()
    for protocol in (causal_adv_nodes, domain_correlation_nodes):
        monkeypatch.setattr(protocol.nodes, "load", lambda *_, **__: data.clone())


def images(fit):
    return causal_adv.run(
        {"name": "digits", "train": 60, "test": 30},
        seed=0,
        fit=fit,
        batch_size=20,
        eps_ramp=0.6,
        arms=("madry", "causal", "causal_t"),
        **ATTACK,
    )


def nodes(fit):
    # All training nodes are one batch: an epoch is a step.
    arms = ("madry", "causal")
    return causal_adv_nodes.run(
        {"name": "made-up"}, seed=0, fit=fit, hidden_channels=8, arms=arms, **ATTACK
    )


def swapped_digits(fit):
    return domain_correlation.run(
        {"name": "digits", "identities": 4},
        seed=0,
        fit=fit,
        steps=3,
        classes=4,
        warm=2,
        moved=True,
        arms=("erm", "dccd_adv"),
    )


def swapped_nodes(fit):
    return domain_correlation_nodes.run(
        {"name": "made-up", "identities": 4},
        seed=0,
        fit=fit,
        hidden_channels=8,
        channels=6,
        steps=3,
        warm=2,
        arms=("erm", "dccd_adv"),
    )


@pytest.mark.parametrize(
    ("run", "step"), [(images, 2), (nodes, 1), (swapped_digits, 2), (swapped_nodes, 2)]
)
@pytest.mark.usefixtures("graph")
def test_a_killed_protocol_ends_where_the_whole_one_ends(run, step, tmp_path):
    whole = run(Fitter(TRAIN, 0))
    with pytest.raises(KeyboardInterrupt):
        run(Fitter(TRAIN, 0, folder=tmp_path, watch=(Watch((2, 2, step)),)))
    again = Watch()
    assert run(Fitter(TRAIN, 0, folder=tmp_path, resume=True, watch=(again,))) == whole
    # Nothing is done twice but what the kill cut short: two epochs of the second fit are left.
    assert again.epochs == 2 + 3 * (again.fits - 2)
