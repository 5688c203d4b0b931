"""Who listens to a module: while anybody does, it is called, whatever a kernel could do instead."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.module import _has_any_global_hook
from torch_geometric.nn import Linear

__all__ = ["is_heard", "is_untouched", "part_of"]

LINEAR = (nn.Linear, Linear)


def is_heard(module: nn.Module) -> bool:
    """Whether a call of the module would run a hook: one of its own, or one on all modules.

    Args:
        module (torch.nn.Module): What a fused path would not call.

    Example:
        >>> lin = nn.Linear(2, 2)
        >>> is_heard(lin)
        False
        >>> handle = nn.modules.module.register_module_forward_hook(lambda *given: None)
        >>> is_heard(lin)
        True
        >>> handle.remove()
    """
    # PyTorch has no public list of the hooks on a module, nor a sign of those on all modules.
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or _has_any_global_hook()
    )


def is_untouched(module: Any) -> bool:
    """Whether the module is PyTorch's or PyG's linear map itself, and nobody hears it.

    Then nobody could tell a product with its weight from a call.
    """
    return type(module) in LINEAR and not is_heard(module)


def part_of(module: nn.Module, name: str) -> Any:
    """A module, or a missing one, that is an attribute: read where PyTorch keeps it.

    PyTorch's own way there raises an error inside, which the first time after other work takes
    some tens of microseconds.

    Example:
        >>> part_of(nn.Sequential(nn.Linear(2, 3)), "0")
        Linear(in_features=2, out_features=3, bias=True)
    """
    part = module._modules.get(name)
    if part is not None:
        return part
    return None if module._parameters.get(name, module) is None else getattr(module, name)
