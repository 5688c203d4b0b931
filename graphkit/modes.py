"""A model that is only looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def frozen(model: Callable[..., Any]) -> Iterator[None]:
    """Evaluation mode and no gradients on parameters inside the block; both back afterwards.

    Callables that are no :class:`~torch.nn.Module` are left alone.

    Args:
        model (callable): The model.

    Example:
        >>> model = nn.Dropout()
        >>> with frozen(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [(module, module.training) for module in modules]
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    switches = [(parameter, parameter.requires_grad) for parameter in parameters]
    try:
        for module, _ in modes:
            module.training = False
        for parameter, _ in switches:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, switch in switches:
            parameter.requires_grad_(switch)
