"""Training on noise: what is drawn, in one process and in several."""

import pytest
import torch

from graphkit.train import NoiseTask, Trainer


def noise(count, generator):
    return torch.randn(count, 3, generator=generator)


def squares(model, z):
    return model(z).square().mean()


def test_noise_depends_on_the_seed_alone():
    task = NoiseTask(noise, squares, batch_size=4, steps=3)
    first, again, other = (list(task.batches(seed)) for seed in (7, 7, 8))
    torch.manual_seed(1)
    assert len(first) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(("batch_size", "processes"), [(6, 2), (5, 3), (1, 2)])
def test_shards_together_are_the_whole(batch_size, processes):
    task = NoiseTask(noise, squares, batch_size, steps=2)
    parts = [task.shard(rank, processes) for rank in range(processes)]
    model = torch.nn.Linear(3, 2)
    for whole, *batches in zip(task.batches(0), *(p.batches(0) for p in parts), strict=True):
        sizes = [part.size(batch) for part, batch in zip(parts, batches, strict=True)]
        assert sum(sizes) == len(whole) == batch_size
        losses = [part.loss(model, batch) for part, batch in zip(parts, batches, strict=True)]
        mean = sum(n * loss for n, loss in zip(sizes, losses, strict=True)) / batch_size
        torch.testing.assert_close(mean, task.loss(model, whole))


def test_it_trains_and_shows_metrics():
    model = torch.nn.Linear(3, 1)
    task = NoiseTask(noise, squares, 16, 20, lambda m: {"size": float(m.weight.norm().detach())})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = Trainer(3, monitor=None, seed=0, progress=False).fit(model, optimizer, task)
    assert result.history[-1]["train_loss"] < 0.01 < result.history[0]["train_loss"]
    assert result.history[-1]["size"] < 0.05


def test_wrong_arguments_are_named():
    for name in ("batch_size", "steps"):
        with pytest.raises(ValueError, match=f"'{name}' must be at least 1"):
            NoiseTask(noise, squares, **{name: 0})
