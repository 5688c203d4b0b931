"""An op in each form that PyTorch may ask for, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.ops.situation import is_plain, is_transformed


class Op:
    """A kernel with its derivative, as a function of tensors.

    What a call runs depends on who asks:

    * transforms of ``torch.func`` and forward mode get ``composed``, which PyTorch can see
      through;
    * ``torch.compile``, ``torch.export`` and whatever else records calls, or runs without
      memory, get a library op: opaque, with a fake kernel;
    * everybody else gets the kernel at once, which saves most of what the dispatch of a
      library op costs.

    Use it as a decorator of the kernel, with everything else given by name.

    Args:
        kernel (callable): The numbers; its name is that of the op, its annotations the op's
            schema.
        values (sequence): Positions of the arguments that have gradients.
        fake (callable): Shape and dtype of the output, as ``torch.library`` wants them.
        composed (callable): The same op in plain PyTorch.
        save (callable, optional): ``save(ctx, inputs, output)`` keeps what the derivative
            needs. (default: :obj:`None`)
        backward (callable, optional): The gradient of every argument, made of ops itself; an
            op without one must be called without gradients. (default: :obj:`None`)
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        *,
        values: Sequence[int],
        fake: Callable[..., Any],
        composed: Callable[..., Any],
        save: Callable[..., None] | None = None,
        backward: Callable[..., Any] | None = None,
    ) -> None:
        name = kernel.__name__
        self.kernel, self.values, self.composed = kernel, tuple(values), composed
        self.library = torch.library.custom_op(f"graphkit::{name}", kernel, mutates_args=())
        self.library.register_fake(fake)
        self.function: Any = None
        if save is not None and backward is not None:
            self.library.register_autograd(backward, setup_context=save)
            self.function = _function_of(kernel, save, backward)

    def __call__(self, *inputs: Any) -> Any:
        tensors = [inputs[position] for position in self.values]
        if is_transformed(tensors):
            return self.composed(*inputs)
        if not is_plain(tensors):
            return self.library(*inputs)
        if self.function is not None and torch.is_grad_enabled():
            for tensor in tensors:
                if tensor is not None and tensor.requires_grad:
                    return self.function.apply(*inputs)
        return self.kernel(*inputs)


def _function_of(
    kernel: Callable[..., Any], save: Callable[..., None], backward: Callable[..., Any]
) -> Any:
    """The kernel as a ``torch.autograd.Function``.

    In the older style, where ``forward`` gets the context: the newer one, made for
    ``torch.func``, binds arguments to a signature in every call, at three times the cost.
    """

    def forward(ctx: Any, *inputs: Any) -> Any:
        output = kernel(*inputs)
        save(ctx, inputs, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(kernel.__name__, (torch.autograd.Function,), members)


def differentiable(**parts: Any) -> Callable[[Callable[..., Any]], Op]:
    """The decorator that makes an :class:`Op` of a kernel; arguments as there."""
    return lambda kernel: Op(kernel, **parts)


def views(values: Sequence[Any]) -> list[Any]:
    """Each value as a tensor of its own, of which no other one is made.

    Inputs of an op may depend on each other (a score on the features, a gradient on the output):
    then the gradient of one would hear the others, which are heard outside of the op already.
    """
    return [None if value is None else value.view_as(value) for value in values]


def gradients_of(
    out: Any, x: Sequence[Any], grad: Any, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of what needs one, which have gradients in turn."""
    wanted = [value for value, need in zip(x, needed, strict=True) if need]
    # PyTorch refuses to look for none.
    if not wanted:
        return [None] * len(needed)
    pairs = [(out, grad)] if isinstance(out, Tensor) else list(zip(out, grad, strict=True))
    # One output may hang on nothing that needs a gradient, while another one does.
    heard = [(value, change) for value, change in pairs if value.requires_grad]
    outs, changes = ([pair[place] for pair in heard] for place in range(2))
    grads = iter(
        torch.autograd.grad(outs, wanted, changes, create_graph=True, materialize_grads=True)
    )
    return [next(grads) if need else None for need in needed]
