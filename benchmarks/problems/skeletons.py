"""Skeleton clips as a training task: all of them in memory, batches made without a loop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.datasets import SkeletonDataset
from graphkit.modes import evaluating
from graphkit.train import Callback, Run, ShardedTask
from graphkit.transforms import (
    RandomSkeletonRotation,
    SkeletonNormalize,
    SkeletonStream,
    repeated_frames,
    uniform_frames,
)


@dataclass(frozen=True)
class View:
    """How clips are looked at, in training and in tests.

    Args:
        num_frames (int): Frames of a clip.
        sampling (str): ``"uniform"`` or ``"repeat"``.
        rotation (float or list): Largest angles of the random turns, in radians.
        scale (float): Largest relative change of the size of a clip, one number per axis.
        joint_drop (float): Largest share of the joints that a clip loses for all its frames.
        test_clips (int): Looks at a clip in tests, their scores averaged.
    """

    num_frames: int = 32
    sampling: str = "uniform"
    rotation: Any = 0.0
    scale: float = 0.0
    joint_drop: float = 0.0
    test_clips: int = 1

    def __post_init__(self) -> None:
        if self.sampling not in ("uniform", "repeat"):
            raise ValueError(f"'sampling' must be 'uniform' or 'repeat', got {self.sampling!r}")
        if self.test_clips < 1 or not 0 <= self.scale < 1:
            raise ValueError("'test_clips' must be at least 1 and 'scale' in [0, 1)")
        if not 0 <= self.joint_drop < 1:
            raise ValueError(f"'joint_drop' must be in [0, 1), got {self.joint_drop}")

    def frames(self, lengths: Tensor, generator: torch.Generator | None, look: int) -> Tensor:
        """Positions of the frames of each clip; random with a generator."""
        if self.sampling == "repeat":
            return repeated_frames(lengths, self.num_frames)
        within = (look + 0.5) / self.test_clips
        return uniform_frames(
            lengths, self.num_frames, generator is not None, "paper", generator, within
        )

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Clips turned, stretched and bereft of joints at random."""
        if self.rotation:
            x = RandomSkeletonRotation(self.rotation, x.size(3), generator).dense(x)
        if self.scale:
            drawn = torch.rand(x.size(0), x.size(1), 1, 1, 1, generator=generator)
            x = x * (1 + (2 * drawn - 1) * self.scale)
        if self.joint_drop:
            share = self.joint_drop * torch.rand(x.size(0), 1, 1, 1, 1, generator=generator)
            drawn = torch.rand(x.size(0), 1, 1, x.size(3), 1, generator=generator)
            x = x * (drawn >= share)
        return x


@dataclass(frozen=True)
class Clips:
    """Clips behind one another: ``frames [F, C, V, M]``, begins, lengths and classes ``[B]``."""

    frames: Tensor
    begins: Tensor
    lengths: Tensor
    y: Tensor

    def take(self, numbers: Tensor, index: Tensor) -> Tensor:
        """Frames ``index [b, T]`` of the chosen clips, ``[b, C, T, V, M]``."""
        rows = self.begins[numbers].view(-1, 1) + index
        return self.frames[rows].transpose(1, 2)

    def stream(self, name: Any, layout: str) -> Clips:
        """The clips as bones or motions; a clip's last frame has no motion."""
        whole = SkeletonStream(name, layout).dense(self.frames.transpose(0, 1).unsqueeze(0))
        frames = whole[0].transpose(0, 1).contiguous()
        if name in ("jm", "bm"):
            frames[self.begins + self.lengths - 1] = 0.0
        return replace(self, frames=frames)

    def to(self, device: torch.device) -> Clips:
        """The clips on a device."""
        return replace(self, frames=self.frames.to(device), y=self.y.to(device))


def read(dataset: SkeletonDataset, normalize: bool | str) -> Clips:
    """The clips of a part; each moved and turned by what its first frame shows.

    With ``normalize="move"`` clips are moved only, with ``False`` left as they are.
    """
    if normalize not in (True, False, "move"):
        raise ValueError(f"'normalize' must be true, false or 'move', got {normalize!r}")
    begins = dataset.offsets[:-1][dataset.chosen]
    lengths = dataset.lengths
    clip = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    ends = lengths.cumsum(0)
    rows = torch.arange(len(clip)) - (ends - lengths)[clip] + begins[clip]
    frames = dataset.frames[rows].permute(0, 3, 2, 1).contiguous()
    if normalize:
        first = frames[ends - lengths, :, :, 0].transpose(1, 2)
        normal = SkeletonNormalize(dataset.graph, turn=normalize is True)
        origin, rotation = normal.alignment(first)
        there = (frames != 0).any(dim=1, keepdim=True)
        frames = (frames - origin[clip].view(-1, 3, 1, 1)) * there
        frames = torch.einsum("fdc,fcvm->fdvm", rotation[clip], frames)
    return Clips(frames.contiguous(), ends - lengths, lengths, dataset.labels)


class SkeletonBatch(NamedTuple):
    """Clips ``[b, C, T, V, M]``, their classes, and how many of them count."""

    x: Tensor
    y: Tensor
    size: int


class SkeletonTask(ShardedTask):
    """Classification of clips; the test part is not looked at while training.

    Args:
        clips (Clips): What to train on.
        view (View): How to look at it.
        batch_size (int): Clips per step, over all processes.
        label_smoothing (float): Probability given to the other classes.
    """

    def __init__(
        self, clips: Clips, view: View, batch_size: int = 32, label_smoothing: float = 0.0
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        self.clips, self.view, self.batch_size = clips, view, batch_size
        self.label_smoothing = label_smoothing
        self.device = torch.device("cpu")

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return math.ceil(self.clips.lengths.numel() / self.batch_size)

    def batches(self, seed: int) -> Iterator[SkeletonBatch]:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(self.clips.lengths.numel(), generator=generator)
        for whole in order.split(self.batch_size):
            index = self.view.frames(self.clips.lengths[whole], generator, 0)
            mine, idle = self.mine(torch.arange(len(whole)))
            count = 0 if idle else len(mine)
            x = self.clips.take(whole[mine], index[mine])
            x = self.view.augment(x, generator)
            yield SkeletonBatch(x.to(self.device), self.clips.y[whole[mine]].to(self.device), count)

    def loss(self, model: nn.Module, batch: SkeletonBatch) -> Tensor:
        loss = F.cross_entropy(model(batch.x), batch.y, label_smoothing=self.label_smoothing)
        return loss if batch.size else loss * 0.0

    def size(self, batch: SkeletonBatch) -> int:
        return batch.size

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}

    def to(self, device: torch.device) -> SkeletonTask:
        self.device = device
        return self


@torch.no_grad()
def scores(model: nn.Module, clips: Clips, view: View, batch_size: int = 128) -> Tensor:
    """Scores of all clips ``[B, K]``, the mean over the looks at each."""
    device = next(model.parameters()).device
    means = []
    with evaluating(model):
        for rows in torch.arange(clips.lengths.numel()).split(batch_size):
            looks = [
                model(clips.take(rows, view.frames(clips.lengths[rows], None, look)).to(device))
                for look in range(view.test_clips)
            ]
            means.append(torch.stack(looks).mean(0).cpu())
    return torch.cat(means)


class Schedule(Callback):
    """Learning rate and momentum of a run, step by step.

    Args:
        steps (int): Steps of the whole run.
        kind (str): ``"cosine"`` to zero, ``"constant"``, or ``"step"``.
        warmup (float): Share of the steps in which the rate rises linearly.
        momentum (float): Nesterov momentum, for SGD.
        milestones (sequence of float): Shares of the steps after which the rate is a tenth of
            what it was, for ``"step"``.
    """

    def __init__(
        self,
        steps: int,
        kind: str = "cosine",
        warmup: float = 0.0,
        momentum: float = 0.0,
        milestones: Sequence[float] = (0.6, 0.85),
    ) -> None:
        if kind not in ("cosine", "constant", "step"):
            raise ValueError(f"'kind' must be 'cosine', 'constant' or 'step', got {kind!r}")
        if not 0 <= warmup < 1:
            raise ValueError(f"'warmup' must be in [0, 1), got {warmup}")
        self.steps, self.kind, self.warmup, self.momentum = steps, kind, warmup, momentum
        self.milestones = tuple(milestones)
        self.done, self.base = 0, 0.0

    def factor(self) -> float:
        """The present rate over that of the recipe."""
        share = self.done / max(self.steps, 1)
        if share < self.warmup:
            return (self.done + 1) / (self.warmup * self.steps)
        if self.kind == "cosine":
            return 0.5 + 0.5 * math.cos(math.pi * min(share, 1.0))
        passed = sum(share >= milestone for milestone in self.milestones)
        return 0.1**passed if self.kind == "step" else 1.0

    def on_fit_start(self, run: Run) -> None:
        self.base = self.base or run.optimizer.param_groups[0]["lr"]
        self.apply(run)

    def on_step_end(self, run: Run) -> None:
        self.done += 1
        self.apply(run)

    def apply(self, run: Run) -> None:
        """Sets the rate of every group of parameters."""
        for group in run.optimizer.param_groups:
            group["lr"] = self.base * self.factor()
            if self.momentum:
                group.update(momentum=self.momentum, nesterov=True)

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done, "base": self.base}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done, self.base = state["done"], state["base"]
