"""Fake samples of any kind: cut off from their generator, and matched to their scores."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

# All kinds of batch normalisation, lazy and synchronised ones included, derive from this one.
BATCH_NORMS = torch.nn.modules.batchnorm._BatchNorm


def refuse_mixing(discriminator: nn.Module, loss: str) -> None:
    """Raises if a layer normalises over the batch, by the layer's name."""
    for name, module in discriminator.named_modules():
        batch_norm = isinstance(module, BATCH_NORMS)
        if batch_norm and (module.training or module.running_mean is None):
            raise ValueError(
                f"the discriminator's {name or 'whole'!r} is {type(module).__name__}, which mixes "
                f"the samples of a batch: with the loss {loss!r} the ratio of the two gradients "
                "then is no factor per sample; use GroupNorm or InstanceNorm, or a symmetric loss "
                "('wgan', 'saturating')"
            )


def detached(given: Any, whole: list[Tensor], leaves: list[Tensor]) -> Any:
    """A copy with every tensor that carries a gradient cut off; both ends are appended."""
    if isinstance(given, Tensor):
        if not given.requires_grad:
            return given
        whole.append(given)
        leaves.append(given.detach().requires_grad_())
        return leaves[-1]
    if isinstance(given, dict):
        return {key: detached(value, whole, leaves) for key, value in given.items()}
    if isinstance(given, (tuple, list)):
        parts = [detached(value, whole, leaves) for value in given]
        return type(given)(*parts) if hasattr(given, "_fields") else type(given)(parts)
    part = copy.copy(given)
    if is_dataclass(given):
        for field in fields(given):
            value = detached(getattr(given, field.name), whole, leaves)
            object.__setattr__(part, field.name, value)  # Frozen ones as well.
    elif hasattr(given, "stores"):  # A PyG graph; its keys() come in no order, those of stores do.
        for store in part.stores:
            for key, value in [*store.items()]:
                store[key] = detached(value, whole, leaves)
    return part


def flat_scores(scores: Tensor, name: str) -> Tensor:
    """Scores in one dimension."""
    if scores.dim() == 2 and scores.size(1) == 1:
        scores = scores[:, 0]
    if scores.dim() != 1:
        raise ValueError(
            f"the discriminator must give one score per sample, [B] or [B, 1]; of the {name} "
            f"samples it gave {list(scores.shape)}"
        )
    return scores


def row_index(
    leaves: list[Tensor], count: int, samples: Sequence[Tensor] | None
) -> list[Tensor | None]:
    """For each tensor, the score of each of its rows; :obj:`None` where they are in order."""
    if samples is None:
        for leaf in leaves:
            if leaf.dim() == 0 or len(leaf) != count:
                raise ValueError(
                    f"the discriminator gave {count} scores for fake samples of shape "
                    f"{list(leaf.shape)}; say with 'samples' which row belongs to which score"
                )
        return [None] * len(leaves)
    if len(samples) != len(leaves):
        raise ValueError(
            f"'samples' has {len(samples)} entries, but {len(leaves)} tensors carry a gradient"
        )
    for leaf, rows in zip(leaves, samples, strict=True):
        if rows.shape != leaf.shape[:1]:
            raise ValueError(
                f"'samples' has an entry of shape {list(rows.shape)} for a tensor of shape "
                f"{list(leaf.shape)}"
            )
        if rows.numel() and not -1 <= int(rows.min()) <= int(rows.max()) < count:
            raise IndexError(f"'samples' must be in [-1, {count}), got {rows.unique().tolist()}")
    return list(samples)


def spread(ratio: Tensor, rows: Tensor | None, like: Tensor) -> Tensor:
    """The factor of each row, ready to be multiplied with its gradient."""
    if rows is not None:
        ratio = torch.cat([ratio, ratio.new_zeros(1)])[rows]
    return ratio.view(-1, *[1] * (like.dim() - 1))
