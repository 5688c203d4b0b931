"""Dropout decided by a counter: every backend, forward or backward, drops the same entries."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from graphkit.ops.situation import is_watched

Word = TypeVar("Word", Tensor, int)
"""32 bits, as an integer or in a tensor: on one seed PyTorch would take twenty steps."""

WORD = 0xFFFFFFFF
GOLDEN = 0x9E3779B1
MIX = ((16, 0x21F0AAAD), (15, 0xD35A2D97))
FINAL_SHIFT = 15
_CPU = torch.device("cpu")
_ZERO = torch.zeros(1, dtype=torch.int64, device=_CPU)


def draw_seed(device: torch.device) -> Tensor:
    """A seed from PyTorch's generator, so that ``torch.manual_seed`` fixes the mask."""
    return torch.randint(0, 2**31 - 1, (1,), device=device)


def no_seed(device: torch.device) -> Tensor:
    """What stands for a seed where nothing is dropped."""
    if device == _CPU and not is_watched():
        return _ZERO
    return torch.zeros(1, dtype=torch.int64, device=device)


def checked_seed(dropout: float, device: torch.device) -> Tensor:
    """A seed for a mask, drawn only if something is dropped.

    Raises:
        ValueError: If ``dropout`` is not a probability.
    """
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a probability, got {dropout}")
    return draw_seed(device) if dropout > 0 else no_seed(device)


def threshold(probability: float) -> int:
    """The 32-bit hash below which an entry is dropped."""
    return min(int(probability * 2**32), WORD)


def mixed(value: Word) -> Word:
    """A 32-bit integer hash (two rounds of xor-shift and multiply), held in 64."""
    for shift, factor in MIX:
        value = ((value ^ (value >> shift)) * factor) & WORD
    return value ^ (value >> FINAL_SHIFT)


def keys(seed: Word) -> tuple[Word, Word]:
    """Two 32-bit words made of the seed: one moves the counter, one scrambles its hash."""
    return mixed(seed & WORD), mixed((seed ^ GOLDEN) & WORD)


def keep_scale(seed: Tensor, like: Tensor, probability: float) -> Tensor:
    r"""The factor of every entry: 0 if it is dropped, :math:`1 / (1 - p)` if it is kept.

    Entry :math:`i` (counted in memory order) is kept if
    :math:`g \cdot (\mathrm{hash}(k_1 + i) \oplus k_2) \bmod 2^{32} \geq p \cdot 2^{32}`, with
    the two :func:`keys` :math:`k_1, k_2` of the seed and the odd constant :math:`g`.
    """
    counter = torch.arange(like.numel(), device=like.device)
    first, second = keys(seed)
    word = ((mixed((counter + first) & WORD) ^ second) * GOLDEN) & WORD
    kept = (word >= threshold(probability)).view(like.shape)
    return kept.to(like.dtype) / (1 - probability)
