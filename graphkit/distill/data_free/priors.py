"""What samples that a network knows look like to it: terms for a generator's loss."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from graphkit.train.collapse_monitor import label_entropy

__all__ = ["activation", "label_entropy", "one_hot"]


def one_hot(logits: Tensor) -> Tensor:
    r"""How far predictions are from certain, as in the `"Data-Free Learning of Student Networks"
    <https://arxiv.org/abs/1904.01186>`_ paper.

    .. math::
        \mathcal{L}_{oh} = -\frac{1}{B} \sum_i \log \max_c \mathrm{softmax}(z_i)_c

    Args:
        logits (torch.Tensor): Logits :math:`(B, K)` or :math:`(B, K, \ldots)`.

    Example:
        >>> import torch
        >>> one_hot(torch.tensor([[50.0, 0.0]]))
        tensor(0.)
    """
    return F.cross_entropy(logits, logits.argmax(1))


def activation(features: Tensor) -> Tensor:
    r"""Minus the mean absolute feature, as in the `"Data-Free Learning of Student Networks"
    <https://arxiv.org/abs/1904.01186>`_ paper: what a network knows makes it answer loudly.

    It has no lower bound: give it a small weight.

    Args:
        features (torch.Tensor): Features :math:`(B, \ldots)`.

    Example:
        >>> import torch
        >>> activation(torch.tensor([[1.0, -3.0]]))
        tensor(-2.)
    """
    return -features.abs().mean()
