"""Temporal action localisation with Gaussian kernels that learn their scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.vision.actions.anchors import RATIOS
from graphkit.vision.actions.segments import decode, group_kernels, temporal_nms

__all__ = ["GTAN", "Proposals"]


@dataclass
class Proposals:
    """What :class:`GTAN` says about a batch of videos; times are shares of the video.

    Args:
        centre (torch.Tensor): Centres of the anchors, ``[B, A]``.
        width (torch.Tensor): Their widths, ``[B, A]``.
        logits (torch.Tensor): Scores of the classes, background last, ``[B, A, C + 1]``.
        offsets (torch.Tensor): Shift and stretch of the anchors, ``[B, A, 2]``.
        overlap (torch.Tensor): Foreseen overlap with an action, before the sigmoid, ``[B, A]``.
        feature (torch.Tensor): Pooled features, ``[B, A, F]``.
        sigma (torch.Tensor): Deviation of the kernel behind an anchor, ``[B, A]``.
        level (torch.Tensor): Level of the pyramid, 0 is the finest, ``[A]``.
        cell (torch.Tensor): Cell of the level, ``[A]``.
        valid (torch.Tensor): Whether the anchor is there; not each cell begins a group,
            ``[B, A]``.
    """

    centre: Tensor
    width: Tensor
    logits: Tensor
    offsets: Tensor
    overlap: Tensor
    feature: Tensor
    sigma: Tensor
    level: Tensor
    cell: Tensor
    valid: Tensor

    def segments(self) -> Tensor:
        """Starts and ends, ``[B, A, 2]``."""
        return decode(self.offsets, self.centre, self.width)

    def scores(self) -> Tensor:
        """Probability of each action times foreseen overlap, 0 where not valid, ``[B, A, C]``."""
        probability = self.logits.softmax(-1)[..., :-1] * self.overlap.sigmoid().unsqueeze(-1)
        return probability * self.valid.unsqueeze(-1)


@method(
    paper="arXiv:1909.03877",
    title="Gaussian Temporal Awareness Networks for Action Localization",
    authors="Fuchen Long, Ting Yao, Zhaofan Qiu, Xinmei Tian, Jiebo Luo, Tao Mei",
    venue="CVPR 2019",
    year=2019,
    code=None,
    licence="none",
    takes="features of a video's frames",
    gives="scored segments of time",
    deviations=[
        "there is no released code: the width 2 sigma of an anchor, the ratios and the coding of "
        "boxes follow the authors' later AherNet",
        "cells and anchors are both centred at (i + 1/2) / T; the paper centres the kernels of "
        "cells at i / T",
        "groups of kernels are merged all at once until none is left to merge, not in one walk "
        "from the left",
        "five levels of equal width with shared heads by default; the paper has eight on P3D "
        "features",
        "sigma starts at half a cell, so that it does not begin as global pooling",
        "sigma is at least a twentieth of a cell, where a kernel sees its cell alone; at 0 pooling "
        "would divide by 0",
        "boundaries are judged in widths of the action (see GTANLoss): in widths of an anchor that "
        "learns its own, as detectors with fixed anchors do it, kernels grow to the whole video",
    ],
    limits=[
        "actions of one length: learned widths gain no reliable mAP over fixed scales",
    ],
)
class GTAN(nn.Module):
    r"""Gaussian temporal awareness network from the `"Gaussian Temporal Awareness Networks for
    Action Localization" <https://arxiv.org/abs/1909.03877>`_ paper: each cell of a pyramid of
    temporal convolutions learns the scale of a Gaussian that it pools with, and that is the
    size of its anchors.

    .. math::
        \sigma_t = \mathrm{sigmoid}(\mathrm{conv}(f)_t), \quad
        F_t = \sum_i \frac{1}{Z} e^{-(p_i - \mu_t)^2 / 2 \sigma_t^2} f_i, \quad
        p_i = \mu_i = \frac{i + 1/2}{T}

    .. math::
        a_c = \mu_t, \quad a_w = 2 r \sigma_t, \quad \phi_c = a_c + \alpha a_w \Delta c, \quad
        \phi_w = a_w e^{\alpha \Delta w}

    Kernels of neighbouring cells that overlap by more than :obj:`group_threshold` make a mixed
    kernel, with proposals of its own. Time and memory of a level grow with the square of its
    cells. A scale is learned from what its cell can see, 18 frames on the finest level: longer
    actions look alike from there, and the coarser levels tell them apart.

    Args:
        in_channels (int): Features per frame; :obj:`-1` takes it from the first input.
        num_classes (int): Number of actions.
        channels (int, optional): Width of all levels. (default: :obj:`64`)
        num_levels (int, optional): Levels of the pyramid; the finest has a quarter as many
            cells as there are frames, each further one half as many. (default: :obj:`5`)
        ratios (tuple of float, optional): Widths :math:`r` of a cell's anchors.
            (default: :math:`1, 2^{1/3}, 2^{2/3}`)
        group_threshold (float, optional): tIoU above which neighbouring kernels are merged;
            1 switches grouping off. (default: :obj:`0.7`)
        fixed_scale (bool, optional): The ablation: no pooling, and :math:`2 \sigma` is one cell.
            (default: :obj:`False`)

    Shapes:
        - **input:** :math:`(B, F, T)` with :math:`T` a multiple of :math:`2^{L + 1}`
        - **output:** :class:`Proposals`

    Raises:
        ValueError: If an option or the shape of the input is wrong.

    Example:
        >>> import torch
        >>> from graphkit.vision import GTAN
        >>> model = GTAN(16, num_classes=3, num_levels=3)
        >>> found = model(torch.rand(2, 16, 32))
        >>> found.logits.shape
        torch.Size([2, 84, 4])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 64,
        num_levels: int = 5,
        ratios: tuple[float, ...] = RATIOS,
        group_threshold: float = 0.7,
        fixed_scale: bool = False,
    ) -> None:
        super().__init__()
        if num_levels < 1 or num_classes < 1 or not ratios:
            raise ValueError(
                f"'num_levels' and 'num_classes' must be at least 1 and 'ratios' not empty, got "
                f"{num_levels}, {num_classes} and {ratios}"
            )
        self.num_classes, self.ratios = num_classes, tuple(ratios)
        self.group_threshold, self.fixed_scale = group_threshold, fixed_scale
        first = (
            nn.LazyConv1d(channels, 3, padding=1)
            if in_channels == -1
            else nn.Conv1d(in_channels, channels, 3, padding=1)
        )
        self.stem = nn.Sequential(
            first,
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv1d(channels, channels, 3, 2, padding=1), nn.ReLU())
            for _ in range(num_levels)
        )
        self.scale = nn.ModuleList(nn.Conv1d(channels, 1, 3, padding=1) for _ in range(num_levels))
        outputs = len(ratios) * (num_classes + 1 + 2 + 1)
        self.head = nn.Conv1d(channels, outputs, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew; kernels start at half a cell."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d) and not isinstance(module, nn.LazyConv1d):
                module.reset_parameters()
        for parameter in self.scale.parameters():
            nn.init.normal_(parameter, std=0.01 if parameter.dim() > 1 else 0.0)

    def forward(self, x: Tensor) -> Proposals:
        """Proposals for each video.

        Args:
            x (torch.Tensor): Features of the frames.
        """
        maps = self.pyramid(x)
        parts = [part for level in range(len(maps)) for part in self.propose(maps[level], level)]
        names = ("centre", "width", "logits", "offsets", "overlap", "feature", "sigma")
        joined = {name: torch.cat([part[name] for part in parts], 1) for name in names}
        flat = {name: torch.cat([part[name] for part in parts]) for name in ("level", "cell")}
        return Proposals(**joined, **flat, valid=torch.cat([part["valid"] for part in parts], 1))

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Maps of all levels, the finest first, each ``[B, channels, cells]``."""
        multiple = 2 ** (len(self.levels) + 1)
        if x.dim() != 3 or x.size(2) == 0 or x.size(2) % multiple:
            raise ValueError(
                f"'x' must have shape [B, F, T] with T a multiple of {multiple}, got "
                f"{list(x.shape)}"
            )
        maps = [self.stem(x)]
        for level in self.levels:
            maps.append(level(maps[-1]))
        return maps[1:]

    def sigma(self, feature: Tensor, level: int) -> Tensor:
        """Deviations of a level's kernels, ``[B, T]``; at first half a cell, never under 1/20."""
        cells = feature.size(2)
        half = 0.5 / cells
        if self.fixed_scale:
            return feature.new_full((feature.size(0), cells), half)
        share = (self.scale[level](feature).squeeze(1) + math.log(half / (1 - half))).sigmoid()
        return share.clamp(min=0.1 * half)

    def propose(self, feature: Tensor, level: int) -> list[dict[str, Tensor]]:
        """Proposals of a level's cells, and of their groups."""
        batch, _, cells = feature.shape
        place = (torch.arange(cells, device=feature.device, dtype=feature.dtype) + 0.5) / cells
        sigma, mean = self.sigma(feature, level), place.expand(batch, cells)
        pooled = feature if self.fixed_scale else gaussian_pool(feature, mean, sigma)
        everywhere = torch.ones(batch, cells, dtype=torch.bool, device=feature.device)
        proposals = [self.predict(pooled, mean, sigma, everywhere, level)]
        if not self.fixed_scale and self.group_threshold < 1 and cells > 1:
            group, middle, half = group_kernels(mean, sigma, self.group_threshold)
            size = torch.zeros_like(group).scatter_add(1, group, torch.ones_like(group))
            begins = torch.ones_like(everywhere)
            begins[:, 1:] = group[:, 1:] != group[:, :-1]
            mixed = begins & (size.gather(1, group) > 1)
            pooled = gaussian_pool(feature, middle, half)
            proposals.append(self.predict(pooled, middle, half, mixed, level))
        return proposals

    def predict(
        self, pooled: Tensor, mean: Tensor, sigma: Tensor, valid: Tensor, level: int
    ) -> dict[str, Tensor]:
        """Heads on pooled features; one anchor per cell and ratio, ratios run fastest."""
        batch, cells = mean.shape
        count = len(self.ratios)
        out = self.head(pooled).transpose(1, 2).reshape(batch, cells * count, -1)
        ratio = mean.new_tensor(self.ratios)
        cell = torch.arange(cells, device=mean.device).repeat_interleave(count)
        return {
            "centre": mean.repeat_interleave(count, 1),
            "width": (2 * sigma.unsqueeze(2) * ratio).flatten(1),
            "logits": out[..., : self.num_classes + 1],
            "offsets": out[..., -3:-1],
            "overlap": out[..., -1],
            "feature": pooled.transpose(1, 2).repeat_interleave(count, 1),
            "sigma": sigma.repeat_interleave(count, 1),
            "valid": valid.repeat_interleave(count, 1),
            "level": torch.full_like(cell, level),
            "cell": cell,
        }

    @torch.no_grad()
    def detect(
        self, x: Tensor, threshold: float = 0.4, keep: int = 50
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Segments, actions and scores of each video after suppression per action.

        Args:
            x (torch.Tensor): Features of the frames, ``[B, F, T]``.
            threshold (float, optional): Largest tIoU of two kept segments of an action.
                (default: :obj:`0.4`)
            keep (int, optional): Most segments per action before suppression.
                (default: :obj:`50`)
        """
        proposals = self(x)
        return [
            suppress(segments, scores, threshold, keep)
            for segments, scores in zip(proposals.segments(), proposals.scores(), strict=True)
        ]


def suppress(
    segments: Tensor, scores: Tensor, threshold: float, keep: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Non-maximum suppression per action: segments, actions, scores."""
    survivors: list[tuple[Tensor, Tensor, Tensor]] = []
    for action, value in enumerate(scores.unbind(1)):
        best, index = value.topk(min(keep, len(value)))
        best_rows = temporal_nms(segments[index], best, threshold)
        actions = torch.full_like(best_rows, action)
        survivors.append((segments[index][best_rows], actions, best[best_rows]))
    joined = [torch.cat(parts) for parts in zip(*survivors, strict=True)]
    return joined[0], joined[1], joined[2]


def gaussian_pool(feature: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Pools a map with one normalised Gaussian per kernel: ``[B, F, T]`` to ``[B, F, K]``."""
    cells = feature.size(2)
    place = (torch.arange(cells, device=feature.device, dtype=feature.dtype) + 0.5) / cells
    apart = place - mean.unsqueeze(2)
    weight = (-apart.square() / (2 * sigma.unsqueeze(2).square())).softmax(2)
    return feature @ weight.transpose(1, 2)
