"""The contract that every way of learning tasks one after another keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.words import refuse_class

LossFn = Callable[[nn.Module], Tensor]
OutputFn = Callable[[nn.Module], Tensor]


@no_method("the contract of continual learning, no method of its own")
class Strategy:
    r"""Keeps a model from forgetting; plugs into any model and any loop.

    A strategy meets the loop at three places: it adds a :meth:`penalty` to the loss, it may
    change the gradient in :meth:`before_step`, and it learns from :meth:`finish_task` what
    the finished task looked like.  The model stays what it is: no subclass, no wrapper.

    One loop serves all strategies; what a strategy does not need it ignores:

    .. code-block:: python

        loss = task.loss(model)
        (loss + strategy.penalty(loss, task.output)).backward()
        strategy.before_step()
        optimizer.step()
        ...
        strategy.finish_task(task.losses, task.output, task.columns)

    Args:
        model (torch.nn.Module): The model that learns the tasks; its parameters must exist,
            so run a lazy model once before.

    Raises:
        TypeError: If ``model`` is no module.
        ValueError: If it has no trainable parameter, or an uninitialised one.

    Example:
        >>> import torch
        >>> from graphkit.continual import FineTune
        >>> model = torch.nn.Linear(2, 4)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> strategy = FineTune(model)
        >>> for task in range(2):
        ...     x, y = torch.randn(8, 2), torch.randint(2, (8,))
        ...     def losses(model):
        ...         out = model(x)[:, 2 * task : 2 * task + 2]
        ...         return torch.nn.functional.cross_entropy(out, y, reduction="none")
        ...     optimizer.zero_grad()
        ...     loss = losses(model).mean()
        ...     (loss + strategy.penalty(loss)).backward()
        ...     strategy.before_step()
        ...     optimizer.step()
        ...     strategy.finish_task(losses)
        >>> strategy.tasks
        2
    """

    def __init__(self, model: nn.Module) -> None:
        refuse_class("model", model)
        if not isinstance(model, nn.Module):
            raise TypeError(f"'model' must be a torch.nn.Module, got {type(model).__name__}")
        for name, parameter in model.named_parameters():
            if nn.parameter.is_lazy(parameter):
                raise ValueError(f"parameter '{name}' is not initialised; run the model once first")
        self.model = model
        self.tasks = 0
        if not self.parameters():
            raise ValueError(f"{type(model).__name__} has no trainable parameter")

    def parameters(self) -> dict[str, nn.Parameter]:
        """The model's trainable parameters by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def all_parameters(self) -> dict[str, nn.Parameter]:
        """Those that were frozen meanwhile, too: a penalty on them is a constant."""
        return dict(self.model.named_parameters())

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        r"""The scalar to add to the loss of the present task.

        Args:
            loss (torch.Tensor, optional): The present loss, which some strategies
                differentiate; its graph must still be there. (default: :obj:`None`)
            output_fn (callable, optional): ``output_fn(model)`` gives the model's output
                ``[n, C]`` for the present training samples, all columns.
                (default: :obj:`None`)

        Raises:
            ValueError: If the strategy needs an argument that is missing.
        """
        return next(self.model.parameters()).new_zeros(())

    def before_step(self) -> None:
        """Called when the gradients are there and before the optimizer uses them."""

    def finish_task(
        self,
        loss_fn: LossFn | Sequence[LossFn],
        output_fn: OutputFn | Sequence[OutputFn] | None = None,
        columns: Tensor | None = None,
    ) -> None:
        r"""Learns what the finished task looked like; call it once after each task.

        Args:
            loss_fn (callable or list of callables): ``loss_fn(model)`` runs the model on the
                task's training data and gives one loss per sample, ``[n]`` (or their mean,
                where the strategy can do with it).  A list holds one function per batch.
            output_fn (callable or list of callables, optional): ``output_fn(model)`` gives the
                model's output ``[n, C]`` for the same samples. (default: :obj:`None`)
            columns (torch.Tensor, optional): The output columns that belong to this task;
                :obj:`None` means all. (default: :obj:`None`)

        Raises:
            ValueError: If an argument that the strategy needs is missing, or a loss is of the
                wrong shape or not finite.
        """
        losses, outputs = as_list(loss_fn), as_list(output_fn)
        if not losses:
            raise ValueError("'loss_fn' is an empty list; give at least one function")
        self.remember(losses, outputs, columns)
        self.tasks += 1

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        """What a strategy does with a finished task; nothing, unless it overrides this."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"tasks": self.tasks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        self.tasks = int(state["tasks"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.model).__name__}, tasks={self.tasks})"


def as_list(given: Callable | Sequence[Callable] | None) -> list[Callable]:
    """One function, several, or none, as a list."""
    if given is None:
        return []
    return [given] if callable(given) else list(given)


def losses_of(loss_fn: LossFn, model: nn.Module, constant: bool = False) -> Tensor:
    """The losses ``[n]`` or their mean ``[]`` that a loss function gives, checked.

    Args:
        loss_fn (callable): The loss function.
        model (torch.nn.Module): Its argument.
        constant (bool, optional): Whether losses may depend on frozen parameters only.
            (default: :obj:`False`)
    """
    losses = loss_fn(model)
    if not isinstance(losses, Tensor) or losses.dim() > 1 or losses.numel() == 0:
        shape = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(f"'loss_fn' must give losses [n] or a scalar, got {shape}")
    if not losses.requires_grad and not constant:
        raise ValueError(
            "the losses of 'loss_fn' do not depend on the model's parameters, "
            "or only on frozen ones"
        )
    if not bool(torch.isfinite(losses).all()):
        raise ValueError(f"'loss_fn' gave a loss that is not finite: {losses.sum().item()}")
    return losses


def outputs_of(output_fn: OutputFn, model: nn.Module, columns: Tensor | None = None) -> Tensor:
    """The outputs ``[n, C]`` that an output function gives, or some columns of them, checked."""
    out = output_fn(model)
    if not isinstance(out, Tensor) or out.dim() != 2 or out.numel() == 0:
        shape = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"'output_fn' must give outputs [n, C], got {shape}")
    if not bool(torch.isfinite(out).all()):
        raise ValueError("'output_fn' gave outputs that are not finite")
    return out if columns is None else columns_of(out, columns)


def columns_of(out: Tensor, columns: Tensor) -> Tensor:
    """Some columns, which must be there."""
    if columns.dtype == torch.bool:
        fits = columns.shape == out.shape[1:]
    else:
        fits = not columns.numel() or -out.size(1) <= int(columns.min()) <= int(
            columns.max()
        ) < out.size(1)
    if not fits:
        raise ValueError(f"'columns' is {columns.tolist()}, the outputs have {out.size(1)} columns")
    return out[:, columns]


def nonnegative(**values: float) -> None:
    """Refuses numbers that are negative or not finite, by name."""
    for name, value in values.items():
        if not (0 <= value < float("inf")):
            raise ValueError(f"'{name}' must be at least 0 and finite, got {value}")
