"""Who listens to a module: while anybody does, it is called, whatever a kernel could do instead."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch_geometric.nn import Linear

__all__ = ["is_heard", "is_untouched"]

# PyTorch has no public list of the hooks on a module, nor a sign of those on all modules.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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
    if nn.modules.module._has_any_global_hook():
        return True
    return any(getattr(module, name) for name in HOOKS)


def is_untouched(module: Any) -> bool:
    """Whether the module is PyTorch's or PyG's linear map itself, and nobody hears it.

    Then nobody could tell a product with its weight from a call.
    """
    return type(module) in (nn.Linear, Linear) and not is_heard(module)
