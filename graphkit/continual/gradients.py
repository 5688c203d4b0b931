"""Gradients of a task's loss, of the mean and of each sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from graphkit.continual.strategy import LossFn, losses_of
from graphkit.precision import wide

Gradients = dict[str, Tensor]


def gradient(
    value: Tensor, parameters: Mapping[str, Tensor], retain_graph: bool = False
) -> Gradients:
    """The gradient of a scalar; zeros for parameters that it does not depend on."""
    gradients = torch.autograd.grad(
        value,
        trainable(parameters),
        retain_graph=retain_graph,
        materialize_grads=True,
    )
    return dict(zip(parameters, gradients, strict=True))


def trainable(parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """The parameters as a list, of which there must be one."""
    if not parameters:
        raise ValueError("the model has no trainable parameter left: all of them are frozen")
    return list(parameters.values())


def zeros(parameters: Mapping[str, Tensor]) -> Gradients:
    """Where gradients add up: one tensor per parameter, in float32 at least."""
    return {name: torch.zeros_like(wide(p.detach())) for name, p in parameters.items()}


def mean_gradient(
    model: nn.Module, loss_fns: Iterable[LossFn], parameters: Mapping[str, Tensor]
) -> Gradients:
    """The gradient of the mean loss over all samples of all batches."""
    total = zeros(parameters)
    count = 0
    for loss_fn in loss_fns:
        losses = losses_of(loss_fn, model)
        add_to(total, gradient(losses.sum(), parameters))
        count += losses.numel()
    return {name: value / count for name, value in total.items()}


def add_to(total: Gradients, more: Mapping[str, Tensor]) -> None:
    """Adds gradients in place."""
    for name, value in more.items():
        total[name] += value


def sample_gradients(
    values: Tensor, parameters: Mapping[str, Tensor], chunk: int
) -> Iterator[Gradients]:
    r"""Gradients of every entry of a vector, several at a time.

    Args:
        values (torch.Tensor): The vector ``[n]``.
        parameters (dict): What to differentiate with respect to.
        chunk (int): How many at a time; memory grows with ``chunk`` times a backward pass.

    Returns:
        Dictionaries of tensors ``[k, *shape]`` with ``k`` at most ``chunk``.
    """
    for start in range(0, values.numel(), chunk):
        rows = torch.arange(start, min(start + chunk, values.numel()), device=values.device)
        pick = torch.zeros(rows.numel(), values.numel(), dtype=values.dtype, device=values.device)
        pick[torch.arange(rows.numel()), rows] = 1.0
        gradients = torch.autograd.grad(
            values,
            trainable(parameters),
            pick,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
        # PyTorch's own zeros would be one row for all.
        yield {
            name: p.new_zeros(rows.numel(), *p.shape) if gradient is None else gradient
            for (name, p), gradient in zip(parameters.items(), gradients, strict=True)
        }


def draw(size: int, wanted: int | None, seed: int) -> Tensor:
    """Positions of ``wanted`` of ``size`` samples, or of all of them, in rising order."""
    if wanted is None or wanted >= size:
        return torch.arange(size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(size, generator=generator)[:wanted].sort().values
