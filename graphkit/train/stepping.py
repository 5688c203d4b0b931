"""What optimizers and schedulers ask of the loop."""

from __future__ import annotations

import inspect
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["check_scheduler", "needs_closure"]


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether a step evaluates the loss itself, as that of LBFGS does.

    Args:
        optimizer (torch.optim.Optimizer): The optimizer, or Lightning Fabric's wrapper around it.

    Example:
        >>> import torch
        >>> weights = [torch.zeros(1, requires_grad=True)]
        >>> needs_closure(torch.optim.LBFGS(weights)), needs_closure(torch.optim.SGD(weights))
        (True, False)
    """
    plain = getattr(optimizer, "optimizer", optimizer)
    closure = inspect.signature(type(plain).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def check_scheduler(scheduler: Any, monitor: str | None, minimise: bool) -> None:
    """Refuses a plateau scheduler that waits for a fall of what shall rise.

    Args:
        scheduler (LRScheduler, optional): The scheduler.
        monitor (str, optional): The metric that it gets; the training loss without one.
        minimise (bool): Whether lower is better.

    Raises:
        ValueError: If its mode is the other one.
    """
    if not isinstance(scheduler, ReduceLROnPlateau):
        return
    wanted = "min" if minimise or monitor is None else "max"
    if scheduler.mode != wanted:
        raise ValueError(
            f"'scheduler' has mode='{scheduler.mode}', but '{monitor or 'train_loss'}' shall "
            f"{'fall' if wanted == 'min' else 'rise'}: write mode='{wanted}'"
        )
