"""Running averages of weights: their formula, what they leave alone, checkpoints."""

import copy

import pytest
import torch
from torch import nn

from graphkit.train import Callback, TensorTask, Trainer, WeightAverage


class Watch(Callback):
    """Keeps the weights after every step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, run):
        self.seen.append([p.detach().clone() for p in run.model.parameters()])


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()


def fit(model, *callbacks, epochs=6, **options):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(12, 3, generator=draw, dtype=torch.double)
    task = TensorTask((x, x[:, :1]), lambda m, x, y: (m(x) - y).square().mean(), 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"monitor": None, "seed": 0, "progress": False, **options}
    return Trainer(epochs, callbacks=callbacks, **options).fit(model, optimizer, task)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_is_that_of_the_formula(decay):
    model, watch = make(), Watch()
    average = WeightAverage(model, decay)
    fit(model, watch, average)
    expected = watch.seen[0]
    for t, weights in enumerate(watch.seen[1:], 1):
        keep = min(decay, t / (t + 9))
        expected = [keep * a + (1 - keep) * b for a, b in zip(expected, weights, strict=True)]
    for found, wanted in zip(average.averaged.parameters(), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_the_run_is_as_without_it():
    alone, beside = make(), make()
    plain, averaged = fit(alone), fit(beside, WeightAverage(beside))
    for a, b in zip(alone.state_dict().values(), beside.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert [e["train_loss"] for e in plain.history] == [e["train_loss"] for e in averaged.history]


def test_it_evaluates_and_has_the_statistics_of_the_last_step():
    model = make()
    average = WeightAverage(model)
    fit(model, average)
    assert not any(module.training for module in average.averaged.modules())
    assert not any(p.requires_grad for p in average.averaged.parameters())
    assert torch.equal(average.averaged[1].running_mean, model[1].running_mean)
    assert average.averaged[1].num_batches_tracked == model[1].num_batches_tracked == 18
    assert not torch.equal(average.averaged[0].weight, model[0].weight)


def test_a_resumed_run_has_the_same_average(tmp_path):
    straight = make()
    whole = WeightAverage(straight)
    fit(straight, whole)

    class Stop(Callback):
        def on_epoch_end(self, run):
            if run.epoch == 4:
                raise KeyboardInterrupt

    options = {"checkpoint": tmp_path / "run.pt", "checkpoint_seconds": 0}
    killed = make()
    with pytest.raises(KeyboardInterrupt):
        fit(killed, WeightAverage(killed), Stop(), **options)
    resumed = make()
    again = WeightAverage(resumed)
    fit(resumed, again, Callback(), resume=True, **options)
    wanted = whole.averaged.state_dict()
    for name, value in again.averaged.state_dict().items():
        assert torch.equal(value, wanted[name]), name


def test_it_follows_the_precision_of_the_run(tmp_path):
    options = {"precision": "64-true", "checkpoint": tmp_path / "run.pt"}
    model, watch = make().float(), Watch()
    average = WeightAverage(model, 0.0)
    fit(model, watch, average, **options)
    for found, wanted in zip(average.averaged.parameters(), watch.seen[-1], strict=True):
        assert torch.equal(found, wanted)
    assert average.averaged[1].running_mean.dtype == torch.double
    resumed_model = make().float()
    resumed = WeightAverage(resumed_model, 0.0)
    fit(resumed_model, Watch(), resumed, resume=True, **options)
    for name, value in average.averaged.state_dict().items():
        assert torch.equal(resumed.averaged.state_dict()[name], value), name


def test_averages_of_half_precision_are_refused():
    model = make().float()
    with pytest.raises(ValueError, match=r"'0.weight' is of torch.bfloat16.*'bf16-mixed'"):
        fit(model, WeightAverage(model), precision="bf16-true")


def test_of_a_part_only_that_is_copied():
    model = make()
    average = WeightAverage(model[0])
    fit(model, average, epochs=1)
    assert [n for n, _ in average.averaged.named_parameters()] == ["weight", "bias"]


def test_on_a_circle_the_average_is_its_centre():
    """Two players of ``x y`` never arrive, by turns; their average does."""
    players = nn.Linear(1, 1)
    with torch.no_grad():
        players.weight.fill_(1.0)
        players.bias.fill_(0.0)
    average = WeightAverage(players, 0.99)
    for _ in range(2000):
        with torch.no_grad():
            players.weight.sub_(0.1 * players.bias)
            players.bias.add_(0.1 * players.weight.view(-1))
        average.on_step_end(None)
    last = torch.cat([p.detach().flatten() for p in players.parameters()])
    centre = torch.cat([p.flatten() for p in average.averaged.parameters()])
    assert last.norm() > 0.8
    assert centre.norm() < 0.15


def test_wrong_decays_and_models_without_weights_are_named():
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="'decay' must be at least 0 and below 1"):
            WeightAverage(nn.Linear(2, 2), decay)
    with pytest.raises(ValueError, match="no weights in 'weight' yet"):
        WeightAverage(nn.LazyLinear(2))
    with pytest.raises(TypeError, match="model"):
        WeightAverage(nn.Linear)


def test_the_average_is_a_copy():
    model = make()
    before = copy.deepcopy(model.state_dict())
    average = WeightAverage(model)
    with torch.no_grad():
        for p in average.averaged.parameters():
            p.zero_()
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
