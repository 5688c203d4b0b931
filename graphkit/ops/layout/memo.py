"""What was worked out about an index tensor, kept as long as the tensor lives unchanged."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

T = TypeVar("T")
_KNOWN: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def remember(tensor: Tensor, key: Hashable, build: Callable[[], T]) -> T:
    """The value of ``build()`` for ``(tensor, key)``, computed once per state of the tensor.

    Values die with the tensor (or with the tensor it is a view of), and are dropped when its
    memory moved or when PyTorch counted an in-place write. Tensors made under
    ``torch.inference_mode()`` carry no such count: for them nothing is kept. A write that
    PyTorch cannot see (through NumPy or ``.data``) needs :func:`graphkit.ops.clear_cache`.
    ``build`` must not return anything that refers to ``tensor``.
    """
    if tensor.is_inference():
        return build()
    root = tensor if tensor._base is None else tensor._base
    state = (root._version, root.data_ptr(), tuple(root.shape))
    known = _KNOWN.get(root)
    if known is None or known[0] != state:
        known = (state, {})
        _KNOWN[root] = known
    values = known[1]
    if key not in values:
        values[key] = build()
    return values[key]


def clear_cache() -> None:
    r"""Forgets every layout, so that the next call looks at its index tensors again.

    Needed only after a write that PyTorch does not count: through a NumPy array that shares
    the memory, or through ``tensor.data``.

    Example:
        >>> from graphkit import ops
        >>> ops.clear_cache()
    """
    _KNOWN.clear()
