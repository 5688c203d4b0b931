"""What was worked out about an index tensor, kept as long as the tensor lives unchanged."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphkit.ops.situation import is_wrapped, outside_torch_func

T = TypeVar("T")
MOST_VALUES = 256
"""Values kept for one tensor and its views; beyond, the older half goes."""


class _Known:
    """The values known about one tensor and its views, and the state they were made from."""

    __slots__ = ("address", "reference", "storage", "values", "version")

    def __init__(self, root: Tensor, reference: weakref.ref[Tensor]) -> None:
        self.reference, self.version = reference, root._version
        # Holding the storage keeps its address from being given to another tensor's memory.
        self.storage, self.address = root.untyped_storage(), root.data_ptr()
        self.values: dict[Hashable, Any] = {}

    def is_about(self, root: Tensor) -> bool:
        """Whether this is the very tensor, neither written to nor moved since."""
        return (
            self.version == root._version
            and self.address == root.data_ptr()
            and self.storage is root.untyped_storage()
            and self.reference() is root
        )


_KNOWN: dict[int, _Known] = {}
_MISSING: Any = object()


def remember(tensor: Tensor, key: Hashable, build: Callable[[], T]) -> T:
    """The value of ``build()`` for ``(tensor, key)``, computed once per state of the tensor.

    The view that ``tensor`` is of its memory (address, shape, strides and dtype) belongs to
    the key, so ``key`` only has to name the value and whatever else it depends on, such as the
    number of nodes. Values die with the tensor (or with the tensor it is a view of), and are
    dropped when its memory moved or when PyTorch counted an in-place write to it or to any of
    its views. Nothing is kept for tensors made under ``torch.inference_mode()``, which carry no
    such count, for views that were given other memory than their base has, for tensors that
    ``torch.func`` wrapped, and while a model is compiled. A write that PyTorch cannot see,
    through another tensor or array on the same memory (NumPy, DLPack, ``.data``, ``set_``),
    needs :func:`graphkit.ops.clear_cache`.

    ``build`` must not return anything that refers to ``tensor``; :func:`alias` gives its values
    without such a reference. It runs outside of inference mode and of ``torch.func``: what is
    kept must serve any later call.
    """
    if torch.compiler.is_compiling() or is_wrapped(tensor):
        return build()
    base = tensor._base
    root = tensor if base is None else base
    known = _KNOWN.get(id(root))
    if known is None or not known.is_about(root):
        if tensor.is_inference():
            return build()
        known = _start(root)
    if base is not None and tensor.untyped_storage() is not known.storage:
        return build()
    place = _place(tensor, key)
    value = known.values.get(place, _MISSING)
    if value is not _MISSING:
        return value
    with torch.inference_mode(False), outside_torch_func():
        value = build()
    if len(known.values) >= MOST_VALUES:
        for oldest in list(known.values)[: MOST_VALUES // 2]:
            known.values.pop(oldest, None)
    known.values[place] = value
    return value


def _place(tensor: Tensor, key: Hashable) -> Hashable:
    """The full key of a value: the view that the tensor is, and what the caller adds."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, key


def _start(root: Tensor) -> _Known:
    """An empty entry for a tensor, in place of what was known about an earlier state of it."""
    place = id(root)

    def forget(reference: weakref.ref[Tensor], entries: dict[int, _Known] = _KNOWN) -> None:
        known = entries.get(place)
        if known is not None and known.reference is reference:
            del entries[place]

    known = _KNOWN[place] = _Known(root, weakref.ref(root, forget))
    return known


def alias(tensor: Tensor) -> Tensor:
    """A tensor on the same memory that keeps neither ``tensor`` nor its base alive."""
    values = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return values.set_(
        tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride()
    )


def clear_cache() -> None:
    r"""Forgets every layout, so that the next call looks at its index tensors again.

    Needed only after a write that PyTorch does not count: through a NumPy array or another
    tensor that shares the memory, such as ``tensor.data``.

    Example:
        >>> from graphkit import ops
        >>> ops.clear_cache()
    """
    _KNOWN.clear()
