"""The monitor: each reading by hand, what it leaves alone, when it warns."""

import math
import warnings

import pytest
import torch
from torch import nn

from graphkit.testing import assert_no_trace
from graphkit.train import CollapseMonitor, CollapseWarning, NoiseTask, Trainer, label_entropy
from graphkit.train.collapse_monitor import counted_layers, dead_share


class Maker(nn.Module):
    """Two channels; the second one can be made deaf to the noise."""

    def __init__(self, deaf=False):
        super().__init__()
        self.lin, self.act, self.norm = nn.Linear(3, 2), nn.ReLU(), nn.BatchNorm1d(2)
        with torch.no_grad():
            self.lin.weight.fill_(0.5)
            self.lin.bias.fill_(4.0)
            self.lin.weight[1] *= not deaf

    def forward(self, z):
        return self.norm(self.act(self.lin(z)))


def make(deaf=False, **options):
    torch.manual_seed(0)
    maker, other = Maker(deaf), nn.Linear(2, 4)
    draw = options.pop("sample", lambda: maker(torch.randn(50, 3)))
    return CollapseMonitor(maker, other, draw, classify=other, **options)


def test_label_entropy_by_hand():
    share = torch.tensor([0.5, 0.25, 0.25])
    logits = torch.stack([share.log(), share.log()])
    expected = -(share * share.log()).sum() / math.log(3)
    torch.testing.assert_close(label_entropy(logits), expected)
    maps = logits[:, :, None, None].expand(2, 3, 4, 5)
    torch.testing.assert_close(label_entropy(maps), expected)
    assert float(label_entropy(torch.zeros(4, 7))) == pytest.approx(1.0)
    certain = torch.tensor([[1e4, 0.0]]).requires_grad_()
    value = label_entropy(certain)
    value.backward()
    assert float(value.detach()) < 1e-6
    assert certain.grad.isfinite().all()


@pytest.mark.parametrize(("deaf", "share"), [(False, 0.0), (True, 0.5)])
def test_dead_channels_do_not_change_with_the_noise(deaf, share):
    assert make(deaf).read()["dead_channels"] == share


def test_dead_channels_of_maps_and_of_named_layers():
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        net[0].weight[1:] = 0
    monitor = CollapseMonitor(net, net, lambda: net(torch.randn(6, 1, 4, 4)))
    assert monitor.layers == ["0", "1"]
    assert monitor.read()["dead_channels"] == pytest.approx(2 / 5)
    monitor = CollapseMonitor(net, net, lambda: net(torch.randn(6, 1, 4, 4)), layers=["0"])
    assert monitor.read()["dead_channels"] == pytest.approx(2 / 3)
    assert CollapseMonitor(net, net, lambda: net(torch.randn(6, 1, 4, 4)), layers=[]).read() == {}


def test_the_ratio_of_gradients():
    monitor = make()
    assert "gradient_ratio" not in monitor.read()
    monitor.generator.lin.weight.grad = torch.full((2, 3), 2.0)
    monitor.opponent.bias.grad = torch.tensor([3.0, 0.0, 4.0, 0.0])
    assert monitor.read()["gradient_ratio"] == pytest.approx(24**0.5 / 5)


def test_reading_leaves_no_trace_and_sees_the_same_noise():
    monitor = make()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with assert_no_trace(monitor.generator), assert_no_trace(monitor.opponent):
        first = monitor.read()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert monitor.read() == first
    assert len(monitor.history) == 2


def test_who_judges_is_evaluated_and_left_as_it_was():
    monitor = make()
    norm = nn.BatchNorm1d(2)
    monitor.opponent = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 4))
    monitor.classify, monitor.discrepancy = nn.Sequential(norm, nn.Linear(2, 4)), spread(monitor)
    with assert_no_trace(monitor.opponent), assert_no_trace(monitor.classify):
        assert monitor.read() == monitor.read()
    assert norm.num_batches_tracked == 0


def spread(monitor):
    """A discrepancy that hears the opponent, and draws numbers of its own."""
    return lambda made: monitor.opponent(made + torch.rand_like(made)).abs().mean()


def test_a_failing_sample_leaves_no_trace():
    def fail():
        raise OSError("planted")

    monitor = make(sample=fail)
    with assert_no_trace(monitor.generator), pytest.raises(OSError, match="planted"):
        monitor.read()


BAD = {
    "label_entropy": {"classify": lambda x: torch.tensor([[99.0, 0.0]])},
    "discrepancy": {"discrepancy": iter([1.0, 50.0, 50.0, 50.0, 50.0]).__next__},
    "dead_channels": {"deaf": True, "most_dead": 0.4},
}


@pytest.mark.parametrize("name", BAD)
def test_it_warns_once_when_a_reading_stays_bad(name):
    options = dict(BAD[name])
    monitor = make(options.pop("deaf", False), patience=2, **{"least_entropy": 0.1})
    monitor.most_dead = options.pop("most_dead", 0.6)
    if name == "discrepancy":
        values = iter([1.0, 50.0, 50.0, 50.0])
        monitor.discrepancy = lambda made: next(values)
        monitor.read()
    elif name == "label_entropy":
        monitor.classify = options["classify"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.read()
    with pytest.warns(CollapseWarning, match=f"{name} is .* at reading .*; "):
        monitor.read()
    assert monitor.collapsed == {name: len(monitor.history)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.read()


@pytest.mark.parametrize("ours", [0.0, 1e9, math.nan])
def test_a_player_that_stands_still_is_seen(ours):
    monitor = make(patience=1)
    monitor.generator.lin.bias.grad = torch.full((2,), ours)
    monitor.opponent.bias.grad = torch.ones(4)
    with pytest.warns(CollapseWarning, match="gradient_ratio"):
        monitor.read()


def test_a_good_reading_forgives():
    values = iter([1.0, 50.0, 2.0, 50.0, 2.0])
    monitor = make(patience=2)
    monitor.discrepancy = lambda made: next(values)
    for _ in range(5):
        monitor.read()
    assert not monitor.collapsed


def test_in_a_trainer_it_reads_every_epoch_and_is_resumed():
    monitor = make()
    task = NoiseTask(
        lambda n, g: torch.randn(n, 3, generator=g), lambda m, z: m(z).square().mean(), 8, 2
    )
    optimizer = torch.optim.SGD(monitor.generator.parameters(), lr=1e-3)
    trainer = Trainer(3, monitor=None, callbacks=[monitor], progress=False)
    history = trainer.fit(monitor.generator, optimizer, task).history
    assert [one["label_entropy"] for one in history] == [
        one["label_entropy"] for one in monitor.history
    ]
    other = make()
    other.load_state_dict(monitor.state_dict())
    assert other.history == monitor.history


def test_wrong_arguments_are_named():
    for options in ({"least_entropy": 2.0}, {"most_dead": -0.1}):
        with pytest.raises(ValueError, match="'least_entropy' and 'most_dead'"):
            make(**options)
    for options in ({"most_ratio": 1.0}, {"growth": 0.5}, {"patience": 0}):
        with pytest.raises(ValueError, match="'most_ratio' and 'growth'"):
            make(**options)
    with pytest.raises(ValueError, match="no submodule 'lim'"):
        make(layers=["lim"])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("label_entropy", [0.3, 1.0], [0.29, math.nan]),
        ("dead_channels", [0.5, 0.0], [0.51, math.nan]),
        ("gradient_ratio", [1e4, 1e-4, 1.0], [1.01e4, 0.99e-4, 0.0, math.inf, math.nan]),
        ("discrepancy", [5.0, 0.0, 0.5], [5.1, math.nan]),
    ],
)
def test_limits_themselves_are_good(name, good, bad):
    monitor = make()
    monitor.history = [{"discrepancy": 0.5}, {"discrepancy": 2.0}, {}]
    assert [monitor.is_bad(name, value) for value in good] == [False] * len(good)
    assert [monitor.is_bad(name, value) for value in bad] == [True] * len(bad)


def test_a_discrepancy_of_nothing_grows_at_once():
    monitor = make()
    monitor.history = [{"discrepancy": 0.0}]
    assert not monitor.is_bad("discrepancy", 1e-11)
    assert monitor.is_bad("discrepancy", 1.1e-11)


def test_limits_may_be_their_own_bounds():
    for options in (
        {"least_entropy": 0.0, "most_dead": 0.0, "patience": 1},
        {"least_entropy": 1.0, "most_dead": 1.0},
        {"most_ratio": 1.5, "growth": 1.5},
    ):
        assert make(**options).history == []
    with pytest.raises(ValueError, match="'growth'"):
        make(growth=1.0)


def test_channels_that_hardly_move_are_dead():
    still = torch.ones(3, 2)
    assert dead_share([still]) == 1.0
    moved = still.clone()
    moved[1, 0] += 1.0
    assert dead_share([moved]) == 0.5
    # By no more than a ten thousandth of what is there on average.
    for step, share in ((0.9e-4, 1.0), (1.2e-4, 0.5)):
        moved = still.double()
        moved[2, 1] += step
        assert dead_share([moved]) == share
    maps = torch.ones(3, 2, 4, 5)
    maps[0, 1, 3, 4] = 2.0
    assert dead_share([maps]) == 0.5
    assert dead_share([torch.ones(3), None, "a"]) == 0.0
    assert dead_share([still, maps]) == 0.75
    # One sample alone is the same as itself.
    assert dead_share([torch.rand(1, 4)]) == 1.0


def test_layers_that_are_looked_at():
    assert counted_layers(Maker()) == ["act"]
    assert counted_layers(nn.Sequential(nn.Linear(1, 1), nn.Flatten())) == ["0"]
    assert counted_layers(nn.Flatten()) == []


def test_a_state_is_a_copy():
    monitor, other = make(), make()
    monitor.history, monitor.bad, monitor.collapsed = [{"a": 1.0}], {"a": 2}, {"a": 3}
    other.load_state_dict(monitor.state_dict())
    monitor.history[0]["a"], monitor.bad["a"], monitor.collapsed["a"] = 9.0, 9, 9
    assert (other.history, other.bad, other.collapsed) == ([{"a": 1.0}], {"a": 2}, {"a": 3})


def test_one_class_has_no_entropy_and_a_ratio_to_nothing_is_infinite():
    assert float(label_entropy(torch.zeros(3, 1))) == 0.0
    monitor = make(patience=5)
    monitor.generator.lin.bias.grad, monitor.opponent.bias.grad = torch.ones(2), torch.zeros(4)
    assert monitor.read()["gradient_ratio"] == math.inf
