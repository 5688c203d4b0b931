"""The other player: when it moves, what it leaves alone, checkpoints."""

import copy

import pytest
import torch
from torch import nn

from graphkit.train import NoiseTask, Opponent, Trainer


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 2), nn.Linear(2, 2)

    def loss(self, z):
        return (self.first(z) - self.second(self.first(z).detach())).square().mean()


def make(every=3, **options):
    torch.manual_seed(0)
    model = Players()
    optimizer = torch.optim.Adam(model.second.parameters(), lr=0.01)
    moves = []

    def climb(run):
        moves.append(run.epoch)
        return -model.loss(torch.ones(4, 3))

    return model, Opponent(optimizer, climb, every, **options), moves


def noise(count, generator):
    return torch.randn(count, 3, generator=generator)


def fit(model, opponent, epochs=2, **options):
    task = NoiseTask(noise, lambda m, z: m.loss(z), 8, steps=7)
    optimizer = torch.optim.SGD(model.first.parameters(), lr=0.1)
    trainer = Trainer(epochs, monitor=None, seed=0, callbacks=[opponent], progress=False, **options)
    return trainer.fit(model, optimizer, task)


def test_it_moves_after_so_many_steps_over_epochs():
    model, opponent, moves = make(every=3)
    result = fit(model, opponent)
    assert moves == [1, 1, 2, 2]
    assert result.history[-1]["opponent_loss"] == opponent.last < 0


def test_only_its_own_parameters_get_its_gradient():
    model, opponent, _ = make(every=1)
    seen = []
    opponent.optimizer.register_step_post_hook(
        lambda *_: seen.append([p.grad.clone() for p in model.first.parameters()])
    )
    before = copy.deepcopy(model.state_dict())
    fit(model, opponent, epochs=1)
    assert any((before[n] != v).any() for n, v in model.state_dict().items() if "second" in n)
    alone, _, _ = make()
    z = next(iter(NoiseTask(noise, lambda m, z: m.loss(z), 8, 7).batches(1)))
    alone.loss(z).backward()
    for found, p in zip(seen[0], alone.first.parameters(), strict=True):
        torch.testing.assert_close(found, p.grad)


def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    straight, opponent, _ = make(every=3)
    fit(straight, opponent, epochs=4)
    file = tmp_path / "run.pt"

    class KilledError(Exception):
        """The run is cut off."""

    model, opponent, moves = make(every=3)
    climb = opponent.loss

    def once(run):
        if run.epoch == 3:
            raise KilledError
        return climb(run)

    opponent.loss = once
    with pytest.raises(KilledError):
        fit(model, opponent, epochs=4, checkpoint=file, checkpoint_seconds=0)
    model, opponent, moves = make(every=3)
    fit(model, opponent, epochs=4, checkpoint=file, checkpoint_seconds=0, resume=True)
    assert moves == [3, 3, 3, 4, 4]
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


def test_a_second_run_counts_its_own_steps():
    model, opponent, moves = make(every=3)
    fit(model, opponent, epochs=1)
    assert opponent.steps == 7
    fit(model, opponent, epochs=1)
    assert opponent.steps == 7
    assert moves == [1, 1, 1, 1]


def test_its_learning_rate_follows_a_scheduler():
    model, opponent, _ = make()
    opponent.scheduler = torch.optim.lr_scheduler.StepLR(opponent.optimizer, 1, 0.1)
    fit(model, opponent, epochs=2)
    assert opponent.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)
    _, other, _ = make()
    other.scheduler = torch.optim.lr_scheduler.StepLR(other.optimizer, 1, 0.1)
    other.load_state_dict(opponent.state_dict())
    assert other.scheduler.last_epoch == 2


def test_bad_losses_and_arguments_are_named():
    with pytest.raises(ValueError, match="'every' must be at least 1"):
        make(every=0)
    model, opponent, _ = make(every=1)
    opponent.loss = lambda run: model.second.weight.sum() * torch.nan
    before = copy.deepcopy(model.second.state_dict())
    with pytest.raises(FloatingPointError, match="second player's loss became nan in epoch 1"):
        fit(model, opponent)
    assert all(torch.equal(before[n], v) for n, v in model.second.state_dict().items())
