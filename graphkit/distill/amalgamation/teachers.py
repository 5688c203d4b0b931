"""Several classifiers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Teachers"]


class Teachers(nn.ModuleList):
    """Several classifiers as one: their logits side by side.

    Args:
        teachers (sequence of torch.nn.Module): The classifiers.
        centred (bool): Takes the mean over its classes off each classifier's logits.
    """

    def __init__(self, teachers: Sequence[nn.Module], centred: bool = False) -> None:
        super().__init__(teachers)
        self.centred = centred

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The logits of all label sets, in the order of the teachers."""
        logits = [teacher(*args, **kwargs) for teacher in self]
        if self.centred:
            logits = [one - one.mean(1, keepdim=True) for one in logits]
        return torch.cat(logits, 1)
