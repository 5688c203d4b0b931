"""What a call costs, counted instead of timed: a busy machine counts what a quiet one does."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from types import FrameType
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

UNCOUNTED = ("torch.", "contextlib", __name__)
"""PyTorch's own Python differs from version to version and runs once more for each operation
while operations are counted."""


@dataclass(frozen=True)
class Cost:
    r"""Counts of what one call did.

    Args:
        lines (int): Lines of Python that ran outside PyTorch; compiled code has none.
        operations (int): PyTorch operations, those of the backward pass included.
        entries (int): Entries of all tensors that they gave, together.
        largest (int): Entries of the largest of these tensors.
    """

    lines: int
    operations: int
    entries: int
    largest: int


def cost_of(call: Callable[[], Any]) -> Cost:
    r"""Counts what a call does in this thread.

    The first call of many functions costs more, as it fills caches; call them once before.
    Counting makes Python about ten times slower; measure with small inputs.

    Args:
        call (callable): What to run, once.

    Example:
        >>> import torch
        >>> x = torch.ones(3)
        >>> cost = cost_of(lambda: (x + 1) * 2)
        >>> cost.operations, cost.entries, cost.largest
        (2, 6, 3)
    """
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_globals.get("__name__", "").startswith(UNCOUNTED):
            return None
        lines += event == "line"
        return count

    before = sys.gettrace()
    operations = Operations()
    with nothing_collected(), operations:
        sys.settrace(count)
        try:
            call()
        finally:
            sys.settrace(before)
    return Cost(lines, operations.number, operations.entries, operations.largest)


@contextmanager
def nothing_collected() -> Iterator[None]:
    """No garbage collection inside the block: what it calls back would count with the call."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def assert_grows_linearly(
    prepare: Callable[[int], Callable[[], Any]], size: int, slack: float = 1.5
) -> None:
    r"""Four times the input must cost about four times as much, and not sixteen times.

    Args:
        prepare (callable): Makes the input of a size and returns the call to measure.
        size (int): The smaller size. The larger it is, the smaller a share of work that grows
            faster is seen.
        slack (float, optional): How many times more than linear is let pass: sorting needs
            some. (default: :obj:`1.5`)

    Raises:
        AssertionError: If lines, operations, entries or the largest tensor grow faster.

    Example:
        >>> assert_grows_linearly(lambda n: lambda: [i + 1 for i in range(n)], 100)
    """
    # The first call fills caches and imports what is imported on use; it isn't counted.
    prepare(size)()
    small, large = cost_of(prepare(size)), cost_of(prepare(4 * size))
    for name, less, more in zip(Cost.__annotations__, astuple(small), astuple(large), strict=True):
        assert more <= 4 * slack * max(less, 1), (
            f"{name} grow from {less} to {more} ({more / max(less, 1):.1f} times) while the input "
            f"grows from {size} to {4 * size} (4 times)"
        )


class Operations(TorchDispatchMode):
    """Counts PyTorch's operations below autograd, and the entries of their results."""

    def __init__(self) -> None:
        super().__init__()
        self.number = self.entries = self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.number += 1
        self.entries += sum(sizes)
        self.largest = max(self.largest, *sizes, 0)
        return out
