import math

import pytest
import torch
from torch import nn

from benchmarks.problems.skeletons import Clips, Schedule, SkeletonTask, View, read, scores
from graphkit.datasets import SyntheticSkeletons
from graphkit.testing import TaskSuite
from graphkit.train import Trainer
from graphkit.transforms import SkeletonNormalize, SkeletonStream, uniform_frames


@pytest.fixture(scope="module")
def parts():
    return SyntheticSkeletons(32, num_frames=(9, 14), num_person=2).splits()


class Mean(nn.Module):
    """The smallest classifier of clips."""

    def __init__(self, classes=8):
        super().__init__()
        self.lin = nn.Linear(3 * 25 * 2, classes)

    def forward(self, x):
        return self.lin(x.mean(2).flatten(1))


class TestSkeletonTask(TaskSuite):
    def make(self):
        learned = SyntheticSkeletons(32, num_frames=(9, 14), num_person=2).splits()[0]
        return SkeletonTask(read(learned, False), View(5), batch_size=7)

    def make_model(self):
        return Mean()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("stream", ["j", "b", "jm", "bm"])
def test_clips_are_what_the_transforms_make(parts, normalize, stream):
    """All at once over ragged clips, against one graph after another."""
    test = parts[1]
    clips = read(test, normalize).stream(stream, test.layout)
    for i, data in enumerate(test):
        if normalize:
            data = SkeletonNormalize()(data)
        data = SkeletonStream(stream)(data)
        whole = torch.arange(int(clips.lengths[i])).view(1, -1)
        found = clips.take(torch.tensor([i]), whole)[0]
        torch.testing.assert_close(
            found.permute(3, 2, 0, 1).flatten(0, 1), data.x, rtol=1e-4, atol=1e-5
        )
    assert torch.equal(clips.y, test.labels)


def test_an_epoch_sees_every_clip_once_and_follows_its_seed(parts):
    clips = read(parts[0], True)
    task = SkeletonTask(clips, View(6, rotation=0.3, scale=0.1), batch_size=7)
    first, again, other = (list(task.batches(seed)) for seed in (0, 0, 1))
    assert [batch.size for batch in first] == [7, 7, 7, 3]
    assert task.steps == 4
    labels = torch.cat([batch.y for batch in first])
    assert torch.equal(labels.sort().values, clips.y.sort().values)
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.x, two.x)
    assert not torch.equal(first[0].x, other[0].x)
    assert first[0].x.shape == (7, 3, 6, 25, 2)


def test_training_hides_whole_joints(parts):
    clips = read(parts[0], True)
    plain, hidden = (
        next(iter(SkeletonTask(clips, View(6, joint_drop=share), 24).batches(3)))
        for share in (0.0, 0.6)
    )
    gone = (hidden.x == 0).all(1).all(1)
    kept = torch.where(gone[:, None, None], 0.0, plain.x)
    assert torch.equal(hidden.x, kept)
    shares = gone[:, :, 0].float().mean(1)
    assert 0.15 < float(shares.mean()) < 0.45
    assert shares.unique().numel() > 5
    with pytest.raises(ValueError, match="'joint_drop'"):
        View(6, joint_drop=1.0)


def test_processes_share_the_batches(parts):
    task = SkeletonTask(read(parts[0], False), View(6), batch_size=7)
    whole = list(task.batches(3))
    shares = [list(task.shard(rank, 4).batches(3)) for rank in range(4)]
    for position, batch in enumerate(whole):
        mine = [share[position] for share in shares]
        assert [one.size for one in mine] == ([2, 2, 2, 1] if batch.size == 7 else [1, 1, 1, 0])
        for rank, one in enumerate(mine):
            if one.size:
                assert torch.equal(one.x, batch.x[rank::4])
    model = Mean()
    assert task.loss(model, shares[3][3]).item() == 0.0


def test_looks_are_averaged_and_the_mode_is_kept(parts):
    clips = read(parts[1], False)
    model = Mean().train()
    found = scores(model, clips, View(5, test_clips=3), batch_size=3)
    looks = []
    for place in (1 / 6, 0.5, 5 / 6):
        index = uniform_frames(clips.lengths, 5, random=False, within=place)
        looks.append(model(clips.take(torch.arange(8), index)))
    torch.testing.assert_close(found, torch.stack(looks).mean(0))
    assert model.training


def test_repeated_clips(parts):
    clips = read(parts[1], False)
    view = View(20, sampling="repeat", test_clips=1)
    x = clips.take(torch.arange(8), view.frames(clips.lengths, None, 0))
    length = int(clips.lengths[0])
    assert torch.equal(x[0, :, length:], x[0, :, : 20 - length])


def rates(**settings):
    task = SkeletonTask(read(SyntheticSkeletons(32, num_person=2).splits()[0], False), View(4), 6)
    model = Mean()
    schedule = Schedule(task.steps * 5, **settings)
    seen = []

    class Watch(Schedule):
        def on_step_end(self, run):
            seen.append(run.optimizer.param_groups[0]["lr"])

    optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
    watch = Watch(1, "constant")
    watch.apply = lambda run: None
    Trainer(5, monitor=None, seed=0, callbacks=[watch, schedule], progress=False).fit(
        model, optimizer, task
    )
    return seen, optimizer


def test_schedules():
    seen, optimizer = rates(momentum=0.9)
    assert seen == pytest.approx([0.2 + 0.2 * math.cos(math.pi * i / 20) for i in range(20)])
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert all("momentum_buffer" in state for state in optimizer.state.values())
    seen, _ = rates(kind="step", warmup=0.2)
    assert seen[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert seen[4:12] == pytest.approx([0.4] * 8)
    assert seen[12:17] == pytest.approx([0.04] * 5)
    assert seen[17:] == pytest.approx([0.004] * 3)
    assert set(rates(kind="constant")[0]) == {0.4}


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(parts, tmp_path):
    clips = read(parts[0], True)

    def fit(epochs_until_stop, resume):
        torch.manual_seed(0)
        model = Mean()
        task = SkeletonTask(clips, View(6, rotation=0.2), 8)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = Schedule(task.steps * 4, momentum=0.9)
        trainer = Trainer(
            4,
            monitor=None,
            seed=0,
            callbacks=[schedule],
            checkpoint=tmp_path / "run.pt",
            checkpoint_seconds=0,
            resume=resume,
            progress=False,
        )
        if epochs_until_stop is not None:
            judge = trainer.judge

            def stop(run, fabric):
                if run.epoch > epochs_until_stop:
                    raise KeyboardInterrupt
                judge(run, fabric)

            trainer.judge = stop
        trainer.fit(model, optimizer, task)
        return model.lin.weight

    wanted = fit(None, False)
    with pytest.raises(KeyboardInterrupt):
        fit(2, False)
    assert torch.equal(fit(None, True), wanted)


def test_what_does_not_fit_is_named(parts):
    for key, value in {"sampling": "all", "test_clips": 0, "scale": 1.0}.items():
        with pytest.raises(ValueError, match=f"'{key}'"):
            View(**{key: value})
    for key, value in {"kind": "cyclic", "warmup": 1.0}.items():
        with pytest.raises(ValueError, match=f"'{key}'"):
            Schedule(10, **{key: value})
    with pytest.raises(ValueError, match="'batch_size'"):
        SkeletonTask(read(parts[0], False), View(), 0)
    assert isinstance(read(parts[0], False).to(torch.device("cpu")), Clips)
