"""A model's mode for the length of a block, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from graphkit.words import refuse_class

__all__ = ["call_fixed", "copied_buffers", "evaluating", "frozen", "modes_kept"]


@contextmanager
def modes_kept(model: Callable[..., Any]) -> Iterator[None]:
    """Gives every module its own mode back after the block, also after an exception.

    ``model.train(model.training)`` would not do: a module that was in evaluation mode, in a model
    that was not, would train afterwards.

    Args:
        model (callable): The model; a callable that is no :class:`~torch.nn.Module` is left alone.

    Example:
        >>> from torch import nn
        >>> from graphkit.modes import modes_kept
        >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
        >>> with modes_kept(model):
        ...     _ = model.eval()
        >>> [module.training for module in model]
        [True, False]
    """
    refuse_class("model", model)
    if not isinstance(model, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        # First the model's own way, which may do more than set a flag, then what it was.
        model.train(modes[0][1])
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(model: Callable[..., Any]) -> Iterator[None]:
    """Evaluation mode inside the block; every module has its own mode back afterwards.

    Args:
        model (callable): The model; a callable that is no :class:`~torch.nn.Module` is left alone.

    Example:
        >>> from torch import nn
        >>> from graphkit.modes import evaluating
        >>> model = nn.Dropout()
        >>> with evaluating(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    with modes_kept(model):
        if isinstance(model, nn.Module):
            model.eval()
        yield


@contextmanager
def frozen(model: Callable[..., Any]) -> Iterator[None]:
    """Evaluation mode and no gradients on parameters inside the block; both back afterwards.

    Args:
        model (callable): The model; a callable that is no :class:`~torch.nn.Module` is left alone.

    Example:
        >>> from torch import nn
        >>> from graphkit.modes import frozen
        >>> model = nn.Linear(2, 1)
        >>> with frozen(model):
        ...     model.training, model.weight.requires_grad
        (False, False)
        >>> model.training, model.weight.requires_grad
        (True, True)
    """
    refuse_class("model", model)
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    switches = [(parameter, parameter.requires_grad) for parameter in parameters]
    with evaluating(model):
        try:
            for parameter, _ in switches:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter, switch in switches:
                parameter.requires_grad_(switch)


def call_fixed(model: nn.Module, *inputs: Any, **named: Any) -> Any:
    """The model's output, with gradients for what goes in and none for its parameters.

    So a discriminator judges what a generator made: the generator learns from it, and the
    discriminator does not.  Nothing is switched: losses of other calls reach the parameters.

    Args:
        model (torch.nn.Module): The model; its mode stays as it is.
        *inputs: What goes in.
        **named: What goes in, by name.

    Example:
        >>> import torch
        >>> from graphkit.modes import call_fixed
        >>> judge, made = torch.nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
        >>> call_fixed(judge, made).sum().backward()
        >>> judge.weight.grad is None, made.grad is None
        (True, False)
    """
    refuse_class("model", model)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return functional_call(model, parameters, inputs, named)


@contextmanager
def copied_buffers(model: nn.Module) -> Iterator[None]:
    """The model works on copies of its buffers inside the block; its own are back afterwards.

    A forward pass in training mode beside the one that trains then leaves the statistics of
    batch norms alone.  The buffers are exchanged, not overwritten: a write would spoil the graph
    of a forward pass whose backward pass is still to come.

    Args:
        model (torch.nn.Module): The model.

    Example:
        >>> import torch
        >>> from graphkit.modes import copied_buffers
        >>> model = torch.nn.BatchNorm1d(2)
        >>> with copied_buffers(model):
        ...     out = model(torch.rand(4, 2))
        >>> model.num_batches_tracked
        tensor(0)
    """
    refuse_class("model", model)
    buffers = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    # A buffer that two modules share stays shared.
    copies: dict[int, Tensor] = {id(buffer): buffer.clone() for _, _, buffer in buffers}
    try:
        for module, name, buffer in buffers:
            setattr(module, name, copies[id(buffer)])
        yield
    finally:
        for module, name, buffer in buffers:
            setattr(module, name, buffer)
