"""STIGCN beside a plain transcription of its published structure, with the same weights.

``python -m benchmarks.speed.skeleton`` prints one line per measurement. The rival mixes joints
by four products and convolves the results one by one, channels first; it lives here alone.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.nn import STIGCN, SkeletonGraph, STInceptionBlock


class Unit(nn.Module):
    """A convolution over frames and its normalisation, ``[N, C, T, V]``."""

    def __init__(self, weight: Tensor, norm: Any, rows: slice = slice(None)) -> None:
        super().__init__()
        out_channels, in_channels, _, size = weight.shape
        pad = (size // 2, 0)
        self.conv = nn.Conv2d(in_channels, out_channels, (size, 1), padding=pad, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        with torch.no_grad():
            self.conv.weight.copy_(weight.transpose(2, 3))
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(self.norm, name).copy_(getattr(norm, name)[rows])

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class PlainBlock(nn.Module):
    """The published block, branch by branch."""

    static: Tensor

    def __init__(self, block: STInceptionBlock) -> None:
        super().__init__()
        quarter, half = block.out_channels // 4, block.out_channels // 2
        self.register_buffer("static", block.static.clone())
        self.offsets = nn.ParameterList(offset.detach().clone() for offset in block.offset)
        self.gain = nn.Parameter(block.gain.detach().clone())
        self.theta, self.phi = (nn.Conv2d(block.in_channels, quarter, 1) for _ in range(2))
        with torch.no_grad():
            for k, conv in enumerate((self.theta, self.phi)):
                for mine, whole in zip(conv.parameters(), block.project.parameters(), strict=True):
                    mine.copy_(whole.chunk(2)[k])
        self.branches = nn.ModuleList(
            Unit(weight, block.branch_norm, slice(k * quarter, (k + 1) * quarter))
            for k, weight in enumerate(block.branches.weight.chunk(4))
        )
        self.position = Unit(block.position.weight, block.frame_norm, slice(half))
        self.motion = Unit(block.motion.weight, block.frame_norm, slice(half, None))
        merges = (block.merge_joints, block.merge_frames)
        self.spatial, self.temporal = (Unit(one.conv.weight, one.norm) for one in merges)
        short = block.shortcut
        self.shortcut = None if short is None else Unit(short.conv.weight, short.norm)
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        size, channels, frames, joints = x.shape
        left = self.theta(x).permute(0, 3, 1, 2).reshape(size, joints, -1)
        score = left @ self.phi(x).view(size, -1, joints) / left.size(-1)
        attention, flat, outs = score.softmax(dim=1), x.reshape(size, -1, joints), []
        for static, offset, branch in zip(self.static, self.offsets, self.branches, strict=True):
            mixed = flat @ (static + self.gain * attention + offset)
            outs.append(F.relu(branch(mixed.view(size, channels, frames, joints)), inplace=True))
        out = self.spatial(torch.cat(outs, dim=1))
        later = [*range(1, frames), frames - 1]
        views = [self.position(x), self.motion(x[:, :, later] - x)]
        views = [F.relu(view, inplace=True) for view in views]
        out = out + self.temporal(torch.cat(views, dim=1))
        if self.residual:
            out += x if self.shortcut is None else self.shortcut(x)
        return F.relu(out, inplace=True)


class PlainSTIGCN(nn.Module):
    """The published network with the weights of ours."""

    def __init__(self, model: STIGCN) -> None:
        super().__init__()
        self.data_norm = nn.BatchNorm1d(model.data_norm.num_features)
        blocks = [block for block in model.blocks if isinstance(block, STInceptionBlock)]
        self.blocks = nn.ModuleList(PlainBlock(block) for block in blocks)
        self.halvings = model.halvings
        self.lin = nn.Linear(model.lin.in_features, model.lin.out_features)
        self.data_norm.load_state_dict(model.data_norm.state_dict())
        self.lin.load_state_dict(model.lin.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        size, channels, frames, joints, persons = x.shape
        x = self.data_norm(x.permute(0, 4, 3, 1, 2).reshape(size, -1, frames))
        x = x.view(size, persons, joints, channels, frames).permute(0, 1, 3, 4, 2)
        x = x.reshape(size * persons, channels, frames, joints)
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            x = F.max_pool2d(x, (2, 1)) if number in self.halvings else x
        pooled = x.view(size, persons, x.size(1), -1).mean(3).mean(1)
        return self.lin(F.dropout(pooled, 0.5, self.training))


def training(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], Any]:
    """Forward and backward, down to the gradients of the parameters."""

    def run() -> None:
        model.train()
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()

    return run


def inference(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Scores without gradients."""

    def run() -> Tensor:
        model.eval()
        with torch.no_grad():
            return model(x)

    return run


def in_turns(steps: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Median wall and processor seconds of calls that take turns, one turn to warm up."""
    spent_by: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, run in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            spent = (time.perf_counter() - wall, time.process_time() - cpu)
            if repeat:
                spent_by[name].append(spent)
    return {
        name: {
            "seconds": statistics.median(wall for wall, _ in spent),
            "processor_seconds": statistics.median(cpu for _, cpu in spent),
        }
        for name, spent in spent_by.items()
    }


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """One row per measurement: 16 clips of 2 persons, 100 frames, NTU; 2 clips if ``quick``."""
    torch.manual_seed(0)
    clips, repeats = (2, 2) if quick else (16, 5)
    model = STIGCN(3, 60, SkeletonGraph("ntu-25"), poly="released")
    x, y = torch.randn(clips, 3, 100, 25, 2), torch.arange(clips) % 60
    # One step first: running statistics of a fresh network would make fusing trivial.
    training(model, x, y)()
    rival, fused = PlainSTIGCN(model), model.fuse()
    scores = inference(rival, x)()
    networks = {"STIGCN": model, "STIGCN fused": fused, "plain": rival}
    runs = {name: inference(network, x) for name, network in networks.items()}
    # Casting changes a network in place: its float32 self is measured as well.
    for name in ("STIGCN fused", "plain"):
        half = copy.deepcopy(networks[name]).bfloat16()
        runs[f"{name}, bfloat16"] = inference(half, x.bfloat16())
    errors = {name: float((run() - scores).abs().max()) for name, run in runs.items()}
    tables = {
        "inference": in_turns(runs, repeats),
        "training step": in_turns(
            {n: training(networks[n], x, y) for n in ("STIGCN", "plain")}, repeats
        ),
    }
    return [
        {
            "what": what,
            "network": name,
            "size": f"[{clips}, 3, 100, 25, 2], {torch.get_num_threads()} threads",
            **spent,
            "times_faster": table["plain"]["seconds"] / spent["seconds"],
            "times_less_processor": table["plain"]["processor_seconds"]
            / spent["processor_seconds"],
            "largest_error": errors[name],
        }
        for what, table in tables.items()
        for name, spent in table.items()
    ]


if __name__ == "__main__":
    for row in rows("--quick" in sys.argv):
        print(json.dumps(row))
