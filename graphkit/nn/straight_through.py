"""Sampling of one-hot vectors with the gradient of the soft ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def straight_through(
    logits: Tensor,
    temperature: float = 1.0,
    sample: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draws one-hot vectors; the gradient is that of the relaxed ones.

    .. math::
        \tilde{\mathbf{y}} = \operatorname{softmax}((\boldsymbol{\ell} + \mathbf{g}) / \tau),
        \qquad \mathbf{y} = \operatorname{onehot}(\operatorname{argmax} \tilde{\mathbf{y}}),
        \qquad \frac{\partial \mathbf{y}}{\partial \boldsymbol{\ell}} :=
        \frac{\partial \tilde{\mathbf{y}}}{\partial \boldsymbol{\ell}}

    with Gumbel noise :math:`\mathbf{g}`, as in the `"Categorical Reparameterization with
    Gumbel-Softmax" <https://arxiv.org/abs/1611.01144>`_ paper.

    Args:
        logits (torch.Tensor): Scores, categories in the last dimension.
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`1.0`)
        sample (bool, optional): Without, no noise: the largest score wins.
            (default: :obj:`True`)
        generator (torch.Generator, optional): Source of the noise. (default: torch's own)

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> import torch
        >>> straight_through(torch.tensor([0.0, 2.0, 1.0]), sample=False)
        tensor([0., 1., 0.])
    """
    if temperature <= 0:
        raise ValueError(f"'temperature' must be positive, got {temperature}")
    if sample:
        logits = logits + gumbel(logits, generator)
    soft = (logits / temperature).softmax(-1)
    hard = F.one_hot(soft.argmax(-1), soft.size(-1)).to(soft.dtype)
    return hard + (soft - soft.detach())


def gumbel(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise of a tensor's shape, type and device."""
    uniform = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    tiny = torch.finfo(like.dtype).tiny
    return -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()
