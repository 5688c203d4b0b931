"""How PyTorch looks at a call: as plain numbers, through a transform, or to record it."""

# fingerprint: as graphkit.ops.reference

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def is_transformed(values: Iterable[Tensor | None]) -> bool:
    """Whether ``torch.func`` is at work, or one of the values carries a forward-mode tangent.

    Kernels see neither tangents nor the batches of ``vmap``: such calls take plain PyTorch.
    """
    if in_torch_func():
        return True
    # Outside of forward mode nothing has a tangent. PyTorch has no public name for the level.
    if forward_ad._current_level < 0:
        return False
    for value in values:
        if value is not None and forward_ad.unpack_dual(value).tangent is not None:
            return True
    return False


def is_plain(values: Iterable[Tensor | None]) -> bool:
    """Whether a kernel may read the memory of the values without anybody missing the call.

    It may not while a call is compiled or recorded, and there is no memory to read in fake
    tensors, in subclasses of other meaning, and in the batches of ``is_grads_batched=True``. Of a
    view that is marked as negated the memory holds the opposite.
    """
    if is_watched():
        return False
    try:
        for value in values:
            if value is not None:
                if type(value) not in _PLAIN or value.is_neg():
                    return False
                value.data_ptr()
    except RuntimeError:
        return False
    return True


_PLAIN = (Tensor, torch.nn.Parameter, torch.nn.Buffer)


def is_autocast() -> bool:
    """Whether autocast is at work on CPUs.

    PyTorch has no public name for the first question, whether it is anywhere: it reads a flag,
    while the second one reads the name of a device.
    """
    return torch._C._is_any_autocast_enabled() and torch.is_autocast_enabled("cpu")


def without_transform(index: Tensor, name: str) -> Tensor:
    """The integers behind what ``torch.func`` made of them: they have no derivative.

    Raises:
        ValueError: If ``vmap`` runs over them.
    """
    if not is_wrapped(index):
        return index
    plain = torch.func.debug_unwrap(index, recurse=True)
    if plain.shape != index.shape:
        raise ValueError(
            f"{name} is batched by torch.func.vmap, but one call serves one graph: give it "
            "in_dims=None, or join the graphs to one, as torch_geometric.data.Batch does"
        )
    return plain


def is_wrapped(index: Tensor) -> bool:
    """Whether ``torch.func`` holds a tensor inside of another one, which has no memory."""
    return in_torch_func() and torch.func.debug_unwrap(index) is not index


def outside_torch_func() -> AbstractContextManager[Any]:
    """Runs a block on plain tensors as if no transform were active, so that they stay plain.

    Inside a transform PyTorch wraps whatever an op gives, even if its inputs are plain, and the
    wrapper is void afterwards. PyTorch has no public name for it.
    """
    return torch._C._DisableFuncTorch() if in_torch_func() else nullcontext()


def in_torch_func() -> bool:
    """Whether a transform of ``torch.func`` is active. PyTorch has no public name for it."""
    return torch._C._are_functorch_transforms_active()


def is_watched() -> bool:
    """Whether the call is compiled or recorded: traced, or seen by a dispatch mode.

    Such modes are those of ``make_fx`` and selective checkpoints. PyTorch has no public name for
    their number; ``torch.jit.is_tracing`` asks what is asked here, two Python functions later.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
    )
