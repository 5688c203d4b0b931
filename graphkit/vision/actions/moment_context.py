"""Moments in made-up context: what untrimmed videos of their classes might look like."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.ops.dtypes import is_half, widened

__all__ = ["ContextDiscriminator", "ContextGenerator", "surround"]


@no_method("a player of AherNet's adversarial game")
class ContextGenerator(nn.Module):
    r"""What may have come before and after a moment, from the moment.

    Two networks, one for each side, of a convolution that keeps the frames and one that halves
    them. Their output is linear: features of frames may be negative.

    Args:
        in_channels (int): Features per frame.
        hidden_channels (int, optional): Width in between. (default: :obj:`64`)

    Shapes:
        - **input:** moments :math:`(B, F, M)`
        - **output:** context :math:`(B, F, 2 \lceil M / 2 \rceil)`, the start before the end

    Example:
        >>> import torch
        >>> from graphkit.vision import ContextGenerator
        >>> ContextGenerator(8)(torch.rand(2, 8, 16)).shape
        torch.Size([2, 8, 16])
    """

    def __init__(self, in_channels: int, hidden_channels: int = 64) -> None:
        super().__init__()
        self.sides = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(in_channels, hidden_channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv1d(hidden_channels, in_channels, 3, 2, 1),
            )
            for _ in range(2)
        )

    def forward(self, moment: Tensor) -> Tensor:
        """The context.

        Args:
            moment (torch.Tensor): Features of moments.
        """
        return torch.cat([side(moment) for side in self.sides], 2)


@no_method("a player of AherNet's adversarial game")
class ContextDiscriminator(nn.Module):
    """Whether what an anchor sees is real, from the maps of a pyramid.

    Args:
        channels (int): Width of the levels.
        num_levels (int): Levels.
        ratios (int, optional): Anchors per cell. (default: :obj:`3`)

    Shapes:
        - **input:** maps :math:`(B, D, T_l)`
        - **output:** :math:`(B, A)`

    Example:
        >>> import torch
        >>> from graphkit.vision import ContextDiscriminator
        >>> judge = ContextDiscriminator(8, 2)
        >>> judge([torch.rand(1, 8, 4), torch.rand(1, 8, 2)]).shape
        torch.Size([1, 18])
    """

    def __init__(self, channels: int, num_levels: int, ratios: int = 3) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Conv1d(channels, ratios, 3, padding=1) for _ in range(num_levels)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits of all anchors.

        Args:
            maps (list of torch.Tensor): Maps of all levels, the finest first.
        """
        logits = [level(h) for level, h in zip(self.levels, maps, strict=True)]
        return torch.cat([part.transpose(1, 2).flatten(1) for part in logits], 1)


def surround(
    moment: Tensor, context: Tensor, length: Tensor, start: Tensor, frames: int
) -> tuple[Tensor, Tensor]:
    r"""Puts moments into contexts: sequences of a fixed length, and where the moment is.

    A moment is stretched to its length, the context to the rest, both linearly as
    :func:`torch.nn.functional.interpolate` does; the context's first :obj:`start` frames come
    before the moment, the rest after it. Differentiable in both; time and memory grow with
    frames.

    Args:
        moment (torch.Tensor): Features of moments.
        context (torch.Tensor): Features of what is around them, start before end.
        length (torch.Tensor): Frames that a moment takes.
        start (torch.Tensor): Its first frame.
        frames (int): Length of the sequences.

    Shapes:
        - **input:** moment :math:`(B, F, M)`, context :math:`(B, F, C)`, length and start
          :math:`(B)`
        - **output:** sequences :math:`(B, F, T)`; segments as shares of them :math:`(B, 2)`

    Raises:
        ValueError: If shapes do not fit, or a moment is not inside.

    Example:
        >>> import torch
        >>> moment, context = torch.ones(1, 1, 2), torch.zeros(1, 1, 4)
        >>> x, segment = surround(moment, context, torch.tensor([3]), torch.tensor([2]), 8)
        >>> x[0, 0], segment
        (tensor([0., 0., 1., 1., 1., 0., 0., 0.]), tensor([[0.2500, 0.6250]]))
    """
    if moment.dim() != 3 or context.dim() != 3 or moment.shape[:2] != context.shape[:2]:
        raise ValueError(
            f"'moment' and 'context' must be [B, F, M] and [B, F, C], got {list(moment.shape)} "
            f"and {list(context.shape)}"
        )
    if not moment.size(2) or not context.size(2):
        raise ValueError("'moment' and 'context' must have a frame at least")
    if length.shape != start.shape or length.shape != moment.shape[:1]:
        raise ValueError(
            f"'length' and 'start' must be [{len(moment)}], got {list(length.shape)} and "
            f"{list(start.shape)}"
        )
    if ((length < 1) | (start < 0) | (start + length > frames)).any():
        raise ValueError(f"a moment of 'length' at 'start' must lie in 0 … {frames}")
    time = torch.arange(frames, device=moment.device)
    length, start = length.unsqueeze(1), start.unsqueeze(1)
    inside = (time >= start) & (time < start + length)
    # Frames outside are those of the context, as if the moment were not there.
    outside = torch.where(time < start, time, time - length)
    there = stretched(moment, time - start, length)
    around = stretched(context, outside, frames - length)
    segment = torch.cat([start, start + length], 1).to(moment.dtype) / frames
    return torch.where(inside.unsqueeze(1), there, around), segment


def stretched(x: Tensor, frame: Tensor, length: Tensor) -> Tensor:
    """Some frames of sequences that are stretched to a length, ``[B, F, T]``."""
    return between(x, (frame + 0.5) / length.clamp(min=1) * x.size(2) - 0.5)


def between(x: Tensor, place: Tensor) -> Tensor:
    """Sequences ``[B, F, T]`` at places ``[B, P]`` between frames; beyond the ends as there."""
    if is_half(x):
        # Sixteen bits do not tell the places of a few hundred frames apart.
        return between(widened(x), place).to(x.dtype)
    last = x.size(2) - 1
    place = place.clamp(0, last).to(x.dtype)
    low = place.floor()
    index = low.long().unsqueeze(1).expand(-1, x.size(1), -1)
    first, second = x.gather(2, index), x.gather(2, (index + 1).clamp(max=last))
    return first + (place - low).unsqueeze(1) * (second - first)


def cropped(x: Tensor, segments: Tensor, frames: int) -> Tensor:
    """Segments ``[B, 2]``, shares of sequences ``[B, F, T]``, stretched to ``[B, F, frames]``."""
    if is_half(x):
        return cropped(widened(x), segments, frames).to(x.dtype)
    step = (torch.arange(frames, device=x.device, dtype=x.dtype) + 0.5) / frames
    start, end = segments.to(x.dtype).mul(x.size(2)).unsqueeze(2).unbind(1)
    return between(x, start + step * (end - start) - 0.5)


def edges_repeated(moment: Tensor) -> Tensor:
    """The simplest context: a moment's first frame before it, its last one after it."""
    half = (moment.size(2) + 1) // 2
    return torch.cat(
        [moment[..., :1].expand(-1, -1, half), moment[..., -1:].expand(-1, -1, half)], 2
    )
